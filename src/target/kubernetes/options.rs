//! How a gate uses a cluster.

use std::time::Duration;

use super::connection::{Account, Cluster};
use super::plan::Id;
use super::reach::Reach;

/// How a gate uses a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration of its own")]
pub struct Options {
    /// The gate's name. What it applies carries it as a label; no two gates may have the same.
    pub gate: String,
    /// Which cluster.
    pub cluster: Cluster,
    /// As whom objects are read and written; none for our own credentials.
    pub account: Option<Account>,
    /// The namespaces and kinds that it may write.
    pub reach: Reach,
    /// Whether what happens is told as Events in the cluster.
    pub events: bool,
    /// The namespace of objects that name none; by default that of the kubeconfig's context, and in the cluster none.
    pub namespace: Option<String>,
    /// Where the inventory is kept.
    pub inventory_namespace: String,
    /// What is done with what left the repository.
    pub prune: Pruning,
    /// Whether fields that another manager owns are taken over, in every object.
    pub force: bool,
    /// The objects in which they are taken over besides.
    pub forced: Vec<Selector>,
    /// The objects that are deleted and made anew where a field cannot be changed.
    pub recreated: Vec<Selector>,
    /// What is done about images in the cluster's answers that nobody verified.
    pub foreign_images: ForeignImages,
    /// Whether what somebody edited in an object that was applied is undone; else it is a conflict.
    pub correct: bool,
    /// Whether what was applied is watched, to see at once what somebody changes.
    pub watch: bool,
    /// How long what was applied is given to become healthy; none where nobody asks.
    pub health: Option<Duration>,
}

/// What is done with what left the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration of its own")]
pub struct Pruning {
    /// Whether it is deleted.
    pub enabled: bool,
    /// Whether all of it is, when a revision holds no object at all.
    pub empty: bool,
    /// Whether namespaces are, with all that is in them.
    pub namespaces: bool,
    /// Whether definitions of custom kinds are, with all their objects.
    pub definitions: bool,
    /// The objects that stay.
    pub keep: Vec<Selector>,
}

/// What is done about images in the cluster's answers that nobody verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForeignImages {
    /// The revision is refused.
    #[default]
    Refuse,
    /// They are told.
    Report,
}

/// Which objects something holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The group; empty for the core.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; none for any.
    pub namespace: Option<String>,
    /// The name; none for any.
    pub name: Option<String>,
}

impl Selector {
    /// Whether it holds for this object.
    pub(super) fn selects(&self, id: &Id) -> bool {
        let Self { group, kind, namespace, name } = self;
        *group == id.group
            && *kind == id.kind
            && namespace.as_ref().is_none_or(|namespace| id.namespace.as_ref() == Some(namespace))
            && name.as_ref().is_none_or(|name| id.name == *name)
    }
}

impl Options {
    /// A gate's options, all others at their defaults.
    #[must_use]
    pub fn new(gate: &str) -> Self {
        Self {
            gate: gate.to_owned(),
            cluster: Cluster::default(),
            account: None,
            reach: Reach::default(),
            events: false,
            namespace: None,
            inventory_namespace: "sealgate".to_owned(),
            prune: Pruning::default(),
            force: false,
            forced: Vec::new(),
            recreated: Vec::new(),
            foreign_images: ForeignImages::default(),
            correct: true,
            watch: true,
            health: None,
        }
    }

    /// Whether fields of other managers are taken over in this object.
    pub(super) fn forces(&self, id: &Id) -> bool {
        self.force || self.forced.iter().any(|selector| selector.selects(id))
    }

    /// Whether this object may be deleted and made anew. With a namespace or a definition would go what no inventory lists.
    pub(super) fn recreates(&self, id: &Id) -> bool {
        !id.is_foundation() && self.recreated.iter().any(|selector| selector.selects(id))
    }
}

impl Pruning {
    /// Whether an object may be deleted once it left the repository.
    pub(super) fn may_delete(&self, id: &Id) -> bool {
        let allowed = match (id.is_foundation(), id.group.is_empty()) {
            (true, true) => self.namespaces,
            (true, false) => self.definitions,
            (false, _) => true,
        };
        self.enabled && allowed && !self.keep.iter().any(|selector| selector.selects(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(group: &str, kind: &str, namespace: Option<&str>) -> Id {
        Id {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: "a".to_owned(),
        }
    }

    fn selector(group: &str, kind: &str, namespace: Option<&str>, name: Option<&str>) -> Selector {
        Selector {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn a_selector_holds_for_what_it_names_and_nothing_else() {
        let job = id("batch", "Job", Some("shop"));
        let table = [
            (selector("batch", "Job", None, None), true),
            (selector("batch", "Job", Some("shop"), Some("a")), true),
            (selector("", "Job", None, None), false),
            (selector("batch", "CronJob", None, None), false),
            (selector("batch", "Job", Some("other"), None), false),
            (selector("batch", "Job", None, Some("b")), false),
        ];
        for (selector, expected) in table {
            assert_eq!(selector.selects(&job), expected, "{selector:?}");
        }
        assert!(!selector("", "Namespace", Some("a"), None).selects(&id("", "Namespace", None)));
    }

    #[test]
    fn what_holds_others_is_deleted_only_where_that_is_said() {
        let namespace = id("", "Namespace", None);
        let definition = id("apiextensions.k8s.io", "CustomResourceDefinition", None);
        let map = id("", "ConfigMap", Some("shop"));
        let mut pruning = Pruning { enabled: true, ..Pruning::default() };
        assert_eq!([&namespace, &definition, &map].map(|it| pruning.may_delete(it)), [false, false, true]);
        pruning.namespaces = true;
        assert_eq!([&namespace, &definition, &map].map(|it| pruning.may_delete(it)), [true, false, true]);
        pruning.definitions = true;
        pruning.keep.push(selector("", "ConfigMap", None, None));
        assert_eq!([&namespace, &definition, &map].map(|it| pruning.may_delete(it)), [true, true, false]);
        pruning.enabled = false;
        assert!(![&namespace, &definition, &map].iter().any(|it| pruning.may_delete(it)));
        let all = Options { recreated: vec![selector("", "Namespace", None, None)], ..Options::new("g") };
        assert!(!all.recreates(&namespace));
    }
}
