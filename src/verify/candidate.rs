//! An artifact read as a signature: what was signed and what it claims, or the first thing that is wrong with it.
//!
//! Reading trusts nothing. A claim counts only behind [`Signed::is_by`], on one and the same signature.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use sigstore_verify::types::{Bundle, SignatureContent};

use super::key::{Scheme, verifies};
use super::keyless;
use super::keyless::attached::Attached;
use super::statement::Purpose;
use super::verdict::{CandidateKind, Check};
use super::{bundle, cosign, envelope, statement};
use crate::artifact::{Artifact, Content};
use crate::image::Digest;
use crate::reason::Reason;
use crate::signer::PublicKey;
use crate::signer::root::TrustRoot;

/// Largest simple-signing payload or bundle that is read, in bytes. Signatures are a thousandth of it; what is larger is
/// hashed again on every question, and parsed, for nothing.
pub(super) const MAX_SIGNED: usize = 1024 * 1024;
/// Longest piece of foreign text that a message repeats, in characters.
const SHOWN: usize = 160;

/// An artifact, read.
pub(super) struct Reading {
    pub(super) kind: CandidateKind,
    /// The digest of the layer; of the manifest, where there is none.
    pub(super) digest: Digest,
    /// The digest of the manifest.
    pub(super) manifest: Digest,
    /// The signer as the candidate itself names it: nothing but a hint.
    pub(super) hint: Option<Hint>,
    /// The signature, or why it is none.
    pub(super) signed: Result<Signed, Miss>,
    /// The statement as a whole, once somebody proved it and asked.
    whole: OnceCell<Result<Value, Miss>>,
}

/// For whom artifacts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// For those who ask for signatures alone: what is as large as an attestation is not parsed.
    Signatures,
    /// For those who ask for attestations too.
    Attestations,
}

/// Whom a candidate names as its signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hint {
    /// The key with this digest.
    Key(Digest),
    /// What its certificate says.
    Identity(keyless::Certified),
}

/// A signature with what it is about.
pub(super) struct Signed {
    pub(super) scheme: Scheme,
    /// The bytes that were signed.
    pub(super) message: Bytes,
    /// The statement among them; nothing in simple signing.
    pub(super) payload: Bytes,
    pub(super) signature: Vec<u8>,
    /// Whether a certificate came with it, and what that means here.
    pub(super) certificate: Certificate,
    /// What it is for.
    pub(super) purpose: Purpose,
    /// What it is about, or why that cannot be read.
    pub(super) claim: Result<Claim, Miss>,
    pub(super) proofs: Proofs,
}

/// What lies beside a signature and may prove who made it and when. Not looked at before an authority asks.
pub(super) enum Proofs {
    /// The bundle as a whole.
    Bundle(Bytes),
    /// Annotations.
    Attached(Attached),
    /// Annotations beside an envelope, with its bytes.
    Enveloped(Attached, Bytes),
}

/// Whether a certificate comes with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificate {
    /// None: a key made it.
    None,
    /// One lies beside it; a key may have made it still.
    Beside,
    /// Only a certificate says who made it.
    Only,
}

/// What a signature says. Not proved by itself.
pub(super) struct Claim {
    /// What it is about; each with the annotations that belong to it.
    pub(super) subjects: Vec<Subject>,
    /// The name that was signed, where the format knows one.
    pub(super) reference: Option<String>,
}

/// One thing that a signature is about.
pub(super) struct Subject {
    pub(super) digest: Digest,
    /// Signed annotations; only text counts.
    pub(super) annotations: BTreeMap<String, Annotation>,
}

/// The value of a signed annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Annotation {
    Text(String),
    /// A number, list or something else that no rule can ask for.
    Other,
}

/// The first check that something failed, and what it means for the image if nothing else is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// The check.
    pub check: Check,
    /// What the image is refused for, if nothing else is found.
    pub reason: Reason,
    /// What was expected and what was found.
    pub message: String,
}

