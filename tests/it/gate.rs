//! One reconcile, from a commit to the directory target: all or nothing, and the digest applied is the one verified.

use serde_json::{Value, json};

use crate::support::registry_server::{RegistryServer, digest};
use crate::support::signing::{Form, signing};
use crate::support::world::{
    Image, World, errors, gate, good, pod, policy, push, push_index, reasons, registry, signed, tree, unsigned,
};

#[test]
fn a_revision_of_every_form_is_applied_with_its_pins() {
    let world = World::new();
    let (index, _) = push_index("app/gate-index");
    let mut images = Form::ALL.map(signed).to_vec();
    images.push(index.signed(Form::Tag3, "ci"));
    for (number, image) in images.iter().enumerate() {
        world.repository.commit(&[(&format!("{number}.yaml"), &pod(&format!("p{number}"), &image.tagged()))]);
    }
    let report = world.once().exits(0).json();
    assert_eq!(
        (&report["decision"], &report["gate"], &report["mode"]),
        (&json!("pass"), &json!("production"), &json!("enforce"))
    );
    assert_eq!(report["revision"], world.repository.head());
    for (number, image) in images.iter().enumerate() {
        let applied = world.applied(&format!("{number}.yaml")).unwrap();
        assert_eq!(applied, pod(&format!("p{number}"), &image.pinned()));
    }
    assert_eq!(tree(&world.path("out")).len(), images.len());
    // The same from the command line, by the daemon's own word.
    let check = ["check", "repository", "--config", "sealgate.yaml", "--gate", "production", "--output", "json"];
    assert_eq!(world.run(&check).exits(0).json()["summary"]["verified"], images.len());
}

