//! What real cosigns wrote with a log beside it: it verifies, every field of a policy counts in both forms, and no byte
//! that means anything can be changed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::fixtures::{self, Signer, authority, bytes, rule, signatures, stored, with_bytes};
use super::super::verify;
use super::*;
use crate::image::{Digest, Repository};
use crate::policy::requirement::{self as policy, Platforms, Requirement, SignedReference};
use crate::signer::identity::{Expected, Identity};
use crate::signer::root::TrustRoot;
use crate::verify::keyless::issuer::Sigstore;
use jiff::Timestamp;

/// After all of them were made.
const LATER: Timestamp = Timestamp::constant(1_830_000_000, 0);
const ISSUER: &str = "https://token.example.com";
const SUBJECT: &str = "https://example.com/acme/app/release.yml@refs/tags/v1";

/// By certificate and by key, in both forms, with both logs.
const FIXTURES: [&str; 6] = [
    "sig-cosign2-keyless-rekor1",
    "sig-cosign2-p256-rekor1",
    "bundle-cosign3-keyless-rekor1",
    "bundle-cosign3-keyless-rekor2",
    "bundle-cosign3-p256-rekor1",
    "bundle-cosign3-p256-rekor2",
];

/// An image with what lies beside it, and one rule of one authority.
struct Case {
    name: &'static str,
    image: PinnedImage,
    artifacts: Vec<Artifact>,
    authority: Authority,
    platforms: Platforms,
    threshold: usize,
    now: Timestamp,
}

impl Case {
    fn of(name: &'static str) -> Self {
        let (image, artifacts) = stored(name);
        let signer = if name.contains("keyless") {
            policy::Signer::Identity(vec![identity(ISSUER, SUBJECT)], root())
        } else {
            policy::Signer::Key(fixtures::key(name, "key.pub"), Some(root()))
        };
        let authority = Authority { signer, ..authority("ci", &Signer::new(9).key()) };
        Self { name, image, artifacts, authority, platforms: Platforms::Index, threshold: 1, now: LATER }
    }

    fn judged(&self) -> Judgement {
        let demand = signatures(self.threshold, vec![self.authority.clone()]);
        let demands = Demands::new(vec![Requirement { ..rule(self.platforms.clone(), demand) }]).unwrap();
        verify(&self.image, &[evidence(&self.image, self.artifacts.clone())], &demands, self.now)
    }

    fn passes(&self) -> bool {
        is_verified(&self.judged())
    }

    fn is_bundle(&self) -> bool {
        self.name.starts_with("bundle")
    }

    fn identities(&mut self) -> Option<&mut Vec<Identity>> {
        match &mut self.authority.signer {
            policy::Signer::Identity(identities, _) => Some(identities),
            policy::Signer::Key(..) => None,
        }
    }

    fn set_root(&mut self, other: Option<TrustRoot>) {
        match (&mut self.authority.signer, other) {
            (policy::Signer::Identity(_, root), Some(other)) => *root = other,
            (policy::Signer::Key(_, root), other) => *root = other,
            (policy::Signer::Identity(..), None) => {}
        }
    }
}

fn root() -> TrustRoot {
    TrustRoot::from_json(include_bytes!("../../../tests/fixtures/signatures/private-root.json")).unwrap()
}

fn identity(issuer: &str, subject: &str) -> Identity {
    let exactly = |text| Expected::exactly(text).unwrap();
    Identity { issuer: exactly(issuer), subject: exactly(subject), claims: BTreeMap::new() }
}

#[test]
fn what_real_signers_logged_verifies() {
    for name in FIXTURES {
        let case = Case::of(name);
        assert!(case.passes(), "{name}: {:?}", case.judged());
    }
}

