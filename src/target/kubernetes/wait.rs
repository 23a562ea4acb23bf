//! Waits, by watch and within a time, until what was applied is as it should be; tells how it fares meanwhile.
//!
//! One task for each release that was applied; the next release ends it. When the time is over it goes on looking until all
//! is well, since what comes late is worth knowing. It changes nothing, and nothing waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt as _, future};
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::connection::chain;
use super::drift::Known;
use super::fault::clean;
use super::health::{self, Fare};
use super::plan::{GATE_LABEL, Id};
use crate::outcome::health::{Health, MAX_OBJECTS, ObjectHealth, State, Status};

/// News are told at most this often, unless they change how the whole fares.
const PACE: Duration = Duration::from_secs(1);
/// The most watches of one wait; objects beyond are not looked at.
const MAX_WATCHES: usize = 200;
/// The longest message about one object, in characters.
const MAX_MESSAGE: usize = 300;

/// How the release that was applied last fares.
pub(super) struct Outlook {
    client: kube::Client,
    gate_label: String,
    limit: Option<Duration>,
    now: Arc<Mutex<Option<Health>>>,
    news: Arc<Notify>,
    task: Mutex<Option<AbortHandle>>,
}

impl Drop for Outlook {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl Outlook {
    /// Nothing was applied yet. Without a limit nobody ever looks.
    pub(super) fn new(client: kube::Client, gate_label: String, limit: Option<Duration>) -> Self {
        Self { client, gate_label, limit, now: Arc::default(), news: Arc::default(), task: Mutex::default() }
    }

    /// How it fares now; none before the first look.
    pub(super) fn now(&self) -> Option<Health> {
        lock(&self.now).clone()
    }

    /// Waits for news.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    /// Whether somebody looks already, or is done.
    pub(super) fn is_begun(&self) -> bool {
        lock(&self.task).is_some()
    }

    /// Looks at what was applied, from now on at this and at nothing else.
    pub(super) fn begin(&self, known: &Known, revision: &str) {
        let Some(limit) = self.limit else { return };
        let mut fares = BTreeMap::new();
        let mut fields: BTreeMap<(String, Option<String>), (ApiResource, Vec<Id>)> = BTreeMap::new();
        for item in &known.items {
            let at_once = health::is_at_once(&item.id.group, &item.id.kind);
            let Some(resource) = item.resource(&known.kinds).filter(|_| !at_once) else {
                fares.insert(item.id.clone(), (Status::Current, String::new()));
                continue;
            };
            let kind = item.api_resource(resource);
            fares.insert(item.id.clone(), (Status::Unknown, "it was not looked at yet".to_owned()));
            let key = (format!("{}/{}", kind.api_version, kind.plural), item.id.namespace.clone());
            fields.entry(key).or_insert_with(|| (kind, Vec::new())).1.push(item.id.clone());
        }
        let watches = fields.into_iter().take(MAX_WATCHES).map(|((_, namespace), (kind, ids))| {
            let ids = ids.into_iter().map(|id| (id.name.clone(), id)).collect();
            self.watch(&kind, namespace, ids)
        });
        let wait = Wait {
            revision: revision.to_owned(),
            fares,
            news: watches.collect(),
            deadline: Instant::now() + limit,
            is_late: Late::No,
            now: Arc::clone(&self.now),
            told: Arc::clone(&self.news),
        };
        let task = tokio::spawn(wait.run()).abort_handle();
        if let Some(before) = lock(&self.task).replace(task) {
            before.abort();
        }
    }

    /// What a watch says about these objects. It ends where the watch is forbidden.
    fn watch(
        &self,
        kind: &ApiResource,
        namespace: Option<String>,
        ids: BTreeMap<String, Id>,
    ) -> BoxStream<'static, Vec<(Id, Fare)>> {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), &namespace, kind),
            None => Api::all_with(self.client.clone(), kind),
        };
        let config = Config::default().labels(&format!("{GATE_LABEL}={}", self.gate_label));
        let events = watcher::watcher(api, config).default_backoff();
        let mut field = Field { ids, seen: BTreeMap::new(), done: BTreeMap::new(), is_closed: false };
        let said = events.scan((), move |(), event| future::ready(field.hear(event)));
        said.boxed()
    }
}

/// The objects of one watch.
struct Field {
    ids: BTreeMap<String, Id>,
    /// What a list that is not complete yet has told.
    seen: BTreeMap<String, Fare>,
    /// The objects that may be gone without being missed.
    done: BTreeMap<String, Fare>,
    is_closed: bool,
}

