//! Objects as controllers leave them, and how they fare.

use serde_json::json;

use super::*;

fn conditions(list: &[(&str, &str, &str)]) -> Value {
    let condition = |(name, status, reason): &(&str, &str, &str)| json!({"type": name, "status": status, "reason": reason, "message": format!("{name} says {reason}")});
    Value::Array(list.iter().map(condition).collect())
}

fn check(group: &str, kind: &str, table: Vec<(Value, Status)>) {
    for (object, expected) in table {
        assert_eq!(of(group, kind, &object).0, expected, "{kind} {object}");
    }
}

#[test]
fn every_kind_is_judged_by_generation_and_general_conditions_first() {
    for (group, kind) in [("apps", "Deployment"), ("example.com", "Widget"), ("batch", "Job")] {
        check(
            group,
            kind,
            vec![
                (json!({"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}}), Status::Terminating),
                (json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}), Status::InProgress),
                (json!({"status": {"conditions": conditions(&[("Reconciling", "True", "x")])}}), Status::InProgress),
                (json!({"status": {"conditions": conditions(&[("Stalled", "True", "x")])}}), Status::Failed),
            ],
        );
    }
}

#[test]
fn a_custom_kind_is_ready_where_it_says_nothing_else() {
    let ready = |status: &str| json!({"status": {"conditions": conditions(&[("Ready", status, "x")])}});
    check(
        "example.com",
        "Widget",
        vec![
            (json!({}), Status::Current),
            (json!({"status": {"conditions": "odd"}}), Status::Current),
            (ready("True"), Status::Current),
            (ready("False"), Status::InProgress),
            (ready("Unknown"), Status::InProgress),
            (json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2}}), Status::Current),
        ],
    );
}

#[test]
fn a_deployment_is_rolled_out_when_its_pods_are_new_and_available() {
    let deployment = |spec: Value, status: Value| json!({"spec": spec, "status": status});
    let rolled_out = conditions(&[("Progressing", "True", "NewReplicaSetAvailable"), ("Available", "True", "x")]);
    let all = json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2, "conditions": rolled_out});
    let with = |field: &str, value: Value| {
        let mut status = all.clone();
        status[field] = value;
        status
    };
    let spec = json!({"replicas": 2, "progressDeadlineSeconds": 600});
    let mut table = vec![
        (deployment(spec.clone(), all.clone()), Status::Current),
        (deployment(spec.clone(), json!({})), Status::InProgress),
        (deployment(json!({}), json!({})), Status::InProgress),
        (deployment(spec.clone(), with("replicas", json!(3))), Status::InProgress),
        (deployment(json!({"replicas": 0}), json!({"conditions": rolled_out})), Status::Current),
        (deployment(json!({"replicas": 0}), json!({})), Status::InProgress),
    ];
    for field in ["replicas", "updatedReplicas", "availableReplicas", "readyReplicas"] {
        table.push((deployment(spec.clone(), with(field, json!(1))), Status::InProgress));
    }
    let late = conditions(&[("Progressing", "False", "ProgressDeadlineExceeded"), ("Available", "True", "x")]);
    table.push((deployment(spec.clone(), with("conditions", late)), Status::Failed));
    let moving = conditions(&[("Progressing", "True", "ReplicaSetUpdated"), ("Available", "True", "x")]);
    table.push((deployment(spec.clone(), with("conditions", moving.clone())), Status::InProgress));
    table.push((deployment(json!({"replicas": 2}), with("conditions", moving)), Status::Current));
    let down = conditions(&[("Progressing", "True", "NewReplicaSetAvailable"), ("Available", "False", "x")]);
    table.push((deployment(spec, with("conditions", down)), Status::InProgress));
    check("apps", "Deployment", table);
}

