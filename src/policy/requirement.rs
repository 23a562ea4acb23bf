//! What a policy demands of one image, with no choices left: the input of `verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::condition::Expression;
use crate::image::{Digest, Platform, Repository};
use crate::signer::PublicKey;
use crate::signer::identity::Identity;
use crate::signer::root::TrustRoot;

/// Everything that all policies demand of one image: at least one requirement, all of which must hold, and nothing that
/// is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demands {
    requirements: Vec<Requirement>,
    revoked: Arc<Revoked>,
}

/// What no longer counts, whoever vouches for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Keys, by the digest of their SPKI, and certificates, by the digest of their DER.
    pub fingerprints: BTreeSet<Digest>,
    /// Images, and the manifests and layers of signatures.
    pub digests: BTreeSet<Digest>,
    /// Entries of transparency logs, whichever log it is.
    pub log_indexes: BTreeSet<u64>,
}

/// What one rule demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The policy's name.
    pub policy: String,
    /// The rule's name.
    pub rule: String,
    /// Which digests of a multi-platform image must fulfil it.
    pub platforms: Platforms,
    /// What must be shown.
    pub demand: Demand,
}

/// What must be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Signatures.
    Signatures(Signatures),
    /// An attestation.
    Attestation(Attestation),
    /// Nothing: the rule says `allowUnsigned`.
    Unsigned,
    /// Nothing: an exception of the same policy waives what the rule demands.
    Excepted(Waiver),
}

/// Signatures by enough of these authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures {
    /// Distinct signers needed, each through an authority of its own.
    pub threshold: NonZeroUsize,
    /// Whose signatures count. Never empty.
    pub authorities: Vec<Authority>,
}

/// An attestation of one type about the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The type of its predicate, exactly.
    pub predicate_type: String,
    /// Who must have signed it.
    pub by: Signatures,
    /// How old it may be.
    pub max_age: Option<SignedDuration>,
    /// What it must say.
    pub conditions: Vec<Condition>,
    /// When something that it may say no longer is allowed.
    pub ends: Vec<Timestamp>,
}

/// What an attestation must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The expression that must be true.
    pub expression: Expression,
    /// What reports say where it is not.
    pub message: String,
}

/// Whose signature counts; all that it asks must hold on one and the same signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its name, unique in its rule.
    pub name: String,
    /// When its key counts; always, for identities.
    pub validity: Validity,
    /// Who must have signed.
    pub signer: Signer,
    /// Signed annotations that must be present with exactly these values.
    pub annotations: BTreeMap<String, String>,
    /// Whether the name inside a simple-signing payload counts.
    pub signed_reference: SignedReference,
    /// The repository that holds the signatures, where it is not the image's own.
    pub source: Option<Repository>,
}

/// A time from an instant on, up to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Validity {
    /// The first instant; none, where it has no beginning.
    pub from: Option<Timestamp>,
    /// The first instant after it; none, where it has no end.
    pub until: Option<Timestamp>,
}

/// Who must have signed, and what must show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// This key; a log of the root must hold the signature, where there is a root.
    Key(PublicKey, Option<TrustRoot>),
    /// One of these identities, by a certificate that the root's authorities issued, with an entry in one of its logs.
    /// Never empty.
    Identity(Vec<Identity>, TrustRoot),
}

/// What is asked of the name inside a simple-signing payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedReference {
    /// Nothing.
    Ignore,
    /// It must be the image's repository.
    Repository,
}

/// Which digests of a multi-platform image must be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platforms {
    /// The digest that is pinned.
    Index,
    /// Every leaf of the index.
    AllLeaves,
    /// The leaves of these platforms, each of which must be there.
    Only(Vec<Platform>),
}

/// An exception in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The first UTC day on which it no longer holds, as `YYYY-MM-DD`.
    pub expires: String,
}

impl Signer {
    /// The hint by which candidates of this signer can be told, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Key(key, _) => Some(key.hint()),
            Self::Identity(..) => None,
        }
    }

    /// The trust root that certificates and logs are checked against, where there is one.
    #[must_use]
    pub fn root(&self) -> Option<&TrustRoot> {
        match self {
            Self::Key(_, root) => root.as_ref(),
            Self::Identity(_, root) => Some(root),
        }
    }
}

impl Demand {
    /// The signatures that it asks for, where it asks for any: of the image, or of an attestation about it.
    #[must_use]
    pub fn signatures(&self) -> Option<&Signatures> {
        match self {
            Self::Signatures(signatures) => Some(signatures),
            Self::Attestation(attestation) => Some(&attestation.by),
            Self::Unsigned | Self::Excepted(_) => None,
        }
    }
}

impl Validity {
    /// Whether an instant lies in it.
    #[must_use]
    pub fn contains(self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.until.is_none_or(|until| time < until)
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.until) {
            (None, None) => out.write_str("always"),
            (Some(from), None) => write!(out, "from {from}"),
            (None, Some(until)) => write!(out, "until {until}"),
            (Some(from), Some(until)) => write!(out, "from {from} until {until}"),
        }
    }
}

impl Revoked {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fingerprints.is_empty() && self.digests.is_empty() && self.log_indexes.is_empty()
    }

    /// Takes over what another list holds.
    pub fn extend(&mut self, other: &Self) {
        let Self { fingerprints, digests, log_indexes } = other;
        self.fingerprints.extend(fingerprints);
        self.digests.extend(digests);
        self.log_indexes.extend(log_indexes);
    }
}

impl Demands {
    /// Demands from at least one requirement; `None` where there is none, which is never a pass.
    #[must_use]
    pub fn new(requirements: Vec<Requirement>) -> Option<Self> {
        if requirements.is_empty() { None } else { Some(Self { requirements, revoked: Arc::default() }) }
    }

    /// Demands from a first requirement and others.
    #[must_use]
    pub fn all(first: Requirement, rest: impl IntoIterator<Item = Requirement>) -> Self {
        let mut requirements = vec![first];
        requirements.extend(rest);
        Self { requirements, revoked: Arc::default() }
    }

    /// The same demands, and nothing of this list.
    #[must_use]
    pub fn without(self, revoked: Arc<Revoked>) -> Self {
        Self { revoked, ..self }
    }

    /// What no longer counts.
    #[must_use]
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// The requirements; never empty.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}
