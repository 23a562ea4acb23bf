//! What the binary makes of signatures by real cosigns: who is let through, and who is not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::registry_server::{OCI_CONFIG, OCI_MANIFEST, SIGNATURE, SIMPLE_SIGNING, descriptor, signature_tag};
use crate::support::signing::{Form, signing};
use crate::support::world::{
    Image, World, errors, good, policy, policy_with, push, push_index, reasons, registry, signed, unsigned,
};

/// `verify` says no, for this reason alone.
#[track_caller]
fn refused(world: &World, image: &Image, reason: &str) -> Value {
    let report = world.verify(&image.tagged()).exits(1).json();
    assert_eq!(reasons(&report), [reason], "{report:#}");
    assert_eq!(report["images"][0]["verdict"], "refused");
    assert_eq!(report["decision"], "refuse");
    report
}

#[track_caller]
fn verified(world: &World, image: &Image) -> Value {
    let report = world.verify(&image.tagged()).exits(0).json();
    assert_eq!(report["images"][0]["verdict"], "verified", "{report:#}");
    assert_eq!(report["images"][0]["basis"], "proof");
    assert_eq!(report["images"][0]["digest"], image.digest);
    assert_eq!(report["images"][0]["pinned"], image.pinned());
    report
}

#[test]
fn every_form_of_both_cosigns_is_verified() {
    let world = World::new();
    for form in Form::ALL {
        verified(&world, &signed(form));
    }
}

#[test]
fn an_index_is_verified_by_its_own_signature_and_pinned_as_an_index() {
    let world = World::new();
    for form in [Form::Tag2, Form::Bundle] {
        let (index, _) = push_index(&format!("app/index-{form:?}").to_lowercase());
        verified(&world, &index.signed(form, "ci"));
    }
}

#[test]
fn a_signature_on_the_index_does_not_cover_its_leaves() {
    let world = World::new();
    for form in [Form::Tag2, Form::Bundle] {
        let (index, [leaf, _]) = push_index(&format!("app/leaf-{form:?}").to_lowercase());
        let _index = index.signed(form, "ci");
        let report = world.verify(&leaf.by_digest()).exits(1).json();
        assert_eq!(reasons(&report), ["no-signature"], "{report:#}");
    }
}

#[test]
fn all_leaves_asks_each_leaf_for_a_signature() {
    let world = World::new();
    let demands = "platforms: all-leaves\n    signatures: {authorities: [{name: ci, key: {file: ci.pub}}]}";
    world.write("policy.yaml", &policy_with(demands));
    let (index, [one, two]) = push_index("app/leaves");
    let index = index.signed(Form::Tag2, "ci");
    let _one = one.signed(Form::Tag2, "ci");
    refused(&world, &index, "platform-not-signed");
    let _two = two.signed(Form::Bundle, "ci");
    verified(&world, &index);
}

#[test]
fn an_image_without_a_signature_is_refused() {
    refused(&World::new(), &unsigned(), "no-signature");
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let world = World::new();
    for form in Form::ALL {
        let image = push(&format!("app/stranger-{form:?}").to_lowercase()).signed(form, "stranger");
        let report = world.verify(&image.tagged()).exits(1).json();
        let reasons = reasons(&report);
        assert!(reasons == ["no-signature"] || reasons == ["signature-invalid"], "{form:?}: {report:#}");
        let candidates = report["images"][0]["candidates"].as_array().unwrap();
        assert!(!candidates.is_empty(), "{form:?}: what was looked at is not told: {report:#}");
        assert!(candidates.iter().all(|candidate| !candidate["failed"].is_null()), "{form:?}: {report:#}");
    }
}