#[test]
fn sets_of_pods_are_counted() {
    let set = |spec: Value, status: Value| json!({"spec": spec, "status": status});
    let all = json!({"replicas": 1, "readyReplicas": 1, "currentReplicas": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "a"});
    let mut other = all.clone();
    other["updateRevision"] = "b".into();
    let partition = json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}});
    let two = json!({"replicas": 2, "readyReplicas": 2, "updatedReplicas": 1});
    check(
        "apps",
        "StatefulSet",
        vec![
            (set(json!({}), all.clone()), Status::Current),
            (set(json!({}), json!({})), Status::InProgress),
            (set(json!({}), other), Status::InProgress),
            (set(json!({"updateStrategy": {"type": "OnDelete"}}), json!({})), Status::Current),
            (set(json!({"replicas": 0}), all), Status::InProgress),
            (set(partition.clone(), two), Status::Current),
            (set(partition, json!({"replicas": 2, "readyReplicas": 2})), Status::InProgress),
        ],
    );
    let daemons = json!({"observedGeneration": 1, "desiredNumberScheduled": 1, "currentNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1, "numberReady": 1});
    let mut table = vec![
        (set(json!({}), daemons.clone()), Status::Current),
        (set(json!({}), json!({})), Status::InProgress),
        (set(json!({}), json!({"observedGeneration": 1})), Status::InProgress),
    ];
    for field in ["currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady"] {
        let mut less = daemons.clone();
        less[field] = 0.into();
        table.push((set(json!({}), less), Status::InProgress));
    }
    check("apps", "DaemonSet", table);
    let replicas = json!({"replicas": 1, "fullyLabeledReplicas": 1, "availableReplicas": 1, "readyReplicas": 1});
    let mut cannot = replicas.clone();
    cannot["conditions"] = conditions(&[("ReplicaFailure", "True", "FailedCreate")]);
    check(
        "apps",
        "ReplicaSet",
        vec![
            (set(json!({}), replicas), Status::Current),
            (set(json!({}), cannot), Status::InProgress),
            (set(json!({}), json!({})), Status::InProgress),
        ],
    );
}

#[test]
fn pods_and_jobs_end_well_or_not() {
    let pod =
        |phase: &str, more: &[(&str, &str, &str)]| json!({"status": {"phase": phase, "conditions": conditions(more)}});
    let mut crashing = pod("Running", &[("Ready", "False", "x")]);
    crashing["status"]["containerStatuses"] =
        json!([{"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
    check(
        "",
        "Pod",
        vec![
            (json!({}), Status::InProgress),
            (pod("Pending", &[("PodScheduled", "False", "Unschedulable")]), Status::InProgress),
            (pod("Running", &[("Ready", "True", "x")]), Status::Current),
            (pod("Running", &[("Ready", "False", "x")]), Status::InProgress),
            (crashing, Status::Failed),
            (pod("Succeeded", &[]), Status::Current),
            (pod("Failed", &[]), Status::Failed),
        ],
    );
    let job = |name: &str| json!({"status": {"conditions": conditions(&[(name, "True", "x")])}});
    check(
        "batch",
        "Job",
        vec![
            (json!({}), Status::InProgress),
            (json!({"status": {"startTime": "2030-01-01T00:00:00Z", "active": 1}}), Status::InProgress),
            (job("Complete"), Status::Current),
            (job("Suspended"), Status::Current),
            (job("Failed"), Status::Failed),
        ],
    );
    assert!(may_be_gone("batch", "Job", &json!({"spec": {"ttlSecondsAfterFinished": 60}})));
    assert!(!may_be_gone("batch", "Job", &json!({"spec": {}})));
}

#[test]
fn claims_services_budgets_and_definitions_have_rules_of_their_own() {
    let claim = |phase: &str| json!({"status": {"phase": phase}});
    check(
        "",
        "PersistentVolumeClaim",
        vec![
            (claim("Bound"), Status::Current),
            (claim("Pending"), Status::InProgress),
            (claim("Lost"), Status::Failed),
            (json!({}), Status::InProgress),
        ],
    );
    check(
        "",
        "Service",
        vec![
            (json!({"spec": {"type": "ClusterIP"}}), Status::Current),
            (json!({"spec": {"type": "LoadBalancer"}}), Status::InProgress),
            (json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}}), Status::Current),
        ],
    );
    check(
        "policy",
        "PodDisruptionBudget",
        vec![(json!({}), Status::InProgress), (json!({"status": {"observedGeneration": 1}}), Status::Current)],
    );
    let crd = |list: &[(&str, &str, &str)]| json!({"status": {"conditions": conditions(list)}});
    check(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        vec![
            (json!({}), Status::InProgress),
            (crd(&[("NamesAccepted", "True", "x"), ("Established", "True", "x")]), Status::Current),
            (crd(&[("NamesAccepted", "False", "Taken")]), Status::Failed),
            (crd(&[("Established", "False", "Installing")]), Status::InProgress),
            (crd(&[("Established", "False", "NotAccepted")]), Status::Failed),
        ],
    );
}

#[test]
fn kinds_without_a_status_are_fine_at_once() {
    for (group, kind) in
        [("", "ConfigMap"), ("", "Secret"), ("rbac.authorization.k8s.io", "Role"), ("batch", "CronJob")]
    {
        assert!(is_at_once(group, kind), "{kind}");
    }
    for (group, kind) in [("", "Pod"), ("", "Service"), ("apps", "Deployment"), ("example.com", "ConfigMap")] {
        assert!(!is_at_once(group, kind), "{kind}");
    }
}
