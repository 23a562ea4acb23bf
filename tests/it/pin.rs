//! `pin`: the digests that were verified, written where the images stand, and nothing else changed.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::process::{self, Done};
use crate::support::signing::Form;
use crate::support::world::{World, good, pod, push_index, unsigned};

/// A manifest with everything that a rewriter may lose.
fn odd(image: &str) -> String {
    format!(
        "# first\r\napiVersion: v1 # why\r\nkind: Pod\r\nmetadata:   {{name:   odd}}\r\nspec:\r\n  containers:\r\n  - &c {{name: a,   image: '{image}'}} # here\r\n  - name: b\r\n    image: \"{image}\"   # there\r\n    args: ['über', \"{{}}\"]\r\n"
    )
}

#[track_caller]
fn pin(world: &World, arguments: &[&str]) -> Done {
    world.run(&[&["pin", "--policy", "policy.yaml"], arguments].concat())
}

#[test]
fn stdout_has_the_manifests_with_their_pins_and_stderr_the_report() {
    let world = World::new();
    let image = good();
    world.write("m/a.yaml", &odd(&image.tagged()));
    world.write("m/b.yaml", &pod("b", &image.tagged()));
    let done = pin(&world, &["m"]).exits(0);
    assert_eq!(done.stdout, format!("{}---\n{}", odd(&image.pinned()), pod("b", &image.pinned())));
    assert!(done.stderr.contains("1 verified"), "{done:?}");
    assert_eq!(std::fs::read_to_string(world.path("m/a.yaml")).unwrap(), odd(&image.tagged()));
    // What was pinned is pinned again to the same bytes.
    world.write("m/a.yaml", &odd(&image.pinned()));
    let again = pin(&world, &["m/a.yaml"]).exits(0);
    assert_eq!(again.stdout, odd(&image.pinned()));
}

#[test]
fn standard_input_is_pinned() {
    let world = World::new();
    let mut command = world.command(&["pin", "-", "--policy", "policy.yaml"]);
    let done = process::run_with(&mut command, odd(&good().tagged()).as_bytes()).exits(0);
    assert_eq!(done.stdout, odd(&good().pinned()));
    let mut command = world.command(&["pin", "-", "--policy", "policy.yaml", "--write"]);
    process::run_with(&mut command, odd(&good().tagged()).as_bytes()).exits(2);
}

#[test]
fn without_a_pass_nothing_is_printed_and_no_file_changes() {
    let world = World::new();
    let (good_file, bad_file) = (pod("a", &good().tagged()), pod("b", &unsigned().tagged()));
    world.write("m/a.yaml", &good_file);
    world.write("m/b.yaml", &bad_file);
    for (mode, report_on_stdout) in
        [(None, false), (Some("--diff"), false), (Some("--write"), true), (Some("--check"), true)]
    {
        let arguments: Vec<&str> = ["m"].into_iter().chain(mode).collect();
        let done = pin(&world, &arguments).exits(1);
        let (report, other) =
            if report_on_stdout { (&done.stdout, &done.stderr) } else { (&done.stderr, &done.stdout) };
        assert!(report.contains("m/b.yaml:7:12") && other.is_empty(), "{mode:?}: {done:?}");
        assert_eq!(std::fs::read_to_string(world.path("m/a.yaml")).unwrap(), good_file);
    }
    world.write("m/b.yaml", "a: [\n");
    let done = pin(&world, &["m"]).exits(2);
    assert!(done.stdout.is_empty(), "{done:?}");
}

