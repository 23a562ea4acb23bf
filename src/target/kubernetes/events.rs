//! Kubernetes Events about a gate, on its inventory, for whoever reads `kubectl get events`. They are told and forgotten:
//! nobody waits for them, what repeats is counted on one object, and what comes too fast is left out.

use std::collections::VecDeque;
use std::time::Duration;

use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;

use super::clock::Moment;
use super::connection::Connection;
use super::fault::Fault;
use super::inventory::part_name;

/// Events that wait to be sent; what comes beyond is left out.
const WAITING: usize = 32;
/// Events that may be sent at once; then one every [`REFILL`].
const BURST: u32 = 20;
/// How long it takes until one more may be sent.
const REFILL: Duration = Duration::from_secs(30);
/// The same event within this time is counted, not told anew.
const SAME: Duration = Duration::from_mins(10);
/// Events that are remembered, to be counted.
const REMEMBERED: usize = 32;
/// A cluster takes messages of 1024 bytes.
const MAX_MESSAGE: usize = 1_000;
/// An event may take this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// A revision passed.
    Passed,
    /// A revision was refused.
    Refused,
    /// Nothing could be decided.
    Undecided,
    /// A revision was applied.
    Applied,
    /// The cluster did not take a revision.
    NotApplied,
    /// Something differs from what was applied.
    Drifted,
    /// What was applied is healthy.
    Healthy,
    /// What was applied is not healthy.
    Unhealthy,
}

impl Happening {
    /// The event's reason.
    fn reason(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Refused => "Refused",
            Self::Undecided => "Undecided",
            Self::Applied => "Applied",
            Self::NotApplied => "NotApplied",
            Self::Drifted => "Drifted",
            Self::Healthy => "Healthy",
            Self::Unhealthy => "Unhealthy",
        }
    }

    /// The event's type.
    fn kind(self) -> &'static str {
        match self {
            Self::Passed | Self::Applied | Self::Healthy => "Normal",
            Self::Refused | Self::Undecided | Self::NotApplied | Self::Drifted | Self::Unhealthy => "Warning",
        }
    }
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    happening: Happening,
    message: String,
}

/// An event that was sent.
#[derive(Debug)]
struct Sent {
    event: Event,
    name: String,
    count: u64,
    at: Moment,
}

/// Tells of a gate.
pub(super) struct Herald {
    sender: Sender<Event>,
    task: AbortHandle,
}

/// The task that sends.
struct Messenger {
    connection: Connection,
    namespace: String,
    gate_label: String,
    sent: VecDeque<Sent>,
    allowance: Allowance,
    /// Whether the last one arrived: a failure is told once.
    failing: bool,
}

/// How many events may still be sent.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: u32,
    since: Moment,
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Herald {
    /// A herald whose events go to this namespace.
    pub(super) fn new(connection: Connection, namespace: &str, gate_label: &str) -> Self {
        let (sender, receiver) = channel(WAITING);
        let messenger = Messenger {
            connection,
            namespace: namespace.to_owned(),
            gate_label: gate_label.to_owned(),
            sent: VecDeque::new(),
            allowance: Allowance { left: BURST, since: Moment::now() },
            failing: false,
        };
        Self { sender, task: tokio::spawn(messenger.run(receiver)).abort_handle() }
    }

    /// Tells; does not wait.
    pub(super) fn tell(&self, happening: Happening, message: &str) {
        let message: String = message.chars().filter(|letter| !letter.is_control()).collect();
        let end = message.floor_char_boundary(MAX_MESSAGE);
        let message = message.get(..end).unwrap_or_default().to_owned();
        if self.sender.try_send(Event { happening, message }).is_err() {
            tracing::debug!(reason = happening.reason(), "too many events wait; this one is left out");
        }
    }
}

impl Allowance {
    /// Takes one, where one is left.
    fn take(&mut self, now: Moment) -> bool {
        while self.left < BURST && self.since.after(REFILL) <= now {
            self.left = self.left.saturating_add(1);
            self.since = self.since.after(REFILL);
        }
        if self.left == BURST {
            self.since = now;
        }
        let one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        one
    }
}

