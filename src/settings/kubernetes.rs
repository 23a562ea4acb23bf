//! How a gate uses a cluster: as written, as checked, as valid.

use std::path::Path as FilePath;
use std::time::Duration;

use serde::Deserialize;

use super::tenant::{self, AccountSettings, TenantSettings};
use super::{checks, quantity};
use crate::fields::{Complaint, Found, Path, Record, Shape, nothing, optional, required};
use crate::manifest::tree::Node;

/// How long a release is given to become healthy, where nothing is said.
const HEALTH_TIMEOUT: Duration = Duration::from_mins(5);
/// Where the inventory is kept, where nothing is said.
const INVENTORY_NAMESPACE: &str = "sealgate";

/// A cluster as a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// The context of the kubeconfig; none for the current one, or the cluster that we run in.
    pub context: Option<String>,
    /// What it may do there, and as whom.
    pub tenant: TenantSettings,
    /// Whether what happens is told as Events; none: where we run in a cluster.
    pub events: Option<bool>,
    /// Where the inventory is kept.
    pub inventory_namespace: String,
    /// What is done with what left the repository.
    pub prune: PruneSettings,
    /// Whether fields of other managers are taken over, in every object.
    pub force: bool,
    /// The objects in which they are taken over besides.
    pub force_objects: Vec<ObjectSelector>,
    /// The objects that are deleted and made anew where a field cannot be changed.
    pub recreate: Vec<ObjectSelector>,
    /// What is done about images in the cluster's answers that nobody verified.
    pub foreign_images: ForeignImages,
    /// How long what was applied is given to become healthy; none where nobody looks.
    pub health: Option<Duration>,
}

/// What is done with what left the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration of its own")]
pub struct PruneSettings {
    /// Whether it is deleted.
    pub enabled: bool,
    /// Whether all of it is, when a revision holds no object at all.
    pub empty: bool,
    /// Whether namespaces are, with all that is in them.
    pub namespaces: bool,
    /// Whether definitions of custom kinds are, with all their objects.
    pub definitions: bool,
    /// The objects that stay.
    pub keep: Vec<ObjectSelector>,
}

/// Which objects something holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSelector {
    /// The group; empty for the core.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; none for any.
    pub namespace: Option<String>,
    /// The name; none for any.
    pub name: Option<String>,
}

/// What is done about images in the cluster's answers that nobody verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForeignImages {
    /// The revision is refused.
    #[default]
    Refuse,
    /// They are reported.
    Report,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration of its own")]