impl Reading {
    /// Reads one artifact, for those who ask for signatures alone or for attestations too.
    pub(super) fn of(artifact: &Artifact, scope: Scope) -> Self {
        let mut kind = kind(&artifact.media_type);
        let digest = artifact.digest.unwrap_or(artifact.manifest);
        let (hint, signed) = match usable(artifact, kind, scope) {
            Err(miss) => (None, Err(miss)),
            Ok(bytes) => match (kind, scope) {
                (CandidateKind::CosignSignature, _) => cosign::read(bytes, &artifact.annotations),
                (CandidateKind::SigstoreBundle, _) => bundle::read(bytes),
                (CandidateKind::Attestation, Scope::Attestations) => envelope::read(bytes, &artifact.annotations),
                (CandidateKind::Attestation, Scope::Signatures) | (CandidateKind::Unknown, _) => {
                    (None, Err(foreign(&artifact.media_type)))
                }
            },
        };
        if signed.as_ref().is_ok_and(Signed::is_attestation) {
            kind = CandidateKind::Attestation;
        }
        Self { kind, digest, manifest: artifact.manifest, hint, signed, whole: OnceCell::new() }
    }

    /// The statement of a signature that was proved, read once.
    pub(super) fn statement(&self, signed: &Signed) -> Result<&Value, Miss> {
        self.whole.get_or_init(|| statement::whole(&signed.payload)).as_ref().map_err(Miss::clone)
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(digest) => fmt::Display::fmt(digest, out),
            Self::Identity(certified) => fmt::Display::fmt(certified, out),
        }
    }
}

impl Signed {
    /// Whether it is a statement other than a signature.
    fn is_attestation(&self) -> bool {
        matches!(&self.purpose, Purpose::Statement { predicate_type, .. } if predicate_type != statement::SIGN)
    }

    /// The signature with its proofs, as the crates read it; the same signature over the same bytes as ours.
    fn proven(&self) -> Result<Bundle, Miss> {
        let bundle = match &self.proofs {
            Proofs::Attached(attached) => return attached.bundle(self),
            Proofs::Enveloped(attached, envelope) => attached.enveloped(envelope)?,
            Proofs::Bundle(bytes) => keyless::read(bytes)?,
        };
        match &bundle.content {
            SignatureContent::DsseEnvelope(envelope)
                if envelope.pae() == self.message && envelope.signature.sig.as_bytes() == self.signature =>
            {
                Ok(bundle)
            }
            SignatureContent::DsseEnvelope(_) | SignatureContent::MessageSignature(_) | _ => {
                Err(Miss::malformed("two readers of the bundle see different signatures"))
            }
        }
    }

    /// What the crates are told that was signed: what the claim is about, or the bytes of the claim themselves.
    fn artifact(&self) -> Result<keyless::Artifact<'_>, Miss> {
        let subject = self.claim.as_ref().map_err(Miss::clone)?.subjects.first();
        match (&self.proofs, subject) {
            (Proofs::Attached(_), _) => Ok(keyless::Artifact::Bytes(&self.message)),
            (Proofs::Bundle(_) | Proofs::Enveloped(..), Some(subject)) => Ok(keyless::Artifact::Digest(subject.digest)),
            (Proofs::Bundle(_) | Proofs::Enveloped(..), None) => Err(Miss::malformed("the statement is about nothing")),
        }
    }

    /// Who signed, as a certificate of the root's proves it.
    pub(super) fn certified(&self, root: &TrustRoot, now: Timestamp) -> Result<keyless::Certified, Miss> {
        keyless::by_certificate(&self.proven()?, self.artifact()?, root, now)
    }

    /// Whether a log of the root's holds the signature by `key`; the proven times of signing, if any.
    pub(super) fn logged(&self, key: &PublicKey, root: &TrustRoot, now: Timestamp) -> Result<Vec<Timestamp>, Miss> {
        keyless::by_key(&self.proven()?, self.artifact()?, key, root, now)
    }

    /// Where logs hold the signature, as it says.
    pub(super) fn log_indexes(&self) -> Result<Vec<u64>, Miss> {
        let bundle = self.proven()?;
        Ok(bundle.verification_material.tlog_entries.iter().map(|entry| entry.log_index.get()).collect())
    }

    /// Whether `key` made the signature.
    pub(super) fn is_by(&self, key: &PublicKey) -> bool {
        match self.certificate {
            Certificate::None | Certificate::Beside => verifies(key, self.scheme, &self.message, &self.signature),
            Certificate::Only => false,
        }
    }
}

