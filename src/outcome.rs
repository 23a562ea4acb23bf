//! What a target did, and the events that edges report. Metrics listen to them; edges do not know metrics.

pub mod health;

use std::time::Duration;

use jiff::Timestamp;

/// What happened to one object at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The object, as `kind/namespace/name`, or the path of a file.
    pub object: String,
    /// What was done.
    pub action: Action,
    /// Why, where it failed.
    pub message: Option<String>,
}

impl Outcome {
    /// What was done with an object, and no more to say.
    #[must_use]
    pub fn new(object: impl Into<String>, action: Action) -> Self {
        Self { object: object.into(), action, message: None }
    }

    /// An object that could not be written, and why.
    #[must_use]
    pub fn failed(object: impl Into<String>, message: String) -> Self {
        Self { message: Some(message), ..Self::new(object, Action::Failed) }
    }
}

/// What was done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is new.
    Created,
    /// It was changed.
    Configured,
    /// It was deleted and made anew, since a field of it cannot be changed.
    Recreated,
    /// It was as it should be.
    Unchanged,
    /// It had left the revision and was removed.
    Pruned,
    /// It could not be written.
    Failed,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Configured, Self::Recreated, Self::Unchanged, Self::Pruned, Self::Failed];

    /// The name used in metrics and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Recreated => "recreated",
            Self::Unchanged => "unchanged",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
        }
    }
}

/// Something that an edge did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// One HTTP request to a registry, a token server included.
    RegistryRequest {
        /// The registry's host with its port, as the configuration names it.
        registry: &'a str,
        /// What was asked.
        operation: RegistryOperation,
        /// The HTTP status, or 0 where none came.
        code: u16,
        /// From the request to the end of the answer.
        duration: Duration,
    },
    /// What is known of a trust root that is kept up to date.
    TrustRoot {
        /// The host of its mirror.
        root: &'a str,
        /// When it was last refreshed; never, where none.
        refreshed: Option<Timestamp>,
        /// Until when it may be relied on.
        good_until: Option<Timestamp>,
    },
    /// A mirror of a trust root was asked.
    TrustRootRefresh {
        /// Its host.
        root: &'a str,
        /// Whether it gave a root.
        succeeded: bool,
    },
    /// A look into a cache.
    CacheLookup {
        /// Which one.
        cache: Cache,
        /// Whether it was there.
        hit: bool,
    },
    /// A push event, or what pretends to be one.
    Hook {
        /// What became of it.
        result: HookResult,
    },
}

/// What becomes of a push event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookResult {
    /// It was signed: its gate looks.
    Accepted,
    /// It was not signed, or not for a gate that listens.
    Rejected,
    /// It was larger than any event is.
    TooLarge,
    /// There were too many.
    Limited,
}

/// What a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegistryOperation {
    /// A manifest by tag.
    Resolve,
    /// A manifest by digest.
    Manifest,
    /// A blob.
    Blob,
    /// The referrers API.
    Referrers,
    /// A token.
    Token,
    /// The API's root, to learn how to authenticate.
    Ping,
}

/// A cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cache {
    /// Pins kept for a revision.
    Pins,
    /// Evidence kept for a digest.
    Evidence,
    /// Parsed files by their content.
    Files,
}

/// Listens to what edges do.
pub trait Observer: Send + Sync {
    /// Takes note of an event; must not block.
    fn observe(&self, event: &Event<'_>);
}

/// An observer that takes no note.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _event: &Event<'_>) {}
}

impl RegistryOperation {
    /// Every operation.
    pub const ALL: [Self; 6] = [Self::Resolve, Self::Manifest, Self::Blob, Self::Referrers, Self::Token, Self::Ping];

    /// The metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Referrers => "referrers",
            Self::Token => "token",
            Self::Ping => "ping",
        }
    }
}

impl HookResult {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Rejected, Self::TooLarge, Self::Limited];

    /// The metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::TooLarge => "too-large",
            Self::Limited => "limited",
        }
    }
}

impl Cache {
    /// Every cache.
    pub const ALL: [Self; 3] = [Self::Pins, Self::Evidence, Self::Files];

    /// The metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pins => "pins",
            Self::Evidence => "evidence",
            Self::Files => "files",
        }
    }
}
