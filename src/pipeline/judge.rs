//! Every image of a revision is resolved once and judged, several at a time, each within its time.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use crate::artifact::{Evidence, Fault};
use crate::discovery::site::Site;
use crate::gate::{self, Judged};
use crate::image::reference::ReferenceError;
use crate::image::{Digest, ImageRef, PinnedImage};
use crate::outcome::{Cache, Event, Observer};
use crate::policy::requirement::Demands;
use crate::policy::{Matched, PolicySet};
use crate::reason::{Finding, Reason, Weight};
use crate::registry::Registry;
use crate::store::Store;
use crate::verify;
use crate::verify::verdict::{Judgement, Verdict};

/// What references were resolved to, by their canonical form.
pub type Pins = BTreeMap<String, Digest>;

/// One reference as written, with every site where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// As written.
    pub reference: String,
    /// What it means, or why it means nothing.
    pub image: Result<ImageRef, ReferenceError>,
    /// Where it stands.
    pub sites: Vec<Site>,
    /// Why it is refused whatever it is.
    pub refused: Option<Finding>,
}

/// Judges images under the policies in force.
pub struct Judge<'a, R> {
    /// Where images and evidence come from.
    pub registry: &'a R,
    /// The policies in force.
    pub policies: &'a PolicySet,
    /// Where evidence is kept; none on the command line.
    pub store: Option<&'a Store>,
    /// Who listens.
    pub observer: &'a dyn Observer,
    /// The bounds.
    pub bounds: Bounds,
    /// The time at which policies are read.
    pub now: Timestamp,
}

/// The bounds of judging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Images judged at the same time.
    pub jobs: usize,
    /// For one image, with all retries.
    pub image_timeout: Duration,
    /// For all images together.
    pub decision_timeout: Duration,
}

/// All images, judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judging {
    /// In the order of the entries.
    pub judged: Vec<Judged>,
    /// What the references were resolved to.
    pub pins: Pins,
    /// The longest time that a registry asked us to wait.
    pub retry_after: Option<Duration>,
    /// Until the last reference was resolved; images resolved before it were verified meanwhile.
    pub resolving: Duration,
}

/// The answer to one reference, given once.
type Resolved = Arc<OnceCell<Result<PinnedImage, Fault>>>;

/// What happens in the course of one judging.
struct Round<'a> {
    kept: &'a Pins,
    resolved: Mutex<BTreeMap<String, Resolved>>,
    retry_after: Mutex<Option<Duration>>,
    began: Instant,
    /// Until the last reference was resolved.
    resolving: Mutex<Duration>,
    end: Instant,
}

