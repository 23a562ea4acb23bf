//! The target against a real API server.

pub(crate) mod builders;
mod choices;
mod fares;
mod restart;
#[path = "../../../tests/it/support/kube.rs"]
mod server;
mod sharing;
mod tenants;
mod time;

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
        // A watch is a moment behind: what is asked for at once must be asked of the cluster.
        options.watch = false;
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
