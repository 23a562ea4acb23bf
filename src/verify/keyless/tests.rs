//! What certificates and logs prove, with a sigstore of the tests' own: everything in order counts, and each part made
//! wrong is refused at its check.

mod attestations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use super::issuer::{ISSUER, SIGNED_AT, SUBJECT, Sigstore, Wish, attestation, hashed, utf8_string};
use crate::artifact::Artifact;
use crate::image::{Digest, Leaf, PinnedImage};
use crate::policy::requirement::{Authority, Demand, Revoked, Signer, Validity, Waiver};
use crate::reason::Reason;
use crate::signer::PublicKey;
use crate::signer::claim::Claim;
use crate::signer::identity::{Expected, Identity};
use crate::signer::root::TrustRoot;
use crate::verify::fixtures::{
    self, NOW, SIGNATURE, SIMPLE, authority, bundle_layer, claim, demands, evidence, image, layer, signatures,
    statement,
};
use crate::verify::verdict::{Candidate, Check, Judgement, Verdict};
use crate::verify::verify;

const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const LOGGED: &str = "dev.sigstore.cosign/bundle";

fn app() -> PinnedImage {
    image("registry.example.com/team/app", Digest::of(b"app"))
}

fn exactly(issuer: &str, subject: &str) -> Identity {
    Identity {
        issuer: Expected::exactly(issuer).unwrap(),
        subject: Expected::exactly(subject).unwrap(),
        claims: BTreeMap::new(),
    }
}

fn identity(issuer: Expected, subject: Expected) -> Identity {
    Identity { issuer, subject, claims: BTreeMap::new() }
}

fn keyless(identities: Vec<Identity>, root: TrustRoot) -> Authority {
    with_signer("github", Signer::Identity(identities, root))
}

fn with_signer(name: &str, signer: Signer) -> Authority {
    Authority { signer, ..authority(name, &fixtures::Signer::new(9).key()) }
}

fn judged(artifacts: Vec<Artifact>, authority: Authority, now: Timestamp) -> Judgement {
    verify(&app(), &[evidence(&app(), artifacts)], &demands(signatures(1, vec![authority])), now)
}

fn passes(judgement: &Judgement) -> bool {
    matches!(judgement.verdict, Verdict::Verified(_))
}

fn only(judgement: &Judgement) -> &Candidate {
    let [candidate] = judgement.candidates.as_slice() else { panic!("{judgement:?}") };
    candidate
}

/// Asserts that the only candidate fails at a check with a reason, or counts.
fn expect(what: &str, judgement: &Judgement, expected: Option<(Check, Reason)>) {
    let candidate = only(judgement);
    let reasons: Vec<Reason> = judgement.verdict.findings().iter().map(|finding| finding.reason).collect();
    assert_eq!(candidate.failed, expected.map(|(check, _)| check), "{what}: {}", candidate.message);
    assert_eq!(reasons, expected.map(|(_, reason)| reason).as_slice(), "{what}: {}", candidate.message);
}

fn acme(sigstore: &Sigstore) -> Authority {
    keyless(vec![exactly(ISSUER, SUBJECT)], sigstore.root())
}

fn bundle(sigstore: &Sigstore, wish: &Wish) -> Value {
    sigstore.bundle(wish, &statement(app().digest))
}

/// The old format: a payload, signed by a certificate, in the log.
fn attached(sigstore: &Sigstore, wish: &Wish) -> Artifact {
    let certificate = sigstore.issue(wish);
    let payload = claim(app().digest).to_string();
    let signature = certificate.sign(payload.as_bytes());
    let logged = sigstore.annotation(&hashed(payload.as_bytes(), &signature, &certificate.pem), wish.signed_at);
    let annotations = [
        (SIGNATURE, STANDARD.encode(&signature)),
        (CERTIFICATE, certificate.pem.clone()),
        (LOGGED, logged.to_string()),
    ];
    let annotations: Vec<(&str, &str)> = annotations.iter().map(|(name, value)| (*name, value.as_str())).collect();
    layer(SIMPLE, payload.as_bytes(), &annotations)
}

#[test]
fn a_certificate_in_a_log_counts_in_both_forms() {
    let sigstore = Sigstore::new();
    let wish = Wish::default();
    for artifact in [bundle_layer(&bundle(&sigstore, &wish)), attached(&sigstore, &wish)] {
        let judgement = judged(vec![artifact], acme(&sigstore), NOW);
        expect("forged", &judgement, None);
        assert_eq!(only(&judgement).signer.as_deref(), Some(format!("{ISSUER} {SUBJECT}").as_str()));
    }
}

