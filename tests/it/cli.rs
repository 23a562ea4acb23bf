//! The command line: exit codes, the forms of reports, and which hosts are asked.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::process;
use crate::support::registry_server::RegistryServer;
use crate::support::world::{World, errors, gate, good, keys, pod, policy, reasons, registry, unsigned};

/// A host that must not be asked: it counts who comes.
struct Trap {
    host: String,
    visits: Arc<AtomicUsize>,
}

impl Trap {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let visits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&visits);
        std::thread::spawn(move || {
            for visitor in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                let _first = visitor.and_then(|mut visitor| visitor.read(&mut [0; 64]));
            }
        });
        Self { host, visits }
    }

    #[track_caller]
    fn untouched(&self, what: &str) {
        assert_eq!(self.visits.load(Ordering::SeqCst), 0, "{what}: a host was asked that nobody named");
    }
}

#[track_caller]
fn check(world: &World, paths: &[&str]) -> process::Done {
    world.run(&[&["check", "--policy", "policy.yaml", "--output", "json"], paths].concat())
}

/// A host on loopback where nothing listens.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn exit_codes_follow_the_worst_of_what_was_found() {
    let world = World::new();
    let dead = silent();
    let text = policy("{name: ci, key: {file: ci.pub}}");
    let text = text.replace("registries: [", &format!("registries: ['{dead}', "));
    world.write("policy.yaml", &text.replace("images: [", &format!("images: ['{dead}/**', ")));
    world.write("good.yaml", &pod("a", &good().tagged()));
    world.write("bad.yaml", &pod("b", &unsigned().tagged()));
    world.write("silent.yaml", &pod("c", &format!("{dead}/app/a:v1")));
    world.write("broken.yaml", "a: [\n");
    world.write("nothing.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    let quick = ["--timeout", "2s"];
    for (paths, code, decision) in [
        (&["good.yaml"][..], 0, json!("pass")),
        (&["nothing.yaml"], 0, json!("pass")),
        (&["good.yaml", "bad.yaml"], 1, json!("refuse")),
        (&["good.yaml", "silent.yaml"], 3, json!("undecided")),
        (&["bad.yaml", "silent.yaml"], 1, json!("refuse")),
        (&["good.yaml", "broken.yaml"], 2, Value::Null),
        (&["bad.yaml", "silent.yaml", "broken.yaml"], 2, Value::Null),
        (&["missing.yaml"], 2, Value::Null),
    ] {
        let done = check(&world, &[paths, &quick].concat()).exits(code);
        assert_eq!(done.json()["decision"], decision, "{paths:?}");
    }
}

