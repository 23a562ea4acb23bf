//! The dry run of one object, and what its answer tells.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fault::{Fault, Kind};
use super::images;
use super::inventory::{Inventory, owner_of};
use super::kinds::{Kinds, get_metadata, path};
use super::plan::Item;
use super::writing::{Write, apply_request};
use super::Kubernetes;
use crate::reason::{ErrorCode, Problem};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trial {
    /// The object's version in the cluster before it is written; none where it is not there.
    pub(super) resource_version: Option<String>,
}

impl Kubernetes {
    /// Tries an object.
    pub(super) async fn try_item(&self, kinds: &Kinds, old: &Inventory, mark: &str, item: &Item) -> Tried {
        let Some(resource) = self.resource(kinds, item) else { return Tried::NotServed };
        let path = path(&item.api_version(), resource, item.id.namespace.as_deref());
        let request = match apply_request(&path, &item.id.name, &item.marked(mark), self.write(Write::DryRun)) {
            Ok(request) => request,
            Err(fault) => return Tried::Refused(fault),
        };
        let answer = match self.connection.send(request).await {
            Ok(answer) => answer,
            Err(fault) => return refused(fault),
        };
        let foreign = images::foreign(&answer.body, &item.images);
        if !foreign.is_empty() {
            return Tried::Foreign(foreign);
        }
        if answer.created {
            return Tried::Accepted(Trial { resource_version: None });
        }
        if !old.entries.contains_key(&item.id)
            && let Err(tried) = self.check_owner(&path, item).await
        {
            return tried;
        }
        Tried::Accepted(Trial { resource_version: resource_version(&answer.body) })
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

    /// A write as the options want it.
    pub(super) fn write(&self, write: Write) -> Write {
        if self.options.force { write.forced() } else { write }
    }
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