#[test]
fn a_signature_copied_from_another_image_is_refused() {
    let world = World::new();
    let image = push("app/copied");
    let source = good();
    // Everything that the copied signature consists of is in the image's repository, under the image's own tag.
    let signature = registry().manifest(&source.repository, &signature_tag(&source.digest));
    let parsed: Value = serde_json::from_slice(&signature).unwrap();
    for blob in [&parsed["config"], &parsed["layers"][0]] {
        let bytes = registry().blob(&source.repository, blob["digest"].as_str().unwrap());
        registry().put_blob(&image.repository, &bytes);
    }
    registry().put_manifest(&image.repository, &signature_tag(&image.digest), &signature);
    let report = refused(&world, &image, "digest-mismatch");
    assert_eq!(report["images"][0]["candidates"][0]["failed"], "digest", "{report:#}");
}

#[test]
fn a_bundle_copied_from_another_image_is_refused() {
    let world = World::new();
    let (image, source) = (push("app/copied-bundle"), signed(Form::Bundle));
    let tag = |image: &Image| image.digest.replace(':', "-");
    let index: Value = serde_json::from_slice(&registry().manifest(&source.repository, &tag(&source))).unwrap();
    let referrer = index["manifests"][0]["digest"].as_str().unwrap();
    let mut manifest: Value = serde_json::from_slice(&registry().manifest(&source.repository, referrer)).unwrap();
    for blob in [&manifest["config"], &manifest["layers"][0]] {
        let bytes = registry().blob(&source.repository, blob["digest"].as_str().unwrap());
        registry().put_blob(&image.repository, &bytes);
    }
    // The manifest around the bundle is about this image; only the signed statement is not.
    manifest["subject"]["digest"] = json!(image.digest);
    manifest["subject"]["size"] = json!(registry().manifest(&image.repository, &image.digest).len());
    let bytes = manifest.to_string();
    let digest = registry().put_manifest(&image.repository, "copy", bytes.as_bytes());
    let mut fallback = index.clone();
    fallback["manifests"][0]["digest"] = json!(digest);
    fallback["manifests"][0]["size"] = json!(bytes.len());
    registry().put_manifest(&image.repository, &tag(&image), fallback.to_string().as_bytes());
    refused(&world, &image, "digest-mismatch");
}

/// Puts a `.sig` manifest with these layers, each a payload and the signature beside it.
fn put_signatures(image: &Image, layers: &[(String, usize, String)]) {
    let config = b"{}";
    registry().put_blob(&image.repository, config);
    let layer = |(digest, size, signature): &(String, usize, String)| json!({"mediaType": SIMPLE_SIGNING, "size": size, "digest": digest, "annotations": {SIGNATURE: signature}});
    let layers: Vec<Value> = layers.iter().map(layer).collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, config),
        "layers": layers});
    registry().put_manifest(&image.repository, &signature_tag(&image.digest), manifest.to_string().as_bytes());
}

/// The payload and the signature that cosign put beside an image.
fn signature_of(image: &Image) -> (Vec<u8>, String) {
    let manifest: Value =
        serde_json::from_slice(&registry().manifest(&image.repository, &signature_tag(&image.digest))).unwrap();
    let layer = &manifest["layers"][0];
    let payload = registry().blob(&image.repository, layer["digest"].as_str().unwrap());
    (payload, layer["annotations"][SIGNATURE].as_str().unwrap().to_owned())
}

#[test]
fn an_altered_payload_is_refused() {
    let world = World::new();
    let image = push("app/altered");
    // A payload about this image, under a signature over the payload of another one.
    let (payload, signature) = signature_of(&good());
    let altered = String::from_utf8(payload).unwrap().replace(&good().digest, &image.digest);
    let digest = registry().put_blob(&image.repository, altered.as_bytes());
    put_signatures(&image, &[(digest, altered.len(), signature)]);
    let report = world.verify(&image.tagged()).exits(1).json();
    let reasons = reasons(&report);
    assert!(reasons == ["signature-invalid"] || reasons == ["no-signature"], "{report:#}");
    assert_eq!(report["images"][0]["candidates"][0]["failed"], "key", "{report:#}");
}

