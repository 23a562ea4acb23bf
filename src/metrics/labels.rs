//! The closed lists from which labels come.

use crate::gate::Answer;

/// The state of a gate's newest revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Every image verified.
    Pass,
    /// At least one refused.
    Refuse,
    /// At least one undecided.
    Undecided,
    /// Source, configuration or target failed.
    Error,
}

/// A stage that a revision reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Seen at the source.
    Observed,
    /// Every image verified.
    Passed,
    /// At the target.
    Applied,
}

/// A step of a reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Asking the source.
    Fetch,
    /// Reading files and finding images.
    Discover,
    /// Resolving references.
    Resolve,
    /// Verifying images.
    Verify,
    /// Deciding, from files to report.
    Decide,
    /// Asking the target.
    DryRun,
    /// Writing to the target.
    Apply,
}

/// How something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    /// Well.
    Ok,
    /// Not.
    Failed,
}

/// What drifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// An object at the target.
    Object,
    /// A tag at the registry.
    Tag,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Refuse, Self::Undecided, Self::Error];

    /// The metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Refuse => "refuse",
            Self::Undecided => "undecided",
            Self::Error => "error",
        }
    }
}

impl From<Answer> for State {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Pass => Self::Pass,
            Answer::Refuse => Self::Refuse,
            Answer::Undecided => Self::Undecided,
        }
    }
}

impl Stage {
    /// The metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Passed => "passed",
            Self::Applied => "applied",
        }
    }
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 7] =
        [Self::Fetch, Self::Discover, Self::Resolve, Self::Verify, Self::Decide, Self::DryRun, Self::Apply];

    /// The metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Discover => "discover",
            Self::Resolve => "resolve",
            Self::Verify => "verify",
            Self::Decide => "decide",
            Self::DryRun => "dry-run",
            Self::Apply => "apply",
        }
    }
}

impl Success {
    /// The metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "success",
            Self::Failed => "failure",
        }
    }
}

impl Drift {
    /// The metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Tag => "tag",
        }
    }
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 3] = [Self::Observed, Self::Passed, Self::Applied];
}

impl Success {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ok, Self::Failed];
}

impl Drift {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Object, Self::Tag];
}
