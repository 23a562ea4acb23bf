//! How what was applied fares at the target.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// The objects that are told one by one; the counts have all.
pub const MAX_OBJECTS: usize = 50;

/// How a release fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The revision.
    pub revision: String,
    /// All in all.
    pub state: State,
    /// How many objects fare how.
    pub counts: BTreeMap<Status, usize>,
    /// The objects that are not as they should be, at most [`MAX_OBJECTS`].
    pub objects: Vec<ObjectHealth>,
}

/// How one object fares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectHealth {
    /// The object.
    pub object: String,
    /// How it fares.
    pub status: Status,
    /// What is missing.
    pub message: String,
}

/// How a release fares, all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Something is still coming about, and its time is not over.
    Waiting,
    /// Every object is as it should be.
    Healthy,
    /// An object failed.
    Failed,
    /// Something is still not as it should be, though its time is over.
    TimedOut,
    /// It cannot be found out.
    Unknown,
}

/// How an object fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// As it should.
    Current,
    /// It is coming about.
    InProgress,
    /// It will not come about.
    Failed,
    /// It is being deleted.
    Terminating,
    /// It is not there.
    NotFound,
    /// It cannot be found out.
    Unknown,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Healthy, Self::Failed, Self::TimedOut, Self::Unknown];

    /// The name used in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Healthy => "healthy",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Unknown => "unknown",
        }
    }
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Current, Self::InProgress, Self::Failed, Self::Terminating, Self::NotFound, Self::Unknown];

    /// The name used in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::InProgress => "in-progress",
            Self::Failed => "failed",
            Self::Terminating => "terminating",
            Self::NotFound => "not-found",
            Self::Unknown => "unknown",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
