//! What is found in documents, as tables; and the corpus of hiding places.

mod corpus;

use super::site::{Action, Layer, Site};
use super::{FieldRule, Rules, SplitKeys, discover, settling_line};
use crate::manifest::{Limits, read};
use crate::reason::Problem;
use crate::snapshot::File;

fn find(text: &str, rules: &Rules) -> Result<Vec<Site>, Vec<Problem>> {
    let file = File { path: "a.yaml".into(), bytes: text.as_bytes().to_vec().into() };
    let documents = read(&file, &Limits::default())?;
    let mut sites = Vec::new();
    for document in &documents {
        sites.append(&mut discover(document, Some("given"), rules)?);
    }
    Ok(sites)
}

/// `path action layer reference`, one a site; `!` before a reference that is none.
fn told(text: &str, rules: &Rules) -> Vec<String> {
    let tell = |site: &Site| {
        let action = serde_json::to_value(site.action).unwrap();
        let layer = serde_json::to_value(site.layer).unwrap();
        let mark = if site.image.is_ok() { "" } else { "!" };
        format!("{} {} {} {mark}{}", site.path, action.as_str().unwrap(), layer.as_str().unwrap(), site.written)
    };
    find(text, rules).unwrap().iter().map(tell).collect()
}

fn check(table: &[(&str, &[&str])]) {
    for (text, expected) in table {
        assert_eq!(told(text, &Rules::default()), *expected, "{text}");
    }
}

#[test]
fn the_pod_shape_is_found_in_any_kind() {
    check(&[
        (
            "{apiVersion: v1, kind: Pod, spec: {initContainers: [{image: a}], containers: [{image: b}, {image: c}], ephemeralContainers: [{image: d}], volumes: [{image: {reference: e}}]}}",
            &[
                "spec.initContainers[0].image pin pod a",
                "spec.containers[0].image pin pod b",
                "spec.containers[1].image pin pod c",
                "spec.ephemeralContainers[0].image pin pod d",
                "spec.volumes[0].image.reference pin pod e",
            ],
        ),
        (
            "{apiVersion: batch/v1, kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: a:1}]}}}}}}",
            &["spec.jobTemplate.spec.template.spec.containers[0].image pin pod a:1"],
        ),
        (
            "{apiVersion: v1, kind: PodTemplate, template: {spec: {containers: [{image: a}]}}}",
            &["template.spec.containers[0].image pin pod a"],
        ),
        (
            "{apiVersion: x.io/v1, kind: Odd, any: {where: [{containers: [{image: a}]}]}}",
            &["any.where[0].containers[0].image pin pod a"],
        ),
        (
            "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, spec: {containers: [{image: a}]}}]}]}",
            &["items[0].items[0].spec.containers[0].image pin pod a"],
        ),
    ]);
}

#[test]
fn a_workload_without_an_image_is_refused() {
    check(&[
        ("{apiVersion: v1, kind: Pod, spec: {containers: [{name: a}]}}", &["spec.containers[0] pin pod !"]),
        ("{apiVersion: v1, kind: Pod, spec: {containers: []}}", &["spec pin pod !"]),
        ("{apiVersion: apps/v1, kind: Deployment}", &[" pin pod !"]),
        ("{apiVersion: v1, kind: Pod, spec: {containers: [{image: 123}]}}", &["spec.containers[0].image pin pod !123"]),
        (
            "{apiVersion: v1, kind: Pod, spec: {containers: [{image: ' a'}, {image: {a: b}}]}}",
            &["spec.containers[0].image pin pod ! a", "spec.containers[1].image pin pod !(a mapping)"],
        ),
    ]);
}

