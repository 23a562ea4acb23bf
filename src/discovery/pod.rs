//! The pod shape: container lists and image volumes, wherever they stand; and the kinds that must have containers.

use super::site::Step;
use crate::manifest::Node;

/// The lists of containers in a pod.
const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// A step of the way to a node, borrowed from the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crumb<'d> {
    Key(&'d str),
    Index(usize),
}

impl From<Crumb<'_>> for Step {
    fn from(crumb: Crumb<'_>) -> Self {
        match crumb {
            Crumb::Key(key) => Self::Key(key.to_owned()),
            Crumb::Index(index) => Self::Index(index),
        }
    }
}

/// Whether this way ends at an image of the pod shape.
pub(super) fn is_image(way: &[Crumb<'_>]) -> bool {
    match way {
        [.., Crumb::Key(list), Crumb::Index(_), Crumb::Key("image")] => is_list(list),
        [.., Crumb::Key("image"), Crumb::Key("reference")] => true,
        _ => false,
    }
}

/// Custom kinds have lists of their own beside the pod's: `extraContainers`, `sidecars`.
fn is_list(key: &str) -> bool {
    LISTS.contains(&key) || key.ends_with("Containers") || key == "sidecars"
}

/// Where a container of Kubernetes' own workload kinds has no image: another field manager could supply one.
pub(super) fn without_image<'d>(group: &str, kind: &str, object: &'d Node) -> Vec<(Vec<Step>, &'d Node)> {
    let Some(way) = pod_spec(group, kind) else { return Vec::new() };
    let mut route = Vec::new();
    let mut spec = object;
    for key in way {
        match spec.get(key) {
            Some(child) => {
                route.push(Step::Key((*key).to_owned()));
                spec = child;
            }
            None => return vec![(route, spec)],
        }
    }
    let mut bare = Vec::new();
    if spec.get("containers").and_then(Node::items).is_none_or(<[Node]>::is_empty) {
        bare.push((route.clone(), spec));
    }
    for list in LISTS {
        for (index, container) in spec.get(list).and_then(Node::items).unwrap_or_default().iter().enumerate() {
            if container.get("image").is_none_or(Node::is_null) {
                let mut to_it = route.clone();
                to_it.extend([Step::Key(list.to_owned()), Step::Index(index)]);
                bare.push((to_it, container));
            }
        }
    }
    bare
}

/// The way to the pod's specification in the kinds that Kubernetes itself runs.
fn pod_spec(group: &str, kind: &str) -> Option<&'static [&'static str]> {
    match (group, kind) {
        ("", "Pod") => Some(&["spec"]),
        ("", "PodTemplate") => Some(&["template", "spec"]),
        ("", "ReplicationController")
        | ("apps" | "extensions", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
        | ("batch", "Job") => Some(&["spec", "template", "spec"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => None,
    }
}
