//! What is told, and when: on transitions only.

use jiff::Timestamp;
use serde::Serialize;

/// Troubles told in one message; the report has them all.
pub const MAX_TROUBLES: usize = 5;

/// Where a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The newest revision passed.
    Pass,
    /// It was refused.
    Refuse,
    /// It could not be found out.
    Undecided,
    /// Source, configuration or target failed.
    Error,
}

/// What changed at a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The gate.
    pub gate: String,
    /// Its mode.
    pub mode: &'static str,
    /// The newest revision; none where the source was never read.
    pub revision: Option<String>,
    /// Where the gate stands now.
    pub outcome: Outcome,
    /// Where it stood before; none at first.
    pub previous: Option<Outcome>,
    /// Images, verified, refused, undecided.
    pub counts: [usize; 4],
    /// What did not pass, the first few.
    pub troubles: Vec<Trouble>,
    /// How many more there are.
    pub more: usize,
    /// When.
    pub time: Timestamp,
}

/// Something that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The image; none where it is about none.
    pub image: Option<String>,
    /// The reason's or the error's code.
    pub code: &'static str,
    /// What was expected and found.
    pub message: String,
    /// What helps.
    pub help: String,
}

/// What a channel was told last of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Of this revision.
    pub revision: Option<String>,
    /// That it stands so.
    pub outcome: Outcome,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Refuse, Self::Undecided, Self::Error];

    /// The name used in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Refuse => "refuse",
            Self::Undecided => "undecided",
            Self::Error => "error",
        }
    }

    /// The outcome of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

impl Told {
    /// Whether this is news to people after what they heard last: another outcome, or another revision that did not
    /// pass. That all is well at first, or still, is none.
    #[must_use]
    pub fn is_news_after(&self, last: Option<&Self>) -> bool {
        match last {
            None => self.outcome != Outcome::Pass,
            Some(last) if last.outcome != self.outcome => true,
            Some(last) => self.outcome != Outcome::Pass && last.revision != self.revision,
        }
    }

    /// As one line of text, for keeping.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.outcome.name(), self.revision.as_deref().unwrap_or_default())
    }

    /// What [`Told::line`] wrote.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        let (outcome, revision) = line.split_once(' ')?;
        let revision = (!revision.is_empty()).then(|| revision.to_owned());
        Some(Self { revision, outcome: Outcome::named(outcome)? })
    }
}

impl Message {
    /// One sentence made of our own words, names and numbers.
    #[must_use]
    pub fn summary(&self) -> String {
        let [images, verified, refused, undecided] = self.counts;
        let word = match self.outcome {
            Outcome::Pass => "passes",
            Outcome::Refuse => "is refused",
            Outcome::Undecided => "is undecided",
            Outcome::Error => return "the source, the configuration or the target failed".to_owned(),
        };
        let noun = if images == 1 { "image" } else { "images" };
        let mode = if self.mode == "audit" { " (audit)" } else { "" };
        format!("{word}{mode}: {images} {noun}: {verified} verified, {refused} refused, {undecided} undecided")
    }

    /// The first letters of the revision.
    #[must_use]
    pub fn short(&self) -> String {
        self.revision.as_deref().map_or_else(|| "no revision".to_owned(), |id| id.chars().take(12).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_transitions_and_revisions_that_did_not_pass() {
        let told = |outcome, revision: &str| Told { revision: Some(revision.to_owned()), outcome };
        let table = [
            (None, told(Outcome::Pass, "a"), false),
            (None, told(Outcome::Refuse, "a"), true),
            (Some(told(Outcome::Pass, "a")), told(Outcome::Pass, "b"), false),
            (Some(told(Outcome::Pass, "a")), told(Outcome::Undecided, "b"), true),
            (Some(told(Outcome::Refuse, "a")), told(Outcome::Refuse, "a"), false),
            (Some(told(Outcome::Refuse, "a")), told(Outcome::Refuse, "b"), true),
            (Some(told(Outcome::Refuse, "a")), told(Outcome::Pass, "a"), true),
            (Some(told(Outcome::Error, "a")), told(Outcome::Pass, "a"), true),
        ];
        for (last, now, expected) in table {
            assert_eq!(now.is_news_after(last.as_ref()), expected, "{last:?} {now:?}");
        }
    }

    #[test]
    fn what_was_told_is_kept_as_a_line() {
        for told in [
            Told { revision: Some("abc".to_owned()), outcome: Outcome::Refuse },
            Told { revision: None, outcome: Outcome::Error },
        ] {
            assert_eq!(Told::of_line(&told.line()), Some(told));
        }
        for line in ["", "refuse", "odd abc"] {
            assert_eq!(Told::of_line(line), None, "{line}");
        }
    }
}
