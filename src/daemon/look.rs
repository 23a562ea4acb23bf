//! One look of a gate: is there a new revision, does it pass, is it at the target, does it stay there.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::gate::{Answer, Decision};
use crate::metrics::{Stage, State, Step, Success};
use crate::reason::{ErrorCode, Problem};
use crate::report::Error;
use crate::snapshot::Revision;
use crate::target::{Retry, TargetError};
use crate::trigger::Trigger;

use super::backoff::{self, Backoff};
use super::gate::{Assessed, Gate, now, panicked};
use super::post::Post;

/// How often a decision is begun anew because the policies changed while it was made; after that it waits.
const MAX_RESTARTS: usize = 5;
/// Superseded commits that are told of one fetch.
const MAX_SUPERSEDED: usize = 20;

/// What a look came to.
pub(super) enum Looked {
    /// There was nothing new; what was planned stays planned.
    AsBefore,
    /// A decision was made. It is tried again after this time, if at all.
    Decided(Option<Duration>),
}

/// What a failure means for the next look.
pub(super) enum Failure {
    /// Try again, after this time at least.
    Again(Option<Duration>),
    /// Only another revision, policy or configuration helps.
    Final,
    /// We are leaving.
    Stopped,
}

impl Gate {
    /// Looks once, and plans when to try again what did not pass.
    pub(super) async fn look(&mut self, triggers: &BTreeSet<Trigger>) {
        if self.settings.suspend {
            return self.publish();
        }
        // Held while this looks: a seat is not given up in the middle of work.
        let (_working, triggers) = match self.post(triggers).await {
            Post::Works(working, triggers) => (working, triggers),
            Post::StandsBy => return self.stand_by(),
        };
        let before = std::mem::take(&mut self.failures);
        let (retry, is_final) = match self.steps(&triggers).await {
            Ok(Looked::AsBefore) => {
                self.failures = before;
                return self.publish();
            }
            Ok(Looked::Decided(retry)) => (retry, false),
            Err(Failure::Again(asked)) => (Some(Backoff::FAILED.wait(self.attempts, asked)), false),
            Err(Failure::Final) => (None, true),
            Err(Failure::Stopped) => return,
        };
        self.attempts = if retry.is_some() { self.attempts.saturating_add(1) } else { 0 };
        self.retry_at = retry.map(|retry| Instant::now() + retry);
        self.gave_up = is_final;
        self.publish();
    }

    async fn steps(&mut self, triggers: &BTreeSet<Trigger>) -> Result<Looked, Failure> {
        let policies_changed = self.reload_policies().await;
        // Whatever else is written beside a policy (a log of ours, say) is no reason to look.
        if !policies_changed && triggers.iter().all(|trigger| *trigger == Trigger::PolicyChanged) {
            return Ok(Looked::AsBefore);
        }
        if !policies_changed && triggers.iter().all(|trigger| *trigger == Trigger::TargetChanged) {
            return if self.waits() { Ok(Looked::AsBefore) } else { self.keep_true().await };
        }
        let stop = self.stop.clone();
        let head = stop.run_until_cancelled(self.observe()).await.ok_or(Failure::Stopped)??;
        self.status.ready = true;
        if self.is_due(&head, policies_changed, triggers) {
            return self.decide_and_deliver(&head).await;
        }
        if self.waits() { Ok(Looked::AsBefore) } else { self.keep_true().await }
    }

    /// Whether the target turned the newest revision away and is not to be asked again yet.
    fn waits(&self) -> bool {
        self.turned_away && self.retry_at.is_some_and(|at| at > Instant::now())
    }

    /// Whether the newest revision must be decided on.
    fn is_due(&self, head: &Revision, policies_changed: bool, triggers: &BTreeSet<Trigger>) -> bool {
        let asked = [Trigger::Start, Trigger::Reload, Trigger::Retry].iter().any(|trigger| triggers.contains(trigger));
        let Some(newest) = &self.newest else { return true };
        // Source and target work again after a failure: say so.
        let recovered = self.status.state == Some(State::Error.name()) && !self.gave_up && !self.waits();
        let expired = newest.good_until.is_some_and(|end| end <= now());
        asked || policies_changed || recovered || expired || newest.revision.id != head.id
    }