/// As many signatures as nobody made, over more payloads about this image than are fetched for one. They share
/// payloads, since a registry's storage is two files and two folders a blob.
fn junk(image: &Image, count: usize) -> Vec<(String, usize, String)> {
    let make = |number: usize| {
        let payload = json!({"critical": {"identity": {"docker-reference": image.tagged()}, "image":
            {"docker-manifest-digest": image.digest}, "type": "cosign container image signature"},
            "optional": {"number": number}})
        .to_string();
        (registry().put_blob(&image.repository, payload.as_bytes()), payload.len())
    };
    let payloads: Vec<(String, usize)> = (0..100).map(make).collect();
    let layer = |number: usize| {
        let (digest, size) = payloads[number % payloads.len()].clone();
        (digest, size, format!("MEUCIQ{number:084}=="))
    };
    (0..count).map(layer).collect()
}

#[test]
fn ten_thousand_junk_signatures_end_soon_and_let_nothing_through() {
    let world = World::new();
    let image = push("app/junk");
    put_signatures(&image, &junk(&image, 10_000));
    let done = world.verify(&image.tagged()).exits(1);
    assert!(done.took < Duration::from_secs(20), "{:?}", done.took);
    assert_eq!(reasons(&done.json()), ["limit-exceeded"]);
}

#[test]
fn a_good_signature_among_ten_thousand_is_found_or_the_limit_is_told() {
    let world = World::new();
    for (name, at) in [("app/junk-after", 0), ("app/junk-before", 9_999)] {
        let image = push(name).signed(Form::Tag2, "ci");
        let (payload, signature) = signature_of(&image);
        let mut layers = junk(&image, 9_999);
        let digest = registry().put_blob(&image.repository, &payload);
        layers.insert(at, (digest, payload.len(), signature));
        put_signatures(&image, &layers);
        let done = world.verify(&image.tagged());
        assert!(done.took < Duration::from_secs(20), "{:?}", done.took);
        let report = done.json();
        match at {
            0 => assert_eq!(report["images"][0]["verdict"], "verified", "{:#}", report["images"][0]["reasons"]),
            _ => assert_eq!(reasons(&report), ["limit-exceeded"]),
        }
    }
}

#[test]
fn signed_annotations_must_be_there() {
    let world = World::new();
    for form in [Form::Tag2, Form::Tag3, Form::Bundle] {
        let image = push(&format!("app/annotated-{form:?}").to_lowercase());
        signing().sign(form, "ci", &image.by_digest(), &["stage=release", "team=a"]);
        for (asked, passes) in
            [("{stage: release}", true), ("{stage: test}", false), ("{stage: release, more: x}", false)]
        {
            world.write("policy.yaml", &policy(&format!("{{name: ci, key: {{file: ci.pub}}, annotations: {asked}}}")));
            if passes {
                verified(&world, &image);
            } else {
                refused(&world, &image, "annotation-mismatch");
            }
        }
        let key = |pair: &str| {
            world.run(&["verify", &image.tagged(), "--key", "ci.pub", "-a", pair, "--output", "json"]).code
        };
        assert_eq!((key("stage=release"), key("stage=test")), (0, 1), "{form:?}");
    }
}

#[test]
fn a_threshold_counts_signers_and_not_signatures() {
    let world = World::new();
    let two = "signatures: {threshold: 2, authorities: [{name: ci, key: {file: ci.pub}}, {name: release, key: {file: release.pub}}]}";
    world.write("policy.yaml", &policy_with(two));
    for (first, second) in [(Form::Tag2, Form::Tag2), (Form::Bundle, Form::Bundle), (Form::Tag2, Form::Bundle)] {
        let image = push(&format!("app/two-{first:?}-{second:?}").to_lowercase()).signed(first, "ci");
        refused(&world, &image, "threshold-not-met");
        // The same signer in another place is the same signer.
        let other = if second == Form::Tag2 { Form::Bundle } else { Form::Tag2 };
        let image = image.signed(other, "ci");
        refused(&world, &image, "threshold-not-met");
        verified(&world, &image.signed(second, "release"));
    }
}

