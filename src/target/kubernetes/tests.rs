//! The target against a real API server.

pub(crate) mod builders;
#[path = "../../../tests/it/support/kube.rs"]
mod server;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use self::builders::{object, release_of};
use self::server::{Server, server};
use super::{Cluster, Kubernetes, Options};
use crate::gate::release::{ApprovedRelease, ReleaseObject};
use crate::outcome::Action;
use crate::reason::ErrorCode;
use crate::target::{Retry, Target, TargetError};

/// A gate of a test and its namespace, which both have the test's name.
struct World {
    server: &'static Server,
    client: kube::Client,
    name: &'static str,
}

impl World {
    async fn new(name: &'static str) -> Option<Self> {
        let server = server(name).await?;
        Some(Self { server, client: server.client().await, name })
    }

    async fn target_with(&self, change: impl FnOnce(&mut Options)) -> Kubernetes {
        let mut options = Options::new(self.name);
        options.cluster = Cluster { kubeconfig: Some(self.server.admin()), context: None };
        change(&mut options);
        Kubernetes::connect(options).await.unwrap()
    }

    async fn target(&self) -> Kubernetes {
        self.target_with(|_| {}).await
    }

    fn release(&self, revision: &str, objects: Vec<ReleaseObject>) -> ApprovedRelease {
        release_of(self.name, revision, objects)
    }

    fn namespace(&self) -> ReleaseObject {
        object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}), &[])
    }

    fn config_map(&self, name: &str, value: &str) -> ReleaseObject {
        let metadata = json!({"name": name, "namespace": self.name});
        object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": value}}), &[])
    }

    fn deployment(&self, name: &str, image: &str) -> ReleaseObject {
        let labels = json!({"app": name});
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": self.name},
            "spec": {"selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]},
            }},
        });
        object(manifest, &[image])
    }

    /// What the cluster has at a path.
    async fn get(&self, path: &str) -> Option<Value> {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        match self.client.request(request).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn config(&self, name: &str) -> Option<Value> {
        self.get(&format!("/api/v1/namespaces/{}/configmaps/{name}", self.name)).await
    }

    /// Writes as somebody else.
    async fn send(&self, method: &str, path: &str, kind: &str, body: &Value) -> Value {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(body.to_string().into_bytes())
            .unwrap();
        self.client.request(request).await.unwrap()
    }
}

fn actions(done: Result<Vec<crate::outcome::Outcome>, TargetError>) -> Vec<(String, Action)> {
    done.unwrap().into_iter().map(|outcome| (outcome.object, outcome.action)).collect()
}

fn always() -> bool {
    true
}

#[tokio::test]
async fn a_release_is_applied_and_applying_it_again_changes_nothing() {
    let Some(world) = World::new("first").await else { return };
    let target = world.target().await;
    let release =
        world.release("r1", vec![world.config_map("a", "1"), world.deployment("web", "app@1"), world.namespace()]);
    assert_eq!(target.applied().await, Ok(None));
    target.dry_run(&release).await.unwrap();
    assert_eq!(world.get("/api/v1/namespaces/first").await, None, "a dry run writes nothing");
    let first = actions(target.apply(&release, &always).await);
    let all = |action| {
        vec![
            ("Namespace/first".to_owned(), action),
            ("ConfigMap/first/a".to_owned(), action),
            ("Deployment/first/web".to_owned(), action),
        ]
    };
    assert_eq!(first, all(Action::Created));
    assert_eq!(target.applied().await, Ok(Some("r1".to_owned())));
    let map = world.config("a").await.unwrap();
    assert_eq!(map["metadata"]["annotations"]["sealgate.dev/revision"], "r1");
    assert_eq!(map["metadata"]["labels"]["sealgate.dev/gate"], "first");
    assert_eq!(map["metadata"]["managedFields"][0]["manager"], "sealgate");
    assert_eq!(target.drift(&release).await, Ok(Vec::new()));

    assert_eq!(actions(target.apply(&release, &always).await), all(Action::Unchanged));
    // Another revision with one change: the others are not even marked anew.
    let next =
        world.release("r2", vec![world.config_map("a", "2"), world.deployment("web", "app@1"), world.namespace()]);
    let second = actions(target.apply(&next, &always).await);
    let changed: Vec<&str> = second.iter().filter(|it| it.1 != Action::Unchanged).map(|it| it.0.as_str()).collect();
    assert_eq!(changed, ["ConfigMap/first/a"]);
    assert_eq!(world.config("a").await.unwrap()["metadata"]["annotations"]["sealgate.dev/revision"], "r2");
    assert_eq!(target.applied().await, Ok(Some("r2".to_owned())));
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_and_nothing_is_written() {
    let Some(world) = World::new("wrong").await else { return };
    let target = world.target().await;
    let mut typo = world.deployment("typo", "app@1");
    typo.json["spec"]["replica"] = 1.into();
    let mut bad = world.config_map("Bad_Name", "1");
    bad.json["data"]["key"] = "x".into();
    let nowhere = object(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "nowhere"}}),
        &[],
    );
    let good = world.config_map("good", "1");
    world.send("POST", "/api/v1/namespaces", "application/json", &world.namespace().json).await;
    let error = target.dry_run(&world.release("r1", vec![typo, bad, nowhere, good])).await.unwrap_err();
    assert_eq!(error.problems.len(), 3, "{error:#?}");
    assert_eq!(error.retry, Retry::Never);
    for problem in &error.problems {
        assert_eq!(problem.code, ErrorCode::TargetRejected);
        assert_eq!((problem.file.as_deref(), problem.place.map(|it| it.line)), (Some("app.yaml"), Some(3)));
    }
    assert_eq!(world.config("good").await, None);
    let mut early = world.deployment("early", "app@1");
    early.json["metadata"]["namespace"] = "wrong-to-come".into();
    early.json["spec"]["replica"] = 1.into();
    let to_come = object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "wrong-to-come"}}), &[]);
    let error = target.dry_run(&world.release("r1", vec![to_come, early])).await.unwrap_err();
    assert_eq!(error.retry, Retry::Never, "what is wrong shows before its namespace is there");
    let unknown = object(json!({"apiVersion": "nobody.example/v1", "kind": "Thing", "metadata": {"name": "a"}}), &[]);
    let error =
        target.apply(&world.release("r1", vec![unknown, world.config_map("good", "1")]), &always).await.unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert_eq!(world.config("good").await, None);
    assert_eq!(target.applied().await, Ok(None));
}

