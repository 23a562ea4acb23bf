//! Every field of the formats, flipped: which check it fails and what that makes of the image.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::fixtures::{
    BUNDLE, SIGN, SIGNATURE, SIMPLE, Signer, authority, bundle_layer, claim, image, layer, statement,
};
use super::super::verdict::{CandidateKind, Check};
use super::*;
use crate::artifact::{Content, Defect};
use crate::image::Digest;
use crate::policy::requirement::SignedReference;

/// Fails at a check, with a reason; or counts.
type Expected = Option<(Check, Reason)>;

const COUNTS: Expected = None;
const FORM: Expected = Some((Check::Form, Reason::Malformed));
const TYPE: Expected = Some((Check::Type, Reason::NoSignature));
const KEY: Expected = Some((Check::Key, Reason::SignatureInvalid));
const DIGEST: Expected = Some((Check::Digest, Reason::DigestMismatch));
const ANNOTATIONS: Expected = Some((Check::Annotations, Reason::AnnotationMismatch));
const REFERENCE: Expected = Some((Check::Reference, Reason::IdentityMismatch));

fn app() -> PinnedImage {
    image("registry.example.com/team/app", Digest::of(b"app"))
}

fn check(what: &str, artifact: Artifact, authority: Authority, expected: Expected) {
    let judgement = by_authority(&app(), vec![artifact], authority);
    let candidate = only(&judgement);
    assert_eq!(candidate.failed, expected.map(|(check, _)| check), "{what}: {}", candidate.message);
    let wanted: Vec<Reason> = expected.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(reasons(&judgement), wanted, "{what}");
}

fn ci() -> Authority {
    authority("ci", &Signer::new(1).key())
}

/// A value with the member at a pointer set, or removed.
fn with(mut value: Value, pointer: &str, member: Option<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match member {
        Some(member) => parent.insert(name.to_owned(), member),
        None => parent.remove(name),
    };
    value
}

#[test]
fn every_field_of_a_simple_signing_payload_counts() {
    let digest = app().digest;
    let other = Digest::of(b"other").to_string();
    let upper = format!("sha256:{}", digest.hex().to_uppercase());
    let cases: Vec<(&str, Option<Value>, Expected)> = vec![
        ("/optional", None, COUNTS),
        ("/optional", Some(json!({"a": 1, "b": [2], "c": null, "d": {"e": 0.5}, "f": true, "g": -1})), COUNTS),
        ("/critical/identity/docker-reference", Some(json!("")), COUNTS),
        ("/critical/image/docker-manifest-digest", Some(json!(other)), DIGEST),
        ("/critical/image/docker-manifest-digest", Some(json!(upper)), FORM),
        ("/critical/image/docker-manifest-digest", Some(json!("")), FORM),
        ("/critical/image/docker-manifest-digest", Some(json!([digest.to_string()])), FORM),
        ("/critical/image/docker-manifest-digest", Some(Value::Null), FORM),
        ("/critical/image/docker-manifest-digest", None, FORM),
        ("/critical/image/Docker-manifest-digest", Some(json!(digest.to_string())), FORM),
        ("/critical/image/DOCKER-MANIFEST-DIGEST", Some(json!(other)), FORM),
        ("/critical/type", Some(json!("atomic container signature")), TYPE),
        ("/critical/type", Some(json!("Cosign container image signature")), TYPE),
        ("/critical/type", None, FORM),
        ("/critical/identity", None, FORM),
        ("/critical/identity/docker-reference", None, FORM),
        ("/critical/identity/more", Some(json!(1)), FORM),
        ("/critical/more", Some(json!(1)), FORM),
        ("/critical", None, FORM),
        ("/Critical", Some(json!({})), FORM),
        ("/optional", Some(json!("text")), FORM),
    ];
    for (pointer, member, expected) in cases {
        let payload = with(claim(digest), pointer, member).to_string();
        check(&payload, Signer::new(1).payload(payload.clone()), ci(), expected);
    }
}

