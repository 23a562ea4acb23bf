//! Attestations by certificates, and by keys with a log, in both storage forms: as strict as signatures.

use jiff::SignedDuration;

use super::*;
use crate::policy::requirement::{Attestation, Demand, Signatures};
use crate::verify::keyless::issuer::Entry;

const TYPE: &str = "https://slsa.dev/provenance/v1";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

fn asked(authority: Authority) -> Attestation {
    let by = Signatures { threshold: 1.try_into().unwrap(), authorities: vec![authority] };
    Attestation { predicate_type: TYPE.to_owned(), by, max_age: None, conditions: Vec::new(), ends: Vec::new() }
}

fn judge(artifact: Artifact, attestation: Attestation, now: Timestamp) -> Judgement {
    verify(&app(), &[evidence(&app(), vec![artifact])], &demands(Demand::Attestation(attestation)), now)
}

/// The old format: an envelope, with certificate and log entry beside it.
fn enveloped(sigstore: &Sigstore, wish: &Wish, kind: Entry) -> Artifact {
    let (envelope, certificate, body) = sigstore.envelope(wish, &attestation(app().digest), kind);
    let logged = sigstore.annotation(&body, wish.signed_at).to_string();
    layer(ENVELOPE, envelope.to_string().as_bytes(), &[(CERTIFICATE, &certificate), (LOGGED, &logged)])
}

fn forms(sigstore: &Sigstore, wish: &Wish) -> [Artifact; 3] {
    [
        bundle_layer(&sigstore.bundle(wish, &attestation(app().digest))),
        enveloped(sigstore, wish, Entry::Dsse),
        enveloped(sigstore, wish, Entry::Intoto),
    ]
}

#[test]
fn a_certificate_in_a_log_attests_in_every_form() {
    let sigstore = Sigstore::new();
    for artifact in forms(&sigstore, &Wish::default()) {
        let judgement = judge(artifact, asked(acme(&sigstore)), NOW);
        expect("forged", &judgement, None);
        assert_eq!(only(&judgement).signer.as_deref(), Some(format!("{ISSUER} {SUBJECT}").as_str()));
    }
}

#[test]
fn what_is_wrong_with_a_certificate_or_a_log_refuses_in_every_form() {
    let sigstore = Sigstore::new();
    let certificate = Some((Check::Certificate, Reason::CertificateInvalid));
    let identity = Some((Check::Identity, Reason::IdentityMismatch));
    let time = Some((Check::Time, Reason::TransparencyLogInvalid));
    let unlogged = Wish { certificate_logged: false, ..Wish::default() };
    let server = Wish { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Wish::default() };
    let jane = Wish { subject: "jane@example.com", ..Wish::default() };
    for (what, wish, authority, expected) in [
        ("no certificate log", &unlogged, acme(&sigstore), certificate),
        ("for a server", &server, acme(&sigstore), certificate),
        ("another subject", &jane, acme(&sigstore), identity),
        (
            "another issuer",
            &Wish::default(),
            keyless(vec![exactly("https://other.example.com", SUBJECT)], sigstore.root()),
            identity,
        ),
    ] {
        for artifact in forms(&sigstore, wish) {
            expect(what, &judge(artifact, asked(authority.clone()), NOW), expected);
        }
    }
    for artifact in forms(&sigstore, &Wish::default()) {
        let before = Timestamp::from_second(SIGNED_AT - 1).unwrap();
        expect("in the future", &judge(artifact.clone(), asked(acme(&sigstore)), before), time);
        let foreign = judge(artifact, asked(acme(&Sigstore::new())), NOW);
        assert!(!passes(&foreign), "another root");
    }
}

#[test]
fn the_log_entry_is_bound_to_this_envelope_and_this_certificate() {
    let sigstore = Sigstore::new();
    let log = Some((Check::Log, Reason::TransparencyLogInvalid));
    let key = Some((Check::Key, Reason::SignatureInvalid));
    for kind in [Entry::Dsse, Entry::Intoto] {
        let (one, other) = (enveloped(&sigstore, &Wish::default(), kind), enveloped(&sigstore, &Wish::default(), kind));
        for (name, value, expected) in [
            (LOGGED, Some(other.annotations[LOGGED].clone()), log),
            (LOGGED, Some("{}".to_owned()), log),
            (LOGGED, None, log),
            (CERTIFICATE, None, key),
        ] {
            let mut changed = one.clone();
            match &value {
                Some(value) => changed.annotations.insert(name.to_owned(), value.clone()),
                None => changed.annotations.remove(name),
            };
            expect(&format!("{kind:?} {name} {value:?}"), &judge(changed, asked(acme(&sigstore)), NOW), expected);
        }
        let mut foreign = one.clone();
        foreign.annotations.insert(CERTIFICATE.to_owned(), other.annotations[CERTIFICATE].clone());
        assert!(!passes(&judge(foreign, asked(acme(&sigstore)), NOW)), "{kind:?}: another certificate");
    }
}

#[test]
fn an_age_counts_from_the_proven_time() {
    let sigstore = Sigstore::new();
    let age = Some((Check::Age, Reason::AttestationExpired));
    let signed = Timestamp::from_second(SIGNED_AT).unwrap();
    let (key, by_key) = sigstore.by_key(&attestation(app().digest));
    let logged = with_signer("ci", Signer::Key(key, Some(sigstore.root())));
    let mut cases: Vec<(Artifact, Authority)> =
        forms(&sigstore, &Wish::default()).map(|artifact| (artifact, acme(&sigstore))).to_vec();
    cases.push((bundle_layer(&by_key), logged));
    for (artifact, authority) in cases {
        let young = Attestation { max_age: Some(SignedDuration::from_hours(1)), ..asked(authority) };
        let at = |seconds: i64| signed + SignedDuration::from_secs(seconds);
        expect("an hour later", &judge(artifact.clone(), young.clone(), at(3600)), None);
        expect("later still", &judge(artifact, young, at(3601)), age);
    }
}

#[test]
fn no_single_byte_of_an_envelope_or_its_annotations_makes_another_attestation_count() {
    let sigstore = Sigstore::new();
    let artifact = enveloped(&sigstore, &Wish::default(), Entry::Dsse);
    let counts = |changed: Artifact| passes(&judge(changed, asked(acme(&sigstore)), NOW));
    assert!(counts(artifact.clone()));
    let whole = fixtures::bytes(&artifact);
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        assert!(!counts(fixtures::with_bytes(&artifact, changed)), "byte {place} of the envelope");
    }
    for name in [CERTIFICATE, LOGGED] {
        let text = artifact.annotations[name].clone();
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let mut artifact = artifact.clone();
            artifact.annotations.insert(name.to_owned(), changed);
            // Where the lines of a certificate end is nobody's concern.
            let free = name == CERTIFICATE && text.as_bytes()[place] == b'\n';
            assert!(free || !counts(artifact), "character {place} of {name}");
        }
    }
}
