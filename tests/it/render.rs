//! Folders with a kustomization, built by the real kustomize and the real kubectl, and charts rendered by the real helm.

mod confined;
mod gate;
mod helm;
mod pin;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let cache = std::env::var_os("TEST_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        base.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache")).join("sealgate-tests")
    });
    cache.join("bin").join(name)
}

/// A folder for the PATH that has this one renderer.
fn bin(renderer: Option<(&str, &str)>) -> TempDir {
    let bin = TempDir::new().unwrap();
    if let Some((variable, name)) = renderer {
        std::os::unix::fs::symlink(program(variable, name).canonicalize().unwrap(), bin.path().join(name)).unwrap();
    }
    bin
}

fn world(files: &[(&str, &str)]) -> TempDir {
    let world = TempDir::new().unwrap();
    for (path, text) in files {
        let path = world.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    world
}

fn images(world: &Path, bin: &Path) -> Value {
    images_with(world, bin, &[])
}

fn images_with(world: &Path, bin: &Path, more: &[&str]) -> Value {
    let mut path = OsString::from(bin);
    // Without a renderer nothing else is on the PATH either: the machine may have one.
    if std::fs::read_dir(bin).unwrap().next().is_some() {
        path.push(":/usr/bin:/bin");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.args(["images", "--output", "json", "."]).args(more).current_dir(world).env("PATH", path);
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: web, image: registry.example.com/web:1}\n";

#[test]
fn a_folder_is_built_once_and_traced_to_its_source() {
    for renderer in [("TEST_KUSTOMIZE", "kustomize"), ("TEST_KUBECTL", "kubectl")] {
        let world = world(&[
            ("base/kustomization.yaml", "resources: [web.yaml]\n"),
            ("base/web.yaml", POD),
            ("base/unused.yaml", POD),
            ("prod/kustomization.yaml", "resources: [../base]\nnamePrefix: prod-\n"),
            ("plain.yaml", POD),
        ]);
        let told = images(world.path(), bin(Some(renderer)).path());
        assert_eq!(told["errors"].as_array().unwrap().len(), 0, "{told:#}");
        let sites = told["sites"].as_array().unwrap();
        let names: Vec<&str> = sites.iter().map(|site| site["object"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["web", "prod-web"], "{told:#}");
    }
}

#[test]
fn what_stands_once_in_the_sources_is_traced() {
    let world = world(&[("a/kustomization.yaml", "resources: [web.yaml]\n"), ("a/web.yaml", POD)]);
    let told = images(world.path(), bin(Some(("TEST_KUSTOMIZE", "kustomize"))).path());
    let site = &told["sites"][0];
    assert!(site["file"].as_str().unwrap().ends_with("a/web.yaml"), "{told:#}");
    assert_eq!((&site["line"], &site["column"]), (&6.into(), &24.into()));
}

#[test]
fn what_a_transformer_made_is_told_by_its_object_or_by_its_name() {
    let kustomization = "resources: [web.yaml]\nimages: [{name: registry.example.com/web, newTag: '2'}]\n";
    let world = world(&[("a/kustomization.yaml", kustomization), ("a/web.yaml", POD)]);
    let told = images(world.path(), bin(Some(("TEST_KUSTOMIZE", "kustomize"))).path());
    assert_eq!(told["sites"][0]["reference"], "registry.example.com/web:2", "{told:#}");
    assert!(told["sites"][0]["file"].as_str().unwrap().ends_with("a/kustomization.yaml"));
    let patch = "resources: [web.yaml]\npatches:\n- target: {kind: Pod}\n  patch: |-\n    - op: replace\n      path: /spec/containers/0/image\n      value: b:2\n";
    let world = self::world(&[("a/kustomization.yaml", patch), ("a/web.yaml", POD)]);
    let told = images(world.path(), bin(Some(("TEST_KUSTOMIZE", "kustomize"))).path());
    assert_eq!(told["sites"][0]["reference"], "b:2", "{told:#}");
    assert!(told["sites"][0]["file"].as_str().unwrap().ends_with("a/rendered.yaml"));
}

#[test]
fn what_cannot_be_built_is_refused() {
    let table = [
        ("resources: [https://example.com/x.yaml]\n", true),
        ("resources: [../../../../etc]\n", true),
        ("resources: [missing.yaml]\n", true),
        ("resources: [web.yaml]\nconfigMapGenerator: [{name: x, files: [/etc/hostname]}]\n", true),
        ("resources: [web.yaml]\n", false),
    ];
    for (kustomization, installed) in table {
        let world = world(&[("a/kustomization.yaml", kustomization), ("a/web.yaml", POD)]);
        let bin = bin(installed.then_some(("TEST_KUSTOMIZE", "kustomize")));
        let told = images(world.path(), bin.path());
        assert_eq!(told["errors"][0]["code"], "unsupported-file", "{kustomization}: {told:#}");
        assert_eq!(told["sites"].as_array().unwrap().len(), 0, "{told:#}");
    }
}
