//! The decision log, as a gate writes it: a decision is kept before anything follows from it.

use crate::reason::Problem;
use crate::report::Report;
use crate::report::history::{Asked, Event, News};
use crate::target::Retry;

use super::gate::{Gate, now};
use super::look::Failure;

/// Entries of a gate that are looked through at a start, to learn since when it stands as it does.
const LOOKED_THROUGH: usize = 500;

/// A decision, and since when it is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) revision: String,
    pub(super) decision: Option<String>,
    pub(super) since: String,
}

impl Gate {
    /// Keeps a decision. Where that fails, nothing may follow from it.
    pub(super) fn record_decision(&mut self, report: &Report) -> Result<(), Failure> {
        let kept = self.keep_decision(report);
        kept.map_err(|problem| self.fail(vec![problem], Retry::Later(None)))
    }

    /// Keeps what nothing follows from; a failure is told beside it.
    pub(super) fn note_decision(&mut self, report: &Report) {
        if let Err(problem) = self.keep_decision(report) {
            tracing::warn!(gate = self.settings.name, error = %problem, help = problem.help, "decision not kept");
            self.failures.push(problem);
        }
    }

    fn keep_decision(&mut self, report: &Report) -> Result<(), Problem> {
        let time = now().to_string();
        let revision = report.revision.clone().unwrap_or_default();
        let value = serde_json::to_value(report).map_err(|error| super::gate::unkept(&error))?;
        let decision = report.decision.map(str::to_owned);
        let same = |standing: &Standing| standing.revision == revision && standing.decision == decision;
        let is_newest = self.state.observed.as_ref().is_some_and(|observed| observed.id == revision);
        if is_newest && !self.standing.as_ref().is_some_and(same) {
            let standing = Standing { revision: revision.clone(), decision: decision.clone(), since: time.clone() };
            self.standing = Some(standing);
        }
        self.status.decided_since = self.standing.as_ref().map(|standing| standing.since.clone());
        let summary = report.summary;
        let (event, report) = (Event::Decided, Some(value));
        self.keep(&News { time, event, revision, decision, summary, report, ..self.news() })
    }

    /// Keeps that a revision is at the target from now on.
    pub(super) fn record_applied(&mut self, revision: &str) -> Result<(), Failure> {
        let time = now().to_string();
        self.status.applied_since = Some(time.clone());
        let news = News { time, event: Event::Applied, revision: revision.to_owned(), ..self.news() };
        self.keep(&news).map_err(|problem| self.fail(vec![problem], Retry::Later(None)))
    }

    fn news(&self) -> News {
        News {
            time: String::new(),
            gate: self.settings.name.clone(),
            event: Event::Decided,
            mode: self.status.mode.to_owned(),
            revision: String::new(),
            decision: None,
            summary: crate::report::Summary::default(),
            report: None,
        }
    }

    fn keep(&self, news: &News) -> Result<(), Problem> {
        let told = self.shared.store.record(news)?;
        tracing::info!(gate = told.gate, revision = told.revision, entry = told.sequence, hash = told.hash, "kept");
        Ok(())
    }

    /// Learns from the log since when the gate stands as it does.
    pub(super) fn remember(&mut self) {
        let gate = Some(self.settings.name.clone());
        let asked = Asked { gate, limit: LOOKED_THROUGH, ..Asked::default() };
        let entries = match self.shared.store.decisions(&asked) {
            Ok(entries) => entries,
            Err(problem) => {
                tracing::warn!(gate = self.settings.name, error = %problem, "the decision log cannot be read");
                return;
            }
        };
        let told: Vec<_> = entries.into_iter().map(|kept| kept.told).collect();
        let is =
            |of: &Option<crate::snapshot::Revision>, id: &str| of.as_ref().is_some_and(|revision| revision.id == id);
        let applied = told.iter().find(|told| told.event == Event::Applied && is(&self.state.applied, &told.revision));
        self.status.applied_since = applied.map(|told| told.time.clone());
        let mut newest =
            told.iter().filter(|told| told.event == Event::Decided && is(&self.state.observed, &told.revision));
        if let Some(last) = newest.next() {
            let first = newest.take_while(|told| told.decision == last.decision).last().unwrap_or(last);
            self.standing = Some(Standing {
                revision: last.revision.clone(),
                decision: last.decision.clone(),
                since: first.time.clone(),
            });
        }
        self.status.decided_since = self.standing.as_ref().map(|standing| standing.since.clone());
    }
}
