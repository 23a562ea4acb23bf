//! One candidate against one authority: all that the authority asks must hold on one and the same signature.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::attestation;
use super::candidate::{Annotation, Certificate, Claim, Hint, Miss, Reading, Signed, Subject, escaped, shown};
use super::verdict::Check;
use crate::image::{Digest, ImageRef, Repository};
use crate::policy::requirement::{Attestation, Authority, Revoked, SignedReference, Signer};
use crate::reason::Reason;

/// How many of a list a message names.
const LISTED: usize = 3;

/// What a signature must be about.
pub(super) struct About<'a> {
    /// The digest that must be signed.
    pub(super) digest: Digest,
    /// The digest of the image as it is pinned.
    pub(super) pinned: Digest,
    /// The image's repository.
    pub(super) repository: &'a Repository,
    /// The attestation that is asked for; none where a signature is.
    pub(super) attestation: Option<&'a Attestation>,
    /// What no longer counts.
    pub(super) revoked: &'a Revoked,
    /// The time of the question.
    pub(super) now: Timestamp,
}

/// Who made a signature.
struct Proven {
    /// What makes two signers one.
    signer: Digest,
    name: String,
    /// How that is told.
    how: String,
    /// The digests of key and certificate.
    prints: Vec<Digest>,
    /// The times of signing that are proven; none where nothing is asked that proves one.
    times: Vec<Timestamp>,
}

/// What became of a candidate under an authority.
pub(super) type Attempt = Result<Counted, Miss>;

/// A candidate that fulfils all that an authority asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    /// What makes two signers one.
    pub(super) signer: Digest,
    /// The signer's name in reports.
    pub(super) name: String,
    pub(super) message: String,
}

/// Holds `reading` against `authority`, check after check.
pub(super) fn attempt(reading: &Reading, authority: &Authority, about: &About<'_>) -> Attempt {
    let (signed, claim) = attestation::wanted(reading, about.attestation)?;
    let Proven { signer, name, how, prints, times } = proven(reading, signed, authority, about.now)?;
    let subjects = about_digest(claim, about)?;
    annotated(&subjects, &authority.annotations)?;
    let note = reference(claim, authority, about)?;
    unrevoked(reading, signed, authority, &prints, about.revoked)?;
    let what = match about.attestation {
        None => String::new(),
        Some(attestation) => {
            attestation::fulfils(reading, signed, (attestation, &times), about)?;
            format!("an attestation of type {}, ", attestation.predicate_type)
        }
    };
    let message = format!("{what}signed by authority `{}` {how}{note}", authority.name);
    Ok(Counted { signer, name, message })
}

/// Neither the signature nor who made it is revoked.
fn unrevoked(
    reading: &Reading,
    signed: &Signed,
    authority: &Authority,
    prints: &[Digest],
    revoked: &Revoked,
) -> Result<(), Miss> {
    let miss = |what: String| Err(Miss { check: Check::Revocation, reason: Reason::Revoked, message: what });
    if let Some(print) = prints.iter().find(|print| revoked.fingerprints.contains(print)) {
        return miss(format!("signed by authority `{}` with {print}, which is revoked", authority.name));
    }
    if let Some(digest) = [reading.digest, reading.manifest].iter().find(|digest| revoked.digests.contains(digest)) {
        return miss(format!("the signature {digest} is revoked"));
    }
    // Where no log is asked for, an entry could be left out as well.
    if authority.signer.root().is_some() && !revoked.log_indexes.is_empty() {
        let indexes = signed.log_indexes()?;
        if let Some(index) = indexes.iter().find(|index| revoked.log_indexes.contains(index)) {
            return miss(format!("the log entry {index} of the signature is revoked"));
        }
    }
    Ok(())
}

/// Who of the authority's signed.
fn proven(reading: &Reading, signed: &Signed, authority: &Authority, now: Timestamp) -> Result<Proven, Miss> {
    let stranger = || stranger(reading.hint.as_ref(), signed, &[authority]);
    if let Some(miss) = expired(authority, now) {
        return Err(miss);
    }
    match &authority.signer {
        Signer::Key(key, _) if !signed.is_by(key) => Err(stranger()),
        Signer::Key(key, root) => {
            let print = key.fingerprint();
            let (times, how) = match root {
                Some(root) => {
                    (signed.logged(key, root, now)?, format!("with key {print}, as a transparency log shows"))
                }
                None => (Vec::new(), format!("with key {print}")),
            };
            in_time(authority, &times, now)?;
            Ok(Proven { signer: print, name: print.to_string(), how, prints: vec![print], times })
        }
        Signer::Identity(identities, root) => match signed.certificate {
            Certificate::None => Err(stranger()),
            Certificate::Beside | Certificate::Only => {
                let certified = signed.certified(root, now)?;
                certified.among(identities)?;
                let (name, prints) = (certified.to_string(), certified.prints().to_vec());
                let times = certified.times().to_vec();
                Ok(Proven { signer: certified.signer(), how: format!("as {name}"), name, prints, times })
            }
        },
    }
}

/// The key counts at every proven time of signing; where none is proven, now.
fn in_time(authority: &Authority, times: &[Timestamp], now: Timestamp) -> Result<(), Miss> {
    let validity = authority.validity;
    let (outside, what) = match times {
        [] => ((!validity.contains(now)).then_some(&now), "no time of signing is proven, and it is"),
        times => (times.iter().find(|time| !validity.contains(**time)), "signed at"),
    };
    let Some(time) = outside else { return Ok(()) };
    let message = format!("the key of authority `{}` counts {validity}; {what} {time}", authority.name);
    Err(Miss { check: Check::Time, reason: Reason::SignatureInvalid, message })
}