impl<R: Registry> Judge<'_, R> {
    /// Judges every entry. A panic, a time-out or a fault leaves an image undecided.
    pub async fn judge(&self, entries: Vec<Entry>, kept: &Pins) -> Judging {
        let began = Instant::now();
        let round = Round {
            kept,
            resolved: Mutex::default(),
            retry_after: Mutex::default(),
            began,
            resolving: Mutex::default(),
            end: began + self.bounds.decision_timeout,
        };
        let judged: Vec<Judged> = stream::iter(entries)
            .map(|entry| self.judge_safely(entry, &round))
            .buffered(self.bounds.jobs.max(1))
            .collect()
            .await;
        let (retry_after, resolving) = (*locked(&round.retry_after), *locked(&round.resolving));
        Judging { judged, pins: round.pins(), retry_after, resolving }
    }

    async fn judge_safely(&self, entry: Entry, round: &Round<'_>) -> Judged {
        let Entry { reference, image, sites, refused } = entry;
        let unknown = Judged {
            reference,
            image: image.as_ref().ok().cloned(),
            resolved: None,
            rules: Vec::new(),
            verdict: Verdict::Undecided(vec![Finding::new(Reason::InternalError, "verifying this image panicked")]),
            candidates: Vec::new(),
            sites,
        };
        if let Some(finding) = refused {
            return Judged { verdict: Verdict::Refused(vec![finding]), ..unknown };
        }
        let image = match image {
            Ok(image) => image,
            Err(error) => {
                let finding = Finding::new(Reason::InvalidReference, error.to_string());
                return Judged { verdict: Verdict::Refused(vec![finding]), ..unknown };
            }
        };
        // A panic in here can leave no state behind that a later image would read: caches hold finished values only.
        let judged = AssertUnwindSafe(self.judge_reference(unknown.clone(), &image, round)).catch_unwind().await;
        judged.unwrap_or(unknown)
    }

    async fn judge_reference(&self, mut judged: Judged, image: &ImageRef, round: &Round<'_>) -> Judged {
        match self.admit(image, &judged.sites) {
            Ok(matched) => {
                judged.rules = matched.rules();
                self.judge_matched(&mut judged, image, &matched, round).await;
            }
            Err(findings) => judged.verdict = Verdict::Refused(findings),
        }
        judged
    }

    /// What can be said before any host is asked.
    fn admit(&self, image: &ImageRef, sites: &[Site]) -> Result<Matched<'_>, Vec<Finding>> {
        let namespaces: Vec<Option<String>> = sites.iter().map(|site| site.object.namespace.clone()).collect();
        let matched = self.policies.matching(image.repository(), &namespaces)?;
        gate::unpinnable(sites).map_or(Ok(matched), |finding| Err(vec![finding]))
    }

    async fn judge_matched(&self, judged: &mut Judged, image: &ImageRef, matched: &Matched<'_>, round: &Round<'_>) {
        let deadline = round.end.min(Instant::now() + self.bounds.image_timeout);
        let resolved = match timeout_at(deadline, self.resolve(image, round)).await {
            Ok(Ok(resolved)) => resolved,
            Ok(Err(fault)) => {
                round.note(&fault);
                judged.verdict = verdict_of(&fault);
                return;
            }
            Err(_elapsed) => {
                judged.verdict = self.timed_out("resolving the reference");
                return;
            }
        };
        judged.resolved = Some(resolved.clone());
        let demands = matched.demands(&resolved.digest, self.now);
        match timeout_at(deadline, self.judge_pinned(&resolved, &demands, round)).await {
            Ok(Judgement { verdict, candidates }) => {
                judged.verdict = verdict;
                judged.candidates = candidates;
            }
            Err(_elapsed) => judged.verdict = self.timed_out("looking for its signatures"),
        }
    }

    fn timed_out(&self, doing: &str) -> Verdict {
        let limit = self.bounds.image_timeout;
        Verdict::Undecided(vec![Finding::new(Reason::TimedOut, format!("{doing} took longer than {limit:?}"))])
    }

    /// Resolves a reference, once for all entries that mean the same; a kept pin is never resolved again.
    async fn resolve(&self, image: &ImageRef, round: &Round<'_>) -> Result<PinnedImage, Fault> {
        let cell = Arc::clone(locked(&round.resolved).entry(image.canonical()).or_default());
        let kept = round.kept.get(&image.canonical()).copied();
        let resolved = cell.get_or_init(|| self.resolve_now(image, kept)).await.clone();
        *locked(&round.resolving) = round.began.elapsed();
        resolved
    }

    async fn resolve_now(&self, image: &ImageRef, kept: Option<Digest>) -> Result<PinnedImage, Fault> {
        self.observer.observe(&Event::CacheLookup { cache: Cache::Pins, hit: kept.is_some() });
        let Some(digest) = image.digest().copied().or(kept) else { return self.registry.resolve(image).await };
        if let Some(kept) = self.store.and_then(|store| store.evidence(image.repository(), &digest)) {
            return Ok(kept.image);
        }
        self.registry.pinned(image.repository(), &digest).await
    }

    async fn judge_pinned(&self, image: &PinnedImage, demands: &Demands, round: &Round<'_>) -> Judgement {
        let lookups = verify::lookups(image, demands);
        let kept = match self.store {
            Some(store) if !lookups.is_empty() => store.evidence(&image.repository, &image.digest),
            Some(_) | None => None,
        };
        let mut evidence = Vec::with_capacity(lookups.len());
        let mut fetched = false;
        for lookup in &lookups {
            let enough = |artifacts: &[_]| verify::satisfied(image, lookup, artifacts, demands, self.now);
            let known = kept.as_ref().and_then(|kept| {
                let same = |one: &&Evidence| one.repository == lookup.repository && one.digest == lookup.digest;
                kept.evidence.iter().find(same).filter(|one| enough(&one.artifacts))
            });
            self.observer.observe(&Event::CacheLookup { cache: Cache::Evidence, hit: known.is_some() });
            if let Some(known) = known {
                evidence.push(known.clone());
                continue;
            }
            let found = self.registry.evidence(lookup, &enough).await;
            found.faults.iter().for_each(|fault| round.note(fault));
            evidence.push(found);
            fetched = true;
        }
        let judgement = verify::verify(image, &evidence, demands, self.now);
        let fresh = fetched || (lookups.is_empty() && kept.is_none());
        if let (Some(store), Verdict::Verified(_), true) = (self.store, &judgement.verdict, fresh)
            && let Err(problem) = store.keep_evidence(image, &evidence)
        {
            // The verdict does not rest on it: the next look asks the registry again.
            tracing::warn!(image = %image.repository, error = %problem, "evidence not kept");
        }
        judgement
    }
}

impl Round<'_> {
    fn note(&self, fault: &Fault) {
        let mut longest = locked(&self.retry_after);
        *longest = (*longest).max(fault.retry_after);
    }

    /// The kept pins and those that were added.
    fn pins(&self) -> Pins {
        let mut pins = self.kept.clone();
        for (reference, cell) in locked(&self.resolved).iter() {
            if let Some(Ok(image)) = cell.get() {
                pins.insert(reference.clone(), image.digest);
            }
        }
        pins
    }
}

fn verdict_of(fault: &Fault) -> Verdict {
    let finding = Finding::new(fault.reason, fault.message.clone());
    match fault.reason.weight() {
        Weight::Refused => Verdict::Refused(vec![finding]),
        Weight::Undecided => Verdict::Undecided(vec![finding]),
    }
}

/// A lock whose holder cannot have left its value half-written: every critical section is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
