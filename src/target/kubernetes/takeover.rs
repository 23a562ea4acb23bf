//! Takes objects over from `kubectl apply` as it was before server-side apply: its fields become ours, so that what leaves
//! the manifest leaves the object too. No other manager's fields are touched. No input or output.

use http::Request;
use serde_json::{Map, Value, json};

use super::fault::{Cause, Fault, MAX_CAUSES};
use super::writing::FIELD_MANAGER;

/// The manager whose fields are taken over.
const CLIENT_SIDE: &str = "kubectl-client-side-apply";

/// Whether a conflict is with nobody else.
pub(super) fn is_only_theirs(causes: &[Cause]) -> bool {
    let theirs = format!("conflict with \"{CLIENT_SIDE}\"");
    are_all_known(causes) && causes.iter().all(|cause| cause.message.starts_with(&theirs))
}

/// Whether a conflict is with edits alone: not with another that applies the object, nor with a controller that scales it.
/// A server names the version that an edit was made in, and the part of the object where it is only one.
pub(super) fn is_with_edits(causes: &[Cause]) -> bool {
    let edit = |message: &str| message.contains("\" using ") && !message.contains("with subresource");
    are_all_known(causes) && causes.iter().all(|cause| edit(&cause.message))
}

/// Whether there are causes, and none was cut off.
fn are_all_known(causes: &[Cause]) -> bool {
    (1..MAX_CAUSES).contains(&causes.len())
}

/// Whether an object has fields to take over.
pub(super) fn has_fields(object: &Value) -> bool {
    entries(object).is_some_and(|entries| entries.iter().any(is_theirs))
}

/// A request that makes their fields ours, in this version of the object only; none where there are none.
///
/// # Errors
/// When the request cannot be made.
pub(super) fn request(path: &str, name: &str, object: &Value) -> Result<Option<Request<Vec<u8>>>, Fault> {
    let version = object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    let Some(fields) = entries(object).and_then(taken) else { return Ok(None) };
    let change = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": fields},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]);
    Request::patch(format!("{path}/{name}?fieldManager={FIELD_MANAGER}"))
        .header("content-type", "application/json-patch+json")
        .body(change.to_string().into_bytes())
        .map(Some)
        .map_err(|error| Fault::unsendable(&error))
}

fn entries(object: &Value) -> Option<&[Value]> {
    object.pointer("/metadata/managedFields")?.as_array().map(Vec::as_slice)
}

fn is_entry(entry: &Value, manager: &str, operation: &str) -> bool {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    text("manager") == manager && text("operation") == operation && text("subresource").is_empty()
}

fn is_theirs(entry: &Value) -> bool {
    is_entry(entry, CLIENT_SIDE, "Update")
}

/// The managed fields with theirs in our entry; none where they have none.
fn taken(entries: &[Value]) -> Option<Vec<Value>> {
    let theirs: Vec<&Value> = entries.iter().filter(|entry| is_theirs(entry)).collect();
    let first = *theirs.first()?;
    let ours = entries.iter().find(|entry| is_entry(entry, FIELD_MANAGER, "Apply"));
    let mut entry = ours.unwrap_or(first).clone();
    let mut fields = Map::new();
    for source in theirs.iter().copied().chain(ours) {
        if let Some(Value::Object(more)) = source.get("fieldsV1") {
            merge(&mut fields, more);
        }
    }
    let set = entry.as_object_mut()?;
    set.insert("manager".to_owned(), FIELD_MANAGER.into());
    set.insert("operation".to_owned(), "Apply".into());
    set.insert("fieldsV1".to_owned(), Value::Object(fields));
    let others = entries.iter().filter(|it| !is_theirs(it) && !is_entry(it, FIELD_MANAGER, "Apply"));
    Some(others.cloned().chain([entry]).collect())
}

/// Sets of fields are trees of mappings; depth is bounded by the reader of the answer.
fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
            (Some(_), _) => {}
            (None, _) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn their_fields_join_ours_and_the_others_stay() {
        let theirs = entry(CLIENT_SIDE, "Update", &json!({"f:data": {"f:a": {}, "f:b": {}}}));
        let ours = entry(FIELD_MANAGER, "Apply", &json!({"f:data": {"f:b": {}, "f:c": {}}}));
        let other = entry("controller", "Update", &json!({"f:status": {}}));
        let both = entry(FIELD_MANAGER, "Apply", &json!({"f:data": {"f:a": {}, "f:b": {}, "f:c": {}}}));
        let taken = taken(&[theirs.clone(), other.clone(), ours]).unwrap();
        assert_eq!(taken, [other.clone(), both]);
        let alone = super::taken(&[theirs]).unwrap();
        assert_eq!(alone, [entry(FIELD_MANAGER, "Apply", &json!({"f:data": {"f:a": {}, "f:b": {}}}))]);
        assert_eq!(super::taken(&[other]), None);
    }

    #[test]
    fn only_an_edit_is_undone() {
        let table = [
            ("conflict with \"kubectl-edit\" using apps/v1", true),
            ("conflict with \"argocd\"", false),
            ("conflict with \"kube-controller-manager\" with subresource \"scale\" using autoscaling/v1", false),
        ];
        for (message, expected) in table {
            let cause = Cause { field: ".spec.replicas".to_owned(), message: message.to_owned() };
            assert_eq!(is_with_edits(&[cause]), expected, "{message}");
        }
        assert!(!is_with_edits(&[]));
    }

    #[test]
    fn a_conflict_with_anybody_else_is_not_ours_to_settle() {
        let cause = |manager: &str| Cause {
            field: ".data.a".to_owned(),
            message: format!("conflict with \"{manager}\" using v1"),
        };
        assert!(is_only_theirs(&[cause(CLIENT_SIDE)]));
        assert!(!is_only_theirs(&[cause(CLIENT_SIDE), cause("helm")]));
        assert!(!is_only_theirs(&[cause("kubectl-client-side-apply-2")]));
        assert!(!is_only_theirs(&[]));
    }
}
