//! What is known about a host while the program runs: how busy it is, how it is reached, what it asks for, what it lacks.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::challenge::Challenge;
use super::scheme::Scheme;
use crate::artifact::Where;

/// How long it is believed that a host has no referrers API, or how its port is spoken to.
const BELIEVED: Duration = Duration::from_mins(5);
/// Tokens kept for one host.
const MAX_TOKENS: usize = 4096;

/// A host's state, shared by all tasks.
#[derive(Debug)]
pub(super) struct HostState {
    pub(super) permits: Semaphore,
    /// Held while the port is asked, so that it is asked once.
    pub(super) scheme: tokio::sync::Mutex<Option<(Scheme, Instant)>>,
    learned: Mutex<Learned>,
}

#[derive(Debug)]
struct Learned {
    challenge: Option<Challenge>,
    blocked: Option<Instant>,
    no_referrers: Option<Instant>,
    order: [Where; 4],
    tokens: HashMap<String, TokenSlot>,
}

/// A token or its absence, behind a lock that is held while one is fetched, so that it is fetched once.
pub(super) type TokenSlot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// A token with its end.
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) until: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Token").field("until", &self.until).finish_non_exhaustive()
    }
}

impl HostState {
    pub(super) fn new(concurrency: usize) -> Self {
        let learned =
            Learned { challenge: None, blocked: None, no_referrers: None, order: Where::ALL, tokens: HashMap::new() };
        Self {
            permits: Semaphore::new(concurrency.clamp(1, 1024)),
            scheme: tokio::sync::Mutex::new(None),
            learned: Mutex::new(learned),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Learned) -> T) -> T {
        act(&mut self.learned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The challenge that it last answered with.
    pub(super) fn challenge(&self) -> Option<Challenge> {
        self.with(|learned| learned.challenge.clone())
    }

    pub(super) fn learn_challenge(&self, challenge: Challenge) {
        self.with(|learned| {
            if learned.challenge.as_ref() != Some(&challenge) {
                // Tokens of another token server are not this one's.
                learned.tokens.clear();
                learned.challenge = Some(challenge);
            }
        });
    }

    /// The token for a repository's path.
    pub(super) fn token(&self, path: &str) -> TokenSlot {
        self.with(|learned| {
            if learned.tokens.len() >= MAX_TOKENS && !learned.tokens.contains_key(path) {
                learned.tokens.clear();
            }
            Arc::clone(learned.tokens.entry(path.to_owned()).or_default())
        })
    }

    /// Until when the host asked not to be asked.
    pub(super) fn blocked(&self) -> Option<Instant> {
        self.with(|learned| learned.blocked.filter(|until| *until > Instant::now()))
    }

    pub(super) fn block(&self, wait: Duration) {
        let until = Instant::now() + wait;
        self.with(|learned| learned.blocked = Some(learned.blocked.map_or(until, |known| known.max(until))));
    }

    pub(super) fn lacks_referrers(&self) -> bool {
        self.with(|learned| learned.no_referrers.is_some_and(|since| since.elapsed() < BELIEVED))
    }

    pub(super) fn learn_no_referrers(&self) {
        self.with(|learned| learned.no_referrers = Some(Instant::now()));
    }

    /// The places for evidence: the one that last sufficed first.
    pub(super) fn order(&self) -> [Where; 4] {
        self.with(|learned| learned.order)
    }

    pub(super) fn learn_place(&self, place: Where) {
        self.with(|learned| learned.order.sort_by_key(|known| *known != place));
    }

    /// How its port is spoken to, where that was asked lately.
    pub(super) fn believed(known: Option<(Scheme, Instant)>) -> Option<Scheme> {
        known.filter(|(_, since)| since.elapsed() < BELIEVED).map(|(scheme, _)| scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_that_sufficed_is_asked_first() {
        let host = HostState::new(8);
        let [signatures, attestations, referrers, fallback] = Where::ALL;
        assert_eq!(host.order(), [signatures, attestations, referrers, fallback]);
        host.learn_place(fallback);
        assert_eq!(host.order(), [fallback, signatures, attestations, referrers]);
        host.learn_place(attestations);
        assert_eq!(host.order(), [attestations, fallback, signatures, referrers]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_api_is_believed_for_five_minutes() {
        let host = HostState::new(8);
        assert!(!host.lacks_referrers());
        host.learn_no_referrers();
        assert!(host.lacks_referrers());
        tokio::time::advance(BELIEVED).await;
        assert!(!host.lacks_referrers());
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_is_never_shortened() {
        let host = HostState::new(8);
        host.block(Duration::from_mins(1));
        host.block(Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(host.blocked().is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(host.blocked().is_none());
    }
}
