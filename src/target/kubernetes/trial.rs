//! The dry run of one object, and what its answer tells.

use std::collections::BTreeSet;

use serde_json::Value;

use super::connection::Answer;
use super::fault::{Fault, Kind};
use super::images;
use super::inventory::{Inventory, owner_of};
use super::kinds::{Kinds, Resource, get_metadata, path};
use super::plan::{Id, Item};
use super::writing::{Write, apply_request};
use super::{ForeignImages, Kubernetes, takeover};
use crate::reason::{ErrorCode, Problem};

/// A namespace that every cluster has.
const STAND_IN: &str = "default";

/// What the dry run of an object came to.
pub(super) enum Tried {
    /// The cluster would take it.
    Accepted(Trial),
    /// Its kind is not served, or not yet.
    NotServed,
    /// Its namespace is not there, or not yet.
    NoNamespace(Fault),
    /// The cluster would not take it.
    Refused(Fault),
    /// It belongs to another gate.
    Owned(Problem),
    /// The answer holds images that nobody verified.
    Foreign(BTreeSet<String>),
}

/// An accepted dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trial {
    /// The object's version in the cluster before it is written; none where it is not there.
    pub(super) resource_version: Option<String>,
    /// Whether fields of `kubectl apply` are to be taken over first.
    pub(super) take_over: bool,
    /// Whether what somebody edited is to be undone.
    pub(super) undo: bool,
    /// The identity of the object that has to go first, where it must be made anew.
    pub(super) recreate: Option<String>,
    /// The images in the answer that nobody verified.
    pub(super) foreign: BTreeSet<String>,
}

impl Kubernetes {
    /// Tries an object.
    pub(super) async fn try_item(&self, kinds: &Kinds, old: &Inventory, mark: &str, item: &Item) -> Tried {
        let Some(resource) = item.resource(kinds) else { return Tried::NotServed };
        let path = path(&item.api_version(), resource, item.id.namespace.as_deref());
        let body = item.marked(mark);
        let mut answer = self.try_apply(&path, item, &body, self.write(&item.id, Write::DryRun)).await;
        let conflict = answer.as_ref().err().filter(|fault| fault.kind == Kind::Conflict);
        let undo = conflict.is_some_and(|fault| self.may_undo(old, item, fault));
        if undo || conflict.is_some_and(|fault| takeover::is_only_theirs(&fault.causes)) {
            // What the take-over will make ours can only be tried by force.
            answer = self.try_apply(&path, item, &body, Write::ForcedDryRun).await;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) if fault.kind == Kind::NoNamespace => {
                return match self.try_elsewhere(&item.api_version(), resource, item).await {
                    Some(worse) => Tried::Refused(worse),
                    None => Tried::NoNamespace(fault),
                };
            }
            Err(fault) if self.may_recreate(item, &fault) => return self.try_anew(resource, item, fault).await,
            Err(fault) => return refused(fault),
        };
        let foreign = images::foreign(&answer.body, &item.images);
        if answer.created {
            return self.accept_or_refuse(Trial { foreign, ..Trial::default() });
        }
        if !old.entries.contains_key(&item.id)
            && let Err(tried) = self.check_owner(&path, item).await
        {
            return tried;
        }
        let take_over = takeover::has_fields(&answer.body);
        let resource_version = resource_version(&answer.body);
        self.accept_or_refuse(Trial { resource_version, take_over, undo, recreate: None, foreign })
    }

    /// What an answer with images that nobody verified means, by the options.
    pub(super) fn accept_or_refuse(&self, trial: Trial) -> Tried {
        if self.refuses(&trial.foreign) { Tried::Foreign(trial.foreign) } else { Tried::Accepted(trial) }
    }

    /// Whether these images, which nobody verified, keep a release from being applied.
    pub(super) fn refuses(&self, foreign: &BTreeSet<String>) -> bool {
        !foreign.is_empty() && self.options.foreign_images == ForeignImages::Refuse
    }

    /// Tries an object whose namespace is not there in one that always is, under another name: an error of its own shows
    /// there too, before anything is written. Whatever else is answered there says nothing about it.
    async fn try_elsewhere(&self, api_version: &str, resource: &Resource, item: &Item) -> Option<Fault> {
        let mut stand_in = item.clone();
        stand_in.rename(Some(STAND_IN));
        let path = path(api_version, resource, Some(STAND_IN));
        match self.try_apply(&path, &stand_in, &stand_in.body, Write::ForcedDryRun).await {
            Err(fault) if fault.kind == Kind::Invalid && !is_of_policy(&fault) => Some(fault),
            Ok(_) | Err(_) => None,
        }
    }

    pub(super) async fn try_apply(&self, path: &str, item: &Item, body: &Value, write: Write) -> Result<Answer, Fault> {
        self.connection.send(apply_request(path, &item.id.name, body, write)?).await
    }

    /// An object that is there and that we did not apply must not be another gate's. The answer to an apply cannot tell:
    /// it carries our label already.
    async fn check_owner(&self, path: &str, item: &Item) -> Result<(), Tried> {
        let request = get_metadata(path, &item.id).map_err(Tried::Refused)?;
        let live = match self.connection.send(request).await {
            Ok(answer) => answer.body,
            Err(fault) if fault.kind == Kind::NotFound => return Ok(()),
            Err(fault) => return Err(Tried::Refused(fault)),
        };
        match owner_of(&live) {
            Some(owner) if owner != self.gate_label => Err(Tried::Owned(
                item.problem(ErrorCode::TargetRejected, &format!("it belongs to the gate {owner:?}"))
                    .with_help("let one gate alone apply it"),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a conflict is over fields that were ours when just this was applied before, and that somebody edited since.
    fn may_undo(&self, old: &Inventory, item: &Item, fault: &Fault) -> bool {
        let was_ours = old.entries.get(&item.id).is_some_and(|entry| entry.hash == item.hash);
        self.options.correct && was_ours && takeover::is_with_edits(&fault.causes)
    }

    /// A write of an object as the options want it.
    pub(super) fn write(&self, id: &Id, write: Write) -> Write {
        if self.options.forces(id) { write.forced() } else { write }
    }
}

/// Whether somebody's policy refuses, which may not hold for the namespace that is to come.
fn is_of_policy(fault: &Fault) -> bool {
    fault.message.contains("admission webhook") || fault.message.contains("AdmissionPolicy")
}

/// The version of an object in an answer.
pub(super) fn resource_version(object: &Value) -> Option<String> {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(str::to_owned)
}

fn refused(fault: Fault) -> Tried {
    match fault.kind {
        Kind::NotServed => Tried::NotServed,
        Kind::NoNamespace => Tried::NoNamespace(fault),
        Kind::Unreachable
        | Kind::Busy
        | Kind::Garbled
        | Kind::Unauthorized
        | Kind::Forbidden
        | Kind::Terminating
        | Kind::Quota
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Stale
        | Kind::Invalid => Tried::Refused(fault),
    }
}
