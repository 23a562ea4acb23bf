//! Content by tag and by digest: mirrors first where they may answer, every byte hashed before it is looked at.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use tokio::time::Instant;

use super::client::{Ask, Client};
use super::exchange::Answer;
use super::fault::{self, fault};
use super::manifest::{self, ACCEPT, Manifest};
use super::options::{Mirror, MirrorTags};
use crate::artifact::Fault;
use crate::image::{Digest, Host, Repository};
use crate::outcome::RegistryOperation;
use crate::reason::Reason;

/// What is fetched from a repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) repository: &'a Repository,
    pub(super) deadline: Instant,
}

/// Bytes from a registry, with what it calls them.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) bytes: Bytes,
    pub(super) content_type: Option<String>,
}

/// What a tag names, with who said so.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) fetched: Fetched,
    /// The mirror that answered; none where the registry itself did.
    pub(super) mirror: Option<Host>,
}

/// A place that may hold a repository.
struct Place<'a> {
    host: &'a Host,
    path: String,
}

impl Client {
    /// The manifest that an image's tag names now; `None` where the registry says that there is none.
    ///
    /// Mirrors that are allowed to say so are asked first; the registry itself has the last word.
    pub(super) async fn resolve_tag(&self, wanted: Wanted<'_>, tag: &str) -> Result<Option<Resolved>, Fault> {
        let what = format!("manifests/{tag}");
        for mirror in self.mirrors(wanted.repository).iter().filter(|mirror| mirror.tags == MirrorTags::Resolve) {
            let place = Place::of_mirror(mirror, wanted.repository);
            match self.get(&place, &what, RegistryOperation::Resolve, wanted.deadline).await {
                Ok(Some(fetched)) => return Ok(Some(Resolved { fetched, mirror: Some(mirror.host.clone()) })),
                Ok(None) => {}
                Err(error) => passed_over(&place, &error),
            }
        }
        let origin = Place::origin(wanted.repository);
        let fetched = self.get(&origin, &what, RegistryOperation::Resolve, wanted.deadline).await?;
        Ok(fetched.map(|fetched| Resolved { fetched, mirror: None }))
    }

    /// The manifest that a tag of evidence names now. Mirrors are not asked: one that lags behind would hide signatures.
    pub(super) async fn evidence_tag(&self, wanted: Wanted<'_>, tag: &str) -> Result<Option<Fetched>, Fault> {
        let what = format!("manifests/{tag}");
        self.get(&Place::origin(wanted.repository), &what, RegistryOperation::Manifest, wanted.deadline).await
    }

    /// A manifest by its digest.
    pub(super) async fn manifest(&self, wanted: Wanted<'_>, digest: &Digest) -> Result<Option<Manifest>, Fault> {
        let cap = self.options.limits.manifest_bytes;
        let Some(fetched) = self.by_digest(wanted, RegistryOperation::Manifest, digest, cap).await? else {
            return Ok(None);
        };
        let manifest = fetched.manifest(wanted.repository)?;
        self.cache.keep(wanted.repository, digest, &fetched);
        Ok(Some(manifest))
    }

    /// A blob by its digest, of at most `cap` bytes.
    pub(super) async fn blob(&self, wanted: Wanted<'_>, digest: &Digest, cap: usize) -> Result<Option<Bytes>, Fault> {
        let fetched = self.by_digest(wanted, RegistryOperation::Blob, digest, cap).await?;
        if let Some(fetched) = &fetched {
            self.cache.keep(wanted.repository, digest, fetched);
        }
        Ok(fetched.map(|fetched| fetched.bytes))
    }

