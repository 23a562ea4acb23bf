//! What is left at the cluster for whoever takes over, and what is told of what was applied.

use serde_json::{Value, json};

use super::gate::Gate;
use super::{DEPLOYMENT, image_of, version};

/// The first part of the inventory.
fn inventory(gate: &Gate) -> String {
    format!("/api/v1/namespaces/sealgate/configmaps/sealgate.{}.0", gate.name)
}

/// One test has the tag that moves: others must not move it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_knows_nothing_pins_alike_and_trusts_no_pin() {
    let Some(gate) = Gate::new("it-left", json!({}), json!({})).await else { return };
    gate.images.move_tag(0).await;
    let pinned = |which: usize| format!("{}@{}", gate.images.moving(), gate.images.moved(which));
    let commit = gate.commit(&[gate.namespace(), gate.deployment("web", &gate.images.moving())]);
    let daemon = gate.start().await;
    daemon.applied(&commit).await;
    daemon.kill();
    let before = gate.get(DEPLOYMENT).await.unwrap();
    assert_eq!(*image_of(&before), pinned(0));

    // The tag moves to another signed image, and all that this machine knew is lost.
    gate.images.move_tag(1).await;
    gate.lose_state();
    let daemon = gate.start().await;
    let report = daemon.applied(&commit).await;
    assert_eq!(report["images"][0]["pinned"], pinned(0));
    assert_eq!(version(&gate.get(DEPLOYMENT).await.unwrap()), version(&before), "not even touched");
    daemon.kill();

    // Somebody writes another digest into the inventory: one that nobody signed.
    gate.lose_state();
    let path = inventory(&gate);
    let part = gate.get(&path).await.unwrap();
    let pins = part["data"]["pins"].as_str().unwrap();
    let forged = pins.replace(&gate.images.moved(0).to_string(), &gate.images.moved(2).to_string());
    assert_ne!(forged, pins);
    gate.patch(&path, &json!({"data": {"pins": forged}})).await;
    let daemon = gate.start().await;
    let refused = daemon.until("refused", |it| it["decision"] == "refuse").await;
    assert_eq!(refused["images"][0]["reasons"][0]["code"], "no-signature");
    daemon.looked().await;
    assert_eq!(version(&gate.get(DEPLOYMENT).await.unwrap()), version(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_revision_fares_is_told_everywhere_and_undoes_nothing() {
    let Some(gate) = Gate::new("it-fares", json!({"health": {"timeout": "2s"}}), json!({})).await else { return };
    let mut deployment = gate.deployment("web", &gate.images.signed(8));
    deployment["spec"]["replicas"] = 0.into();
    let commit = gate.commit(&[gate.namespace(), deployment]);
    let daemon = gate.start().await;
    daemon.applied(&commit).await;
    // Nobody rolls it out.
    let late = daemon.until("late", |it| it["health"]["state"] == "timed-out").await;
    assert_eq!(late["status"]["health"], late["health"]);
    let object = format!("Deployment/{}/web", gate.name);
    assert_eq!(
        (&late["health"]["revision"], &late["health"]["objects"][0]["object"]),
        (&json!(commit), &json!(object))
    );
    assert_eq!((&late["status"]["state"], &late["status"]["applied"]), (&json!("pass"), &json!(commit)));
    let metrics = daemon.metrics().await;
    let line = |name: &str| format!("sealgate_{name} 1");
    assert!(
        metrics.contains(&line(&format!("gate_health{{gate=\"{}\",state=\"timed-out\"}}", gate.name))),
        "{metrics}"
    );
    let told = daemon
        .events()
        .into_iter()
        .filter(|event| super::gate::event_field(event, "state").as_deref() == Some("timed-out"));
    assert_eq!(told.count(), 1);

    let conditions = json!([
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        {"type": "Available", "status": "True"},
    ]);
    let status: Value = json!({"status": {"observedGeneration": 1, "conditions": conditions}});
    gate.patch(&format!("{DEPLOYMENT}/status"), &status).await;
    let well = daemon.until("healthy", |it| it["health"]["state"] == "healthy").await;
    assert_eq!(well["health"]["counts"], json!({"current": 2}));
}
