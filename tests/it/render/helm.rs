//! Charts: which are rendered, with what, and where their images stand.

use serde_json::Value;

use super::{bin, images, images_with, world};

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n  namespace: {{ .Release.Namespace }}\n  annotations: {kube: \"{{ .Capabilities.KubeVersion.Version }}\", api: '{{ .Capabilities.APIVersions.Has \"example.com/v1\" }}'}\nspec:\n  containers:\n  - name: web\n    image: {{ .Values.image.repository }}:{{ .Values.image.tag }}\n";
const VALUES: &str = "image:\n  repository: registry.example.com/web\n  tag: \"1\"\n";

fn helm() -> tempfile::TempDir {
    bin(Some(("TEST_HELM", "helm")))
}

fn references(told: &Value) -> Vec<&str> {
    told["sites"].as_array().unwrap().iter().map(|site| site["reference"].as_str().unwrap()).collect()
}

fn chart() -> Vec<(&'static str, &'static str)> {
    vec![("web/Chart.yaml", CHART), ("web/values.yaml", VALUES), ("web/templates/pod.yaml", TEMPLATE)]
}

#[test]
fn a_chart_is_rendered_and_its_image_traced_to_the_values() {
    let world = world(&[chart(), vec![("web/templates/NOTES.txt", "hello"), ("web/.helmignore", "*.bak\n")]].concat());
    let told = images(world.path(), helm().path());
    assert_eq!(told["errors"], Value::Array(Vec::new()), "{told:#}");
    assert_eq!(references(&told), ["registry.example.com/web:1"]);
    let site = &told["sites"][0];
    assert_eq!((&site["file"], &site["line"], &site["column"]), (&"web/values.yaml".into(), &2.into(), &15.into()));
    assert_eq!(site["object"]["name"], "web");
    assert_eq!(told["rendered"][0]["renderer"], "helm", "{told:#}");
    assert!(["cut", "open"].contains(&told["rendered"][0]["network"].as_str().unwrap()));
}

#[test]
fn what_was_typed_is_what_templates_see() {
    let world = world(&[chart(), vec![("prod.txt", "image: {tag: '2'}\n")]].concat());
    let typed = [
        "--values",
        "prod.txt",
        "--release",
        "shop",
        "--kube-version",
        "1.31.0",
        "--api-versions",
        "example.com/v1",
        "--namespace",
        "prod",
    ];
    let told = images_with(world.path(), helm().path(), &typed);
    assert_eq!(references(&told), ["registry.example.com/web:2"], "{told:#}");
    let object = &told["sites"][0]["object"];
    assert_eq!((&object["name"], &object["namespace"]), (&"shop".into(), &"prod".into()));
}

#[test]
fn an_image_written_in_a_template_is_traced_to_the_template() {
    let sub = "apiVersion: v1\nkind: Pod\nmetadata: {name: sub}\nspec:\n  containers:\n  - name: a\n    image: {{ printf \"%s/%s\" \"registry.example.com\" \"sub:3\" }}\n";
    let more = vec![
        ("web/charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 0.1.0\n"),
        ("web/charts/sub/templates/pod.yaml", sub),
    ];
    let told = images(world(&[chart(), more].concat()).path(), helm().path());
    assert_eq!(told["errors"], Value::Array(Vec::new()), "{told:#}");
    let sites = told["sites"].as_array().unwrap();
    let site = sites.iter().find(|site| site["reference"] == "registry.example.com/sub:3").unwrap();
    assert_eq!((&site["file"], &site["line"]), (&"web/charts/sub/templates/pod.yaml".into(), &7.into()), "{told:#}");
    assert_eq!(sites.len(), 2, "the sub-chart is rendered once, as a part: {told:#}");
}

#[test]
fn resources_of_crds_are_rendered_and_tests_are_not() {
    let crd = "apiVersion: v1\nkind: Pod\nmetadata: {name: crd}\nspec: {containers: [{name: a, image: crd:1}]}\n";
    let hook = "apiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: HOOK}}\nspec: {containers: [{name: a, image: hook:1}]}\n";
    let (install, test) =
        (hook.replace("HOOK", "pre-install").replace("hook:", "install:"), hook.replace("HOOK", "test"));
    let more = vec![
        ("web/crds/a.yaml", crd),
        ("web/templates/i.yaml", install.as_str()),
        ("web/templates/t.yaml", test.as_str()),
    ];
    let told = images(world(&[chart(), more].concat()).path(), helm().path());
    let mut found = references(&told);
    found.sort_unstable();
    assert_eq!(found, ["crd:1", "install:1", "registry.example.com/web:1"], "{told:#}");
}

#[test]
fn what_cannot_be_rendered_is_one_error_at_its_file() {
    let dependency =
        format!("{CHART}dependencies:\n- {{name: redis, version: 1.x, repository: \"https://example.com\"}}\n");
    let table: [(&str, &str, bool); 5] = [
        ("web/Chart.yaml", &dependency, true),
        ("web/templates/pod.yaml", "{{ .Values.nowhere.image }}", true),
        ("web/templates/pod.yaml", "{{ required \"say which\" .Values.nothing }}", true),
        ("web/values.schema.json", "{\"required\": [\"other\"]}", true),
        ("web/values.yaml", VALUES, false),
    ];
    for (path, text, installed) in table {
        let world = world(&[chart(), vec![(path, text)]].concat());
        let bin = if installed { helm() } else { bin(None) };
        let told = images(world.path(), bin.path());
        let errors = told["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{path}: {told:#}");
        assert_eq!((&errors[0]["code"], &errors[0]["file"]), (&"unsupported-file".into(), &"web/Chart.yaml".into()));
        assert_eq!(references(&told), [""; 0], "{told:#}");
    }
}

#[test]
fn a_folder_for_two_renderers_needs_a_word() {
    let world = world(
        &[chart(), vec![("web/kustomization.yaml", "resources: [a.yaml]\n"), ("web/a.yaml", super::POD)]].concat(),
    );
    let told = images(world.path(), helm().path());
    assert_eq!(told["errors"].as_array().unwrap().len(), 1, "{told:#}");
    let told = images_with(world.path(), helm().path(), &["--renderer", "helm"]);
    assert_eq!(told["errors"], Value::Array(Vec::new()), "{told:#}");
    assert_eq!(told["rendered"][0]["renderer"], "helm");
}
