//! The clock that leases are judged by. It runs on while the process is stopped and while the machine sleeps, and nobody
//! can set it: the wall clock can be set, and the usual monotonic clock stands still in a sleep.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
// Where there is no such clock, the monotonic one counts sleep by itself.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A moment on this machine; those of other machines cannot be compared with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(Duration);

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        let now = clock_gettime(CLOCK);
        // The time since the start is never negative. Were it, no lease of ours would hold.
        Self(Duration::try_from(now).unwrap_or(Duration::MAX))
    }

    /// So much later.
    pub(super) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs() {
        let before = Moment::now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(Moment::now() >= before.after(Duration::from_millis(2)));
        assert!(before.after(Duration::from_secs(1)) > before);
    }
}
