//! What differs in the cluster from the release that was applied.
//!
//! An object that still has the version at which it was found to be right costs nothing where a watch says so, and one
//! small request where none does. Any other is compared with what a dry run of the apply would make of it: where the two differ, somebody changed a field that is ours. An image
//! that nobody verified is a difference too, whoever owns it.

use std::sync::{Arc, PoisonError};

use serde_json::Value;

use super::fault::{Fault, Kind};
use super::inventory::Inventory;
use super::kinds::{Kinds, get, get_metadata, path};
use super::plan::{self, Item};
use super::prepare::mark;
use super::trouble::Trouble;
use super::version::version;
use super::window::Window;
use super::writing::{Write, apply_request};
use super::{Kubernetes, images};
use crate::gate::release::ApprovedRelease;
use crate::image::Digest;
use crate::target::TargetError;

/// Fields that the cluster keeps for itself.
const KEPT_BY_CLUSTER: [&str; 3] = ["managedFields", "resourceVersion", "generation"];

/// Whether an object is as the release has it.
enum State {
    /// It is.
    Same,
    /// It is not.
    Different,
}

/// A release whose objects have their places.
pub(super) struct Known {
    pub(super) content: Digest,
    pub(super) items: Vec<Item>,
    pub(super) kinds: Kinds,
}

impl Kubernetes {
    /// The objects that differ.
    pub(super) async fn differences(&self, release: &ApprovedRelease) -> Result<Vec<String>, TargetError> {
        let items = self.read(release)?;
        let content = plan::content(&items);
        let kept = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = kept.filter(|known| known.content == content);
        if kept.is_some_and(|it| it.items.iter().all(|item| self.watches.is_untouched(item, &it.kinds))) {
            return Ok(Vec::new());
        }
        let kinds = self.kinds_of(&items).await?;
        let items = self.place(items, &kinds)?;
        let known = self.follow(Known { content, items, kinds });
        if !self.outlook.is_begun() {
            self.outlook.begin(&known, &release.revision().id);
        }
        self.compare_all(&known, release.revision().id.as_str()).await
    }

    /// Watches these objects from now on, where drift matters at all.
    pub(super) fn follow(&self, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        if self.options.watch {
            self.watches.keep(&known.items, &known.kinds);
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        }
        known
    }

    async fn compare_all(&self, known: &Known, revision: &str) -> Result<Vec<String>, TargetError> {
        let inventory = self.inventory().await?;
        let Known { items, kinds, .. } = known;
        let touched: Vec<&Item> = items.iter().filter(|item| !self.watches.is_untouched(item, kinds)).collect();
        let mut window = Window::new();
        for item in &touched {
            window.push(self.compare(kinds, &inventory, revision, item)).await;
        }
        let states = window.finish().await;
        let mut different = Vec::new();
        let mut trouble = Trouble::default();
        for (item, state) in touched.into_iter().zip(states) {
            match state {
                Ok(State::Same) => {}
                Ok(State::Different) => different.push(item.id.to_string()),
                Err(fault) => trouble.object(item, &fault),
            }
        }
        if trouble.is_none() { Ok(different) } else { Err(trouble.into_error(Vec::new())) }
    }

    async fn compare(&self, kinds: &Kinds, old: &Inventory, revision: &str, item: &Item) -> Result<State, Fault> {
        let Some(resource) = item.resource(kinds) else { return Ok(State::Different) };
        let path = path(&item.api_version(), resource, item.id.namespace.as_deref());
        match self.compare_at(&path, mark(old, revision, item), item).await {
            Err(fault) if fault.kind.is_of_cluster() => Err(fault),
            // An apply that is refused now would not have been when it was made.
            Err(_) => Ok(State::Different),
            done => done,
        }
    }

    async fn compare_at(&self, path: &str, mark: &str, item: &Item) -> Result<State, Fault> {
        if let Some(settled) = self.settled.version(item) {
            match self.connection.send(get_metadata(path, &item.id)?).await {
                Ok(live) if version(&item.id.group, &live.body).as_ref() == Some(&settled) => return Ok(State::Same),
                Ok(_) => {}
                Err(fault) => return self.missing(item, fault),
            }
        }
        let live = match self.connection.send(get(&format!("{path}/{}", item.id.name))?).await {
            Ok(answer) => answer.body,
            Err(fault) => return self.missing(item, fault),
        };
        let request = apply_request(path, &item.id.name, &item.marked(mark), Write::DryRun)?;
        let applied = self.connection.send(request).await?.body;
        let foreign = images::foreign(&live, &item.images);
        if content(&live) != content(&applied) || self.refuses(&foreign) {
            self.settled.forget(&item.id);
            return Ok(State::Different);
        }
        self.settle(item, version(&item.id.group, &live), foreign);
        Ok(State::Same)
    }

    fn missing(&self, item: &Item, fault: Fault) -> Result<State, Fault> {
        if fault.kind != Kind::NotFound {
            return Err(fault);
        }
        self.settled.forget(&item.id);
        Ok(State::Different)
    }
}

/// An object without what the cluster writes into it by itself.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in KEPT_BY_CLUSTER {
                metadata.shift_remove(field);
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_cluster_writes_is_no_difference() {
        let one = json!({"metadata": {"name": "a", "resourceVersion": "1", "generation": 1, "managedFields": []}, "spec": {"x": 1}, "status": {"y": 1}});
        let mut other = json!({"metadata": {"name": "a", "resourceVersion": "2"}, "spec": {"x": 1}});
        assert_eq!(content(&one), content(&other));
        other["spec"]["x"] = 2.into();
        assert_ne!(content(&one), content(&other));
    }
}
