//! The metrics of one gate.

use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Registry};

use crate::gate::{Answer, Judged};
use crate::outcome::health::{self, Health};
use crate::outcome::{Action, Outcome};
use crate::reason::{Reason, Weight};
use crate::snapshot::Revision;
use crate::verify::verdict::{Basis, Verdict};

use super::labels::{Drift, Stage, State, Step, Success};
use super::{BUCKETS, Set};

/// Seconds: from a commit to its application.
const COMMIT_BUCKETS: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 86400.0];

/// The metrics of one gate.
pub struct GateMetrics {
    registry: Registry,
    decisions: IntCounterVec,
    state: IntGaugeVec,
    applied_state: IntGaugeVec,
    suspended: IntGaugeVec,
    images: IntGaugeVec,
    revision_time: IntGaugeVec,
    last_success: IntGaugeVec,
    durations: HistogramVec,
    commit_to_applied: HistogramVec,
    verifications: IntCounterVec,
    applied: IntCounterVec,
    drift: IntGaugeVec,
    foreign: IntGaugeVec,
    health: IntGaugeVec,
    object_health: IntGaugeVec,
    exceptions: IntGaugeVec,
    reloads: IntCounterVec,
    fetches: IntCounterVec,
    leader: IntGaugeVec,
}

impl GateMetrics {
    pub(super) fn new(gate: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let set = Set { registry: &registry, gate: Some(gate) };
        let metrics = Self {
            decisions: set.counter("gate_decisions_total", "Decisions on revisions.", &["decision"])?,
            state: set.gauge("gate_state", "1 for the state of the newest revision.", &["state"])?,
            applied_state: set.gauge(
                "gate_applied_state",
                "1 for the decision on the applied revision under the policies in force.",
                &["state"],
            )?,
            suspended: set.gauge("gate_suspended", "1 where the gate rests by its configuration.", &[])?,
            images: set.gauge("gate_images", "Images of the newest revision.", &["verdict", "basis"])?,
            revision_time: set.gauge(
                "gate_revision_timestamp_seconds",
                "Commit time of the revision at this stage.",
                &["stage"],
            )?,
            last_success: set.gauge(
                "gate_last_success_timestamp_seconds",
                "When this step last succeeded.",
                &["step"],
            )?,
            durations: set.histogram(
                "reconcile_duration_seconds",
                "Time of one step of a reconcile.",
                &["step", "result"],
                BUCKETS,
            )?,
            commit_to_applied: set.histogram(
                "commit_to_applied_seconds",
                "From a commit to its application.",
                &[],
                COMMIT_BUCKETS,
            )?,
            verifications: set.counter(
                "image_verifications_total",
                "Verdicts on images, one an image and decision, by the first reason.",
                &["verdict", "reason"],
            )?,
            applied: set.counter("applied_objects_total", "Objects at the target.", &["action"])?,
            drift: set.gauge("drift_objects", "What differs from what was applied.", &["kind"])?,
            foreign: set.gauge(
                "foreign_images",
                "Images in applied objects that nobody verified, where they are told only.",
                &[],
            )?,
            health: set.gauge("gate_health", "1 for how the applied revision fares at the target.", &["state"])?,
            object_health: set.gauge("object_health", "Applied objects by how they fare.", &["status"])?,
            exceptions: set.gauge("exceptions_used", "Images of the newest revision that need an exception.", &[])?,
            reloads: set.counter("policy_reload_total", "Loads of policies.", &["result"])?,
            fetches: set.counter("source_fetch_total", "Looks at the source.", &["result"])?,
            leader: set.gauge("gate_leader", "1 where this replica works for the gate.", &[])?,
            registry,
        };
        metrics.start();
        Ok(metrics)
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Every series that can be counted exists from the start; times come with what they are times of.
    fn start(&self) {
        for answer in Answer::ALL {
            self.decisions.with_label_values(&[answer.name()]);
        }
        for state in State::ALL {
            self.state.with_label_values(&[state.name()]);
        }
        for answer in Answer::ALL {
            self.applied_state.with_label_values(&[answer.name()]);
        }
        self.suspended.with_label_values::<&str>(&[]);
        for (verdict, basis) in verdicts_and_bases() {
            self.images.with_label_values(&[verdict, basis]);
        }
        for reason in Reason::ALL {
            self.verifications.with_label_values(&[weight_name(*reason), reason.code()]);
        }
        self.verifications.with_label_values(&["verified", "none"]);
        for action in Action::ALL {
            self.applied.with_label_values(&[action.name()]);
        }
        for drift in Drift::ALL {
            self.drift.with_label_values(&[drift.name()]);
        }
        for result in Success::ALL {
            self.reloads.with_label_values(&[result.name()]);
            self.fetches.with_label_values(&[result.name()]);
            for step in Step::ALL {
                self.durations.with_label_values(&[step.name(), result.name()]);
            }
        }
        self.commit_to_applied.with_label_values::<&str>(&[]);
        self.exceptions.with_label_values::<&str>(&[]);
        self.foreign.with_label_values::<&str>(&[]);
        self.leader.with_label_values::<&str>(&[]);
        for state in health::State::ALL {
            self.health.with_label_values(&[state.name()]);
        }
        for status in health::Status::ALL {
            self.object_health.with_label_values(&[status.name()]);
        }
    }

    /// This replica works for the gate.
    pub fn leads(&self) {
        self.leader.with_label_values::<&str>(&[]).set(1);
    }

    /// Another replica works for the gate, and its metrics tell where the gate stands.
    pub fn stands_by(&self) {
        self.leader.with_label_values::<&str>(&[]).set(0);
        for gauge in [
            &self.state,
            &self.images,
            &self.drift,
            &self.applied_state,
            &self.health,
            &self.object_health,
            &self.exceptions,
            &self.foreign,
            &self.revision_time,
            &self.last_success,
        ] {
            gauge.reset();
        }
        self.start();
    }

    /// A decision was made.
    pub fn decided(&self, answer: Answer, judged: &[Judged]) {
        self.decisions.with_label_values(&[answer.name()]).inc();
        for judged in judged {
            let reason = judged.verdict.findings().first().map_or("none", |finding| finding.reason.code());
            self.verifications.with_label_values(&[judged.verdict.name(), reason]).inc();
        }
        for labels in verdicts_and_bases() {
            let count = judged.iter().filter(|judged| labels_of(&judged.verdict) == labels).count();
            self.images.with_label_values(&[labels.0, labels.1]).set(whole(count));
        }
        let excepted = |judged: &&Judged| matches!(&judged.verdict, Verdict::Verified(v) if !v.exceptions().is_empty());
        self.exceptions.with_label_values::<&str>(&[]).set(whole(judged.iter().filter(excepted).count()));
    }

    /// The state of the newest revision.
    pub fn state(&self, state: State) {
        for each in State::ALL {
            self.state.with_label_values(&[each.name()]).set(i64::from(each == state));
        }
    }

    /// The decision on the applied revision under the policies in force.
    pub fn applied_state(&self, answer: Answer) {
        for each in Answer::ALL {
            self.applied_state.with_label_values(&[each.name()]).set(i64::from(each == answer));
        }
    }

    /// Whether the gate rests.
    pub fn suspended(&self, rests: bool) {
        self.suspended.with_label_values::<&str>(&[]).set(i64::from(rests));
    }

    /// A revision reached a stage.
    pub fn stage(&self, stage: Stage, revision: &Revision) {
        self.revision_time.with_label_values(&[stage.name()]).set(revision.time);
    }

    /// A revision was applied at this time, in seconds since 1970.
    pub fn applied(&self, revision: &Revision, now: i64) {
        // Beyond a century nobody waits; the bound makes the conversion exact.
        let waited = now.saturating_sub(revision.time).clamp(0, i64::from(u32::MAX));
        let waited = u32::try_from(waited).unwrap_or(u32::MAX);
        self.commit_to_applied.with_label_values::<&str>(&[]).observe(f64::from(waited));
    }

    /// What was done at the target.
    pub fn outcomes(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.applied.with_label_values(&[outcome.action.name()]).inc();
        }
    }

