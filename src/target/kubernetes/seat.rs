//! Whether this replica may write for a gate: a seat is held for a term, until a moment, unless the lease is renewed.
//!
//! A term that ended never goes on: whoever worked under it must begin anew, since another replica may have worked
//! meanwhile. The check reads a clock and asks nobody, so it can stand before every write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::clock::Moment;

/// A gate's seat. Clones are the same seat.
#[derive(Debug, Clone, Default)]
pub struct Seat {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    holding: Mutex<Holding>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Holding {
    /// Terms so far.
    terms: u64,
    /// Until when the seat is ours, where it is.
    until: Option<Moment>,
    /// Who holds it, where that is known.
    holder: Option<String>,
    /// Why nobody can be elected, where that is so.
    trouble: Option<String>,
    /// Whether somebody works under it, so that it is not given up at once.
    work: Work,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Work {
    #[default]
    Idle,
    Busy,
}

/// One uninterrupted time in which the seat was ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term(u64);

/// Work under a term; the seat is not given up to balance the load before this is dropped.
#[derive(Debug)]
pub struct Working {
    seat: Seat,
    /// The term.
    pub term: Term,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.seat.holding().work = Work::Idle;
    }
}

impl Seat {
    /// Begins work, where the seat is ours now.
    #[must_use]
    pub fn work(&self) -> Option<Working> {
        let mut holding = self.holding();
        if holding.until.is_none_or(|until| until <= Moment::now()) {
            return None;
        }
        holding.work = Work::Busy;
        Some(Working { seat: self.clone(), term: Term(holding.terms) })
    }

    /// Whether this term still lasts.
    #[must_use]
    pub fn lasts(&self, term: Term) -> bool {
        let holding = self.holding();
        holding.terms == term.0 && holding.until.is_some_and(|until| Moment::now() < until)
    }

    /// Who holds the seat, where that is known.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        self.holding().holder.clone()
    }

    /// Why nobody can be elected, where that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.holding().trouble.clone()
    }

    /// Waits until the seat was won or lost, or another replica holds it.
    pub async fn changed(&self) {
        self.shared.news.notified().await;
    }

    /// Whether only the election knows this seat: its gate is gone.
    pub(super) fn is_forsaken(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    /// Whether a term lasts.
    pub(super) fn is_ours(&self) -> bool {
        self.holding().until.is_some()
    }

    /// The lease was won or renewed: the seat is ours until then. Won anew after a lapse, it is a new term.
    pub(super) fn hold_until(&self, until: Moment, me: &str) {
        let mut holding = self.holding();
        let goes_on = holding.until.is_some_and(|end| Moment::now() < end);
        holding.until = Some(until);
        holding.holder = Some(me.to_owned());
        if !goes_on {
            holding.terms = holding.terms.saturating_add(1);
            self.shared.news.notify_one();
        }
    }

    /// Ends the term where its time is over; says whether it did.
    pub(super) fn lapse(&self, now: Moment) -> bool {
        let mut holding = self.holding();
        let over = holding.until.is_some_and(|until| until <= now);
        if over {
            self.end(&mut holding);
        }
        over
    }

    /// Ends the term.
    pub(super) fn lose(&self) {
        let mut holding = self.holding();
        if holding.until.is_some() {
            self.end(&mut holding);
        }
    }

    /// Ends the term unless somebody works under it; says whether it ended.
    pub(super) fn lose_if_idle(&self) -> bool {
        let mut holding = self.holding();
        let idle = holding.work == Work::Idle && holding.until.is_some();
        if idle {
            self.end(&mut holding);
        }
        idle
    }

    /// Says who holds the seat, where that is not us.
    pub(super) fn name_holder(&self, holder: Option<&str>) {
        let mut holding = self.holding();
        if holding.until.is_none() && holding.holder.as_deref() != holder {
            holding.holder = holder.map(str::to_owned);
            self.shared.news.notify_one();
        }
    }

    /// Says why nobody can be elected.
    pub(super) fn name_trouble(&self, trouble: Option<&str>) {
        let mut holding = self.holding();
        if holding.trouble.as_deref() != trouble {
            holding.trouble = trouble.map(str::to_owned);
            if holding.until.is_none() {
                self.shared.news.notify_one();
            }
        }
    }

    fn end(&self, holding: &mut Holding) {
        holding.until = None;
        holding.holder = None;
        self.shared.news.notify_one();
    }

    fn holding(&self) -> MutexGuard<'_, Holding> {
        self.shared.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands before each write of a gate: its seat, and the term that was begun last.
#[derive(Debug)]
pub(super) struct Fence {
    seat: Seat,
    term: AtomicU64,
}

impl Fence {
    /// A closed fence.
    pub(super) fn of(seat: Seat) -> Self {
        // No term has this number.
        Self { seat, term: AtomicU64::new(0) }
    }

    /// Lets writes of this term through, as long as it lasts, and no others.
    pub(super) fn admit(&self, term: Term) {
        self.term.store(term.0, Ordering::SeqCst);
    }

    /// Whether a write may be begun now.
    pub(super) fn is_open(&self) -> bool {
        self.seat.lasts(Term(self.term.load(Ordering::SeqCst)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Moment {
        Moment::now().after(Duration::from_mins(1))
    }

    #[test]
    fn nothing_is_written_without_a_term_that_lasts() {
        let seat = Seat::default();
        let fence = Fence::of(seat.clone());
        assert!(seat.work().is_none() && !fence.is_open());
        seat.hold_until(soon(), "me");
        assert!(!fence.is_open(), "no term was admitted yet");
        let working = seat.work().unwrap();
        fence.admit(working.term);
        assert!(fence.is_open());
        seat.hold_until(Moment::now(), "me");
        assert!(!fence.is_open() && seat.work().is_none(), "its time is over, whatever nobody noticed yet");
    }

    #[test]
    fn a_term_that_lapsed_does_not_go_on_when_the_lease_is_won_again() {
        let seat = Seat::default();
        let fence = Fence::of(seat.clone());
        seat.hold_until(soon(), "me");
        fence.admit(seat.work().unwrap().term);
        seat.hold_until(soon(), "me");
        assert!(fence.is_open(), "a renewal in time is the same term");
        seat.hold_until(Moment::now(), "me");
        seat.hold_until(soon(), "me");
        assert!(!fence.is_open());
        fence.admit(seat.work().unwrap().term);
        assert!(fence.is_open());
        seat.lose();
        assert!(!fence.is_open());
    }

    #[test]
    fn a_seat_under_which_somebody_works_is_not_given_up_for_balance() {
        let seat = Seat::default();
        seat.hold_until(soon(), "me");
        let working = seat.work().unwrap();
        assert!(!seat.lose_if_idle() && seat.lasts(working.term));
        drop(working);
        assert!(seat.lose_if_idle() && !seat.is_ours());
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_a_seat_that_was_won_or_lost() {
        let seat = Seat::default();
        seat.hold_until(soon(), "me");
        seat.changed().await;
        seat.lose();
        seat.changed().await;
        seat.name_holder(Some("other"));
        seat.changed().await;
        assert_eq!(seat.holder().as_deref(), Some("other"));
    }
}
