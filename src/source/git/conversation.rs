//! One conversation with a Git server: listing its heads, or fetching from it. Runs on a thread that may be left behind.

use std::path::{Path, PathBuf};
use std::time::Instant;

use git2::{AutotagOption, Direction, FetchOptions, RemoteRedirect, Repository};

use super::kept;
use super::plain;
use crate::reason::{ErrorCode, Problem};
use crate::source::address::Address;
use crate::source::auth::{Meeting, Refusal, callbacks};

/// The one reference that is kept.
pub(super) const KEPT: &str = "refs/sealgate/head";
/// What a conversation with the server needs, on whatever thread.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) address: Address,
    /// As libgit2 takes it.
    pub(super) url: String,
    pub(super) meeting: Option<Meeting>,
    pub(super) branch: String,
    pub(super) cache: PathBuf,
    pub(super) received_bytes: usize,
}

/// Why a conversation failed.
pub(super) enum Failure {
    Git(git2::Error),
    Told(Problem),
}

impl From<git2::Error> for Failure {
    fn from(error: git2::Error) -> Self {
        Self::Git(error)
    }
}

impl Plan {
    pub(super) fn head(&self, end: Instant, refusal: &Refusal) -> Result<String, Failure> {
        let repository = match Repository::open_bare(&self.cache) {
            Ok(repository) => repository,
            Err(_) => kept::create(&self.cache)?,
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

    pub(super) fn fetch(&self, cache: &Path, end: Instant, refusal: &Refusal) -> Result<(), Failure> {
        let repository = Repository::open_bare(cache)?;
        kept::sweep(cache);
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
    pub(super) fn fetch_afresh(&self, end: Instant, refusal: &Refusal) -> Result<(), Failure> {
        let fresh = kept::beside(&self.cache, "new");
        let old = kept::beside(&self.cache, "old");
        kept::remove(&fresh)?;
        kept::create(&fresh)?;
        self.fetch(&fresh, end, refusal)?;
        if Instant::now() >= end {
            // Nobody waits for this any more, and another may be at work where it would put things.
            return Err(git2::Error::from_str("the time is up").into());
        }
        kept::remove(&old)?;
        if self.cache.exists() {
            kept::rename(&self.cache, &old)?;
        }
        kept::rename(&fresh, &self.cache)?;
        kept::remove(&old)?;
        Ok(())
    }
}
