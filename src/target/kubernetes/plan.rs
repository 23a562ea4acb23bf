//! What a release means for a cluster, before it is asked: each object's identity, body and rank.
//!
//! Everything that can be said without the cluster is said here, of all objects at once. No input or output.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use kube::core::ApiResource;
use serde_json::{Map, Value};

use super::kinds::{Kinds, Resource};
use super::order::Rank;
use crate::gate::release::{ApprovedRelease, ReleaseObject};
use crate::image::Digest;
use crate::reason::{ErrorCode, Place, Problem};

/// The label that says which gate an object belongs to.
pub(super) const GATE_LABEL: &str = "sealgate.dev/gate";
/// The annotation that says with which revision an object was last changed. Written only, never read for trust.
pub(super) const REVISION_ANNOTATION: &str = "sealgate.dev/revision";
/// The API server takes 3 MiB a request (K8S-05); the query and the headers need some.
const MAX_BODY: usize = 3 * 1024 * 1024 - 16 * 1024;
/// The API server takes 1 MiB of data in a `ConfigMap` or a `Secret`.
const MAX_DATA: usize = 1024 * 1024;

/// What an object is called in the cluster. The version is not part of its identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    /// The group; empty for the core.
    pub(super) group: String,
    /// The kind.
    pub(super) kind: String,
    /// The namespace; none for cluster-scoped kinds.
    pub(super) namespace: Option<String>,
    /// The name.
    pub(super) name: String,
}

/// One object to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// What it is called; the namespace as written, until the kind's scope is known.
    pub(super) id: Id,
    /// The version of its group.
    pub(super) version: String,
    /// What is sent, but for the annotation.
    pub(super) body: Value,
    /// A hash of what is sent, but for the annotation.
    pub(super) hash: String,
    /// When it is written.
    pub(super) rank: Rank,
    /// The images in it that were verified.
    pub(super) images: BTreeSet<String>,
    /// Where it stands.
    pub(super) source: Source,
}

/// Where an object stands in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The file.
    pub(super) file: Arc<str>,
    /// Where the object begins.
    pub(super) place: Place,
}

/// A custom kind that a release itself defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Defined {
    /// The group.
    pub(super) group: String,
    /// The kind.
    pub(super) kind: String,
}

impl Id {
    /// Whether it is never deleted: with it would go what no inventory lists.
    pub(super) fn is_foundation(&self) -> bool {
        Rank::of(&self.group, &self.kind) == Rank::Foundation
    }

    /// Whether texts about it may hold secrets.
    pub(super) fn is_secret(&self) -> bool {
        self.group.is_empty() && self.kind == "Secret"
    }
}

impl Item {
    /// `apiVersion` as it is sent.
    pub(super) fn api_version(&self) -> String {
        api_version(&self.id.group, &self.version)
    }

    /// How objects of its kind are addressed; none where the kind is not served.
    pub(super) fn resource<'a>(&self, kinds: &'a Kinds) -> Option<&'a Resource> {
        kinds.resource(&self.api_version(), &self.id.kind)
    }

    /// Its kind, as a client of a single kind wants it.
    pub(super) fn api_resource(&self, resource: &Resource) -> ApiResource {
        ApiResource {
            group: self.id.group.clone(),
            version: self.version.clone(),
            api_version: self.api_version(),
            kind: self.id.kind.clone(),
            plural: resource.plural.clone(),
        }
    }

    /// The custom kind that this object defines, where it is a definition.
    pub(super) fn defines(&self) -> Option<Defined> {
        if self.id.group != "apiextensions.k8s.io" || self.id.kind != "CustomResourceDefinition" {
            return None;
        }
        let spec = self.body.get("spec")?;
        let group = spec.get("group")?.as_str()?.to_owned();
        let kind = spec.get("names")?.get("kind")?.as_str()?.to_owned();
        Some(Defined { group, kind })
    }

    /// The namespace that this object makes, where it is one.
    pub(super) fn makes_namespace(&self) -> Option<&str> {
        (self.id.group.is_empty() && self.id.kind == "Namespace").then_some(self.id.name.as_str())
    }

    /// What is sent, marked with the revision that changed it last.
    pub(super) fn marked(&self, revision: &str) -> Value {
        let mut body = self.body.clone();
        // `read` made sure that these are mappings.
        if let Some(annotations) = body.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.insert(REVISION_ANNOTATION.to_owned(), revision.into());
        }
        body
    }

    /// A problem of this object.
    pub(super) fn problem(&self, code: ErrorCode, message: &str) -> Problem {
        Problem::new(code, format!("{}: {message}", self.id)).in_file(&*self.source.file).at(self.source.place)
    }

    /// Gives it the namespace that it lives in, now that the kind's scope is known; with that its body is final.
    pub(super) fn settle(&mut self, namespace: Option<&str>) {
        // `read` made sure that this is a mapping.
        if let Some(metadata) = self.body.get_mut("metadata").and_then(Value::as_object_mut) {
            match namespace {
                Some(namespace) => metadata.insert("namespace".to_owned(), namespace.into()),
                None => metadata.shift_remove("namespace"),
            };
        }
        self.id.namespace = namespace.map(str::to_owned);
        self.hash = hash(&self.body.to_string());
    }
}

