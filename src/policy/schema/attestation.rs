//! The fields of a demand for an attestation.

use super::{AUTHORITY, MAX_THRESHOLD, between};
use crate::fields::{Complaint, Found, Path, Record, Shape, optional, required};
use crate::manifest::tree::Node;
use crate::policy::predicate;

/// An entry of `attestations`.
pub(super) static ATTESTATION: Record = Record {
    fields: &[
        required("predicateType", Shape::Text(predicate_type)),
        optional("threshold", Shape::Count(1..=MAX_THRESHOLD)),
        optional("authorities", Shape::List(&Shape::Record(&AUTHORITY), 1)),
        optional("maxAge", Shape::Later("leave it out until then")),
        optional("conditions", Shape::Later("leave them out until then")),
    ],
    between: between::enough_authorities,
};

/// Every demand for an attestation has authorities: its own, or the rule's.
pub(super) fn have_authorities(rule: &Node, path: &Path, found: &mut Found<'_>) {
    let inherited = rule.get("signatures").and_then(|node| node.get("authorities")).and_then(Node::items);
    let entries = rule.get("attestations").and_then(Node::items);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let path = path.field("attestations").item(index);
        match (entry.get("authorities"), inherited) {
            (Some(_), _) => {}
            (None, Some(inherited)) => between::within_threshold(entry, inherited.len(), &path, found),
            (None, None) => {
                let message = format!("`{path}` says nowhere whose attestations count");
                let help = "name its own `authorities`, or give the rule some under `signatures`";
                found.report(entry.place, message, help);
            }
        }
    }
}

fn predicate_type(text: &str) -> Result<(), Complaint> {
    predicate::uri(text).map(drop)
}
