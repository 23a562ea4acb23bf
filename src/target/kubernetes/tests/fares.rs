//! How what was applied fares, and what is left for other replicas.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::image::Digest;
use crate::outcome::health::{Health, State, Status};

/// Far longer than anything here takes; what ends a test that would wait for ever.
const PATIENCE: Duration = Duration::from_mins(1);

async fn until(target: &Kubernetes, wished: impl Fn(&Health) -> bool) -> Health {
    let wait = async {
        loop {
            match target.health() {
                Some(health) if wished(&health) => return health,
                _ => target.fared().await,
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, wait).await;
    done.unwrap_or_else(|_| panic!("never: {:#?}", target.health()))
}

fn job(namespace: &str) -> ReleaseObject {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "app@1"}]});
    let manifest = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": namespace},
        "spec": {"template": {"spec": pod}},
    });
    object(manifest, &["app@1"])
}

impl World {
    async fn status(&self, path: &str, status: Value) {
        self.send("PATCH", &format!("{path}/status"), "application/merge-patch+json", &json!({ "status": status }))
            .await;
    }
}

#[tokio::test]
async fn a_release_is_healthy_when_its_controllers_say_so_and_not_before() {
    let Some(world) = World::new("fares").await else { return };
    let target = world.target_with(|options| options.health = Some(PATIENCE)).await;
    let mut deployment = world.deployment("web", "app@1");
    deployment.json["spec"]["replicas"] = 0.into();
    let objects = vec![world.namespace(), world.config_map("a", "1"), deployment, job("fares")];
    assert_eq!(target.health(), None);
    target.apply(&world.release("r1", objects), &always).await.unwrap();
    let waiting = until(&target, |health| health.counts.get(&Status::InProgress) == Some(&2)).await;
    assert_eq!((waiting.state, waiting.revision.as_str()), (State::Waiting, "r1"));
    let lacking: Vec<&str> = waiting.objects.iter().map(|it| it.object.as_str()).collect();
    assert_eq!(lacking, ["Deployment/fares/web", "Job/fares/migrate"]);

    let conditions = json!([
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
    ]);
    let rolled_out = json!({"observedGeneration": 1, "conditions": conditions});
    world.status("/apis/apps/v1/namespaces/fares/deployments/web", rolled_out).await;
    until(&target, |health| health.counts.get(&Status::Current) == Some(&3)).await;
    let path = "/apis/batch/v1/namespaces/fares/jobs/migrate";
    world.status(path, json!({"conditions": [{"type": "Complete", "status": "True"}]})).await;
    let healthy = until(&target, |health| health.state == State::Healthy).await;
    assert_eq!((healthy.counts, healthy.objects), (BTreeMap::from([(Status::Current, 4)]), Vec::new()));
}

#[tokio::test]
async fn what_failed_and_what_is_late_is_told_and_stays_applied() {
    let Some(world) = World::new("fares-badly").await else { return };
    let target = world.target_with(|options| options.health = Some(Duration::from_millis(100))).await;
    let first = world.release("r1", vec![world.namespace(), world.deployment("web", "app@1")]);
    target.apply(&first, &always).await.unwrap();
    let late = until(&target, |health| health.state == State::TimedOut).await;
    assert_eq!(late.objects[0].status, Status::InProgress);
    assert_eq!(target.applied().await, Ok(Some("r1".to_owned())));

    // The next release has its own time, and its own trouble.
    let second = world.release("r2", vec![world.namespace(), job("fares-badly")]);
    target.apply(&second, &always).await.unwrap();
    let path = "/apis/batch/v1/namespaces/fares-badly/jobs/migrate";
    world.status(path, json!({"conditions": [{"type": "Failed", "status": "True", "message": "it broke"}]})).await;
    let failed = until(&target, |health| health.state == State::Failed).await;
    assert_eq!((failed.revision.as_str(), failed.objects[0].message.as_str()), ("r2", "it broke"));
    assert!(world.get(path).await.is_some() && target.applied().await == Ok(Some("r2".to_owned())));
    // What comes late is told too.
    world.status(path, json!({"conditions": [{"type": "Complete", "status": "True"}]})).await;
    until(&target, |health| health.state == State::Healthy).await;
}

