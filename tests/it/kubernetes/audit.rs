//! What gates wrote, as the API server itself recorded it.

use serde_json::{Value, json};

use super::gate::Gate;

/// The images in the writes of gates.
pub(crate) struct Written {
    /// How many stood in what was sent and in what was kept.
    pub(crate) images: usize,
    /// Those that nobody verified, each with its object.
    pub(crate) unverified: Vec<String>,
}

/// Reads the writes of gates out of an audit log.
pub(crate) fn written(events: &[Value], is_verified: &dyn Fn(&str) -> bool) -> Written {
    let mut written = Written { images: 0, unverified: Vec::new() };
    for event in events.iter().filter(|event| is_write_of_a_gate(event)) {
        let mut found = Vec::new();
        // What a refused write would have kept is not in its answer.
        let kept = event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300);
        images(&event["requestObject"], &mut found);
        if kept {
            images(&event["responseObject"]["spec"], &mut found);
        }
        written.images += found.len();
        let object = &event["objectRef"];
        let bad = found.into_iter().filter(|image| !is_verified(image));
        written.unverified.extend(bad.map(|image| format!("{} {}: {image}", object["resource"], object["name"])));
    }
    written
}

fn is_write_of_a_gate(event: &Value) -> bool {
    let uri = event["requestURI"].as_str().unwrap_or_default();
    uri.contains("fieldManager=sealgate") && !uri.contains("dryRun=All")
}

fn images(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().filter(|_| key == "image") {
                    Some(image) => found.push(image.to_owned()),
                    None => images(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| images(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every test of this folder asks the same of the log when it ends; this one shows that the question has an answer.
#[tokio::test(flavor = "multi_thread")]
async fn no_write_holds_an_image_that_was_not_verified() {
    let Some(gate) = Gate::new("it-audit", json!({}), json!({})).await else { return };
    let commit = gate.commit(&[gate.namespace(), gate.deployment("web", &gate.images.signed(7))]);
    let daemon = gate.start().await;
    daemon.applied(&commit).await;
    let other = gate.commit(&[gate.namespace(), gate.deployment("web", &gate.images.unsigned())]);
    daemon.until("refused", |it| it["revision"] == other && it["decision"] == "refuse").await;
    let events = gate.server.audit();
    let seen = written(&events, &|image| gate.images.is_verified(image));
    assert!(seen.images >= 2, "what was sent and what was kept");
    assert_eq!(seen.unverified, Vec::<String>::new());
    let pinned = gate.images.pinned(7);
    let without = written(&events, &|image| image != pinned && gate.images.is_verified(image));
    assert!(!without.unverified.is_empty(), "an image that nobody verified would be seen");
}
