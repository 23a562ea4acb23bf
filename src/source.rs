//! Sources: a revision as files, from a Git repository or from the command line's paths.
//!
//! A Git source is never checked out: blobs are read from the object database, so that no link, hook, filter or file
//! name can act on this machine. What is found is bytes; what they mean is for the stages to say.

mod address;
mod auth;
pub mod directory;
pub mod exclude;
pub mod git;
mod known_hosts;
mod timeouts;
mod tls;
mod tree;
mod worker;
pub mod worktree;

pub use git::{Auth, Git, GitOptions};

/// How much of a revision is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest file in bytes.
    pub file_bytes: usize,
    /// Most files under a path.
    pub files: usize,
    /// Most bytes of all files together, since they are held in memory.
    pub total_bytes: usize,
    /// Deepest folder below the path.
    pub depth: usize,
    /// Most entries looked at, folders and files of other kinds included.
    pub entries: usize,
    /// Most bytes taken from a Git server in one fetch.
    pub received_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 10 << 20,
            files: 50_000,
            total_bytes: 256 << 20,
            depth: 64,
            entries: 1_000_000,
            received_bytes: 2 << 30,
        }
    }
}

/// What a walk takes of a folder, by what stands in it or above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    /// Manifests.
    Manifests,
    /// Files of other kinds too, as long as they are small: what a kustomization makes objects of.
    Small,
    /// Every file: what a chart is made of.
    Every,
}

/// Largest file of another kind that is taken for a kustomization, in bytes: no `ConfigMap` or `Secret` holds more.
const SMALL: usize = 1 << 20;

impl Taken {
    /// What is taken in a folder with these names, below one in which this much is.
    fn within<'n>(self, names: impl Iterator<Item = &'n str>, excluded: impl Fn(&str) -> bool) -> Self {
        let asked = names.filter(|name| Self::because_of(name) > self && !excluded(name));
        asked.map(Self::because_of).fold(self, Self::max)
    }

    fn because_of(name: &str) -> Self {
        match name {
            "Chart.yaml" => Self::Every,
            "kustomization.yaml" | "kustomization.yml" | "Kustomization" => Self::Small,
            _ => Self::Manifests,
        }
    }

    /// Whether a file of this name and size is taken. A kustomization that names what is not taken cannot be built.
    fn takes(self, name: &str, size: usize) -> bool {
        is_manifest_name(name)
            || match self {
                Self::Manifests => false,
                Self::Small => size <= SMALL,
                Self::Every => true,
            }
    }
}

/// Whether a file of this name is read where a folder is given: YAML and JSON, in any case of letters, and kustomize's
/// own name without an extension.
fn is_manifest_name(name: &str) -> bool {
    if name == "Kustomization" {
        return true;
    }
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
}
