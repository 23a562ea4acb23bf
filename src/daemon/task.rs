//! The task of one gate: looks, waits for a reason to look again, leaves when asked.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::trigger::{Receiver, Sender, Trigger, Watch, file_places, repository_places, watch};

use super::gate::Gate;

/// How long changes at the target are gathered before they count as one.
const GATHER: Duration = Duration::from_millis(250);

/// Runs a gate until it is asked to stop.
pub(super) async fn run(mut gate: Gate, sender: Sender, mut receiver: Receiver) -> &'static str {
    let _watches = watches(&gate, &sender);
    let stop = gate.stop.clone();
    let mut triggers = BTreeSet::from([Trigger::Start]);
    loop {
        gate.look(&triggers).await;
        gate.note_health();
        let interval = gate.settings.source.interval;
        let retry =
            gate.retry_at.map(|at| at.saturating_duration_since(Instant::now())).filter(|wait| *wait <= interval);
        let (wait, then) = retry.map_or((interval, Trigger::Interval), |wait| (wait, Trigger::Retry));
        let due = tokio::time::Instant::now() + wait;
        triggers = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return "gate",
                heard = receiver.next() => break heard,
                () = changed(&gate) => {
                    tokio::time::sleep(GATHER).await;
                    break BTreeSet::from([Trigger::TargetChanged]);
                }
                () = tokio::time::sleep_until(due) => break BTreeSet::from([then]),
                () = fared(&gate) => {}
            }
            gate.note_health();
        };
    }
}

/// Waits until something at the target may have changed, or until another replica should work for the gate, or this one;
/// for ever, where nobody asks or nothing is there yet.
async fn changed(gate: &Gate) {
    let target = async {
        match &gate.target {
            Some(target) => target.changed().await,
            None => std::future::pending().await,
        }
    };
    let seat = async {
        match &gate.seat {
            Some(seat) => seat.changed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = target => {}
        () = seat => {}
    }
}

/// Waits until what was applied fares otherwise; for ever, where nobody tells or nothing is there yet.
async fn fared(gate: &Gate) {
    match &gate.target {
        Some(target) => target.fared().await,
        None => std::future::pending().await,
    }
}

/// Watches what is on this machine; the interval is for the rest.
fn watches(gate: &Gate, sender: &Sender) -> Vec<Watch> {
    let repository = gate.git.lock().unwrap_or_else(PoisonError::into_inner).watch_path();
    let source = repository.and_then(|path| watch(&repository_places(&path), Trigger::SourceChanged, sender));
    let policies = watch(&file_places(&gate.settings.policies), Trigger::PolicyChanged, sender);
    source.into_iter().chain(policies).collect()
}
