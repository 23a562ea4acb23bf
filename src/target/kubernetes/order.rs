//! The order in which objects are written; deletions go the other way.
//!
//! Each rank is finished before the next begins. Inside a rank the order is that of the files, and eight writes run at a
//! time. What others refer to comes first; what can keep others from being written comes last.

/// When an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Rank {
    /// Namespaces and definitions of custom kinds: a stage of its own, before which the others cannot be tried.
    Foundation,
    /// Kinds whose name ends in `Class`.
    Classes,
    /// Accounts, roles.
    Accounts,
    /// Who holds which role.
    Bindings,
    /// What limits pods: quotas, ranges, network policies, disruption budgets.
    Limits,
    /// What pods read and mount.
    Configuration,
    /// Names for pods.
    Services,
    /// What runs pods.
    Workloads,
    /// All other kinds, custom ones among them.
    Others,
    /// What the API server asks about the writes of others, and where it sends requests on.
    Admission,
}

impl Rank {
    /// The rank of a kind.
    pub(super) fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => Self::Foundation,
            ("", "ServiceAccount") | ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => Self::Accounts,
            ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => Self::Bindings,
            ("", "ResourceQuota" | "LimitRange")
            | ("networking.k8s.io" | "extensions", "NetworkPolicy")
            | ("policy", "PodDisruptionBudget") => Self::Limits,
            ("", "ConfigMap" | "Secret" | "PersistentVolume" | "PersistentVolumeClaim") => Self::Configuration,
            ("", "Service" | "Endpoints") | ("discovery.k8s.io", "EndpointSlice") => Self::Services,
            ("", "Pod" | "ReplicationController" | "PodTemplate")
            | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job" | "CronJob")
            | ("autoscaling", "HorizontalPodAutoscaler") => Self::Workloads,
            ("admissionregistration.k8s.io", _) | ("apiregistration.k8s.io", "APIService") => Self::Admission,
            (_, kind) if kind.ends_with("Class") => Self::Classes,
            _ => Self::Others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_before_them() {
        let order = [
            ("apiextensions.k8s.io", "CustomResourceDefinition"),
            ("scheduling.k8s.io", "PriorityClass"),
            ("", "ServiceAccount"),
            ("rbac.authorization.k8s.io", "RoleBinding"),
            ("networking.k8s.io", "NetworkPolicy"),
            ("", "Secret"),
            ("", "Service"),
            ("apps", "Deployment"),
            ("networking.k8s.io", "Ingress"),
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ];
        let ranks: Vec<Rank> = order.iter().map(|(group, kind)| Rank::of(group, kind)).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    }

    #[test]
    fn a_custom_kind_cannot_borrow_the_rank_of_a_built_in_one() {
        assert_eq!(Rank::of("example.com", "Namespace"), Rank::Others);
        assert_eq!(Rank::of("example.com", "Deployment"), Rank::Others);
        assert_eq!(Rank::of("cluster.x-k8s.io", "ClusterClass"), Rank::Classes);
    }
}
