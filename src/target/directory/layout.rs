//! How releases are named on the disk.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Files;
use crate::image::Digest;
use crate::reason::{ErrorCode, Problem};

/// Longest path of a file in bytes, and of one segment of it.
const MAX_PATH: (usize, usize) = (1_024, 255);
/// Longest revision in bytes; a commit's hash has 40 or 64.
const MAX_REVISION: usize = 100;

/// Where a target's parts lie.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The link that readers open.
    pub(super) link: PathBuf,
    /// The folder in which the link lies.
    pub(super) parent: PathBuf,
    /// The folder of the releases, as the link names it: beside the link.
    pub(super) releases: String,
    /// The name under which a new link is made.
    pub(super) new_link: PathBuf,
}

/// The name of a release's folder: `REVISION-DIGEST.COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    /// The revision.
    pub(super) revision: String,
    /// The digest of all files.
    pub(super) digest: Digest,
    /// Which of two copies: while one is read and found damaged, the other takes its place.
    copy: char,
}

impl Layout {
    pub(super) fn new(path: &Path) -> Result<Self, Problem> {
        let wrong = |what: &str| {
            Problem::new(ErrorCode::ConfigInvalid, format!("`{}` cannot be a target directory: {what}", path.display()))
        };
        let path = std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Err(wrong("it has no name in UTF-8"));
        };
        Ok(Self {
            parent: parent.to_owned(),
            releases: format!(".{name}.releases"),
            new_link: parent.join(format!(".{name}.new")),
            link: path,
        })
    }

    /// The folder of the releases.
    pub(super) fn releases_dir(&self) -> PathBuf {
        self.parent.join(&self.releases)
    }

    /// The folder of one release.
    pub(super) fn dir(&self, folder: &Folder) -> PathBuf {
        self.releases_dir().join(folder.to_string())
    }

    /// What the link holds when it leads to this release.
    pub(super) fn link_text(&self, folder: &Folder) -> PathBuf {
        Path::new(&self.releases).join(folder.to_string())
    }
}

/// The two names that a release may have.
pub(super) fn names(revision: &str, digest: &Digest) -> Result<[Folder; 2], String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if revision.is_empty() || revision.len() > MAX_REVISION || !revision.bytes().all(plain) {
        return Err(format!("the revision `{}` cannot be a folder's name", revision.escape_debug()));
    }
    Ok(['a', 'b'].map(|copy| Folder { revision: revision.to_owned(), digest: *digest, copy }))
}

impl Folder {
    /// The name of a folder read back; none where it is no release's.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (rest, copy) = name.rsplit_once('.')?;
        let (revision, digest) = rest.split_once('-')?;
        let digest = format!("sha256:{digest}").parse().ok()?;
        names(revision, &digest).ok()?.into_iter().find(|folder| copy.chars().eq([folder.copy]))
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}.{}", self.revision, self.digest.hex(), self.copy)
    }
}

/// The digest of all files: of each, the lengths and bytes of its path and its content.
pub(super) fn digest(files: &Files) -> Digest {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        for part in [path.as_bytes(), bytes.as_ref()] {
            // Lengths in front, so that no two sets of files give the same bytes.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
    }
    Digest::from_raw(hash.finalize().into())
}

/// Checks that a path names a file below a folder and nothing else.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let (longest, longest_segment) = MAX_PATH;
    let plain =
        |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.len() <= longest_segment;
    let odd = |c: char| c.is_control() || c == '\\';
    if path.len() > longest || !path.split('/').all(plain) || path.contains(odd) {
        return Err(format!("`{}` is no safe path below the target", path.escape_debug()));
    }
    Ok(())
}