pub(super) struct Written {
    context: Option<String>,
    kubeconfig: Option<String>,
    service_account: Option<Account>,
    namespaces: Option<Vec<String>>,
    kinds: Option<Vec<String>>,
    events: Option<bool>,
    inventory_namespace: Option<String>,
    #[serde(default)]
    prune: bool,
    #[serde(default)]
    prune_empty: bool,
    #[serde(default)]
    prune_namespaces: bool,
    #[serde(default)]
    prune_definitions: bool,
    #[serde(default)]
    keep: Vec<Selector>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    force_objects: Vec<Selector>,
    #[serde(default)]
    recreate: Vec<Selector>,
    #[serde(default)]
    foreign_images: Foreign,
    #[serde(default)]
    health: Health,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Health {
    /// `off`, written bare, is `false` to YAML 1.1.
    mode: Option<String>,
    timeout: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selector {
    group: String,
    kind: String,
    namespace: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Foreign {
    #[default]
    Refuse,
    Report,
}

pub(super) static KUBERNETES: Record = Record {
    fields: &[
        optional("context", Shape::Text(checks::text)),
        optional("kubeconfig", Shape::Text(checks::text)),
        optional("serviceAccount", Shape::Record(&tenant::ACCOUNT)),
        optional("namespaces", Shape::List(&Shape::Text(tenant::namespaces), 1)),
        optional("kinds", Shape::List(&Shape::Text(tenant::kinds), 1)),
        optional("events", Shape::Flag),
        optional("inventoryNamespace", Shape::Text(checks::label)),
        optional("prune", Shape::Flag),
        optional("pruneEmpty", Shape::Flag),
        optional("pruneNamespaces", Shape::Flag),
        optional("pruneDefinitions", Shape::Flag),
        optional("keep", Shape::List(&Shape::Record(&SELECTOR), 0)),
        optional("force", Shape::Flag),
        optional("forceObjects", Shape::List(&Shape::Record(&SELECTOR), 0)),
        optional("recreate", Shape::List(&Shape::Record(&SELECTOR), 0)),
        optional("foreignImages", Shape::Word(&["refuse", "report"])),
        optional("health", Shape::Record(&HEALTH)),
    ],
    between: options_agree,
};

static HEALTH: Record = Record {
    fields: &[optional("mode", Shape::Word(&["report", "off"])), optional("timeout", Shape::Text(checks::timeout))],
    between: nothing,
};

static SELECTOR: Record = Record {
    fields: &[
        required("group", Shape::Text(checks::group)),
        required("kind", Shape::Text(checks::text)),
        optional("namespace", Shape::Text(checks::label)),
        optional("name", Shape::Text(checks::text)),
    ],
    between: nothing,
};

pub(super) fn valid(written: Written, folder: &FilePath) -> Result<KubernetesSettings, Complaint> {
    let Written {
        context,
        kubeconfig,
        service_account,
        namespaces,
        kinds,
        events,
        inventory_namespace,
        prune,
        prune_empty,
        prune_namespaces,
        prune_definitions,
        keep,
        force,
        force_objects,
        recreate,
        foreign_images,
        health,
    } = written;
    let selectors = |list: Vec<Selector>| list.into_iter().map(selector).collect();
    Ok(KubernetesSettings {
        context,
        tenant: TenantSettings {
            kubeconfig: kubeconfig.map(|path| folder.join(path)),
            service_account: service_account.map(|Account { namespace, name }| AccountSettings { namespace, name }),
            namespaces,
            kinds,
        },
        events,
        inventory_namespace: inventory_namespace.unwrap_or_else(|| INVENTORY_NAMESPACE.to_owned()),
        prune: PruneSettings {
            enabled: prune,
            empty: prune_empty,
            namespaces: prune_namespaces,
            definitions: prune_definitions,
            keep: selectors(keep),
        },
        force,
        force_objects: selectors(force_objects),
        recreate: selectors(recreate),
        foreign_images: match foreign_images {
            Foreign::Refuse => ForeignImages::Refuse,
            Foreign::Report => ForeignImages::Report,
        },
        health: self::health(&health)?,
    })
}

fn health(written: &Health) -> Result<Option<Duration>, Complaint> {
    match written.mode.as_deref() {
        None | Some("report") => written.timeout.as_deref().map_or(Ok(HEALTH_TIMEOUT), quantity::duration).map(Some),
        Some("off" | "false") => Ok(None),
        Some(other) => Err(Complaint::new(format!("`{other}` is no way to meet health"), "write `report` or `off`")),
    }
}

fn selector(written: Selector) -> ObjectSelector {
    let Selector { group, kind, namespace, name } = written;
    ObjectSelector { group, kind, namespace, name }
}

fn options_agree(cluster: &Node, path: &Path, found: &mut Found<'_>) {
    let is_set = |field: &str| cluster.get(field).is_some_and(|node| node.to_json() == true);
    for field in ["pruneEmpty", "pruneNamespaces", "pruneDefinitions"] {
        if let (true, false, Some(node)) = (is_set(field), is_set("prune"), cluster.get(field)) {
            let message = format!("`{}` means nothing without `prune: true`", path.field(field));
            found.report(node.place, message, "set `prune: true`, or leave it out");
        }
    }
    for entry in cluster.get("recreate").and_then(Node::items).unwrap_or(&[]) {
        let text = |field: &str| entry.get(field).and_then(Node::as_str);
        if let (Some("Namespace" | "CustomResourceDefinition"), Some("" | "apiextensions.k8s.io")) =
            (text("kind"), text("group"))
        {
            let message = "namespaces and definitions are never made anew: all that is in them would go";
            found.report(entry.place, message, "leave it out, and delete the object by hand");
        }
    }
}