    /// Asks the source for its head, makes it available, and holds it where history was rewritten.
    async fn observe(&mut self) -> Result<Revision, Failure> {
        let started = Instant::now();
        let (git, old) = (Arc::clone(&self.git), self.state.observed.clone());
        let allow_rewrite = self.settings.source.allow_rewrite;
        let look = move || {
            let mut git = git.lock().unwrap_or_else(PoisonError::into_inner);
            let head = git.head()?;
            let revision = git.fetch(&head)?;
            let old = old.filter(|old| old.id != head && !allow_rewrite);
            match old {
                Some(old) if !git.descends(&old.id, &head)? => Err(rewritten(&old.id, &head)),
                Some(_) | None => Ok(revision),
            }
        };
        let found = tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| Err(panicked(&error)));
        let success = if found.is_ok() { Success::Ok } else { Success::Failed };
        self.metrics.step(Step::Fetch, success, started.elapsed(), now().as_second());
        let revision = found.map_err(|problem| self.fail(vec![problem], Retry::Later(None)))?;
        self.metrics.stage(Stage::Observed, &revision);
        if self.state.observed.as_ref() != Some(&revision) {
            self.attempts = 0;
            self.note_superseded(&revision);
            self.state.observed = Some(revision.clone());
            self.keep_state()?;
        }
        Ok(revision)
    }

    /// Tells of the commits between the head before and this one: nobody decides on them any more.
    fn note_superseded(&mut self, head: &Revision) {
        let Some(before) = &self.state.observed else { return };
        let git = self.git.lock().unwrap_or_else(PoisonError::into_inner);
        match git.between(&before.id, &head.id, MAX_SUPERSEDED) {
            Ok(skipped) => {
                for revision in &skipped {
                    tracing::info!(gate = self.settings.name, revision, by = head.id, "superseded");
                }
                self.status.superseded = skipped;
            }
            // After a rewritten history there is no between.
            Err(problem) => tracing::debug!(gate = self.settings.name, error = %problem, "skipped commits not listed"),
        }
    }

    /// Decides on the newest revision, and brings it to the target where it passed.
    pub(super) async fn decide_and_deliver(&mut self, head: &Revision) -> Result<Looked, Failure> {
        self.turned_away = false;
        for _ in 0..MAX_RESTARTS {
            let recalled = self.recall_pins_timely(head).await?;
            let assessed = self.assess_timed(head).await?;
            if let Some(provisional) = &mut self.provisional {
                provisional.pins.clone_from(&assessed.decided.pins);
            }
            let decision = assessed.decided.decision.clone();
            // What was decided under policies that are no longer in force counts for nothing.
            if self.reload_policies().await || (matches!(decision, Decision::Pass(_)) && self.withheld(head)) {
                continue;
            }
            let retry = self.conclude(assessed);
            self.tell_decision().await;
            if let Some(report) = self.status.report.clone() {
                self.record_decision(&report)?;
            }
            self.assess_applied().await;
            return match decision {
                Decision::Pass(release) => {
                    recalled.map_err(|error| self.turned_away(error))?;
                    self.deliver(&release).await.map(|()| Looked::Decided(retry))
                }
                Decision::Refuse(_) | Decision::Undecided => Ok(Looked::Decided(retry)),
            };
        }
        let problem =
            Problem::new(ErrorCode::PolicyUnavailable, "the policies change faster than a revision is decided");
        Err(self.fail(vec![problem], Retry::Later(None)))
    }

    async fn recall_pins_timely(&mut self, head: &Revision) -> Result<Result<(), TargetError>, Failure> {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.recall_pins(head)).await.ok_or(Failure::Stopped)
    }

    /// Whether broken policies keep a new revision from passing.
    fn withheld(&self, head: &Revision) -> bool {
        !self.policies.broken.is_empty() && self.state.applied.as_ref() != Some(head)
    }

    async fn assess_timed(&mut self, revision: &Revision) -> Result<Assessed, Failure> {
        let started = Instant::now();
        let stop = self.stop.clone();
        let assessed = stop.run_until_cancelled(self.assess(revision)).await.ok_or(Failure::Stopped)?;
        let success = if assessed.is_ok() { Success::Ok } else { Success::Failed };
        self.metrics.step(Step::Decide, success, started.elapsed(), now().as_second());
        assessed.map_err(|problems| self.fail(problems, Retry::Later(None)))
    }

    /// Takes note of a decision, everywhere; returns when to try again.
    pub(super) fn conclude(&mut self, assessed: Assessed) -> Option<Duration> {
        let decided = &assessed.decided;
        let answer = decided.decision.answer();
        self.metrics.decided(answer, &decided.judged);
        self.metrics.state(State::from(answer));
        self.status.state = Some(State::from(answer).name());
        if answer == Answer::Pass {
            self.metrics.stage(Stage::Passed, &assessed.revision);
            self.state.passed = Some(assessed.revision.clone());
        }
        self.log(&assessed);
        let readable = decided.report.errors.is_empty();
        let backoff = backoff::after(answer, &decided.judged, readable);
        let retry = backoff.map(|backoff| backoff.wait(self.attempts, decided.retry_after));
        self.status.report = Some(Arc::new(decided.report.clone()));
        self.newest = Some(assessed);
        retry
    }

    /// Decides again on the revision at the target, where that is not the newest: it may no longer pass.
    async fn assess_applied(&mut self) {
        let Some(applied) = self.state.applied.clone() else { return };
        if let Some(newest) = self.newest.as_ref().filter(|newest| newest.revision.id == applied.id) {
            self.status.applied_decision = newest.decided.report.decision;
            self.metrics.applied_state(newest.decided.decision.answer());
            return;
        }
        match self.assess(&applied).await {
            Ok(assessed) => {
                let answer = assessed.decided.decision.answer();
                if answer != Answer::Pass {
                    tracing::warn!(
                        gate = self.settings.name,
                        revision = applied.id,
                        decision = answer.name(),
                        "the applied revision no longer passes; it is left running"
                    );
                }
                self.status.applied_decision = Some(answer.name());
                self.metrics.applied_state(answer);
                self.note_decision(&assessed.decided.report);
            }
            Err(problems) => {
                self.status.applied_decision = Some(Answer::Undecided.name());
                self.metrics.applied_state(Answer::Undecided);
                self.failures.extend(problems);
            }
        }
    }

    pub(super) fn timed(&self, step: Step, ok: bool, started: Instant) {
        let success = if ok { Success::Ok } else { Success::Failed };
        self.metrics.step(step, success, started.elapsed(), now().as_second());
    }

    /// Takes note of what failed outside the decision.
    pub(super) fn fail(&mut self, problems: Vec<Problem>, retry: Retry) -> Failure {
        for problem in &problems {
            tracing::warn!(gate = self.settings.name, code = problem.code.code(), error = %problem, help = problem.help, "gate failed");
        }
        self.metrics.state(State::Error);
        self.status.state = Some(State::Error.name());
        self.failures.extend(problems);
        match retry {
            Retry::Never => Failure::Final,
            Retry::Later(asked) => Failure::Again(asked),
        }
    }

    pub(super) fn keep_state(&mut self) -> Result<(), Failure> {
        let kept = self.shared.store.keep_gate_state(&self.settings.name, &self.state);
        kept.map_err(|problem| self.fail(vec![problem], Retry::Later(None)))
    }

    fn publish(&mut self) {
        let id = |revision: &Option<Revision>| revision.as_ref().map(|revision| revision.id.clone());
        self.status.observed = id(&self.state.observed);
        self.status.passed = id(&self.state.passed);
        self.status.applied = id(&self.state.applied);
        self.status.errors = self.failures.iter().chain(&self.policies.broken).map(Error::from).collect();
        let wait = self.retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        self.status.retry_in_seconds = wait.map(|wait| wait.as_secs());
        self.status.reconciled = Some(now().to_string());
        self.shared.board.show(self.status.clone());
        self.tell();
    }
}

fn rewritten(old: &str, new: &str) -> Problem {
    Problem::new(ErrorCode::HistoryRewritten, format!("the head {new} does not descend from {old}, the last one seen"))
        .with_help("if the branch was rewritten on purpose, set `allowRewrite: true` on the source; else restore it")
}
