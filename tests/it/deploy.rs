//! What `deploy/` hands to a cluster: the kustomize base and the Helm chart say the same, and neither asks for more than it
//! needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::support::kube;

const EVERYTHING: &[&str] = &[
    "clusterScope=true",
    "serviceMonitor.enabled=true",
    "pinnedImagesOnly.enabled=true",
    "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "secretNamespaces={apps}",
    "secrets={git}",
    "pullSecrets[0].namespace=sealgate,pullSecrets[0].name=regcred",
    "serviceAccounts[0].namespace=apps,serviceAccounts[0].name=deployer",
];

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn program(test: &str, variable: &str, name: &str) -> Option<PathBuf> {
    kube::find(variable, name).inspect_err(|why| kube::skipped(test, why)).ok()
}

fn run(command: &mut Command) -> Vec<Value> {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text);
    let objects = documents.map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap());
    objects.filter(|object| !object.is_null()).collect()
}

/// The base as kustomize builds it.
fn base(test: &str) -> Option<Vec<Value>> {
    let kustomize = program(test, "TEST_KUSTOMIZE", "kustomize")?;
    Some(run(Command::new(kustomize).arg("build").arg(deploy("."))))
}

/// The chart as helm renders it, with these values.
fn chart(test: &str, values: &[&str]) -> Option<Vec<Value>> {
    let helm = program(test, "TEST_HELM", "helm")?;
    let mut command = Command::new(helm);
    command.args(["template", "sealgate"]).arg(deploy("chart")).args(["--namespace", "sealgate"]);
    for value in values {
        command.args(["--set", value]);
    }
    Some(run(&mut command))
}

fn of<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn one<'a>(objects: &'a [Value], kind: &'a str) -> &'a Value {
    let mut found = of(objects, kind);
    let one = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "there is more than one {kind}");
    one
}

fn rules(objects: &[Value]) -> Vec<&Value> {
    let roles = objects.iter().filter(|it| it["kind"] == "Role" || it["kind"] == "ClusterRole");
    roles.flat_map(|role| role["rules"].as_array().unwrap()).collect()
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().map(|it| it.as_str().unwrap()).collect()
}

/// No wildcard, no way to more rights, and Secrets or other accounts only by name or where that was asked for.
fn asks_for_little(objects: &[Value]) {
    for rule in rules(objects) {
        for field in ["apiGroups", "resources", "verbs"] {
            assert!(!texts(&rule[field]).contains("*"), "{rule}");
        }
        let (resources, verbs) = (texts(&rule["resources"]), texts(&rule["verbs"]));
        assert!(!verbs.contains("escalate") && !verbs.contains("bind"), "{rule}");
        if verbs.contains("impersonate") {
            assert!(resources == BTreeSet::from(["serviceaccounts"]) && rule["resourceNames"][0].is_string(), "{rule}");
        }
        if resources.contains("secrets") {
            assert!(!verbs.contains("list") && !verbs.contains("watch"), "{rule}");
        }
    }
}

/// A pod that the restricted standard admits, with a read-only root, probes and a volume for its state.
fn is_confined(set: &Value) {
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(field).is_none());
    }
    for volume in pod["volumes"].as_array().unwrap() {
        assert!(volume.get("hostPath").is_none(), "{volume}");
    }
    for (probe, path) in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
    }
    // 25 seconds for the write in flight and 5 for the leases.
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > 30);
    let mounts: BTreeMap<&str, &str> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| (mount["name"].as_str().unwrap(), mount["mountPath"].as_str().unwrap()))
        .collect();
    assert_eq!((mounts["state"], mounts["config"]), ("/var/lib/sealgate", "/etc/sealgate"));
    assert_eq!(set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "state");
    assert!(set["spec"]["replicas"].as_u64().unwrap() >= 2);
}

#[test]
fn the_base_and_the_chart_are_confined_and_ask_for_little() {
    let test = "the_base_and_the_chart_are_confined_and_ask_for_little";
    let (Some(base), Some(chart), Some(everything)) = (base(test), chart(test, &[]), chart(test, EVERYTHING)) else {
        return;
    };
    for objects in [&base, &chart, &everything] {
        asks_for_little(objects);
        is_confined(one(objects, "StatefulSet"));
        one(objects, "PodDisruptionBudget");
        let policy = one(objects, "NetworkPolicy");
        assert_eq!(texts(&policy["spec"]["policyTypes"]), BTreeSet::from(["Ingress", "Egress"]));
        assert_eq!(one(objects, "Service")["spec"]["ports"][0]["port"], 8080);
    }
    for objects in [&base, &chart] {
        assert!(
            rules(objects).iter().all(|rule| !texts(&rule["resources"]).contains("secrets")),
            "nobody asked for it"
        );
    }
    let image = &one(&everything, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["image"];
    assert!(image.as_str().unwrap().contains(":0.1.0@sha256:"), "{image}");
    for kind in ["ServiceMonitor", "ValidatingAdmissionPolicy", "ClusterRoleBinding"] {
        one(&everything, kind);
    }
    let namespace = of(&base, "Namespace").find(|it| it["metadata"]["name"] == "sealgate").unwrap();
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn the_base_and_the_chart_give_the_same_rights() {
    let test = "the_base_and_the_chart_give_the_same_rights";
    let (Some(base), Some(chart)) = (base(test), chart(test, &[])) else { return };
    let sorted = |objects: &[Value]| {
        let mut rules: Vec<String> = rules(objects).iter().map(|rule| rule.to_string()).collect();
        rules.sort();
        rules
    };
    assert_eq!(sorted(&base), sorted(&chart));
    let pod = |objects: &[Value]| {
        let mut pod = one(objects, "StatefulSet")["spec"]["template"]["spec"].clone();
        // The base's map has a hash in its name, and its labels are fewer.
        pod["volumes"][0]["configMap"]["name"] = Value::Null;
        pod["affinity"] = Value::Null;
        pod
    };
    assert_eq!(pod(&base), pod(&chart));
}

#[test]
fn the_configuration_in_the_chart_is_one() {
    let test = "the_configuration_in_the_chart_is_one";
    let Some(chart) = chart(test, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in one(&chart, "ConfigMap")["data"].as_object().unwrap() {
        std::fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
    }
    let path = folder.path().join("sealgate.yaml");
    let settings = sealgate::settings::load(&path, &BTreeMap::new()).unwrap();
    assert_eq!(settings.gates[0].policies, [folder.path().join("policy.yaml")]);
}
