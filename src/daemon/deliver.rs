//! What passed goes to the target, and stays there.

use std::sync::Arc;
use std::time::Instant;

use crate::assembly;
use crate::gate::release::ApprovedRelease;
use crate::gate::{Answer, Decision, Judged};
use crate::http::status::ForeignImage;
use crate::image::ImageRef;
use crate::metrics::{Drift, Stage, Step};
use crate::reason::{Finding, Problem, Reason};
use crate::registry::Registry as _;
use crate::settings::{Mode, ObjectDrift};
use crate::target::{Delivery, Retry, Target as _, TargetError};
use crate::verify::verdict::Verdict;

use super::gate::{Gate, now};
use super::look::{Failure, Looked};

/// Images that nobody verified and that the status lists; the metric counts all.
const MAX_FOREIGN: usize = 100;

impl Gate {
    /// Brings a release to the target: dry run, then every write, unless the gate only audits.
    pub(super) async fn deliver(&mut self, release: &ApprovedRelease) -> Result<(), Failure> {
        if self.is_there(release).await? {
            return self.arrived(release);
        }
        let started = Instant::now();
        let stop = self.stop.clone();
        let answer = stop.run_until_cancelled(self.target().await?.dry_run(release)).await.ok_or(Failure::Stopped)?;
        self.timed(Step::DryRun, answer.is_ok(), started);
        answer.map_err(|error| self.turned_away(error))?;
        if self.settings.mode == Mode::Audit {
            return Ok(());
        }
        let started = Instant::now();
        let still_ours = self.still_ours();
        let go_on = move || !stop.is_cancelled() && still_ours();
        let applied = self.target().await?.apply(release, &go_on).await;
        self.timed(Step::Apply, applied.is_ok(), started);
        let outcomes = applied.map_err(|error| self.turned_away(error))?;
        self.metrics.outcomes(&outcomes);
        tracing::info!(
            gate = self.settings.name,
            revision = release.revision().id,
            objects = outcomes.len(),
            "applied"
        );
        self.tell_applied(release.revision(), outcomes.len());
        self.arrived(release)
    }

    /// Whether the target holds the release already, as it should be: a restart writes nothing.
    pub(super) async fn is_there(&mut self, release: &ApprovedRelease) -> Result<bool, Failure> {
        let same = self.state.applied.as_ref() == Some(release.revision());
        if !same || self.settings.mode == Mode::Audit {
            return Ok(false);
        }
        let applied = self.target().await?.applied().await.map_err(|error| self.turned_away(error))?;
        if applied.as_deref() != Some(release.revision().id.as_str()) {
            return Ok(false);
        }
        let drift = self.target().await?.drift(release).await.map_err(|error| self.turned_away(error))?;
        self.note_drift(&drift);
        Ok(drift.is_empty() || self.settings.drift.objects != ObjectDrift::Correct)
    }

    /// Tells of images in applied objects that nobody verified, where they do not refuse the revision.
    fn note_foreign(&mut self) {
        let found = self.target.as_ref().map(Delivery::foreign_images).unwrap_or_default();
        self.metrics.foreign_images(found.len());
        let listed = found.into_iter().take(MAX_FOREIGN);
        let listed: Vec<_> = listed.map(|(object, image)| ForeignImage { object, image }).collect();
        for image in listed.iter().filter(|image| !self.status.foreign_images.contains(image)) {
            tracing::warn!(
                gate = self.settings.name,
                object = image.object,
                image = image.image,
                "an object at the target holds an image that nobody verified"
            );
        }
        self.status.foreign_images = listed;
    }

    pub(super) fn arrived(&mut self, release: &ApprovedRelease) -> Result<(), Failure> {
        let revision = release.revision();
        self.note_foreign();
        self.metrics.stage(Stage::Applied, revision);
        if self.state.applied.as_ref() != Some(revision) {
            self.metrics.applied(revision, now().as_second());
            self.record_applied(&revision.id)?;
        }
        self.state.applied = Some(revision.clone());
        self.status.applied_decision = Some(Answer::Pass.name());
        self.metrics.applied_state(Answer::Pass);
        self.keep_state()
    }

