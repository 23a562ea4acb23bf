//! The queues: one for each channel, bounded; one task each, which sends and tries again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::message::{Message, Outcome};
use super::post::{Poster, Refused};
use super::{Channel, Service};

/// Messages that wait for a channel; beyond, the oldest goes.
const MAX_WAITING: usize = 64;
/// How often one message is sent, with [`FIRST_WAIT`] after the first time, twice that after the second, and so on:
/// a quarter of an hour in all.
const ATTEMPTS: u32 = 10;
/// The first wait.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait, also where a service asks for more.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// How often an alert that stands is told again; it ends by itself after three of these.
const REFRESH: Duration = Duration::from_mins(3);

/// Takes messages for all channels.
#[derive(Debug, Default)]
pub struct Outbox {
    queues: Vec<Arc<Queue>>,
    /// They end with the outbox.
    tasks: JoinSet<()>,
}

/// What waits for one channel.
#[derive(Debug)]
struct Queue {
    channel: Channel,
    waiting: Mutex<VecDeque<Arc<Message>>>,
    news: Notify,
    /// Messages that are neither sent nor given up.
    open: watch::Sender<usize>,
}

impl Outbox {
    /// Starts a task for each channel.
    #[must_use]
    pub fn start(channels: Vec<(Channel, Poster)>) -> Self {
        let mut outbox = Self::default();
        for (channel, poster) in channels {
            let queue = Arc::new(Queue {
                channel,
                waiting: Mutex::default(),
                news: Notify::new(),
                open: watch::Sender::new(0),
            });
            outbox.queues.push(Arc::clone(&queue));
            outbox.tasks.spawn(work(queue, poster));
        }
        outbox
    }

    /// Puts a message into the queues of those who show what changed. Never waits.
    pub fn announce(&self, message: &Arc<Message>) {
        self.put(message, false);
    }

    /// Puts a message into the queues of those who show the last word on a revision. Never waits.
    pub fn state(&self, message: &Arc<Message>) {
        self.put(message, true);
    }

    fn put(&self, message: &Arc<Message>, status: bool) {
        let fits = |queue: &&Arc<Queue>| {
            let Channel { gates, service, .. } = &queue.channel;
            service.is_status() == status && (gates.is_empty() || gates.contains(&message.gate))
        };
        self.queues.iter().filter(fits).for_each(|queue| queue.put(Arc::clone(message)));
    }

    /// Waits until everything is sent or given up, but not longer than this.
    pub async fn drain(&self, longest: Duration) {
        let all = async {
            for queue in &self.queues {
                let mut open = queue.open.subscribe();
                // The sender lives in the queue itself.
                let _closed = open.wait_for(|open| *open == 0).await;
            }
        };
        if timeout(longest, all).await.is_err() {
            tracing::warn!("not everybody could be told in time");
        }
    }
}

impl Queue {
    fn put(&self, message: Arc<Message>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Of one revision only the last word counts.
        let same = |old: &Arc<Message>| old.gate == message.gate && old.revision == message.revision;
        let before = waiting.len();
        waiting.retain(|old| !same(old));
        if waiting.len() >= MAX_WAITING {
            waiting.pop_front();
            tracing::warn!(channel = self.channel.name, "too many messages wait; the oldest is not told");
        }
        waiting.push_back(message);
        let (after, before) = (waiting.len(), before);
        drop(waiting);
        self.open.send_modify(|open| *open = open.saturating_add(after).saturating_sub(before));
        self.news.notify_one();
    }

    fn take(&self) -> Option<Arc<Message>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether something newer waits about the same revision.
    fn is_outdated(&self, message: &Message) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().any(|newer| newer.gate == message.gate && newer.revision == message.revision)
    }

    fn done(&self) {
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

async fn work(queue: Arc<Queue>, poster: Poster) {
    let mut standing = BTreeMap::<String, Arc<Message>>::new();
    let mut refresh = Instant::now() + REFRESH;
    loop {
        while let Some(message) = queue.take() {
            if matches!(queue.channel.service, Service::Alertmanager { .. }) {
                match message.outcome {
                    Outcome::Pass => standing.remove(&message.gate),
                    Outcome::Refuse | Outcome::Undecided | Outcome::Error => {
                        standing.insert(message.gate.clone(), Arc::clone(&message))
                    }
                };
            }
            deliver(&queue, &poster, &message).await;
            queue.done();
        }
        tokio::select! {
            () = queue.news.notified() => {}
            () = sleep_until(refresh), if !standing.is_empty() => {
                for message in standing.values() {
                    deliver(&queue, &poster, message).await;
                }
            }
        }
        if refresh <= Instant::now() || standing.is_empty() {
            refresh = Instant::now() + REFRESH;
        }
    }
}

/// Sends a message until it is taken, something newer waits, or it was tried often enough.
async fn deliver(queue: &Queue, poster: &Poster, message: &Message) {
    let (channel, gate) = (queue.channel.name.as_str(), message.gate.as_str());
    for attempt in 0..ATTEMPTS {
        let wait = match poster.tell(&queue.channel.service, message).await {
            Ok(()) => {
                tracing::info!(channel, gate, state = message.outcome.name(), "told");
                return;
            }
            Err(Refused::Never(error)) => {
                tracing::warn!(channel, gate, error, "not told: the service does not take it");
                return;
            }
            Err(Refused::Later(error, asked)) => {
                tracing::debug!(channel, gate, error, attempt, "not told yet");
                if attempt.saturating_add(1) == ATTEMPTS {
                    tracing::warn!(channel, gate, error, "not told: tried often enough");
                    return;
                }
                let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
                doubled.max(asked.unwrap_or_default()).min(LONGEST_WAIT)
            }
        };
        sleep(wait).await;
        if queue.is_outdated(message) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        let channel =
            Channel { name: "ops".to_owned(), gates: Vec::new(), service: Service::Slack { url_file: "x".into() } };
        Queue { channel, waiting: Mutex::default(), news: Notify::new(), open: watch::Sender::new(0) }
    }

    fn message(revision: usize, outcome: Outcome) -> Arc<Message> {
        Arc::new(Message {
            gate: "a".to_owned(),
            mode: "enforce",
            revision: Some(revision.to_string()),
            outcome,
            previous: None,
            counts: [0; 4],
            troubles: Vec::new(),
            more: 0,
            time: jiff::Timestamp::UNIX_EPOCH,
        })
    }

    #[test]
    fn a_queue_is_bounded_and_keeps_the_last_word_on_each_revision() {
        let queue = queue();
        for revision in 0..200 {
            queue.put(message(revision, Outcome::Undecided));
            queue.put(message(revision, Outcome::Refuse));
        }
        assert_eq!(*queue.open.borrow(), MAX_WAITING);
        assert!(queue.is_outdated(&message(199, Outcome::Undecided)));
        let mut taken = Vec::new();
        while let Some(message) = queue.take() {
            assert_eq!(message.outcome, Outcome::Refuse);
            taken.push(message.revision.clone().unwrap());
            queue.done();
        }
        assert_eq!((taken.len(), taken.last().map(String::as_str)), (MAX_WAITING, Some("199")));
        assert_eq!(*queue.open.borrow(), 0);
    }
}
