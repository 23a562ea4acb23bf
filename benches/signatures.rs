//! How long one verification takes, for what each real signer wrote: CPU time of the one thread that works, from the
//! bytes that a registry answered to the verdict; the best of several rounds. `cargo bench --bench signatures`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a program for developers that may stop"
)]

#[path = "../tests/fixtures/signatures/recorded.rs"]
mod recorded;

use std::time::Duration;

use jiff::Timestamp;
use recorded::{Fixture, fixtures};
use sealgate::verify::verdict::Verdict;

/// After all of them were made.
const NOW: Timestamp = Timestamp::constant(1_830_000_000, 0);
const ROUNDS: usize = 7;
const TIMES: u32 = 50;

fn main() {
    for fixture in fixtures() {
        let best = (0..ROUNDS).map(|_| round(&fixture)).min().unwrap();
        println!("{:32} {:7.1} µs", fixture.name, best.as_secs_f64() * 1e6);
    }
}

/// What one verification takes, the mean of a round.
fn round(fixture: &Fixture) -> Duration {
    let start = cpu_time();
    for _ in 0..TIMES {
        let judgement = fixture.judged(fixture.artifacts.clone(), NOW);
        assert!(matches!(judgement.verdict, Verdict::Verified(_)), "{}", fixture.name);
    }
    cpu_time().saturating_sub(start) / TIMES
}

/// The time that this thread has spent on a processor.
fn cpu_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_else(|error| {
        panic!("failed to read this thread's CPU time: {error}");
    });
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}
