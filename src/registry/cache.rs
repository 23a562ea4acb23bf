//! Manifests and blobs by digest, kept in memory up to a number of bytes. What is here was hashed when it came.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use super::fetch::Fetched;
use crate::image::{Digest, Repository};

/// What a repository holds under a digest. A repository is part of the key: that one repository holds a digest says
/// nothing of another.
type Key = (Repository, Digest);

/// A bounded memory; what was not asked for longest goes first.
#[derive(Debug)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    /// The keys by their last use.
    uses: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    fetched: Fetched,
    used: u64,
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self { kept: Mutex::new(Kept::default()), limit }
    }

    /// What is under a digest, where they are kept.
    pub(super) fn get(&self, repository: &Repository, digest: &Digest) -> Option<Fetched> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        let key = (repository.clone(), *digest);
        let entry = kept.entries.get_mut(&key)?;
        kept.clock += 1;
        kept.uses.remove(&entry.used);
        kept.uses.insert(kept.clock, key);
        entry.used = kept.clock;
        Some(entry.fetched.clone())
    }

    /// Keeps bytes that were hashed to this digest.
    pub(super) fn keep(&self, repository: &Repository, digest: &Digest, fetched: &Fetched) {
        if fetched.bytes.len() > self.limit {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        let key = (repository.clone(), *digest);
        if kept.entries.contains_key(&key) {
            return;
        }
        kept.clock += 1;
        kept.bytes += fetched.bytes.len();
        kept.uses.insert(kept.clock, key.clone());
        kept.entries.insert(key, Entry { fetched: fetched.clone(), used: kept.clock });
        while kept.bytes > self.limit {
            let Some((_, oldest)) = kept.uses.pop_first() else { break };
            if let Some(gone) = kept.entries.remove(&oldest) {
                kept.bytes -= gone.fetched.bytes.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_goes_first_and_repositories_are_kept_apart() {
        let cache = Cache::new(25);
        let a = Repository::parse("a.example/x").unwrap();
        let b = Repository::parse("b.example/x").unwrap();
        let of = |bytes: Vec<u8>| Fetched { bytes: bytes.into(), content_type: None };
        let blobs: Vec<Fetched> = (0u8..4).map(|n| of(vec![n; 10])).collect();
        let digests: Vec<Digest> = blobs.iter().map(|blob| Digest::of(&blob.bytes)).collect();
        let has = |repository: &Repository, n: usize| cache.get(repository, &digests[n]).is_some();
        cache.keep(&a, &digests[0], &blobs[0]);
        cache.keep(&a, &digests[1], &blobs[1]);
        assert!(has(&a, 0));
        assert!(!has(&b, 0));
        cache.keep(&a, &digests[2], &blobs[2]);
        assert!(!has(&a, 1));
        assert!(has(&a, 0));
        cache.keep(&a, &digests[3], &of(vec![3; 26]));
        assert!(!has(&a, 3));
    }
}