#[test]
fn no_two_readers_disagree_on_a_payload() {
    let digest = app().digest;
    let good = claim(digest).to_string();
    let capital = good.replace("\"docker-manifest", "\"Docker-manifest");
    let twice =
        |name: &str, more: &str| good.replacen(&format!("\"{name}\":"), &format!("\"{name}\":{more},\"{name}\":"), 1);
    let cases: Vec<(String, Expected)> = vec![
        (good.clone(), COUNTS),
        (format!(" {good}\n"), COUNTS),
        (capital, COUNTS),
        (twice("critical", "{}"), FORM),
        (twice("docker-manifest-digest", &format!("\"{digest}\"")), FORM),
        (twice("type", "\"cosign container image signature\""), FORM),
        (twice("optional", "null"), FORM),
        (good.replace("\"optional\":null", r#""optional":{"a":"x","a":"y"}"#), FORM),
        (format!("{good}{good}"), FORM),
        (format!("{good}\0"), FORM),
        (format!("\u{feff}{good}"), FORM),
        (String::new(), FORM),
        ("null".to_owned(), FORM),
        (format!("[{good}]"), FORM),
        ("[".repeat(200_000), FORM),
        (
            format!("{}\"optional\":{}1{}}}", good.replace("\"optional\":null}", ""), "[".repeat(500), "]".repeat(500)),
            FORM,
        ),
    ];
    for (payload, expected) in cases {
        let what: String = payload.chars().take(200).collect();
        check(&what, Signer::new(1).payload(payload), ci(), expected);
    }
}

#[test]
fn every_part_of_a_simple_signing_layer_counts() {
    let signer = Signer::new(1);
    let payload = claim(app().digest).to_string();
    let good = signer.sign(payload.as_bytes());
    let with_signature = |text: &str| layer(SIMPLE, payload.as_bytes(), &[(SIGNATURE, text)]);
    let encoded = STANDARD.encode(&good);
    let raw = p256::ecdsa::Signature::from_der(&good).unwrap().to_bytes().to_vec();
    let longer = [good.as_slice(), b"\0"].concat();
    let defect = |reason| Content::Unusable(Defect { reason, message: "too large".to_owned() });
    let unusable = |reason| Artifact { content: defect(reason), ..with_signature(&encoded) };
    let huge = Signer::new(1).payload(format!("{payload}{}", " ".repeat(1024 * 1024)));
    let cases = vec![
        ("good", with_signature(&encoded), COUNTS),
        ("no annotation", layer(SIMPLE, payload.as_bytes(), &[]), FORM),
        ("empty", with_signature(""), FORM),
        ("line feed behind", with_signature(&format!("{encoded}\n")), FORM),
        ("another alphabet", with_signature("__--"), FORM),
        ("no padding", with_signature("QQ"), FORM),
        ("endless", with_signature(&"A".repeat(4096)), FORM),
        ("two numbers without DER", with_signature(&STANDARD.encode(raw)), KEY),
        ("a byte behind the DER", with_signature(&STANDARD.encode(longer)), KEY),
        ("another payload's", with_signature(&STANDARD.encode(signer.sign(b"other"))), KEY),
        ("another signer's", Signer::new(2).simple(app().digest), KEY),
        ("another type", Artifact { media_type: "text/plain".to_owned(), ..with_signature(&encoded) }, TYPE),
        ("no digest", Artifact { digest: None, ..with_signature(&encoded) }, FORM),
        ("not fetched", unusable(Reason::LimitExceeded), Some((Check::Form, Reason::LimitExceeded))),
        ("not what was named", unusable(Reason::DigestMismatch), Some((Check::Form, Reason::DigestMismatch))),
        ("too large", huge, Some((Check::Form, Reason::LimitExceeded))),
    ];
    for (what, artifact, expected) in cases {
        check(what, artifact, ci(), expected);
    }
}

#[test]
fn every_field_of_a_statement_counts() {
    let digest = app().digest;
    let subject = |hex: &str| json!([{"digest": {"sha256": hex}}]);
    let other = Digest::of(b"other").hex();
    let cases: Vec<(&str, Option<Value>, Expected)> = vec![
        ("/predicate", None, COUNTS),
        ("/predicate", Some(json!({"any": ["thing"]})), COUNTS),
        ("/subject", Some(subject(&digest.hex())), COUNTS),
        (
            "/subject",
            Some(json!([{"name": "x", "uri": "y", "digest": {"sha512": "00", "sha256": digest.hex()}}])),
            COUNTS,
        ),
        ("/subject", Some(json!([{}, {"digest": {"sha256": other}}, {"digest": {"sha256": digest.hex()}}])), COUNTS),
        ("/subject", Some(subject(&other)), DIGEST),
        ("/subject", Some(subject(&digest.hex().to_uppercase())), FORM),
        ("/subject", Some(subject(&digest.to_string())), FORM),
        ("/subject", Some(subject("")), FORM),
        ("/subject", Some(json!([])), FORM),
        ("/subject", Some(json!([{"digest": {}}])), FORM),
        ("/subject", Some(json!([{"digest": {"sha512": digest.hex()}}])), FORM),
        ("/subject", Some(json!([null])), FORM),
        ("/subject", Some(json!(vec![json!({}); 1025])), FORM),
        ("/subject", None, FORM),
        ("/predicateType", Some(json!("https://slsa.dev/provenance/v1")), TYPE),
        ("/predicateType", Some(json!(format!("{SIGN}/"))), TYPE),
        ("/predicateType", Some(json!(SIGN.to_uppercase())), TYPE),
        ("/predicateType", Some(json!("")), TYPE),
        ("/predicateType", None, FORM),
        ("/_type", Some(json!("https://in-toto.io/Statement/v0.1")), TYPE),
        ("/_type", None, FORM),
        ("/more", Some(json!(1)), FORM),
    ];
    for (pointer, member, expected) in cases {
        let statement = with(statement(digest), pointer, member);
        let what = statement.to_string();
        check(&what[..what.len().min(300)], bundle_layer(&Signer::new(1).bundle(&statement)), ci(), expected);
    }
}

#[test]
fn every_field_of_a_bundle_counts() {
    let good = Signer::new(1).bundle(&statement(app().digest));
    let envelope = good["dsseEnvelope"].clone();
    let message = json!({"messageDigest": {"algorithm": "SHA2_256", "digest": ""}, "signature": ""});
    let sig = envelope["signatures"][0].clone();
    let bare = STANDARD.encode(Signer::new(1).sign(statement(app().digest).to_string().as_bytes()));
    let chain = json!({"x509CertificateChain": {"certificates": [{"rawBytes": ""}]}});
    let both = json!({"publicKey": {"hint": ""}, "certificate": {"rawBytes": ""}});
    let version = |version: &str| Some(json!(format!("application/vnd.dev.sigstore.bundle+json;version={version}")));
    let cases: Vec<(&str, Option<Value>, Expected)> = vec![
        ("/mediaType", version("0.1"), COUNTS),
        ("/mediaType", version("0.2"), COUNTS),
        ("/mediaType", version("0.3"), COUNTS),
        ("/mediaType", version("0.4"), FORM),
        ("/mediaType", Some(json!("application/vnd.dev.sigstore.bundle.v0.4+json")), FORM),
        ("/mediaType", None, FORM),
        ("/verificationMaterial/tlogEntries", Some(json!([{"logIndex": "1"}])), COUNTS),
        ("/verificationMaterial/tlogEntries", Some(json!([])), COUNTS),
        ("/verificationMaterial/timestampVerificationData", Some(json!({"rfc3161Timestamps": []})), COUNTS),
        ("/verificationMaterial/publicKey/hint", Some(json!("not base64")), COUNTS),
        ("/verificationMaterial/publicKey/hint", Some(json!(Signer::new(2).key().hint())), COUNTS),
        ("/verificationMaterial/publicKey/hint", None, COUNTS),
        ("/verificationMaterial/publicKey/more", Some(json!(1)), FORM),
        ("/verificationMaterial/publicKey", None, FORM),
        ("/verificationMaterial/more", Some(json!(1)), FORM),
        ("/verificationMaterial", Some(json!({"certificate": {"rawBytes": ""}})), KEY),
        ("/verificationMaterial", Some(chain), KEY),
        ("/verificationMaterial", Some(both), FORM),
        ("/verificationMaterial", None, FORM),
        ("/messageSignature", Some(message.clone()), FORM),
        ("/dsseEnvelope", None, FORM),
        ("/dsse_envelope", Some(envelope.clone()), FORM),
        ("/more", Some(json!(1)), FORM),
        ("/dsseEnvelope/payloadType", Some(json!("application/vnd.in-toto.x+json")), TYPE),
        ("/dsseEnvelope/payloadType", None, FORM),
        ("/dsseEnvelope/payload", Some(json!("e30=")), FORM),
        ("/dsseEnvelope/payload", Some(json!("*")), FORM),
        ("/dsseEnvelope/payload", None, FORM),
        ("/dsseEnvelope/signatures", Some(json!([])), FORM),
        ("/dsseEnvelope/signatures", Some(json!([sig, sig])), FORM),
        ("/dsseEnvelope/signatures", Some(json!([{"sig": sig["sig"], "keyid": "any"}])), COUNTS),
        ("/dsseEnvelope/signatures", Some(json!([{"sig": ""}])), FORM),
        ("/dsseEnvelope/signatures", Some(json!([{"sig": "AA=="}])), KEY),
        ("/dsseEnvelope/signatures", Some(json!([{"sig": bare}])), KEY),
        ("/dsseEnvelope/signatures", None, FORM),
    ];
    for (pointer, member, expected) in cases {
        let bundle = with(good.clone(), pointer, member);
        check(&format!("{pointer} {bundle}"), bundle_layer(&bundle), ci(), expected);
    }
    let message = with(with(good, "/dsseEnvelope", None), "/messageSignature", Some(message));
    check("a message's signature", bundle_layer(&message), ci(), TYPE);
}

#[test]
fn a_bundle_counts_however_its_base64_is_written_and_only_whole() {
    let signer = Signer::new(1);
    let good = signer.bundle(&with(statement(app().digest), "/predicate", Some(json!("~~~???>>>"))));
    let text = good.to_string();
    let payload = good["dsseEnvelope"]["payload"].as_str().unwrap();
    let other = URL_SAFE.encode(STANDARD.decode(payload).unwrap());
    assert_ne!(payload, other);
    let twice = text.replacen('{', "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",", 1);
    let cases = [
        (text.clone(), COUNTS),
        (text.replace(payload, &other), COUNTS),
        (twice, FORM),
        (text[..text.len() - 1].to_owned(), FORM),
        (format!("{text}{text}"), FORM),
        (String::new(), FORM),
        ("[".repeat(200_000), FORM),
    ];
    for (bundle, expected) in cases {
        check(&bundle[..bundle.len().min(300)], layer(BUNDLE, bundle.as_bytes(), &[]), ci(), expected);
    }
    // An attestation may be large; it leaves the image unsigned, and nothing else.
    let large = format!("{text}{}", " ".repeat(1024 * 1024));
    check("large", layer(BUNDLE, large.as_bytes(), &[]), ci(), TYPE);
}

#[test]
fn annotations_hold_on_the_subject_that_is_meant() {
    let digest = app().digest;
    let mut ci = ci();
    ci.annotations = [("stage".to_owned(), "release".to_owned())].into();
    let entry = |hex: String, annotations: Value| json!({"digest": {"sha256": hex}, "annotations": annotations});
    let good = json!({"stage": "release", "more": "x"});
    let cases = [
        (json!([entry(digest.hex(), good.clone())]), COUNTS),
        (json!([entry(digest.hex(), json!({"stage": "test"}))]), ANNOTATIONS),
        (json!([entry(digest.hex(), json!({"stage": ["release"]}))]), ANNOTATIONS),
        (json!([entry(digest.hex(), json!({}))]), ANNOTATIONS),
        (json!([entry(Digest::of(b"other").hex(), good.clone()), entry(digest.hex(), json!({}))]), ANNOTATIONS),
        (json!([entry(digest.hex(), json!({})), entry(digest.hex(), good)]), COUNTS),
    ];
    for (subjects, expected) in cases {
        let statement = with(statement(digest), "/subject", Some(subjects));
        check(&statement.to_string(), bundle_layer(&Signer::new(1).bundle(&statement)), ci.clone(), expected);
    }
    for (optional, expected) in [(json!({"stage": "release"}), COUNTS), (json!({"stage": 1}), ANNOTATIONS)] {
        let payload = with(claim(digest), "/optional", Some(optional)).to_string();
        check(&payload, Signer::new(1).payload(payload.clone()), ci.clone(), expected);
    }
    check("none", Signer::new(1).simple(digest), ci, ANNOTATIONS);
}

#[test]
fn the_signed_name_counts_where_the_rule_asks_for_it() {
    let mut strict = ci();
    strict.signed_reference = SignedReference::Repository;
    let cases = [
        ("registry.example.com/team/app", COUNTS),
        ("registry.example.com/team/app:1.0", COUNTS),
        ("registry.example.com/team/app2", REFERENCE),
        ("team/app", REFERENCE),
        ("registry.example.com/team/app ", REFERENCE),
        ("", REFERENCE),
    ];
    for (name, expected) in cases {
        let payload = with(claim(app().digest), "/critical/identity/docker-reference", Some(json!(name))).to_string();
        check(name, Signer::new(1).payload(payload.clone()), strict.clone(), expected);
        check(name, Signer::new(1).payload(payload), ci(), COUNTS);
    }
    check("a bundle", bundle_layer(&Signer::new(1).bundle(&statement(app().digest))), strict, REFERENCE);
}

#[test]
fn foreign_text_is_harmless_in_messages() {
    let evil = "\u{1b}[2J\u{202e}".repeat(200);
    let artifacts = vec![
        layer(&evil, b"x", &[]),
        layer(SIMPLE, format!("{{\"{evil}\":1}}").as_bytes(), &[(SIGNATURE, "AAAA")]),
        bundle_layer(&Signer::new(1).bundle(&with(statement(app().digest), "/predicateType", Some(json!(evil))))),
    ];
    let judgement = by_authority(&app(), artifacts, ci());
    assert_eq!(judgement.candidates.len(), 3);
    for candidate in judgement.candidates {
        assert!(!candidate.message.contains(['\u{1b}', '\u{202e}']), "{}", candidate.message);
        assert!(candidate.message.len() < 2000);
    }
}

#[test]
fn candidates_say_what_they_are_and_who_made_them() {
    let signer = Signer::new(2);
    let artifacts = vec![
        signer.simple(app().digest),
        bundle_layer(&signer.bundle(&statement(app().digest))),
        layer("application/cose", b"x", &[]),
    ];
    let judgement = by_authority(&app(), artifacts, ci());
    let kinds: Vec<CandidateKind> = judgement.candidates.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [CandidateKind::CosignSignature, CandidateKind::SigstoreBundle, CandidateKind::Unknown]);
    let signers: Vec<Option<String>> = judgement.candidates.into_iter().map(|one| one.signer).collect();
    assert_eq!(signers, [None, Some(signer.key().fingerprint().to_string()), None]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[\\[\\]{}:,\"a-z0-9\\\\ ]{0,200}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            for media_type in [SIMPLE, BUNDLE] {
                let artifact = layer(media_type, bytes, &[(SIGNATURE, &STANDARD.encode(bytes)), ("other", &text)]);
                let judgement = by_authority(&app(), vec![artifact], ci());
                prop_assert!(!is_verified(&judgement));
            }
            let statement = Signer::new(1).envelope("application/vnd.in-toto+json", bytes);
            let judgement = by_authority(&app(), vec![bundle_layer(&statement)], ci());
            prop_assert!(!is_verified(&judgement));
            let judgement = by_authority(&app(), vec![Signer::new(1).payload(bytes)], ci());
            prop_assert!(!is_verified(&judgement));
        }
    }
}
