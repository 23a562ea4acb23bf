//! What the decision log holds, as data: entries as they are kept, and as they are told. Who writes and reads them is
//! elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Summary;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A revision was decided on.
    Decided,
    /// A revision is at the target from now on.
    Applied,
}

/// Something to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// When, RFC 3339.
    pub time: String,
    /// The gate.
    pub gate: String,
    /// What happened.
    pub event: Event,
    /// The gate's mode.
    pub mode: String,
    /// The commit.
    pub revision: String,
    /// What was decided; none where something else happened.
    pub decision: Option<String>,
    /// The counts of the report.
    pub summary: Summary,
    /// The report, whole; none where something else happened.
    pub report: Option<Value>,
}

/// An entry as it is told: without its report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Its number; the first is 1, and none is left out.
    pub sequence: u64,
    /// When, RFC 3339.
    pub time: String,
    /// The gate.
    pub gate: String,
    /// What happened.
    pub event: Event,
    /// The gate's mode.
    pub mode: String,
    /// The commit.
    pub revision: String,
    /// What was decided.
    pub decision: Option<String>,
    /// The counts of the report.
    pub summary: Summary,
    /// The earlier entry that had the same report, word for word.
    pub same_as: Option<u64>,
    /// The entry's hash, which holds those of all entries before it.
    pub hash: String,
}

/// An entry with its report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kept {
    /// The entry.
    #[serde(flatten)]
    pub told: Told,
    /// The report; none where none was asked for, none belongs to it, or it was too large to keep.
    pub report: Option<Value>,
}

/// What is asked of the log; the newest answer first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Of this gate only.
    pub gate: Option<String>,
    /// Of revisions that begin so.
    pub revision: Option<String>,
    /// Of decisions about an image that this text means.
    pub image: Option<String>,
    /// Decisions only.
    pub decisions_only: bool,
    /// Before the entry of this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
    /// Whether the reports are wanted.
    pub reports: Reports,
}

/// Whether reports are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reports {
    /// They are left out.
    #[default]
    Without,
    /// They come along.
    With,
}

impl Told {
    /// Whether it is asked for, as far as that can be said without its report.
    #[must_use]
    pub fn answers(&self, asked: &Asked) -> bool {
        asked.gate.as_ref().is_none_or(|gate| *gate == self.gate)
            && asked.revision.as_ref().is_none_or(|begin| self.revision.starts_with(begin.as_str()))
            && asked.before.is_none_or(|number| self.sequence < number)
            && (!asked.decisions_only || self.event == Event::Decided)
    }
}