#[test]
fn known_kinds_are_found_by_the_catalogue() {
    check(&[
        (
            "{apiVersion: tekton.dev/v1, kind: Task, spec: {steps: [{image: a}, {image: $(params.x)}]}}",
            &["spec.steps[0].image pin catalogue a", "spec.steps[1].image pin catalogue !$(params.x)"],
        ),
        (
            "{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, spec: {source: {registry: {url: 'docker://r.io/a:1'}}}}",
            &["spec.source.registry.url pin catalogue r.io/a:1"],
        ),
        (
            "{apiVersion: extensions.istio.io/v1alpha1, kind: WasmPlugin, spec: {url: 'oci://r.io/a:1'}}",
            &["spec.url pin catalogue r.io/a:1"],
        ),
        (
            "{apiVersion: operator.victoriametrics.com/v1beta1, kind: VMSingle, spec: {image: {repository: r.io/a, tag: v1}}}",
            &["spec.image.tag pin catalogue r.io/a:v1"],
        ),
        (
            "{apiVersion: awx.ansible.com/v1beta1, kind: AWX, spec: {image: r.io/awx, image_version: '1', redis_image: r.io/redis}}",
            &["spec.image_version verify catalogue r.io/awx:1", "spec.redis_image verify catalogue r.io/redis"],
        ),
        (
            "{apiVersion: nvidia.com/v1, kind: ClusterPolicy, spec: {driver: {repository: nvcr.io/n, image: driver, version: '5'}}}",
            &["spec.driver.version verify catalogue nvcr.io/n/driver:5"],
        ),
        (
            "{apiVersion: v1, kind: Namespace, metadata: {annotations: {config.linkerd.io/proxy-image: r.io/p, config.linkerd.io/proxy-version: v1}}}",
            &["metadata.annotations[\"config.linkerd.io/proxy-image\"] verify catalogue r.io/p:v1"],
        ),
        (
            "{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, spec: {sourceRef: {name: x}}}",
            &["spec.sourceRef.name unclassified catalogue x"],
        ),
        (
            "{apiVersion: argoproj.io/v1alpha1, kind: Application, spec: {}}",
            &["kind unclassified catalogue !Application"],
        ),
    ]);
}

#[test]
fn traps_are_no_images() {
    check(&[
        (
            "{apiVersion: v1, kind: PersistentVolume, spec: {rbd: {image: disk}}}",
            &["spec.rbd.image ignore catalogue disk"],
        ),
        ("{apiVersion: x/v1, kind: Widget, status: {containerStatuses: [{image: a}]}, spec: {}}", &[]),
        (
            "{apiVersion: kyverno.io/v1, kind: Policy, spec: {rules: [{verifyImages: [{imageReferences: [ghcr.io/a]}]}]}}",
            &["spec.rules[0].verifyImages[0].imageReferences[0] ignore catalogue ghcr.io/a"],
        ),
        (
            "{apiVersion: x/v1, kind: Widget, spec: {imagePullPolicy: always, imagePullSecrets: [{name: a/b}], imageURL: 'https://a/b.png', imageFeatures: layering}}",
            &[],
        ),
    ]);
}

#[test]
fn what_looks_like_an_image_and_is_unknown_is_unclassified() {
    check(&[
        (
            "{apiVersion: x/v1, kind: Widget, spec: {image: a, workerImage: b:1, images: [c], imageRef: {name: d}}}",
            &[
                "spec.image unclassified unclassified a",
                "spec.workerImage unclassified unclassified b:1",
                "spec.images[0] unclassified unclassified c",
                "spec.imageRef.name unclassified unclassified d",
            ],
        ),
        (
            "{apiVersion: x/v1, kind: Widget, spec: {image: {repository: r.io/a, tag: '1'}, env: [{name: RELATED_IMAGE, value: r.io/b}], args: [--image=r.io/c]}}",
            &[
                "spec.image.repository unclassified unclassified r.io/a:1",
                "spec.env[0].value unclassified unclassified r.io/b",
                "spec.args[0] unclassified unclassified r.io/c",
            ],
        ),
    ]);
}

