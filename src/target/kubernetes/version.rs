//! A text that changes whenever somebody may have changed an object in a way that matters. No input or output.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The group whose kinds count a generation for each change of what is wished, and whose status changes all the time.
const COUNTING: &str = "apps";

/// The version of an object of this group; none where it has none. Its `metadata` is enough.
///
/// A resource version moves with every status that a controller writes. Where a generation is counted, that and the
/// metadata say as much, and rest while the status moves.
pub(super) fn version(group: &str, object: &Value) -> Option<String> {
    let metadata = object.get("metadata")?;
    let generation = metadata.get("generation").filter(|_| group == COUNTING);
    let Some(generation) = generation else {
        return metadata.get("resourceVersion")?.as_str().map(str::to_owned);
    };
    let texts = |field: &str| -> BTreeMap<String, Value> {
        let fields = metadata.get(field).and_then(Value::as_object).into_iter().flatten();
        fields.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let goes = metadata.get("deletionTimestamp").is_some_and(|it| !it.is_null());
    let uid = metadata.get("uid")?.as_str()?;
    Some(json!([uid, generation, goes, texts("labels"), texts("annotations")]).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Value {
        json!({"metadata": {"uid": "u", "resourceVersion": "7", "generation": 2, "labels": {"a": "b"}}})
    }

    fn changed(pointer: &str, value: Value) -> Value {
        let mut object = object();
        object["metadata"][pointer] = value;
        object
    }

    #[test]
    fn a_status_changes_no_version_of_what_counts_generations() {
        assert_eq!(version("apps", &object()), version("apps", &changed("resourceVersion", json!("8"))));
        assert_ne!(version("", &object()), version("", &changed("resourceVersion", json!("8"))));
    }

    #[test]
    fn whatever_else_changes_changes_the_version() {
        let table = [
            ("generation", json!(3)),
            ("uid", json!("other")),
            ("labels", json!({"a": "c"})),
            ("annotations", json!({"x": "y"})),
            ("deletionTimestamp", json!("2030-01-01T00:00:00Z")),
        ];
        for (field, value) in table {
            assert_ne!(version("apps", &object()), version("apps", &changed(field, value)), "{field}");
        }
    }

    #[test]
    fn what_cannot_be_read_has_no_version() {
        assert_eq!(version("", &json!({})), None);
        assert_eq!(version("apps", &json!({"metadata": {"generation": 1}})), None);
    }
}
