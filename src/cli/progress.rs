//! A line on a terminal for work that takes longer than a second.

use std::future::Future;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::outcome::{Event, Observer};

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts requests, and tells a person that something happens.
#[derive(Debug, Default)]
pub(super) struct Progress {
    requests: AtomicUsize,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits for the work, with a line on stderr meanwhile.
    pub(super) async fn watch<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        if !std::io::stderr().is_terminal() {
            return work.await;
        }
        tokio::pin!(work);
        if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
            return done;
        }
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        loop {
            bar.set_message(format!("{what}: {} requests", self.requests.load(Ordering::Relaxed)));
            bar.tick();
            if let Ok(done) = tokio::time::timeout(Duration::from_millis(100), &mut work).await {
                bar.finish_and_clear();
                return done;
            }
        }
    }
}

impl Observer for Progress {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::RegistryRequest { .. } => {
                self.requests.fetch_add(1, Ordering::Relaxed);
            }
            Event::CacheLookup { .. }
            | Event::Hook { .. }
            | Event::TrustRoot { .. }
            | Event::TrustRootRefresh { .. } => {}
        }
    }
}
