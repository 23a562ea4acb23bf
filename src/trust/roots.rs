//! The trust roots that are kept up to date: what is known of each, and when it is asked for again. A decision never
//! waits for a mirror, but where nothing at all is known yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::tuf::{Obtained, Repository};
use super::web::Reach;
use crate::outcome::{Event, Observer};
use crate::policy::material::{Held, RootSource, Unread};

/// The first wait after a refresh that failed, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));
/// Most repositories of one process: each is a folder and a label.
const MAX_ROOTS: usize = 32;
/// Time for asking where nothing is known yet, or where a tool would use what is old.
const FIRST: Duration = Duration::from_secs(20);

/// How roots are kept up to date.
#[derive(Clone)]
pub struct RootOptions {
    /// Where they are kept; only in memory, where none.
    pub folder: Option<PathBuf>,
    /// The mirror of the default root; the sigstore organisation's own, where none.
    pub mirror: Option<String>,
    /// The TUF root of the default root; the public-good one, where none.
    pub initial: Option<Vec<u8>>,
    /// How often a mirror is asked.
    pub interval: Duration,
    /// Who asks.
    pub asking: Asking,
    /// How mirrors are reached.
    pub reach: Reach,
}

/// When mirrors are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// Never: what was kept or brought along counts until the TUF root itself ends.
    Never,
    /// At the first question, where what is known is older than the interval.
    WhenNeeded,
    /// By [`Roots::keep_fresh`].
    Background,
}

/// The roots of one process.
pub struct Roots {
    options: RootOptions,
    observer: Arc<dyn Observer>,
    known: Mutex<BTreeMap<RootSource, Known>>,
    /// Wakes who keeps them fresh: there is a new one.
    added: Notify,
    /// Wakes who rests on them: one is another now.
    changed: Notify,
}

/// What is known of one root.
#[derive(Clone)]
struct Known {
    repository: Repository,
    obtained: Obtained,
    failures: u32,
    due: Timestamp,
}

impl Roots {
    /// No root yet; each is opened when it is first asked for.
    #[must_use]
    pub fn new(options: RootOptions, observer: Arc<dyn Observer>) -> Self {
        let known = Mutex::default();
        Self { options, observer, known, added: Notify::new(), changed: Notify::new() }
    }

    /// Whether nobody is asked.
    #[must_use]
    pub fn are_offline(&self) -> bool {
        self.options.asking == Asking::Never
    }

    /// The trusted root of a source, and until when it may be relied on.
    ///
    /// # Errors
    /// When nothing is known of it and it cannot be asked for.
    pub async fn root(&self, source: &RootSource) -> Result<Held, Unread> {
        let known = self.lock().get(source).cloned();
        let known = match known {
            Some(known) => known,
            None => self.open(source).await?,
        };
        Ok(self.held(&known.obtained))
    }

    fn held(&self, obtained: &Obtained) -> Held {
        let Obtained { bytes, root_ends, fresh_until, .. } = obtained;
        let good_until = if self.options.asking == Asking::Never { *root_ends } else { *fresh_until };
        Held { bytes: bytes.clone(), good_until: Some(good_until) }
    }

    async fn open(&self, source: &RootSource) -> Result<Known, Unread> {
        if self.lock().len() >= MAX_ROOTS {
            return Err(Unread::Wrong(format!("more than {MAX_ROOTS} trust roots are named")));
        }
        let repository = self.repository(source);
        let now = now();
        let at_hand = repository.at_hand().await;
        let stale = |obtained: &Obtained| due(obtained, self.options.interval) <= now;
        let ask = match (self.options.asking, &at_hand) {
            (Asking::Never, _) | (Asking::Background, Ok(_)) => false,
            (Asking::Background, Err(_)) => true,
            (Asking::WhenNeeded, at_hand) => at_hand.as_ref().map_or(true, stale),
        };
        let asked = if ask { Some(self.ask(&repository, now, FIRST).await) } else { None };
        let obtained = match (asked, at_hand) {
            (Some(Ok(obtained)), _) | (None, Ok(obtained)) => obtained,
            (Some(Err(why)), Ok(obtained)) => {
                tracing::warn!(
                    mirror = repository.mirror,
                    error = why,
                    "trust root not refreshed; the one at hand is used"
                );
                obtained
            }
            (Some(Err(why)), Err(_)) | (None, Err(why)) => return Err(Unread::Unavailable(why)),
        };
        let due = due(&obtained, self.options.interval);
        let known = Known { repository, obtained, failures: 0, due };
        self.tell(&known);
        self.lock().insert(source.clone(), known.clone());
        self.added.notify_one();
        Ok(known)
    }

