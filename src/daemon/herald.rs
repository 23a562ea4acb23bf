//! What happened to a gate, told in its cluster as Events. A gate that only audits writes nothing, so it tells nothing.

use crate::assembly;
use crate::gate::Answer;
use crate::outcome::health::{Health, State};
use crate::reason::Problem;
use crate::report::Report;
use crate::settings::Mode;
use crate::snapshot::Revision;
use crate::target::Delivery;
use crate::target::kubernetes::Happening;

use super::gate::Gate;

/// How much of a commit's name is told.
const SHORT: usize = 12;

impl Gate {
    /// Tells of the decision that was just made.
    pub(super) async fn tell_decision(&mut self) {
        if self.settings.mode == Mode::Audit || assembly::cluster(&self.settings).is_none() {
            return;
        }
        // Whether the target can be reached is told when it is needed.
        if self.connect().await.is_err() {
            return;
        }
        let Some(newest) = &self.newest else { return };
        let Report { decision: Some(_), summary, .. } = &newest.decided.report else { return };
        let revision = short(&newest.revision);
        let (happening, message) = match newest.decided.decision.answer() {
            Answer::Pass => (Happening::Passed, format!("{revision} passed: {} images verified", summary.verified)),
            Answer::Refuse => (
                Happening::Refused,
                format!("{revision} refused: {} of {} images{}", summary.refused, summary.images, self.first_reason()),
            ),
            Answer::Undecided => (
                Happening::Undecided,
                format!(
                    "{revision} undecided: {} of {} images{}",
                    summary.undecided,
                    summary.images,
                    self.first_reason()
                ),
            ),
        };
        self.herald(happening, &message);
    }

    /// Tells that a revision is at the target.
    pub(super) fn tell_applied(&self, revision: &Revision, objects: usize) {
        self.herald(Happening::Applied, &format!("{} applied: {objects} objects", short(revision)));
    }

    /// Tells that the target did not take the newest revision.
    pub(super) fn tell_not_applied(&self, problems: &[Problem]) {
        let Some(newest) = &self.newest else { return };
        let first = problems.first().map(|problem| format!(": {problem}")).unwrap_or_default();
        let message = format!("{} not applied, {} problems{first}", short(&newest.revision), problems.len());
        self.herald(Happening::NotApplied, &message);
    }

    /// Tells what differs from what was applied.
    pub(super) fn tell_drift(&self, drift: &[String]) {
        let first = drift.first().map(String::as_str).unwrap_or_default();
        self.herald(
            Happening::Drifted,
            &format!("{} objects differ from what was applied, first {first}", drift.len()),
        );
    }

    /// Tells how what was applied fares, once that is known.
    pub(super) fn tell_health(&self, health: &Health) {
        let revision: String = health.revision.chars().take(SHORT).collect();
        match (health.state, health.objects.first()) {
            (State::Waiting, _) => {}
            (State::Healthy, _) => self.herald(Happening::Healthy, &format!("{revision} is healthy")),
            (State::Failed | State::TimedOut | State::Unknown, first) => {
                let first = first.map(|it| format!(": {}: {}", it.object, it.message)).unwrap_or_default();
                self.herald(Happening::Unhealthy, &format!("{revision} is {}{first}", health.state.name()));
            }
        }
    }

    pub(super) fn herald(&self, happening: Happening, message: &str) {
        match &self.target {
            Some(Delivery::Kubernetes(target)) if self.settings.mode == Mode::Enforce => {
                target.tell(happening, message);
            }
            Some(_) | None => {}
        }
    }

    fn first_reason(&self) -> String {
        let failed = self.newest.iter().flat_map(|it| &it.decided.judged).find_map(|judged| {
            let finding = judged.verdict.findings().first()?;
            let site = judged.sites.first().map(|site| format!(" ({}:{})", site.file, site.place.line));
            Some(format!("; {}: {}{}", judged.reference, finding.reason.code(), site.unwrap_or_default()))
        });
        let unread = self.newest.iter().flat_map(|it| &it.decided.report.errors).next();
        failed.or_else(|| unread.map(|error| format!("; {}: {}", error.code.code(), error.message))).unwrap_or_default()
    }
}

fn short(revision: &Revision) -> String {
    revision.id.chars().take(SHORT).collect()
}
