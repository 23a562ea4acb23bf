//! What the daemon shows over HTTP: health, metrics with the contract's names and bounded labels, the API.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use sealgate::reason::Reason;

use crate::support::http;
use crate::support::process;
use crate::support::world::{World, gate, good, keys, pod, policy, registry, unsigned};

/// The metrics of the contract, each with its labels.
const METRICS: &[(&str, &str, &[&str])] = &[
    ("build_info", "gauge", &["version", "revision"]),
    ("gate_decisions_total", "counter", &["gate", "decision"]),
    ("gate_state", "gauge", &["gate", "state"]),
    ("gate_applied_state", "gauge", &["gate", "state"]),
    ("gate_suspended", "gauge", &["gate"]),
    ("hook_requests_total", "counter", &["result"]),
    ("history_faults", "gauge", &[]),
    ("gate_images", "gauge", &["gate", "verdict", "basis"]),
    ("gate_revision_timestamp_seconds", "gauge", &["gate", "stage"]),
    ("gate_last_success_timestamp_seconds", "gauge", &["gate", "step"]),
    ("reconcile_duration_seconds", "histogram", &["gate", "step", "result"]),
    ("commit_to_applied_seconds", "histogram", &["gate"]),
    ("image_verifications_total", "counter", &["gate", "verdict", "reason"]),
    ("registry_requests_total", "counter", &["registry", "operation", "code"]),
    ("registry_request_duration_seconds", "histogram", &["registry", "operation", "code"]),
    ("cache_lookups_total", "counter", &["cache", "result"]),
    ("applied_objects_total", "counter", &["gate", "action"]),
    ("drift_objects", "gauge", &["gate", "kind"]),
    ("exceptions_used", "gauge", &["gate"]),
    ("policy_reload_total", "counter", &["gate", "result"]),
    ("source_fetch_total", "counter", &["gate", "result"]),
];

/// A sample: its labels and its value.
type Sample = (BTreeMap<String, String>, f64);

/// Samples by the name of their series.
fn samples(text: &str) -> BTreeMap<String, Vec<Sample>> {
    let mut all = BTreeMap::<String, Vec<Sample>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once("=\"").unwrap();
            (name.to_owned(), value.trim_end_matches('"').to_owned())
        });
        all.entry(name.to_owned()).or_default().push((pairs.collect(), value.parse().unwrap()));
    }
    all
}

#[test]
fn every_metric_of_the_contract_is_there_with_its_labels() {
    let world = World::new();
    world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &world.repository.head());
    let bad = world.repository.commit(&[("b.yaml", &pod("b", &unsigned().tagged()))]);
    daemon.decides("production", "refuse", &bad);
    let answer = daemon.get("/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    let all = samples(&text);
    for (name, kind, labels) in METRICS {
        let name = format!("sealgate_{name}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind}, or missing");
        let series = if *kind == "histogram" { format!("{name}_count") } else { name };
        let found = all.get(&series).unwrap_or_else(|| panic!("no series of {series}"));
        let expected: BTreeSet<&str> = labels.iter().copied().collect();
        for (labels, _) in found {
            assert_eq!(labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{series}");
        }
    }
    assert!(all.contains_key("process_cpu_seconds_total") && all.contains_key("process_resident_memory_bytes"));

    let value = |name: &str, wanted: &[(&str, &str)]| {
        let fits = |labels: &BTreeMap<String, String>| wanted.iter().all(|(key, value)| labels[*key] == *value);
        all[&format!("sealgate_{name}")].iter().filter(|(labels, _)| fits(labels)).map(|(_, value)| value).sum::<f64>()
    };
    assert_eq!(value("gate_state", &[("state", "refuse")]), 1.0);
    assert_eq!(value("gate_state", &[]), 1.0);
    assert_eq!(value("gate_decisions_total", &[("decision", "pass")]), 1.0);
    assert!(value("gate_decisions_total", &[("decision", "refuse")]) >= 1.0);
    assert_eq!(value("gate_images", &[("verdict", "verified"), ("basis", "proof")]), 1.0);
    assert!(value("image_verifications_total", &[("verdict", "refused"), ("reason", "no-signature")]) >= 1.0);
    assert!(value("applied_objects_total", &[("action", "created")]) >= 1.0);
    assert!(value("registry_requests_total", &[("registry", &registry().host)]) >= 1.0);
    assert!(value("commit_to_applied_seconds_count", &[]) >= 1.0);
}

#[test]
fn no_label_carries_a_digest_a_reference_or_a_message() {
    let world = World::new();
    world.repository.commit(&[("a.yaml", &pod("a", &unsigned().tagged()))]);
    let daemon = world.daemon();
    daemon.decides("production", "refuse", &world.repository.head());
    let all = samples(&daemon.get("/metrics").text());
    let reasons: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).chain(["none"]).collect();
    let known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([
        ("gate", BTreeSet::from(["production"])),
        ("decision", BTreeSet::from(["pass", "refuse", "undecided"])),
        (
            "state",
            BTreeSet::from([
                "pass",
                "refuse",
                "undecided",
                "error",
                "waiting",
                "healthy",
                "failed",
                "timed-out",
                "unknown",
            ]),
        ),
        ("verdict", BTreeSet::from(["verified", "refused", "undecided"])),
        ("basis", BTreeSet::from(["proof", "unsigned-allowed", "exception", "none", ""])),
        ("stage", BTreeSet::from(["observed", "passed", "applied"])),
        ("step", BTreeSet::from(["fetch", "discover", "resolve", "verify", "decide", "dry-run", "apply"])),
        ("action", BTreeSet::from(["created", "configured", "recreated", "unchanged", "pruned", "failed"])),
        ("kind", BTreeSet::from(["object", "tag", "signature"])),
        ("registry", BTreeSet::from([registry().host.as_str(), "other"])),
        ("reason", reasons),
    ]);
    for (series, samples) in &all {
        for (labels, _) in samples {
            for (label, value) in labels {
                assert!(
                    !value.contains("sha256") && !value.contains('/') && value.len() < 64,
                    "{series} {label}={value}"
                );
                if let Some(values) = known.get(label.as_str()) {
                    assert!(values.contains(value.as_str()), "{series} {label}={value}");
                }
            }
        }
    }
}