    /// A step ended so, after this time, at this time in seconds since 1970.
    pub fn step(&self, step: Step, result: Success, took: Duration, now: i64) {
        self.durations.with_label_values(&[step.name(), result.name()]).observe(took.as_secs_f64());
        let dated = matches!(step, Step::Fetch | Step::Decide | Step::Apply);
        if dated && result == Success::Ok {
            self.last_success.with_label_values(&[step.name()]).set(now);
        }
        if step == Step::Fetch {
            self.fetches.with_label_values(&[result.name()]).inc();
        }
    }

    /// A policy was loaded, or not.
    pub fn policy_reload(&self, result: Success) {
        self.reloads.with_label_values(&[result.name()]).inc();
    }

    /// What drifts now.
    pub fn drift(&self, kind: Drift, count: usize) {
        self.drift.with_label_values(&[kind.name()]).set(whole(count));
    }
}

impl GateMetrics {
    /// How what was applied fares.
    pub fn health(&self, health: &Health) {
        for state in health::State::ALL {
            self.health.with_label_values(&[state.name()]).set(i64::from(state == health.state));
        }
        for status in health::Status::ALL {
            let count = health.counts.get(&status).copied().unwrap_or_default();
            self.object_health.with_label_values(&[status.name()]).set(whole(count));
        }
    }

    /// Images in applied objects that nobody verified, and that are told only.
    pub fn foreign_images(&self, count: usize) {
        self.foreign.with_label_values::<&str>(&[]).set(whole(count));
    }
}

fn verdicts_and_bases() -> impl Iterator<Item = (&'static str, &'static str)> {
    let verified = Basis::ALL.into_iter().map(|basis| ("verified", basis.name()));
    verified.chain([("refused", "none"), ("undecided", "none")])
}

fn labels_of(verdict: &Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Verified(image) => ("verified", image.basis().name()),
        Verdict::Refused(_) => ("refused", "none"),
        Verdict::Undecided(_) => ("undecided", "none"),
    }
}

fn weight_name(reason: Reason) -> &'static str {
    match reason.weight() {
        Weight::Refused => "refused",
        Weight::Undecided => "undecided",
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
