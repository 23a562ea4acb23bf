//! `check --base` tells what a change brings and what it leaves; `check --pins` says what the daemon said.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::process::{self, Done};
use crate::support::world::{World, errors, gate, good, pod, policy, reasons, unsigned};

/// A command in the world's repository, with the world's policy.
#[track_caller]
fn check(world: &World, arguments: &[&str]) -> Done {
    let mut command = process::command(&world.repository.path);
    process::run(command.args(["check", "--policy", "../policy.yaml", "--output", "json"]).args(arguments))
}

fn site_files(report: &Value) -> Vec<String> {
    let images = report["images"].as_array().unwrap().iter();
    let sites = images.flat_map(|image| image["sites"].as_array().unwrap());
    sites.map(|site| site["file"].as_str().unwrap().to_owned()).collect()
}

/// A world whose first commit holds an image that does not pass.
fn world() -> World {
    let world = World::new();
    world
        .repository
        .commit(&[("m/bad.yaml", &pod("bad", &unsigned().tagged())), ("m/good.yaml", &pod("good", &good().tagged()))]);
    world.repository.git(&["checkout", "-q", "-b", "change"]);
    world
}

#[test]
fn only_what_the_change_brings_is_looked_at_and_the_rest_is_counted() {
    let world = world();
    let report = check(&world, &["m", "--base", "main"]).exits(0).json();
    assert_eq!(report["decision"], "pass");
    assert_eq!((&report["base"]["unchanged"], &report["base"]["everything"]), (&json!(2), &Value::Null));
    assert_eq!(report["base"]["revision"], world.repository.head());
    assert_eq!(report["summary"]["images"], 0);
    // A new object with the same image that does not pass.
    world.repository.commit(&[("m/new.yaml", &pod("new", &unsigned().tagged()))]);
    let report = check(&world, &["m", "--base", "main"]).exits(1).json();
    assert_eq!(
        (reasons(&report), site_files(&report)),
        (vec!["no-signature".to_owned()], vec!["m/new.yaml".to_owned()])
    );
    assert_eq!(report["base"]["unchanged"], 1);
    // What main did meanwhile is no part of the change.
    world.repository.git(&["checkout", "-q", "main"]);
    world.repository.commit(&[("m/good.yaml", &pod("good", &unsigned().by_digest()))]);
    world.repository.git(&["checkout", "-q", "change"]);
    let report = check(&world, &["m", "--base", "main"]).exits(1).json();
    assert_eq!(site_files(&report), ["m/new.yaml"]);
}

#[test]
fn a_moved_file_is_no_change_and_another_namespace_is_one() {
    let world = world();
    world.repository.git(&["mv", "m/bad.yaml", "m/moved.yaml"]);
    assert_eq!(check(&world, &["m", "--base", "main"]).exits(0).json()["base"]["unchanged"], 2);
    let moved = pod("bad", &unsigned().tagged()).replace("namespace: shop", "namespace: other");
    world.repository.commit(&[("m/moved.yaml", &moved)]);
    let report = check(&world, &["m", "--base", "main"]).exits(1).json();
    assert_eq!(site_files(&report), ["m/moved.yaml"]);
    // One more of what cannot be told apart: all of them are looked at.
    let twice = pod("bad", &unsigned().tagged());
    world.repository.commit(&[("m/moved.yaml", &twice), ("m/again.yaml", &twice)]);
    let report = check(&world, &["m", "--base", "main"]).exits(1).json();
    assert_eq!(site_files(&report).len(), 2);
}

#[test]
fn what_is_not_committed_yet_is_part_of_the_change() {
    let world = world();
    std::fs::write(world.repository.path.join("m/new.yaml"), pod("new", &unsigned().tagged())).unwrap();
    let report = check(&world, &[".", "--base", "HEAD"]).exits(1).json();
    assert_eq!(site_files(&report), ["m/new.yaml"]);
    // Patterns leave out the same here and there.
    check(&world, &[".", "--base", "HEAD", "--exclude", "m/new.yaml"]).exits(0);
}

