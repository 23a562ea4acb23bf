//! Releases for tests.

use std::sync::Arc;

use serde_json::Value;

use crate::discovery::site::Object;
use crate::gate::release::{ApprovedRelease, ReleaseObject};
use crate::reason::Place;
use crate::snapshot::Revision;

/// An object as a gate would hand it on, with these images verified.
pub(crate) fn object(json: Value, images: &[&str]) -> ReleaseObject {
    let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    ReleaseObject {
        object: Arc::new(Object {
            api_version: text("/apiVersion").unwrap(),
            kind: text("/kind").unwrap(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        }),
        json,
        file: "app.yaml".into(),
        document: 0,
        place: Place { line: 3, column: 1 },
        images: images.iter().map(|image| (*image).to_owned()).collect(),
    }
}

/// A release of these objects by the gate `g`.
pub(crate) fn release(revision: &str, objects: Vec<ReleaseObject>) -> ApprovedRelease {
    release_of("g", revision, objects)
}

/// A release of these objects.
pub(crate) fn release_of(gate: &str, revision: &str, objects: Vec<ReleaseObject>) -> ApprovedRelease {
    ApprovedRelease::for_test(gate, Revision { id: revision.to_owned(), time: 0 }, Vec::new(), objects)
}