#[test]
fn the_report_has_the_keys_of_the_contract() {
    let world = World::new();
    world.write("m/a.yaml", &pod("web", &unsigned().tagged()));
    world.write("m/b.yaml", &pod("good", &good().tagged()));
    let report = check(&world, &["m"]).exits(1).json();
    let top = ["schema", "gate", "mode", "revision", "decision", "policies", "images", "errors", "summary"];
    assert_eq!(keys(&report), top);
    assert_eq!(report["schema"], "sealgate.dev/report/v1");
    assert_eq!((&report["gate"], &report["mode"], &report["revision"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(keys(&report["policies"][0]), ["name", "digest"]);
    assert_eq!(report["policies"][0]["name"], "production");
    assert_eq!(keys(&report["summary"]), ["images", "verified", "refused", "undecided"]);
    let find =
        |verdict: &str| report["images"].as_array().unwrap().iter().find(|image| image["verdict"] == verdict).unwrap();
    let refused = find("refused");
    let image =
        ["reference", "name", "digest", "pinned", "verdict", "basis", "rules", "reasons", "candidates", "sites"];
    assert_eq!(keys(refused), image);
    assert_eq!(refused["name"], format!("{}/app/unsigned", registry().host));
    assert_eq!((&refused["basis"], &refused["rules"]), (&Value::Null, &json!(["first-party"])));
    assert_eq!(keys(&refused["reasons"][0]), ["code", "rule", "message", "help"]);
    assert_eq!(refused["reasons"][0]["rule"], "first-party");
    let site = &refused["sites"][0];
    assert_eq!(keys(site), ["file", "document", "line", "column", "path", "action", "object"]);
    assert_eq!(
        *site,
        json!({"file": "m/a.yaml", "document": 0, "line": 7, "column": 12, "path": "spec.containers[0].image",
            "action": "pin", "object": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web"}})
    );
    let candidate = &find("verified")["candidates"][0];
    assert_eq!(keys(candidate), ["kind", "digest", "signer", "failed", "message"]);
    assert_eq!((&candidate["kind"], &candidate["failed"]), (&json!("cosign-signature"), &Value::Null));
}

#[test]
fn a_broken_file_is_told_with_its_place() {
    let world = World::new();
    world.write("good.yaml", &pod("a", &good().tagged()));
    world.write("broken.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  a: 1\n  a: 2\n");
    let report = check(&world, &["good.yaml", "broken.yaml"]).exits(2).json();
    let error = &report["errors"][0];
    assert_eq!(keys(error), ["code", "file", "line", "column", "message", "help"]);
    assert_eq!(
        (&error["code"], &error["file"], &error["line"], &error["column"]),
        (&json!("yaml-invalid"), &json!("broken.yaml"), &json!(6), &json!(3))
    );
    let text = world.run(&["check", "broken.yaml", "--policy", "policy.yaml"]).exits(2);
    assert!(text.stdout.contains("broken.yaml:6:3"), "{text:?}");
}

#[test]
fn standard_input_is_checked_under_the_name_of_a_dash() {
    let world = World::new();
    let mut command = world.command(&["check", "-", "--policy", "policy.yaml", "--output", "json"]);
    let done = process::run_with(&mut command, pod("a", &unsigned().tagged()).as_bytes()).exits(1);
    assert_eq!(done.json()["images"][0]["sites"][0]["file"], "-");
}

#[test]
fn a_reference_that_cannot_be_used_is_refused_and_no_bad_usage() {
    let world = World::new();
    let report = world.verify("not a reference").exits(1).json();
    assert_eq!(
        (reasons(&report), &report["images"][0]["digest"]),
        (vec!["invalid-reference".to_owned()], &Value::Null)
    );
    world.write("a.yaml", &pod("a", "'UPPER/case:v1'"));
    assert_eq!(reasons(&check(&world, &["a.yaml"]).exits(1).json()), ["invalid-reference"]);
}

#[test]
fn an_image_that_is_not_there_is_refused() {
    let world = World::new();
    let image = good();
    for reference in [
        format!("{}/app/nothing:v1", registry().host),
        format!("{}/{}:v9", registry().host, image.repository),
        format!("{}/{}@sha256:{}", registry().host, image.repository, "0".repeat(64)),
    ] {
        assert_eq!(reasons(&world.verify(&reference).exits(1).json()), ["image-not-found"], "{reference}");
    }
}

#[test]
fn exactly_one_way_to_say_the_policy() {
    let world = World::new();
    world.write("a.yaml", &pod("a", &good().tagged()));
    let ways: [&[&str]; 3] =
        [&["--policy", "policy.yaml"], &["--key", "ci.pub"], &["--config", "sealgate.yaml", "--gate", "production"]];
    for way in ways {
        world.run(&[&["check", "a.yaml"], way].concat()).exits(0);
        world.run(&[&["verify", &good().tagged()], way].concat()).exits(0);
    }
    let bad: [&[&str]; 8] = [
        &[],
        &["--policy", "policy.yaml", "--key", "ci.pub"],
        &["--policy", "policy.yaml", "--config", "sealgate.yaml", "--gate", "production"],
        &["--key", "ci.pub", "--config", "sealgate.yaml", "--gate", "production"],
        &["--config", "sealgate.yaml"],
        &["--gate", "production"],
        &["--config", "sealgate.yaml", "--gate", "none"],
        &["--policy", "policy.yaml", "-a", "stage=release"],
    ];
    for arguments in bad {
        for command in [&["check", "a.yaml"][..], &["pin", "a.yaml"], &["verify", "example.com/a:1"]] {
            let done = world.run(&[command, arguments, &["--output", "json"]].concat()).exits(2);
            let json = if command[0] == "pin" { &done.stderr } else { &done.stdout };
            let report: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {done:?}"));
            assert_eq!((errors(&report), &report["decision"]), (vec!["usage".to_owned()], &Value::Null));
        }
    }
}

#[test]
fn bad_usage_ends_with_2() {
    let world = World::new();
    for arguments in [
        &["check"][..],
        &["check", "a.yaml", "--no-such-flag"],
        &["no-such-command"],
        &["verify", "a:1", "--key", "missing.pub"],
        &["verify", "a:1", "--key", "policy.yaml"],
        &["verify", "a:1", "--policy", "policy.yaml", "--timeout", "soon"],
        &["verify", "a:1", "--policy", "policy.yaml", "--registry", "not a host"],
        &["verify", "a:1", "--policy", "policy.yaml", "--jobs", "many"],
        &["policy", "check"],
    ] {
        let done = world.run(arguments).exits(2);
        assert!(!(done.stdout + &done.stderr).is_empty(), "{arguments:?}");
    }
    for help in [&["--help"][..], &["check", "-h"], &["--version"], &["completions", "bash"]] {
        assert!(!world.run(help).exits(0).stdout.is_empty());
    }
}

#[test]
fn any_of_several_keys_is_enough() {
    let world = World::new();
    let image = good().tagged();
    world.run(&["verify", &image, "--key", "stranger.pub", "--key", "ci.pub"]).exits(0);
    world.run(&["verify", &image, "--key", "stranger.pub", "--key", "release.pub"]).exits(1);
}

#[test]
fn the_configuration_says_on_the_command_line_what_the_daemon_says() {
    let world = World::new();
    world.repository.commit(&[("a.yaml", &pod("a", &good().tagged())), ("b.yaml", &pod("b", &unsigned().tagged()))]);
    let daemon = world.once().exits(1).json();
    let mut command = process::command(&world.repository.path);
    let arguments = ["check", ".", "--config", "../sealgate.yaml", "--gate", "production", "--output", "json"];
    let typed = process::run(command.args(arguments)).exits(1).json();
    assert_eq!(typed["policies"], daemon["policies"]);
    assert_eq!(typed["summary"], daemon["summary"]);
    let verdicts = |report: &Value| {
        let images = report["images"].as_array().unwrap().iter();
        images
            .map(|image| {
                [&image["reference"], &image["digest"], &image["verdict"], &image["reasons"]].map(Clone::clone)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&typed), verdicts(&daemon));
}

#[test]
fn hosts_that_nobody_named_are_never_asked() {
    let trap = Trap::new();
    let world = World::new();
    world.write("a.yaml", &pod("a", &format!("{}/app/a:v1", trap.host)));
    // Not on the list of trusted registries.
    let report = check(&world, &["a.yaml"]).exits(1).json();
    assert!(reasons(&report).contains(&"untrusted-registry".to_owned()), "{report:#}");
    trap.untouched("an untrusted registry");
    // No rule names it.
    let list = format!("registries: ['{}', ", trap.host);
    world.write("policy.yaml", &policy("{name: ci, key: {file: ci.pub}}").replace("registries: [", &list));
    assert_eq!(reasons(&check(&world, &["a.yaml"]).exits(1).json()), ["no-matching-rule"]);
    trap.untouched("an image without a rule");
    // A wildcard names no host to the daemon, not even on loopback.
    world.write(
        "policy.yaml",
        "apiVersion: sealgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: p}\nspec:\n  rules:\n  - {name: any, images: ['**'], allowUnsigned: true}\n",
    );
    world.repository.commit(&[("a.yaml", &pod("a", &format!("{}/app/a:v1", trap.host)))]);
    let done = world.once();
    assert_ne!(done.code, 0, "{done:?}");
    trap.untouched("a wildcard");
    // `images` asks nobody.
    world.run(&["images", "a.yaml"]).exits(0);
    trap.untouched("images");
}

#[test]
fn a_host_that_only_a_manifest_names_is_not_asked_under_a_key() {
    let world = World::new();
    world.write("a.yaml", &pod("a", "registry.invalid/app/a:v1"));
    let done = world.run(&["check", "a.yaml", "--key", "ci.pub", "--output", "json", "--timeout", "2s"]);
    assert_ne!(done.code, 0);
    let message = done.json()["images"][0]["reasons"][0].to_string();
    assert!(message.contains("--registry") || message.contains("not"), "{message}");
}

#[test]
fn images_lists_every_place_offline() {
    let world = World::new();
    world.write("a.yaml", &pod("web", "nginx:1.27"));
    world.write("b.yaml", &pod("bad", "'BAD ref'"));
    world.write("c.yaml", "apiVersion: example.com/v1\nkind: Odd\nmetadata: {name: o}\nspec:\n  sidecarImage: registry.example.com/a/b:1.2\n");
    let done = world.run(&["images", "a.yaml", "b.yaml", "c.yaml", "--output", "json"]).exits(0);
    let listed = done.json();
    assert_eq!(keys(&listed), ["schema", "sites", "unclassified", "errors"]);
    assert_eq!(listed["schema"], "sealgate.dev/images/v1");
    let site = &listed["sites"][0];
    assert_eq!(keys(site), ["reference", "layer", "file", "document", "line", "column", "path", "action", "object"]);
    assert_eq!((&site["reference"], &site["line"], &site["column"]), (&json!("nginx:1.27"), &json!(7), &json!(12)));
    assert_eq!(listed["sites"][1]["reference"], "BAD ref");
    assert_eq!(listed["unclassified"][0]["reference"], "registry.example.com/a/b:1.2");
    assert_eq!(listed["unclassified"][0]["action"], "unclassified");
    // A file that cannot be read: the rest is listed, then 2.
    world.write("d.yaml", "a: [\n");
    let listed = world.run(&["images", "a.yaml", "d.yaml", "missing.yaml", "--output", "json"]).exits(2).json();
    assert_eq!(listed["sites"].as_array().unwrap().len(), 1);
    let mut found = errors(&listed);
    found.sort();
    assert_eq!(found, ["file-unreadable", "yaml-invalid"]);
}

#[test]
fn an_unclassified_value_refuses_until_the_configuration_says_what_it_is() {
    let world = World::new();
    let odd = format!(
        "apiVersion: example.com/v1\nkind: Odd\nmetadata: {{name: o}}\nspec:\n  sidecarImage: {}\n",
        good().tagged()
    );
    world.write("c.yaml", &odd);
    let report = check(&world, &["c.yaml"]).exits(1).json();
    assert_eq!(reasons(&report), ["unclassified-field"]);
    assert_eq!(report["images"][0]["sites"][0]["action"], "unclassified");
    let settings = |fields: Value| {
        let file =
            json!({"listen": "127.0.0.1:0", "stateDir": "state", "gates": [gate("production")], "discovery": fields});
        world.write("sealgate.yaml", &file.to_string());
        world.run(&["check", "c.yaml", "--config", "sealgate.yaml", "--gate", "production", "--output", "json"])
    };
    let report = settings(
        json!({"fields": [{"group": "example.com", "kind": "Odd", "path": "spec.sidecarImage", "action": "pin"}]}),
    )
    .exits(0)
    .json();
    assert_eq!(report["images"][0]["pinned"], good().pinned());
    let report = settings(
        json!({"fields": [{"group": "example.com", "kind": "Odd", "path": "spec.sidecarImage", "action": "verify"}]}),
    )
    .exits(0)
    .json();
    assert_eq!((&report["images"][0]["pinned"], &report["images"][0]["verdict"]), (&Value::Null, &json!("verified")));
    assert_eq!(settings(json!({"unclassified": "ignore"})).exits(0).json()["summary"]["images"], 0);
    let report = settings(json!({"unclassified": "warn"})).exits(0).json();
    assert_eq!(report["images"][0]["sites"][0]["action"], "unclassified");
}

#[test]
fn loopback_by_name_may_speak_plain_http() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let server = RegistryServer::start(folder.path(), None);
    server.push("app/a", "v1", "a");
    // `localhost` is loopback; plain HTTP is tried where the port speaks no TLS.
    let name = server.host.replace("127.0.0.1", "localhost");
    let done = world.run(&["verify", &format!("{name}/app/a:v1"), "--key", "ci.pub", "--output", "json"]).exits(1);
    assert_eq!(reasons(&done.json()), ["no-signature"]);
}

#[test]
fn exclude_and_namespace_narrow_what_is_asked() {
    let world = World::new();
    world.write("m/a.yaml", &pod("a", &good().tagged()));
    world.write("m/skip/b.yaml", "a: [\n");
    check(&world, &["m", "--exclude", "m/skip/**"]).exits(0);
    let narrowed =
        policy("{name: ci, key: {file: ci.pub}}").replace("    signatures", "    namespaces: [prod-*]\n    signatures");
    world.write("policy.yaml", &narrowed);
    world.write("n.yaml", &pod("narrow", &good().tagged()).replace(", namespace: shop", ""));
    check(&world, &["n.yaml", "--namespace", "prod-a"]).exits(0);
    assert_eq!(reasons(&check(&world, &["n.yaml", "--namespace", "test"]).exits(1).json()), ["no-matching-rule"]);
}

#[test]
fn text_has_no_escapes_where_there_is_no_terminal() {
    let world = World::new();
    let done = world.run(&["verify", &unsigned().tagged(), "--policy", "policy.yaml"]).exits(1);
    assert!(!done.stdout.contains('\u{1b}') && done.stderr.is_empty(), "{done:?}");
    assert!(done.stdout.contains("no-signature") && done.stdout.contains("help:"), "{done:?}");
    let hostile = world.run(&["verify", "a\u{1b}[31m", "--policy", "policy.yaml"]).exits(1);
    assert!(!hostile.stdout.contains('\u{1b}'));
}
