//! Deletes an object and makes it anew, where a field cannot be changed and the options allow it for the object.
//!
//! Nothing but a refusal of immutable fields leads here, and only for an object that is this gate's.

use std::time::Duration;

use kube::Api;
use kube::core::DynamicObject;
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;

use super::Kubernetes;
use super::connection::chain;
use super::fault::{Fault, Kind, Over};
use super::images;
use super::kinds::{Resource, get_metadata, path};
use super::plan::Item;
use super::run::GoOn;
use super::trial::{Trial, Tried};
use super::writing::{Write, delete_request};

/// How long a deleted object may take to be gone: finalizers may have to run.
const LIMIT: Duration = Duration::from_mins(1);

impl Kubernetes {
    /// Whether a refusal may be met by making the object anew.
    pub(super) fn may_recreate(&self, item: &Item, fault: &Fault) -> bool {
        fault.over == Over::ImmutableFields && self.options.recreates(&item.id)
    }

    /// Tries an object that has to be made anew: whether the old one may go, and whether the new one would be taken.
    pub(super) async fn try_anew(&self, resource: &Resource, item: &Item, refusal: Fault) -> Tried {
        let path = path(&item.api_version(), resource, item.id.namespace.as_deref());
        let live = match get_metadata(&path, &item.id) {
            Ok(request) => self.connection.send(request).await,
            Err(fault) => Err(fault),
        };
        let live = match live {
            Ok(answer) => answer.body,
            Err(fault) => return Tried::Refused(fault),
        };
        let Some(uid) = self.deletable(&live) else { return Tried::Refused(refusal) };
        let mut stand_in = item.clone();
        stand_in.rename(item.id.namespace.as_deref());
        match self.try_apply(&path, &stand_in, &stand_in.body, Write::ForcedDryRun).await {
            Ok(answer) => {
                let foreign = images::foreign(&answer.body, &item.images);
                self.accept_or_refuse(Trial { recreate: Some(uid.to_owned()), foreign, ..Trial::default() })
            }
            Err(fault) if makes_room(&fault) => {
                Tried::Accepted(Trial { recreate: Some(uid.to_owned()), ..Trial::default() })
            }
            Err(fault) => Tried::Refused(fault),
        }
    }

    /// Deletes exactly this object and waits until it is gone. Whether we were asked to leave off before that is told.
    ///
    /// # Errors
    /// When it cannot be deleted, or stays.
    pub(super) async fn remove_old(
        &self,
        resource: &Resource,
        item: &Item,
        uid: &str,
        go_on: GoOn<'_>,
    ) -> Result<Removed, Fault> {
        let path = path(&item.api_version(), resource, item.id.namespace.as_deref());
        let request = delete_request(&path, &item.id.name, uid)?;
        if !go_on() {
            return Ok(Removed::LeftOff);
        }
        self.settled.forget(&item.id);
        match self.connection.send(request).await {
            Ok(_) => {}
            Err(fault) if fault.kind == Kind::NotFound => return Ok(Removed::Gone),
            Err(fault) => return Err(fault),
        }
        self.wait_gone(resource, item, uid).await?;
        Ok(Removed::Gone)
    }

    async fn wait_gone(&self, resource: &Resource, item: &Item, uid: &str) -> Result<(), Fault> {
        let kind = item.api_resource(resource);
        let client = self.connection.client();
        let api: Api<DynamicObject> = match &item.id.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind),
            None => Api::all_with(client, &kind),
        };
        match tokio::time::timeout(LIMIT, await_condition(api, &item.id.name, is_deleted(uid))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Fault::unreachable(format!("failed to watch the old object: {}", chain(&error)))),
            Err(_) => {
                let message = format!("the old object is not gone after {} s: look at its finalizers", LIMIT.as_secs());
                Err(Fault::unreachable(message))
            }
        }
    }
}

/// What came of removing an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    /// It is gone.
    Gone,
    /// Nobody tried, because we were asked to leave off.
    LeftOff,
}

/// Whether the refusal of a stand-in is over what the old object takes up.
fn makes_room(fault: &Fault) -> bool {
    fault.kind == Kind::Quota || fault.message.contains("already allocated")
}
