//! A TUF repository with a sigstore trusted root (The Update Framework, specification 1.0, section 5): refreshed through
//! the sigstore organisation's client, kept on disk, read back from there with every signature checked again.
//!
//! What was accepted once is never left for something older: kept metadata is the floor for what a mirror may say.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, SigstoreInstance, TRUSTED_ROOT_TARGET};
use sigstore_tuf::cache::StoreRepository;
use sigstore_tuf::client::HttpRepository;
use sigstore_tuf::{Error, FileStore, MetadataStore, TrustedMetadataSet, Updater, UpdaterConfig};

use super::web::{Naming, Reach, chain};
use crate::image::Digest;
use crate::signer::root::TrustRoot;

/// Time for one refresh with all its requests: a mirror that drips is given up.
const REFRESH: Duration = Duration::from_mins(2);
/// Longest kept file, in bytes: the largest that the client accepts from a mirror.
const MAX_KEPT: u64 = 5_000_000;
/// Longest trusted root, in bytes.
const MAX_ROOT: u64 = 256 * 1024;
/// The file that says when the last refresh succeeded.
const REFRESHED: &str = "refreshed";

/// One repository.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    /// Where it is asked.
    pub(super) mirror: String,
    /// Whether somebody named that.
    pub(super) naming: Naming,
    /// The TUF root with which trust in it begins.
    pub(super) initial: Vec<u8>,
    /// The trusted root that this program brings along, where it brings one for this repository.
    pub(super) embedded: Option<&'static str>,
    /// Where it is kept; only in memory, where none.
    pub(super) folder: Option<PathBuf>,
}

/// A trusted root, as a repository gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obtained {
    pub(super) bytes: Vec<u8>,
    /// When a refresh last succeeded; never, where none.
    pub(super) refreshed: Option<Timestamp>,
    /// When the TUF root ends, which bounds everything.
    pub(super) root_ends: Timestamp,
    /// When the first of all metadata ends: by then a refresh is due.
    pub(super) fresh_until: Timestamp,
}

impl Repository {
    /// The public-good one of the sigstore organisation, asked at a mirror where one is named.
    pub(super) fn public_good(mirror: Option<&str>) -> Self {
        let naming = if mirror.is_some() { Naming::Literal } else { Naming::Derived };
        Self {
            mirror: mirror.unwrap_or_else(|| SigstoreInstance::PublicGood.tuf_url()).to_owned(),
            naming,
            initial: SigstoreInstance::PublicGood.tuf_root().to_vec(),
            embedded: Some(SIGSTORE_PRODUCTION_TRUSTED_ROOT),
            folder: None,
        }
    }

    /// Another one, with its own beginning.
    pub(super) fn private(mirror: &str, initial: Vec<u8>) -> Self {
        let mirror = mirror.to_owned();
        Self { mirror, naming: Naming::Literal, initial, embedded: None, folder: None }
    }

    /// The same, kept in a folder of its own below this one.
    pub(super) fn kept_below(self, folder: Option<&Path>) -> Self {
        // Another mirror of the same repository goes on where the first one stopped.
        let name = Digest::of(&self.initial).hex();
        let folder = folder.map(|folder| folder.join(name));
        Self { folder, ..self }
    }

    /// What is known without asking: what was kept, or else what this program brings along.
    ///
    /// # Errors
    /// Why there is neither.
    pub(super) async fn at_hand(&self) -> Result<Obtained, String> {
        let broken = match self.kept().await {
            Ok(Some(kept)) => return Ok(kept),
            Ok(None) => None,
            Err(why) => Some(why),
        };
        if let Some(why) = &broken {
            tracing::warn!(mirror = self.mirror, error = why, "kept trust root cannot be used");
        }
        match self.embedded {
            Some(bytes) => self.brought_along(bytes),
            None => Err(broken.unwrap_or_else(|| format!("nothing of `{}` was kept", self.mirror))),
        }
    }

    fn brought_along(&self, bytes: &str) -> Result<Obtained, String> {
        let trusted = TrustedMetadataSet::from_root(&self.initial).map_err(|error| chain(&error))?;
        let root_ends = trusted.root().expires;
        Ok(Obtained { bytes: bytes.as_bytes().to_vec(), refreshed: None, root_ends, fresh_until: root_ends })
    }

