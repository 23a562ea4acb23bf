//! Registries: what a tag names, and what is held about a digest. The only edge that speaks to them.
//!
//! Every byte that leaves this room was hashed and bounded. Nothing here decides what evidence proves; an answer that
//! could not be had is a [`Fault`], and never an absence.

mod address;
mod cache;
mod challenge;
mod client;
mod credentials;
mod evidence;
mod exchange;
mod fault;
mod fetch;
mod host;
mod manifest;
mod options;
mod referrers;
mod scheme;
mod token;

use std::future::Future;

pub use client::Client;
pub use credentials::{Credentials, default_credential_files};
pub use options::{Access, HostOptions, Limits, Mirror, MirrorTags, Options, Proxy};

use self::fault::fault;
use self::fetch::Wanted;
use crate::artifact::{Artifact, Evidence, Fault, Lookup};
use crate::image::{Digest, ImageRef, PinnedImage, Repository};
use crate::reason::Reason;

/// What is asked of registries.
pub trait Registry: Send + Sync {
    /// What a reference names now: by its digest where one is written, else by its tag.
    fn resolve(&self, image: &ImageRef) -> impl Future<Output = Result<PinnedImage, Fault>> + Send;

    /// The image behind a digest that is known already.
    fn pinned(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> impl Future<Output = Result<PinnedImage, Fault>> + Send;

    /// What a repository holds about a digest; no more is fetched once `enough` says so.
    fn evidence(
        &self,
        lookup: &Lookup,
        enough: &(dyn Fn(&[Artifact]) -> bool + Send + Sync),
    ) -> impl Future<Output = Evidence> + Send;
}

impl Registry for Client {
    async fn resolve(&self, image: &ImageRef) -> Result<PinnedImage, Fault> {
        let repository = image.repository();
        let tag = match (image.digest(), image.tag_to_resolve()) {
            (Some(digest), _) => return self.pinned(repository, digest).await,
            (None, Some(tag)) => tag,
            (None, None) => return Err(fault(Reason::InvalidReference, format!("`{repository}` has no tag"))),
        };
        let wanted = Wanted { repository, deadline: self.deadline() };
        let found = self.resolve_tag(wanted, tag.as_str()).await?;
        let resolved = found.ok_or_else(|| not_found(&format!("{repository}:{}", tag.as_str())))?;
        let manifest = resolved.fetched.manifest(repository)?;
        self.cache.keep(repository, &manifest.digest, &resolved.fetched);
        let pinned = manifest::pinned(repository, &manifest, self.options.limits.leaves)?;
        Ok(PinnedImage { resolved_by: resolved.mirror, ..pinned })
    }

    async fn pinned(&self, repository: &Repository, digest: &Digest) -> Result<PinnedImage, Fault> {
        let wanted = Wanted { repository, deadline: self.deadline() };
        let manifest = self.manifest(wanted, digest).await?;
        let manifest = manifest.ok_or_else(|| not_found(&format!("{repository}@{digest}")))?;
        manifest::pinned(repository, &manifest, self.options.limits.leaves)
    }

    async fn evidence(&self, lookup: &Lookup, enough: &(dyn Fn(&[Artifact]) -> bool + Send + Sync)) -> Evidence {
        evidence::gather(self, lookup, enough).await
    }
}

fn not_found(name: &str) -> Fault {
    fault(Reason::ImageNotFound, format!("the registry holds no `{name}`"))
}
