//! The repository around a path of the command line: commits to compare with, read from the object database.
//!
//! Nothing is fetched and nothing is checked out. What is not here is an error, never an empty folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use git2::{ErrorCode as GitCode, ObjectType, Oid, Repository};

use super::exclude::Exclude;
use super::{Limits, tree};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::{File, Revision, Snapshot};

/// Longest file that is compared as a whole, in bytes: a policy, a key, a configuration.
const MAX_COMPARED: usize = 1 << 20;

/// A repository that stands on this machine.
pub struct WorkTree {
    repository: Repository,
    /// The folder that is checked out; none of a bare repository.
    root: Option<PathBuf>,
}

/// What a commit has at a path.
pub enum There {
    /// The manifests, sorted by path, relative to the repository.
    Files(Vec<File>),
    /// Something that is not read as manifests, and why.
    Odd(Vec<Problem>),
}

impl WorkTree {
    /// The repository in or around which a path lies.
    ///
    /// # Errors
    /// `usage` when there is none, or it cannot be opened.
    pub fn around(path: &Path) -> Result<Self, Problem> {
        let real = fs::canonicalize(path).map_err(|error| {
            let problem = Problem::new(ErrorCode::FileUnreadable, format!("failed to read the path: {error}"));
            problem.in_file(path.display().to_string()).with_help("check the path and its permissions")
        })?;
        let repository = Repository::discover(&real).map_err(|error| {
            let message = format!("failed to open the repository around `{}`: {}", path.display(), error.message());
            Problem::new(ErrorCode::Usage, message).with_help(
                "give a path inside a clone; where another user owns it: `git config --global --add safe.directory DIR`",
            )
        })?;
        let root = repository.workdir().map(fs::canonicalize).transpose().map_err(|error| {
            Problem::new(ErrorCode::FileUnreadable, format!("failed to find the repository's work tree: {error}"))
        })?;
        Ok(Self { repository, root })
    }

    /// Where a path lies in the repository, `/` between its parts, `""` for the top; none outside of it.
    ///
    /// # Errors
    /// When there is no such path, or its name is no text.
    pub fn place(&self, path: &Path) -> Result<Option<String>, Problem> {
        let wrong = |why: String| {
            let problem = Problem::new(ErrorCode::FileUnreadable, format!("failed to find the path: {why}"));
            problem.in_file(path.display().to_string()).with_help("check the path and its permissions")
        };
        let real = fs::canonicalize(path).map_err(|error| wrong(error.to_string()))?;
        let Some(below) = self.root.as_ref().and_then(|root| real.strip_prefix(root).ok()) else { return Ok(None) };
        below.to_str().map(|text| Some(text.to_owned())).ok_or_else(|| wrong("its name is not UTF-8".to_owned()))
    }

    /// The folder that is checked out, or that of a bare repository.
    #[must_use]
    pub fn folder(&self) -> String {
        self.root.as_deref().unwrap_or_else(|| self.repository.path()).to_string_lossy().into_owned()
    }

    /// The branch that is checked out; none where a commit is.
    #[must_use]
    pub fn branch(&self) -> Option<String> {
        let head = self.repository.head().ok().filter(git2::Reference::is_branch)?;
        head.shorthand().ok().map(str::to_owned)
    }

    /// The commit where the checked-out history left that of `reference`.
    ///
    /// # Errors
    /// `usage` when there is no such commit here.
    pub fn base(&self, reference: &str) -> Result<String, Problem> {
        let find = || {
            let theirs = self.repository.revparse_single(reference)?.peel_to_commit()?.id();
            let ours = self.repository.head()?.peel_to_commit()?.id();
            self.repository.merge_base(ours, theirs)
        };
        find().map(|id| id.to_string()).map_err(|error| {
            let message = format!("failed to find the base `{}`: {}", reference.escape_debug(), error.message());
            Problem::new(ErrorCode::Usage, message).with_help(
                "name a branch, tag or commit of this clone; a shallow clone lacks it: `git fetch --unshallow`, or `fetch-depth: 0`",
            )
        })
    }

