//! Documents become Kubernetes objects: lists are opened, and what is no object is refused by name, never skipped.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::tree::{Document, Node};
use crate::discovery::site::{Object, Step};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

/// How deep lists may stand in lists.
const MAX_LISTS: usize = 16;

/// One Kubernetes object, as it stands in a document.
#[derive(Debug, Clone)]
pub struct Manifest<'d> {
    /// The document.
    pub document: &'d Document,
    /// What the object is called.
    pub object: Arc<Object>,
    /// Where it stands in the document: empty, or the items of lists.
    pub route: Vec<Step>,
    /// The object's own tree.
    pub node: &'d Node,
}

/// The objects of a document. One that names no namespace gets the default one, unless its kind has none.
///
/// # Errors
/// When something in it is no Kubernetes object, or is encrypted.
pub fn objects<'d>(document: &'d Document, default_namespace: Option<&str>) -> Result<Vec<Manifest<'d>>, Vec<Problem>> {
    let mut opening = Opening { document, default_namespace, found: Vec::new(), problems: Vec::new() };
    opening.open(&document.root, &[]);
    if opening.problems.is_empty() { Ok(opening.found) } else { Err(opening.problems) }
}

/// The files of folders that only a renderer can read: one problem for each folder.
#[must_use]
pub fn unsupported(files: &[File]) -> Vec<Problem> {
    let mut folders = BTreeSet::new();
    let mut problems = Vec::new();
    for file in files {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or((".", &file.path));
        let what = match name {
            "kustomization.yaml" | "kustomization.yml" | "Kustomization" => "is to be built with kustomize",
            "Chart.yaml" => "is a Helm chart",
            _ => continue,
        };
        if folders.insert(folder) {
            let glob = if folder == "." { "**".to_owned() } else { format!("{folder}/**") };
            let message = format!("the folder `{folder}` {what}, which is not supported");
            let help = format!("render it into plain manifests, or leave it out: `exclude: [\"{glob}\"]`");
            let problem = Problem::new(ErrorCode::UnsupportedFile, message);
            problems.push(problem.in_file(file.path.as_ref()).with_help(help));
        }
    }
    problems
}

struct Opening<'d, 'n> {
    document: &'d Document,
    default_namespace: Option<&'n str>,
    found: Vec<Manifest<'d>>,
    problems: Vec<Problem>,
}

impl<'d> Opening<'d, '_> {
    fn open(&mut self, node: &'d Node, route: &[Step]) {
        if is_sops(node) {
            return self.refuse(node, ErrorCode::UnsupportedFile, "the document is encrypted with SOPS");
        }
        let (Some(api_version), Some(kind)) = (text(node, "apiVersion"), text(node, "kind")) else {
            return self.refuse(
                node,
                ErrorCode::NotAnObject,
                "the document is no Kubernetes object: it needs `apiVersion` and `kind`",
            );
        };
        match items(node, kind) {
            Some(_) if route.len() / 2 >= MAX_LISTS => {
                self.refuse(node, ErrorCode::LimitExceeded, "too many lists inside lists");
            }
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    let mut deeper = route.to_vec();
                    deeper.extend([Step::Key("items".to_owned()), Step::Index(index)]);
                    self.open(item, &deeper);
                }
            }
            None => match self.object(node, api_version, kind) {
                Ok(object) => {
                    let (document, object) = (self.document, Arc::new(object));
                    self.found.push(Manifest { document, object, route: route.to_vec(), node });
                }
                Err(message) => self.refuse(node, ErrorCode::NotAnObject, message),
            },
        }
    }

    fn object(&self, node: &Node, api_version: &str, kind: &str) -> Result<Object, &'static str> {
        let metadata = node.get("metadata").filter(|metadata| !metadata.is_null());
        if metadata.is_some_and(|metadata| metadata.entries().is_none()) {
            return Err("`metadata` is no mapping");
        }
        let field = |name: &str| metadata.and_then(|metadata| metadata.get(name)).filter(|node| !node.is_null());
        let as_text = |node: Option<&Node>, message| match node {
            Some(node) => node.as_str().map(|text| Some(text.to_owned())).ok_or(message),
            None => Ok(None),
        };
        let name = as_text(field("name"), "`metadata.name` is no text: write it in quotes")?;
        let written = as_text(field("namespace"), "`metadata.namespace` is no text: write it in quotes")?;
        let given = || self.default_namespace.filter(|_| !is_cluster_scoped(api_version, kind)).map(str::to_owned);
        let namespace = written.filter(|namespace| !namespace.is_empty()).or_else(given);
        Ok(Object { api_version: api_version.to_owned(), kind: kind.to_owned(), namespace, name })
    }

    fn refuse(&mut self, node: &Node, code: ErrorCode, message: &str) {
        let file = &self.document.file;
        let problem = Problem::new(code, message)
            .in_file(file.as_ref())
            .at(node.place)
            .with_help(format!("if it is no manifest, leave it out: `exclude: [\"{file}\"]`"));
        self.problems.push(problem);
    }
}

/// A text that is written and not empty.
fn text<'d>(node: &'d Node, key: &str) -> Option<&'d str> {
    node.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// The items, where Kubernetes' clients would read a list: whatever has `items` at its top.
