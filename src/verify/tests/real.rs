//! What real signers made verifies, and no change of a single byte of it does.

use super::super::fixtures::{SIGNATURE, VALID, bytes, key, load, with_bytes};
use super::super::verdict::{Check, VerifiedImage};
use super::*;
use crate::artifact::Content;
use crate::image::Digest;

fn verified(judgement: &Judgement) -> Option<&VerifiedImage> {
    match &judgement.verdict {
        Verdict::Verified(image) => Some(image),
        Verdict::Refused(_) | Verdict::Undecided(_) => None,
    }
}

#[test]
fn what_real_signers_made_verifies() {
    for name in VALID {
        let fixture = load(name);
        let judgement = by_key(&fixture.image, fixture.artifacts, &fixture.key);
        let image = verified(&judgement).unwrap_or_else(|| panic!("{name}: {judgement:?}"));
        assert_eq!(*image.image(), fixture.image, "{name}");
        assert!(judgement.candidates.iter().any(|one| one.failed.is_none()), "{name}");
    }
}

#[test]
fn signed_annotations_count() {
    for name in ["sig-cosign2-annotated", "bundle-cosign3-annotated"] {
        let cases = [
            (vec![("stage", "release")], None),
            (vec![("stage", "release"), ("team", "a & b")], None),
            (vec![("stage", "Release")], Some(Reason::AnnotationMismatch)),
            (vec![("stage", "release"), ("other", "")], Some(Reason::AnnotationMismatch)),
            (vec![("Stage", "release")], Some(Reason::AnnotationMismatch)),
        ];
        for (annotations, expected) in cases {
            let fixture = load(name);
            let mut ci = authority("ci", &fixture.key);
            ci.annotations = annotations.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let judgement = by_authority(&fixture.image, fixture.artifacts, ci);
            assert_eq!(reasons(&judgement).first().copied(), expected, "{name} {annotations:?}");
        }
    }
}

#[test]
fn a_signature_of_another_image_is_refused() {
    for name in VALID {
        let mut fixture = load(name);
        fixture.image.digest = Digest::of(b"another image");
        let judgement = by_key(&fixture.image, fixture.artifacts, &fixture.key);
        assert_eq!(reasons(&judgement), [Reason::DigestMismatch], "{name}");
    }
}

#[test]
fn another_signer_is_refused() {
    let stranger = load("sig-cosign3-p256").key;
    for name in VALID.into_iter().filter(|name| *name != "sig-cosign3-p256") {
        let fixture = load(name);
        if fixture.key == stranger {
            continue;
        }
        let judgement = by_key(&fixture.image, fixture.artifacts, &stranger);
        assert_eq!(reasons(&judgement), [Reason::SignatureInvalid], "{name}");
        assert!(judgement.candidates.iter().all(|one| one.failed == Some(Check::Key)), "{name}");
    }
}

#[test]
fn an_attestation_is_no_signature() {
    for name in ["attestation-cosign2", "attestation-cosign3"] {
        let fixture = load(name);
        let judgement = by_key(&fixture.image, fixture.artifacts, &fixture.key);
        assert_eq!(reasons(&judgement), [Reason::NoSignature], "{name}");
        assert_eq!(only(&judgement).failed, Some(Check::Type), "{name}");
    }
}

#[test]
fn two_signers_reach_a_threshold_of_two() {
    let fixture = load("sig-cosign2-two-signers");
    let first = key("sig-cosign2-two-signers", "first.pub");
    let demands = demands(signatures(2, vec![authority("first", &first), authority("second", &fixture.key)]));
    let judgement = verify(&fixture.image, &[evidence(&fixture.image, fixture.artifacts.clone())], &demands);
    assert!(is_verified(&judgement), "{judgement:?}");
    for artifact in fixture.artifacts {
        let judgement = verify(&fixture.image, &[evidence(&fixture.image, vec![artifact])], &demands);
        assert_eq!(reasons(&judgement), [Reason::ThresholdNotMet]);
    }
}

/// Every byte of what is signed, of the signature and of the key, changed. In a bundle, the hint alone is free.
#[test]
fn no_single_byte_mutation_verifies() {
    for name in VALID {
        let fixture = load(name);
        for artifact in &fixture.artifacts {
            let passes = |changed: Artifact| is_verified(&by_key(&fixture.image, vec![changed], &fixture.key));
            if !passes(artifact.clone()) {
                // The other signer of two.
                continue;
            }
            let original = bytes(artifact);
            let hint = hint(&original);
            for changed in mutations(&original) {
                let free = hint.as_ref().is_some_and(|hint| hint.contains(&changed.0));
                assert!(free || !passes(with_bytes(artifact, changed.1)), "{name}: byte {} of the layer", changed.0);
            }
            if let Some(signature) = artifact.annotations.get(SIGNATURE) {
                for (place, changed) in mutations(signature.as_bytes()) {
                    let Ok(changed) = String::from_utf8(changed) else { continue };
                    let mut artifact = artifact.clone();
                    artifact.annotations.insert(SIGNATURE.to_owned(), changed);
                    assert!(!passes(artifact), "{name}: character {place} of the signature");
                }
            }
        }
    }
}

#[test]
fn no_single_byte_mutation_of_a_key_verifies() {
    for name in VALID {
        let fixture = load(name);
        for (place, changed) in mutations(fixture.key.spki()) {
            let Ok(key) = PublicKey::from_spki(&changed) else { continue };
            let judgement = by_key(&fixture.image, fixture.artifacts.clone(), &key);
            assert!(!is_verified(&judgement), "{name}: byte {place} of the key");
        }
    }
}

#[test]
fn bytes_of_another_digest_are_never_read() {
    for name in VALID {
        let mut fixture = load(name);
        for artifact in &mut fixture.artifacts {
            let mut changed = bytes(artifact);
            changed.push(b' ');
            artifact.content = Content::Bytes(changed.into());
        }
        let judgement = by_key(&fixture.image, fixture.artifacts, &fixture.key);
        assert_eq!(reasons(&judgement), [Reason::DigestMismatch], "{name}");
        assert!(judgement.candidates.iter().all(|one| one.failed == Some(Check::Form)), "{name}");
    }
}

/// The bytes with one of them changed: by one bit, another at each place; cut at the end; longer.
fn mutations(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let flipped = (0..bytes.len()).map(move |place| {
        let mut changed = bytes.to_vec();
        changed[place] ^= 1 << (place % 8);
        (place, changed)
    });
    let cut = bytes[..bytes.len() - 1].to_vec();
    let longer = [bytes, b"\0"].concat();
    flipped.chain([(bytes.len() - 1, cut), (bytes.len(), longer)])
}

/// Where the hint's text lies in a bundle.
fn hint(bundle: &[u8]) -> Option<std::ops::Range<usize>> {
    let text = std::str::from_utf8(bundle).unwrap();
    let start = text.find("\"hint\":\"")? + 8;
    Some(start..start + text[start..].find('"')?)
}
