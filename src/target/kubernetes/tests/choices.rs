//! What the options of a gate allow, and what stays forbidden without them.

use super::*;
use crate::target::kubernetes::{ForeignImages, Selector};

fn selector(group: &str, kind: &str, name: Option<&str>) -> Selector {
    Selector { group: group.to_owned(), kind: kind.to_owned(), namespace: None, name: name.map(str::to_owned) }
}

/// The same Deployment, selecting other pods: the cluster refuses to change that.
fn with_other_selector(world: &World, name: &str) -> ReleaseObject {
    let mut other = world.deployment(name, "app@1");
    for pointer in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        *other.json.pointer_mut(pointer).unwrap() = json!({"app": "other"});
    }
    other
}

#[tokio::test]
async fn an_immutable_field_is_changed_by_making_the_object_anew_only_where_that_is_said() {
    let Some(world) = World::new("anew").await else { return };
    let target = world.target_with(|options| options.recreated = vec![selector("apps", "Deployment", None)]).await;
    let first = vec![world.namespace(), world.deployment("web", "app@1"), world.deployment("theirs", "app@1")];
    target.apply(&world.release("r1", first), &always).await.unwrap();
    let path = "/apis/apps/v1/namespaces/anew/deployments/web";
    let old = world.get(path).await.unwrap();
    let second = || world.release("r2", vec![world.namespace(), with_other_selector(&world, "web")]);
    let plain = world.target().await;
    assert_eq!(plain.dry_run(&second()).await.unwrap_err().retry, Retry::Never);

    target.dry_run(&second()).await.unwrap();
    assert_eq!(world.get(path).await.unwrap(), old, "a dry run deletes nothing");
    let done = actions(target.apply(&second(), &always).await);
    assert_eq!(done.last().unwrap(), &("Deployment/anew/web".to_owned(), Action::Recreated));
    let new = world.get(path).await.unwrap();
    assert_ne!(new["metadata"]["uid"], old["metadata"]["uid"]);
    assert_eq!(new["spec"]["selector"]["matchLabels"]["app"], "other");

    // An error that is not over immutable fields leads to no deletion, nor does one on top of them.
    let mut wrong = with_other_selector(&world, "theirs");
    wrong.json["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 0}]);
    target.dry_run(&world.release("r3", vec![wrong])).await.unwrap_err();
    // Nor does the deletion of an object that says no, or is no longer ours.
    let path = "/apis/apps/v1/namespaces/anew/deployments/theirs";
    let opt_out = json!({"metadata": {"annotations": {"sealgate.dev/prune": "disabled"}}});
    world.send("PATCH", path, "application/merge-patch+json", &opt_out).await;
    let third = world.release("r3", vec![with_other_selector(&world, "theirs")]);
    assert_eq!(target.dry_run(&third).await.unwrap_err().retry, Retry::Never);
    assert!(world.get(path).await.is_some());
}

#[tokio::test]
async fn an_object_that_is_made_anew_is_checked_for_images_too() {
    let Some(world) = World::new("anew-images").await else { return };
    let target = world.target_with(|options| options.recreated = vec![selector("apps", "Deployment", None)]).await;
    let first = world.release("r1", vec![world.namespace(), world.deployment("web", "app@1")]);
    target.apply(&first, &always).await.unwrap();
    let mut other = with_other_selector(&world, "web");
    other.images.clear();
    let error = target.dry_run(&world.release("r2", vec![other])).await.unwrap_err();
    assert_eq!(error.foreign_images, [("Deployment/anew-images/web".to_owned(), "app@1".to_owned())]);
}

#[tokio::test]
async fn images_that_somebody_added_are_only_told_where_that_is_said() {
    let Some(world) = World::new("told").await else { return };
    let target = world.target_with(|options| options.foreign_images = ForeignImages::Report).await;
    let release = |value: &str| {
        world.release(value, vec![world.namespace(), world.deployment("web", "app@1"), world.config_map("a", value)])
    };
    target.apply(&release("1"), &always).await.unwrap();
    assert_eq!(target.foreign_images(), []);
    let path = "/apis/apps/v1/namespaces/told/deployments/web";
    let side = json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "injected"}]}}}});
    world.send("PATCH", path, "application/strategic-merge-patch+json", &side).await;
    let told = [("Deployment/told/web".to_owned(), "injected".to_owned())];
    assert_eq!(target.drift(&release("1")).await, Ok(Vec::new()), "nothing of ours differs");
    assert_eq!(target.foreign_images(), told);
    target.apply(&release("2"), &always).await.unwrap();
    assert_eq!(target.foreign_images(), told);
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "2");
    // Whoever takes over does not take that for granted.
    let strict = world.target().await;
    assert_eq!(strict.dry_run(&release("3")).await.unwrap_err().foreign_images, told);
}