impl Item {
    /// Makes it an object that is nowhere yet: in this namespace, its name cut and completed by its hash.
    pub(super) fn rename(&mut self, namespace: Option<&str>) {
        let hash: String = self.hash.chars().take(12).collect();
        // Some kinds take 63 characters, few take less.
        self.id.name = format!("{}-{hash}", self.id.name.chars().take(40).collect::<String>());
        if let Some(metadata) = self.body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("name".to_owned(), self.id.name.clone().into());
        }
        self.settle(namespace);
    }
}

/// `group/version`, or the version alone for the core.
pub(super) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Reads the objects of a release.
///
/// # Errors
/// Everything that no cluster would take, each with its place.
pub(super) fn read(release: &ApprovedRelease, gate_label: &str) -> Result<Vec<Item>, Vec<Problem>> {
    let mut items = Vec::new();
    let mut problems = Vec::new();
    for object in release.objects() {
        match item(object, gate_label) {
            Ok(item) => items.push(item),
            Err((message, help)) => problems.push(
                Problem::new(ErrorCode::TargetRejected, format!("{}: {message}", title(object)))
                    .in_file(&*object.file)
                    .at(object.place)
                    .with_help(help),
            ),
        }
    }
    if problems.is_empty() { Ok(items) } else { Err(problems) }
}

/// What objects hold: their bodies and the images that were verified for them.
pub(super) fn content(items: &[Item]) -> Digest {
    let lines: Vec<String> = items.iter().map(|item| format!("{} {:?}\n", item.hash, item.images)).collect();
    Digest::of(lines.concat().as_bytes())
}

