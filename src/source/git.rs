//! A Git branch as a source: what its head is, and the files of a commit.
//!
//! One kept bare repository a source; the server is asked for its head (`ls-remote`) and fetched from only when told
//! to. Everything here blocks. What is read comes from the object database alone; there is no work tree.

mod conversation;
mod kept;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use git2::{ErrorClass, ErrorCode as GitCode, Oid, Repository};

use super::address::Address;
use super::auth::{About, Refusal, meeting};
use super::exclude::Exclude;
use conversation::{Failure, KEPT, Plan};

use super::worker::{Unfinished, Worker};
use super::{Limits, timeouts, tree};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::{Revision, Snapshot};

/// From so many packs on the repository is fetched afresh: libgit2 never packs them together.
const MAX_PACKS: usize = 256;
/// Most characters of a message from libgit2 or the server.
const MAX_MESSAGE: usize = 500;

/// A source, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitOptions {
    /// A path, `https://`, `http://`, `ssh://`, `user@host:path` or `file://`.
    pub url: String,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// The folder in the repository; empty for all of it.
    pub path: String,
    /// Patterns of files and folders that are left out.
    pub exclude: Vec<String>,
    /// Secrets, by file.
    pub auth: Auth,
    /// Whether a head that does not descend from the last one is taken; read by the caller.
    pub allow_rewrite: bool,
    /// How much is read.
    pub limits: Limits,
    /// Longest time for one conversation with the server.
    pub timeout: Duration,
    /// The folder of the kept repository; made where it is missing, and owned by this source alone.
    pub cache: PathBuf,
}

/// What a server is shown, and what it must show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// Who we are.
    pub username: Option<String>,
    /// The password or token, for HTTP.
    pub password_file: Option<PathBuf>,
    /// Further roots for the server's certificate.
    pub ca_file: Option<PathBuf>,
    /// The private key, for SSH.
    pub ssh_key_file: Option<PathBuf>,
    /// The host keys that are trusted, for SSH.
    pub known_hosts_file: Option<PathBuf>,
}

/// A branch of a Git repository.
#[derive(Debug)]
pub struct Git {
    plan: Arc<Plan>,
    path: String,
    exclude: Exclude,
    limits: Limits,
    timeout: Duration,
    worker: Worker,
    /// Set when the kept repository turned out to be damaged: the next fetch starts afresh.
    damaged: AtomicBool,
}

impl Git {
    /// A source; nobody is asked yet.
    ///
    /// # Errors
    /// When the options cannot be meant so.
    pub fn new(options: GitOptions) -> Result<Self, Problem> {
        let wrong = |message: String| Problem::new(ErrorCode::ConfigInvalid, message);
        timeouts::set_once().map_err(|error| wrong(format!("failed to set up libgit2: {error}")))?;
        let GitOptions { url, branch, path, exclude, auth, allow_rewrite: _, limits, timeout, cache } = options;
        let address = Address::parse(&url).map_err(wrong)?;
        let reference = format!("refs/heads/{branch}");
        if branch.starts_with("refs/") || !git2::Reference::is_valid_name(&reference) {
            return Err(wrong(format!("`{branch}` is no branch name")).with_help("write it without `refs/heads/`"));
        }
        let path = tree::folder(&path).map_err(wrong)?;
        let exclude = Exclude::new(&exclude, ErrorCode::ConfigInvalid).map_err(|problems| {
            let messages: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
            wrong(messages.join("; "))
        })?;
        let meeting = meeting(&address, auth).map_err(wrong)?;
        let url = match &address {
            Address::Local(path) => {
                absolute(path).map_err(|error| wrong(format!("failed to find `{url}`: {error}")))?
            }
            Address::Server { origin: _, user: _, url } => url.clone(),
        };
        let plan = Plan { address, url, meeting, branch: reference, cache, received_bytes: limits.received_bytes };
        let damaged = AtomicBool::new(false);
        Ok(Self { plan: Arc::new(plan), path, exclude, limits, timeout, worker: Worker::default(), damaged })
    }

