//! Configuration as the binary takes it: everything wrong at once, with its place, and nothing started.

use serde_json::json;

use crate::support::process;
use crate::support::world::{World, gate, good, pod};

/// What both streams say.
fn told(done: &process::Done) -> String {
    done.stdout.clone() + &done.stderr
}

#[test]
fn an_unknown_variable_is_refused() {
    let world = World::new();
    world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    for (name, code) in [("SEALGATE_STATDIR", 2), ("sealgate_listn", 2), ("SEALGATE_LOG", 0)] {
        let mut command = world.command(&["run", "--config", "sealgate.yaml", "--once"]);
        let done = process::run(command.env(name, "info")).exits(code);
        assert!(code == 0 || told(&done).contains(name), "{done:?}");
    }
}

#[test]
fn a_variable_overrides_a_scalar() {
    let world = World::new();
    world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let once = ["run", "--config", "sealgate.yaml", "--once"];
    process::run(world.command(&once).env("SEALGATE_STATEDIR", world.path("elsewhere"))).exits(0);
    assert!(world.path("elsewhere/gates").exists() && !world.path("state").exists());
    let done = process::run(world.command(&once).env("SEALGATE_LIMITS__FILEBYTES", "10B"));
    assert_ne!(done.code, 0, "{done:?}");
    let done = process::run(world.command(&once).env("SEALGATE_LIMITS__FILEBYTES", "much")).exits(2);
    assert!(told(&done).contains("SEALGATE_LIMITS__FILEBYTES"), "{done:?}");
}

#[test]
fn every_fault_of_a_configuration_is_told_with_its_place_and_nothing_is_made() {
    let world = World::new();
    world.write(
        "sealgate.yaml",
        "listen: nowhere\nstateDir: state\ngates:\n- name: a\n  source: {git: x, brnch: main}\n  policies: [policy.yaml]\n  target: {directory: {path: out}}\n  mode: maybe\n",
    );
    for arguments in [&["run", "--config", "sealgate.yaml", "--once"][..], &["run", "--config", "sealgate.yaml"]] {
        let done = world.run(arguments).exits(2);
        for place in ["sealgate.yaml:1:9", "sealgate.yaml:5:20", "sealgate.yaml:8:9"] {
            assert!(told(&done).contains(place), "{place}: {done:?}");
        }
    }
    assert!(!world.path("state").exists() && !world.path("out").exists());
}

#[test]
fn a_configuration_that_cannot_work_ends_with_2() {
    let world = World::new();
    let missing_policy = json!({"name": "a", "source": {"git": "repository", "branch": "main"},
        "policies": ["missing.yaml"], "target": {"directory": {"path": "out"}}});
    let later = json!({"name": "a", "source": {"git": "repository", "branch": "main"},
        "policies": ["policy.yaml"], "target": {"git": {"url": "x", "branch": "y"}}});
    for gates in [vec![], vec![missing_policy], vec![later], vec![gate("a"), gate("a")]] {
        world.configure(&gates);
        let done = world.run(&["run", "--config", "sealgate.yaml", "--once"]).exits(2);
        assert!(!told(&done).is_empty(), "{gates:?}");
    }
    world.run(&["run", "--config", "missing.yaml"]).exits(2);
    world.run(&["run"]).exits(2);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = world.command(&["run", "--config", "sealgate.yaml"]);
    let done = process::run(command.env("SEALGATE_LISTEN", &address)).exits(2);
    assert!(told(&done).contains(&address), "{done:?}");
}