#[test]
fn an_email_address_is_a_subject() {
    let sigstore = Sigstore::new();
    let wish = Wish { subject: "jane@example.com", ..Wish::default() };
    let jane = keyless(vec![exactly(ISSUER, "jane@example.com")], sigstore.root());
    expect("forged", &judged(vec![bundle_layer(&bundle(&sigstore, &wish))], jane, NOW), None);
}

#[test]
fn issuer_and_subject_must_be_of_one_identity() {
    let sigstore = Sigstore::new();
    let miss = Some((Check::Identity, Reason::IdentityMismatch));
    let pattern = |text: &str| Expected::matching(text).unwrap();
    let exact = |text: &str| Expected::exactly(text).unwrap();
    let cases = [
        (vec![exactly(ISSUER, SUBJECT)], None),
        (vec![exactly(ISSUER, "other"), exactly(ISSUER, SUBJECT)], None),
        (vec![exactly(ISSUER, "other"), exactly("other", SUBJECT)], miss),
        (vec![exactly("https://token.example.co", SUBJECT)], miss),
        (vec![exactly(ISSUER, &SUBJECT[..SUBJECT.len() - 1])], miss),
        (vec![exactly(SUBJECT, ISSUER)], miss),
        (vec![identity(exact(ISSUER), pattern("https://example.com/acme/.+@refs/tags/.+"))], None),
        (vec![identity(exact(ISSUER), pattern("https://example.com/acme/"))], miss),
        (vec![identity(exact(ISSUER), pattern("acme"))], miss),
        (vec![identity(pattern("https://token"), exact(SUBJECT))], miss),
        (vec![identity(pattern("https://token.*"), exact(SUBJECT))], None),
    ];
    for (identities, expected) in cases {
        for artifact in [bundle_layer(&bundle(&sigstore, &Wish::default())), attached(&sigstore, &Wish::default())] {
            let authority = keyless(identities.clone(), sigstore.root());
            expect(&format!("{identities:?}"), &judged(vec![artifact], authority, NOW), expected);
        }
    }
}

#[test]
fn each_wish_made_wrong_is_refused_at_its_check() {
    let sigstore = Sigstore::new();
    let invalid = Some((Check::Certificate, Reason::CertificateInvalid));
    let day = 24 * 3_600;
    let cases = [
        ("no issuer", Wish { issuer: None, ..Wish::default() }, invalid),
        ("two names", Wish { further: Some("jane@example.com"), ..Wish::default() }, invalid),
        ("for a server", Wish { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Wish::default() }, invalid),
        ("not in the certificates' log", Wish { certificate_logged: false, ..Wish::default() }, invalid),
        ("before its life", Wish { signed_at: SIGNED_AT - day, ..Wish::default() }, invalid),
        ("after its life", Wish { signed_at: SIGNED_AT + day, ..Wish::default() }, invalid),
    ];
    for (what, wish, expected) in cases {
        for artifact in [bundle_layer(&bundle(&sigstore, &wish)), attached(&sigstore, &wish)] {
            expect(what, &judged(vec![artifact], acme(&sigstore), NOW), expected);
        }
    }
}

