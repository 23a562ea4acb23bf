//! Whether this replica works for a gate, where several share the gates; what it tells while it stands by.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::http::status::GateStatus;
use crate::metrics::State;
use crate::reason::{ErrorCode, Problem};
use crate::report::Error;
use crate::target::Delivery;
use crate::target::kubernetes::{Seat, Working};
use crate::trigger::Trigger;

use super::gate::{Gate, now};

/// How long a gate that just began waits to hear whether the seat is its own.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// What a replica does for a gate.
pub(super) enum Post {
    /// It works: alone, or in a term; for these reasons.
    Works(Option<Working>, BTreeSet<Trigger>),
    /// It stands by.
    StandsBy,
}

impl Gate {
    /// Takes up work, where this replica is to work for the gate. In a new term everything begins anew: another replica
    /// may have worked meanwhile.
    pub(super) async fn post(&mut self, triggers: &BTreeSet<Trigger>) -> Post {
        if let Err(problem) = self.stand_for_election().await {
            self.failures = vec![problem];
            return Post::StandsBy;
        }
        let Some(seat) = self.seat.clone() else {
            self.metrics.leads();
            return Post::Works(None, triggers.clone());
        };
        let Some(working) = seat.work() else { return Post::StandsBy };
        let mut triggers = triggers.clone();
        if self.term != Some(working.term) {
            self.forget();
            self.recall();
            self.term = Some(working.term);
            triggers.insert(Trigger::Start);
            self.status.standing_by = false;
            self.status.leader = seat.holder();
            // A look may take long; who works for the gate is told at once.
            self.shared.board.show(self.status.clone());
        }
        if let Some(Delivery::Kubernetes(target)) = &self.target {
            target.admit(working.term);
        }
        self.metrics.leads();
        Post::Works(Some(working), triggers)
    }

    async fn stand_for_election(&mut self) -> Result<(), Problem> {
        let Some(elections) = self.shared.elections.clone().filter(|_| self.seat.is_none()) else { return Ok(()) };
        self.seat = elections.seat(&self.settings).await?;
        // After a reload the seat may be ours already.
        if let Some(seat) = self.seat.as_ref().filter(|seat| seat.work().is_none()) {
            let stop = self.stop.clone();
            let word = tokio::time::timeout(FIRST_WORD, seat.changed());
            // Whether there was one is seen by what the seat says.
            let _heard = stop.run_until_cancelled(word).await;
        }
        Ok(())
    }

    /// Whether what this gate does now is still its own to do; for as long as the answer is kept.
    pub(super) fn still_ours(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let held = self.seat.clone().zip(self.term);
        let elected = self.seat.is_some();
        move || !elected || held.as_ref().is_some_and(|(seat, term)| seat.lasts(*term))
    }

    /// Makes the target's writes depend on the gate's seat.
    pub(super) fn under_seat(&self, target: Delivery) -> Delivery {
        match (target, &self.seat) {
            (Delivery::Kubernetes(target), Some(seat)) => {
                let target = target.under(seat.clone());
                if let Some(term) = self.term {
                    target.admit(term);
                }
                Delivery::Kubernetes(Box::new(target))
            }
            (target, _) => target,
        }
    }

    /// Tells that another replica works for the gate, or that nobody does yet.
    pub(super) fn stand_by(&mut self) {
        let mut problems = std::mem::take(&mut self.failures);
        problems.extend(self.seat.as_ref().and_then(Seat::trouble).map(|why| no_election(&why)));
        self.forget();
        self.metrics.stands_by();
        if !problems.is_empty() {
            self.metrics.state(State::Error);
        }
        self.status = GateStatus {
            name: self.settings.name.clone(),
            mode: self.status.mode,
            standing_by: true,
            leader: self.seat.as_ref().and_then(Seat::holder),
            state: (!problems.is_empty()).then_some(State::Error.name()),
            ready: problems.is_empty(),
            errors: problems.iter().map(Error::from).collect(),
            reconciled: Some(now().to_string()),
            ..GateStatus::default()
        };
        self.shared.board.show(self.status.clone());
    }

    /// Whoever asked for one look alone must know that it did not take place.
    pub(super) fn tell_post(&mut self) {
        if self.status.standing_by && self.status.errors.is_empty() {
            let holder = self.status.leader.as_deref().unwrap_or("nobody yet");
            self.status.errors.push(Error::from(&no_election(&format!("its lease is held by {holder}"))));
        }
    }

    /// Forgets what was decided and watched.
    fn forget(&mut self) {
        self.target = None;
        self.newest = None;
        self.term = None;
        self.attempts = 0;
        self.retry_at = None;
        self.gave_up = false;
        self.turned_away = false;
    }
}

fn no_election(why: &str) -> Problem {
    Problem::new(ErrorCode::TargetUnavailable, format!("this replica may not work for the gate: {why}"))
        .with_help("check that the account may read and write leases in the namespace of the inventory")
}
