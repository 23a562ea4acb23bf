//! Reads the images out of what an API server answers, wherever the pod shape stands.
//!
//! The answer is the whole merged object: a container that another manager or a webhook added is in it, and the object
//! that was sent says nothing about that.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The lists of a pod whose items name an image.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// The images of an answer that are not among the verified ones, each once and in order.
pub(super) fn foreign(answer: &Value, verified: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Value::Object(fields) = answer {
        // `metadata` holds no pod, and what `status` says runs nothing.
        for (key, value) in fields.iter().filter(|(key, _)| *key != "metadata" && *key != "status") {
            collect_entry(key, value, &mut found);
        }
    }
    found.retain(|image| !verified.contains(image));
    found
}

/// Depth is bounded by the reader of the answer, which refuses more than 128 levels.
fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| collect_entry(key, value, found)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn collect_entry(key: &str, value: &Value, found: &mut BTreeSet<String>) {
    if let Value::Array(items) = value {
        for item in items.iter().filter_map(Value::as_object) {
            found.extend(image_of(key, item).map(str::to_owned));
        }
    }
    collect(value, found);
}

/// The image that an item of the list `key` names.
fn image_of<'a>(key: &str, item: &'a Map<String, Value>) -> Option<&'a str> {
    if CONTAINERS.contains(&key) {
        return item.get("image")?.as_str().filter(|image| !image.is_empty());
    }
    if key == "volumes" {
        return item.get("image")?.get("reference")?.as_str().filter(|image| !image.is_empty());
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(answer: &Value, verified: &[&str], expected: &[&str]) {
        let verified = verified.iter().map(|image| (*image).to_owned()).collect();
        let found: Vec<String> = foreign(answer, &verified).into_iter().collect();
        assert_eq!(found, expected, "{answer}");
    }

    #[test]
    fn every_place_of_a_pod_is_read() {
        let pod = json!({
            "containers": [{"name": "a", "image": "a@1"}, {"name": "b", "image": "evil"}],
            "initContainers": [{"name": "c", "image": "evil-init"}],
            "ephemeralContainers": [{"name": "d", "image": "evil-debug"}],
            "volumes": [{"name": "e", "image": {"reference": "evil-volume"}}, {"name": "f", "emptyDir": {}}],
        });
        let evil = ["evil", "evil-debug", "evil-init", "evil-volume"];
        check(&json!({"kind": "Pod", "spec": pod}), &["a@1"], &evil);
        check(&json!({"kind": "Deployment", "spec": {"template": {"spec": pod}}}), &["a@1"], &evil);
        check(&json!({"kind": "PodTemplate", "template": {"spec": pod}}), &["a@1"], &evil);
        check(
            &json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
            &["a@1"],
            &evil,
        );
        check(&json!({"kind": "Custom", "anything": [{"pods": [{"spec": pod}]}]}), &["a@1"], &evil);
    }

    #[test]
    fn what_runs_nothing_is_not_read() {
        check(&json!({"kind": "Pod", "status": {"containers": [{"image": "x"}]}}), &[], &[]);
        check(&json!({"kind": "ConfigMap", "data": {"containers": "image: x"}}), &[], &[]);
        check(
            &json!({"kind": "Pod", "spec": {"containers": [{"name": "a"}, {"image": ""}, "x", {"image": 1}]}}),
            &[],
            &[],
        );
        check(&json!("containers"), &[], &[]);
    }
}
