//! `sealgate verify --explain`: what was found about each image, under every rule and authority.
//!
//! A registry that keeps what passes through it, so that the same evidence can be told once more; judging knows nothing
//! of it.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::artifact::{Artifact, Evidence, Fault, Lookup};
use crate::image::{Digest, ImageRef, PinnedImage, Repository};
use crate::policy::PolicySet;
use crate::registry::Registry;
use crate::report::text::printable;
use crate::report::{Image, Report};
use crate::verify::tree::{self, Branch, Twig};
use crate::verify::verdict::Candidate;

/// Candidates told of one authority.
const MAX_CANDIDATES: usize = 100;

/// A registry, listened to.
pub(super) struct Listening<'a, R> {
    registry: &'a R,
    heard: Mutex<Heard>,
}

/// What a registry answered.
#[derive(Default)]
struct Heard {
    images: Vec<PinnedImage>,
    evidence: Vec<Evidence>,
}

impl<'a, R> Listening<'a, R> {
    pub(super) fn new(registry: &'a R) -> Self {
        Self { registry, heard: Mutex::default() }
    }

    /// Nothing is left half-done where a holder panics: every critical section is one push, or reads.
    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted(&self, image: Result<PinnedImage, Fault>) -> Result<PinnedImage, Fault> {
        if let Ok(image) = &image {
            self.heard().images.push(image.clone());
        }
        image
    }
}

impl<R: Registry> Registry for Listening<'_, R> {
    async fn resolve(&self, image: &ImageRef) -> Result<PinnedImage, Fault> {
        self.noted(self.registry.resolve(image).await)
    }

    async fn pinned(&self, repository: &Repository, digest: &Digest) -> Result<PinnedImage, Fault> {
        self.noted(self.registry.pinned(repository, digest).await)
    }

    async fn evidence(&self, lookup: &Lookup, enough: &(dyn Fn(&[Artifact]) -> bool + Send + Sync)) -> Evidence {
        let evidence = self.registry.evidence(lookup, enough).await;
        self.heard().evidence.push(evidence.clone());
        evidence
    }
}

/// The tree of every image of a report.
pub(super) fn tree<R>(report: &Report, listening: &Listening<'_, R>, policies: &PolicySet, now: Timestamp) -> String {
    let heard = listening.heard();
    let mut page = String::new();
    for image in &report.images {
        line(&mut page, "", &format!("{} {}", image.verdict.unwrap_or("undecided"), shown(image)));
        let pinned = heard.images.iter().find(|one| names(image, one));
        let branches = pinned.and_then(|pinned| branches(pinned, &heard.evidence, policies, now));
        match branches {
            Some(branches) => each(&mut page, "", &branches, rule),
            None => each(&mut page, "", &image.reasons, |page, indent, reason| {
                line(page, indent, &format!("{}: {}", reason.code, reason.message));
            }),
        }
        page.push('\n');
    }
    page
}

fn shown(image: &Image) -> &str {
    image.pinned.as_deref().unwrap_or(&image.reference)
}

fn names(image: &Image, pinned: &PinnedImage) -> bool {
    image.digest == Some(pinned.digest) && image.name.as_deref() == Some(pinned.repository.to_string().as_str())
}

/// What each rule for an image found; nothing where no rule holds for it.
fn branches(image: &PinnedImage, evidence: &[Evidence], policies: &PolicySet, now: Timestamp) -> Option<Vec<Branch>> {
    let matched = policies.matching(&image.repository, &[]).ok()?;
    Some(tree::explain(image, evidence, &matched.demands(&image.digest, now), now))
}

fn rule(page: &mut String, indent: &str, branch: &Branch) {
    let Branch { policy, rule, asks, authorities } = branch;
    line(page, indent, &format!("rule `{rule}` of policy `{policy}` asks {asks}"));
    each(page, indent, authorities, authority);
}

fn authority(page: &mut String, indent: &str, twig: &Twig) {
    let Twig { name, signer, gaps, candidates } = twig;
    line(page, indent, &format!("authority `{name}`: {signer}"));
    let told = candidates.iter().take(MAX_CANDIDATES).map(candidate);
    let left = candidates.len().saturating_sub(MAX_CANDIDATES);
    let more = (left > 0).then(|| format!("{left} more candidates"));
    let mut leaves: Vec<String> = gaps.iter().cloned().chain(told).chain(more).collect();
    if leaves.is_empty() {
        leaves.push("nothing was found".to_owned());
    }
    each(page, indent, &leaves, |page, indent, leaf| line(page, indent, leaf));
}

fn candidate(candidate: &Candidate) -> String {
    let Candidate { kind, digest, signer, failed, message } = candidate;
    let by = signer.as_ref().map(|signer| format!(" by {signer}")).unwrap_or_default();
    let outcome = failed.map_or_else(|| "counts".to_owned(), |check| format!("fails at `{}`", check.name()));
    format!("{} {digest}{by} {outcome}: {message}", kind.name())
}

/// The items of one level, each behind its branch; what is below it is indented by the branch's continuation.
fn each<T>(page: &mut String, indent: &str, items: &[T], tell: impl Fn(&mut String, &str, &T)) {
    let indent = indent.replace("├─ ", "│  ").replace("└─ ", "   ");
    for (position, item) in items.iter().enumerate() {
        let last = position.saturating_add(1) == items.len();
        tell(page, &format!("{indent}{}", if last { "└─ " } else { "├─ " }), item);
    }
}

fn line(page: &mut String, indent: &str, text: &str) {
    let _ = writeln!(page, "{indent}{}", printable(text));
}
