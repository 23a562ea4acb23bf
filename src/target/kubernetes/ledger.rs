//! Keeps the inventory in the cluster.
//!
//! Each part is a `ConfigMap`. A writer that is killed leaves parts of two inventories; whichever order is used here makes
//! sure that no entry is missing then.

use http::Request;
use serde_json::{Value, json};

use super::connection::Connection;
use super::fault::{Fault, Kind};
use super::inventory::{INVENTORY_LABEL, Inventory, MAX_PARTS, part_name};
use super::kinds::get;
use super::writing::{Write, apply_request};
use crate::reason::{ErrorCode, Problem};

/// Parts in one answer: half a mebibyte each, an answer holds 16.
const PAGE: usize = 16;

/// Where a gate's inventory is kept.
pub(super) struct Ledger<'a> {
    pub(super) connection: &'a Connection,
    pub(super) namespace: &'a str,
    pub(super) gate_label: &'a str,
}

/// Why an inventory cannot be read or written.
pub(super) enum LedgerError {
    /// The cluster did not answer as wished.
    Fault(Fault),
    /// What is kept cannot be used, or there is too much to keep.
    Problem(Problem),
    /// We were asked to leave off.
    LeftOff,
}

/// Which way an inventory changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It grows: entries move to later parts, so these are written first.
    Grows,
    /// It shrinks: entries move to earlier parts, so these are written first, and what is left over is removed.
    Shrinks,
}

impl From<Fault> for LedgerError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Ledger<'_> {
    /// Reads the inventory; none where none was ever written.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub(super) async fn read(&self) -> Result<Option<Inventory>, LedgerError> {
        let parts = self.parts().await?;
        Inventory::from_parts(&parts, self.gate_label).map_err(|damage| {
            LedgerError::Problem(
                Problem::new(ErrorCode::TargetRejected, format!("failed to read the inventory: {damage}")).with_help(
                    format!(
                        "restore the ConfigMaps labelled {INVENTORY_LABEL}={} in namespace {}, or delete them: then \
                         what left the repository before is not pruned",
                        self.gate_label, self.namespace
                    ),
                ),
            )
        })
    }

    /// Asks whether the inventory could be written.
    ///
    /// # Errors
    /// When it could not. A namespace that is not there yet is made when it is needed.
    pub(super) async fn try_out(&self, inventory: &Inventory) -> Result<(), LedgerError> {
        let parts = self.to_parts(inventory)?;
        let Some(head) = parts.first() else { return Ok(()) };
        match self.connection.send(self.request(0, head, Write::DryRun)?).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.kind == Kind::NoNamespace => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Writes the inventory.
    ///
    /// # Errors
    /// When it cannot be written, or `go_on` says no.
    pub(super) async fn write(
        &self,
        inventory: &Inventory,
        change: Change,
        go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), LedgerError> {
        let mut parts: Vec<(usize, Value)> = self.to_parts(inventory)?.into_iter().enumerate().collect();
        let count = parts.len();
        if change == Change::Grows {
            parts.reverse();
        }
        for (index, part) in &parts {
            self.write_part(*index, part, go_on).await?;
        }
        match change {
            Change::Grows => Ok(()),
            Change::Shrinks => self.remove_from(count, go_on).await,
        }
    }

    async fn write_part(
        &self,
        index: usize,
        part: &Value,
        go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), LedgerError> {
        let request = self.request(index, part, Write::Real)?;
        asked(go_on)?;
        match self.connection.send(request.clone()).await {
            Err(fault) if fault.kind == Kind::NoNamespace => {
                self.make_namespace(go_on).await?;
                asked(go_on)?;
                self.connection.send(request).await?;
            }
            done => {
                done?;
            }
        }
        Ok(())
    }

    async fn make_namespace(&self, go_on: &(dyn Fn() -> bool + Send + Sync)) -> Result<(), LedgerError> {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        asked(go_on)?;
        self.connection.send(apply_request("/api/v1/namespaces", self.namespace, &body, Write::Real)?).await?;
        Ok(())
    }

    /// Removes the parts from this one on.
    async fn remove_from(&self, count: usize, go_on: &(dyn Fn() -> bool + Send + Sync)) -> Result<(), LedgerError> {
        for part in self.parts().await? {
            let name = part.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            if !(count..MAX_PARTS).any(|index| part_name(self.gate_label, index) == name) {
                continue;
            }
            asked(go_on)?;
            let request = Request::delete(format!("{}/{name}", self.path()))
                .body(Vec::new())
                .map_err(|error| Fault::unsendable(&error))?;
            match self.connection.send(request).await {
                Ok(_) => {}
                Err(fault) if fault.kind == Kind::NotFound => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }

    async fn parts(&self) -> Result<Vec<Value>, LedgerError> {
        let mut parts = Vec::new();
        let mut next = String::new();
        for _ in 0..=MAX_PARTS.div_ceil(PAGE) {
            let query = format!("labelSelector={INVENTORY_LABEL}%3D{}&limit={PAGE}&continue={next}", self.gate_label);
            let mut body = self.connection.send(get(&format!("{}?{query}", self.path()))?).await?.body;
            match body.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => parts.extend(items),
                Some(Value::Null) => {}
                _ => return Err(Fault::garbled(200, "the answer is no list").into()),
            }
            next = url::form_urlencoded::byte_serialize(
                body.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default().as_bytes(),
            )
            .collect();
            if next.is_empty() {
                return Ok(parts);
            }
        }
        Err(LedgerError::Problem(
            Problem::new(ErrorCode::TargetRejected, format!("the inventory has more than {MAX_PARTS} parts"))
                .with_help(format!(
                    "remove the ConfigMaps labelled {INVENTORY_LABEL}={} that are no part of it",
                    self.gate_label
                )),
        ))
    }

    fn to_parts(&self, inventory: &Inventory) -> Result<Vec<Value>, LedgerError> {
        inventory.to_parts(self.gate_label, self.namespace).map_err(|count| {
            LedgerError::Problem(
                Problem::new(ErrorCode::LimitExceeded, format!("{count} objects are more than an inventory holds"))
                    .with_help("split the gate"),
            )
        })
    }

    fn request(&self, index: usize, part: &Value, write: Write) -> Result<Request<Vec<u8>>, Fault> {
        // The parts are ours alone: whoever else wrote into them has lost.
        apply_request(&self.path(), &part_name(self.gate_label, index), part, write.forced())
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }
}

fn asked(go_on: &(dyn Fn() -> bool + Send + Sync)) -> Result<(), LedgerError> {
    if go_on() { Ok(()) } else { Err(LedgerError::LeftOff) }
}
