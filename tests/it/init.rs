//! `init` proposes what was proven, comments on the rest, asks nobody who was not named, and writes over nothing.

use std::fs;

use crate::support::process::Done;
use crate::support::world::{World, good, pod, registry, unsigned};

fn world() -> World {
    let world = World::new();
    world.repository.commit(&[
        ("m/good.yaml", &pod("good", &good().tagged())),
        ("m/bad.yaml", &pod("bad", &unsigned().tagged())),
        ("m/elsewhere.yaml", &pod("elsewhere", "registry.invalid/team/app:1")),
    ]);
    world
}

#[track_caller]
fn init(world: &World, arguments: &[&str]) -> Done {
    world.run(&[&["init", "repository/m"], arguments].concat())
}

#[test]
fn what_was_proven_is_a_rule_and_the_rest_a_comment() {
    let world = world();
    fs::create_dir(world.path("new")).unwrap();
    let done = init(&world, &["--dir", "new", "--key", "ci.pub", "--key", "stranger.pub"]).exits(0);
    assert!(done.stdout.contains("1 of 3 images pass"), "{done:?}");
    let policy = fs::read_to_string(world.path("new/policy.yaml")).unwrap();
    let rules: Vec<&str> = policy.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let rules = rules.join("\n");
    assert!(rules.contains(&format!("{}/{}", registry().host, good().repository)), "{policy}");
    assert!(
        rules.contains("ci.pub") && !rules.contains("stranger.pub") && !rules.contains("allowUnsigned"),
        "{policy}"
    );
    for left in
        [unsigned().tagged(), "registry.invalid/team/app:1".to_owned(), "--registry registry.invalid".to_owned()]
    {
        assert!(policy.contains(&left) && !rules.contains(&left), "{left}\n{policy}");
    }
    world.run(&["policy", "check", "new/policy.yaml"]).exits(0);
    world.run(&["check", "repository/m/good.yaml", "--policy", "new/policy.yaml"]).exits(0);
    world.run(&["check", "repository/m/bad.yaml", "--policy", "new/policy.yaml"]).exits(1);
    // The configuration is one that runs, and writes nothing.
    world.run(&["run", "--config", "new/sealgate.yaml", "--once"]).exits(1);
    assert!(!world.path("new/out").exists());
}

#[test]
fn nothing_proven_is_a_policy_that_lets_nothing_through() {
    let world = world();
    fs::create_dir(world.path("new")).unwrap();
    init(&world, &["--dir", "new"]).exits(0);
    world.run(&["policy", "check", "new/policy.yaml"]).exits(0);
    world.run(&["check", "repository/m/good.yaml", "--policy", "new/policy.yaml"]).exits(1);
}

#[test]
fn no_file_is_written_over_and_no_half_is_left() {
    let world = world();
    fs::create_dir(world.path("new")).unwrap();
    for name in ["sealgate.yaml", "policy.yaml"] {
        fs::write(world.path("new").join(name), "mine").unwrap();
        init(&world, &["--dir", "new", "--key", "ci.pub"]).exits(2);
        let found = fs::read_dir(world.path("new")).unwrap().count();
        assert_eq!((found, fs::read_to_string(world.path("new").join(name)).unwrap().as_str()), (1, "mine"));
        fs::remove_file(world.path("new").join(name)).unwrap();
    }
    init(&world, &["--dir", "nowhere", "--key", "ci.pub"]).exits(2);
    init(&world, &["--dir", "new", "--key", "policy.yaml"]).exits(2);
    assert_eq!(fs::read_dir(world.path("new")).unwrap().count(), 0);
}
