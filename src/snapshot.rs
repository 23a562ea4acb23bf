//! A revision as files: what a source hands on.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

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
    /// The YAML and JSON files under the path that are not excluded; in and below a folder that a renderer builds, files
    /// of other kinds too.
    pub files: Vec<File>,
}

/// A program that makes manifests of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Renderer {
    /// `kustomize build`, or `kubectl kustomize`.
    Kustomize,
    /// `helm template`.
    Helm,
}

impl Renderer {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kustomize => "kustomize",
            Self::Helm => "helm",
        }
    }
}

/// Whether a renderer was kept from every network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// It had none.
    Cut,
    /// The kernel did not permit that: only what the files name was looked at.
    Open,
}

/// How a folder became manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rendering {
    /// The folder; `.` for the top.
    pub folder: String,
    /// What built it.
    pub renderer: Renderer,
    /// Whether it had a network.
    pub network: Network,
}