    /// Nothing new: is what was applied still there?
    pub(super) async fn keep_true(&mut self) -> Result<Looked, Failure> {
        self.look_at_tags().await;
        let Some(newest) = &self.newest else { return Ok(Looked::AsBefore) };
        let revision = newest.revision.clone();
        let Decision::Pass(release) = newest.decided.decision.clone() else { return Ok(Looked::AsBefore) };
        let watched = self.settings.drift.objects != ObjectDrift::Off && self.settings.mode == Mode::Enforce;
        if !watched || self.state.applied.as_ref() != Some(&revision) {
            return Ok(Looked::AsBefore);
        }
        let drift = self.target().await?.drift(&release).await.map_err(|error| self.turned_away(error))?;
        self.note_drift(&drift);
        self.note_foreign();
        if drift.is_empty() || self.settings.drift.objects != ObjectDrift::Correct || !self.policies.broken.is_empty() {
            return Ok(Looked::AsBefore);
        }
        // Every write needs a pass under the policies in force at this moment.
        self.decide_and_deliver(&revision).await.map_err(|failure| match failure {
            // Whoever stands in the way of a correction may leave without a new revision.
            Failure::Final => Failure::Again(None),
            Failure::Again(_) | Failure::Stopped => failure,
        })
    }

    pub(super) fn note_drift(&mut self, drift: &[String]) {
        if !drift.is_empty() && self.status.drift != drift {
            tracing::warn!(
                gate = self.settings.name,
                objects = drift.len(),
                first = drift.first(),
                "drift at the target"
            );
            self.tell_drift(drift);
        }
        self.metrics.drift(Drift::Object, drift.len());
        drift.clone_into(&mut self.status.drift);
    }

    /// Tags that moved under the applied revision are told, never deployed.
    pub(super) async fn look_at_tags(&mut self) {
        let Some(interval) = self.settings.drift.tags else { return };
        let due = self.tags_looked_at.is_none_or(|last| last.duration_until(now()).unsigned_abs() >= interval);
        let Some(newest) = self.newest.as_ref().filter(|_| due) else { return };
        let mut moved = 0_usize;
        for (reference, digest) in &newest.decided.pins {
            let Ok(image) = ImageRef::parse(reference) else { continue };
            if image.digest().is_some() {
                continue;
            }
            match self.client.resolve(&image).await {
                Ok(found) if found.digest != *digest => {
                    moved = moved.saturating_add(1);
                    tracing::warn!(gate = self.settings.name, image = reference, pinned = %digest, found = %found.digest, "tag moved");
                }
                Ok(_) => {}
                Err(fault) => {
                    tracing::warn!(gate = self.settings.name, image = reference, error = %fault, "tag not looked at");
                }
            }
        }
        self.metrics.drift(Drift::Tag, moved);
        self.tags_looked_at = Some(now());
    }

    /// The target; connected to when it is first needed.
    pub(super) async fn target(&mut self) -> Result<&Delivery, Failure> {
        if let Err(problem) = self.connect().await {
            return Err(self.fail(vec![problem], Retry::Later(None)));
        }
        self.target.as_ref().ok_or(Failure::Final)
    }

    /// Connects to the target, where that was not done yet: the only place that does.
    pub(super) async fn connect(&mut self) -> Result<(), Problem> {
        if self.target.is_none() {
            let target = assembly::target(&self.settings).await?;
            self.target = Some(self.under_seat(target));
        }
        Ok(())
    }

    /// The target did not take the release.
    pub(super) fn turned_away(&mut self, error: TargetError) -> Failure {
        if self.stop.is_cancelled() || !self.still_ours()() {
            return Failure::Stopped;
        }
        let TargetError { problems, foreign_images, outcomes, retry } = error;
        self.turned_away = true;
        self.metrics.outcomes(&outcomes);
        self.tell_not_applied(&problems);
        if !foreign_images.is_empty() {
            self.refuse_foreign(&foreign_images);
        }
        self.fail(problems, retry)
    }

    /// Images that the target's answer holds and nobody verified refuse the revision after all.
    pub(super) fn refuse_foreign(&mut self, images: &[(String, String)]) {
        let Some(newest) = &mut self.newest else { return };
        let found = images.iter().map(|(object, image)| Judged {
            reference: image.clone(),
            image: ImageRef::parse(image).ok(),
            resolved: None,
            rules: Vec::new(),
            verdict: Verdict::Refused(vec![Finding::new(
                Reason::UnverifiedImageInObject,
                format!("the target's answer for {object} holds this image, which is not in the revision"),
            )]),
            candidates: Vec::new(),
            sites: Vec::new(),
        });
        newest.decided.judged.extend(found);
        newest.decided.decision = Decision::Refuse(Vec::new());
        newest.decided.report = newest.decided.report.clone().refused(&newest.decided.judged);
        self.metrics.decided(Answer::Refuse, &newest.decided.judged);
        let report = Arc::new(newest.decided.report.clone());
        self.status.report = Some(Arc::clone(&report));
        self.note_decision(&report);
    }
}
