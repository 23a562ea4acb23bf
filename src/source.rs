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

/// Whether a file of this name is read where a folder is given: YAML and JSON, in any case of letters, and kustomize's
/// own name without an extension.
fn is_manifest_name(name: &str) -> bool {
    if name == "Kustomization" {
        return true;
    }
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
}