#[test]
fn health_readiness_and_the_api_answer() {
    let world = World::new();
    let revision = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    assert_eq!(daemon.get("/healthz").status, 200);
    let report = daemon.applies("production", &revision);
    assert_eq!(daemon.get("/readyz").status, 200);
    let listed = daemon.get("/api/v1/gates").json();
    assert_eq!(listed["gates"][0]["name"], "production");
    assert_eq!(listed["gates"][0]["applied"], revision);
    assert_eq!(
        keys(&report),
        ["schema", "gate", "mode", "revision", "decision", "policies", "images", "errors", "summary", "status"]
    );
    assert_eq!((&report["schema"], &report["mode"]), (&json!("sealgate.dev/report/v1"), &json!("enforce")));
    assert_eq!(daemon.get("/api/v1/gates/none").status, 404);
    assert_eq!(daemon.get("/nothing").status, 404);
    let page = daemon.get("/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("production") && page.header("content-security-policy").is_some());
    assert_eq!(http::request(&daemon.host, "POST", "/api/v1/gates", &[], b"{}").unwrap().status, 405);
}

#[test]
fn what_a_manifest_says_is_no_markup_on_the_status_page() {
    let world = World::new();
    let revision = world.repository.commit(&[("a.yaml", &pod("a", "\"<script>alert(1)</script>\""))]);
    let daemon = world.daemon();
    daemon.decides("production", "refuse", &revision);
    assert!(!daemon.get("/").text().contains("<script>alert"));
}

#[test]
fn a_daemon_that_was_ready_stays_so_while_a_new_configuration_is_taken_over() {
    let world = World::new();
    let revision = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &revision);
    let mut missing = gate("missing");
    missing["source"]["git"] = json!("nowhere");
    world.configure(&[gate("production"), missing]);
    daemon.await_gate("the new gate tells what it misses", "missing", |report| {
        assert_eq!(daemon.get("/readyz").status, 200);
        report["status"]["errors"].as_array().is_some_and(|errors| !errors.is_empty())
    });
}

#[test]
fn what_no_longer_passes_and_what_rests_is_told_by_metrics() {
    let world = World::new();
    let revision = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let mut resting = gate("resting");
    resting["suspend"] = json!(true);
    world.configure(&[gate("production"), resting]);
    let daemon = world.daemon();
    daemon.applies("production", &revision);
    let has = |line: &str| daemon.get("/metrics").text().lines().any(|found| found == line);
    assert!(has("sealgate_gate_applied_state{gate=\"production\",state=\"pass\"} 1"));
    assert!(
        has("sealgate_gate_suspended{gate=\"resting\"} 1") && has("sealgate_gate_suspended{gate=\"production\"} 0")
    );
    world.write("policy.yaml", &policy("{name: release, key: {file: release.pub}}"));
    daemon.decides("production", "refuse", &revision);
    process::eventually("what runs is told to be refused", || {
        has("sealgate_gate_applied_state{gate=\"production\",state=\"refuse\"} 1").then_some(())
    });
}

#[test]
fn a_gate_whose_source_is_not_there_is_not_ready_but_lives() {
    let world = World::new();
    let daemon = world.daemon();
    let report = daemon.await_gate("the missing source is told", "production", |report| {
        report["status"]["errors"].as_array().is_some_and(|errors| !errors.is_empty())
    });
    assert_eq!(report["decision"], Value::Null);
    assert_eq!((daemon.get("/readyz").status, daemon.get("/healthz").status), (503, 200));
}
