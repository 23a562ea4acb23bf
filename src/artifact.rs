//! What a registry holds about a digest: signatures and other evidence, as bytes that were hashed already.
//!
//! Nothing here is trusted: it is material for `verify`, which alone decides what it proves.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::image::{Digest, Repository};
use crate::reason::Reason;

/// What evidence is wanted: everything that a repository holds about a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lookup {
    /// The repository to ask; not always the image's own.
    pub repository: Repository,
    /// The digest that the evidence is about.
    pub digest: Digest,
    /// Public-key hints (base64 of the SHA-256 of the SPKI) of wanted signers: candidates that carry one come first.
    pub hints: Vec<String>,
    /// What the evidence is to be; decides which tags are asked, and which candidates come first.
    pub sought: Sought,
}

/// What evidence is to be. Neither: nothing is asked that holds one of the two alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sought {
    /// Whether signatures are wanted.
    pub signatures: bool,
    /// The predicate types of attestations that are wanted, each once.
    pub predicate_types: Vec<String>,
}

/// Where a registry keeps what is about a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Where {
    /// The tag `sha256-<hex>.sig`, cosign's own convention.
    SignatureTag,
    /// The tag `sha256-<hex>.att`, cosign's own for attestations.
    AttestationTag,
    /// The referrers API (OCI distribution 1.1).
    Referrers,
    /// The index under the tag `sha256-<hex>`, for registries without that API.
    FallbackTag,
}

/// One layer of one manifest about a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where it was found.
    pub place: Where,
    /// Digest of the manifest that carries the layer.
    pub manifest: Digest,
    /// The manifest's artifact type: `artifactType`, else the config's media type; read from the manifest, not from a
    /// descriptor that points at it.
    pub artifact_type: Option<String>,
    /// The manifest's `subject`, where it has one.
    pub subject: Option<Digest>,
    /// The digest of the layer's content, as the manifest claims it; `content` was hashed against it.
    pub digest: Option<Digest>,
    /// The layer's media type.
    pub media_type: String,
    /// The layer's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The layer's bytes.
    pub content: Content,
}

/// The bytes of a layer, or why there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes, whose digest is the one that the manifest names.
    Bytes(Bytes),
    /// Not usable for a reason that lies in what the registry holds: too large, wrong digest, not well-formed. A
    /// candidate that failed, never an absence.
    Unusable(Defect),
}

/// Why a layer's bytes are not usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The kind of reason; one that refuses.
    pub reason: Reason,
    /// What is wrong with it.
    pub message: String,
}

/// What a registry answered to a [`Lookup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The repository that was asked.
    pub repository: Repository,
    /// The digest that it was asked about.
    pub digest: Digest,
    /// What was found, in a stable order.
    pub artifacts: Vec<Artifact>,
    /// What could not be found out. As long as there is any, nothing may be refused for lack of evidence.
    pub faults: Vec<Fault>,
    /// Candidates that were not fetched, because the limit was reached.
    pub left_out: usize,
}

/// Why a registry could not be asked, or gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of reason.
    pub reason: Reason,
    /// What was asked and what came back.
    pub message: String,
    /// How long the registry asks us to wait.
    pub retry_after: Option<Duration>,
}

impl Sought {
    /// Signatures alone.
    #[must_use]
    pub fn signatures() -> Self {
        Self { signatures: true, predicate_types: Vec::new() }
    }

    /// Whether a place can hold any of it.
    #[must_use]
    pub fn may_lie_in(&self, place: Where) -> bool {
        match place {
            Where::SignatureTag => self.signatures,
            Where::AttestationTag => !self.predicate_types.is_empty(),
            Where::Referrers | Where::FallbackTag => true,
        }
    }
}

impl Where {
    /// Every place.
    pub const ALL: [Self; 4] = [Self::SignatureTag, Self::AttestationTag, Self::Referrers, Self::FallbackTag];

    /// A name for reports and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SignatureTag => "signature-tag",
            Self::AttestationTag => "attestation-tag",
            Self::Referrers => "referrers",
            Self::FallbackTag => "fallback-tag",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
