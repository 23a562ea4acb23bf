//! Which replica works for which gate: what a replica sees of the leases, and what it does about it. No input or output.
//!
//! Clocks of other machines are not believed: a lease is over when it was not seen to change for as long as it says that
//! it lasts, on our own clock. A gate that nobody holds goes to the live replica with the fewest gates; one that has two
//! more than another gives some up, while it does not work for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::clock::Moment;
use super::lease::{Lease, Purpose};

/// How long a free lease is left to the replica whose turn it is.
const COURTESY: Duration = Duration::from_secs(6);
/// A replica that was not heard of for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_mins(10);

/// A lease as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    /// The lease.
    pub(super) lease: Lease,
    /// When it was seen to change.
    pub(super) seen: Moment,
}

/// All leases as they were seen last, by name.
#[derive(Debug, Default)]
pub(super) struct Sights {
    leases: BTreeMap<String, Sight>,
}

/// A replica that decides what to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// Its identity.
    pub(super) me: &'a str,
    /// The leases of the gates that it can serve.
    pub(super) gates: &'a BTreeSet<String>,
    /// The moment.
    pub(super) now: Moment,
}

impl Sight {
    /// Who holds it now.
    pub(super) fn holder(&self, now: Moment) -> Option<&str> {
        let holder = self.lease.record.holder.as_str();
        (!holder.is_empty() && now < self.ends()).then_some(holder)
    }

    /// Whether it is free, and was for this long.
    fn is_free_for(&self, now: Moment, wait: Duration) -> bool {
        let since = if self.lease.record.holder.is_empty() { self.seen } else { self.ends() };
        now >= since.after(wait)
    }

    fn ends(&self) -> Moment {
        self.seen.after(self.lease.record.lasts)
    }
}

impl Sights {
    /// Takes in all leases of the cluster. One that says the same as before has not been renewed, whatever its version.
    pub(super) fn observe(&mut self, leases: Vec<Lease>, gates: &BTreeSet<String>, now: Moment) {
        let mut before = std::mem::take(&mut self.leases);
        for lease in leases {
            let seen = match before.remove(&lease.name) {
                Some(known) if known.lease.record == lease.record => known.seen,
                Some(_) | None => now,
            };
            self.leases.insert(lease.name.clone(), Sight { lease, seen });
        }
        // A gate whose lease was never made is free since this was noticed first.
        for name in gates {
            let absent = Lease::absent(name, Purpose::Gate);
            let known = before.remove(name).filter(|known| known.lease.version.is_empty());
            let sight = known.unwrap_or(Sight { lease: absent, seen: now });
            self.leases.entry(name.clone()).or_insert(sight);
        }
    }

    /// Takes in what we wrote ourselves.
    pub(super) fn note(&mut self, lease: Lease, now: Moment) {
        self.leases.insert(lease.name.clone(), Sight { lease, seen: now });
    }

    /// A lease as it was seen last.
    pub(super) fn get(&self, name: &str) -> Option<&Sight> {
        self.leases.get(name)
    }

    /// The free gates that this replica takes now.
    pub(super) fn wanted(&self, view: View<'_>) -> Vec<Lease> {
        let mut loads = self.loads(view);
        let mut wanted = Vec::new();
        for sight in self.of(Purpose::Gate).filter(|sight| sight.is_free_for(view.now, Duration::ZERO)) {
            let name = &sight.lease.name;
            let able = loads.iter().filter(|(it, _)| self.can_serve(view, it, name));
            let turn = able.min_by_key(|(it, load)| (**load, (*it).clone())).map(|(it, _)| it.clone());
            let mine = turn.as_deref() == Some(view.me);
            if let Some(load) = turn.and_then(|it| loads.get_mut(&it)) {
                *load = load.saturating_add(1);
            }
            // What was ours, and was taken by nobody while we were stopped, is ours at once.
            let was_mine = sight.lease.record.holder == view.me;
            if view.gates.contains(name) && (mine || was_mine || sight.is_free_for(view.now, COURTESY)) {
                wanted.push(sight.lease.clone());
            }
        }
        // Held by us as everybody sees it, and lost to ourselves: a renewal came too late.
        let own = self.of(Purpose::Gate).filter(|sight| sight.holder(view.now) == Some(view.me));
        wanted.extend(own.filter(|sight| view.gates.contains(&sight.lease.name)).map(|sight| sight.lease.clone()));
        wanted
    }