/// Whether a text can be the name of a namespace.
pub(super) fn is_namespace(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Objects that are written twice: the order of files would decide which one stays.
pub(super) fn twins(items: &[Item]) -> Vec<Problem> {
    let mut seen: BTreeMap<&Id, &Item> = BTreeMap::new();
    let mut problems = Vec::new();
    for item in items {
        match seen.get(&item.id) {
            Some(first) => problems.push(
                item.problem(
                    ErrorCode::TargetRejected,
                    &format!("also stands in {}:{}", first.source.file, first.source.place),
                )
                .with_help("remove one of the two"),
            ),
            None => {
                seen.insert(&item.id, item);
            }
        }
    }
    problems
}

type Refusal = (String, &'static str);

fn item(object: &ReleaseObject, gate_label: &str) -> Result<Item, Refusal> {
    let (group, version) = match object.object.api_version.split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", object.object.api_version.as_str()),
    };
    let kind = object.object.kind.as_str();
    let name = object.object.name.as_deref().ok_or_else(|| {
        ("it has no name of its own".to_owned(), "write `metadata.name`; what is applied again and again needs one")
    })?;
    check_path(group, version, name, object.object.namespace.as_deref())?;
    let body = body(&object.json, gate_label)?;
    let text = body.to_string();
    check_size(kind, &body, text.len())?;
    Ok(Item {
        id: Id {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: object.object.namespace.clone(),
            name: name.to_owned(),
        },
        version: version.to_owned(),
        hash: hash(&text),
        body,
        rank: Rank::of(group, kind),
        images: object.images.clone(),
        source: Source { file: Arc::clone(&object.file), place: object.place },
    })
}

/// Whether an object of such a name can be asked for.
pub(super) fn is_addressable(id: &Id, version: &str) -> bool {
    check_path(&id.group, version, &id.name, id.namespace.as_deref()).is_ok()
}

/// What stands in a request's path is checked letter by letter: a name must not name another resource.
fn check_path(group: &str, version: &str, name: &str, namespace: Option<&str>) -> Result<(), Refusal> {
    let lower =
        |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':'));
    let short = |text: &str| !text.is_empty() && text.len() <= 253 && !text.chars().all(|c| c == '.');
    if !(group.is_empty() || short(group) && lower(group)) || !(short(version) && lower(version)) {
        return Err(("its apiVersion cannot be one".to_owned(), "write a group and version such as `apps/v1`"));
    }
    if !(short(name) && plain(name)) {
        return Err((format!("its name {name:?} cannot be one"), "use lower-case letters, digits, `-` and `.`"));
    }
    if namespace.is_some_and(|namespace| !is_namespace(namespace)) {
        return Err(("its namespace cannot be one".to_owned(), "use lower-case letters, digits and `-`"));
    }
    Ok(())
}

fn body(json: &Value, gate_label: &str) -> Result<Value, Refusal> {
    let mut body = json.clone();
    let metadata = body
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| ("its `metadata` is no mapping".to_owned(), "write `metadata` as a mapping"))?;
    for field in ["managedFields", "resourceVersion", "uid"] {
        if metadata.get(field).is_some_and(|value| !value.is_null()) {
            return Err((format!("`metadata.{field}` belongs to the cluster"), "remove the field from the manifest"));
        }
    }
    texts(metadata, "labels")?.insert(GATE_LABEL.to_owned(), gate_label.into());
    texts(metadata, "annotations")?.shift_remove(REVISION_ANNOTATION);
    Ok(body)
}

fn texts<'a>(metadata: &'a mut Map<String, Value>, field: &str) -> Result<&'a mut Map<String, Value>, Refusal> {
    let entry = metadata.entry(field.to_owned()).or_insert(Value::Null);
    if entry.is_null() {
        *entry = Value::Object(Map::new());
    }
    entry.as_object_mut().ok_or_else(|| (format!("`metadata.{field}` is no mapping"), "write it as a mapping of texts"))
}

fn check_size(kind: &str, body: &Value, length: usize) -> Result<(), Refusal> {
    let help = "split the object, or keep the content elsewhere";
    if length > MAX_BODY {
        return Err((format!("{length} bytes are more than the {MAX_BODY} that a cluster takes"), help));
    }
    if kind != "ConfigMap" && kind != "Secret" {
        return Ok(());
    }
    let data: usize = ["data", "binaryData"]
        .iter()
        .filter_map(|field| body.get(*field)?.as_object())
        .flat_map(|entries| entries.values())
        .map(|value| value.as_str().map_or(0, str::len))
        .sum();
    // Base64 is a third longer than what it stands for.
    if data > MAX_DATA.saturating_mul(4) / 3
        || kind == "ConfigMap" && body.get("binaryData").is_none() && data > MAX_DATA
    {
        return Err((format!("{data} bytes of data are more than the {MAX_DATA} that a cluster takes"), help));
    }
    Ok(())
}

fn hash(text: &str) -> String {
    Digest::of(text.as_bytes()).hex().chars().take(32).collect()
}

fn title(object: &ReleaseObject) -> String {
    let name = object.object.name.as_deref().unwrap_or("?");
    match &object.object.namespace {
        Some(namespace) => format!("{}/{namespace}/{name}", object.object.kind),
        None => format!("{}/{name}", object.object.kind),
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(out, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(out, "{}/{}", self.kind, self.name),
        }
    }
}