    fn repository(&self, source: &RootSource) -> Repository {
        let RootOptions { folder, mirror, initial, .. } = &self.options;
        let repository = match source {
            RootSource::Default => match (mirror, initial) {
                (Some(mirror), Some(initial)) => Repository::private(mirror, initial.clone()),
                (mirror, _) => Repository::public_good(mirror.as_deref()),
            },
            RootSource::Tuf { mirror, initial: Some(initial) } => Repository::private(mirror, initial.clone()),
            RootSource::Tuf { mirror, initial: None } => Repository::public_good(Some(mirror)),
        };
        repository.kept_below(folder.as_deref())
    }

    async fn ask(&self, repository: &Repository, now: Timestamp, time: Duration) -> Result<Obtained, String> {
        let asked = tokio::time::timeout(time, repository.refresh(&self.options.reach, now)).await;
        let asked =
            asked.unwrap_or_else(|_| Err(format!("`{}` took more than {} s", repository.mirror, time.as_secs())));
        self.observer.observe(&Event::TrustRootRefresh { root: &label(repository), succeeded: asked.is_ok() });
        asked
    }

    fn tell(&self, known: &Known) {
        let Held { good_until, .. } = self.held(&known.obtained);
        self.observer.observe(&Event::TrustRoot {
            root: &label(&known.repository),
            refreshed: known.obtained.refreshed,
            good_until,
        });
    }

    /// Waits until a root is another one than before.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Asks each mirror when it is due; for ever. To be dropped when nobody needs it any more.
    pub async fn keep_fresh(&self) {
        loop {
            let next = self.lock().iter().map(|(source, known)| (known.due, source.clone())).min();
            let Some((due, source)) = next.filter(|_| self.options.asking == Asking::Background) else {
                self.added.notified().await;
                continue;
            };
            let wait = Duration::try_from(now().duration_until(due)).unwrap_or_default();
            tokio::select! {
                () = tokio::time::sleep(wait) => self.renew(&source).await,
                () = self.added.notified() => {}
            }
        }
    }

    async fn renew(&self, source: &RootSource) {
        let Some(mut known) = self.lock().get(source).cloned() else { return };
        let now = now();
        match self.ask(&known.repository, now, Duration::MAX).await {
            Ok(obtained) => {
                let another =
                    obtained.bytes != known.obtained.bytes || obtained.fresh_until != known.obtained.fresh_until;
                tracing::info!(mirror = known.repository.mirror, changed = another, "trust root refreshed");
                known = Known {
                    due: due(&obtained, self.options.interval).max(now + AGAIN.0),
                    failures: 0,
                    obtained,
                    ..known
                };
                if another {
                    self.changed.notify_one();
                }
            }
            Err(why) => {
                let wait = AGAIN.0.saturating_mul(1_u32.checked_shl(known.failures).unwrap_or(u32::MAX)).min(AGAIN.1);
                tracing::warn!(
                    mirror = known.repository.mirror,
                    error = why,
                    good_until = %known.obtained.fresh_until,
                    "trust root not refreshed"
                );
                known.failures = known.failures.saturating_add(1);
                known.due = now + wait;
            }
        }
        self.tell(&known);
        self.lock().insert(source.clone(), known);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<RootSource, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a root is asked for again: an interval after the last time, and in any case well before it ends.
fn due(obtained: &Obtained, interval: Duration) -> Timestamp {
    let Some(refreshed) = obtained.refreshed else { return Timestamp::UNIX_EPOCH };
    let life = Duration::try_from(refreshed.duration_until(obtained.fresh_until)).unwrap_or_default();
    refreshed.saturating_add(interval.min(life / 2)).unwrap_or(Timestamp::MAX)
}

/// What metrics call a repository: its host.
fn label(repository: &Repository) -> String {
    let url = url::Url::parse(&repository.mirror).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "other".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "how old a root is can only be told by the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}
