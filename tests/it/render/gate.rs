//! A gate whose source holds a chart: rendered as the configuration says, pinned, applied.

use std::process::Command;

use serde_json::{Value, json};

use super::bin;
use crate::support::process::{self, Done};
use crate::support::world::{World, errors, gate, good};

const TEMPLATE: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: '{{ .Release.Namespace }}'}\nspec:\n  containers:\n  - name: a\n    image: {{ .Values.image }}\n";

fn once(render: Value, machine: Value) -> (World, Done) {
    let world = World::new();
    let mut gate = gate("production");
    gate["render"] = render;
    let configuration = json!({"listen": "127.0.0.1:0", "stateDir": "state", "gates": [gate], "render": machine});
    world.write("sealgate.yaml", &configuration.to_string());
    world.repository.commit(&[
        ("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.1.0\n"),
        ("web/values.yaml", "image: nowhere.example.com/x:1\n"),
        ("web/templates/pod.yaml", TEMPLATE),
        ("web/templates/NOTES.txt", "{{ .Values.image }}"),
        ("values/prod.yaml", &format!("image: {}\n", good().tagged())),
    ]);
    let bin = bin(Some(("TEST_HELM", "helm")));
    let mut command: Command = world.command(&["run", "--config", "sealgate.yaml", "--once", "--output", "json"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.path().display()));
    let done = process::run(&mut command);
    (world, done)
}

#[test]
fn a_chart_is_applied_pinned_with_the_values_of_the_configuration() {
    let (world, done) =
        once(json!([{"path": "web", "namespace": "shop", "values": ["../values/prod.yaml"]}]), json!({}));
    let report = done.exits(0).json();
    assert!(report.to_string().contains("\"renderer\":\"helm\""), "{report:#}");
    let applied = world.applied("web/rendered.yaml").unwrap();
    assert!(
        applied.contains(&format!("image: {}", good().pinned())) && applied.contains("namespace: 'shop'"),
        "{applied}"
    );
}

#[test]
fn a_folder_that_is_not_there_and_an_isolation_that_cannot_be_had_refuse() {
    let here = json!([{"path": "web", "values": ["../values/prod.yaml"]}]);
    let (world, done) = once(json!([{"path": "wbe", "values": ["../values/prod.yaml"]}]), json!({}));
    assert_eq!(errors(&done.json()), ["config-invalid"], "{done:?}");
    assert_eq!(world.applied("web/rendered.yaml"), None);
    let (_, done) = once(here, json!({"helm": "no/such/helm"}));
    assert_eq!(errors(&done.json()), ["unsupported-file"], "{done:?}");
}
