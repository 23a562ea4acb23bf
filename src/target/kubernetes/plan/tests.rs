//! What is read out of a release, and what is refused.

use serde_json::json;

use super::*;
use crate::target::kubernetes::tests::builders::{object, release};

fn problems(json: Value) -> Vec<Problem> {
    read(&release("r1", vec![object(json, &[])]), "g").err().unwrap_or_default()
}

#[test]
fn an_object_carries_its_gate_and_revision() {
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": null, "annotations": {"x": "y"}}});
    let items = read(&release("r1", vec![object(manifest, &[])]), "g").unwrap();
    let marked = items[0].marked("r1");
    assert_eq!(marked["metadata"]["labels"], json!({"sealgate.dev/gate": "g"}));
    assert_eq!(marked["metadata"]["annotations"], json!({"x": "y", "sealgate.dev/revision": "r1"}));
}

#[test]
fn the_hash_does_not_depend_on_the_revision() {
    let manifest = |revision: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "annotations": {"sealgate.dev/revision": revision}}});
    let hash =
        |revision: &str| read(&release("r", vec![object(manifest(revision), &[])]), "g").unwrap()[0].hash.clone();
    assert_eq!(hash("r1"), hash("r2"));
}

#[test]
fn what_no_cluster_would_take_is_refused_with_its_place() {
    let big = "x".repeat(MAX_DATA + 1);
    let huge = "x".repeat(MAX_BODY);
    let table = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "../../namespaces/x"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ".."}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a?force=true"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "x/../y"}}),
        json!({"apiVersion": "apps/v1/x", "kind": "Deployment", "metadata": {"name": "a"}}),
        json!({"apiVersion": "../v1", "kind": "Deployment", "metadata": {"name": "a"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": "x"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "1"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": big}}),
        json!({"apiVersion": "x.io/v1", "kind": "Big", "metadata": {"name": "a"}, "spec": huge}),
    ];
    for manifest in table {
        let found = problems(manifest.clone());
        assert_eq!(found.len(), 1, "{}", manifest["metadata"]);
        assert_eq!(found[0].code, ErrorCode::TargetRejected);
        assert!(found[0].file.is_some() && found[0].place.is_some() && !found[0].help.is_empty());
    }
}

#[test]
fn names_of_roles_may_hold_colons() {
    let role =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:x"}});
    assert_eq!(problems(role), []);
}

#[test]
fn an_object_that_stands_twice_is_refused_at_its_second_place() {
    let one =
        |version: &str| object(json!({"apiVersion": version, "kind": "Deployment", "metadata": {"name": "a"}}), &[]);
    let items = read(&release("r", vec![one("apps/v1"), one("apps/v1beta1")]), "g").unwrap();
    assert_eq!(twins(&items).len(), 1);
}

#[test]
fn a_definition_tells_the_kind_that_it_brings() {
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "names": {"kind": "Widget"}}});
    let items = read(&release("r", vec![object(definition, &[])]), "g").unwrap();
    assert_eq!(items[0].defines(), Some(Defined { group: "example.com".to_owned(), kind: "Widget".to_owned() }));
    assert_eq!(items[0].rank, Rank::Foundation);
}