    /// The commit at the head of the branch, as the server says it now.
    ///
    /// # Errors
    /// `source-unavailable` when the server does not say, or has no such branch.
    pub fn head(&mut self) -> Result<String, Problem> {
        let plan = Arc::clone(&self.plan);
        self.converse("list the branches", move |end, refusal| plan.head(end, refusal))
    }

    /// Makes a commit that was the branch's head available, asking the server only where it is not here yet.
    ///
    /// # Errors
    /// `source-unavailable` when it cannot be fetched, or is not in the branch any more.
    pub fn fetch(&mut self, commit: &str) -> Result<Revision, Problem> {
        let id = Self::id(commit)?;
        let damaged = self.damaged.load(Ordering::Acquire);
        if !damaged && let Some(revision) = self.kept(id) {
            return Ok(revision);
        }
        let fresh =
            damaged || kept::packs(&self.plan.cache) >= MAX_PACKS || Repository::open_bare(&self.plan.cache).is_err();
        self.fetch_into(fresh)?;
        if !fresh && self.kept(id).is_none() && self.names(id) {
            // The copy names the commit and cannot read it: it is damaged, and fetching into it mends nothing.
            self.fetch_into(true)?;
        }
        self.damaged.store(false, Ordering::Release);
        self.kept(id).ok_or_else(|| {
            unavailable(format!("the branch does not hold commit {commit} any more"))
                .with_help("the branch moved on meanwhile; its head is asked for again")
        })
    }

    /// Whether `new` is `old` or descends from it. A commit that is not here descends from nothing.
    ///
    /// # Errors
    /// When the kept repository cannot be read.
    pub fn descends(&self, old: &str, new: &str) -> Result<bool, Problem> {
        let (old, new) = (Self::id(old)?, Self::id(new)?);
        if old == new {
            return Ok(true);
        }
        let repository = self.open()?;
        if repository.find_commit(old).is_err() {
            return Ok(false);
        }
        repository.graph_descendant_of(new, old).map_err(|error| self.damage("compare commits in", &error))
    }

    /// The commits that came after `old` and before `new`, the newest first, at most so many.
    ///
    /// # Errors
    /// When the kept repository cannot be read.
    pub fn between(&self, old: &str, new: &str, limit: usize) -> Result<Vec<String>, Problem> {
        let (old, new) = (Self::id(old)?, Self::id(new)?);
        let repository = self.open()?;
        let walk = || -> Result<Vec<String>, git2::Error> {
            let mut walk = repository.revwalk()?;
            walk.push(new)?;
            walk.hide(old)?;
            // The first one is the head itself.
            walk.skip(1).take(limit).map(|id| id.map(|id| id.to_string())).collect()
        };
        walk().map_err(|error| self.damage("compare commits in", &error))
    }

    /// The YAML and JSON files of a commit under the path, sorted by path.
    ///
    /// # Errors
    /// Everything under the path that cannot be read as a file, or the reason why nothing can.
    pub fn snapshot(&self, commit: &str) -> Result<Snapshot, Vec<Problem>> {
        let id = Self::id(commit).map_err(|problem| vec![problem])?;
        let repository = self.open().map_err(|problem| vec![problem])?;
        let revision = self.kept(id).ok_or_else(|| vec![unavailable(format!("commit {commit} is not fetched"))])?;
        match tree::read(&repository, id, &self.path, &self.exclude, &self.limits) {
            Ok(files) => Ok(Snapshot { revision, files }),
            Err(tree::Unread::Problems(problems)) => Err(problems),
            Err(tree::Unread::Git(error)) => Err(vec![self.damage("read", &error)]),
        }
    }

    /// The folder that changes when the branch of a local repository does.
    #[must_use]
    pub fn watch_path(&self) -> Option<PathBuf> {
        match &self.plan.address {
            // Without a repository there is nothing to watch yet; the interval finds it when it comes.
            Address::Local(_) => {
                Repository::open(&self.plan.url).map(|repository| repository.commondir().to_owned()).ok()
            }
            Address::Server { .. } => None,
        }
    }