fn items<'d>(node: &'d Node, kind: &str) -> Option<&'d [Node]> {
    match node.get("items") {
        Some(items) if items.is_null() && kind.ends_with("List") => Some(&[]),
        Some(items) => items.items(),
        None if kind == "List" => Some(&[]),
        None => None,
    }
}

fn is_sops(node: &Node) -> bool {
    node.get("sops").is_some_and(|sops| ["mac", "lastmodified", "version"].iter().any(|key| sops.get(key).is_some()))
}

/// Kinds of Kubernetes' own that live in no namespace.
fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    match group {
        "" => matches!(kind, "Namespace" | "Node" | "PersistentVolume" | "ComponentStatus"),
        "admissionregistration.k8s.io"
        | "apiextensions.k8s.io"
        | "apiregistration.k8s.io"
        | "certificates.k8s.io"
        | "flowcontrol.apiserver.k8s.io"
        | "internal.apiserver.k8s.io"
        | "node.k8s.io"
        | "storagemigration.k8s.io" => true,
        "rbac.authorization.k8s.io" => kind.starts_with("ClusterRole"),
        "scheduling.k8s.io" => kind == "PriorityClass",
        "storage.k8s.io" => kind != "CSIStorageCapacity",
        "networking.k8s.io" => matches!(kind, "IngressClass" | "IPAddress" | "ServiceCIDR"),
        "policy" => kind == "PodSecurityPolicy",
        "resource.k8s.io" => matches!(kind, "DeviceClass" | "ResourceSlice"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Limits, read};

    fn document(text: &str) -> Document {
        let file = File { path: "a/b.yaml".into(), bytes: text.as_bytes().to_vec().into() };
        read(&file, &Limits::default()).unwrap().remove(0)
    }

    fn names(text: &str) -> Result<Vec<String>, Vec<ErrorCode>> {
        let document = document(text);
        let told = |found: Vec<Manifest<'_>>| {
            found
                .iter()
                .map(|m| {
                    let object = &m.object;
                    format!(
                        "{} {}/{}",
                        object.kind,
                        object.namespace.as_deref().unwrap_or("-"),
                        object.name.as_deref().unwrap_or("-")
                    )
                })
                .collect()
        };
        objects(&document, Some("given")).map(told).map_err(|problems| problems.iter().map(|p| p.code).collect())
    }

    #[test]
    fn lists_are_opened_and_namespaces_filled_in() {
        let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: own}}";
        let node = "{apiVersion: v1, kind: Namespace, metadata: {name: ns}}";
        let job = "{apiVersion: batch/v1, kind: Job, metadata: {generateName: j}}";
        let table = [
            (pod.to_owned(), vec!["Pod own/a"]),
            (node.to_owned(), vec!["Namespace -/ns"]),
            (job.to_owned(), vec!["Job given/-"]),
            (
                format!(
                    "{{apiVersion: v1, kind: List, items: [{pod}, {{apiVersion: v1, kind: PodList, items: [{job}]}}]}}"
                ),
                vec!["Pod own/a", "Job given/-"],
            ),
            ("{apiVersion: v1, kind: List}".to_owned(), vec![]),
            (format!("{{apiVersion: x/v1, kind: Odd, items: [{node}]}}"), vec!["Namespace -/ns"]),
        ];
        for (text, expected) in table {
            assert_eq!(names(&text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_with_the_line_that_settles_it() {
        let table = [
            ("replicas: 1", ErrorCode::NotAnObject),
            ("- a", ErrorCode::NotAnObject),
            ("text", ErrorCode::NotAnObject),
            ("{apiVersion: v1, kind: ''}", ErrorCode::NotAnObject),
            ("{apiVersion: v1, kind: yes}", ErrorCode::NotAnObject),
            ("{apiVersion: v1, kind: Pod, metadata: {name: y}}", ErrorCode::NotAnObject),
            ("{apiVersion: v1, kind: Pod, metadata: x}", ErrorCode::NotAnObject),
            ("{apiVersion: v1, kind: List, items: [1]}", ErrorCode::NotAnObject),
            ("{apiVersion: v1, kind: Secret, sops: {mac: x}}", ErrorCode::UnsupportedFile),
            ("{a: b, sops: {version: 3}}", ErrorCode::UnsupportedFile),
        ];
        for (text, code) in table {
            assert_eq!(names(text).unwrap_err(), [code], "{text}");
        }
        let document = document("a: 1");
        let problems = objects(&document, None).unwrap_err();
        assert!(problems[0].help.contains("exclude: [\"a/b.yaml\"]"));
    }

    #[test]
    fn folders_that_need_a_renderer_are_named_once() {
        let file = |path: &str| File { path: path.into(), bytes: bytes::Bytes::new() };
        let files = [file("a/kustomization.yaml"), file("a/Kustomization"), file("b/Chart.yaml"), file("c/chart.yaml")];
        let problems = unsupported(&files);
        assert_eq!(problems.len(), 2);
        assert!(problems.iter().all(|problem| problem.code == ErrorCode::UnsupportedFile));
    }
}