    /// The gates among these, which are ours, that another replica should rather have.
    pub(super) fn surplus(&self, view: View<'_>, held: &BTreeSet<String>) -> Vec<String> {
        let loads = self.loads(view);
        let total: usize = loads.values().sum();
        let fair = total.div_ceil(loads.len().max(1));
        let poorest = loads.iter().filter(|(it, _)| *it != view.me).min_by_key(|(_, load)| **load);
        let Some((poorest, load)) = poorest else { return Vec::new() };
        if held.len() < load.saturating_add(2) {
            return Vec::new();
        }
        let able = held.iter().rev().filter(|name| self.can_serve(view, poorest, name));
        able.take(held.len().saturating_sub(fair).max(1)).cloned().collect()
    }

    /// Replicas that are gone for long.
    pub(super) fn forgotten(&self, now: Moment) -> Vec<Lease> {
        let gone = self.of(Purpose::Replica).filter(|sight| sight.is_free_for(now, FORGOTTEN));
        gone.map(|sight| sight.lease.clone()).collect()
    }

    fn of(&self, purpose: Purpose) -> impl Iterator<Item = &Sight> {
        self.leases.values().filter(move |sight| sight.lease.purpose == purpose)
    }

    /// How many gates each live replica holds.
    fn loads(&self, view: View<'_>) -> BTreeMap<String, usize> {
        let live = self.of(Purpose::Replica).filter_map(|sight| sight.holder(view.now));
        let mut loads: BTreeMap<String, usize> = live.chain([view.me]).map(|it| (it.to_owned(), 0)).collect();
        for holder in self.of(Purpose::Gate).filter_map(|sight| sight.holder(view.now)) {
            if let Some(load) = loads.get_mut(holder) {
                *load = load.saturating_add(1);
            }
        }
        loads
    }

