//! What a renderer can reach and use: told by scripts that stand in for one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::{POD, images, world};

/// A `kustomize` that is this script.
fn standing_in(script: &str) -> TempDir {
    let bin = TempDir::new().unwrap();
    let path = bin.path().join("kustomize");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

fn folder(more: &[(&str, &str)]) -> TempDir {
    world(&[&[("a/kustomization.yaml", "resources: [web.yaml]\n"), ("a/web.yaml", POD)], more].concat())
}

/// What the script prints, as the reference of an image.
fn answer(world: &Path, expression: &str) -> String {
    let script = format!(
        "printf 'apiVersion: v1\\nkind: Pod\\nmetadata: {{name: a}}\\nspec: {{containers: [{{name: a, image: \"%s\"}}]}}\\n' \"$({expression})\""
    );
    let told = images(world, standing_in(&script).path());
    told["sites"][0]["reference"].as_str().unwrap_or_else(|| panic!("{told:#}")).to_owned()
}

#[test]
fn it_has_limits_and_no_environment() {
    let world = folder(&[]);
    for (question, expected) in [
        ("ulimit -v", "4194304"),
        ("ulimit -t", "60"),
        ("ulimit -c", "0"),
        ("ulimit -n", "256"),
        ("ulimit -f", "131072"),
        ("env | cut -d= -f1 | grep -v -e PWD -e _ -e SHLVL | sort | tr '\\n' ,", "HOME,"),
    ] {
        assert_eq!(answer(world.path(), question), expected, "{question}");
    }
}

#[test]
fn it_sees_a_private_copy_with_files_of_every_kind() {
    let world = folder(&[("a/app.properties", "a=b"), ("plain.yaml", POD), ("other.txt", "x")]);
    let seen = answer(world.path(), "find . -type f | sort | tr '\\n' ,");
    assert_eq!(seen, "./a/app.properties,./a/kustomization.yaml,./a/web.yaml,");
    assert!(answer(world.path(), "pwd").contains("sealgate-render-"));
}

#[test]
fn a_flood_and_a_failure_are_refused() {
    let world = folder(&[]);
    for (script, code) in [
        ("yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "limit-exceeded"),
        ("echo no; exit 1", "unsupported-file"),
        ("true", "unsupported-file"),
        ("echo '# nothing'; echo ---", "unsupported-file"),
    ] {
        let told = images(world.path(), standing_in(script).path());
        assert_eq!(told["errors"][0]["code"], code, "{script}: {told:#}");
        assert_eq!(told["sites"].as_array().unwrap().len(), 0);
    }
}

#[test]
fn what_it_started_ends_with_it() {
    let told = images(folder(&[]).path(), standing_in("sleep 1000 & echo 'a: b'; exit 0").path());
    // The answer is no object; the child that held the output is not waited for.
    assert_eq!(told["errors"].as_array().unwrap().len(), 1, "{told:#}");
}

#[test]
fn the_report_says_whether_there_was_a_network() {
    let interfaces = answer(folder(&[]).path(), "grep -c : /proc/net/dev");
    let script = format!("cat <<'X'\n{POD}X");
    let told = images(folder(&[]).path(), standing_in(&script).path());
    let network = told["rendered"][0]["network"].as_str().unwrap();
    // Without a network there is the loopback interface and no other.
    assert_eq!(network == "cut", interfaces == "1", "{interfaces} {told:#}");
}
