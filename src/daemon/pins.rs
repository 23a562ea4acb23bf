//! The pins of a revision that this process has not decided on before: another replica may have, and left them at the target.
//!
//! A pin is a digest, never a verdict: each is verified here again, under the policies in force.

use crate::image::ImageRef;
use crate::settings::TargetSettings;
use crate::snapshot::Revision;
use crate::store::Pins;
use crate::target::{Retry, TargetError};

use super::gate::{Gate, Provisional};

impl Gate {
    /// Makes the pins of a revision known, before it is decided on. Where the target cannot be asked, the revision is
    /// decided on all the same, but what its references are resolved to now binds nobody, and nothing is applied.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(super) async fn recall_pins(&mut self, revision: &Revision) -> Result<(), TargetError> {
        let gate = self.settings.name.clone();
        let is_kept = self.shared.store.pins(&gate, &revision.id).map(|pins| pins.is_some());
        let alone = matches!(self.settings.target, TargetSettings::Directory { .. });
        // What cannot be read is told where the decision rests on it.
        if alone || is_kept.unwrap_or(true) {
            self.provisional = None;
            return Ok(());
        }
        let mine = self.provisional.take().filter(|mine| mine.revision == revision.id);
        match self.pins_at_target(revision).await {
            Ok(Some(pins)) => {
                tracing::info!(gate, revision = revision.id, pins = pins.len(), "pins taken over from the target");
                self.keep_pins(revision, &pins)
            }
            Ok(None) => mine.map_or(Ok(()), |mine| self.keep_pins(revision, &mine.pins)),
            Err(error) => {
                let none = || Provisional { revision: revision.id.clone(), pins: Pins::new() };
                self.provisional = Some(mine.unwrap_or_else(none));
                Err(error)
            }
        }
    }

    async fn pins_at_target(&mut self, revision: &Revision) -> Result<Option<Pins>, TargetError> {
        self.connect().await.map_err(|problem| TargetError {
            problems: vec![problem],
            foreign_images: Vec::new(),
            outcomes: Vec::new(),
            retry: Retry::Later(None),
        })?;
        let Some(target) = &self.target else { return Ok(None) };
        let found = target.pins(&revision.id).await?;
        // A reference with a digest needs no pin, and none may lead elsewhere.
        let is_open = |reference: &str| ImageRef::parse(reference).is_ok_and(|image| image.digest().is_none());
        Ok(found.map(|pins| pins.into_iter().filter(|(reference, _)| is_open(reference)).collect()))
    }

    fn keep_pins(&self, revision: &Revision, pins: &Pins) -> Result<(), TargetError> {
        if pins.is_empty() {
            return Ok(());
        }
        self.shared.store.keep_pins(&self.settings.name, &revision.id, pins).map_err(|problem| TargetError {
            problems: vec![problem],
            foreign_images: Vec::new(),
            outcomes: Vec::new(),
            retry: Retry::Later(None),
        })
    }
}
