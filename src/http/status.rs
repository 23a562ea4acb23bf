//! What is known about a gate from outside: written by its task, read by the HTTP server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::sync::watch;

use crate::outcome::health::Health;
use crate::report::{Error, Report};

/// Where a gate stands.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Its name.
    pub name: String,
    /// `enforce` or `audit`.
    pub mode: &'static str,
    /// Whether it rests.
    pub suspended: bool,
    /// Whether another replica works for it, or nobody yet: this one decides and writes nothing.
    pub standing_by: bool,
    /// The replica that works for it, where several share the gates.
    pub leader: Option<String>,
    /// `pass`, `refuse`, `undecided` or `error`: the state of the newest revision. None before the first look.
    pub state: Option<&'static str>,
    /// The newest commit seen.
    pub observed: Option<String>,
    /// Commits between the head before and the newest one, on which nobody decides any more; the newest first.
    pub superseded: Vec<String>,
    /// Since when the newest commit has the decision that it has, RFC 3339.
    pub decided_since: Option<String>,
    /// The newest commit that passed.
    pub passed: Option<String>,
    /// The commit at the target.
    pub applied: Option<String>,
    /// Since when, RFC 3339.
    pub applied_since: Option<String>,
    /// Whether the applied commit passes under the policies in force; none where that was not asked yet.
    pub applied_decision: Option<&'static str>,
    /// Objects at the target that differ from what was applied.
    pub drift: Vec<String>,
    /// Images in applied objects that nobody verified, where the configuration lets these be told only.
    pub foreign_images: Vec<ForeignImage>,
    /// How what was applied fares; none before it was looked at, or where nobody looks.
    pub health: Option<Health>,
    /// What failed outside the decision: source, configuration or target.
    pub errors: Vec<Error>,
    /// When the gate last finished a look, RFC 3339.
    pub reconciled: Option<String>,
    /// Seconds until what did not pass is tried again.
    pub retry_in_seconds: Option<u64>,
    /// Whether policy and source were loaded at least once.
    pub ready: bool,
    /// The report on the newest revision.
    #[serde(skip)]
    pub report: Option<Arc<Report>>,
}

/// An image in an object at the target that nobody verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForeignImage {
    /// The object.
    pub object: String,
    /// The image.
    pub image: String,
}

/// All gates.
pub type Statuses = BTreeMap<String, GateStatus>;

/// Publishes the status of gates.
#[derive(Debug, Clone)]
pub struct Board {
    sender: Arc<watch::Sender<Statuses>>,
    /// Whether all gates were ready at once, at any time.
    ready: Arc<AtomicBool>,
}

impl Board {
    /// An empty board.
    #[must_use]
    pub fn new() -> Self {
        Self { sender: Arc::new(watch::Sender::new(Statuses::new())), ready: Arc::default() }
    }

    /// Shows a gate's status.
    pub fn show(&self, status: GateStatus) {
        self.show_all(vec![status]);
    }

    /// Whether all gates were ready at once, at any time until now.
    #[must_use]
    pub fn ready(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ready)
    }

    /// Shows several gates' statuses at once.
    pub fn show_all(&self, gates: Vec<GateStatus>) {
        self.sender.send_modify(|statuses| {
            statuses.extend(gates.into_iter().map(|gate| (gate.name.clone(), gate)));
            if statuses.values().all(|gate| gate.ready || gate.suspended) {
                self.ready.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Takes away all gates but these.
    pub fn keep(&self, names: &std::collections::BTreeSet<String>) {
        self.sender.send_modify(|statuses| statuses.retain(|name, _| names.contains(name)));
    }

    /// Follows the board.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Statuses> {
        self.sender.subscribe()
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}