#[test]
fn the_matching_value_of_every_policy_field_keeps_the_verdict() {
    type Flip = (&'static str, fn(&mut Case));
    let flips: [Flip; 5] = [
        ("issuerRegExp", |case| {
            let issuer = Expected::matching(r"https://token\..+").unwrap();
            case.identities().into_iter().flatten().for_each(|one| one.issuer = issuer.clone());
        }),
        ("subjectRegExp", |case| {
            let subject = Expected::matching(r"https://example\.com/acme/.+@refs/tags/v\d+").unwrap();
            case.identities().into_iter().flatten().for_each(|one| one.subject = subject.clone());
        }),
        ("a second identity", |case| {
            case.identities().into_iter().for_each(|all| all.insert(0, identity("https://other", "other")));
        }),
        ("signedReference", |case| {
            if !case.is_bundle() {
                case.authority.signed_reference = SignedReference::Repository;
            }
        }),
        ("transparencyLog: ignore", |case| case.set_root(None)),
    ];
    for name in FIXTURES {
        for (field, flip) in flips {
            let mut case = Case::of(name);
            flip(&mut case);
            assert!(case.passes(), "{name}: {field}: {:?}", case.judged());
        }
    }
}

/// One value that does not match flips the verdict, whatever else matches.
#[test]
fn flipping_any_policy_field_flips_the_verdict_in_both_forms() {
    type Flip = (&'static str, fn(&mut Case) -> bool, &'static [Reason]);
    let invalid: &[Reason] = &[Reason::TransparencyLogInvalid, Reason::CertificateInvalid];
    let flips: [Flip; 16] = [
        ("key", |case| set_key(case, Signer::new(8).key()), &[Reason::SignatureInvalid]),
        ("keyless in the place of key", |case| swap_signer(case), &[Reason::SignatureInvalid]),
        (
            "issuer",
            |case| set_identity(case, identity("https://other.example.com", SUBJECT)),
            &[Reason::IdentityMismatch],
        ),
        (
            "subject",
            |case| set_identity(case, identity(ISSUER, "https://example.com/other")),
            &[Reason::IdentityMismatch],
        ),
        (
            "issuer and subject swapped",
            |case| set_identity(case, identity(SUBJECT, ISSUER)),
            &[Reason::IdentityMismatch],
        ),
        ("issuerRegExp of a part", |case| patterns(case, "token", ".*"), &[Reason::IdentityMismatch]),
        ("subjectRegExp of a part", |case| patterns(case, ".*", "acme"), &[Reason::IdentityMismatch]),
        (
            "subjectRegExp by alternation",
            |case| patterns(case, ".*", "x|https://example.com/acme"),
            &[Reason::IdentityMismatch],
        ),
        ("trustRoot", |case| also(case, |case| case.set_root(Some(Sigstore::new().root()))), invalid),
        (
            "annotations",
            |case| also(case, |case| drop(case.authority.annotations.insert("stage".into(), "prod".into()))),
            &[Reason::AnnotationMismatch],
        ),
        (
            "signedReference",
            |case| {
                case.authority.signed_reference = SignedReference::Repository;
                // A bundle names none; the payload names this one.
                case.is_bundle()
            },
            &[Reason::IdentityMismatch],
        ),
        (
            "source",
            |case| {
                also(case, |case| case.authority.source = Some(Repository::parse("registry.example.com/x").unwrap()))
            },
            &[Reason::InternalError],
        ),
        ("threshold", |case| also(case, |case| case.threshold = 2), &[Reason::ThresholdNotMet]),
        (
            "platforms",
            |case| {
                also(case, |case| {
                    case.image.media_type = "application/vnd.oci.image.index.v1+json".to_owned();
                    case.platforms = Platforms::Only(vec!["linux/amd64".parse().unwrap()]);
                })
            },
            &[Reason::PlatformNotSigned],
        ),
        ("digest", |case| also(case, |case| case.image.digest = Digest::of(b"another")), &[Reason::DigestMismatch]),
        ("time", |case| also(case, |case| case.now = Timestamp::UNIX_EPOCH), &[Reason::TransparencyLogInvalid]),
    ];
    for name in FIXTURES {
        for (field, flip, expected) in &flips {
            let mut case = Case::of(name);
            if !flip(&mut case) {
                continue;
            }
            let found = reasons(&case.judged());
            assert!(found.len() == 1 && expected.contains(&found[0]), "{name}: {field}: {found:?}");
        }
    }
}

fn also(case: &mut Case, change: impl FnOnce(&mut Case)) -> bool {
    change(case);
    true
}

fn set_key(case: &mut Case, other: PublicKey) -> bool {
    match &mut case.authority.signer {
        policy::Signer::Key(key, _) => {
            *key = other;
            true
        }
        policy::Signer::Identity(..) => false,
    }
}

fn swap_signer(case: &mut Case) -> bool {
    case.authority.signer = match &case.authority.signer {
        policy::Signer::Key(..) => policy::Signer::Identity(vec![identity(ISSUER, SUBJECT)], root()),
        policy::Signer::Identity(..) => policy::Signer::Key(Signer::new(1).key(), Some(root())),
    };
    true
}

fn set_identity(case: &mut Case, identity: Identity) -> bool {
    case.identities().map(|all| *all = vec![identity]).is_some()
}

fn patterns(case: &mut Case, issuer: &str, subject: &str) -> bool {
    let pattern = |text| Expected::matching(text).unwrap();
    set_identity(case, Identity { issuer: pattern(issuer), subject: pattern(subject), claims: BTreeMap::new() })
}

/// Every byte, changed by one bit: of the layer, and of each of its annotations. What is free to change is named, by
/// the member or annotation that it lies in.
#[test]
fn no_single_byte_that_counts_can_be_changed_in_what_was_logged() {
    let free: Vec<(&str, Vec<String>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = FIXTURES.map(|name| scope.spawn(move || (name, free(name)))).into_iter().collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for (name, found) in free {
        let expected = FREE.iter().find(|(fixture, _)| *fixture == name).unwrap().1;
        assert_eq!(found, expected, "{name}");
    }
}

/// What lies outside of what is signed, or may be spelled in another way.
///
/// - `…/certificate`: the white space between the lines of PEM. `…/chain` is not read at all, and a `hint` proves nothing.
/// - `rootHash`, `treeSize`, `logIndex` of Rekor v2: the signed checkpoint says the first two, and the proof the place.
/// - `signedTimestamp`: what an answer carries around what its authority signed, such as a copy of the certificate.
/// - A name: a member that stands at its default, or one of two proofs, where the other is enough: a promise beside a
///   proof of inclusion, a timestamp beside a key, which needs no time.
const FREE: [(&str, &[&str]); 6] = [
    ("sig-cosign2-keyless-rekor1", &["dev.sigstore.cosign/certificate", "dev.sigstore.cosign/chain"]),
    ("sig-cosign2-p256-rekor1", &[]),
    ("bundle-cosign3-keyless-rekor1", &[]),
    (
        "bundle-cosign3-keyless-rekor2",
        &["a name behind inclusionProof", "logIndex", "rootHash", "signedTimestamp", "treeSize"],
    ),
    ("bundle-cosign3-p256-rekor1", &["a name behind integratedTime", "hint"]),
    (
        "bundle-cosign3-p256-rekor2",
        &[
            "a name behind inclusionProof",
            "a name behind timestampVerificationData",
            "hint",
            "logIndex",
            "rootHash",
            "signedTimestamp",
            "treeSize",
        ],
    ),
];

fn free(name: &'static str) -> Vec<String> {
    let mut case = Case::of(name);
    let [artifact] = case.artifacts.clone().try_into().unwrap_or_else(|all| panic!("{all:?}"));
    let mut free = BTreeSet::new();
    let whole = bytes(&artifact);
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        case.artifacts = vec![with_bytes(&artifact, changed)];
        if case.passes() {
            free.insert(member(&whole, place));
        }
    }
    for (annotation, value) in &artifact.annotations {
        for place in 0..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[place] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let mut artifact = artifact.clone();
            artifact.annotations.insert(annotation.clone(), changed);
            case.artifacts = vec![artifact];
            if case.passes() {
                free.insert(format!("{annotation} {}", member(value.as_bytes(), place)).trim().to_owned());
            }
        }
    }
    free.into_iter().collect()
}

/// The last name of a member before a place in JSON; whether the place is in the name itself.
fn member(json: &[u8], place: usize) -> String {
    let text = String::from_utf8_lossy(json);
    let Some(colon) = text[..place].rfind("\":") else { return String::new() };
    let name = text[..colon].rsplit('"').next().unwrap_or_default().to_owned();
    let next = &text[place..];
    let quote = next.find('"').unwrap_or_default();
    if next[quote..].starts_with("\":") && text[colon..place].matches('"').count().is_multiple_of(2) {
        format!("a name behind {name}")
    } else {
        name
    }
}