    /// The manifests that a commit has at a path; nothing where the path is not in it.
    ///
    /// # Errors
    /// When the commit cannot be read.
    pub fn manifests(&self, commit: &str, path: &str, exclude: &Exclude, limits: &Limits) -> Result<There, Problem> {
        let id = self.id(commit)?;
        match self.entry(id, path)? {
            None => Ok(There::Files(Vec::new())),
            Some((ObjectType::Blob, blob)) => {
                let bytes = self.blob(blob, limits.file_bytes)?;
                Ok(There::Files(vec![File { path: Arc::from(path), bytes: Bytes::from(bytes) }]))
            }
            Some(_) => match tree::read(&self.repository, id, path, exclude, limits) {
                Ok(files) => Ok(There::Files(files)),
                // That a folder holds no manifest is no trouble here.
                Err(tree::Unread::Problems(found))
                    if found.iter().all(|problem| problem.code == ErrorCode::SourceUnavailable) =>
                {
                    Ok(There::Files(Vec::new()))
                }
                Err(tree::Unread::Problems(found)) => Ok(There::Odd(found)),
                Err(tree::Unread::Git(error)) => Err(unreadable(commit, &error)),
            },
        }
    }

    /// The manifests of a commit below a folder, as a gate reads them.
    ///
    /// # Errors
    /// Everything that a gate would tell about them.
    pub fn snapshot(
        &self,
        commit: &str,
        folder: &str,
        exclude: &Exclude,
        limits: &Limits,
    ) -> Result<Snapshot, Vec<Problem>> {
        let id = self.id(commit).map_err(|problem| vec![problem])?;
        let time = match self.repository.find_commit(id) {
            Ok(commit) => commit.time().seconds(),
            Err(error) => return Err(vec![unreadable(commit, &error)]),
        };
        match tree::read(&self.repository, id, folder, exclude, limits) {
            Ok(files) => Ok(Snapshot { revision: Revision { id: commit.to_owned(), time }, files }),
            Err(tree::Unread::Problems(problems)) => Err(problems),
            Err(tree::Unread::Git(error)) => Err(vec![unreadable(commit, &error)]),
        }
    }

    /// Whether a file on disk is what a commit has at its place; a file outside of the repository was not changed in it.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn is_as_in(&self, commit: &str, path: &Path) -> Result<bool, Problem> {
        let Some(place) = self.place(path)? else { return Ok(true) };
        let Some((ObjectType::Blob, blob)) = self.entry(self.id(commit)?, &place)? else { return Ok(false) };
        let bytes = fs::read(path).map_err(|error| {
            let problem = Problem::new(ErrorCode::FileUnreadable, format!("failed to read the file: {error}"));
            problem.in_file(path.display().to_string())
        })?;
        Ok(self.blob(blob, MAX_COMPARED)? == bytes)
    }

    fn id(&self, commit: &str) -> Result<Oid, Problem> {
        Oid::from_str(commit)
            .and_then(|id| self.repository.find_commit(id).map(|commit| commit.id()))
            .ok()
            .filter(|id| id.to_string() == commit)
            .ok_or_else(|| {
                let message = format!("commit `{}` is not in this clone", commit.escape_debug());
                Problem::new(ErrorCode::Usage, message).with_help("fetch it: `git fetch origin COMMIT`")
            })
    }

    fn entry(&self, commit: Oid, path: &str) -> Result<Option<(ObjectType, Oid)>, Problem> {
        let find = || {
            let tree = self.repository.find_commit(commit)?.tree()?;
            if path.is_empty() {
                return Ok(Some((ObjectType::Tree, tree.id())));
            }
            match tree.get_path(Path::new(path)) {
                Ok(entry) => Ok(Some((entry.kind().unwrap_or(ObjectType::Any), entry.id()))),
                Err(error) if error.code() == GitCode::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        find().map_err(|error: git2::Error| unreadable(&commit.to_string(), &error))
    }

    fn blob(&self, id: Oid, longest: usize) -> Result<Vec<u8>, Problem> {
        let read = || {
            let odb = self.repository.odb()?;
            if odb.read_header(id)?.0 > longest {
                return Ok(None);
            }
            Ok(Some(odb.read(id)?.data().to_vec()))
        };
        match read() {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => {
                let message = format!("a file of the base has more than {longest} bytes");
                Err(Problem::new(ErrorCode::LimitExceeded, message))
            }
            Err(error) => Err(unreadable(&id.to_string(), &error)),
        }
    }
}

fn unreadable(what: &str, error: &git2::Error) -> Problem {
    let message = format!("failed to read `{what}` of the repository: {}", error.message());
    Problem::new(ErrorCode::FileUnreadable, message)
        .with_help("a shallow or partial clone lacks objects: `git fetch --unshallow`, or `fetch-depth: 0`")
}