#[test]
fn a_changed_policy_or_key_is_a_reason_to_look_at_everything() {
    let world = world();
    let text = policy("{name: ci, key: {file: ci.pub}}");
    let keys = std::fs::read_to_string(world.path("ci.pub")).unwrap();
    world.repository.git(&["checkout", "-q", "main"]);
    world.repository.commit(&[
        ("policy.yaml", &text),
        ("ci.pub", &keys),
        ("m/new.yaml", &pod("new", &good().tagged())),
    ]);
    world.repository.git(&["checkout", "-q", "-b", "policy"]);
    let run = || {
        let mut command = process::command(&world.repository.path);
        let arguments = ["check", "m", "--policy", "policy.yaml", "--output", "json", "--base", "main"];
        process::run(command.args(arguments))
    };
    assert_eq!(run().exits(0).json()["base"]["everything"], Value::Null);
    world.repository.commit(&[("policy.yaml", &format!("# changed\n{text}"))]);
    let report = run().exits(1).json();
    assert!(report["base"]["everything"].as_str().unwrap().contains("policy.yaml"), "{report:#}");
    assert_eq!(report["summary"]["images"], 2);
    let release = std::fs::read_to_string(world.path("release.pub")).unwrap();
    world.repository.commit(&[("policy.yaml", &text), ("ci.pub", &release)]);
    let report = run().exits(1).json();
    assert!(report["base"]["everything"].as_str().unwrap().contains("ci.pub"), "{report:#}");
}

#[test]
fn a_base_that_cannot_be_read_is_bad_usage_and_one_that_cannot_be_compared_hides_nothing() {
    let world = world();
    for arguments in [
        &["m", "--base", "no-such-branch"][..],
        &["-", "--base", "main"],
        &["../policy.yaml", "--base", "main"],
        &["m", "--base", "main", "--pins", "x"],
        &["m", "..", "--base", "main"],
    ] {
        let done = check(&world, arguments).exits(2);
        assert!(!done.stdout.is_empty(), "{arguments:?}");
    }
    // A shallow clone without the base's history.
    let shallow = world.path("shallow");
    let source = format!("file://{}", world.repository.path.display());
    world.repository.commit(&[("m/new.yaml", &pod("new", &good().tagged()))]);
    world.repository.git(&["clone", "-q", "--depth", "1", "-b", "change", &source, shallow.to_str().unwrap()]);
    let mut command = process::command(&shallow);
    process::run(command.args(["check", "m", "--policy", "../policy.yaml", "--base", "origin/main"])).exits(2);
    // A base that holds a broken file: what stands in it now is new.
    world.repository.commit(&[("m/bad.yaml", "a: [\n")]);
    world.repository.git(&["checkout", "-q", "-b", "mended"]);
    world.repository.commit(&[("m/bad.yaml", &pod("bad", &unsigned().tagged()))]);
    let report = check(&world, &["m", "--base", "change"]).exits(1).json();
    assert_eq!(site_files(&report), ["m/bad.yaml"]);
    // A file that is broken now is always told.
    world.repository.commit(&[("m/good.yaml", "a: [\n")]);
    assert_eq!(errors(&check(&world, &["m", "--base", "change"]).exits(2).json()), ["yaml-invalid"]);
}

#[test]
fn every_form_says_what_was_left_out() {
    let world = world();
    for form in ["text", "json", "sarif", "junit", "github", "markdown"] {
        let mut command = process::command(&world.repository.path);
        let arguments = ["check", "m", "--policy", "../policy.yaml", "--base", "main", "--output", form];
        let done = process::run(command.args(arguments)).exits(0);
        assert!(done.stdout.contains("unchanged"), "{form}: {done:?}");
    }
}

#[test]
fn github_adds_the_report_to_the_jobs_summary() {
    let world = world();
    let summary = world.path("summary.md");
    std::fs::write(&summary, "before\n").unwrap();
    let mut command = process::command(&world.repository.path);
    command.env("GITHUB_STEP_SUMMARY", &summary);
    process::run(command.args(["check", "m", "--policy", "../policy.yaml", "--output", "github"])).exits(1);
    let text = std::fs::read_to_string(summary).unwrap();
    assert!(text.starts_with("before\n<!-- sealgate:check -->\n") && text.contains("no-signature"), "{text}");
}