    fn fetch_into(&self, fresh: bool) -> Result<(), Problem> {
        let plan = Arc::clone(&self.plan);
        self.converse("fetch from", move |end, refusal| {
            if fresh { plan.fetch_afresh(end, refusal) } else { plan.fetch(&plan.cache, end, refusal) }
        })
    }

    /// Whether the kept copy's own reference is this commit.
    fn names(&self, id: Oid) -> bool {
        Repository::open_bare(&self.plan.cache)
            .and_then(|repository| repository.refname_to_id(KEPT))
            .is_ok_and(|named| named == id)
    }

    fn converse<T: Send + 'static>(
        &self,
        operation: &str,
        work: impl FnOnce(Instant, &Refusal) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Problem> {
        let refusal = Refusal::default();
        let theirs = refusal.clone();
        match self.worker.within(self.timeout, move |end| work(end, &theirs)) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(failure)) => Err(self.explain(operation, failure, &refusal)),
            Err(unfinished @ (Unfinished::TimedOut(_) | Unfinished::Busy | Unfinished::Died)) => {
                Err(unavailable(format!("failed to {operation} `{}`: {unfinished}", self.plan.address))
                    .with_help("check the server and the network between; it is asked again"))
            }
        }
    }

    fn explain(&self, operation: &str, failure: Failure, refusal: &Refusal) -> Problem {
        let address = &self.plan.address;
        let error = match failure {
            Failure::Told(problem) => return problem,
            Failure::Git(error) => error,
        };
        if let Some(said) = refusal.take()
            && (said.about == About::Ours || error.class() == ErrorClass::Ssl)
        {
            return unavailable(format!("failed to {operation} `{address}`: {}", said.message)).with_help(said.help);
        }
        unavailable(format!("failed to {operation} `{address}`: {}", plain(error.message()))).with_help(help(&error))
    }

    fn id(commit: &str) -> Result<Oid, Problem> {
        // Abbreviated hashes parse too, and would name another object.
        match Oid::from_str(commit) {
            Ok(id) if commit.len() == 40 => Ok(id),
            Ok(_) | Err(_) => Err(unavailable(format!("`{}` is no full commit hash", plain(commit)))),
        }
    }

    fn open(&self) -> Result<Repository, Problem> {
        Repository::open_bare(&self.plan.cache).map_err(|error| self.damage("open", &error))
    }

    fn kept(&self, id: Oid) -> Option<Revision> {
        let repository = Repository::open_bare(&self.plan.cache).ok()?;
        let commit = repository.find_commit(id).ok()?;
        Some(Revision { id: id.to_string(), time: commit.time().seconds() })
    }

    /// What the kept repository should hold and does not: it is fetched afresh the next time.
    fn damage(&self, operation: &str, error: &git2::Error) -> Problem {
        self.damaged.store(true, Ordering::Release);
        let message = plain(error.message());
        unavailable(format!("failed to {operation} the kept copy of `{}`: {message}", self.plan.address))
            .with_help("it is fetched afresh")
    }
}

fn absolute(path: &Path) -> io::Result<String> {
    let path = std::path::absolute(path)?;
    path.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("the path is not UTF-8"))
}

/// A message of libgit2, a server or a user, on one line and not endless.
fn plain(message: &str) -> String {
    message.trim().chars().take(MAX_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn unavailable(message: String) -> Problem {
    Problem::new(ErrorCode::SourceUnavailable, message)
}

fn help(error: &git2::Error) -> &'static str {
    let class = error.class();
    if error.code() == GitCode::Auth {
        "check `auth`: user, password or key, and what it may read"
    } else if class == ErrorClass::Ssl || error.code() == GitCode::Certificate {
        "give the certificate that issued the server's own as `auth.caFile`"
    } else if error.code() == GitCode::NotFound {
        "check the URL and that the repository exists"
    } else if class == ErrorClass::Net || class == ErrorClass::Http || class == ErrorClass::Os {
        "check the URL, and that the server can be reached from here; it is asked again"
    } else {
        "check the URL with `git ls-remote`"
    }
}

#[cfg(test)]
mod tests;
