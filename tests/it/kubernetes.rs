//! The daemon with a cluster as its target: a real API server, a real registry, real signatures.

mod audit;
mod events;
mod gate;
mod images;
mod left;
mod process;
mod proxy;
mod pull_secret;
mod replicas;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::gate::Gate;
use self::images::SIGNED;
use self::proxy::{Moment, Trap};

const DEPLOYMENT: &str = "apps/deployments/web";

fn image_of(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]["image"]
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_revision_is_applied_and_an_unsigned_one_leaves_it_alone() {
    let Some(gate) = Gate::new("it-first", json!({}), json!({})).await else { return };
    let objects = |value: &str| {
        vec![gate.namespace(), gate.config_map("a", value), gate.deployment("web", &gate.images.signed(0))]
    };
    let first = gate.commit(&objects("1"));
    let daemon = gate.start().await;
    daemon.applied(&first).await;
    let deployment = gate.get(DEPLOYMENT).await.unwrap();
    assert_eq!(*image_of(&deployment), gate.images.pinned(0));
    assert_eq!(deployment["metadata"]["labels"]["sealgate.dev/gate"], gate.name);
    assert_eq!(deployment["metadata"]["annotations"]["sealgate.dev/revision"], first);

    // 41 images, one of them unsigned: nothing is written, whatever else the revision changes.
    gate.proxy.forget();
    let config_map = gate.get("configmaps/a").await.unwrap();
    let mut many: Vec<Value> =
        (0..SIGNED).map(|it| gate.deployment(&format!("w{it}"), &gate.images.signed(it))).collect();
    many.push(gate.deployment("web", &gate.images.unsigned()));
    many.extend([gate.namespace(), gate.config_map("a", "2")]);
    let second = gate.commit(&many);
    let report = daemon.until("refused", |it| it["revision"] == second && it["decision"] == "refuse").await;
    assert_eq!(report["summary"], json!({"images": 41, "verified": 40, "refused": 1, "undecided": 0}));
    let refused = report["images"].as_array().unwrap().iter().find(|it| it["verdict"] == "refused").unwrap();
    assert_eq!(refused["reasons"][0]["code"], "no-signature");
    assert_eq!(refused["sites"][0]["file"], "040.yaml");
    assert!(refused["sites"][0]["line"].as_u64().unwrap() > 1 && refused["sites"][0]["column"].as_u64().unwrap() > 1);
    daemon.looked().await;
    assert_eq!(report["status"]["applied"], first);
    assert_eq!(gate.proxy.written(), Vec::<String>::new());
    assert_eq!(version(&gate.get(DEPLOYMENT).await.unwrap()), version(&deployment));
    assert_eq!(version(&gate.get("configmaps/a").await.unwrap()), version(&config_map));
    assert_eq!(gate.get("apps/deployments/w0").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_nothing() {
    let Some(gate) = Gate::new("it-restart", json!({}), json!({})).await else { return };
    let commit =
        gate.commit(&[gate.namespace(), gate.config_map("a", "1"), gate.deployment("web", &gate.images.signed(1))]);
    let daemon = gate.start().await;
    daemon.applied(&commit).await;
    daemon.kill();
    gate.proxy.forget();
    let daemon = gate.start().await;
    daemon.until("decided", |it| it["status"]["state"] == "pass" && it["status"]["appliedDecision"] == "pass").await;
    daemon.looked().await;
    assert_eq!(gate.proxy.written(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_at_any_write_of_thirty_objects_converges_at_its_next_start() {
    let Some(gate) = Gate::new("it-killed", json!({"prune": true}), json!({})).await else { return };
    let objects = |round: usize| {
        let mut objects = vec![gate.namespace(), gate.deployment("web", &gate.images.signed(round % 2))];
        objects.extend((0..27).map(|it| gate.config_map(&format!("m{it}"), &round.to_string())));
        // One that comes, and one of the round before that goes.
        objects.push(gate.config_map(&format!("round-{round}"), "x"));
        objects
    };
    let mut commit = gate.commit(&objects(0));
    let daemon = gate.start().await;
    daemon.applied(&commit).await;
    daemon.kill();
    let mut round = 0;
    loop {
        round += 1;
        let moment = if round == 1 { Moment::Before } else { Moment::After };
        let write = (round - 1).max(1);
        gate.proxy.set(Some(Trap { write, moment }));
        commit = gate.commit(&objects(round));
        let daemon = gate.start().await;
        let done = tokio::select! {
            () = gate.proxy.sprung() => false,
            _ = daemon.applied(&commit) => true,
        };
        daemon.kill();
        gate.proxy.set(None);
        let daemon = gate.start().await;
        daemon.applied(&commit).await;
        for name in ["m0", "m26"] {
            assert_eq!(gate.get(&format!("configmaps/{name}")).await.unwrap()["data"]["key"], round.to_string());
        }
        assert_eq!(*image_of(&gate.get(DEPLOYMENT).await.unwrap()), gate.images.pinned(round % 2));
        assert!(gate.get(&format!("configmaps/round-{round}")).await.is_some());
        assert_eq!(gate.get(&format!("configmaps/round-{}", round - 1)).await, None, "round {round}");
        daemon.kill();
        if done {
            break;
        }
    }
    // Inventory, thirty objects, the deletion of the one that left, inventory.
    assert_eq!(round - 2, 33, "every write was one to be killed at");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_repository_is_pruned() {
    let Some(gate) = Gate::new("it-prune", json!({"prune": true}), json!({})).await else { return };
    let first = gate.commit(&[
        gate.namespace(),
        gate.config_map("stays", "1"),
        gate.config_map("goes", "1"),
        gate.deployment("web", &gate.images.signed(2)),
    ]);
    let daemon = gate.start().await;
    daemon.applied(&first).await;
    gate.send("POST", "configmaps", "application/json", &gate.config_map("theirs", "1")).await;
    let second = gate.commit(&[gate.namespace(), gate.config_map("stays", "1")]);
    daemon.applied(&second).await;
    assert_eq!(gate.get("configmaps/goes").await, None);
    assert_eq!(gate.get(DEPLOYMENT).await, None);
    assert!(gate.get("configmaps/stays").await.is_some());
    assert!(gate.get("configmaps/theirs").await.is_some());
    // A revision without objects deletes nothing.
    gate.proxy.forget();
    let third = gate.commit(&[]);
    daemon.until("seen", |it| it["status"]["observed"] == third && it["status"]["errors"] != json!([])).await;
    daemon.looked().await;
    assert!(gate.get("configmaps/stays").await.is_some());
    assert!(gate.proxy.written().iter().all(|request| !request.starts_with("DELETE")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_reported_with_manager_and_field_and_nothing_is_written() {
    let Some(gate) = Gate::new("it-conflict", json!({}), json!({"drift": {"objects": "report"}})).await else { return };
    let first = gate.commit(&[gate.namespace(), gate.config_map("a", "1"), gate.config_map("b", "1")]);
    let daemon = gate.start().await;
    daemon.applied(&first).await;
    let theirs = "configmaps/b?fieldManager=somebody-else&force=true";
    gate.send("PATCH", theirs, "application/apply-patch+yaml", &gate.config_map("b", "theirs")).await;
    gate.proxy.forget();
    let second = gate.commit(&[gate.namespace(), gate.config_map("a", "2"), gate.config_map("b", "2")]);
    let failed = |it: &Value| it["revision"] == second && it["status"]["errors"] != json!([]);
    let report = daemon.until("refused by the target", failed).await;
    let error = &report["status"]["errors"][0];
    assert_eq!(error["code"], "target-rejected");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("somebody-else") && message.contains(".data.key"), "{message}");
    assert_eq!((&error["file"], &error["line"]), (&json!("002.yaml"), &json!(1)));
    assert_eq!(gate.proxy.written(), Vec::<String>::new());
    assert_eq!(report["status"]["applied"], first);
    assert_eq!(gate.get("configmaps/a").await.unwrap()["data"]["key"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_its_objects_and_their_namespace_come_in_one_revision() {
    let Some(gate) = Gate::new("it-defined", json!({}), json!({})).await else { return };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.it.example.com"},
        "spec": {
            "group": "it.example.com", "scope": "Namespaced",
            "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
            }}}],
        },
    });
    let gadget = json!({
        "apiVersion": "it.example.com/v1", "kind": "Gadget", "metadata": {"name": "g", "namespace": gate.name},
        "spec": {"size": 3},
    });
    // The order of the files is the wrong one.
    let commit = gate.commit(&[gadget, gate.deployment("web", &gate.images.signed(3)), definition, gate.namespace()]);
    let daemon = gate.start().await;
    daemon.applied(&commit).await;
    let path = format!("/apis/it.example.com/v1/namespaces/{}/gadgets/g", gate.name);
    assert_eq!(gate.get(&path).await.unwrap()["spec"]["size"], 3);
    assert!(gate.get(DEPLOYMENT).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_is_put_right_at_once_with_the_same_pins() {
    // Far longer than the test: only a watch can tell.
    let source = json!({"git": "repo.git", "branch": "main", "interval": "1h"});
    let Some(gate) = Gate::new("it-drift", json!({}), json!({"source": source})).await else { return };
    let commit =
        gate.commit(&[gate.namespace(), gate.config_map("a", "1"), gate.deployment("web", &gate.images.signed(4))]);
    let daemon = gate.start().await;
    daemon.applied(&commit).await;
    let image = json!([{"name": "main", "image": gate.images.unsigned()}]);
    let body = json!({"spec": {"template": {"spec": {"containers": image}}}});
    gate.send("PATCH", DEPLOYMENT, "application/strategic-merge-patch+json", &body).await;
    gate.send("DELETE", "configmaps/a", "application/json", &json!({})).await;
    let began = Instant::now();
    loop {
        let right = *image_of(&gate.get(DEPLOYMENT).await.unwrap()) == gate.images.pinned(4);
        if right && gate.get("configmaps/a").await.is_some() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "never put right: {}", daemon.last_words());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_nobody_touches_costs_no_request() {
    let Some(gate) = Gate::new("it-quiet", json!({}), json!({})).await else { return };
    let commit =
        gate.commit(&[gate.namespace(), gate.config_map("a", "1"), gate.deployment("web", &gate.images.signed(5))]);
    let daemon = gate.start().await;
    daemon.applied(&commit).await;
    for _ in 0..2 {
        daemon.looked().await;
    }
    gate.proxy.forget();
    for _ in 0..3 {
        daemon.looked().await;
    }
    let asked: Vec<String> = gate.proxy.seen().into_iter().filter(|it| !it.contains("watch=true")).collect();
    assert_eq!(asked, Vec::<String>::new());
}