/// The daemon's report, and what `check --pins` says of the same revision.
fn both(world: &World, pins: &Path, code: i32) -> (String, String) {
    let daemon = world.once().exits(code).stdout;
    let mut command = process::command(&world.repository.path);
    let arguments =
        ["check", ".", "--config", "../sealgate.yaml", "--gate", "production", "--output", "json", "--pins"];
    let typed = process::run(command.args(arguments).arg(pins)).exits(code).stdout;
    (daemon, typed)
}

#[test]
fn under_the_same_pins_check_says_byte_for_byte_what_the_daemon_said() {
    let world = World::new();
    let mut settings = gate("production");
    settings["source"]["path"] = json!("clusters/prod");
    settings["source"]["exclude"] = json!(["ci/**"]);
    settings["mode"] = json!("audit");
    settings["namespace"] = json!("shop");
    world.configure(&[settings]);
    let mixed = [
        ("clusters/prod/a.yaml", pod("a", &good().tagged())),
        (
            "clusters/prod/deep/b.yaml",
            format!("---\n{}---\n{}", pod("b", &unsigned().tagged()), pod("c", &good().tagged())),
        ),
        ("clusters/prod/bad.yaml", pod("bad", "'NOT a reference'")),
        ("clusters/prod/foreign.yaml", pod("foreign", "registry.invalid/x/y:1")),
        ("clusters/prod/ci/left-out.yaml", "a: [\n".to_owned()),
        ("elsewhere/c.yaml", pod("c", &unsigned().tagged())),
    ];
    let passing = [("clusters/prod/a.yaml", pod("a", &good().tagged()))];
    let broken = [("clusters/prod/a.yaml", "a: [\n".to_owned())];
    for (files, code) in [(&mixed[..], 1), (&passing, 0), (&broken, 2)] {
        world.repository.git(&["rm", "-rq", "--ignore-unmatch", "."]);
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let revision = world.repository.commit(&files);
        let pins = world.path(&format!("state/gates/production/pins/{revision}.json"));
        let given = world.path("pins.json");
        // The daemon decides first, so that its pins are there; where nothing was resolved it keeps none.
        world.once().exits(code);
        let text = std::fs::read_to_string(&pins)
            .unwrap_or_else(|_| json!({"gate": "production", "revision": revision, "pins": {}}).to_string());
        std::fs::write(&given, text).unwrap();
        // What is on disk is not what is asked about.
        std::fs::create_dir_all(world.repository.path.join("clusters/prod")).unwrap();
        let later = world.repository.path.join("clusters/prod/later.yaml");
        std::fs::write(&later, pod("later", "x:1")).unwrap();
        let (daemon, typed) = both(&world, &given, code);
        assert!(daemon == typed, "{code}:\n{daemon}\n{typed}");
        // A report is a file of pins too.
        std::fs::write(&given, &daemon).unwrap();
        assert_eq!(both(&world, &given, code).1, daemon);
        std::fs::remove_file(later).unwrap();
    }
}

#[test]
fn pins_hold_though_the_tag_has_moved() {
    let world = World::new();
    world.write("a.yaml", &pod("a", &good().tagged()));
    let reference = good().tagged();
    let pins = json!({"gate": null, "revision": null, "pins": {reference: unsigned().digest}});
    world.write("pins.json", &pins.to_string());
    let done = world.run(&["check", "a.yaml", "--policy", "policy.yaml", "--pins", "pins.json", "--output", "json"]);
    // The digest is asked for in that repository, which does not have it.
    assert_eq!(done.exits(1).json()["images"][0]["verdict"], "refused");
    world.write("pins.json", r#"{"gate": "other", "revision": "x", "pins": {}}"#);
    let arguments = ["check", "a.yaml", "--config", "sealgate.yaml", "--gate", "production", "--pins", "pins.json"];
    world.run(&arguments).exits(2);
    world.write("pins.json", "{}");
    world.run(&["check", "a.yaml", "--policy", "policy.yaml", "--pins", "pins.json"]).exits(2);
}
