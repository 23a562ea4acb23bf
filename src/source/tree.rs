//! The files of a commit, read from the object database.
//!
//! Sizes are read from object headers before contents are. A name or kind of entry that could mean something else than
//! a plain file refuses the revision: nothing is left out in silence.

use std::sync::Arc;

use bytes::Bytes;
use git2::{ObjectType, Odb, Oid, Repository, Tree, TreeEntry};

use super::exclude::{self, Exclude};
use super::{Limits, Taken};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

/// Largest tree object in bytes; a folder of 50,000 files has about 3 MB.
const MAX_TREE: usize = 64 << 20;
/// Most problems told of one revision.
const MAX_PROBLEMS: usize = 100;
/// How a Git LFS pointer begins, and how long it can be.
const LFS: (&[u8], usize) = (b"version https://git-lfs.github.com/spec/", 1024);

const KIND: i32 = 0o170_000;
const FOLDER: i32 = 0o040_000;
const PLAIN: i32 = 0o100_000;
const LINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;

/// Why a commit was not read.
pub(super) enum Unread {
    /// What is wrong with what it holds.
    Problems(Vec<Problem>),
    /// The object database failed.
    Git(git2::Error),
}

impl From<git2::Error> for Unread {
    fn from(error: git2::Error) -> Self {
        Self::Git(error)
    }
}