#[test]
fn one_unsigned_image_of_forty_one_keeps_everything_as_it_was() {
    let world = World::new();
    let shared = good();
    // Forty names of one signed digest: every one is resolved and verified.
    let names: Vec<Image> = (0..40)
        .map(|number| {
            let tag = format!("n{number}");
            registry().put_manifest(&shared.repository, &tag, &registry().manifest(&shared.repository, &shared.digest));
            Image { repository: format!("{}:{tag}", shared.repository), digest: shared.digest.clone() }
        })
        .collect();
    let files: Vec<(String, String)> = names
        .iter()
        .enumerate()
        .map(|(number, image)| {
            let reference = format!("{}/{}", registry().host, image.repository);
            (format!("app/{number:02}.yaml"), pod(&format!("p{number}"), &reference))
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let first = world.repository.commit(&files);
    world.once().exits(0);
    let before = tree(&world.path("out"));
    let link = std::fs::read_link(world.path("out")).unwrap();
    assert_eq!(before.len(), 40);

    let bad = "# the odd one\n---\n".to_owned() + &pod("bad", &unsigned().tagged());
    let changed = pod("p0", &shared.tagged());
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    let second =
        world.repository.commit(&[("app/bad.yaml", &bad), ("app/00.yaml", &changed), ("map.yaml", config_map)]);
    let report = world.once().exits(1).json();
    assert_eq!((&report["decision"], &report["revision"]), (&json!("refuse"), &json!(second)));
    assert_eq!(report["summary"], json!({"images": 41, "verified": 40, "refused": 1, "undecided": 0}));
    let refused = report["images"].as_array().unwrap().iter().find(|image| image["verdict"] == "refused").unwrap();
    let site = &refused["sites"][0];
    assert_eq!((&site["file"], &site["line"], &site["column"]), (&json!("app/bad.yaml"), &json!(9), &json!(12)));
    assert_eq!((&site["document"], &site["object"]["name"]), (&json!(0), &json!("bad")));
    assert_eq!(tree(&world.path("out")), before);
    assert_eq!(std::fs::read_link(world.path("out")).unwrap(), link);
    assert!(link.display().to_string().contains(&first));
    let text = world.run(&["run", "--config", "sealgate.yaml", "--once"]).exits(1);
    assert!(text.stdout.contains("app/bad.yaml:9:12"), "{text:?}");
}

#[test]
fn a_tag_that_moves_leaves_the_revision_its_pins() {
    let world = World::new();
    let image = push("app/moving").signed(Form::Tag2, "ci");
    world.repository.commit(&[("app.yaml", &pod("a", &image.tagged()))]);
    world.once().exits(0);
    let before = world.applied("app.yaml").unwrap();
    assert!(before.contains(&image.digest));
    // Also to an image that would pass.
    let moved = registry().push(&image.repository, "v1", "moved");
    signing().sign(Form::Tag2, "ci", &format!("{}/{}@{moved}", registry().host, image.repository), &[]);
    assert_eq!(world.once().exits(0).json()["images"][0]["digest"], image.digest);
    assert_eq!(world.applied("app.yaml").unwrap(), before);
    // Nor does losing the target change what the revision means.
    std::fs::remove_file(world.path("out")).unwrap();
    world.once().exits(0);
    assert_eq!(world.applied("app.yaml").unwrap(), before);
    // A new revision asks anew.
    world.repository.commit(&[("app.yaml", &pod("b", &image.tagged()))]);
    assert_eq!(world.once().exits(0).json()["images"][0]["digest"], moved);
    assert!(world.applied("app.yaml").unwrap().contains(&moved));
}

#[test]
fn a_refused_revision_keeps_its_pins_too() {
    let world = World::new();
    let image = push("app/late");
    world.repository.commit(&[("app.yaml", &pod("a", &image.tagged()))]);
    assert_eq!(reasons(&world.once().exits(1).json()), ["no-signature"]);
    let moved = registry().push(&image.repository, "v1", "moved");
    signing().sign(Form::Tag2, "ci", &format!("{}/{}@{moved}", registry().host, image.repository), &[]);
    let report = world.once().exits(1).json();
    assert_eq!(report["images"][0]["digest"], image.digest, "a tag was asked twice for one revision");
    let image = image.signed(Form::Tag2, "ci");
    world.once().exits(0);
    assert!(world.applied("app.yaml").unwrap().contains(&image.digest));
}

#[test]
fn a_file_that_cannot_be_read_refuses_the_whole_revision() {
    let fine = pod("a", &good().tagged());
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: 'ENC[x]'}\nsops: {mac: x}\n";
    let cases: &[(&str, &str, &str)] = &[
        ("broken.yaml", "a: [\n", "yaml-invalid"),
        ("twice.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nmetadata: {name: b}\n", "yaml-invalid"),
        ("values.yaml", "a: 1\n", "not-an-object"),
        ("kustomization.yaml", "resources: [https://git.example/x]\n", "unsupported-file"),
        ("Chart.yaml", "name: x\n", "unsupported-file"),
        ("secret.yaml", secret, "unsupported-file"),
        ("broken.json", "{\"a\": 1,}", "yaml-invalid"),
    ];
    for (name, text, code) in cases {
        let world = World::new();
        world.repository.commit(&[("app.yaml", &fine)]);
        world.once().exits(0);
        world.repository.commit(&[(name, text), ("other.yaml", &fine)]);
        let done = world.once();
        let report = done.json();
        assert_eq!(errors(&report)[0], *code, "{name}: {report:#}");
        assert_eq!(report["errors"][0]["file"], *name);
        assert_eq!(report["decision"], "refuse", "{name}");
        assert!(done.code == 1 || done.code == 2, "{name}: {done:?}");
        assert!(world.applied("other.yaml").is_none(), "{name}");
        assert_eq!(tree(&world.path("out")).len(), 1, "{name}");
    }
}

#[test]
fn an_unreachable_registry_leaves_undecided_and_the_release_where_it_is() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let server = RegistryServer::start(folder.path(), None);
    let host = server.host.clone();
    let digest = server.push("app/a", "v1", "a");
    signing().sign(Form::Tag2, "ci", &format!("{host}/app/a@{digest}"), &[]);
    world.write("policy.yaml", &policy("{name: ci, key: {file: ci.pub}}").replace(&registry().host, &host));
    world.repository.commit(&[("app.yaml", &pod("a", &format!("{host}/app/a:v1")))]);
    world.once().exits(0);
    let before = world.applied("app.yaml").unwrap();
    drop(server);
    let second = world.repository.commit(&[("app.yaml", &pod("b", &format!("{host}/app/b:v1")))]);
    let mut settings: Value = serde_json::from_slice(&std::fs::read(world.path("sealgate.yaml")).unwrap()).unwrap();
    settings["limits"] = json!({"imageTimeout": "2s"});
    world.write("sealgate.yaml", &settings.to_string());
    let report = world.once().exits(3).json();
    assert_eq!((&report["decision"], &report["revision"]), (&json!("undecided"), &json!(second)));
    let reasons = reasons(&report);
    assert!(reasons == ["registry-unavailable"] || reasons == ["timed-out"], "{reasons:?}");
    assert_eq!(world.applied("app.yaml").unwrap(), before);
}

