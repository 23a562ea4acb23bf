//! What the binary makes of attestations by real cosigns, in both of their storage forms.

use serde_json::{Value, json};

use crate::support::signing::{Attester, Form, signing};
use crate::support::world::{Image, World, policy_with, push, reasons};

const TYPE: &str = "https://example.com/review/v1";

/// An image of its own, attested by `ci`.
fn attested(name: &str, form: Attester, kind: &str, predicate: &Value) -> Image {
    let image = push(&format!("app/attested-{name}-{form:?}").to_lowercase());
    signing().attest(form, "ci", kind, predicate, &image.by_digest());
    image
}

/// A world whose rule demands these attestations, by `ci` where the entry names nobody.
fn world(entry: &str) -> World {
    let world = World::new();
    let key = "authorities: [{name: ci, key: {file: ci.pub}}]";
    let entry = if entry.contains("authorities") { entry.to_owned() } else { format!("{entry}\n      {key}") };
    world.write("policy.yaml", &policy_with(&format!("attestations:\n    - {entry}")));
    world
}

#[track_caller]
fn verdict(world: &World, image: &Image, code: i32, expected: &[&str]) -> Value {
    let report = world.verify(&image.tagged()).exits(code).json();
    assert_eq!(reasons(&report), expected, "{report:#}");
    report
}

#[test]
fn an_attestation_of_the_asked_type_by_the_asked_key_is_verified_in_both_forms() {
    for form in Attester::ALL {
        let image = attested("good", form, TYPE, &json!({"approved": true}));
        let report = verdict(&world(&format!("predicateType: {TYPE}")), &image, 0, &[]);
        assert_eq!(report["images"][0]["basis"], "proof");
        let candidate = &report["images"][0]["candidates"][0];
        assert_eq!((&candidate["kind"], &candidate["failed"]), (&json!("attestation"), &Value::Null), "{report:#}");
    }
}

#[test]
fn another_type_another_key_another_image_and_no_attestation_are_refused_in_both_forms() {
    for form in Attester::ALL {
        let image = attested("wrong", form, TYPE, &json!({}));
        verdict(&world("predicateType: https://example.com/review/v2"), &image, 1, &["attestation-missing"]);
        verdict(&world("predicateType: custom"), &image, 1, &["attestation-missing"]);
        let stranger = format!("predicateType: {TYPE}\n      authorities: [{{name: s, key: {{file: stranger.pub}}}}]");
        verdict(&world(&stranger), &image, 1, &["signature-invalid"]);
    }
    let none = push("app/attested-none");
    verdict(&world(&format!("predicateType: {TYPE}")), &none, 1, &["attestation-missing"]);
}

#[test]
fn the_short_names_are_what_both_cosigns_write_for_them() {
    let vex = json!({"statements": []});
    for form in Attester::ALL {
        for (short, predicate) in [
            ("spdxjson", json!({})),
            ("cyclonedx", json!({})),
            ("vuln", json!({})),
            ("openvex", vex.clone()),
            ("custom", json!({})),
        ] {
            let image = attested(&format!("short-{short}"), form, short, &predicate);
            verdict(&world(&format!("predicateType: {short}")), &image, 0, &[]);
        }
    }
}

#[test]
fn an_attestation_is_no_signature_and_a_signature_no_attestation() {
    for form in Attester::ALL {
        let image = attested("unsigned", form, TYPE, &json!({}));
        let world = World::new();
        verdict(&world, &image, 1, &["no-signature"]);
    }
    for form in Form::ALL {
        let image = push(&format!("app/attested-signed-{form:?}").to_lowercase()).signed(form, "ci");
        verdict(&world(&format!("predicateType: {TYPE}")), &image, 1, &["attestation-missing"]);
    }
    // But for the sign predicate, asked by its own name.
    let image = push("app/attested-sign-predicate").signed(Form::Bundle, "ci");
    verdict(&world("predicateType: https://sigstore.dev/cosign/sign/v1"), &image, 0, &[]);
}

#[test]
fn signatures_and_attestations_of_a_rule_must_all_be_there() {
    let world = World::new();
    let demands = format!(
        "signatures: {{authorities: [{{name: ci, key: {{file: ci.pub}}}}]}}\n    attestations: [{{predicateType: {TYPE}}}, {{predicateType: vuln}}]"
    );
    world.write("policy.yaml", &policy_with(&demands));
    for form in Attester::ALL {
        let image = attested("all", form, TYPE, &json!({}));
        verdict(&world, &image, 1, &["no-signature", "attestation-missing"]);
        let image = image.signed(Form::Bundle, "ci");
        verdict(&world, &image, 1, &["attestation-missing"]);
        signing().attest(form, "ci", "vuln", &json!({}), &image.by_digest());
        verdict(&world, &image, 0, &[]);
    }
}