/// A source's path as it stands in a tree: no `.`, no slash at its ends; empty for the root.
///
/// # Errors
/// When it leaves the repository, or is absolute.
pub(super) fn folder(path: &str) -> Result<String, String> {
    if path.starts_with('/') {
        return Err(format!("`path: {path}` is relative to the repository: write it without the `/` in front"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.iter().any(|part| *part == ".." || part.chars().any(char::is_control)) {
        return Err(format!("`path: {path}` is no folder inside the repository"));
    }
    Ok(parts.join("/"))
}

/// Reads the manifests of a commit below `path`, sorted by path.
pub(super) fn read(
    repository: &Repository,
    commit: Oid,
    path: &str,
    exclude: &Exclude,
    limits: &Limits,
) -> Result<Vec<File>, Unread> {
    let root = repository.find_commit(commit)?.tree_id();
    let odb = repository.odb()?;
    let mut walk =
        Walk { repository, odb, path, exclude, limits, problems: Vec::new(), files: Vec::new(), entries: 0, bytes: 0 };
    let tree = walk.start(root)?;
    walk.folder(&tree, path, Below { depth: 0, taken: Taken::Manifests })?;
    walk.finish(commit)
}

/// Where a walk stands.
#[derive(Debug, Clone, Copy)]
struct Below {
    depth: usize,
    taken: Taken,
}

struct Walk<'a> {
    repository: &'a Repository,
    odb: Odb<'a>,
    path: &'a str,
    exclude: &'a Exclude,
    limits: &'a Limits,
    problems: Vec<Problem>,
    files: Vec<File>,
    entries: usize,
    bytes: usize,
}

impl<'a> Walk<'a> {
    /// Follows the source's path, folder by folder.
    fn start(&self, root: Oid) -> Result<Tree<'a>, Unread> {
        let mut tree = self.tree(root, self.path)?;
        for part in self.path.split('/').filter(|part| !part.is_empty()) {
            let entry = tree.get_name_bytes(part.as_bytes()).map(|entry| (entry.filemode_raw() & KIND, entry.id()));
            tree = match entry {
                Some((FOLDER, id)) => self.tree(id, self.path)?,
                Some(_) => return Err(nothing(format!("`{}` is no folder", self.path))),
                None => return Err(nothing(format!("there is no folder `{}`", self.path))),
            };
        }
        Ok(tree)
    }

    fn tree(&self, id: Oid, named: &str) -> Result<Tree<'a>, Unread> {
        let (size, _) = self.odb.read_header(id)?;
        if size > MAX_TREE {
            let message = format!("the folder is larger than {MAX_TREE} bytes");
            return Err(Unread::Problems(vec![limit(message).in_file(named)]));
        }
        Ok(self.repository.find_tree(id)?)
    }

    fn folder(&mut self, tree: &Tree<'_>, named: &str, above: Below) -> Result<(), Unread> {
        if above.depth > self.limits.depth {
            self.tell(limit(format!("folders are nested deeper than {}", self.limits.depth)).in_file(named))?;
            return Ok(());
        }
        let here = Below { taken: self.taken(tree, named, above.taken), ..above };
        for entry in tree {
            self.entries = self.entries.saturating_add(1);
            if self.entries > self.limits.entries {
                return Err(
                    self.stop(limit(format!("more than {} entries under `{}`", self.limits.entries, self.path)))
                );
            }
            self.entry(&entry, named, here)?;
        }
        Ok(())
    }

    fn taken(&self, tree: &Tree<'_>, folder: &str, above: Taken) -> Taken {
        let entries = tree.iter().filter_map(|entry| std::str::from_utf8(entry.name_bytes()).ok().map(str::to_owned));
        let names: Vec<String> = entries.collect();
        above.within(names.iter().map(String::as_str), |name| self.excludes(&join(folder, name)))
    }

    fn excludes(&self, named: &str) -> bool {
        let below = named.strip_prefix(self.path).map_or(named, |rest| rest.trim_start_matches('/'));
        self.exclude.covers(below, named)
    }

    fn entry(&mut self, entry: &TreeEntry<'_>, parent: &str, here: Below) -> Result<(), Unread> {
        let name = match name(entry.name_bytes()) {
            Ok(name) => name,
            Err(odd) => return self.tell(unsupported(odd).in_file(shown(parent, entry.name_bytes()))),
        };
        let named = join(parent, name);
        if self.excludes(&named) {
            return Ok(());
        }
        match entry.filemode_raw() & KIND {
            FOLDER => {
                let tree = self.tree(entry.id(), &named)?;
                self.folder(&tree, &named, Below { depth: here.depth.saturating_add(1), ..here })
            }
            PLAIN => self.file(entry.id(), name, named, here.taken),
            LINK => self.tell(left_out("a symbolic link is not followed", &named)),
            SUBMODULE => self.tell(left_out("a submodule is not followed", &named)),
            mode => self.tell(left_out(&format!("an entry of mode {mode:o} is neither file nor folder"), &named)),
        }
    }

    fn file(&mut self, id: Oid, name: &str, named: String, taken: Taken) -> Result<(), Unread> {
        if !taken.takes(name, 0) {
            return Ok(());
        }
        let (size, kind) = self.odb.read_header(id)?;
        if !taken.takes(name, size) {
            return Ok(());
        }
        if kind != ObjectType::Blob {
            return self.tell(left_out("the entry says file, its object is none", &named));
        }
        if size > self.limits.file_bytes {
            let message = format!("the file has {size} bytes, more than {}", self.limits.file_bytes);
            return self.tell(limit(message).in_file(named));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.files.len() >= self.limits.files {
            return Err(self.stop(limit(format!("more than {} files under `{}`", self.limits.files, self.path))));
        }
        if self.bytes > self.limits.total_bytes {
            return Err(
                self.stop(limit(format!("the files have more than {} bytes together", self.limits.total_bytes)))
            );
        }
        let bytes = Bytes::copy_from_slice(self.odb.read(id)?.data());
        if bytes.len() <= LFS.1 && bytes.starts_with(LFS.0) {
            return self.tell(left_out("the file is a Git LFS pointer, its content is elsewhere", &named));
        }
        self.files.push(File { path: Arc::from(named), bytes });
        Ok(())
    }

    /// Notes a problem; too many end the walk.
    fn tell(&mut self, problem: Problem) -> Result<(), Unread> {
        if self.problems.len() >= MAX_PROBLEMS {
            let more = Problem::new(problem.code, format!("there are more than {MAX_PROBLEMS} such problems"));
            return Err(self.stop(more));
        }
        self.problems.push(problem);
        Ok(())
    }

    fn stop(&mut self, last: Problem) -> Unread {
        let mut problems = std::mem::take(&mut self.problems);
        problems.push(last);
        Unread::Problems(problems)
    }

    fn finish(mut self, commit: Oid) -> Result<Vec<File>, Unread> {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        let twice: Vec<Arc<str>> = self
            .files
            .iter()
            .zip(self.files.iter().skip(1))
            .filter(|(one, other)| one.path == other.path)
            .map(|(one, _)| Arc::clone(&one.path))
            .collect();
        for path in twice {
            self.tell(unsupported("the tree names this file twice".to_owned()).in_file(&*path))?;
        }
        if !self.problems.is_empty() {
            return Err(Unread::Problems(self.problems));
        }
        if self.files.is_empty() {
            let path = if self.path.is_empty() { "the repository" } else { self.path };
            return Err(nothing(format!("commit {commit} has no YAML or JSON file under `{path}`")));
        }
        Ok(self.files)
    }
}

/// A name that is one plain path segment.
fn name(bytes: &[u8]) -> Result<&str, String> {
    let name = std::str::from_utf8(bytes).map_err(|_| "the name is not UTF-8".to_owned())?;
    let hostile = name.is_empty() || name == "." || name == ".." || name.eq_ignore_ascii_case(".git");
    if hostile || name.contains(['/', '\\']) || name.chars().any(char::is_control) {
        return Err("the name is none that a file or folder may have here".to_owned());
    }
    Ok(name)
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

/// A path whose last part may hold anything, for a reader.
fn shown(parent: &str, name: &[u8]) -> String {
    join(parent, &String::from_utf8_lossy(name).escape_debug().to_string())
}

fn nothing(message: String) -> Unread {
    let problem = Problem::new(ErrorCode::SourceUnavailable, message);
    Unread::Problems(vec![problem.with_help("check the source's `path`; nothing is removed because of this")])
}

fn limit(message: String) -> Problem {
    Problem::new(ErrorCode::LimitExceeded, message)
        .with_help("leave out what is no manifest with `exclude`, or raise the limit in the configuration")
}

fn unsupported(message: String) -> Problem {
    Problem::new(ErrorCode::UnsupportedFile, message).with_help("rename or remove it")
}

fn left_out(message: &str, named: &str) -> Problem {
    let help = format!("replace it by a plain file, or leave it out: {}", exclude::line(named));
    Problem::new(ErrorCode::UnsupportedFile, message).in_file(named).with_help(help)
}