#[test]
fn write_changes_the_files_once_and_keeps_their_mode() {
    let world = World::new();
    let path = world.write("m/a.yaml", &odd(&good().tagged()));
    let pinned_already = world.write("m/b.yaml", &pod("b", &good().pinned()));
    let other = world.write("m/notes.txt", "nginx:1");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let untouched = std::fs::metadata(&pinned_already).unwrap().modified().unwrap();
    let done = pin(&world, &["m", "--write", "--output", "json"]).exits(0);
    assert_eq!(done.json()["decision"], "pass");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), odd(&good().pinned()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(std::fs::metadata(&pinned_already).unwrap().modified().unwrap(), untouched);
    assert_eq!(std::fs::read_to_string(other).unwrap(), "nginx:1");
    let names: Vec<_> = std::fs::read_dir(world.path("m")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "something was left behind: {names:?}");
    let written = std::fs::metadata(&path).unwrap().modified().unwrap();
    pin(&world, &["m", "--write"]).exits(0);
    pin(&world, &["m", "--check"]).exits(0);
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), written);
}

#[test]
fn write_follows_no_link() {
    let world = World::new();
    let outside = world.write("outside.yaml", &pod("a", &good().tagged()));
    std::fs::create_dir(world.path("m")).unwrap();
    std::os::unix::fs::symlink("../outside.yaml", world.path("m/a.yaml")).unwrap();
    for path in ["m", "m/a.yaml"] {
        let done = pin(&world, &[path, "--write"]);
        assert!(std::fs::symlink_metadata(world.path("m/a.yaml")).unwrap().is_symlink(), "{done:?}");
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), pod("a", &good().tagged()), "{done:?}");
        assert_ne!(done.code, 0, "{done:?}");
    }
}

#[test]
fn check_says_4_where_something_would_change_and_changes_nothing() {
    let world = World::new();
    let path = world.write("a.yaml", &pod("a", &good().tagged()));
    pin(&world, &["a.yaml", "--check"]).exits(4);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), pod("a", &good().tagged()));
    world.write("a.yaml", &pod("a", &good().pinned()));
    pin(&world, &["a.yaml", "--check"]).exits(0);
    // A refusal weighs more.
    world.write("b.yaml", &pod("b", &unsigned().tagged()));
    world.write("a.yaml", &pod("a", &good().tagged()));
    pin(&world, &["a.yaml", "b.yaml", "--check"]).exits(1);
}

#[test]
fn git_applies_the_diff() {
    let world = World::new();
    let (index, _) = push_index("app/pin-index");
    let index = index.signed(Form::Tag2, "ci");
    let no_newline = pod("c", &good().tagged()).trim_end().to_owned();
    world.repository.commit(&[
        ("a.yaml", &odd(&good().tagged())),
        ("deep/b.yaml", &pod("b", &index.tagged())),
        ("c.yaml", &no_newline),
        ("d.yaml", &pod("d", &good().pinned())),
    ]);
    let mut command = process::command(&world.repository.path);
    let done = process::run(command.args(["pin", ".", "--policy", "../policy.yaml", "--diff"])).exits(0);
    let mut apply = Command::new("git");
    apply.args(["apply", "-"]).current_dir(&world.repository.path);
    process::run_with(&mut apply, done.stdout.as_bytes()).exits(0);
    let read = |name: &str| std::fs::read_to_string(world.repository.path.join(name)).unwrap();
    assert_eq!(read("a.yaml"), odd(&good().pinned()));
    assert_eq!(read("deep/b.yaml"), pod("b", &index.pinned()));
    assert_eq!(read("c.yaml"), pod("c", &good().pinned()).trim_end());
    assert_eq!(world.repository.git(&["status", "--porcelain"]).lines().count(), 3);
    // Pinned manifests are nothing to do.
    let mut command = process::command(&world.repository.path);
    let again = process::run(command.args(["pin", ".", "--policy", "../policy.yaml", "--diff"])).exits(0);
    assert_eq!(again.stdout, "");
}

#[test]
fn the_ways_to_pin_exclude_each_other() {
    let world = World::new();
    world.write("a.yaml", &pod("a", &good().tagged()));
    for pair in [["--diff", "--write"], ["--diff", "--check"], ["--write", "--check"]] {
        pin(&world, &["a.yaml", pair[0], pair[1]]).exits(2);
    }
}