#[tokio::test]
async fn force_holds_for_the_objects_that_the_options_name() {
    let Some(world) = World::new("forced").await else { return };
    let target = world.target_with(|options| options.forced = vec![selector("", "ConfigMap", Some("a"))]).await;
    let release = |revision: &str, names: &[&str]| {
        let maps = names.iter().map(|name| world.config_map(name, revision));
        world.release(revision, [world.namespace()].into_iter().chain(maps).collect())
    };
    target.apply(&release("1", &["a", "b"]), &always).await.unwrap();
    for name in ["a", "b"] {
        let path = format!("/api/v1/namespaces/forced/configmaps/{name}?fieldManager=other&force=true");
        let theirs =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "theirs"}});
        world.send("PATCH", &path, "application/apply-patch+yaml", &theirs).await;
    }
    let error = target.apply(&release("2", &["a", "b"]), &always).await.unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert!(error.problems[0].message.contains("ConfigMap/forced/b"), "{error:?}");
    target.apply(&release("2", &["a"]), &always).await.unwrap();
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "2");
}

#[tokio::test]
async fn what_holds_others_and_what_is_all_goes_only_where_that_is_said() {
    let Some(world) = World::new("gone").await else { return };
    let change = |options: &mut Options| {
        options.inventory_namespace = "gone-inventory".to_owned();
        options.prune.enabled = true;
        options.prune.keep = vec![selector("", "ConfigMap", Some("kept"))];
    };
    let target = world.target_with(change).await;
    let other = object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gone-too"}}), &[]);
    let all = vec![world.namespace(), other.clone(), world.config_map("a", "1"), world.config_map("kept", "1")];
    target.apply(&world.release("r1", all.clone()), &always).await.unwrap();
    let inventory = "/api/v1/namespaces/gone-inventory/configmaps/sealgate.gone.0";
    assert!(world.get(inventory).await.is_some());
    target.apply(&world.release("r2", vec![world.namespace()]), &always).await.unwrap();
    assert_eq!((world.config("a").await, world.config("kept").await.is_some()), (None, true));
    let phase = |object: Value| object["metadata"]["deletionTimestamp"].is_null();
    assert!(phase(world.get("/api/v1/namespaces/gone-too").await.unwrap()), "a namespace stays");

    let all_of_it = world
        .target_with(|options| {
            change(options);
            options.prune.namespaces = true;
            options.prune.empty = true;
        })
        .await;
    all_of_it.apply(&world.release("r3", all), &always).await.unwrap();
    all_of_it.apply(&world.release("r4", Vec::new()), &always).await.unwrap();
    assert_eq!((world.config("a").await, world.config("kept").await.is_some()), (None, true));
    assert!(!phase(world.get("/api/v1/namespaces/gone-too").await.unwrap()), "nobody finishes the deletion here");
}

#[tokio::test]
async fn objects_that_did_not_change_are_not_sent_again() {
    let Some(world) = World::new("spared").await else { return };
    let target = world.target_with(|options| options.watch = true).await;
    let release = |value: &str| {
        let mut objects = vec![world.namespace(), world.deployment("web", "app@1"), world.config_map("b", "1")];
        objects.push(world.config_map("a", value));
        world.release(value, objects)
    };
    target.apply(&release("1"), &always).await.unwrap();
    let sent = |from: usize| -> Vec<String> {
        let of_this = |event: &&Value| {
            let uri = event["requestURI"].as_str().unwrap();
            event["verb"] == "patch" && uri.contains("/spared") && !uri.contains("/sealgate/")
        };
        let events = world.server.audit();
        events[from..]
            .iter()
            .filter(of_this)
            .map(|event| event["objectRef"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    // Once the watches are in step.
    let began = std::time::Instant::now();
    for round in 2.. {
        let before = world.server.audit().len();
        let done = actions(target.apply(&release(&round.to_string()), &always).await);
        assert_eq!(done.iter().filter(|it| it.1 == Action::Unchanged).count(), 3);
        if sent(before) == ["a", "a"] {
            break;
        }
        assert!(
            began.elapsed() < std::time::Duration::from_secs(30),
            "what did not change is sent: {:?}",
            sent(before)
        );
    }
    // What somebody touched is sent, though the release does not change it.
    let path = "/api/v1/namespaces/spared/configmaps/b";
    world.send("PATCH", path, "application/merge-patch+json", &json!({"data": {"key": "theirs"}})).await;
    target.changed().await;
    target.apply(&release("last"), &always).await.unwrap();
    assert_eq!(world.config("b").await.unwrap()["data"]["key"], "1");
    // A new process knows nothing and asks for everything.
    let before = world.server.audit().len();
    let again = world.target_with(|options| options.watch = true).await;
    again.apply(&release("last"), &always).await.unwrap();
    let mut names = sent(before);
    names.dedup();
    assert!(names.len() >= 4, "{names:?}");
}
