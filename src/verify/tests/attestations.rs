//! Attestations: every field of the demand and of both storage forms, flipped, and what each makes of the image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::fixtures::{
    BUNDLE, SIGN, STATEMENT, Signer, bundle_layer, bytes, image, layer, load, rule, statement, with_bytes,
};
use super::super::lookups;
use super::super::verdict::{CandidateKind, Check};
use super::*;
use crate::artifact::Content;
use crate::condition::Expression;
use crate::image::{Digest, Leaf, Repository};
use crate::policy::requirement::{Attestation, Condition, Demand, Platforms, Signatures};

const TYPE: &str = "https://slsa.dev/provenance/v1";
const STATEMENT_0_1: &str = "https://in-toto.io/Statement/v0.1";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// Fails at a check, with a reason; or counts.
type Expected = Option<(Check, Reason)>;

const COUNTS: Expected = None;
const FORM: Expected = Some((Check::Form, Reason::Malformed));
const TYPED: Expected = Some((Check::Type, Reason::AttestationMissing));
const KEY: Expected = Some((Check::Key, Reason::SignatureInvalid));
const DIGEST: Expected = Some((Check::Digest, Reason::DigestMismatch));
const AGE: Expected = Some((Check::Age, Reason::AttestationExpired));
const CONDITION: Expected = Some((Check::Condition, Reason::ConditionFailed));

fn app() -> PinnedImage {
    image("registry.example.com/team/app", Digest::of(b"app"))
}

fn asked(authorities: Vec<Authority>) -> Attestation {
    let by = Signatures { threshold: 1.try_into().unwrap(), authorities };
    Attestation { predicate_type: TYPE.to_owned(), by, max_age: None, conditions: Vec::new(), ends: Vec::new() }
}

fn by(number: u8) -> Authority {
    authority(&format!("signer-{number}"), &Signer::new(number).key())
}

fn condition(text: &str) -> Condition {
    Condition { expression: Expression::compile(text).unwrap(), message: "as asked".to_owned() }
}

/// Provenance about the image, finished an hour before the tests take place.
fn provenance() -> Value {
    json!({
        "_type": STATEMENT_0_1,
        "predicateType": TYPE,
        "subject": [{"name": "registry.example.com/team/app", "digest": {"sha256": app().digest.hex()}}],
        "predicate": {"runDetails": {"builder": {"id": "b"}, "metadata": {"finishedOn": (NOW - SignedDuration::from_hours(1)).to_string()}}},
    })
}

fn enveloped(bundle: &Value) -> Artifact {
    layer(ENVELOPE, bundle["dsseEnvelope"].to_string().as_bytes(), &[])
}

/// The statement in both storage forms.
fn forms(signer: u8, statement: &Value) -> [Artifact; 2] {
    let bundle = Signer::new(signer).bundle(statement);
    [enveloped(&bundle), bundle_layer(&bundle)]
}

fn judged(artifacts: Vec<Artifact>, attestation: Attestation) -> Judgement {
    verify(&app(), &[evidence(&app(), artifacts)], &demands(Demand::Attestation(attestation)))
}

#[track_caller]
fn check(what: &str, artifact: Artifact, attestation: Attestation, expected: Expected) {
    let judgement = judged(vec![artifact], attestation);
    let candidate = only(&judgement);
    assert_eq!(candidate.failed, expected.map(|(check, _)| check), "{what}: {}", candidate.message);
    let wanted: Vec<Reason> = expected.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(reasons(&judgement), wanted, "{what}");
}

