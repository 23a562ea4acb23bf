//! What is known about an image after verifying it.

use crate::image::{Digest, PinnedImage};
use crate::policy::requirement::Waiver;
use crate::reason::Finding;

/// The verdict on an image, with what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Every candidate that was looked at, and the first check that it failed.
    pub candidates: Vec<Candidate>,
}

/// The verdict on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Verified(VerifiedImage),
    /// It must not run. Never empty.
    Refused(Vec<Finding>),
    /// We could not find out. Never empty.
    Undecided(Vec<Finding>),
}

/// An image that fulfilled every demand of the policies in force. Only `verify` makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedImage {
    image: PinnedImage,
    basis: Basis,
    exceptions: Vec<Waiver>,
}

/// What a verdict rests on: the weakest basis among the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// A proof was found.
    Proof,
    /// Every rule allows unsigned images.
    UnsignedAllowed,
    /// An exception waived at least one demand.
    Exception,
}

/// Something that could have proved a demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub kind: CandidateKind,
    /// The digest of the payload or bundle; of the manifest, where there is none.
    pub digest: Digest,
    /// Who signed it, where that is known: a key's fingerprint, or issuer and subject of a certificate; else the hint
    /// that it carries.
    pub signer: Option<String>,
    /// The first check that it failed; none where it counts.
    pub failed: Option<Check>,
    /// What was expected and what was found.
    pub message: String,
}

/// What a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateKind {
    /// cosign's simple-signing payload with its annotation.
    CosignSignature,
    /// A sigstore bundle.
    SigstoreBundle,
    /// An in-toto attestation, by itself or in a bundle.
    Attestation,
    /// Something else.
    Unknown,
}

/// The checks that a candidate passes one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// It could be read at all: size, digest, form.
    Form,
    /// It is a signature: payload type, predicate type.
    Type,
    /// One of the rule's keys made it.
    Key,
    /// The time of signing is proven, and lies where it may.
    Time,
    /// Its certificate is one of the trusted root's.
    Certificate,
    /// A trusted log holds it.
    Log,
    /// The key of its certificate made it.
    Signature,
    /// Its certificate names a signer that the rule names.
    Identity,
    /// It is about this digest.
    Digest,
    /// Its signed annotations.
    Annotations,
    /// The name inside it.
    Reference,
    /// Neither it nor who made it is revoked.
    Revocation,
    /// How old the attestation is.
    Age,
    /// What the attestation says.
    Condition,
}

impl VerifiedImage {
    pub(super) fn new(image: PinnedImage, basis: Basis, exceptions: Vec<Waiver>) -> Self {
        Self { image, basis, exceptions }
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &PinnedImage {
        &self.image
    }

    /// What the verdict rests on.
    #[must_use]
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// The exceptions that were used.
    #[must_use]
    pub fn exceptions(&self) -> &[Waiver] {
        &self.exceptions
    }
}

impl Verdict {
    /// The name used in reports and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Verified(_) => "verified",
            Self::Refused(_) => "refused",
            Self::Undecided(_) => "undecided",
        }
    }

    /// What the verdict rests on where it did not pass; empty for a verified image.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Verified(_) => &[],
            Self::Refused(findings) | Self::Undecided(findings) => findings,
        }
    }
}

impl Basis {
    /// Every basis.
    pub const ALL: [Self; 3] = [Self::Proof, Self::UnsignedAllowed, Self::Exception];

    /// The name used in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Proof => "proof",
            Self::UnsignedAllowed => "unsigned-allowed",
            Self::Exception => "exception",
        }
    }
}

impl CandidateKind {
    /// The name used in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CosignSignature => "cosign-signature",
            Self::SigstoreBundle => "sigstore-bundle",
            Self::Attestation => "attestation",
            Self::Unknown => "unknown",
        }
    }
}

impl Check {
    /// The name used in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Type => "type",
            Self::Key => "key",
            Self::Time => "time",
            Self::Certificate => "certificate",
            Self::Log => "log",
            Self::Signature => "signature",
            Self::Identity => "identity",
            Self::Digest => "digest",
            Self::Annotations => "annotations",
            Self::Reference => "reference",
            Self::Revocation => "revocation",
            Self::Age => "age",
            Self::Condition => "condition",
        }
    }
}
