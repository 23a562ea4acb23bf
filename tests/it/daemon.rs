//! The daemon: what makes it look again, what it does not let through meanwhile, and how it ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::process;
use crate::support::signing::Form;
use crate::support::world::{
    World, errors, gate, good, keys, pod, policy, push, reasons, registry, signed, tree, unsigned,
};

#[test]
fn two_gates_run_side_by_side() {
    let world = World::new();
    let (mut first, mut second) = (gate("production"), gate("second"));
    first["source"]["path"] = json!("good");
    second["source"]["path"] = json!("bad");
    world.configure(&[first, second]);
    let revision = world
        .repository
        .commit(&[("good/a.yaml", &pod("a", &good().tagged())), ("bad/a.yaml", &pod("a", &unsigned().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &revision);
    let report = daemon.decides("second", "refuse", &revision);
    assert_eq!(reasons(&report), ["no-signature"]);
    assert_eq!(report["status"]["applied"], Value::Null);
    assert!(!world.path("out-second").exists());
    // A commit to the local repository is noticed though the interval is an hour.
    let next = world.repository.commit(&[("bad/a.yaml", &pod("a", &signed(Form::Bundle).tagged()))]);
    daemon.applies("second", &next);
    daemon.applies("production", &next);
}

#[test]
fn a_refused_revision_passes_once_it_was_signed() {
    let world = World::new();
    let image = push("app/daemon-late");
    let revision = world.repository.commit(&[("a.yaml", &pod("a", &image.tagged()))]);
    let daemon = world.daemon();
    let report = daemon.decides("production", "refuse", &revision);
    let wait = report["status"]["retryInSeconds"].as_u64().unwrap();
    assert!((20..=30).contains(&wait), "tried again in {wait} s");
    let image = image.signed(Form::Bundle, "ci");
    daemon.nudge();
    daemon.applies("production", &revision);
    assert!(world.applied("a.yaml").unwrap().contains(&image.digest));
}

#[test]
fn another_policy_decides_again_without_a_commit() {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    let before = tree(&world.path("out"));
    world.write("policy.yaml", &policy("{name: release, key: {file: release.pub}}"));
    let report = daemon.decides("production", "refuse", &first);
    // What runs is reported, and left running.
    assert_eq!(report["status"]["applied"], first);
    assert_eq!(report["status"]["appliedDecision"], "refuse");
    assert_eq!(tree(&world.path("out")), before);
    // A key that changes under the same policy counts too.
    std::fs::copy(world.path("ci.pub"), world.path("new.pub")).unwrap();
    std::fs::rename(world.path("new.pub"), world.path("release.pub")).unwrap();
    daemon.nudge();
    daemon.decides("production", "pass", &first);
}

#[test]
fn drift_of_a_release_that_no_longer_passes_is_not_corrected() {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    world.write("policy.yaml", &policy("{name: release, key: {file: release.pub}}"));
    daemon.decides("production", "refuse", &first);
    let file = world.path("out/a.yaml");
    open_up(&world);
    std::fs::write(&file, "changed by hand").unwrap();
    daemon.nudge();
    daemon.nudge();
    let attempts = reconciled(&daemon.gate("production"));
    daemon.nudge();
    daemon.await_gate("another look", "production", |report| reconciled(report) > attempts);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "changed by hand");
}

fn reconciled(report: &Value) -> String {
    report["status"]["reconciled"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_broken_policy_stays_out_of_force_and_lets_no_new_revision_pass() {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    world.write("policy.yaml", "spec: [\n");
    daemon.await_gate("the broken policy is told", "production", |report| {
        report["status"]["errors"].as_array().is_some_and(|errors| !errors.is_empty())
    });
    let second = world.repository.commit(&[("a.yaml", &pod("b", &good().tagged()))]);
    let report = daemon.decides("production", "undecided", &second);
    assert!(errors(&report).iter().all(|code| code == "policy-unavailable"), "{report:#}");
    assert!(!errors(&report).is_empty());
    assert_eq!(report["status"]["applied"], first);
    assert_eq!(world.applied("a.yaml").unwrap(), pod("a", &good().pinned()));
    // Mended, it passes without a commit.
    world.write("policy.yaml", &policy("{name: ci, key: {file: ci.pub}}"));
    daemon.applies("production", &second);
}

#[test]
fn a_broken_configuration_leaves_the_one_in_force_running() {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    world.write("sealgate.yaml", "gates: {\n");
    process::eventually("the broken configuration is told", || {
        daemon
            .events()
            .iter()
            .any(|event| {
                event["level"] == "WARN" && event["message"].as_str().is_some_and(|text| text.contains("configuration"))
            })
            .then_some(())
    });
    let second = world.repository.commit(&[("a.yaml", &pod("b", &good().tagged()))]);
    daemon.applies("production", &second);
    // A good one takes effect without a restart, and a gate that goes takes its series along.
    world.configure(&[gate("other")]);
    daemon.applies("other", &second);
    assert_eq!(daemon.get("/api/v1/gates/production").status, 404);
    assert!(!daemon.get("/metrics").text().contains("gate=\"production\""));
}

#[test]
fn a_rewritten_history_is_held() {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let second = world.repository.commit(&[("a.yaml", &pod("b", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &second);
    world.repository.git(&["reset", "-q", "--hard", &first]);
    let rewritten = world.repository.commit(&[("a.yaml", &pod("c", &good().tagged()))]);
    let report = daemon.await_gate("the rewrite is told", "production", |report| {
        report["status"]["errors"]
            .as_array()
            .is_some_and(|errors| errors.iter().any(|error| error["code"] == "history-rewritten"))
    });
    assert_eq!((&report["status"]["applied"], &report["status"]["state"]), (&json!(second), &json!("error")));
    assert_eq!(daemon.leave("TERM"), Some(0));
    let done = world.once().exits(1);
    assert!(errors(&done.json()).contains(&"history-rewritten".to_owned()));
    assert_eq!(world.applied("a.yaml").unwrap(), pod("b", &good().pinned()));
    // Until the user says that it is meant.
    let mut allowed = gate("production");
    allowed["source"]["allowRewrite"] = json!(true);
    world.configure(&[allowed]);
    assert_eq!(world.once().exits(0).json()["revision"], rewritten);
    assert_eq!(world.applied("a.yaml").unwrap(), pod("c", &good().pinned()));
}

#[test]
fn drift_in_the_directory_is_corrected() {
    let world = World::new();
    let mut quick = gate("production");
    quick["source"]["interval"] = json!("1s");
    world.configure(&[quick]);
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    open_up(&world);
    std::fs::write(world.path("out/a.yaml"), pod("a", "evil.example.com/a:1")).unwrap();
    std::fs::write(world.path("out/more.yaml"), "more").unwrap();
    process::eventually("drift is corrected", || {
        let mended = world.applied("a.yaml").is_some_and(|text| text == pod("a", &good().pinned()));
        (mended && world.applied("more.yaml").is_none()).then_some(())
    });
    std::fs::remove_file(world.path("out")).unwrap();
    process::eventually("a lost link is made again", || world.applied("a.yaml"));
}

#[test]
fn sigterm_ends_soon_with_success_and_the_log_is_json() {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    world.repository.commit(&[("b.yaml", &pod("b", &unsigned().tagged()))]);
    let events = daemon.events();
    assert!(events.iter().all(|event| event["timestamp"].is_string() && event["level"].is_string()), "{events:#?}");
    let decided = events.iter().find(|event| event["message"] == "decided").unwrap();
    assert_eq!(
        (&decided["gate"], &decided["decision"], &decided["revision"]),
        (&json!("production"), &json!("pass"), &json!(first))
    );
    let started = Instant::now();
    assert_eq!(daemon.leave("TERM"), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_second_process_on_one_state_directory_is_refused() {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    let done = world.once();
    assert!(done.code == 2 || done.code == 3, "{done:?}");
}

/// A revision of several files that only fit each other.
fn generation(world: &World, number: usize) -> String {
    let files: Vec<(String, String)> =
        (0..8).map(|file| (format!("{file}.yaml"), pod(&format!("g{number}-{file}"), &good().tagged()))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    world.repository.commit(&files)
}

/// The generations of all files at the target, as a reader finds them who opens the link once.
fn generations(world: &World) -> Option<BTreeSet<String>> {
    let folder = world.path("").join(std::fs::read_link(world.path("out")).ok()?);
    let mut found = BTreeSet::new();
    for file in 0..8 {
        // A folder that is swept while it is read was left two revisions ago.
        let text = std::fs::read_to_string(folder.join(format!("{file}.yaml"))).ok()?;
        let name = text.split("{name: g").nth(1)?.split('-').next()?;
        assert!(text.ends_with(&format!("{}\n", good().pinned())), "half a file: {text}");
        found.insert(name.to_owned());
    }
    Some(found)
}

#[test]
fn killed_again_and_again_the_target_never_shows_a_mixture_and_converges() {
    let world = World::new();
    generation(&world, 0);
    world.once().exits(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0_usize;
            while !done.load(Ordering::Acquire) {
                if let Some(found) = generations(&world) {
                    assert_eq!(found.len(), 1, "a mixture: {found:?}");
                    looks += 1;
                }
            }
            looks
        });
        // A failing step must not leave the reader reading for ever.
        struct Finish<'a>(&'a AtomicBool);
        impl Drop for Finish<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        let finish = Finish(&done);
        for round in 1..=12_usize {
            let newest = generation(&world, round);
            let mut daemon = world.daemon();
            // From before the first look to after the last write, at points spread over the whole.
            let moment = Duration::from_millis([0, 3, 7, 12, 20, 31, 45, 60, 80, 110, 150, 200][round - 1]);
            let end = Instant::now() + moment;
            while Instant::now() < end
                && world.applied("0.yaml").is_some_and(|text| !text.contains(&format!("g{round}-")))
            {
                std::hint::spin_loop();
            }
            daemon.child.kill().unwrap();
            daemon.child.wait().unwrap();
            drop(daemon);
            if round % 4 == 0 {
                assert_eq!(world.once().exits(0).json()["revision"], newest);
                assert_eq!(generations(&world), Some(BTreeSet::from([round.to_string()])));
            }
        }
        drop(finish);
        assert!(reader.join().unwrap() > 0);
    });
    let newest = world.repository.head();
    let daemon = world.daemon();
    daemon.applies("production", &newest);
    assert_eq!(generations(&world), Some(BTreeSet::from(["12".to_owned()])));
    let left: Vec<_> =
        std::fs::read_dir(world.path(".out.releases")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.len() <= 2, "what kills left behind was not swept: {left:?}");
}

#[test]
fn a_commit_refused_and_one_that_mends_it_leave_the_good_one_between() {
    let world = World::new();
    let daemon_world = &world;
    let first = daemon_world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    let second = world.repository.commit(&[("b.yaml", &pod("b", &unsigned().tagged()))]);
    let report = daemon.decides("production", "refuse", &second);
    assert_eq!(report["status"]["applied"], first);
    assert_eq!(keys(&report["summary"]), ["images", "verified", "refused", "undecided"]);
    let third = world.repository.commit(&[("b.yaml", &pod("b", &good().tagged()))]);
    daemon.applies("production", &third);
    assert_eq!(world.applied("b.yaml").unwrap(), pod("b", &good().pinned()));
}

/// Makes the target's files writable, as somebody would who changes them by hand.
fn open_up(world: &World) {
    let mut command = std::process::Command::new("chmod");
    process::run(command.arg("-R").arg("u+w").arg(world.path(".out.releases"))).exits(0);
}

#[test]
fn drift_is_only_told_where_the_gate_says_so() {
    let world = World::new();
    let mut quick = gate("production");
    quick["source"]["interval"] = json!("1s");
    quick["drift"] = json!({"objects": "report"});
    world.configure(&[quick]);
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    open_up(&world);
    std::fs::write(world.path("out/a.yaml"), "changed by hand").unwrap();
    let report = daemon.await_gate("drift is told", "production", |report| {
        report["status"]["drift"].as_array().is_some_and(|drift| !drift.is_empty())
    });
    assert_eq!(report["status"]["drift"], json!(["a.yaml"]));
    assert!(daemon.get("/metrics").text().contains("sealgate_drift_objects{gate=\"production\",kind=\"object\"} 1\n"));
    assert_eq!(std::fs::read_to_string(world.path("out/a.yaml")).unwrap(), "changed by hand");
}

#[test]
fn a_moved_tag_is_drift_to_report_and_never_to_deploy() {
    let world = World::new();
    let mut quick = gate("production");
    quick["source"]["interval"] = json!("1s");
    quick["drift"] = json!({"tags": "1s"});
    world.configure(&[quick]);
    let image = push("app/daemon-moving").signed(Form::Tag2, "ci");
    let first = world.repository.commit(&[("a.yaml", &pod("a", &image.tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    registry().push(&image.repository, "v1", "moved");
    process::eventually("the moved tag is told", || {
        let text = daemon.get("/metrics").text();
        text.contains("sealgate_drift_objects{gate=\"production\",kind=\"tag\"} 1\n").then_some(())
    });
    assert!(world.applied("a.yaml").unwrap().contains(&image.digest));
}

#[test]
fn an_unchanged_revision_that_passed_asks_no_registry() {
    let world = World::new();
    let mut quick = gate("production");
    quick["source"]["interval"] = json!("1s");
    world.configure(&[quick]);
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    let before = reconciled(&daemon.applies("production", &first));
    let requests = || {
        let text = daemon.get("/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with("sealgate_registry_requests_total{"));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum::<f64>()
    };
    let asked = requests();
    assert!(asked > 0.0);
    daemon.nudge();
    let report = daemon.await_gate("a look", "production", |report| reconciled(report) > before);
    let before = reconciled(&report);
    daemon.await_gate("another look", "production", |report| reconciled(report) > before);
    assert_eq!(requests(), asked);
}

#[test]
fn a_key_that_is_gone_lets_no_new_revision_pass_until_it_is_back() {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    std::fs::rename(world.path("ci.pub"), world.path("away.pub")).unwrap();
    let second = world.repository.commit(&[("a.yaml", &pod("b", &good().tagged()))]);
    let report = daemon.decides("production", "undecided", &second);
    assert_eq!(errors(&report), ["policy-unavailable"]);
    std::fs::rename(world.path("away.pub"), world.path("ci.pub")).unwrap();
    daemon.nudge();
    daemon.applies("production", &second);
}
