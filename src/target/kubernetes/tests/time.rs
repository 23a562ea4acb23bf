//! What happens to an applied release in time.

use super::*;

#[tokio::test]
async fn an_application_that_was_left_off_anywhere_is_taken_up_again() {
    let Some(world) = World::new("resume").await else { return };
    let target = world.target_with(|options| options.prune.enabled = true).await;
    let objects = |value: &str, count: usize| {
        let mut objects = vec![world.namespace()];
        objects.extend((0..count).map(|index| world.config_map(&format!("m{index}"), value)));
        objects
    };
    target.apply(&world.release("r0", objects("0", 6)), &always).await.unwrap();
    for allowed in 0..14 {
        let revision = format!("r-{allowed}");
        let release = world.release(&revision, objects(&revision, 4));
        let left = AtomicUsize::new(allowed);
        let go_on = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok();
        let done = target.apply(&release, &go_on).await;
        if done.is_err() {
            assert_ne!(target.applied().await.unwrap(), Some(revision.clone()), "{allowed}");
        }
        let again = world.target_with(|options| options.prune.enabled = true).await;
        again.apply(&release, &always).await.unwrap();
        assert_eq!(again.applied().await, Ok(Some(revision.clone())));
        assert_eq!(again.drift(&release).await, Ok(Vec::new()));
        assert_eq!(world.config("m3").await.unwrap()["data"]["key"], revision.as_str());
        assert_eq!(world.config("m5").await, None);
    }
}

#[tokio::test]
async fn objects_that_somebody_changed_or_removed_are_drift() {
    let Some(world) = World::new("drift").await else { return };
    let target = world.target().await;
    let objects = vec![
        world.namespace(),
        world.config_map("a", "1"),
        world.config_map("b", "1"),
        world.deployment("web", "app@1"),
    ];
    let release = world.release("r1", objects);
    target.apply(&release, &always).await.unwrap();
    assert_eq!(target.drift(&release).await, Ok(Vec::new()));
    let path = |name: &str| format!("/api/v1/namespaces/drift/configmaps/{name}");
    world.send("PATCH", &path("a"), "application/merge-patch+json", &json!({"data": {"key": "2"}})).await;
    world.send("DELETE", &path("b"), "application/json", &json!({})).await;
    let scale = json!({"spec": {"replicas": 3}});
    world.send("PATCH", "/apis/apps/v1/namespaces/drift/deployments/web", "application/merge-patch+json", &scale).await;
    let found = target.drift(&release).await.unwrap();
    assert_eq!(found, ["ConfigMap/drift/a", "ConfigMap/drift/b"], "a field that we do not set is not ours");
}

#[tokio::test]
async fn the_rights_that_are_shipped_suffice_and_go_no_further() {
    let Some(world) = World::new("apps").await else { return };
    let shipped = [
        include_str!("../../../../deploy/base/namespace.yaml"),
        include_str!("../../../../deploy/base/rbac.yaml"),
        include_str!("../../../../deploy/target-namespace.yaml"),
    ];
    for text in shipped {
        for document in serde_yaml::Deserializer::from_str(text) {
            let manifest: Value = serde::Deserialize::deserialize(document).unwrap();
            let namespace =
                manifest["metadata"]["namespace"].as_str().map(|it| format!("/namespaces/{it}")).unwrap_or_default();
            let kind = format!("{}s", manifest["kind"].as_str().unwrap().to_lowercase());
            let root = if kind == "namespaces" { "/api/v1" } else { "/apis/rbac.authorization.k8s.io/v1" };
            let name = manifest["metadata"]["name"].as_str().unwrap();
            let path = format!("{root}{namespace}/{kind}/{name}?fieldManager=admin&force=true");
            world.send("PATCH", &path, "application/apply-patch+yaml", &manifest).await;
        }
    }
    let target = world
        .target_with(|options| {
            options.cluster.kubeconfig = Some(world.server.gate());
            options.prune.enabled = true;
        })
        .await;
    let first = world
        .release("r1", vec![world.config_map("a", "1"), world.config_map("b", "1"), world.deployment("web", "app@1")]);
    target.dry_run(&first).await.unwrap();
    let writes = |server: &Server| {
        let ours = |event: &Value| event["user"]["username"] == "system:serviceaccount:sealgate:sealgate";
        let write = |event: &Value| ["create", "update", "patch", "delete"].iter().any(|verb| event["verb"] == *verb);
        let real = |event: &Value| !event["requestURI"].as_str().unwrap().contains("dryRun=All");
        server.audit().iter().filter(|event| ours(event) && write(event) && real(event)).count()
    };
    assert_eq!(writes(world.server), 0, "a dry run writes nothing");
    target.apply(&first, &always).await.unwrap();
    assert_eq!(writes(world.server), 5, "the inventory before and after, and each object once");
    assert_eq!(target.drift(&first).await, Ok(Vec::new()));
    target.apply(&world.release("r2", vec![world.config_map("a", "2")]), &always).await.unwrap();
    assert_eq!(world.config("b").await, None);
    assert_eq!(target.applied().await, Ok(Some("r2".to_owned())));

    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "apps"}});
    let elsewhere = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s", "namespace": "default"}});
    for manifest in [secret, elsewhere] {
        let error = target.dry_run(&world.release("r3", vec![object(manifest, &[])])).await.unwrap_err();
        assert_eq!((error.problems[0].code, error.retry), (ErrorCode::TargetRejected, Retry::Never));
    }
}

#[tokio::test]
async fn a_watch_tells_of_a_change_and_spares_what_did_not_change() {
    let Some(world) = World::new("watched").await else { return };
    let target = world.target_with(|options| options.watch = true).await;
    let objects = vec![world.namespace(), world.config_map("a", "1"), world.deployment("web", "app@1")];
    let release = world.release("r1", objects);
    target.apply(&release, &always).await.unwrap();
    let asked = |server: &Server| {
        let of_this = |event: &Value| {
            let uri = event["requestURI"].as_str().unwrap();
            uri.contains("/watched") && event["verb"] != "watch"
        };
        server.audit().iter().filter(|event| of_this(event)).count()
    };
    // The watches are in step after a moment; then a look asks nothing.
    let began = std::time::Instant::now();
    loop {
        let before = asked(world.server);
        assert_eq!(target.drift(&release).await, Ok(Vec::new()));
        if asked(world.server) == before {
            break;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "it asks again and again");
        tokio::task::yield_now().await;
    }
    let path = "/api/v1/namespaces/watched/configmaps/a";
    world.send("PATCH", path, "application/merge-patch+json", &json!({"data": {"key": "2"}})).await;
    loop {
        target.changed().await;
        let found = target.drift(&release).await.unwrap();
        if !found.is_empty() {
            assert_eq!(found, ["ConfigMap/watched/a"]);
            return;
        }
    }
}
