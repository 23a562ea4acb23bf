//! A decision, told in the log.

use crate::report::Report;

use super::gate::{Assessed, Gate};

/// Images told in the log of one decision; the report has them all.
const MAX_LOGGED: usize = 20;

impl Gate {
    /// The closing event of a decision, after one for each image that did not pass.
    pub(super) fn log(&self, assessed: &Assessed) {
        let Report { summary, errors, .. } = &assessed.decided.report;
        let gate = self.settings.name.as_str();
        for error in errors.iter().take(MAX_LOGGED) {
            let file = error.file.as_deref().unwrap_or_default();
            tracing::warn!(
                gate,
                code = error.code.code(),
                file,
                line = error.line,
                column = error.column,
                error = error.message,
                "not readable"
            );
        }
        let failed = assessed.decided.judged.iter().filter(|judged| !judged.verdict.findings().is_empty());
        for judged in failed.take(MAX_LOGGED) {
            let Some(finding) = judged.verdict.findings().first() else { continue };
            let site = judged.sites.first();
            tracing::warn!(
                gate,
                image = judged.reference,
                verdict = judged.verdict.name(),
                reason = finding.reason.code(),
                error = finding.message,
                help = finding.help,
                file = site.map(|site| site.file.to_string()),
                line = site.map(|site| site.place.line),
                column = site.map(|site| site.place.column),
                "image did not pass"
            );
        }
        tracing::info!(
            gate,
            revision = assessed.revision.id,
            decision = assessed.decided.decision.answer().name(),
            images = summary.images,
            verified = summary.verified,
            refused = summary.refused,
            undecided = summary.undecided,
            "decided"
        );
    }
}
