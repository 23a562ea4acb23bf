//! Evidence by repository and digest: a shelf of bounded size from which the least recently used goes first.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::time::SystemTime;

use super::{Store, file, record};
use crate::artifact::Evidence;
use crate::image::{Digest, PinnedImage, Repository};
use crate::reason::Problem;

/// Largest evidence of one image in bytes.
const MAX_ENTRY: u64 = 128 << 20;

/// An image and what its registry held about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The image, as its manifest was fetched and hashed.
    pub image: PinnedImage,
    /// The answers to every lookup.
    pub evidence: Vec<Evidence>,
}

/// The files of the shelf, by when they were last used.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    most: u64,
    bytes: u64,
    /// Counts uses: the smallest is the one longest ago.
    clock: u64,
    files: BTreeMap<PathBuf, Use>,
}

#[derive(Debug, Clone, Copy)]
struct Use {
    at: u64,
    bytes: u64,
}

impl Shelf {
    pub(super) fn open(dir: &Path, most: u64) -> io::Result<Self> {
        file::folder(dir)?;
        let mut shelf = Self { dir: dir.to_owned(), most, bytes: 0, clock: 0, files: BTreeMap::new() };
        for path in file::by_age(dir)? {
            let bytes = fs::metadata(&path)?.len();
            shelf.note(path, bytes);
        }
        shelf.shrink()?;
        Ok(shelf)
    }

    fn path(&self, repository: &Repository, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}.json", Digest::of(format!("{repository}@{digest}").as_bytes()).hex()))
    }

    fn note(&mut self, path: PathBuf, bytes: u64) {
        self.forget(&path);
        self.clock = self.clock.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.files.insert(path, Use { at: self.clock, bytes });
    }

    fn forget(&mut self, path: &Path) {
        if let Some(gone) = self.files.remove(path) {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
        }
    }

    /// Removes the least recently used until the rest fits.
    fn shrink(&mut self) -> io::Result<()> {
        if self.bytes <= self.most {
            return Ok(());
        }
        // A tenth more than needed, so that the next entries find room without another pass.
        let target = self.most.saturating_sub(self.most / 10);
        let mut by_use: Vec<(u64, PathBuf)> = self.files.iter().map(|(path, last)| (last.at, path.clone())).collect();
        by_use.sort();
        for (_, path) in by_use {
            if self.bytes <= target {
                break;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => self.forget(&path),
            }
        }
        Ok(())
    }

    fn load(&mut self, repository: &Repository, digest: &Digest) -> Option<Kept> {
        let path = self.path(repository, digest);
        let bytes = match file::read(&path, MAX_ENTRY) {
            Ok(bytes) => bytes?,
            Err(error) => {
                self.discard(&path, &error.to_string());
                return None;
            }
        };
        let kept = record::decode(&bytes);
        let Some(kept) = kept.filter(|kept| kept.image.repository == *repository && kept.image.digest == *digest)
        else {
            self.discard(&path, "its contents do not have the digests that they claim");
            return None;
        };
        touch(&path);
        self.note(path, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Some(kept)
    }

    /// A damaged entry is absent: it will be fetched again.
    fn discard(&mut self, path: &Path, why: &str) {
        tracing::warn!(path = %path.display(), why, "dropping damaged evidence");
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "failed to remove damaged evidence");
        }
        self.forget(path);
    }

    fn save(&mut self, image: &PinnedImage, evidence: &[Evidence]) -> io::Result<()> {
        let bytes = record::encode(image, evidence).map_err(io::Error::other)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let path = self.path(&image.repository, &image.digest);
        if length > MAX_ENTRY.min(self.most) {
            return Ok(());
        }
        file::write(&path, &bytes)?;
        self.note(path, length);
        self.shrink()
    }
}

impl Store {
    /// What is kept about a digest, every content hashed again; none where anything about it is damaged.
    #[must_use]
    pub fn evidence(&self, repository: &Repository, digest: &Digest) -> Option<Kept> {
        self.shelf().load(repository, digest)
    }

    /// Keeps what a registry answered about an image. An answer with faults says what is unknown: it is not kept, and
    /// neither is one that is larger than the whole bound.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_evidence(&self, image: &PinnedImage, evidence: &[Evidence]) -> Result<(), Problem> {
        if evidence.iter().any(|answer| !answer.faults.is_empty()) {
            return Ok(());
        }
        let mut held = self.shelf();
        held.save(image, evidence).map_err(|error| super::unwritten(&held.dir, &error))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Each step leaves the shelf usable; what a panic cut off is found damaged, or counted again at the next start.
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks a file as used now, for the order at the next start; that order is a matter of speed alone.
#[expect(clippy::disallowed_methods, reason = "the age of a file in the cache decides nothing but what goes first")]
fn touch(path: &Path) {
    let touched = File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::debug!(path = %path.display(), %error, "failed to mark evidence as used");
    }
}