#[tokio::test]
async fn the_pins_are_left_for_other_replicas_before_the_first_object_is_written() {
    let Some(world) = World::new("pins").await else { return };
    let target = world.target().await;
    let pins = |digest: &[u8]| BTreeMap::from([("r.example/app:1".to_owned(), Digest::of(digest))]);
    let release = |revision: &str, digest: &[u8]| {
        world.release(revision, vec![world.namespace(), world.config_map("a", revision)]).with_pins(pins(digest))
    };
    assert_eq!(target.pins("r1").await, Ok(None));
    target.apply(&release("r1", b"1"), &always).await.unwrap();
    let other = world.target().await;
    assert_eq!(other.pins("r1").await, Ok(Some(pins(b"1"))));
    assert_eq!(other.pins("r2").await, Ok(None));
    // One write, and no more.
    let left = AtomicUsize::new(1);
    let go_on = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok();
    target.apply(&release("r2", b"2"), &go_on).await.unwrap_err();
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "r1");
    assert_eq!(other.pins("r2").await, Ok(Some(pins(b"2"))));
}

#[tokio::test]
async fn a_quota_that_ends_in_the_middle_is_told_and_the_rest_follows_once_it_is_raised() {
    let Some(world) = World::new("quota").await else { return };
    let target = world.target().await;
    target.apply(&world.release("r0", vec![world.namespace()]), &always).await.unwrap();
    let path = "/api/v1/namespaces/quota/resourcequotas";
    let hard = |count: &str| json!({"configmaps": count});
    let quota =
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard("3")}});
    world.send("POST", path, "application/json", &quota).await;
    // What a controller would do.
    world.status(&format!("{path}/q"), json!({"hard": hard("3"), "used": {"configmaps": "0"}})).await;
    let objects = (0..20).map(|index| world.config_map(&format!("m{index}"), "1"));
    let release = world.release("r1", [world.namespace()].into_iter().chain(objects).collect());
    target.dry_run(&release).await.unwrap();
    let error = target.apply(&release, &always).await.unwrap_err();
    assert_eq!((error.retry, error.problems[0].code), (Retry::Later(None), ErrorCode::TargetRejected));
    let written = error.outcomes.iter().filter(|it| it.action == Action::Created).count();
    assert!((1..=3).contains(&written), "{written}");
    assert_ne!(target.applied().await, Ok(Some("r1".to_owned())));
    world.send("DELETE", &format!("{path}/q"), "application/json", &json!({})).await;
    target.apply(&release, &always).await.unwrap();
    assert_eq!(target.applied().await, Ok(Some("r1".to_owned())));
    assert!(world.config("m19").await.is_some());
}

#[tokio::test]
async fn a_webhook_that_is_down_leaves_everything_for_later() {
    let Some(world) = World::new("hooked").await else { return };
    let target = world.target().await;
    let mut namespace = world.namespace();
    namespace.json["metadata"]["labels"] = json!({"hooked": "yes"});
    let release = |revision: &str| world.release(revision, vec![namespace.clone(), world.config_map("a", revision)]);
    target.apply(&release("r1"), &always).await.unwrap();
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "hooked"},
        "webhooks": [{
            "name": "down.example.com", "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": {"hooked": "yes"}}, "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
        }],
    });
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    // Up for the dry run, down for the write.
    target.dry_run(&release("r2")).await.unwrap();
    world.send("POST", hooks, "application/json", &hook).await;
    let error = target.apply(&release("r2"), &always).await.unwrap_err();
    assert!(matches!(error.retry, Retry::Later(_)), "{error:?}");
    let error = target.dry_run(&release("r3")).await.unwrap_err();
    assert!(matches!(error.retry, Retry::Later(_)), "{error:?}");
    assert_eq!(error.problems[0].code, ErrorCode::TargetUnavailable);
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "r1");
    world.send("DELETE", &format!("{hooks}/hooked"), "application/json", &json!({})).await;
    target.apply(&release("r3"), &always).await.unwrap();
    assert_eq!(world.config("a").await.unwrap()["data"]["key"], "r3");
}
