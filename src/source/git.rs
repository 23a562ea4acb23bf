//! A Git branch as a source: what its head is, and the files of a commit.
//!
//! One kept bare repository a source; the server is asked for its head (`ls-remote`) and fetched from only when told
//! to. Everything here blocks. What is read comes from the object database alone; there is no work tree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use git2::{AutotagOption, Direction, ErrorClass, ErrorCode as GitCode, FetchOptions, Oid, RemoteRedirect, Repository};

use super::address::{Address, Scheme};
use super::auth::{About, Meeting, Refusal, callbacks};
use super::exclude::Exclude;
use super::worker::{Unfinished, Worker};
use super::{Limits, timeouts, tree};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::{Revision, Snapshot};

/// The one reference that is kept.
const KEPT: &str = "refs/sealgate/head";
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

/// What a conversation with the server needs, on whatever thread.
#[derive(Debug)]
struct Plan {
    address: Address,
    /// As libgit2 takes it.
    url: String,
    meeting: Option<Meeting>,
    branch: String,
    cache: PathBuf,
    received_bytes: usize,
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
        let id = self.id(commit)?;
        let damaged = self.damaged.load(Ordering::Acquire);
        if !damaged && let Some(revision) = self.kept(id) {
            return Ok(revision);
        }
        let plan = Arc::clone(&self.plan);
        let fresh = damaged || packs(&self.plan.cache) >= MAX_PACKS || Repository::open_bare(&self.plan.cache).is_err();
        self.converse("fetch from", move |end, refusal| {
            if fresh { plan.fetch_afresh(end, refusal) } else { plan.fetch(&plan.cache, end, refusal) }
        })?;
        self.damaged.store(false, Ordering::Release);
        self.kept(id).ok_or_else(|| {
            self.unavailable(format!("the branch does not hold commit {commit} any more"))
                .with_help("the branch moved on meanwhile; its head is asked for again")
        })
    }

    /// Whether `new` is `old` or descends from it. A commit that is not here descends from nothing.
    ///
    /// # Errors
    /// When the kept repository cannot be read.
    pub fn descends(&self, old: &str, new: &str) -> Result<bool, Problem> {
        let (old, new) = (self.id(old)?, self.id(new)?);
        if old == new {
            return Ok(true);
        }
        let repository = self.open()?;
        if repository.find_commit(old).is_err() {
            return Ok(false);
        }
        repository.graph_descendant_of(new, old).map_err(|error| self.damage("compare commits in", &error))
    }

    /// The YAML and JSON files of a commit under the path, sorted by path.
    ///
    /// # Errors
    /// Everything under the path that cannot be read as a file, or the reason why nothing can.
    pub fn snapshot(&self, commit: &str) -> Result<Snapshot, Vec<Problem>> {
        let id = self.id(commit).map_err(|problem| vec![problem])?;
        let repository = self.open().map_err(|problem| vec![problem])?;
        let revision =
            self.kept(id).ok_or_else(|| vec![self.unavailable(format!("commit {commit} is not fetched"))])?;
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
            Err(unfinished @ (Unfinished::TimedOut(_) | Unfinished::Busy | Unfinished::Died)) => Err(self
                .unavailable(format!("failed to {operation} `{}`: {unfinished}", self.plan.address))
                .with_help("check the server and the network between; it is asked again")),
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
            return self
                .unavailable(format!("failed to {operation} `{address}`: {}", said.message))
                .with_help(said.help);
        }
        self.unavailable(format!("failed to {operation} `{address}`: {}", plain(error.message())))
            .with_help(help(&error))
    }

    fn id(&self, commit: &str) -> Result<Oid, Problem> {
        // Abbreviated hashes parse too, and would name another object.
        match Oid::from_str(commit) {
            Ok(id) if commit.len() == 40 => Ok(id),
            Ok(_) | Err(_) => Err(self.unavailable(format!("`{}` is no full commit hash", plain(commit)))),
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
        self.unavailable(format!("failed to {operation} the kept copy of `{}`: {message}", self.plan.address))
            .with_help("it is fetched afresh")
    }

    fn unavailable(&self, message: String) -> Problem {
        Problem::new(ErrorCode::SourceUnavailable, message)
    }
}

/// Why a conversation failed.
enum Failure {
    Git(git2::Error),
    Told(Problem),
}

impl From<git2::Error> for Failure {
    fn from(error: git2::Error) -> Self {
        Self::Git(error)
    }
}

impl Plan {
    fn head(&self, end: Instant, refusal: &Refusal) -> Result<String, Failure> {
        let repository = match Repository::open_bare(&self.cache) {
            Ok(repository) => repository,
            Err(_) => create(&self.cache)?,
        };
        let mut remote = repository.remote_anonymous(&self.url)?;
        let callbacks = callbacks(self.meeting.as_ref(), refusal, end, self.received_bytes);
        let connection = remote.connect_auth(Direction::Fetch, Some(callbacks), None)?;
        let heads = connection.list()?;
        if let Some(head) = heads.iter().find(|head| head.name() == self.branch) {
            return Ok(head.oid().to_string());
        }
        let branches: Vec<String> =
            heads.iter().filter_map(|head| head.name().strip_prefix("refs/heads/")).take(10).map(plain).collect();
        Err(Failure::Told(self.no_branch(&branches)))
    }