impl Field {
    /// What an event says; none once the watch was forbidden.
    fn hear(&mut self, event: Result<Event<DynamicObject>, watcher::Error>) -> Option<Vec<(Id, Fare)>> {
        if self.is_closed {
            return None;
        }
        Some(match event {
            Ok(Event::Init) => {
                self.seen.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                if let Some((name, fare)) = self.read(&object) {
                    self.seen.insert(name, fare);
                }
                Vec::new()
            }
            Ok(Event::InitDone) => self.listed(),
            Ok(Event::Apply(object)) => {
                self.read(&object).into_iter().filter_map(|(name, fare)| self.said(&name, fare)).collect()
            }
            Ok(Event::Delete(object)) => {
                let name = object.metadata.name.unwrap_or_default();
                let fare = self.absent(&name);
                self.said(&name, fare).into_iter().collect()
            }
            Err(error) => {
                self.is_closed = is_forbidden(&error);
                let fare = (Status::Unknown, clean(&chain(&error)));
                self.ids.values().map(|id| (id.clone(), fare.clone())).collect()
            }
        })
    }

    fn read(&mut self, object: &DynamicObject) -> Option<(String, Fare)> {
        let name = object.metadata.name.clone()?;
        let id = self.ids.get(&name)?;
        // What was just read can be written.
        let value = serde_json::to_value(object).ok()?;
        let fare = health::of(&id.group, &id.kind, &value);
        if health::may_be_gone(&id.group, &id.kind, &value) {
            self.done.insert(name.clone(), fare.clone());
        }
        Some((name, fare))
    }

    /// An object that is not there. A job with a time to live counts as it was seen last.
    fn absent(&self, name: &str) -> Fare {
        let was_done = self.done.get(name).filter(|(status, _)| matches!(status, Status::Current | Status::Failed));
        was_done.cloned().unwrap_or_else(|| (Status::NotFound, "it is not there".to_owned()))
    }

    fn listed(&mut self) -> Vec<(Id, Fare)> {
        let mut seen = std::mem::take(&mut self.seen);
        self.ids.iter().map(|(name, id)| (id.clone(), seen.remove(name).unwrap_or_else(|| self.absent(name)))).collect()
    }

    fn said(&self, name: &str, fare: Fare) -> Option<(Id, Fare)> {
        self.ids.get(name).map(|id| (id.clone(), fare))
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    if let watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error
    {
        return matches!(status.code, 403 | 405);
    }
    false
}

/// Whether the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    No,
    Yes,
}

/// One wait for one release.
struct Wait {
    revision: String,
    fares: BTreeMap<Id, Fare>,
    news: SelectAll<BoxStream<'static, Vec<(Id, Fare)>>>,
    deadline: Instant,
    is_late: Late,
    now: Arc<Mutex<Option<Health>>>,
    told: Arc<Notify>,
}

impl Wait {
    async fn run(mut self) {
        let mut last = self.state();
        let mut next = Instant::now();
        let mut is_stale = false;
        self.tell();
        while last != State::Healthy && !(self.is_late == Late::Yes && self.news.is_empty() && !is_stale) {
            tokio::select! {
                Some(said) = self.news.next() => {
                    is_stale |= !said.is_empty();
                    self.fares.extend(said);
                }
                () = sleep_until(next), if is_stale => {
                    self.tell();
                    is_stale = false;
                    next = Instant::now() + PACE;
                }
                () = sleep_until(self.deadline), if self.is_late == Late::No => self.is_late = Late::Yes,
            }
            let state = self.state();
            if state != last {
                last = state;
                self.tell();
            }
        }
    }

    fn state(&self) -> State {
        let any = |wanted: Status| self.fares.values().any(|(status, _)| *status == wanted);
        if any(Status::Failed) {
            State::Failed
        } else if self.fares.values().all(|(status, _)| *status == Status::Current) {
            State::Healthy
        } else if self.is_late == Late::No {
            State::Waiting
        } else if any(Status::Unknown) {
            State::Unknown
        } else {
            State::TimedOut
        }
    }

    fn tell(&self) {
        let mut counts: BTreeMap<Status, usize> = BTreeMap::new();
        for (status, _) in self.fares.values() {
            let count = counts.entry(*status).or_default();
            *count = count.saturating_add(1);
        }
        let lacking = self.fares.iter().filter(|(_, (status, _))| *status != Status::Current);
        let mut objects: Vec<ObjectHealth> = lacking
            .map(|(id, (status, message))| ObjectHealth {
                object: id.to_string(),
                status: *status,
                message: clean(message).chars().take(MAX_MESSAGE).collect(),
            })
            .collect();
        // What failed is told before what is still coming about.
        objects.sort_by_key(|object| object.status != Status::Failed);
        objects.truncate(MAX_OBJECTS);
        *lock(&self.now) = Some(Health { revision: self.revision.clone(), state: self.state(), counts, objects });
        self.told.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
