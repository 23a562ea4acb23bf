//! When a revision that did not pass is tried again without a new commit.

use std::time::Duration;

use crate::gate::{Answer, Judged};
use crate::reason::Reason;
use crate::verify::verdict::Verdict;

/// Waits that double from the first to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backoff {
    /// The first wait.
    first: Duration,
    /// The longest.
    longest: Duration,
}

/// For what could not be found out: the registry, the target or the source did not answer.
const UNDECIDED: Backoff = Backoff { first: Duration::from_secs(10), longest: Duration::from_mins(5) };
/// For missing evidence: the pipeline may still be signing.
const MISSING: Backoff = Backoff { first: Duration::from_secs(30), longest: Duration::from_mins(10) };

impl Backoff {
    /// For what failed and may work the next time.
    pub(super) const FAILED: Self = UNDECIDED;

    /// The wait before attempt number `attempts`, counted from 0, or what we were asked to wait, if that is longer.
    pub(super) fn wait(self, attempts: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(attempts).unwrap_or(u32::MAX));
        doubled.min(self.longest).max(asked.unwrap_or_default())
    }
}

/// How a decision is tried again; never, where only a new revision, policy or configuration can change it.
pub(super) fn after(answer: Answer, judged: &[Judged], files_are_readable: bool) -> Option<Backoff> {
    match answer {
        Answer::Pass => None,
        Answer::Undecided => Some(UNDECIDED),
        Answer::Refuse if !files_are_readable => None,
        Answer::Refuse => {
            let may_change = |judged: &Judged| match &judged.verdict {
                Verdict::Refused(findings) => findings.iter().all(|finding| may_still_come(finding.reason)),
                Verdict::Verified(_) | Verdict::Undecided(_) => true,
            };
            judged.iter().all(may_change).then_some(MISSING)
        }
    }
}

/// Evidence that may be pushed after the image, and an image that may be pushed after the commit.
fn may_still_come(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoSignature
            | Reason::ThresholdNotMet
            | Reason::AttestationMissing
            | Reason::PlatformNotSigned
            | Reason::ImageNotFound
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (0..7).map(|attempt| UNDECIDED.wait(attempt, None).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(MISSING.wait(40, None).as_secs(), 600);
        assert_eq!(UNDECIDED.wait(0, Some(Duration::from_secs(77))).as_secs(), 77);
    }
}
