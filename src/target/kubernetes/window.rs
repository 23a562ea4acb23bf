//! Runs eight jobs at a time and answers in the order in which they were given.

use std::future::Future;

use futures::StreamExt;
use futures::stream::FuturesOrdered;

/// Requests about objects at a time: on a small control plane more only queue (kubernetes.md, section 10).
const WIDTH: usize = 8;

/// Jobs under way and done.
pub(super) struct Window<F: Future> {
    running: FuturesOrdered<F>,
    done: Vec<F::Output>,
}

impl<F: Future> Window<F> {
    /// No jobs.
    pub(super) fn new() -> Self {
        Self { running: FuturesOrdered::new(), done: Vec::new() }
    }

    /// Takes a job; waits while eight are running.
    pub(super) async fn push(&mut self, job: F) {
        if self.running.len() >= WIDTH {
            self.done.extend(self.running.next().await);
        }
        self.running.push_back(job);
    }

    /// Waits for all; what they came to, in the order of the jobs.
    pub(super) async fn finish(mut self) -> Vec<F::Output> {
        while let Some(output) = self.running.next().await {
            self.done.push(output);
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_than_eight_run_and_the_order_is_kept() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let job = async |number: usize| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..number % 5 {
                tokio::task::yield_now().await;
            }
            running.fetch_sub(1, Ordering::SeqCst);
            number
        };
        let mut window = Window::new();
        for number in 0..50 {
            window.push(job(number)).await;
        }
        assert_eq!(window.finish().await, (0..50).collect::<Vec<_>>());
        let most = most.load(Ordering::SeqCst);
        assert!((2..=WIDTH).contains(&most), "{most}");
    }
}