    /// What was kept, checked from the first root on. Its age is told, not judged.
    async fn kept(&self) -> Result<Option<Obtained>, String> {
        let Some(folder) = self.shelf() else { return Ok(None) };
        let Some(refreshed) = folder.refreshed()? else { return Ok(None) };
        let read = async {
            let mut updater = Updater::new(StoreRepository::new(folder.clone()), &self.initial)?
                .with_config(bounds())
                .with_store(folder);
            // At the beginning of time nothing has expired.
            updater.refresh(Timestamp::UNIX_EPOCH).await?;
            let bytes = updater.get_target(TRUSTED_ROOT_TARGET, Timestamp::UNIX_EPOCH).await?;
            Ok((updater, bytes))
        };
        let (updater, bytes) = read.await.map_err(|error: Error| chain(&error))?;
        obtained(&updater, bytes, Some(refreshed)).map(Some)
    }

    /// Asks the mirror for what is newest, and keeps it.
    ///
    /// # Errors
    /// Why that failed; what was kept stays.
    pub(super) async fn refresh(&self, reach: &Reach, now: Timestamp) -> Result<Obtained, String> {
        let client = reach.client(self.naming)?;
        let ask = async {
            let transport = HttpRepository::new(&self.mirror)?.with_http_client(client);
            let mut updater = Updater::new(transport, &self.initial)?.with_config(bounds());
            if let Some(shelf) = self.shelf() {
                updater = updater.with_store(shelf);
            }
            updater.refresh(now).await?;
            let bytes = updater.get_target(TRUSTED_ROOT_TARGET, now).await?;
            Ok((updater, bytes))
        };
        let late = |_| format!("`{}` took more than {} s", self.mirror, REFRESH.as_secs());
        let answer: Result<_, Error> = tokio::time::timeout(REFRESH, ask).await.map_err(late)?;
        let (updater, bytes) = answer.map_err(|error| chain(&error))?;
        let obtained = obtained(&updater, bytes, Some(now))?;
        if let Some(shelf) = self.shelf() {
            let kept = shelf.0.store(REFRESHED, now.to_string().as_bytes());
            kept.map_err(|error| format!("failed to keep the trust root: {}", chain(&error)))?;
        }
        Ok(obtained)
    }

    fn shelf(&self) -> Option<Shelf> {
        self.folder.as_ref().map(|folder| Shelf(FileStore::new(folder), folder.clone()))
    }
}

fn obtained(updater: &Updater, bytes: Vec<u8>, refreshed: Option<Timestamp>) -> Result<Obtained, String> {
    TrustRoot::from_json(&bytes).map_err(|error| error.to_string())?;
    let trusted = updater.trusted();
    let (Some(timestamp), Some(snapshot), Some(targets)) =
        (trusted.timestamp(), trusted.snapshot(), trusted.targets_role("targets"))
    else {
        return Err("the repository's metadata is not complete".to_owned());
    };
    let root_ends = trusted.root().expires;
    let fresh_until = root_ends.min(timestamp.expires).min(snapshot.expires).min(targets.expires);
    Ok(Obtained { bytes, refreshed, root_ends, fresh_until })
}

/// What is taken from a mirror at most.
fn bounds() -> UpdaterConfig {
    let mut bounds = UpdaterConfig::default();
    bounds.target_max_length = MAX_ROOT;
    bounds
}

/// A folder whose files are read with a bound.
#[derive(Debug, Clone)]
struct Shelf(FileStore, PathBuf);

impl Shelf {
    /// When a refresh last succeeded.
    fn refreshed(&self) -> Result<Option<Timestamp>, String> {
        let text = self.load(REFRESHED).map_err(|error| chain(&error))?;
        let Some(text) = text else { return Ok(None) };
        let read = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        read.map(Some).ok_or_else(|| format!("`{REFRESHED}` holds no time"))
    }
}

impl MetadataStore for Shelf {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        // Names come from a repository: the store refuses what leads out of the folder.
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err(Error::Malformed("a name leads out of the folder".to_owned()));
        }
        let failed = |source| Error::Io { context: format!("reading {name}"), source };
        let file = match fs::File::open(self.1.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_KEPT.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_KEPT) {
            return Ok(Some(bytes));
        }
        Err(failed(std::io::Error::other("the file is too long")))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        self.0.store(name, bytes)
    }
}
