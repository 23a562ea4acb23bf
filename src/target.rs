//! Targets apply an approved release, whole.

pub mod directory;
pub mod kubernetes;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use crate::gate::release::ApprovedRelease;
use crate::image::Digest;
use crate::outcome::Outcome;
use crate::outcome::health::Health;
use crate::reason::Problem;

/// Where a release goes.
pub trait Target: Send + Sync {
    /// Asks whether the target would take the release; writes nothing.
    ///
    /// # Errors
    /// Every object that it would not take, or that the target cannot be reached.
    fn dry_run(&self, release: &ApprovedRelease) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Applies the release. Before each write it asks `go_on`, and leaves off where that says no.
    ///
    /// # Errors
    /// When something could not be written; what was done before is in the error.
    fn apply(
        &self,
        release: &ApprovedRelease,
        go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> impl Future<Output = Result<Vec<Outcome>, TargetError>> + Send;

    /// The revision that the target holds, where it is whole.
    ///
    /// # Errors
    /// When the target cannot be read.
    fn applied(&self) -> impl Future<Output = Result<Option<String>, TargetError>> + Send;

    /// What differs at the target from the release that was applied.
    ///
    /// # Errors
    /// When the target cannot be read.
    fn drift(&self, release: &ApprovedRelease) -> impl Future<Output = Result<Vec<String>, TargetError>> + Send;
}

/// The target of a gate, whichever it is.
pub enum Delivery {
    /// A folder.
    Directory(directory::Directory),
    /// A cluster.
    Kubernetes(Box<kubernetes::Kubernetes>),
}

impl Delivery {
    /// Waits until something at the target may differ from what was applied; for ever, where the target cannot tell.
    pub async fn changed(&self) {
        match self {
            Self::Directory(_) => std::future::pending().await,
            Self::Kubernetes(target) => target.changed().await,
        }
    }

    /// What the references of a revision were resolved to, where another replica left that at the target. Whoever uses a
    /// digest of these verifies it: they are no verdicts.
    ///
    /// # Errors
    /// When the target cannot be read.
    pub async fn pins(&self, revision: &str) -> Result<Option<BTreeMap<String, Digest>>, TargetError> {
        match self {
            Self::Directory(_) => Ok(None),
            Self::Kubernetes(target) => Box::pin(target.pins(revision)).await,
        }
    }

    /// How what was applied last fares, where the target tells.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        match self {
            Self::Directory(_) => None,
            Self::Kubernetes(target) => target.health(),
        }
    }

    /// Waits until what was applied fares otherwise; for ever, where the target cannot tell.
    pub async fn fared(&self) {
        match self {
            Self::Directory(_) => std::future::pending().await,
            Self::Kubernetes(target) => target.fared().await,
        }
    }

    /// Images in applied objects that nobody verified and that the target was told to report: `(object, image)`.
    #[must_use]
    pub fn foreign_images(&self) -> Vec<(String, String)> {
        match self {
            Self::Directory(_) => Vec::new(),
            Self::Kubernetes(target) => target.foreign_images(),
        }
    }
}

impl Target for Delivery {
    async fn dry_run(&self, release: &ApprovedRelease) -> Result<(), TargetError> {
        match self {
            Self::Directory(target) => target.dry_run(release).await,
            Self::Kubernetes(target) => Box::pin(target.dry_run(release)).await,
        }
    }

    async fn apply(
        &self,
        release: &ApprovedRelease,
        go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Vec<Outcome>, TargetError> {
        match self {
            Self::Directory(target) => target.apply(release, go_on).await,
            Self::Kubernetes(target) => Box::pin(target.apply(release, go_on)).await,
        }
    }

    async fn applied(&self) -> Result<Option<String>, TargetError> {
        match self {
            Self::Directory(target) => target.applied().await,
            Self::Kubernetes(target) => target.applied().await,
        }
    }

    async fn drift(&self, release: &ApprovedRelease) -> Result<Vec<String>, TargetError> {
        match self {
            Self::Directory(target) => target.drift(release).await,
            Self::Kubernetes(target) => Box::pin(target.drift(release)).await,
        }
    }
}

/// Why a target did not take a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetError {
    /// Everything that is wrong: `target-rejected` or `target-unavailable`, with the place of the object.
    pub problems: Vec<Problem>,
    /// Images that the target's answer holds and nobody verified: `(object, image)`.
    pub foreign_images: Vec<(String, String)>,
    /// What was done before it failed.
    pub outcomes: Vec<Outcome>,
    /// Whether trying again can help.
    pub retry: Retry,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not before something else changes.
    Never,
    /// Later; after this time, where the target said so.
    Later(Option<Duration>),
}