#[test]
fn claims_about_the_build_are_further_conditions() {
    let sigstore = Sigstore::new();
    let mismatch = Some((Check::Identity, Reason::IdentityMismatch));
    let invalid = Some((Check::Certificate, Reason::CertificateInvalid));
    let text = utf8_string;
    let raw = |text: &str| text.as_bytes().to_vec();
    let asked = BTreeMap::from([
        (Claim::BuildTrigger, Expected::exactly("push").unwrap()),
        (Claim::GithubWorkflowRef, Expected::matching("refs/tags/v[0-9]+").unwrap()),
    ]);
    let cases = [
        ("both", vec![(20, text("push")), (6, raw("refs/tags/v1"))], None),
        ("and more", vec![(11, text("self-hosted")), (20, text("push")), (6, raw("refs/tags/v1"))], None),
        ("another value", vec![(20, text("pull_request")), (6, raw("refs/tags/v1"))], mismatch),
        ("only a part", vec![(20, text("push")), (6, raw("refs/tags/v1-rc"))], mismatch),
        ("one of two", vec![(20, text("push"))], mismatch),
        ("none", vec![], mismatch),
        ("a text that is none", vec![(20, raw("push")), (6, raw("refs/tags/v1"))], mismatch),
        ("more behind", vec![(20, [text("push"), vec![0]].concat()), (6, raw("refs/tags/v1"))], mismatch),
        ("under another number", vec![(2, raw("push")), (6, raw("refs/tags/v1"))], mismatch),
        ("twice", vec![(20, text("pull_request")), (20, text("push")), (6, raw("refs/tags/v1"))], invalid),
    ];
    for (what, claims, expected) in cases {
        let wish = Wish { claims, ..Wish::default() };
        let identity = Identity { claims: asked.clone(), ..exactly(ISSUER, SUBJECT) };
        for artifact in [bundle_layer(&bundle(&sigstore, &wish)), attached(&sigstore, &wish)] {
            let authority = keyless(vec![identity.clone()], sigstore.root());
            expect(what, &judged(vec![artifact], authority, NOW), expected);
        }
    }
    // Every claim is asked under its own number.
    for claim in Claim::ALL {
        let content = if claim.number() < 8 { raw("value") } else { text("value") };
        let wish = Wish { claims: vec![(u64::from(claim.number()), content)], ..Wish::default() };
        let artifact = bundle_layer(&bundle(&sigstore, &wish));
        for (value, expected) in [("value", None), ("other", mismatch)] {
            let claims = BTreeMap::from([(*claim, Expected::exactly(value).unwrap())]);
            let identity = Identity { claims, ..exactly(ISSUER, SUBJECT) };
            let authority = keyless(vec![identity], sigstore.root());
            expect(claim.name(), &judged(vec![artifact.clone()], authority, NOW), expected);
        }
    }
}

#[test]
fn a_root_that_ended_proves_nothing() {
    let sigstore = Sigstore::new();
    let artifact = bundle_layer(&bundle(&sigstore, &Wish::default()));
    let until = |end| keyless(vec![exactly(ISSUER, SUBJECT)], sigstore.root().until(Some(end)));
    let later = NOW + std::time::Duration::from_secs(1);
    expect("later", &judged(vec![artifact.clone()], until(later), NOW), None);
    let judgement = judged(vec![artifact.clone()], until(NOW), NOW);
    assert!(matches!(&judgement.verdict, Verdict::Undecided(found) if found[0].reason == Reason::TrustRootUnavailable));
    // Others of the rule count still.
    let two = vec![until(NOW), Authority { name: "other".to_owned(), ..until(later) }];
    let demands = demands(signatures(1, two));
    assert!(passes(&verify(&app(), &[evidence(&app(), vec![artifact])], &demands, NOW)));
}

#[test]
fn a_time_after_now_is_refused() {
    let sigstore = Sigstore::new();
    let before = Timestamp::from_second(SIGNED_AT - 1).unwrap();
    let exactly = Timestamp::from_second(SIGNED_AT).unwrap();
    let future = Some((Check::Time, Reason::TransparencyLogInvalid));
    for artifact in [bundle_layer(&bundle(&sigstore, &Wish::default())), attached(&sigstore, &Wish::default())] {
        expect("later", &judged(vec![artifact.clone()], acme(&sigstore), before), future);
        expect("now", &judged(vec![artifact], acme(&sigstore), exactly), None);
    }
}

#[test]
fn each_part_of_the_root_is_needed() {
    let (sigstore, other) = (Sigstore::new(), Sigstore::new());
    let certificate = Some((Check::Certificate, Reason::CertificateInvalid));
    let log = Some((Check::Log, Reason::TransparencyLogInvalid));
    let ended = json!({"start": "2025-01-01T00:00:00Z", "end": "2025-10-01T00:00:00Z"});
    let cases = [
        ("/certificateAuthorities", other.root_value()["certificateAuthorities"].clone(), certificate),
        ("/ctlogs", other.root_value()["ctlogs"].clone(), certificate),
        ("/tlogs", other.root_value()["tlogs"].clone(), log),
        ("/certificateAuthorities/0/validFor", ended.clone(), certificate),
        ("/ctlogs/0/publicKey/validFor", ended.clone(), certificate),
        ("/tlogs/0/publicKey/validFor", ended, log),
    ];
    for (part, value, expected) in cases {
        let mut root = sigstore.root_value();
        *root.pointer_mut(part).unwrap() = value;
        let root = TrustRoot::from_json(root.to_string().as_bytes()).unwrap();
        for artifact in [bundle_layer(&bundle(&sigstore, &Wish::default())), attached(&sigstore, &Wish::default())] {
            let authority = keyless(vec![exactly(ISSUER, SUBJECT)], root.clone());
            expect(part, &judged(vec![artifact], authority, NOW), expected);
        }
    }
}

