//! Objects that others write too.

use super::*;

#[tokio::test]
async fn a_field_of_another_manager_is_a_conflict_and_force_takes_it() {
    let Some(world) = World::new("conflict").await else { return };
    let target = world.target().await;
    let release = world.release("r1", vec![world.namespace(), world.config_map("a", "1")]);
    target.apply(&release, &always).await.unwrap();
    let path = "/api/v1/namespaces/conflict/configmaps/a?fieldManager=other&force=true";
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"key": "theirs"}});
    world.send("PATCH", path, "application/apply-patch+yaml", &theirs).await;
    assert_eq!(target.drift(&release).await, Ok(vec!["ConfigMap/conflict/a".to_owned()]));
    let error = target.apply(&release, &always).await.unwrap_err();
    assert_eq!(error.retry, Retry::Never);
    let message = &error.problems[0].message;
    assert!(message.contains("other") && message.contains(".data.key"), "{message}");
    let forced = world.target_with(|options| options.force = true).await;
    forced.apply(&release, &always).await.unwrap();
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "1");
}

#[tokio::test]
async fn an_edit_is_undone_where_that_is_wished_and_only_in_what_did_not_change() {
    let Some(world) = World::new("edited").await else { return };
    let target = world.target().await;
    let release = world.release("r1", vec![world.namespace(), world.config_map("a", "1")]);
    let edit = || async {
        let path = "/api/v1/namespaces/edited/configmaps/a?fieldManager=kubectl-edit";
        world.send("PATCH", path, "application/merge-patch+json", &json!({"data": {"key": "theirs"}})).await;
    };
    target.apply(&release, &always).await.unwrap();
    edit().await;
    target.apply(&release, &always).await.unwrap();
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "1");
    edit().await;
    let changed = world.release("r2", vec![world.namespace(), world.config_map("a", "2")]);
    assert_eq!(target.dry_run(&changed).await.unwrap_err().retry, Retry::Never);
    let reporting = world.target_with(|options| options.correct = false).await;
    assert_eq!(reporting.dry_run(&release).await.unwrap_err().retry, Retry::Never);
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "theirs");
}

#[tokio::test]
async fn an_object_of_client_side_apply_is_taken_over() {
    let Some(world) = World::new("takeover").await else { return };
    let target = world.target().await;
    target.apply(&world.release("r0", vec![world.namespace()]), &always).await.unwrap();
    // As kubectl writes it.
    let last = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
    let metadata = json!({"name": "a", "namespace": "takeover", "annotations": last});
    let theirs =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "theirs", "gone": "x"}});
    let path = "/api/v1/namespaces/takeover/configmaps?fieldManager=kubectl-client-side-apply";
    world.send("POST", path, "application/json", &theirs).await;
    let release = world.release("r1", vec![world.namespace(), world.config_map("a", "ours")]);
    target.dry_run(&release).await.unwrap();
    target.apply(&release, &always).await.unwrap();
    let map = world.config("a").await.unwrap();
    assert_eq!(map["data"], json!({"key": "ours"}));
    assert_eq!(map["metadata"]["annotations"], json!({"sealgate.dev/revision": "r1"}));
    assert_eq!(map["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    assert_eq!(target.drift(&release).await, Ok(Vec::new()));
}

#[tokio::test]
async fn what_left_the_release_is_pruned_and_nothing_else() {
    let Some(world) = World::new("prune").await else { return };
    let keeping = world.target().await;
    let mut opted_out = world.config_map("opted-out", "1");
    opted_out.json["metadata"]["annotations"] = json!({"sealgate.dev/prune": "disabled"});
    let first = vec![
        world.namespace(),
        world.config_map("stays", "1"),
        world.config_map("leaves", "1"),
        world.config_map("relabelled", "1"),
        opted_out,
        world.deployment("web", "app@1"),
    ];
    keeping.apply(&world.release("r1", first), &always).await.unwrap();
    let theirs = json!({"metadata": {"labels": {"sealgate.dev/gate": "somebody"}}});
    let path = "/api/v1/namespaces/prune/configmaps/relabelled";
    world.send("PATCH", path, "application/merge-patch+json", &theirs).await;
    let second = || vec![world.config_map("stays", "1")];
    keeping.apply(&world.release("r2", second()), &always).await.unwrap();
    assert!(world.config("leaves").await.is_some(), "nothing is pruned unless it is asked for");

    let pruning = world.target_with(|options| options.prune.enabled = true).await;
    pruning.apply(&world.release("r3", Vec::new()), &always).await.unwrap();
    assert!(world.config("stays").await.is_some(), "an empty release prunes nothing");
    let done = actions(pruning.apply(&world.release("r4", second()), &always).await);
    let pruned: Vec<&str> = done.iter().filter(|it| it.1 == Action::Pruned).map(|it| it.0.as_str()).collect();
    assert_eq!(pruned, ["Deployment/prune/web", "ConfigMap/prune/leaves"]);
    for (name, there) in [("stays", true), ("leaves", false), ("relabelled", true), ("opted-out", true)] {
        assert_eq!(world.config(name).await.is_some(), there, "{name}");
    }
    let namespace = world.get("/api/v1/namespaces/prune").await.unwrap();
    assert_eq!(namespace["metadata"]["deletionTimestamp"], Value::Null);
    let inventory = world.get("/api/v1/namespaces/sealgate/configmaps/sealgate.prune.0").await.unwrap();
    assert_eq!(inventory["data"]["entries"].as_str().unwrap().lines().count(), 1);
}

#[tokio::test]
async fn an_object_of_another_gate_is_not_taken() {
    let Some(world) = World::new("owned").await else { return };
    let release = |gate: &str, value: &str| release_of(gate, "r1", vec![world.config_map("a", value)]);
    let target = world.target().await;
    target.apply(&world.release("r0", vec![world.namespace()]), &always).await.unwrap();
    let other = world.target_with(|options| options.gate = "other-gate".to_owned()).await;
    other.apply(&release("other-gate", "theirs"), &always).await.unwrap();
    let error = target.apply(&release("owned", "ours"), &always).await.unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "theirs");
}
