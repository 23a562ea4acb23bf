//! Watches what was applied, so that an object which nobody touched costs no request.
//!
//! One watch for each kind and namespace, of the gate's label and of metadata alone. Where one cannot be had, its objects
//! are asked for one by one, as before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use kube::Api;
use kube::api::PartialObjectMeta;
use kube::core::{ApiResource, DynamicObject, GroupVersion};
use kube::runtime::watcher::{self, Config, Event};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::connection::chain;
use super::kinds::Kinds;
use super::plan::{GATE_LABEL, Id, Item};
use super::settled::Settled;
use super::version::version;

/// The most watches of a gate; objects beyond are asked for.
const MAX_WATCHES: usize = 200;
/// The first wait after a watch failed; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// An object's metadata.
type Metadata = PartialObjectMeta<DynamicObject>;

/// What is watched: the objects of a kind in a namespace, or in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Field {
    group: String,
    version: String,
    kind: String,
    plural: String,
    namespace: Option<String>,
}

/// The watches of a gate.
pub(super) struct Watches {
    client: kube::Client,
    gate_label: String,
    settled: Settled,
    running: Mutex<BTreeMap<Field, Running>>,
    news: Arc<Notify>,
}

/// A watch; it ends when this is dropped.
struct Running {
    seen: Arc<Mutex<Seen>>,
    task: AbortHandle,
}

/// The versions of the objects that a watch has seen, by name; none while it is not in step.
type Seen = Option<BTreeMap<String, String>>;

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Field {
    fn of(item: &Item, kinds: &Kinds) -> Option<Self> {
        Some(Self {
            group: item.id.group.clone(),
            version: item.version.clone(),
            kind: item.id.kind.clone(),
            plural: item.resource(kinds)?.plural.clone(),
            namespace: item.id.namespace.clone(),
        })
    }

    fn api(&self, client: kube::Client) -> Api<Metadata> {
        let resource = ApiResource {
            group: self.group.clone(),
            version: self.version.clone(),
            api_version: GroupVersion::gv(&self.group, &self.version).api_version(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
        };
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    fn id(&self, name: &str) -> Id {
        Id {
            group: self.group.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }
}

impl Watches {
    /// No watch yet.
    pub(super) fn new(client: kube::Client, gate_label: String, settled: Settled) -> Self {
        Self { client, gate_label, settled, running: Mutex::default(), news: Arc::default() }
    }

    /// Watches the kinds and namespaces of these objects, and no others.
    pub(super) fn keep(&self, items: &[Item], kinds: &Kinds) {
        let mut wanted: BTreeSet<Field> = items.iter().filter_map(|item| Field::of(item, kinds)).collect();
        if wanted.len() > MAX_WATCHES {
            tracing::info!(
                kinds = wanted.len(),
                watched = MAX_WATCHES,
                "not all objects are watched; the others are asked for"
            );
            wanted = wanted.into_iter().take(MAX_WATCHES).collect();
        }
        let mut running = lock(&self.running);
        running.retain(|field, watch| wanted.contains(field) && !watch.task.is_finished());
        for field in wanted {
            running.entry(field).or_insert_with_key(|field| self.start(field.clone()));
        }
    }

    /// Whether a watch says that an object is as it was when it was found right.
    pub(super) fn is_untouched(&self, item: &Item, kinds: &Kinds) -> bool {
        let Some(field) = Field::of(item, kinds) else { return false };
        let running = lock(&self.running);
        let Some(watch) = running.get(&field) else { return false };
        let seen = lock(&watch.seen);
        let version = seen.as_ref().and_then(|versions| versions.get(&item.id.name));
        version.is_some() && version == self.settled.version(item).as_ref()
    }

    /// Waits until a watch sees something that is not as it was found right.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    fn start(&self, field: Field) -> Running {
        let seen = Arc::<Mutex<Seen>>::default();
        let watch = Watch {
            field,
            client: self.client.clone(),
            selector: format!("{GATE_LABEL}={}", self.gate_label),
            seen: Arc::clone(&seen),
            settled: self.settled.clone(),
            news: Arc::clone(&self.news),
        };
        Running { seen, task: tokio::spawn(watch.run()).abort_handle() }
    }
}

/// The task of one watch.
struct Watch {
    field: Field,
    client: kube::Client,
    selector: String,
    seen: Arc<Mutex<Seen>>,
    settled: Settled,
    news: Arc<Notify>,
}

impl Watch {
    async fn run(self) {
        let mut wait = FIRST_WAIT;
        loop {
            let (error, was_in_step) = self.follow().await;
            // What happens from now on is not seen: whoever asks must ask the cluster.
            *lock(&self.seen) = None;
            wait = if was_in_step { FIRST_WAIT } else { wait.saturating_mul(2).min(LONGEST_WAIT) };
            tracing::info!(
                kind = self.field.kind,
                namespace = self.field.namespace,
                error,
                "a watch failed; it is begun anew"
            );
            tokio::time::sleep(wait).await;
        }
    }

    /// Lists and follows until it fails; says why, and whether it was in step before.
    async fn follow(&self) -> (String, bool) {
        let config = Config::default().labels(&self.selector);
        let events = watcher::watcher(self.field.api(self.client.clone()), config);
        pin_mut!(events);
        let mut listed = BTreeMap::new();
        let mut in_step = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => listed.extend(self.read(&object)),
                Ok(Event::InitDone) => {
                    in_step = true;
                    self.listed(std::mem::take(&mut listed));
                }
                Ok(Event::Apply(object)) => self.applied(&object),
                Ok(Event::Delete(object)) => self.deleted(&object),
                Err(error) => return (chain(&error), in_step),
            }
        }
        ("the watch ended".to_owned(), in_step)
    }

    fn read(&self, object: &Metadata) -> Option<(String, String)> {
        // The metadata that was just read can be written.
        let metadata = serde_json::to_value(&object.metadata).ok()?;
        let version = version(&self.field.group, &json!({ "metadata": metadata }))?;
        Some((object.metadata.name.clone()?, version))
    }

    fn listed(&self, versions: BTreeMap<String, String>) {
        let is_of_field = |id: &Id| self.field.id(&id.name) == *id;
        let differs = versions.iter().any(|(name, version)| !self.settled.is_at(&self.field.id(name), version))
            || self.settled.ids(is_of_field).iter().any(|id| !versions.contains_key(&id.name));
        *lock(&self.seen) = Some(versions);
        if differs {
            self.news.notify_one();
        }
    }

    fn applied(&self, object: &Metadata) {
        let Some((name, version)) = self.read(object) else { return self.deleted(object) };
        let is_settled = self.settled.is_at(&self.field.id(&name), &version);
        if let Some(versions) = lock(&self.seen).as_mut() {
            versions.insert(name, version);
        }
        if !is_settled {
            self.news.notify_one();
        }
    }

    fn deleted(&self, object: &Metadata) {
        if let (Some(versions), Some(name)) = (lock(&self.seen).as_mut(), &object.metadata.name) {
            versions.remove(name);
        }
        self.news.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