    fn can_serve(&self, view: View<'_>, replica: &str, gate: &str) -> bool {
        if replica == view.me {
            return view.gates.contains(gate);
        }
        let its = self.of(Purpose::Replica).find(|sight| sight.lease.record.holder == replica);
        its.is_some_and(|sight| sight.lease.gates.contains(gate))
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::{LASTS, Record, replica_lease};
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn lease(name: &str, holder: &str, renewed: &str) -> Lease {
        let record = Record { lasts: LASTS, renewed: renewed.to_owned(), ..Record::default().taken(holder, renewed) };
        Lease { record, version: "1".to_owned(), ..Lease::absent(name, Purpose::Gate) }
    }

    fn replica(me: &str, gates: &BTreeSet<String>, renewed: &str) -> Lease {
        let mut lease = lease(&replica_lease(me), me, renewed);
        lease.purpose = Purpose::Replica;
        lease.gates = gates.clone();
        lease
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    fn wanted(sights: &Sights, me: &str, gates: &BTreeSet<String>, now: Moment) -> Vec<String> {
        sights.wanted(View { me, gates, now }).into_iter().map(|lease| lease.name).collect()
    }

    #[test]
    fn a_lease_is_over_when_it_was_not_seen_to_change_on_our_clock() {
        let gates = names(&["g"]);
        let mut sights = Sights::default();
        // Renewed in a far future, as its holder's clock has it.
        let held = || vec![lease("g", "other", "2999-01-01T00:00:00.000000Z")];
        sights.observe(held(), &gates, at(100));
        sights.observe(held(), &gates, at(111));
        assert_eq!(wanted(&sights, "me", &gates, at(111)), Vec::<String>::new());
        assert_eq!(wanted(&sights, "me", &gates, at(112)), ["g"]);
        sights.observe(vec![lease("g", "other", "1970-01-01T00:00:00.000000Z")], &gates, at(112));
        assert_eq!(wanted(&sights, "me", &gates, at(123)), Vec::<String>::new(), "it was renewed, whenever that was");
    }

    #[test]
    fn a_gate_that_nobody_held_is_taken_at_once_by_the_only_replica() {
        let gates = names(&["a", "b"]);
        let mut sights = Sights::default();
        sights.observe(Vec::new(), &gates, at(1));
        assert_eq!(wanted(&sights, "me", &gates, at(1)), ["a", "b"]);
    }

    #[test]
    fn free_gates_are_shared_out_and_each_replica_comes_to_the_same_shares() {
        let gates = names(&["a", "b", "c", "d", "e"]);
        let mut sights = Sights::default();
        let replicas = ["x", "y"].map(|me| replica(me, &gates, "1"));
        sights.observe(replicas.to_vec(), &gates, at(1));
        assert_eq!(wanted(&sights, "x", &gates, at(1)), ["a", "c", "e"]);
        assert_eq!(wanted(&sights, "y", &gates, at(1)), ["b", "d"]);
        // Whose turn it is does not come.
        assert_eq!(wanted(&sights, "y", &gates, at(7)).len(), 5);
    }

    #[test]
    fn a_replica_gets_no_gate_that_it_does_not_know() {
        let gates = names(&["a", "b"]);
        let mut sights = Sights::default();
        sights.observe(vec![replica("x", &names(&["b"]), "1"), replica("y", &gates, "1")], &gates, at(1));
        assert_eq!(wanted(&sights, "y", &gates, at(1)), ["a"]);
        assert_eq!(wanted(&sights, "x", &names(&["b"]), at(1)), ["b"]);
    }

    #[test]
    fn a_replica_that_comes_is_given_its_share_and_no_more() {
        let gates = names(&["a", "b", "c", "d", "e"]);
        let mut sights = Sights::default();
        let mut all: Vec<Lease> = gates.iter().map(|name| lease(name, "x", "1")).collect();
        all.push(replica("x", &gates, "1"));
        sights.observe(all.clone(), &gates, at(1));
        let view = |me, gates, seconds| View { me, gates, now: at(seconds) };
        assert_eq!(sights.surplus(view("x", &gates, 1), &gates), Vec::<String>::new(), "nobody else is there");
        all.push(replica("y", &gates, "1"));
        sights.observe(all, &gates, at(2));
        assert_eq!(sights.surplus(view("x", &gates, 2), &gates), ["e", "d"]);
        let fewer = names(&["a", "b", "c"]);
        for name in ["d", "e"] {
            sights.note(lease(name, "y", "2"), at(2));
        }
        assert_eq!(sights.surplus(view("x", &gates, 2), &fewer), Vec::<String>::new());
    }

    #[test]
    fn what_was_ours_and_was_taken_by_nobody_is_ours_again() {
        let gates = names(&["g"]);
        let mut sights = Sights::default();
        sights.observe(vec![lease("g", "me", "1"), replica("other", &gates, "1")], &gates, at(1));
        assert_eq!(wanted(&sights, "me", &gates, at(2)), ["g"]);
        assert_eq!(wanted(&sights, "me", &gates, at(13)), ["g"]);
    }

    #[test]
    fn a_replica_that_is_gone_is_forgotten_in_time() {
        let mut sights = Sights::default();
        let none = BTreeSet::new();
        sights.observe(vec![replica("x", &none, "1")], &none, at(1));
        assert_eq!(sights.forgotten(at(300)), Vec::new());
        assert_eq!(sights.forgotten(at(613)).len(), 1);
    }
}
