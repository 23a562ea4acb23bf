//! A revision as files: what a source hands on.

use std::sync::Arc;

use bytes::Bytes;

/// A Git commit, or what stands for one where there is no Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The commit's full hash.
    pub id: String,
    /// The committer's time, in seconds since 1970.
    pub time: i64,
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path, as reports name it: relative to the repository, or as given on the command line; `-` for stdin.
    pub path: Arc<str>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// All files of one revision under the path of a gate, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision.
    pub revision: Revision,
    /// The YAML and JSON files under the path that are not excluded.
    pub files: Vec<File>,
}