#[test]
fn audit_decides_as_enforce_would_and_writes_nothing() {
    let world = World::new();
    let mut audit = gate("production");
    audit["mode"] = json!("audit");
    world.configure(&[audit]);
    world.repository.commit(&[("app.yaml", &pod("a", &good().tagged()))]);
    let before: Vec<_> = std::fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let report = world.once().exits(0).json();
    assert_eq!((&report["decision"], &report["mode"]), (&json!("pass"), &json!("audit")));
    let mut after: Vec<_> =
        std::fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    after.retain(|name| name != "state" && !before.contains(name));
    assert!(after.is_empty(), "audit wrote {after:?}");
    world.repository.commit(&[("app.yaml", &pod("a", &unsigned().tagged()))]);
    assert_eq!(reasons(&world.once().exits(1).json()), ["no-signature"]);
}

#[test]
fn what_left_the_repository_leaves_the_target_and_an_empty_path_prunes_nothing() {
    let world = World::new();
    world.repository.commit(&[("a.yaml", &pod("a", &good().tagged())), ("b.yaml", &pod("b", &good().tagged()))]);
    world.once().exits(0);
    world.repository.git(&["rm", "-q", "b.yaml"]);
    world.repository.commit(&[]);
    world.once().exits(0);
    assert_eq!(tree(&world.path("out")).into_keys().collect::<Vec<_>>(), ["a.yaml"]);
    world.repository.git(&["rm", "-q", "a.yaml"]);
    world.repository.commit(&[("README.md", "nothing to run\n")]);
    let done = world.once();
    assert_ne!(done.code, 0, "an empty path passed: {done:?}");
    assert!(world.applied("a.yaml").is_some());
    // A branch that is not there prunes nothing either.
    world.repository.git(&["checkout", "-q", "-b", "other"]);
    world.repository.git(&["branch", "-D", "main"]);
    let done = world.once().exits(3);
    assert_eq!(errors(&done.json()), ["source-unavailable"]);
    assert!(world.applied("a.yaml").is_some());
}

#[test]
fn a_real_folder_in_the_targets_place_is_left_alone() {
    let world = World::new();
    world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    std::fs::create_dir(world.path("out")).unwrap();
    std::fs::write(world.path("out/mine"), "mine").unwrap();
    let done = world.once().exits(2);
    assert!(done.stdout.contains("config-invalid") || done.stderr.contains("config-invalid"), "{done:?}");
    assert_eq!(std::fs::read_to_string(world.path("out/mine")).unwrap(), "mine");
}

#[test]
fn nothing_in_a_manifest_exempts_itself() {
    let world = World::new();
    let text = pod("a", &unsigned().tagged()).replace(
        "metadata: {name: a,",
        "metadata: {name: a, deletionTimestamp: '2020-01-01T00:00:00Z', labels: {sealgate.dev/ignore: 'true'}, annotations: {sealgate.dev/skip: 'true'},",
    );
    world.repository.commit(&[("ignore.yaml", &text)]);
    assert_eq!(reasons(&world.once().exits(1).json()), ["no-signature"]);
    assert!(!world.path("out").exists());
}

#[test]
fn of_two_gates_the_exit_code_is_the_worse_one() {
    let world = World::new();
    let mut second = gate("second");
    second["source"]["path"] = json!("bad");
    let mut first = gate("production");
    first["source"]["path"] = json!("good");
    world.configure(&[first, second]);
    world
        .repository
        .commit(&[("good/a.yaml", &pod("a", &good().tagged())), ("bad/a.yaml", &pod("a", &unsigned().tagged()))]);
    let done = world.run(&["run", "--config", "sealgate.yaml", "--once"]).exits(1);
    assert!(done.stdout.contains("bad/a.yaml:7:12"), "{done:?}");
    assert!(world.applied("good/a.yaml").is_some() || world.applied("a.yaml").is_some());
    assert!(!world.path("out-second").exists());
}

