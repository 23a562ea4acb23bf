//! Deletes what left the release, and only that: what the inventory lists, and what carries the gate's label too.
//!
//! Namespaces and definitions only where that is said, since with them goes what no inventory lists; nothing after a
//! release without objects, unless that is said. The options can keep an object, and so can the object in the cluster,
//! with an annotation; what the repository says of an object that has left it counts for nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Kubernetes;
use super::fault::{Fault, Kind};
use super::inventory::{Entry, Inventory, owner_of};
use super::kinds::{Kinds, get_metadata, path, versions};
use super::order::Rank;
use super::plan::{Id, api_version};
use super::run::{GoOn, Run};
use super::trouble;
use super::window::Window;
use super::writing::delete_request;
use crate::outcome::{Action, Outcome};

/// The annotation by which an object in the cluster keeps itself from being deleted.
const OPT_OUT: (&str, &str) = ("sealgate.dev/prune", "disabled");

/// What became of an object that left the release.
enum Fate {
    /// It was deleted.
    Deleted,
    /// It is gone, or not ours to delete.
    Forgotten,
    /// It could not be deleted.
    Failed(Fault),
    /// It was not tried: we were asked to leave off.
    LeftOff,
}

impl Run<'_> {
    /// Deletes what left the release, in reverse order. Answers with what stays in the inventory beside the release.
    pub(super) async fn prune(&mut self) -> Inventory {
        let mut left: BTreeMap<Id, Entry> = self.prepared.old.entries.clone();
        for item in &self.prepared.items {
            left.remove(&item.id);
        }
        let pruning = &self.target.options.prune;
        if !pruning.enabled || (self.prepared.items.is_empty() && !pruning.empty) {
            return Inventory { entries: left, ..Inventory::default() };
        }
        let mut order: Vec<(Rank, Id, Entry)> =
            left.into_iter().map(|(id, entry)| (Rank::of(&id.group, &id.kind), id, entry)).collect();
        order.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
        let mut kept = BTreeMap::new();
        for rank in order.chunk_by(|a, b| a.0 == b.0) {
            self.prune_rank(rank, &mut kept).await;
        }
        Inventory { entries: kept, ..Inventory::default() }
    }

    async fn prune_rank(&mut self, rank: &[(Rank, Id, Entry)], kept: &mut BTreeMap<Id, Entry>) {
        let mut window = Window::new();
        for (_, id, entry) in rank {
            window.push(self.target.prune_object(&self.prepared.kinds, id, entry, self.go_on)).await;
        }
        let fates = window.finish().await;
        for ((_, id, entry), fate) in rank.iter().zip(fates) {
            let object = id.to_string();
            match fate {
                Fate::Deleted => self.outcomes.push(Outcome::new(object, Action::Pruned)),
                Fate::Forgotten => {}
                Fate::Failed(fault) => {
                    kept.insert(id.clone(), entry.clone());
                    self.outcomes.push(Outcome::failed(object, trouble::text(id, &fault)));
                    self.trouble.pruning(id, &fault);
                }
                Fate::LeftOff => {
                    kept.insert(id.clone(), entry.clone());
                    self.trouble.left_off();
                }
            }
        }
    }
}

impl Kubernetes {
    async fn prune_object(&self, kinds: &Kinds, id: &Id, entry: &Entry, go_on: GoOn<'_>) -> Fate {
        if !self.options.prune.may_delete(id) || !self.options.reach.holds(id) {
            return Fate::Forgotten;
        }
        match self.delete(kinds, id, entry, go_on).await {
            Ok(fate) => fate,
            Err(fault) if fault.kind == Kind::NotFound => Fate::Forgotten,
            Err(fault) => Fate::Failed(fault),
        }
    }

    async fn delete(&self, kinds: &Kinds, id: &Id, entry: &Entry, go_on: GoOn<'_>) -> Result<Fate, Fault> {
        let Some(path) = self.path_of(kinds, id, entry).await? else { return Ok(Fate::Forgotten) };
        let live = self.connection.send(get_metadata(&path, id)?).await?.body;
        let Some(uid) = self.deletable(&live) else { return Ok(Fate::Forgotten) };
        let request = delete_request(&path, &id.name, uid)?;
        if !go_on() {
            return Ok(Fate::LeftOff);
        }
        self.connection.send(request).await?;
        self.settled.forget(id);
        Ok(Fate::Deleted)
    }

    /// The identity of an object that is ours to delete, and does not say no.
    pub(super) fn deletable<'a>(&self, live: &'a Value) -> Option<&'a str> {
        let metadata = live.get("metadata")?;
        let opt_out = metadata.get("annotations").and_then(|it| it.get(OPT_OUT.0)).and_then(Value::as_str);
        if owner_of(live) != Some(self.gate_label.as_str()) || opt_out == Some(OPT_OUT.1) {
            return None;
        }
        metadata.get("uid")?.as_str()
    }

    /// Where an object stands that was applied once, in whichever version its kind is served now; none where it is not.
    async fn path_of(&self, kinds: &Kinds, id: &Id, entry: &Entry) -> Result<Option<String>, Fault> {
        let applied = api_version(&id.group, &entry.version);
        if let Some(resource) = kinds.resource(&applied, &id.kind) {
            return Ok(Some(path(&applied, resource, id.namespace.as_deref())));
        }
        if let Some(path) = self.resource_of(&applied, id).await? {
            return Ok(Some(path));
        }
        for version in versions(&self.connection, &id.group).await? {
            let found = self.resource_of(&api_version(&id.group, &version), id).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn resource_of(&self, api_version: &str, id: &Id) -> Result<Option<String>, Fault> {
        let kinds = Kinds::load(&self.connection, [api_version.to_owned()].into()).await?;
        let resource = kinds.resource(api_version, &id.kind);
        Ok(resource.map(|resource| path(api_version, resource, id.namespace.as_deref())))
    }
}