impl Miss {
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self { check: Check::Form, reason: Reason::Malformed, message: message.into() }
    }

    /// What is no attestation of the wanted type leaves the image without one.
    pub(super) fn no_attestation(message: impl Into<String>) -> Self {
        Self { check: Check::Type, reason: Reason::AttestationMissing, message: message.into() }
    }

    /// What is no signature leaves the image without one.
    pub(super) fn no_signature(message: impl Into<String>) -> Self {
        Self { check: Check::Type, reason: Reason::NoSignature, message: message.into() }
    }
}

/// The artifacts read, each once: what the referrers API and the fallback tag both list is one candidate.
pub(super) fn read_all<'a>(artifacts: impl Iterator<Item = &'a Artifact>, scope: Scope) -> Vec<Reading> {
    let mut seen = BTreeSet::new();
    artifacts
        .filter(|artifact| {
            seen.insert((artifact.manifest, artifact.digest, &artifact.media_type, &artifact.annotations))
        })
        .map(|artifact| Reading::of(artifact, scope))
        .collect()
}

fn kind(media_type: &str) -> CandidateKind {
    if media_type == cosign::MEDIA_TYPE {
        CandidateKind::CosignSignature
    } else if media_type.starts_with(bundle::MEDIA_TYPE) {
        CandidateKind::SigstoreBundle
    } else if media_type == envelope::MEDIA_TYPE {
        CandidateKind::Attestation
    } else {
        CandidateKind::Unknown
    }
}

/// The bytes, hashed once more against the digest under which they are reported, before anything reads them.
fn usable(artifact: &Artifact, kind: CandidateKind, scope: Scope) -> Result<&Bytes, Miss> {
    let bytes = match &artifact.content {
        Content::Unusable(defect) => {
            return Err(Miss { check: Check::Form, reason: defect.reason, message: defect.message.clone() });
        }
        Content::Bytes(bytes) => bytes,
    };
    if bytes.len() > MAX_SIGNED && (scope == Scope::Signatures || kind == CandidateKind::CosignSignature) {
        return Err(too_large(bytes.len(), kind));
    }
    let Some(digest) = artifact.digest else {
        return Err(Miss::malformed("the manifest names no digest for its layer"));
    };
    let found = Digest::of(bytes);
    if found != digest {
        let message = format!("the layer's bytes hash to {found}, the manifest says {digest}");
        return Err(Miss { check: Check::Form, reason: Reason::DigestMismatch, message });
    }
    Ok(bytes)
}

/// A bundle of that size is an attestation (of an SBOM, say): it must not turn "not signed yet" into another reason.
pub(super) fn too_large(bytes: usize, kind: CandidateKind) -> Miss {
    let message = format!("{bytes} bytes are too many for a signature, which has at most {MAX_SIGNED}");
    match kind {
        CandidateKind::CosignSignature => Miss { check: Check::Form, reason: Reason::LimitExceeded, message },
        CandidateKind::SigstoreBundle | CandidateKind::Attestation | CandidateKind::Unknown => {
            Miss::no_signature(message)
        }
    }
}

fn foreign(media_type: &str) -> Miss {
    Miss::no_signature(match media_type {
        envelope::MEDIA_TYPE => "this is an attestation; a signature was asked for".to_owned(),
        "application/jose+json" | "application/cose" => {
            "this is a Notary Project signature; the rule asks for one by cosign".to_owned()
        }
        other => format!("a layer of type {} is no signature", shown(other)),
    })
}

/// Foreign text as messages repeat it, in quotes.
pub(super) fn shown(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// Foreign text made harmless for terminals and logs: escaped and cut.
pub(super) fn escaped(text: &str) -> String {
    escaped_to(text, SHOWN)
}

/// Foreign text made harmless, cut after so many characters.
pub(super) fn escaped_to(text: &str, longest: usize) -> String {
    let dots = if text.chars().nth(longest).is_some() { "…" } else { "" };
    text.chars().take(longest).flat_map(char::escape_debug).chain(dots.chars()).collect()
}