#[track_caller]
fn check_forms(what: &str, statement: &Value, attestation: &Attestation, expected: Expected) {
    for artifact in forms(1, statement) {
        check(what, artifact, attestation.clone(), expected);
    }
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
fn an_attestation_counts_in_both_forms_and_is_called_one() {
    for artifact in forms(1, &provenance()) {
        let judgement = judged(vec![artifact], asked(vec![by(1)]));
        assert!(is_verified(&judgement), "{judgement:?}");
        assert_eq!(only(&judgement).kind, CandidateKind::Attestation);
    }
}

#[test]
fn every_field_of_the_demand_counts_in_both_forms() {
    let base = asked(vec![by(1)]);
    let hours = |hours| Some(SignedDuration::from_hours(hours));
    let mut source = by(1);
    source.source = Some(Repository::parse("registry.example.com/elsewhere").unwrap());
    let mut annotated = by(1);
    annotated.annotations = [("stage".to_owned(), "release".to_owned())].into();
    let table: Vec<(&str, Attestation, Expected)> = vec![
        ("as it is", base.clone(), COUNTS),
        ("type", Attestation { predicate_type: format!("{TYPE}/"), ..base.clone() }, TYPED),
        ("another key", asked(vec![by(2)]), KEY),
        ("any of two keys", asked(vec![by(2), by(1)]), COUNTS),
        ("annotations", asked(vec![annotated]), Some((Check::Annotations, Reason::AnnotationMismatch))),
        ("young enough", Attestation { max_age: hours(2), ..base.clone() }, COUNTS),
        ("as old as allowed", Attestation { max_age: hours(1), ..base.clone() }, COUNTS),
        ("too old", Attestation { max_age: Some(SignedDuration::from_mins(59)), ..base.clone() }, AGE),
        (
            "condition",
            Attestation { conditions: vec![condition("predicate.runDetails.builder.id == 'b'")], ..base.clone() },
            COUNTS,
        ),
        (
            "not fulfilled",
            Attestation { conditions: vec![condition("predicate.runDetails.builder.id == 'c'")], ..base.clone() },
            CONDITION,
        ),
        (
            "one of two",
            Attestation { conditions: vec![condition("true"), condition("false")], ..base.clone() },
            CONDITION,
        ),
        (
            "missing field",
            Attestation { conditions: vec![condition("predicate.nothing == 1")], ..base.clone() },
            CONDITION,
        ),
        (
            "not boolean",
            Attestation { conditions: vec![condition("predicate.runDetails.builder.id")], ..base.clone() },
            CONDITION,
        ),
    ];
    for (what, attestation, expected) in table {
        check_forms(what, &provenance(), &attestation, expected);
    }
    let asked_elsewhere = Demand::Attestation(asked(vec![source]));
    let lookups = lookups(&app(), &demands(asked_elsewhere));
    assert_eq!(lookups[0].repository.to_string(), "registry.example.com/elsewhere");
    assert_eq!(lookups[0].sought.predicate_types, [TYPE]);
    assert!(!lookups[0].sought.signatures);
}

#[test]
fn conditions_see_the_image_the_statement_and_the_time() {
    let text = format!(
        "image.digest == '{0}' && image.pinned == '{0}' && image.name == 'registry.example.com/team/app' && image.registry == 'registry.example.com' && image.repository == 'team/app' && statement.predicateType == '{TYPE}' && statement.subject[0].digest.sha256 == '{1}' && now == timestamp('{NOW}')",
        app().digest,
        app().digest.hex()
    );
    let attestation = Attestation { conditions: vec![condition(&text)], ..asked(vec![by(1)]) };
    check_forms("variables", &provenance(), &attestation, COUNTS);
}

#[test]
fn an_expression_that_runs_away_refuses() {
    let numbers: Vec<u32> = (0..20_000).collect();
    let statement = with(provenance(), "/predicate", Some(json!({"n": numbers})));
    let endless = condition("predicate.n.all(a, predicate.n.all(b, a + b >= 0))");
    check_forms("endless", &statement, &Attestation { conditions: vec![endless], ..asked(vec![by(1)]) }, CONDITION);
}

#[test]
fn every_field_of_the_statement_counts_in_both_forms() {
    let hex = app().digest.hex();
    let other = Digest::of(b"other").hex();
    let subject = |hex: &str| json!([{"name": "registry.example.com/team/app", "digest": {"sha256": hex}}]);
    let several = json!([{"digest": {"sha256": other}}, {"name": "x", "digest": {"sha512": "00", "sha256": hex}}]);
    let table: Vec<(&str, Option<Value>, Expected)> = vec![
        ("/_type", Some(json!(STATEMENT)), COUNTS),
        ("/_type", Some(json!("https://in-toto.io/Statement/v2")), TYPED),
        ("/_type", None, FORM),
        ("/predicateType", Some(json!("https://slsa.dev/provenance/v0.2")), TYPED),
        ("/predicateType", Some(json!(TYPE.to_uppercase())), TYPED),
        ("/predicateType", Some(json!(SIGN)), TYPED),
        ("/predicateType", None, FORM),
        ("/subject", Some(several), COUNTS),
        ("/subject", Some(subject(&other)), DIGEST),
        ("/subject", Some(subject(&hex.to_uppercase())), FORM),
        ("/subject", Some(json!([])), FORM),
        ("/subject", Some(json!([{"digest": {"sha512": hex}}])), FORM),
        ("/subject", None, FORM),
        ("/predicate", None, COUNTS),
        ("/predicate", Some(Value::Null), COUNTS),
        ("/more", Some(json!(1)), FORM),
    ];
    for (pointer, member, expected) in table {
        let statement = with(provenance(), pointer, member);
        check_forms(&statement.to_string(), &statement, &asked(vec![by(1)]), expected);
    }
}

#[test]
fn a_member_that_stands_twice_is_refused_wherever_it_stands() {
    let text = provenance().to_string();
    for twice in [
        text.replacen("\"predicateType\":", &format!("\"predicateType\":\"{SIGN}\",\"predicateType\":"), 1),
        text.replacen("\"subject\":", "\"subject\":[],\"subject\":", 1),
        text.replacen("\"builder\":", "\"builder\":{\"id\":\"c\"},\"builder\":", 1),
        text.replacen("\"id\":", "\"id\":\"c\",\"\\u0069d\":", 1),
    ] {
        assert_ne!(twice, text);
        let bundle = Signer::new(1).envelope("application/vnd.in-toto+json", twice.as_bytes());
        for artifact in [enveloped(&bundle), bundle_layer(&bundle)] {
            check(&twice, artifact, asked(vec![by(1)]), FORM);
        }
    }
}

#[test]
fn ages_are_by_the_predicates_own_time_where_no_other_is_proven() {
    let week = SignedDuration::from_hours(168);
    let recent = (NOW - SignedDuration::from_hours(1)).to_string();
    let own = |predicate: Value| with(provenance(), "/predicate", Some(predicate));
    let finished = |time: Value| own(json!({"runDetails": {"metadata": {"finishedOn": time}}}));
    let table = [
        (TYPE, finished(json!(recent)), COUNTS),
        (TYPE, finished(json!((NOW + SignedDuration::from_secs(1)).to_string())), AGE),
        (TYPE, finished(json!("2020-01-01T00:00:00Z")), AGE),
        (TYPE, finished(json!("yesterday")), AGE),
        (TYPE, finished(json!(0)), AGE),
        (TYPE, own(json!({})), AGE),
        ("https://slsa.dev/provenance/v0.2", own(json!({"metadata": {"buildFinishedOn": recent}})), COUNTS),
        (
            "https://cosign.sigstore.dev/attestation/vuln/v1",
            own(json!({"metadata": {"scanFinishedOn": recent}})),
            COUNTS,
        ),
        ("https://cosign.sigstore.dev/attestation/vuln/v1", own(json!({"metadata": {"scanStartedOn": recent}})), AGE),
        ("https://cosign.sigstore.dev/attestation/v1", own(json!({"Timestamp": recent})), COUNTS),
        ("https://spdx.dev/Document", own(json!({"creationInfo": {"created": recent}})), COUNTS),
        ("https://cyclonedx.org/bom", own(json!({"metadata": {"timestamp": recent}})), COUNTS),
        ("https://openvex.dev/ns", own(json!({"timestamp": recent})), COUNTS),
        ("https://example.com/x", own(json!({"timestamp": recent, "metadata": {"finishedOn": recent}})), AGE),
    ];
    for (kind, statement, expected) in table {
        let statement = with(statement, "/predicateType", Some(json!(kind)));
        let attestation = Attestation { predicate_type: kind.to_owned(), max_age: Some(week), ..asked(vec![by(1)]) };
        check_forms(&statement.to_string(), &statement, &attestation, expected);
    }
}

#[test]
fn a_signature_is_no_attestation_but_by_its_own_name() {
    let signed = bundle_layer(&Signer::new(1).bundle(&statement(app().digest)));
    check("bundle", signed.clone(), asked(vec![by(1)]), TYPED);
    check("simple signing", Signer::new(1).simple(app().digest), asked(vec![by(1)]), TYPED);
    check("by its name", signed, Attestation { predicate_type: SIGN.to_owned(), ..asked(vec![by(1)]) }, COUNTS);
    check("something else", layer("application/cose", b"x", &[]), asked(vec![by(1)]), TYPED);
    for artifact in forms(1, &provenance()) {
        let judgement = by_key(&app(), vec![artifact], &Signer::new(1).key());
        assert_eq!(reasons(&judgement), [Reason::NoSignature]);
    }
}

#[test]
fn an_envelope_says_how_it_is_signed_once() {
    let good = Signer::new(1).bundle(&provenance())["dsseEnvelope"].clone();
    let sig = good["signatures"][0].clone();
    let bare = STANDARD.encode(Signer::new(1).sign(provenance().to_string().as_bytes()));
    let table: Vec<(&str, Option<Value>, Expected)> = vec![
        ("/payloadType", Some(json!("application/json")), TYPED),
        ("/payload", Some(json!("*")), FORM),
        ("/payload", Some(json!(STANDARD.encode(b"{}"))), FORM),
        ("/signatures", Some(json!([])), FORM),
        ("/signatures", Some(json!([sig, sig])), FORM),
        ("/signatures", Some(json!([{"sig": sig["sig"], "keyid": "any"}])), COUNTS),
        ("/signatures", Some(json!([{"sig": bare}])), KEY),
        ("/signatures", None, FORM),
        ("/more", Some(json!(1)), FORM),
    ];
    for (pointer, member, expected) in table {
        let envelope = with(good.clone(), pointer, member);
        check(pointer, layer(ENVELOPE, envelope.to_string().as_bytes(), &[]), asked(vec![by(1)]), expected);
    }
}

#[test]
fn a_threshold_counts_distinct_signers_of_attestations() {
    let two = |numbers: &[u8]| Attestation {
        by: Signatures {
            threshold: 2.try_into().unwrap(),
            authorities: numbers.iter().map(|number| by(*number)).collect(),
        },
        ..asked(Vec::new())
    };
    let of = |numbers: &[u8]| -> Vec<Artifact> {
        numbers.iter().enumerate().map(|(index, number)| forms(*number, &provenance())[index % 2].clone()).collect()
    };
    assert!(is_verified(&judged(of(&[1, 2]), two(&[1, 2]))));
    assert_eq!(reasons(&judged(of(&[1, 1]), two(&[1, 2]))), [Reason::ThresholdNotMet]);
    assert_eq!(reasons(&judged(of(&[1, 3]), two(&[1, 2]))), [Reason::ThresholdNotMet]);
    assert_eq!(reasons(&judged(of(&[3, 4]), two(&[1, 2]))), [Reason::SignatureInvalid]);
    assert_eq!(reasons(&judged(Vec::new(), two(&[1, 2]))), [Reason::AttestationMissing]);
}

#[test]
fn any_good_attestation_counts_whatever_lies_beside_it() {
    let late = Attestation { max_age: Some(SignedDuration::from_hours(2)), ..asked(vec![by(1)]) };
    let old = with(provenance(), "/predicate/runDetails/metadata/finishedOn", Some(json!("2020-01-01T00:00:00Z")));
    let mut artifacts = forms(2, &provenance()).to_vec();
    artifacts.extend(forms(1, &old));
    artifacts.push(layer(BUNDLE, b"{", &[]));
    assert_eq!(reasons(&judged(artifacts.clone(), late.clone())), [Reason::AttestationExpired]);
    artifacts.extend(forms(1, &provenance()));
    assert!(is_verified(&judged(artifacts, late)));
}

#[test]
fn every_leaf_needs_an_attestation_of_its_own_where_the_rule_says_so() {
    let leaf = |name: &[u8]| Leaf { digest: Digest::of(name), platform: None };
    let index = PinnedImage { leaves: vec![leaf(b"one"), leaf(b"two")], ..app() };
    let requirement = rule(Platforms::AllLeaves, Demand::Attestation(asked(vec![by(1)])));
    let demands = Demands::new(vec![requirement]).unwrap();
    let about =
        |name: &[u8]| with(provenance(), "/subject", Some(json!([{"digest": {"sha256": Digest::of(name).hex()}}])));
    let answer =
        |name: &[u8], artifacts: Vec<Artifact>| Evidence { digest: Digest::of(name), ..evidence(&app(), artifacts) };
    let one = answer(b"one", forms(1, &about(b"one")).to_vec());
    let two = answer(b"two", forms(1, &about(b"two")).to_vec());
    assert!(is_verified(&verify(&index, &[one.clone(), two], &demands)));
    assert_eq!(
        reasons(&verify(&index, &[one.clone(), answer(b"two", Vec::new())], &demands)),
        [Reason::AttestationMissing]
    );
    assert_eq!(
        reasons(&verify(&index, &[one, answer(b"two", forms(1, &about(b"one")).to_vec())], &demands)),
        [Reason::DigestMismatch]
    );
}

#[test]
fn what_both_cosigns_attested_counts_and_no_change_of_a_byte_does() {
    for (name, kind) in [
        ("attestation-cosign2", "https://cosign.sigstore.dev/attestation/v1"),
        ("attestation-cosign3", "https://example.com/built/v1"),
    ] {
        let fixture = load(name);
        let attestation = Attestation { predicate_type: kind.to_owned(), ..asked(vec![authority("ci", &fixture.key)]) };
        let passes = |artifact: Artifact| {
            let demands = demands(Demand::Attestation(attestation.clone()));
            is_verified(&verify(&fixture.image, &[evidence(&fixture.image, vec![artifact])], &demands))
        };
        let [artifact] = fixture.artifacts.as_slice() else { panic!("{name}") };
        assert!(passes(artifact.clone()), "{name}");
        let original = bytes(artifact);
        let text = String::from_utf8(original.clone()).unwrap();
        // Nobody signs the hint of a key.
        let free = ["\"hint\":\"", "\"keyid\":\""].iter().find_map(|member| {
            let start = text.find(member)? + member.len();
            Some(start..start + text[start..].find('"')?)
        });
        for place in 0..original.len() {
            let mut changed = original.clone();
            changed[place] ^= 1 << (place % 8);
            let unsigned = free.as_ref().is_some_and(|free| free.contains(&place));
            assert!(unsigned || !passes(with_bytes(artifact, changed)), "{name}: byte {place}");
        }
        let unusable = Artifact { content: Content::Bytes(b"{}".to_vec().into()), ..artifact.clone() };
        assert!(!passes(unusable), "{name}");
    }
}