/// What is wrong with an authority whose trust root may no longer be relied on: nothing that it would show counts.
pub(super) fn expired(authority: &Authority, now: Timestamp) -> Option<Miss> {
    let end = authority.signer.root().filter(|root| root.has_expired(now))?.good_until()?;
    let message = format!("the trust root of authority `{}` expired at {end} and was not renewed", authority.name);
    Some(Miss { check: Check::Form, reason: Reason::TrustRootUnavailable, message })
}

/// The miss of a signature that none of these authorities' signers made.
pub(super) fn stranger(hint: Option<&Hint>, signed: &Signed, authorities: &[&Authority]) -> Miss {
    let mut keys = BTreeMap::new();
    let mut expected = Vec::new();
    for Authority { name, signer, .. } in authorities {
        expected.push(match signer {
            Signer::Key(key, _) => {
                keys.insert(key.fingerprint(), name.as_str());
                format!("key {} of authority `{name}`", key.fingerprint())
            }
            Signer::Identity(..) => format!("a certificate for authority `{name}`"),
        });
    }
    let expected = listed(expected.into_iter(), "or");
    let message = match (signed.certificate, hint) {
        (Certificate::Only, _) => format!("signed with a certificate (keyless); expected {expected}"),
        (Certificate::Beside, _) => format!("comes with a certificate; expected {expected}"),
        (Certificate::None, Some(Hint::Key(found))) => match keys.get(found) {
            Some(name) => {
                format!(
                    "says that key {found} of authority `{name}` made it, but the signature does not verify with it"
                )
            }
            None => {
                format!("signed by key {found}, as it says, which no authority of the rule names; expected {expected}")
            }
        },
        (Certificate::None, Some(Hint::Identity(_)) | None) => format!("not signed by {expected}, or altered since"),
    };
    Miss { check: Check::Key, reason: Reason::SignatureInvalid, message }
}

/// A list for a sentence, cut where nobody would read on.
pub(super) fn listed(items: impl Iterator<Item = String>, joint: &str) -> String {
    let items: Vec<String> = items.collect();
    match items.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) if rest.len() < LISTED => format!("{} {joint} {last}", rest.join(", ")),
        Some((_, rest)) => {
            let shown = rest.get(..LISTED).unwrap_or(rest);
            let left = items.len().saturating_sub(shown.len());
            format!("{} {joint} {left} more", shown.join(", "))
        }
    }
}

/// The subjects with the wanted digest; at least one.
fn about_digest<'a>(claim: &'a Claim, about: &About<'_>) -> Result<Vec<&'a Subject>, Miss> {
    let subjects: Vec<&Subject> = claim.subjects.iter().filter(|subject| subject.digest == about.digest).collect();
    if !subjects.is_empty() {
        return Ok(subjects);
    }
    let found = claim.subjects.first().map(|subject| subject.digest.to_string()).unwrap_or_default();
    let message = format!("signed for {found}; expected {}", about.digest);
    Err(Miss { check: Check::Digest, reason: Reason::DigestMismatch, message })
}

/// One of the subjects carries every annotation that is asked for.
fn annotated(subjects: &[&Subject], expected: &BTreeMap<String, String>) -> Result<(), Miss> {
    let mut lacks = None;
    for subject in subjects {
        match lacking(subject, expected) {
            None => return Ok(()),
            Some(lack) => lacks = Some(lack),
        }
    }
    let message = lacks.unwrap_or_else(|| "no annotations were signed".to_owned());
    Err(Miss { check: Check::Annotations, reason: Reason::AnnotationMismatch, message })
}

/// The first annotation that the subject lacks.
fn lacking(subject: &Subject, expected: &BTreeMap<String, String>) -> Option<String> {
    expected.iter().find_map(|(name, value)| {
        let wanted = format!("expected the signed annotation `{}={}`", escaped(name), escaped(value));
        match subject.annotations.get(name) {
            Some(Annotation::Text(found)) if found == value => None,
            Some(Annotation::Text(found)) => Some(format!("{wanted}, found the value {}", shown(found))),
            Some(Annotation::Other) => Some(format!("{wanted}, found a value that is no text")),
            None => Some(format!("{wanted}, found none of that name")),
        }
    })
}

/// The signed name. Where it does not count, a mismatch is worth a note still (COS-02).
fn reference(claim: &Claim, authority: &Authority, about: &About<'_>) -> Result<String, Miss> {
    let repository = about.repository;
    let miss = |message| Miss { check: Check::Reference, reason: Reason::IdentityMismatch, message };
    match (&claim.reference, authority.signed_reference) {
        (None, SignedReference::Ignore) => Ok(String::new()),
        (None, SignedReference::Repository) => Err(miss(format!(
            "a bundle names no repository; the authority asks for a signature that names {repository}"
        ))),
        (Some(name), _) if names(name, repository) => Ok(String::new()),
        (Some(name), SignedReference::Ignore) => Ok(format!(", under the name {}", shown(name))),
        (Some(name), SignedReference::Repository) => {
            Err(miss(format!("signed under the name {}; expected {repository}", shown(name))))
        }
    }
}

fn names(name: &str, repository: &Repository) -> bool {
    ImageRef::parse(name).is_ok_and(|image| image.repository() == repository)
}