impl Messenger {
    async fn run(mut self, mut receiver: Receiver<Event>) {
        while let Some(event) = receiver.recv().await {
            let now = Moment::now();
            if !self.allowance.take(now) {
                tracing::debug!(reason = event.happening.reason(), "events come too fast; this one is left out");
                continue;
            }
            match self.send(event, now).await {
                Ok(()) => self.failing = false,
                Err(fault) if !self.failing => {
                    self.failing = true;
                    tracing::info!(
                        error = fault.message,
                        "events cannot be written; their account needs `create` and `patch`"
                    );
                }
                Err(_) => {}
            }
        }
    }

    async fn send(&mut self, event: Event, now: Moment) -> Result<(), Fault> {
        let time = wall_time();
        let known = self.sent.iter_mut().find(|sent| sent.event == event && now < sent.at.after(SAME));
        let request = match known {
            Some(sent) => {
                sent.count = sent.count.saturating_add(1);
                sent.at = now;
                again(&self.namespace, sent, &time)?
            }
            None => self.first(event, now, &time)?,
        };
        self.connection.ask(request, PATIENCE).await.map(drop)
    }

    fn first(&mut self, event: Event, now: Moment, time: &str) -> Result<Request<Vec<u8>>, Fault> {
        let on = part_name(&self.gate_label, 0);
        // The cluster's own habit: what it is about, and when.
        let name = format!("{on}.{:x}", unique());
        let body = body(&self.namespace, &on, &name, &event, time);
        self.sent.push_front(Sent { event, name, count: 1, at: now });
        self.sent.truncate(REMEMBERED);
        let request = Request::post(format!("/api/v1/namespaces/{}/events", self.namespace))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes());
        request.map_err(|error| Fault::unsendable(&error))
    }
}

fn body(namespace: &str, on: &str, name: &str, event: &Event, time: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": on},
        "type": event.happening.kind(), "reason": event.happening.reason(), "message": event.message,
        "source": {"component": "sealgate"}, "reportingComponent": "sealgate.dev/gate", "reportingInstance": "sealgate",
        "firstTimestamp": time, "lastTimestamp": time, "count": 1,
    })
}

/// An event that was sent before, counted once more.
fn again(namespace: &str, sent: &Sent, time: &str) -> Result<Request<Vec<u8>>, Fault> {
    let body = json!({"count": sent.count, "lastTimestamp": time});
    let request = Request::patch(format!("/api/v1/namespaces/{namespace}/events/{}", sent.name))
        .header("content-type", "application/merge-patch+json")
        .body(body.to_string().into_bytes());
    request.map_err(|error| Fault::unsendable(&error))
}

#[expect(clippy::disallowed_methods, reason = "an edge that tells the time to people")]
fn wall_time() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[expect(clippy::disallowed_methods, reason = "part of a name, which nobody reads as a time")]
fn unique() -> i128 {
    Timestamp::now().as_nanosecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn events_that_come_too_fast_are_left_out() {
        let mut allowance = Allowance { left: BURST, since: at(0) };
        let taken = (0..100).filter(|_| allowance.take(at(1))).count();
        assert_eq!(taken, 20);
        assert!(!allowance.take(at(30)));
        assert!(allowance.take(at(31)));
        assert!(!allowance.take(at(60)));
        assert!(allowance.take(at(61)) && !allowance.take(at(62)));
        assert_eq!((0..100).filter(|_| allowance.take(at(100_000))).count(), 20);
    }

    #[test]
    fn every_happening_has_a_name_of_its_own() {
        let all = [
            Happening::Passed,
            Happening::Refused,
            Happening::Undecided,
            Happening::Applied,
            Happening::NotApplied,
            Happening::Drifted,
            Happening::Healthy,
            Happening::Unhealthy,
        ];
        let reasons: std::collections::BTreeSet<&str> = all.iter().map(|it| it.reason()).collect();
        assert_eq!(reasons.len(), all.len());
        assert!(all.iter().all(|it| ["Normal", "Warning"].contains(&it.kind())));
    }
}
