//! What a gate tells in its cluster.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gate::Gate;

async fn events(gate: &Gate) -> Vec<Value> {
    let on = format!("sealgate.{}.0", gate.name);
    let path = format!("/api/v1/namespaces/sealgate/events?fieldSelector=involvedObject.name%3D{on}");
    let list = gate.get(&path).await.unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

/// Waits for an event of this reason about this revision.
async fn told(gate: &Gate, reason: &str, about: &str) -> Value {
    let began = Instant::now();
    loop {
        let events = events(gate).await;
        let found = events.iter().find(|it| it["reason"] == reason && it["message"].as_str().unwrap().contains(about));
        if let Some(event) = found {
            return event.clone();
        }
        assert!(began.elapsed() < Duration::from_secs(60), "never told {reason}: {events:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_told_as_events_on_the_inventory_and_what_repeats_is_counted() {
    let target = json!({"events": true});
    let drift = json!({"drift": {"objects": "report"}});
    let Some(gate) = Gate::new("it-events", target, drift).await else { return };
    let first = gate.commit(&[gate.namespace(), gate.deployment("web", &gate.images.signed(7))]);
    let daemon = gate.start().await;
    daemon.applied(&first).await;
    let short = |commit: &str| commit.chars().take(12).collect::<String>();
    let passed = told(&gate, "Passed", &short(&first)).await;
    assert_eq!((&passed["type"], &passed["involvedObject"]["kind"]), (&json!("Normal"), &json!("ConfigMap")));
    told(&gate, "Applied", &short(&first)).await;

    let second = gate.commit(&[gate.namespace(), gate.deployment("web", &gate.images.unsigned())]);
    daemon.until("refused", |it| it["revision"] == second && it["decision"] == "refuse").await;
    let refused = told(&gate, "Refused", &short(&second)).await;
    assert_eq!(refused["type"], "Warning");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("no-signature") && message.contains("001.yaml"), "{message}");
    // The same again, as often as it is asked for.
    daemon.signal("HUP");
    let began = Instant::now();
    while told(&gate, "Refused", &short(&second)).await["count"].as_u64() < Some(2) {
        assert!(began.elapsed() < Duration::from_secs(60), "it is not counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refusals = events(&gate).await.iter().filter(|it| it["reason"] == "Refused").count();
    assert_eq!(refusals, 1);
}
