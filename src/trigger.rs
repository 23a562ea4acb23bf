//! What makes a gate look again: the clock, changed files, signals. Triggers coalesce: however many come while a gate
//! is at work, it looks once more.
//!
//! Nothing here decides or reads what changed. A watch that cannot be set up is told and left to the interval.

mod watch;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

pub use watch::{Depth, Place, Watch, file_places, repository_places, watch};

/// Why a gate looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// The process began.
    Start,
    /// The interval is over.
    Interval,
    /// A local repository changed.
    SourceChanged,
    /// The configuration file changed.
    ConfigChanged,
    /// A policy or a key changed.
    PolicyChanged,
    /// The user asked for it: SIGHUP.
    Reload,
    /// What did not pass is tried again.
    Retry,
    /// Something at the target may have changed.
    TargetChanged,
    /// The source's service told of a push.
    Pushed,
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Interval,
        Self::SourceChanged,
        Self::ConfigChanged,
        Self::PolicyChanged,
        Self::Reload,
        Self::Retry,
        Self::TargetChanged,
        Self::Pushed,
    ];

    /// The name used in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Interval => "interval",
            Self::SourceChanged => "source-changed",
            Self::ConfigChanged => "config-changed",
            Self::PolicyChanged => "policy-changed",
            Self::Reload => "reload",
            Self::Retry => "retry",
            Self::TargetChanged => "target-changed",
            Self::Pushed => "pushed",
        }
    }
}

/// Pulls triggers for one listener; clones pull for the same.
#[derive(Debug, Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

/// Hears triggers.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<BTreeSet<Trigger>>,
    news: Notify,
}

/// A sender and its receiver.
#[must_use]
pub fn channel() -> (Sender, Receiver) {
    let shared = Arc::new(Shared::default());
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

impl Sender {
    /// Pulls a trigger. One that waits already is not there twice.
    pub fn send(&self, trigger: Trigger) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(trigger);
        self.shared.news.notify_one();
    }
}

impl Receiver {
    /// All triggers that were pulled since the last time, at least one. Dropping the future loses none.
    pub async fn next(&mut self) -> BTreeSet<Trigger> {
        loop {
            if let Some(triggers) = self.waiting() {
                return triggers;
            }
            self.shared.news.notified().await;
        }
    }

    /// The triggers that wait now, without waiting.
    pub fn waiting(&mut self) -> Option<BTreeSet<Trigger>> {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        Some(std::mem::take(&mut *waiting)).filter(|triggers| !triggers.is_empty())
    }
}

/// SIGHUP: the user asks for a look now.
#[derive(Debug)]
pub struct Reloads {
    signal: Signal,
}

impl Reloads {
    /// From now on the signal no longer ends the process.
    ///
    /// # Errors
    /// When the system does not let us listen.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::hangup())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if self.signal.recv().await.is_none() {
            // The runtime delivers no signals any more: it ends, and so will this.
            std::future::pending::<()>().await;
        }
    }
}

/// SIGTERM and SIGINT: the process is to leave.
#[derive(Debug)]
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    /// From now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system does not let us listen.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either, and names it.
    pub async fn requested(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn triggers_coalesce_and_none_is_lost() {
        let (sender, mut receiver) = channel();
        for trigger in [Trigger::Interval, Trigger::Reload, Trigger::Interval] {
            sender.clone().send(trigger);
        }
        assert_eq!(receiver.next().await, BTreeSet::from([Trigger::Interval, Trigger::Reload]));
        assert_eq!(receiver.waiting(), None);
        sender.send(Trigger::Retry);
        assert_eq!(receiver.waiting(), Some(BTreeSet::from([Trigger::Retry])));
    }

    #[tokio::test]
    async fn a_dropped_wait_loses_nothing() {
        let (sender, mut receiver) = channel();
        {
            let mut wait = Box::pin(receiver.next());
            assert!(futures::poll!(&mut wait).is_pending());
            sender.send(Trigger::Start);
        }
        assert_eq!(receiver.next().await, BTreeSet::from([Trigger::Start]));
    }

    #[tokio::test]
    async fn a_waiting_listener_wakes() {
        let (sender, mut receiver) = channel();
        let listener = tokio::spawn(async move { receiver.next().await });
        tokio::task::yield_now().await;
        sender.send(Trigger::Reload);
        assert_eq!(listener.await.unwrap(), BTreeSet::from([Trigger::Reload]));
    }

    #[test]
    fn names_are_distinct() {
        let names: BTreeSet<&str> = Trigger::ALL.iter().map(|trigger| trigger.name()).collect();
        assert_eq!(names.len(), Trigger::ALL.len());
    }
}
