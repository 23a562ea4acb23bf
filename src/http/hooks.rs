//! `POST /hooks/GATE`: a signed push event makes a gate look at its source, and does nothing else. The body is checked
//! and thrown away; which gates there are is told to nobody who cannot sign.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Path as Segment, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::outcome::{Event, HookResult, Observer};
use crate::push::{Provider, Secret};

/// Largest body in bytes. A push of a hundred commits has some 100 KB; what is larger waits for the interval.
const MAX_BODY: usize = 1 << 20;
/// Bodies that are read at once.
const BODIES: usize = 16;
/// Requests that may come in a burst.
const BURST: f64 = 30.0;
/// Requests a second, on the long run.
const RATE: f64 = 2.0;
/// Largest secret file in bytes.
const MAX_SECRET: u64 = 8192;

/// The push events that a gate listens to.
#[derive(Clone)]
pub struct Hook {
    /// Who sends them.
    pub provider: Provider,
    /// The file with the secret; read for each event, so that it can be exchanged.
    pub secret_file: PathBuf,
    /// Makes the gate look.
    pub pull: Arc<dyn Fn() + Send + Sync>,
}

/// The hooks of all gates, exchanged as a whole when the configuration changes.
pub type Book = Arc<RwLock<BTreeMap<String, Hook>>>;

/// What the receiver of events knows.
#[derive(Clone)]
pub(super) struct Desk {
    book: Book,
    observer: Arc<dyn Observer>,
    bucket: Arc<Mutex<Bucket>>,
    bodies: Arc<Semaphore>,
    /// What an unknown gate's signature is compared with, so that it takes as long as a known one's.
    nobody: Arc<Secret>,
}

/// Lets a burst through, and then so many a second.
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        self.left = (self.left + gained).min(BURST);
        self.at = now;
        let is_left = self.left >= 1.0;
        if is_left {
            self.left -= 1.0;
        }
        is_left
    }
}

impl Desk {
    pub(super) fn new(book: Book, observer: Arc<dyn Observer>) -> Option<Self> {
        let nobody = Secret::read(Provider::Generic, GENERATED.as_bytes()).ok()?;
        let bucket = Arc::new(Mutex::new(Bucket::new(Instant::now())));
        Some(Self { book, observer, bucket, bodies: Arc::new(Semaphore::new(BODIES)), nobody: Arc::new(nobody) })
    }
}

/// No secret: whatever is signed with it is refused all the same.
const GENERATED: &str = "nobody signs with these bytes";

/// Takes an event.
pub(super) async fn receive(
    State(desk): State<Desk>,
    Segment(gate): Segment<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let result = desk.judge(&gate, &headers, body).await;
    desk.observer.observe(&Event::Hook { result });
    match result {
        HookResult::Accepted => (StatusCode::ACCEPTED, "accepted\n").into_response(),
        HookResult::Rejected => (StatusCode::FORBIDDEN, "not signed by whom this is for\n").into_response(),
        HookResult::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too large\n").into_response(),
        HookResult::Limited => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "5")], "too many\n").into_response()
        }
    }
}

impl Desk {
    async fn judge(&self, gate: &str, headers: &HeaderMap, body: Body) -> HookResult {
        let is_let_in = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        let (true, Ok(_slot)) = (is_let_in, self.bodies.try_acquire()) else { return HookResult::Limited };
        let Ok(body) = to_bytes(body, MAX_BODY).await else { return HookResult::TooLarge };
        let hook = self.book.read().unwrap_or_else(PoisonError::into_inner).get(gate).cloned();
        let once = |name: &str| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let Some(hook) = hook else {
            let _refused_all_the_same = self.nobody.signed(Provider::Generic, once, &body, now());
            return HookResult::Rejected;
        };
        match secret(&hook.secret_file, hook.provider).await {
            Ok(secret) if secret.signed(hook.provider, once, &body, now()) => {
                (hook.pull)();
                HookResult::Accepted
            }
            Ok(_) => HookResult::Rejected,
            Err(error) => {
                tracing::warn!(gate, error, "the secret of push events cannot be read");
                HookResult::Rejected
            }
        }
    }
}

/// The secret in a file.
async fn secret(path: &Path, provider: Provider) -> Result<Secret, String> {
    use tokio::io::AsyncReadExt as _;
    let file = tokio::fs::File::open(path).await.map_err(|error| error.to_string())?;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    file.take(MAX_SECRET).read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    Secret::read(provider, &bytes).map_err(str::to_owned)
}

/// Seconds since 1970, for events that carry their time.
#[expect(clippy::disallowed_methods, reason = "a signed time is compared with the clock where the request comes in")]
fn now() -> i64 {
    Timestamp::now().as_second()
}

/// For how long at most an event is read.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_through_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let count = |bucket: &mut Bucket, at: Instant| (0..100).filter(|_| bucket.take(at)).count();
        assert_eq!(count(&mut bucket, start), 30);
        assert_eq!(count(&mut bucket, start + Duration::from_secs(3)), 6);
        assert_eq!(count(&mut bucket, start + Duration::from_hours(1)), 30);
    }
}
