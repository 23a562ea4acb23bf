//! How what was applied fares, told: status, report, metrics, log. Whoever else wants to hear of it hears it here.

use std::sync::Arc;

use crate::outcome::health::{Health, State};
use crate::target::Delivery;

use super::gate::Gate;

impl Gate {
    /// Takes note of how what was applied fares. It decides nothing and undoes nothing.
    pub(super) fn note_health(&mut self) {
        let Some(health) = self.target.as_ref().and_then(Delivery::health) else { return };
        let report = self.status.report.as_ref().filter(|it| it.revision.as_ref() == Some(&health.revision));
        let lacks = report.is_some_and(|report| report.health.as_ref() != Some(&health));
        if self.status.health.as_ref() == Some(&health) && !lacks {
            return;
        }
        let is_news =
            self.status.health.as_ref().is_none_or(|before| {
                (before.state, before.revision.as_str()) != (health.state, health.revision.as_str())
            });
        if is_news {
            self.log_health(&health);
            self.tell_health(&health);
        }
        self.metrics.health(&health);
        let report = self.status.report.as_ref().filter(|_| lacks);
        if let Some(report) = report {
            self.status.report = Some(Arc::new(report.as_ref().clone().with_health(health.clone())));
        }
        self.status.health = Some(health);
        self.shared.board.show(self.status.clone());
    }

    fn log_health(&self, health: &Health) {
        let Health { revision, state, objects, .. } = health;
        let (gate, state_name, lacking) = (self.settings.name.as_str(), state.name(), objects.len());
        let first = objects.first();
        let (object, message) = (first.map(|it| it.object.as_str()), first.map(|it| it.message.as_str()));
        match state {
            State::Waiting => {
                tracing::info!(gate, revision, state = state_name, lacking, "waiting for what was applied");
            }
            State::Healthy => tracing::info!(gate, revision, state = state_name, "what was applied is healthy"),
            State::Failed | State::TimedOut | State::Unknown => tracing::warn!(
                gate,
                revision,
                state = state_name,
                lacking,
                object,
                error = message,
                "what was applied is not healthy"
            ),
        }
    }
}
