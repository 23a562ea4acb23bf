//! What people are told of a gate: when it stands otherwise than before, and the last word on each revision.

use std::sync::Arc;

use crate::notify::message::{MAX_TROUBLES, Message, Outcome, Told, Trouble};
use crate::report::{Image, Report};

use super::gate::{Gate, now};

impl Gate {
    /// Hands on what changed. It only fills queues: nothing here waits for anybody.
    pub(super) fn tell(&mut self) {
        let Some(outcome) = self.status.state.and_then(Outcome::named) else { return };
        let decided = self.newest.as_ref().filter(|_| outcome != Outcome::Error || self.turned_away);
        let revision = match decided {
            Some(newest) => Some(newest.revision.id.clone()),
            None => self.state.observed.as_ref().map(|revision| revision.id.clone()),
        };
        // Why the source fails says nothing about a commit; why the target does, says it about the one that it was given.
        let is_about_commit = decided.is_some();
        let told = Told { revision, outcome };
        let is_news = told.is_news_after(self.told.as_ref());
        let is_other_status = is_about_commit && self.last_status.as_ref() != Some(&told);
        if is_news || is_other_status {
            let message = Arc::new(self.message(&told));
            if is_news {
                self.shared.outbox.announce(&message);
            }
            if is_other_status {
                self.shared.outbox.state(&message);
                self.last_status = Some(told.clone());
            }
        }
        if self.told.as_ref() != Some(&told) {
            if let Err(problem) = self.shared.store.keep_told(&self.settings.name, &told.line()) {
                tracing::warn!(gate = self.settings.name, error = %problem, "what was told is not kept");
            }
            self.told = Some(told);
        }
    }

    fn message(&self, told: &Told) -> Message {
        let report = self.newest.as_ref().map(|newest| &newest.decided.report);
        let report = report.filter(|report| report.revision == told.revision);
        let counts = report.map(|report| {
            let crate::report::Summary { images, verified, refused, undecided } = report.summary;
            [images, verified, refused, undecided]
        });
        let failures = self.failures.iter().map(|problem| Trouble {
            image: None,
            code: problem.code.code(),
            message: problem.to_string(),
            help: problem.help.clone(),
        });
        let mut troubles: Vec<Trouble> = failures.chain(report.into_iter().flat_map(of_report)).collect();
        let more = troubles.len().saturating_sub(MAX_TROUBLES);
        troubles.truncate(MAX_TROUBLES);
        Message {
            gate: self.settings.name.clone(),
            mode: self.status.mode,
            revision: told.revision.clone(),
            outcome: told.outcome,
            previous: self.told.as_ref().map(|told| told.outcome),
            counts: counts.unwrap_or_default(),
            troubles,
            more,
            time: now(),
        }
    }
}

fn of_report(report: &Report) -> Vec<Trouble> {
    let errors = report.errors.iter().map(|error| {
        let file = error.file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default();
        Trouble {
            image: None,
            code: error.code.code(),
            message: format!("{file}{}", error.message),
            help: error.help.clone(),
        }
    });
    errors.chain(report.images.iter().filter_map(first_reason)).collect()
}

/// The first reason of an image that did not pass; a verified one has none.
fn first_reason(image: &Image) -> Option<Trouble> {
    let reason = image.reasons.first()?;
    Some(Trouble {
        image: Some(image.reference.clone()),
        code: reason.code.code(),
        message: reason.message.clone(),
        help: reason.help.clone(),
    })
}