/// A world whose images lie in a registry of its own, which a test may end.
fn with_own_registry(world: &World) -> (RegistryServer, tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let server = RegistryServer::start(folder.path(), None);
    let host = server.host.clone();
    let digest = server.push("app/a", "v1", "a");
    signing().sign(Form::Tag2, "ci", &format!("{host}/app/a@{digest}"), &[]);
    world.write("policy.yaml", &policy("{name: ci, key: {file: ci.pub}}").replace(&registry().host, &host));
    world.repository.commit(&[("app.yaml", &pod("a", &format!("{host}/app/a:v1")))]);
    (server, folder, host)
}

#[test]
fn what_was_verified_is_decided_again_from_kept_evidence_without_the_registry() {
    let world = World::new();
    let (server, _folder, _) = with_own_registry(&world);
    world.once().exits(0);
    let before = world.applied("app.yaml").unwrap();
    drop(server);
    // A new process, a target that lost everything, and no registry.
    std::fs::remove_file(world.path("out")).unwrap();
    std::fs::remove_dir_all(world.path(".out.releases")).unwrap();
    assert_eq!(world.once().exits(0).json()["decision"], "pass");
    assert_eq!(world.applied("app.yaml").unwrap(), before);
    // Kept evidence proves nothing to another policy.
    let other = std::fs::read_to_string(world.path("policy.yaml")).unwrap().replace("ci.pub", "release.pub");
    world.write("policy.yaml", &other);
    assert_ne!(world.once().code, 0);
}

#[test]
fn kept_evidence_that_was_changed_on_the_disk_proves_nothing() {
    let world = World::new();
    let (server, _folder, _) = with_own_registry(&world);
    world.once().exits(0);
    drop(server);
    for entry in std::fs::read_dir(world.path("state/evidence")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&entry).unwrap();
        // A payload that its digest no longer fits, in a file that is whole by its own word.
        let (_, body) = text.split_once('\n').unwrap();
        assert!(body.contains("\"base64\":\"eyJ"));
        let body = body.replace("\"base64\":\"eyJ", "\"base64\":\"eyK");
        let changed = format!("{}\n{body}", digest(body.as_bytes()));
        std::fs::write(&entry, changed).unwrap();
    }
    let mut settings: Value = serde_json::from_slice(&std::fs::read(world.path("sealgate.yaml")).unwrap()).unwrap();
    settings["limits"] = json!({"imageTimeout": "2s"});
    world.write("sealgate.yaml", &settings.to_string());
    assert_eq!(world.once().exits(3).json()["decision"], "undecided");
}

#[test]
fn a_gate_at_rest_looks_at_nothing() {
    let world = World::new();
    let mut resting = gate("production");
    resting["suspend"] = json!(true);
    world.configure(&[resting]);
    world.repository.commit(&[("a.yaml", &pod("a", &unsigned().tagged()))]);
    assert_eq!(world.once().exits(0).json()["decision"], Value::Null);
    assert!(!world.path("out").exists());
}

#[test]
fn more_images_than_the_limit_are_not_looked_at() {
    let world = World::new();
    world.repository.commit(&[("a.yaml", &pod("a", &good().tagged())), ("b.yaml", &pod("b", &good().pinned()))]);
    let mut settings: Value = serde_json::from_slice(&std::fs::read(world.path("sealgate.yaml")).unwrap()).unwrap();
    for limits in [json!({"images": 1}), json!({"files": 1}), json!({"fileBytes": "20B"})] {
        settings["limits"] = limits.clone();
        world.write("sealgate.yaml", &settings.to_string());
        let done = world.once();
        assert!(done.code == 1 || done.code == 2, "{limits}: {done:?}");
        assert!(errors(&done.json()).contains(&"limit-exceeded".to_owned()), "{limits}: {done:?}");
        assert!(!world.path("out").exists(), "{limits}");
    }
}