#[test]
fn each_part_of_a_bundle_is_bound_to_the_others() {
    let sigstore = Sigstore::new();
    let (one, other) = (bundle(&sigstore, &Wish::default()), bundle(&sigstore, &Wish::default()));
    let log = Some((Check::Log, Reason::TransparencyLogInvalid));
    let signature = Some((Check::Signature, Reason::SignatureInvalid));
    let entry = "/verificationMaterial/tlogEntries/0";
    let at = |path: &str| format!("{entry}/{path}");
    let same = |path: &str| (path.to_owned(), other.pointer(path).unwrap().clone());
    let cases = [
        (same("/verificationMaterial/tlogEntries"), log),
        (same("/verificationMaterial/certificate"), signature),
        (same("/dsseEnvelope/signatures"), signature),
        (same(&at("inclusionPromise")), log),
        (same(&at("inclusionProof")), log),
        (same(&at("canonicalizedBody")), log),
        ((at("integratedTime"), json!((SIGNED_AT + 1).to_string())), log),
        ((at("logIndex"), json!("1")), log),
        ((at("inclusionProof/treeSize"), json!("2")), log),
        (("/verificationMaterial/tlogEntries".to_owned(), json!([])), log),
    ];
    for ((path, value), expected) in cases {
        let mut changed = one.clone();
        *changed.pointer_mut(&path).unwrap() = value;
        expect(&path, &judged(vec![bundle_layer(&changed)], acme(&sigstore), NOW), expected);
    }
}

#[test]
fn what_a_bundle_is_about_and_what_for_counts_as_with_keys() {
    let sigstore = Sigstore::new();
    let wish = Wish::default();
    let cases = [
        (statement(Digest::of(b"other")), Some((Check::Digest, Reason::DigestMismatch))),
        (attestation(app().digest), Some((Check::Type, Reason::NoSignature))),
    ];
    for (statement, expected) in cases {
        let bundle = bundle_layer(&sigstore.bundle(&wish, &statement));
        expect(&statement.to_string(), &judged(vec![bundle], acme(&sigstore), NOW), expected);
    }
    let mut stage = acme(&sigstore);
    stage.annotations.insert("stage".to_owned(), "release".to_owned());
    let expected = Some((Check::Annotations, Reason::AnnotationMismatch));
    expect("stage", &judged(vec![bundle_layer(&bundle(&sigstore, &wish))], stage, NOW), expected);
}

#[test]
fn each_annotation_of_the_old_format_is_bound_to_the_others() {
    let sigstore = Sigstore::new();
    let (one, other) = (attached(&sigstore, &Wish::default()), attached(&sigstore, &Wish::default()));
    let log = Some((Check::Log, Reason::TransparencyLogInvalid));
    let key = Some((Check::Key, Reason::SignatureInvalid));
    let signature = Some((Check::Signature, Reason::SignatureInvalid));
    let form = Some((Check::Form, Reason::Malformed));
    let later = one.annotations[LOGGED].replace(&SIGNED_AT.to_string(), &(SIGNED_AT + 1).to_string());
    let twice = format!("{0}{0}", one.annotations[CERTIFICATE]);
    let cases: [(&str, Option<String>, _); 10] = [
        (SIGNATURE, Some(other.annotations[SIGNATURE].clone()), signature),
        (CERTIFICATE, Some(other.annotations[CERTIFICATE].clone()), signature),
        (CERTIFICATE, Some(twice), form),
        (CERTIFICATE, Some("text".to_owned()), form),
        (CERTIFICATE, None, key),
        (LOGGED, Some(other.annotations[LOGGED].clone()), log),
        (LOGGED, Some(later), log),
        (LOGGED, Some("{}".to_owned()), log),
        (LOGGED, None, log),
        ("dev.sigstore.cosign/rfc3161timestamp", Some("{}".to_owned()), form),
    ];
    for (name, value, expected) in cases {
        let mut changed = one.clone();
        match &value {
            Some(value) => changed.annotations.insert(name.to_owned(), value.clone()),
            None => changed.annotations.remove(name),
        };
        expect(&format!("{name} {value:?}"), &judged(vec![changed], acme(&sigstore), NOW), expected);
    }
}