#[tokio::test]
async fn a_definition_and_its_objects_come_in_one_release() {
    let Some(world) = World::new("custom").await else { return };
    let target = world.target().await;
    let definition = |fields: Value| {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}});
        let manifest = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.custom.example"},
            "spec": {"group": "custom.example", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
        });
        object(manifest, &[])
    };
    let widget = |spec: Value| {
        let metadata = json!({"name": "w", "namespace": "custom"});
        object(json!({"apiVersion": "custom.example/v1", "kind": "Widget", "metadata": metadata, "spec": spec}), &[])
    };
    let small = json!({"size": {"type": "integer"}});
    let release = world.release("r1", vec![widget(json!({"size": 1})), definition(small.clone()), world.namespace()]);
    target.dry_run(&release).await.unwrap();
    let done = actions(target.apply(&release, &always).await);
    assert_eq!(done.last().unwrap(), &("Widget/custom/w".to_owned(), Action::Created));
    // A definition that learns a field, and an object that uses it.
    let large = json!({"size": {"type": "integer"}, "colour": {"type": "string"}});
    let next =
        world.release("r2", vec![widget(json!({"size": 1, "colour": "red"})), definition(large), world.namespace()]);
    target.dry_run(&next).await.unwrap();
    target.apply(&next, &always).await.unwrap();
    let path = "/apis/custom.example/v1/namespaces/custom/widgets/w";
    assert_eq!(world.get(path).await.unwrap()["spec"]["colour"], "red");
}

#[tokio::test]
async fn a_container_that_somebody_added_is_refused_before_anything_is_written() {
    let Some(world) = World::new("foreign").await else { return };
    let target = world.target().await;
    let release = |revision: &str, value: &str| {
        world.release(revision, vec![world.namespace(), world.deployment("web", "app@1"), world.config_map("a", value)])
    };
    target.apply(&release("r1", "1"), &always).await.unwrap();
    let path = "/apis/apps/v1/namespaces/foreign/deployments/web";
    let side = json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "evil"}]}}}});
    world.send("PATCH", path, "application/strategic-merge-patch+json", &side).await;
    assert_eq!(target.drift(&release("r1", "1")).await, Ok(vec!["Deployment/foreign/web".to_owned()]));
    let error = target.apply(&release("r2", "2"), &always).await.unwrap_err();
    assert_eq!(error.foreign_images, [("Deployment/foreign/web".to_owned(), "evil".to_owned())]);
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "1");
    assert_eq!(target.applied().await, Ok(Some("r1".to_owned())));
}

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

    let pruning = world.target_with(|options| options.prune = true).await;
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

#[tokio::test]
async fn an_application_that_was_left_off_anywhere_is_taken_up_again() {
    let Some(world) = World::new("resume").await else { return };
    let target = world.target_with(|options| options.prune = true).await;
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
        let again = world.target_with(|options| options.prune = true).await;
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
async fn a_namespace_that_is_going_is_refused_for_a_while() {
    let Some(world) = World::new("going").await else { return };
    let target = world.target().await;
    world.send("POST", "/api/v1/namespaces", "application/json", &world.namespace().json).await;
    // Nobody finishes the deletion: there is no controller.
    world.send("DELETE", "/api/v1/namespaces/going", "application/json", &json!({})).await;
    let error = target.dry_run(&world.release("r1", vec![world.config_map("a", "1")])).await.unwrap_err();
    assert_eq!(error.retry, Retry::Later(None));
}

#[tokio::test]
async fn an_immutable_field_is_refused_for_good() {
    let Some(world) = World::new("immutable").await else { return };
    let target = world.target().await;
    target
        .apply(&world.release("r1", vec![world.namespace(), world.deployment("web", "app@1")]), &always)
        .await
        .unwrap();
    let mut other = world.deployment("web", "app@1");
    for pointer in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        *other.json.pointer_mut(pointer).unwrap() = json!({"app": "other"});
    }
    let error = target.dry_run(&world.release("r2", vec![other])).await.unwrap_err();
    assert_eq!(error.retry, Retry::Never);
}

#[tokio::test]
async fn a_cluster_that_cannot_be_reached_is_not_the_manifests_fault() {
    let Some(world) = World::new("unreachable").await else { return };
    let wrong = world.target_with(|options| {
        options.cluster.kubeconfig = Some(world.server.kubeconfig("no-such-token"));
    });
    let error = wrong.await.dry_run(&world.release("r1", vec![world.namespace()])).await.unwrap_err();
    assert_eq!(error.problems[0].code, ErrorCode::TargetUnavailable);
    assert_eq!(error.retry, Retry::Later(None));
}

#[tokio::test]
async fn the_rights_that_are_shipped_suffice_and_go_no_further() {
    let Some(world) = World::new("apps").await else { return };
    let shipped = [
        include_str!("../../../deploy/base/namespace.yaml"),
        include_str!("../../../deploy/base/rbac.yaml"),
        include_str!("../../../deploy/target-namespace.yaml"),
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
            options.prune = true;
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