    async fn by_digest(
        &self,
        wanted: Wanted<'_>,
        operation: RegistryOperation,
        digest: &Digest,
        cap: usize,
    ) -> Result<Option<Fetched>, Fault> {
        if let Some(fetched) = self.cache.get(wanted.repository, digest) {
            return Ok(Some(fetched));
        }
        let folder = if operation == RegistryOperation::Blob { "blobs" } else { "manifests" };
        let what = format!("{folder}/{digest}");
        for mirror in self.mirrors(wanted.repository) {
            let place = Place::of_mirror(mirror, wanted.repository);
            match self.get_capped(&place, &what, operation, cap, wanted.deadline).await {
                Ok(Some(fetched)) if Digest::of(&fetched.bytes) == *digest => return Ok(Some(fetched)),
                Ok(Some(_)) => passed_over(&place, &fault(Reason::DigestMismatch, "the bytes have another digest")),
                Ok(None) => {}
                Err(error) => passed_over(&place, &error),
            }
        }
        let fetched =
            self.get_capped(&Place::origin(wanted.repository), &what, operation, cap, wanted.deadline).await?;
        match fetched {
            Some(fetched) if Digest::of(&fetched.bytes) != *digest => Err(mismatch(wanted.repository, &what, &fetched)),
            other => Ok(other),
        }
    }

    fn mirrors(&self, repository: &Repository) -> &[Mirror] {
        &self.settings(repository.host()).mirrors
    }

    async fn get(
        &self,
        place: &Place<'_>,
        what: &str,
        operation: RegistryOperation,
        deadline: Instant,
    ) -> Result<Option<Fetched>, Fault> {
        self.get_capped(place, what, operation, self.options.limits.manifest_bytes, deadline).await
    }

    async fn get_capped(
        &self,
        place: &Place<'_>,
        what: &str,
        operation: RegistryOperation,
        cap: usize,
        deadline: Instant,
    ) -> Result<Option<Fetched>, Fault> {
        let accept = if operation == RegistryOperation::Blob { "application/octet-stream, */*" } else { ACCEPT };
        let ask = Ask { host: place.host, path: &place.path, what, operation, accept, cap, deadline };
        let answer = self.ask(&ask).await?;
        if answer.status != StatusCode::OK {
            return if fault::is_absence(&answer) {
                Ok(None)
            } else {
                Err(fault::of_status(&ask.subject(), &answer).fault)
            };
        }
        fetched(&ask, answer).map(Some)
    }
}

impl<'a> Place<'a> {
    fn origin(repository: &'a Repository) -> Self {
        Self { host: repository.host(), path: repository.path().to_owned() }
    }

    fn of_mirror(mirror: &'a Mirror, repository: &Repository) -> Self {
        Self { host: &mirror.host, path: mirror.path(repository.path()) }
    }
}

/// The bytes of a success, if the registry's own word about their digest is true.
fn fetched(ask: &Ask<'_>, answer: Answer) -> Result<Fetched, Fault> {
    let claimed = answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
    if let Some(Ok(claimed)) = claimed.map(str::parse::<Digest>)
        && claimed != Digest::of(&answer.body)
    {
        let message = format!("{}: the bytes have another digest than the registry's header says", ask.subject());
        return Err(fault(Reason::DigestMismatch, message));
    }
    Ok(Fetched { content_type: content_type(&answer.headers), bytes: answer.body })
}

pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}

impl Fetched {
    /// The manifest that the bytes are.
    pub(super) fn manifest(&self, repository: &Repository) -> Result<Manifest, Fault> {
        manifest::read(&self.bytes, self.content_type.as_deref()).map_err(|message| {
            self.web_page(repository).unwrap_or_else(|| fault(Reason::Malformed, format!("`{repository}`: {message}")))
        })
    }

    /// The fault where a web page came: whatever its status, it is not the registry's word.
    fn web_page(&self, repository: &Repository) -> Option<Fault> {
        let html = self.content_type.as_deref().is_some_and(|kind| manifest::essence(kind) == "text/html");
        let message = format!("`{repository}`: a web page came where something else was asked for");
        html.then(|| fault(Reason::RegistryUnavailable, message))
    }
}

fn mismatch(repository: &Repository, what: &str, fetched: &Fetched) -> Fault {
    if let Some(page) = fetched.web_page(repository) {
        return page;
    }
    tracing::warn!(%repository, what, "a registry answered with bytes of another digest");
    fault(Reason::DigestMismatch, format!("`{repository}` ({what}): the bytes have another digest"))
}

/// A mirror that gave nothing usable decides nothing.
fn passed_over(place: &Place<'_>, error: &Fault) {
    tracing::warn!(mirror = place.host.as_str(), error = %error, "a mirror gave nothing usable");
}