#[test]
fn a_key_with_a_required_log_needs_both() {
    let sigstore = Sigstore::new();
    let (key, bundle) = sigstore.by_key(&statement(app().digest));
    let logged = |key: &PublicKey, root| with_signer("ci", Signer::Key(key.clone(), Some(root)));
    let judge = |bundle: &Value, authority| judged(vec![bundle_layer(bundle)], authority, NOW);
    expect("in the log", &judge(&bundle, logged(&key, sigstore.root())), None);
    let log = Some((Check::Log, Reason::TransparencyLogInvalid));
    expect("of another", &judge(&bundle, logged(&key, Sigstore::new().root())), log);
    let (stranger, other) = sigstore.by_key(&statement(app().digest));
    let by_another = Some((Check::Key, Reason::SignatureInvalid));
    expect("by another", &judge(&bundle, logged(&stranger, sigstore.root())), by_another);
    let mut without = bundle.clone();
    without["verificationMaterial"]["tlogEntries"] = json!([]);
    expect("in no log", &judge(&without, logged(&key, sigstore.root())), log);
    expect("ignored", &judge(&without, with_signer("ci", Signer::Key(key.clone(), None))), None);
    let mut swapped = bundle.clone();
    swapped["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"].clone();
    expect("of another signature", &judge(&swapped, logged(&key, sigstore.root())), log);
}

#[test]
fn a_key_counts_in_its_time_alone() {
    let sigstore = Sigstore::new();
    let (key, logged) = sigstore.by_key(&statement(app().digest));
    let mut plain = logged.clone();
    plain["verificationMaterial"]["tlogEntries"] = json!([]);
    let hour = std::time::Duration::from_hours(1);
    let signed = Timestamp::from_second(SIGNED_AT).unwrap();
    let outside = Some((Check::Time, Reason::SignatureInvalid));
    let with = |root, from, until| Authority {
        validity: Validity { from, until },
        ..with_signer("ci", Signer::Key(key.clone(), root))
    };
    for (proven, bundle, root) in [(signed, &logged, Some(sigstore.root())), (NOW, &plain, None)] {
        let cases = [
            (None, None, None),
            (Some(proven - hour), Some(proven + hour), None),
            (Some(proven), None, None),
            (None, Some(proven), outside),
            (Some(proven + hour), None, outside),
            (None, Some(proven - hour), outside),
        ];
        for (from, until, expected) in cases {
            let authority = with(root.clone(), from, until);
            expect("time", &judged(vec![bundle_layer(bundle)], authority, NOW), expected);
        }
    }
    // What a log proves does not change when the key's time is over.
    let ended = with(Some(sigstore.root()), None, Some(signed + hour));
    expect("ended", &judged(vec![bundle_layer(&logged)], ended, NOW), None);
    let ended = with(None, None, Some(signed + hour));
    expect("not proven", &judged(vec![bundle_layer(&plain)], ended, NOW), outside);
}

#[test]
fn what_is_revoked_counts_no_more() {
    let sigstore = Sigstore::new();
    let revoked = Some((Check::Revocation, Reason::Revoked));
    let (key, by_key) = sigstore.by_key(&statement(app().digest));
    let by_key = bundle_layer(&by_key);
    let logged = || with_signer("ci", Signer::Key(key.clone(), Some(sigstore.root())));
    let plain = || with_signer("ci", Signer::Key(key.clone(), None));
    let certified = bundle(&sigstore, &Wish::default());
    let der = STANDARD.decode(certified["verificationMaterial"]["certificate"]["rawBytes"].as_str().unwrap()).unwrap();
    let [print, key_print] = super::claimed(&sigstore_verify::types::DerCertificate::new(der)).unwrap().prints();
    let certified = bundle_layer(&certified);
    let digests = |digest| Revoked { digests: BTreeSet::from([digest]), ..Revoked::default() };
    let prints = |digest| Revoked { fingerprints: BTreeSet::from([digest]), ..Revoked::default() };
    let indexes = |index| Revoked { log_indexes: BTreeSet::from([index]), ..Revoked::default() };
    let cases = [
        ("nothing", &by_key, logged(), Revoked::default(), None),
        ("the key", &by_key, logged(), prints(key.fingerprint()), revoked),
        ("the key, no log asked", &by_key, plain(), prints(key.fingerprint()), revoked),
        ("another key", &by_key, logged(), prints(Digest::of(b"other")), None),
        ("the bundle", &by_key, logged(), digests(by_key.digest.unwrap()), revoked),
        ("its manifest", &by_key, logged(), digests(by_key.manifest), revoked),
        ("the log's entry", &by_key, logged(), indexes(0), revoked),
        ("another entry", &by_key, logged(), indexes(1), None),
        ("an entry of no log that is asked", &by_key, plain(), indexes(0), None),
        ("the certificate", &certified, acme(&sigstore), prints(print), revoked),
        ("its key", &certified, acme(&sigstore), prints(key_print), revoked),
        ("the certified bundle", &certified, acme(&sigstore), digests(certified.digest.unwrap()), revoked),
        ("its log's entry", &certified, acme(&sigstore), indexes(0), revoked),
    ];
    for (what, artifact, authority, list, expected) in cases {
        let demands = demands(signatures(1, vec![authority])).without(Arc::new(list));
        expect(what, &verify(&app(), &[evidence(&app(), vec![artifact.clone()])], &demands, NOW), expected);
    }
}

