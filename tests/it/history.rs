//! The decision log, where the user meets it: the API, `history`, `explain`, `log verify`, kills and tampering.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::world::{Daemon, World, good, keys, pod, unsigned};

/// The numbers of the decisions in an answer.
fn numbers(answer: &Value) -> Vec<u64> {
    answer["decisions"].as_array().unwrap().iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect()
}

/// A world in which a commit passed and was applied, and the next one was refused; with the two commits.
fn refused() -> (World, Daemon, [String; 2]) {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    let second = world.repository.commit(&[("b.yaml", &pod("b", &unsigned().tagged()))]);
    daemon.decides("production", "refuse", &second);
    daemon.await_gate("the applied one is decided on too", "production", |report| {
        report["status"]["appliedDecision"] == "pass" && report["status"]["decidedSince"].is_string()
    });
    (world, daemon, [first, second])
}

fn log_files(world: &World) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(world.path("state/history")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_api_tells_every_decision_with_its_report() {
    let (_world, daemon, [first, second]) = refused();
    let listed = daemon.get("/api/v1/gates/production/decisions").json();
    let told: Vec<_> = listed["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["event"].as_str().unwrap(), entry["revision"].as_str().unwrap(), entry["decision"].clone()))
        .collect();
    assert!(told.contains(&("decided", second.as_str(), json!("refuse"))), "{told:?}");
    assert!(told.contains(&("applied", first.as_str(), Value::Null)), "{told:?}");
    assert_eq!(told.last().unwrap(), &("decided", first.as_str(), json!("pass")));
    assert_eq!(
        keys(&listed["decisions"][0]),
        ["sequence", "time", "gate", "event", "mode", "revision", "decision", "summary", "sameAs", "hash"]
    );
    let before = numbers(&daemon.get("/api/v1/gates/production/decisions?before=3&limit=1").json());
    assert_eq!(before, [2]);

    let one = daemon.get(&format!("/api/v1/gates/production/decisions/{}", &second[..10])).json();
    assert_eq!((&one["report"]["revision"], &one["report"]["decision"]), (&json!(second), &json!("refuse")));
    let mut live = daemon.gate("production");
    live.as_object_mut().unwrap().remove("status");
    assert_eq!(one["report"], live, "what is kept is the report, whole");
    for missing in ["production/decisions/ffffffffff", "production/decisions/a", "none/decisions/abcd"] {
        assert_eq!(daemon.get(&format!("/api/v1/gates/{missing}")).status, 404, "{missing}");
    }
    assert_eq!(daemon.get("/api/v1/gates/none/decisions").json(), json!({"decisions": []}));
}

#[test]
fn the_command_line_tells_what_was_decided_while_the_daemon_runs_and_after() {
    let (world, daemon, [first, second]) = refused();
    let history = |arguments: &[&str]| {
        let all = [&["history", "--state-dir", "state"], arguments].concat();
        world.run(&all).exits(0).stdout
    };
    assert!(history(&[]).contains("refuse"), "{}", history(&[]));
    let only = history(&["--revision", &first[..8], "--gate", "production"]);
    assert!(only.contains(&first[..12]) && !only.contains(&second[..12]), "{only}");
    assert_eq!(history(&["--gate", "other"]), "");
    let about = history(&["--image", "app/unsigned", "--limit", "1"]);
    assert!(about.contains(&second[..12]) && about.lines().count() == 1, "{about}");
    let json: Value = serde_json::from_str(&history(&["--output", "json", "--image", "app/unsigned"])).unwrap();
    assert_eq!(json["decisions"][0]["decision"], "refuse");

    let explain = |what: &str| world.run(&["explain", what, "--config", "sealgate.yaml"]).exits(0).stdout;
    for text in [explain(&second[..10]), explain("app/unsigned")] {
        for expected in ["no-signature (rule `first-party`)", "help: ", "b.yaml:7:12", "Pod shop/b"] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
    assert!(!explain("app/unsigned").contains(&good().repository));
    assert!(explain(&first).contains("counts"), "{}", explain(&first));
    drop(daemon);
    assert_eq!(world.run(&["explain", "nothing/like/this", "--state-dir", "state"]).code, 2);
    assert_eq!(world.run(&["history", "--state-dir", "elsewhere"]).code, 2);
    assert_eq!(world.run(&["history"]).code, 2);
    assert!(history(&[]).contains("refuse"));
}

#[test]
fn an_altered_or_missing_entry_is_found_and_an_intact_log_is_not_accused() {
    let (world, daemon, _) = refused();
    let verify = |more: &[&str]| world.run(&[&["log", "verify", "--state-dir", "state"], more].concat());
    let noted = daemon.events().into_iter().find(|event| event["message"] == "kept").unwrap();
    let noted = format!("{}:{}", noted["entry"], noted["hash"].as_str().unwrap());
    assert!(verify(&["--known", &noted]).exits(0).stdout.contains("intact: "));
    drop(daemon);
    assert_eq!(verify(&["--known", &format!("1:{}", "0".repeat(64))]).code, 1);
    assert_eq!(verify(&["--known", "1"]).code, 2);
    for file in log_files(&world) {
        let intact = fs::read(&file).unwrap();
        let mut altered = intact.clone();
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        for damaged in [altered, Vec::new(), intact[..middle].to_vec()] {
            fs::write(&file, damaged).unwrap();
            let told = verify(&[]);
            assert!(told.code == 1 && told.stdout.contains("damaged: "), "{}: {}", file.display(), told.stdout);
        }
        fs::write(&file, intact).unwrap();
    }
    verify(&[]).exits(0);
}

#[test]
fn after_every_kill_the_log_is_intact_and_goes_on() {
    let world = World::new();
    let mut known = 0;
    for round in 0..6 {
        let image = if round % 2 == 0 { good() } else { unsigned() };
        let revision = world.repository.commit(&[("a.yaml", &pod(&format!("a{round}"), &image.tagged()))]);
        let mut daemon = world.daemon();
        if round % 3 == 2 {
            daemon.decides("production", if round % 2 == 0 { "pass" } else { "refuse" }, &revision);
        }
        daemon.child.kill().unwrap();
        daemon.child.wait().unwrap();
        drop(daemon);
        world.run(&["log", "verify", "--state-dir", "state"]).exits(0);
        let listed = world.run(&["history", "--state-dir", "state", "--output", "json"]).exits(0).json();
        let newest = numbers(&listed).first().copied().unwrap_or_default();
        assert!(newest >= known, "{newest} after {known}");
        known = newest;
    }
    assert!(known > 0);
}

#[test]
fn since_when_a_gate_stands_as_it_does_survives_a_restart() {
    let (world, daemon, [_, second]) = refused();
    let before = daemon.gate("production")["status"].clone();
    assert_eq!(daemon.leave("TERM"), Some(0));
    let daemon = world.daemon();
    let after = daemon.decides("production", "refuse", &second)["status"].clone();
    assert!(before["appliedSince"].is_string());
    for field in ["appliedSince", "decidedSince"] {
        assert_eq!(before[field], after[field], "{field}");
    }
}