    fn no_branch(&self, branches: &[String]) -> Problem {
        let branch = self.branch.strip_prefix("refs/heads/").unwrap_or(&self.branch);
        let help = match branches {
            [] => "the repository has no branch at all: push one".to_owned(),
            _ => format!("set `branch` to one of those that it has: {}", branches.join(", ")),
        };
        let message = format!("`{}` has no branch `{branch}`", self.address);
        Problem::new(ErrorCode::SourceUnavailable, message).with_help(help)
    }

    fn fetch(&self, cache: &Path, end: Instant, refusal: &Refusal) -> Result<(), Failure> {
        let repository = Repository::open_bare(cache)?;
        sweep(cache);
        let mut remote = repository.remote_anonymous(&self.url)?;
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks(self.meeting.as_ref(), refusal, end, self.received_bytes))
            .follow_redirects(RemoteRedirect::None)
            .download_tags(AutotagOption::None)
            .update_fetchhead(false);
        let refspec = format!("+{}:{KEPT}", self.branch);
        remote.fetch(&[refspec], Some(&mut options), None)?;
        Ok(())
    }

    /// Fetches into a new repository beside the kept one and puts it in its place; the old one stays until then.
    fn fetch_afresh(&self, end: Instant, refusal: &Refusal) -> Result<(), Failure> {
        let fresh = beside(&self.cache, "new");
        let old = beside(&self.cache, "old");
        remove(&fresh)?;
        create(&fresh)?;
        self.fetch(&fresh, end, refusal)?;
        remove(&old)?;
        if self.cache.exists() {
            rename(&self.cache, &old)?;
        }
        rename(&fresh, &self.cache)?;
        remove(&old)?;
        Ok(())
    }
}

/// How a server is met; every option that it could not use is an error.
fn meeting(address: &Address, mut auth: Auth) -> Result<Option<Meeting>, String> {
    let Address::Server { origin, user, url: _ } = address else {
        if auth == Auth::default() {
            return Ok(None);
        }
        return Err("a local repository needs no `auth`".to_owned());
    };
    let user = match (user, auth.username.take()) {
        (Some(written), Some(named)) if *written != named => {
            return Err(format!("the URL names the user `{written}`, `auth.username` names `{named}`"));
        }
        (written, named) => named.or_else(|| written.clone()),
    };
    let Auth { username: _, password_file, ca_file, ssh_key_file, known_hosts_file } = &auth;
    match origin.scheme {
        Scheme::Ssh if password_file.is_some() || ca_file.is_some() => {
            return Err(
                "`passwordFile` and `caFile` are not for ssh://: use `sshKeyFile` and `knownHostsFile`".to_owned()
            );
        }
        Scheme::Ssh if ssh_key_file.is_none() || known_hosts_file.is_none() => {
            return Err("ssh:// needs `auth.sshKeyFile` and `auth.knownHostsFile`".to_owned());
        }
        Scheme::Http | Scheme::Https if ssh_key_file.is_some() || known_hosts_file.is_some() => {
            return Err("`sshKeyFile` and `knownHostsFile` are for ssh:// only".to_owned());
        }
        Scheme::Http | Scheme::Https if password_file.is_some() && user.is_none() => {
            return Err("`auth.passwordFile` needs `auth.username`".to_owned());
        }
        Scheme::Http if ca_file.is_some() => return Err("`caFile` is for https:// only".to_owned()),
        Scheme::Http | Scheme::Https | Scheme::Ssh => {}
    }
    Ok(Some(Meeting { origin: origin.clone(), user, auth }))
}

fn absolute(path: &Path) -> io::Result<String> {
    let path = std::path::absolute(path)?;
    path.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("the path is not UTF-8"))
}

/// A new bare repository, in which redirects are off: listing heads takes that from nowhere else.
fn create(at: &Path) -> Result<Repository, git2::Error> {
    remove(at)?;
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).mkpath(true).external_template(false);
    let repository = Repository::init_opts(at, &options)?;
    repository.config()?.set_str("http.followRedirects", "false")?;
    Ok(repository)
}

/// A sibling of the kept repository.
fn beside(cache: &Path, suffix: &str) -> PathBuf {
    let mut name = cache.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a kept repository, whole or damaged, and nothing else that a wrong path could name.
fn remove(folder: &Path) -> Result<(), git2::Error> {
    let foreign =
        fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) && !folder.join("objects").is_dir();
    if foreign {
        return Err(git2::Error::from_str(&format!("`{}` is in use for something else", folder.display())));
    }
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(git2::Error::from_str(&format!("failed to remove `{}`: {error}", folder.display()))),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), git2::Error> {
    fs::rename(from, to)
        .map_err(|error| git2::Error::from_str(&format!("failed to rename `{}`: {error}", from.display())))
}

/// How many packs a repository has.
fn packs(cache: &Path) -> usize {
    let Ok(entries) = fs::read_dir(cache.join("objects/pack")) else { return 0 };
    entries
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "pack")))
        .count()
}

/// Removes what a fetch that was cut off left behind, once it is old enough to belong to none that still runs.
fn sweep(cache: &Path) {
    const OLD: Duration = Duration::from_hours(1);
    let Ok(entries) = fs::read_dir(cache.join("objects/pack")) else { return };
    for entry in entries.flatten() {
        let partial = entry.file_name().to_string_lossy().contains("_git2_");
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OLD));
        if partial
            && old
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "failed to remove a partial pack");
        }
    }
}

/// A message of libgit2, a server or a user, on one line and not endless.
fn plain(message: &str) -> String {
    message.trim().chars().take(MAX_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
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
