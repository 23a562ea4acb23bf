//! Several replicas that share the gates by leases: the leader is killed, stopped, asked to leave.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gate::{Daemon, Gate};

/// A lease lasts so long, and a replica looks every two seconds; the rest is for a busy machine.
const TAKEOVER: Duration = Duration::from_secs(12 + 2 + 6);
/// Writes that may be on their way when a replica is stopped: one for each worker.
const WORKERS: usize = 8;
/// Enough objects for a replica to be in the middle of them.
const OBJECTS: usize = 150;

fn objects(gate: &Gate, value: &str) -> Vec<Value> {
    let maps = (0..OBJECTS).map(|index| gate.config_map(&format!("m{index}"), value));
    [gate.namespace()].into_iter().chain(maps).collect()
}

/// A write that a replica made, as the audit log has it: when it reached the server, and what it was about.
struct Made {
    at: String,
    resource: String,
    name: String,
}

impl Made {
    fn is_of_lease(&self) -> bool {
        self.resource == "leases"
    }
}

/// The writes of a replica for a gate, dry runs left out, in their order.
fn writes(gate: &Gate, replica: &str) -> Vec<Made> {
    let mut made: Vec<Made> = gate
        .server
        .audit()
        .into_iter()
        .filter(|event| event["impersonatedUser"]["username"] == replica)
        .filter(|event| {
            let reads = ["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb);
            !reads && !event["requestURI"].as_str().unwrap().contains("dryRun=All")
        })
        .map(|event| Made {
            at: event["requestReceivedTimestamp"].as_str().unwrap().to_owned(),
            resource: event["objectRef"]["resource"].as_str().unwrap_or_default().to_owned(),
            name: event["objectRef"]["name"].as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    made.sort_by(|a, b| a.at.cmp(&b.at));
    made
}

async fn lease(gate: &Gate) -> Value {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/sealgate/leases/sealgate.{}", gate.name);
    gate.get(&path).await.unwrap()
}

/// When a replica took the gate's lease, as the audit log has it.
fn took_over(gate: &Gate, replica: &str) -> String {
    let lease = format!("sealgate.{}", gate.name);
    writes(gate, replica).into_iter().find(|made| made.is_of_lease() && made.name == lease).unwrap().at
}

async fn stands_by(daemon: &Daemon) -> Value {
    daemon.until("stands by", |it| it["status"]["standingBy"] == true).await
}

/// A replica that applied a first revision, and one that stands by.
async fn pair(gate: &Gate, [one, other]: [&str; 2]) -> [Daemon; 2] {
    let first = gate.commit(&objects(gate, "1"));
    let leader = gate.start_replica(one).await;
    leader.applied(&first).await;
    let standby = gate.start_replica(other).await;
    stands_by(&standby).await;
    [leader, standby]
}

/// Waits until somebody is in the middle of applying: objects are written in the order of their names.
async fn in_the_middle(gate: &Gate) {
    let began = Instant::now();
    while !has(gate, "m10", "2").await {
        assert!(began.elapsed() < Duration::from_secs(60), "it never began");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn has(gate: &Gate, name: &str, value: &str) -> bool {
    gate.get(&format!("configmaps/{name}")).await.unwrap()["data"]["key"] == value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stands_by_says_so_serves_its_pages_and_writes_nothing() {
    let Some(gate) = Gate::new("it-standby", json!({}), json!({})).await else { return };
    let [leader, standby] = pair(&gate, ["standby-a", "standby-b"]).await;
    let status = standby.until("knows the leader", |it| it["status"]["leader"].is_string()).await;
    assert!(status["status"]["leader"].as_str().unwrap().starts_with("standby-a-"), "{status}");
    assert_eq!(leader.status().await["status"]["standingBy"], false);
    assert_eq!(standby.ask("/readyz").await.0, 200);
    let leads = |it: bool| format!("sealgate_gate_leader{{gate=\"{}\"}} {}", gate.name, i32::from(it));
    assert!(standby.ask("/metrics").await.1.contains(&leads(false)));
    assert!(leader.ask("/metrics").await.1.contains(&leads(true)));
    assert!(standby.ask("/").await.1.contains("standing by"));
    assert!(writes(&gate, "standby-b").iter().all(Made::is_of_lease));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_in_the_middle_is_followed_within_the_lease() {
    let Some(gate) = Gate::new("it-leader-killed", json!({}), json!({})).await else { return };
    let [leader, standby] = pair(&gate, ["killed-a", "killed-b"]).await;
    let second = gate.commit(&objects(&gate, "2"));
    in_the_middle(&gate).await;
    leader.kill();
    let killed = Instant::now();
    standby.until("leads", |it| it["status"]["standingBy"] == false).await;
    assert!(killed.elapsed() < TAKEOVER, "{:?}", killed.elapsed());
    standby.applied(&second).await;
    for index in 0..OBJECTS {
        assert!(has(&gate, &format!("m{index}"), "2").await);
    }
    let taken = took_over(&gate, "killed-b");
    assert!(writes(&gate, "killed-a").iter().all(|made| made.at < taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_stopped_begins_no_write_after_its_lease_is_over() {
    let Some(gate) = Gate::new("it-leader-stopped", json!({}), json!({})).await else { return };
    let [leader, standby] = pair(&gate, ["stopped-a", "stopped-b"]).await;
    let second = gate.commit(&objects(&gate, "2"));
    in_the_middle(&gate).await;
    leader.signal("STOP");
    assert!(has(&gate, "m99", "1").await, "it was not in the middle any more");
    standby.applied(&second).await;
    // Another revision, so that whatever the stopped one writes would undo something.
    let third = gate.commit(&objects(&gate, "3"));
    standby.applied(&third).await;
    leader.signal("CONT");
    let status = stands_by(&leader).await;
    assert!(
        status["status"]["leader"].is_null() || status["status"]["leader"].as_str().unwrap().starts_with("stopped-b-")
    );
    leader
        .until("knows who leads", |it| it["status"]["leader"].as_str().is_some_and(|it| it.starts_with("stopped-b-")))
        .await;
    let taken = took_over(&gate, "stopped-b");
    let late: Vec<Made> = writes(&gate, "stopped-a").into_iter().filter(|made| made.at > taken).collect();
    let on_their_way = late.iter().filter(|made| !made.is_of_lease()).count();
    assert!(on_their_way <= WORKERS, "{on_their_way} writes were begun after another replica took over");
    standby.looked().await;
    standby.applied(&third).await;
    for index in 0..OBJECTS {
        assert!(has(&gate, &format!("m{index}"), "3").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_leave_hands_its_lease_over() {
    let Some(gate) = Gate::new("it-leader-leaves", json!({}), json!({})).await else { return };
    let [leader, standby] = pair(&gate, ["leaves-a", "leaves-b"]).await;
    let second = gate.commit(&objects(&gate, "2"));
    in_the_middle(&gate).await;
    leader.signal("TERM");
    assert_eq!(leader.ended(Duration::from_secs(25)).await, Some(0));
    let left = Instant::now();
    standby.until("leads", |it| it["status"]["standingBy"] == false).await;
    // Far sooner than a lease that nobody released would end.
    assert!(left.elapsed() < Duration::from_secs(10), "{:?}", left.elapsed());
    standby.applied(&second).await;
    assert!(lease(&gate).await["spec"]["holderIdentity"].as_str().unwrap().starts_with("leaves-b-"));
    let taken = took_over(&gate, "leaves-b");
    assert!(writes(&gate, "leaves-a").iter().filter(|made| !made.is_of_lease()).all(|made| made.at < taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_gates_between_them() {
    let Some(gate) = Gate::new("it-share", json!({}), json!({})).await else { return };
    gate.commit(&[gate.namespace()]);
    let names: Vec<String> = (0..4).map(|index| format!("it-share-{index}")).collect();
    gate.configure(|configuration| {
        let gates = configuration["gates"].as_array_mut().unwrap();
        let one = gates.remove(0);
        gates.extend(names.iter().map(|name| {
            let mut gate = one.clone();
            gate["name"] = name.as_str().into();
            // Nothing is there to be applied: who works for which gate is all that counts.
            gate["source"]["path"] = "nowhere".into();
            gate
        }));
    });
    let replicas = [gate.start_replica("share-a").await, gate.start_replica("share-b").await];
    let began = Instant::now();
    loop {
        let mut held = Vec::new();
        for replica in &replicas {
            let gates: Value = serde_json::from_str(&replica.ask("/api/v1/gates").await.1).unwrap();
            let gates = gates["gates"].as_array().unwrap();
            held.push(gates.iter().filter(|it| it["standingBy"] == false && it["leader"].is_string()).count());
        }
        if held == [2, 2] {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{held:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