#[test]
fn the_settling_line_settles() {
    let text =
        "{apiVersion: v1, kind: List, items: [{apiVersion: x.io/v1, kind: Widget, spec: {'a.b': {image: r.io/a}}}]}";
    let site = find(text, &Rules::default()).unwrap().remove(0);
    let line = settling_line(&site);
    assert_eq!(line, r#"- {group: "x.io", kind: "Widget", path: "spec[\"a.b\"].image", action: pin}"#);
    let rule = FieldRule::new("x.io", "Widget", r#"spec["a.b"].image"#, Action::Pin).unwrap();
    let rules = Rules { fields: vec![rule], ..Rules::default() };
    let settled = find(text, &rules).unwrap().remove(0);
    assert_eq!((settled.action, settled.layer), (Action::Pin, Layer::Rule));
}

#[test]
fn rules_know_references_in_parts_and_say_why() {
    let keys = SplitKeys {
        registry: Some("host".to_owned()),
        repository: "repo".to_owned(),
        name: None,
        tag: Some("version".to_owned()),
        digest: Some("sha".to_owned()),
    };
    let rule = |path: &str, action| FieldRule::new("x.io", "Widget", path, action).unwrap();
    let rules = Rules {
        fields: vec![
            rule("spec.parts[*]", Action::Pin).in_parts(keys.clone()).unwrap(),
            rule("spec.out", Action::Ignore).because("a push target"),
        ],
        ..Rules::default()
    };
    let sha = "a".repeat(64);
    let text = format!(
        "{{apiVersion: x.io/v1, kind: Widget, spec: {{parts: [{{host: r.io, repo: a, version: v1}}, {{repo: r.io/b, sha: {sha}}}], out: {{image: r.io/c}}}}}}"
    );
    assert_eq!(
        told(&text, &rules),
        [
            "spec.parts[0].version pin rule r.io/a:v1".to_owned(),
            format!("spec.parts[1].repo pin rule r.io/b@sha256:{sha}"),
            "spec.out.image ignore rule r.io/c".to_owned(),
        ]
    );
    let reasons: Vec<Option<String>> =
        find(&text, &rules).unwrap().iter().map(|site| site.reason.as_deref().map(str::to_owned)).collect();
    assert_eq!(reasons, [None, None, Some("a push target".to_owned())]);
    assert!(rule("data.x(yaml).image", Action::Pin).in_parts(keys).is_err());
}

#[test]
fn what_names_a_digest_is_seen_under_any_name() {
    let sha = "a".repeat(64);
    let widget = |spec: &str| format!("{{apiVersion: x.io/v1, kind: Widget, spec: {{{spec}}}}}").replace("SHA", &sha);
    let table = [
        ("runtime: 'r.io/a@sha256:SHA'", 1),
        ("runtime: 'a:1@sha256:SHA'", 1),
        ("runtime: 'docker://r.io/a@sha256:SHA'", 1),
        ("args: ['--base=r.io/a@sha256:SHA', 'r.io/b@sha256:SHA']", 2),
        ("env: [{name: BASE, value: 'r.io/a@sha256:SHA'}]", 1),
        ("runtime: 'r.io/*@sha256:SHA'", 0),
        ("runtime: 'see r.io/a@sha256:SHA'", 0),
        ("runtime: 'sha256:SHA'", 0),
        ("runtime: 'r.io/a@sha256:short'", 0),
        ("runtime: 'r.io/a:1'", 0),
    ];
    for (spec, count) in table {
        let sites = find(&widget(spec), &Rules::default()).unwrap();
        assert_eq!(sites.len(), count, "{spec}");
        assert!(sites.iter().all(|site| site.action == Action::Unclassified), "{spec}");
    }
}

#[test]
fn rules_lead_into_texts_and_leave_out_what_they_name() {
    let rule = |path: &str, action| FieldRule::new("", "ConfigMap", path, action).unwrap();
    let rules = Rules {
        fields: vec![
            rule(r#"data["a.yaml"](yaml).x[*].image"#, Action::Pin),
            rule("data.j(json).image", Action::Verify),
            rule("data.skip", Action::Ignore),
        ],
        ..Rules::default()
    };
    let text = "apiVersion: v1\nkind: ConfigMap\ndata:\n  a.yaml: |\n    x:\n    - image: r.io/a:1\n    - image: b\n  j: '{\"image\": \"c\"}'\n  skip: {image: d}\n";
    assert_eq!(
        told(text, &rules),
        [
            "data[\"a.yaml\"](yaml).x[0].image pin rule r.io/a:1",
            "data[\"a.yaml\"](yaml).x[1].image pin rule b",
            "data.j(json).image verify rule c",
            "data.skip.image ignore rule d",
        ]
    );
    assert!(find("{apiVersion: v1, kind: ConfigMap, data: {j: '{'}}", &rules).is_err());
    assert!(find("{apiVersion: v1, kind: ConfigMap, data: {j: 3}}", &rules).is_err());
}