#[test]
fn any_of_several_signatures_is_enough() {
    let world = World::new();
    let image = push("app/several").signed(Form::Tag2, "stranger").signed(Form::Tag2, "ci");
    verified(&world, &image);
    let image = push("app/several-bundles").signed(Form::Bundle, "stranger").signed(Form::Bundle, "ci");
    verified(&world, &image);
}

#[test]
fn an_image_that_no_rule_names_is_refused_and_so_is_a_foreign_registry() {
    let world = World::new();
    let outside = push("other/outside");
    refused(&world, &outside, "no-matching-rule");
    let report = world.verify("registry.invalid/app/a:v1").exits(1).json();
    assert!(reasons(&report).contains(&"untrusted-registry".to_owned()), "{report:#}");
}

#[test]
fn what_is_allowed_unsigned_says_so() {
    let world = World::new();
    world.write("policy.yaml", &policy_with("allowUnsigned: true"));
    let report = world.verify(&unsigned().tagged()).exits(0).json();
    assert_eq!(report["images"][0]["basis"], "unsigned-allowed");
}

#[test]
fn an_exception_holds_until_its_day_and_waives_nothing_else() {
    let world = World::new();
    let exception = |expires: &str| {
        let host = &registry().host;
        policy("{name: ci, key: {file: ci.pub}}")
            + &format!(
                "  exceptions:\n  - {{images: ['{host}/app/**', '{host}/other/**'], reason: r, owner: o, expires: {expires}}}\n"
            )
    };
    world.write("policy.yaml", &exception("9999-01-01"));
    let report = world.verify(&unsigned().tagged()).exits(0).json();
    assert_eq!(report["images"][0]["basis"], "exception");
    refused(&world, &push("other/excepted"), "no-matching-rule");
    let missing = world.verify(&format!("{}/app/nothing:v1", registry().host)).exits(1).json();
    assert_eq!(reasons(&missing), ["image-not-found"]);
    world.write("policy.yaml", &exception("2020-01-01"));
    refused(&world, &unsigned(), "no-signature");
}

#[test]
fn every_fault_of_a_policy_is_told_at_once_with_its_place() {
    let world = World::new();
    let head = "apiVersion: sealgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: p}\nspec:\n  rules:\n";
    let faulty = "  - name: a\n    images: [example.com/**]\n    allowUnsined: true\n  - name: b\n    images: [example.com/**]\n    signatures: {authorities: [{name: x, key: {file: missing.pub}}]}\n";
    world.write("policy.yaml", &format!("{head}{faulty}"));
    let report = world.verify("example.com/a:1").exits(2).json();
    let places: Vec<(&str, u64, u64)> = report["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            let number = |key: &str| error[key].as_u64().unwrap();
            (error["file"].as_str().unwrap(), number("line"), number("column"))
        })
        .collect();
    assert_eq!(places, [("policy.yaml", 6, 5), ("policy.yaml", 8, 5), ("policy.yaml", 11, 54)], "{report:#}");
    let text = world.run(&["policy", "check", "policy.yaml"]).exits(2);
    assert!((text.stdout + &text.stderr).contains("policy.yaml:8:5"));
    for broken in [format!("{head}  - name: [\n"), String::new(), format!("{head}  []\n")] {
        world.write("policy.yaml", &broken);
        world.run(&["policy", "check", "policy.yaml"]).exits(2);
        let report = world.verify("example.com/a:1").exits(2).json();
        assert_eq!(report["decision"], Value::Null);
        assert_eq!(errors(&report), ["policy-invalid"], "{broken}");
    }
    world.run(&["verify", "example.com/a:1", "--policy", "missing.yaml"]).exits(2);
}
