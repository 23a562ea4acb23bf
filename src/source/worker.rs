//! An overall deadline for libgit2, which has none: its work runs on a thread that is left behind when time is up.
//!
//! A server that drips bytes keeps such a thread for as long as it likes. So they are counted, and beyond a few no
//! further one is started.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Most threads of one source at a time: the one at work and those left behind.
const MAX_THREADS: usize = 4;

/// Runs work on threads of one source.
#[derive(Debug, Clone, Default)]
pub(super) struct Worker {
    threads: Arc<AtomicUsize>,
}

/// Why work has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfinished {
    /// It took too long.
    #[error("it took longer than {0:?}")]
    TimedOut(Duration),
    /// Too much earlier work has not ended yet.
    #[error("{MAX_THREADS} earlier attempts still hang on a server that neither answers nor leaves")]
    Busy,
    /// The thread could not be started, or died.
    #[error("its thread could not be started, or ended early")]
    Died,
}

/// Counts a thread while it lives, also when it dies.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Worker {
    /// Runs `work` with the moment at which it must end, and waits no longer than that.
    pub(super) fn within<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(Instant) -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let alive = Alive(Arc::clone(&self.threads));
        if self.threads.fetch_add(1, Ordering::AcqRel) >= MAX_THREADS {
            return Err(Unfinished::Busy);
        }
        let (result, answer) = mpsc::sync_channel(1);
        let now = Instant::now();
        // A time-out beyond what a clock can tell ends at once.
        let end = now.checked_add(timeout).unwrap_or(now);
        let run = move || {
            let _alive = alive;
            // Nobody listens any more where time was up: the result is of no use then.
            let _unheard = result.send(work(end));
        };
        thread::Builder::new().name("sealgate-git".to_owned()).spawn(run).map_err(|_| Unfinished::Died)?;
        answer.recv_timeout(timeout).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => Unfinished::TimedOut(timeout),
            mpsc::RecvTimeoutError::Disconnected => Unfinished::Died,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_is_left_behind_and_bounded() {
        let worker = Worker::default();
        let (release, hang) = mpsc::channel::<()>();
        let hang = Arc::new(std::sync::Mutex::new(hang));
        for _ in 0..MAX_THREADS {
            let hang = Arc::clone(&hang);
            let result = worker.within(Duration::from_millis(5), move |_| hang.lock().unwrap().recv().is_ok());
            assert_eq!(result, Err(Unfinished::TimedOut(Duration::from_millis(5))));
        }
        assert_eq!(worker.within(Duration::from_secs(5), |_| ()), Err(Unfinished::Busy));
        drop(release);
        while worker.threads.load(Ordering::Acquire) > 0 {
            thread::yield_now();
        }
        assert_eq!(worker.within(Duration::from_secs(5), |_| 7), Ok(7));
    }

    #[test]
    fn work_that_dies_is_no_result() {
        let worker = Worker::default();
        let result: Result<(), _> = worker.within(Duration::from_secs(5), |_| panic!("on purpose"));
        assert_eq!(result, Err(Unfinished::Died));
    }
}
