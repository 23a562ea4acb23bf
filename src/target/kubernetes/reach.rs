//! How far a gate reaches: the namespaces and kinds that it may write. What lies beyond is refused before any write, all of
//! it at once; kinds of RBAC lie beyond unless they are named. No input or output.

use super::plan::{Id, Item};
use crate::reason::{ErrorCode, Problem};

/// The group whose objects give rights.
const RBAC: &str = "rbac.authorization.k8s.io";

/// The namespaces and kinds that a gate may write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Namespaces, `*` at the end for all that begin so; none for all.
    pub namespaces: Option<Vec<String>>,
    /// Kinds, as `Kind`, `group/Kind`, `group/*`, or `*` for all but those of RBAC; none for `*`.
    pub kinds: Option<Vec<String>>,
}

/// Why an object lies beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// Its kind is not among the allowed ones.
    Kind,
    /// It gives rights, and that was not allowed.
    Rbac,
    /// Its namespace is not among the allowed ones.
    Namespace,
    /// It belongs to no namespace, and its kind was not named.
    Cluster,
}

impl Reach {
    /// Everything that lies beyond.
    pub(super) fn refusals<'a>(&'a self, items: &'a [Item]) -> impl Iterator<Item = Problem> + 'a {
        items.iter().filter_map(|item| {
            let (message, help) = self.beyond(&item.id)?.told();
            Some(item.problem(ErrorCode::TargetRejected, message).with_help(help))
        })
    }

    /// Whether an object may be written, and so may be deleted.
    pub(super) fn holds(&self, id: &Id) -> bool {
        self.beyond(id).is_none()
    }

    fn beyond(&self, id: &Id) -> Option<Beyond> {
        if !self.allows_kind(id) {
            return Some(if id.group == RBAC { Beyond::Rbac } else { Beyond::Kind });
        }
        let namespaces = self.namespaces.as_ref()?;
        let namespace = match &id.namespace {
            Some(namespace) => namespace,
            None if id.group.is_empty() && id.kind == "Namespace" => &id.name,
            None => return (!self.names_kind(id)).then_some(Beyond::Cluster),
        };
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(stem) => namespace.starts_with(stem),
            None => pattern == namespace,
        };
        (!namespaces.iter().any(fits)).then_some(Beyond::Namespace)
    }

    fn allows_kind(&self, id: &Id) -> bool {
        let any_kind = id.group != RBAC;
        let Some(kinds) = &self.kinds else { return any_kind };
        let group = format!("{}/*", id.group);
        kinds.iter().any(|it| (it == "*" && any_kind) || *it == group) || self.names_kind(id)
    }

    /// Whether the kind itself is named.
    fn names_kind(&self, id: &Id) -> bool {
        let name = if id.group.is_empty() { id.kind.clone() } else { format!("{}/{}", id.group, id.kind) };
        self.kinds.iter().flatten().any(|it| *it == name)
    }
}

impl Beyond {
    fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Kind => ("the gate may not write this kind", "name it under `kinds` of the gate's target"),
            Self::Rbac => (
                "the gate may not give rights",
                "name the kind under `kinds` of the gate's target, such as `rbac.authorization.k8s.io/RoleBinding`, or \
                 apply it by hand",
            ),
            Self::Namespace => {
                ("the gate may not write into this namespace", "name it under `namespaces` of the gate's target")
            }
            Self::Cluster => (
                "the gate is confined to namespaces, and this object belongs to none",
                "name its kind under `kinds` of the gate's target",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(group: &str, kind: &str, namespace: Option<&str>) -> Id {
        let (group, kind, namespace) = (group.to_owned(), kind.to_owned(), namespace.map(str::to_owned));
        Id { group, kind, namespace, name: "shop".to_owned() }
    }

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    #[test]
    fn what_lies_beyond_a_gates_reach_is_told_apart() {
        let deployment = id("apps", "Deployment", Some("shop"));
        let role = id(RBAC, "Role", Some("shop"));
        let namespace = id("", "Namespace", None);
        let class = id("storage.k8s.io", "StorageClass", None);
        let table = [
            (None, None, &deployment, None),
            (None, None, &class, None),
            (None, None, &role, Some(Beyond::Rbac)),
            (None, Some(list(&["*"])), &role, Some(Beyond::Rbac)),
            (None, Some(list(&["*", "rbac.authorization.k8s.io/Role"])), &role, None),
            (None, Some(list(&["rbac.authorization.k8s.io/*"])), &role, None),
            (None, Some(list(&["rbac.authorization.k8s.io/*"])), &deployment, Some(Beyond::Kind)),
            (None, Some(list(&["Deployment"])), &deployment, Some(Beyond::Kind)),
            (None, Some(list(&["apps/Deployment"])), &deployment, None),
            (None, Some(list(&[])), &deployment, Some(Beyond::Kind)),
            (Some(list(&["shop"])), None, &deployment, None),
            (Some(list(&["sho*"])), None, &deployment, None),
            (Some(list(&["other", "shop-*"])), None, &deployment, Some(Beyond::Namespace)),
            (Some(list(&[])), None, &deployment, Some(Beyond::Namespace)),
            (Some(list(&["shop"])), None, &namespace, None),
            (Some(list(&["other"])), None, &namespace, Some(Beyond::Namespace)),
            (Some(list(&["shop"])), None, &class, Some(Beyond::Cluster)),
            (Some(list(&["shop"])), Some(list(&["storage.k8s.io/*"])), &class, Some(Beyond::Cluster)),
            (Some(list(&["shop"])), Some(list(&["storage.k8s.io/StorageClass"])), &class, None),
        ];
        for (namespaces, kinds, id, expected) in table {
            let reach = Reach { namespaces, kinds };
            assert_eq!(reach.beyond(id), expected, "{reach:?} {id}");
            assert_eq!(reach.holds(id), expected.is_none());
        }
    }
}