#[test]
fn a_revoked_image_is_refused_whoever_vouches_for_it() {
    let waiver = Waiver { reason: "r".to_owned(), owner: "o".to_owned(), expires: "2099-01-01".to_owned() };
    let leaf = Leaf { digest: Digest::of(b"leaf"), platform: None };
    let index = PinnedImage { leaves: vec![leaf.clone()], ..app() };
    for demand in [Demand::Unsigned, Demand::Excepted(waiver)] {
        for (digest, expected) in [(app().digest, true), (leaf.digest, true), (Digest::of(b"other"), false)] {
            let list = Revoked { digests: BTreeSet::from([digest]), ..Revoked::default() };
            let judgement = verify(&index, &[], &demands(demand.clone()).without(Arc::new(list)), NOW);
            let reasons: Vec<Reason> = judgement.verdict.findings().iter().map(|finding| finding.reason).collect();
            assert_eq!(reasons == [Reason::Revoked], expected, "{digest} {judgement:?}");
            assert_eq!(passes(&judgement), !expected);
        }
    }
}

#[test]
fn a_key_is_no_identity_and_an_identity_no_key() {
    let sigstore = Sigstore::new();
    let stranger = Some((Check::Key, Reason::SignatureInvalid));
    let (key, by_key) = sigstore.by_key(&statement(app().digest));
    expect("key", &judged(vec![bundle_layer(&by_key)], acme(&sigstore), NOW), stranger);
    let certified = bundle_layer(&bundle(&sigstore, &Wish::default()));
    let ci = with_signer("ci", Signer::Key(key, None));
    expect("certificate", &judged(vec![certified], ci, NOW), stranger);
}

#[test]
fn one_identity_is_one_signer_however_many_certificates_it_has() {
    let sigstore = Sigstore::new();
    let jane = Wish { subject: "jane@example.com", ..Wish::default() };
    let two = demands(signatures(
        2,
        ["first", "second"]
            .map(|name| {
                let any = |text| Expected::matching(text).unwrap();
                let identity = Identity { issuer: any(".+"), subject: any(".+"), claims: BTreeMap::new() };
                Authority { name: name.to_owned(), ..keyless(vec![identity], sigstore.root()) }
            })
            .to_vec(),
    ));
    let judge = |wishes: [&Wish; 2]| {
        let artifacts = wishes.map(|wish| bundle_layer(&bundle(&sigstore, wish))).to_vec();
        verify(&app(), &[evidence(&app(), artifacts)], &two, NOW)
    };
    assert!(!passes(&judge([&Wish::default(), &Wish::default()])));
    assert!(passes(&judge([&Wish::default(), &jane])));
}

/// Every byte of a bundle, changed: only what nobody signs may differ, and then it is the same signature by the same
/// signer.
#[test]
fn no_single_byte_of_a_bundle_makes_another_signer_count() {
    let sigstore = Sigstore::new();
    let whole = bundle(&sigstore, &Wish::default()).to_string();
    let authority = acme(&sigstore);
    let mut free = Vec::new();
    for place in 0..whole.len() {
        let mut changed = whole.clone().into_bytes();
        changed[place] ^= 1;
        let artifact = layer(fixtures::BUNDLE, &changed, &[]);
        if passes(&judged(vec![artifact], authority.clone(), NOW)) {
            free.push(place);
        }
    }
    // A member that stands at its default may as well be absent, under whatever name.
    let named = ["\"logIndex\":\"0\"", "\"hashes\":[]"];
    let spelled = named.iter().flat_map(|member| {
        let name = member.split('"').nth(1).unwrap().len();
        whole.match_indices(member).flat_map(move |(at, _)| at + 1..=at + name)
    });
    let mut unread: Vec<usize> = spelled.collect();
    unread.sort_unstable();
    assert_eq!(free, unread);
}
