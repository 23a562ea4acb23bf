//! A policy as `serde_yaml` builds it: the second reader of the text, as strict as the first, and the only one whose
//! values are used.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use serde::Deserialize;

use super::attestation::WrittenAttestation;
use super::exception::{self, Exception};
use super::glob::{NamespacePattern, Pattern};
use super::keys::{At, Keys};
use super::requirement::{
    Authority, Demand, Platforms, Requirement, Revoked, Signatures, SignedReference, Signer, Validity, Waiver,
};
use super::rule::Rule;
use super::trusted::{self, Trusted};
use crate::fields::Complaint;
use crate::image::Digest;
use crate::signer::claim::Claim;
use crate::signer::identity::{Expected, Identity};

/// One document of a policy file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Written {
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: Kind,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
enum ApiVersion {
    #[serde(rename = "sealgate.dev/v1alpha1")]
    V1Alpha1,
}

#[derive(Debug, Deserialize)]
enum Kind {
    ImagePolicy,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    registries: Option<Vec<Trusted>>,
    rules: Vec<WrittenRule>,
    #[serde(default)]
    exceptions: Vec<WrittenException>,
    #[serde(default)]
    revoked: WrittenRevoked,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenRevoked {
    #[serde(default)]
    fingerprints: BTreeSet<Digest>,
    #[serde(default)]
    digests: BTreeSet<Digest>,
    #[serde(default)]
    log_indexes: BTreeSet<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenRule {
    name: String,
    images: Vec<Pattern>,
    namespaces: Option<Vec<NamespacePattern>>,
    platforms: Option<WrittenPlatforms>,
    #[serde(default)]
    allow_unsigned: bool,
    signatures: Option<WrittenSignatures>,
    #[serde(default)]
    attestations: Vec<WrittenAttestation>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WrittenPlatforms {
    Word(PlatformsWord),
    Only(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PlatformsWord {
    Index,
    AllLeaves,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSignatures {
    pub(super) threshold: Option<NonZeroUsize>,
    pub(super) authorities: Vec<WrittenAuthority>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenAuthority {
    name: String,
    key: Option<WrittenKey>,
    keyless: Option<WrittenKeyless>,
    trust_root: Option<WrittenRoot>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    transparency_log: Option<TransparencyLog>,
    signed_reference: Option<WrittenReference>,
    source: Option<String>,
}

/// Read for its strictness; the key itself was fetched when the places of problems were still known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    #[serde(rename = "file")]
    _file: Option<String>,
    #[serde(rename = "data")]
    _data: Option<String>,
    #[serde(rename = "secret")]
    _secret: Option<WrittenSecret>,
    #[serde(rename = "kms")]
    _kms: Option<String>,
    #[serde(rename = "validFrom")]
    from: Option<String>,
    #[serde(rename = "validUntil")]
    until: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSecret {
    #[serde(rename = "namespace")]
    _namespace: String,
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "key")]
    _key: Option<String>,
}

/// Read for its strictness, as the key is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRoot {
    #[serde(rename = "file")]
    _file: Option<String>,
    #[serde(rename = "tuf")]
    _tuf: Option<WrittenTuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTuf {
    #[serde(rename = "mirror")]
    _mirror: String,
    #[serde(rename = "root")]
    _root: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKeyless {
    identities: Vec<WrittenIdentity>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenIdentity {
    issuer: Option<String>,
    #[serde(rename = "issuerRegExp")]
    issuer_pattern: Option<String>,
    subject: Option<String>,
    #[serde(rename = "subjectRegExp")]
    subject_pattern: Option<String>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TransparencyLog {
    Ignore,
    Require,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenReference {
    Ignore,
    Repository,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenException {
    images: Vec<Pattern>,
    namespaces: Option<Vec<NamespacePattern>>,
    digests: Option<Vec<Digest>>,
    reason: String,
    owner: String,
    expires: String,
}

/// A policy whose every part is known to be usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) name: String,
    /// The registries that it trusts; all of them, where it names none.
    pub(super) registries: Option<Vec<Trusted>>,
    /// Never empty.
    pub(super) rules: Vec<Rule>,
    pub(super) exceptions: Vec<Exception>,
    /// What no longer counts, for the images of every policy.
    pub(super) revoked: Revoked,
}

impl Written {
    /// The policy, with its keys.
    ///
    /// # Errors
    /// When the first reader would have complained: then the two read the text differently, and it is not used.
    pub(super) fn into_policy(self, keys: &Keys) -> Result<Policy, Complaint> {
        let Metadata { name } = self.metadata;
        let Spec { registries, rules, exceptions, revoked } = self.spec;
        let WrittenRevoked { fingerprints, digests, log_indexes } = revoked;
        let revoked = Revoked { fingerprints, digests, log_indexes };
        if rules.is_empty() {
            return Err(Complaint::new("there is no rule", "write at least one"));
        }
        let rule = |(index, rule): (usize, WrittenRule)| rule.into_rule(&name, index, keys);
        let rules = rules.into_iter().enumerate().map(rule).collect::<Result<_, _>>()?;
        let exceptions = exceptions.into_iter().map(WrittenException::into_exception).collect::<Result<_, _>>()?;
        Ok(Policy { name, registries, rules, exceptions, revoked })
    }
}

impl WrittenRule {
    fn into_rule(self, policy: &str, index: usize, keys: &Keys) -> Result<Rule, Complaint> {
        let Self { name, images, namespaces, platforms, allow_unsigned, signatures, attestations } = self;
        let signatures = signatures.map(|signatures| signatures.into_signatures((index, 0), keys)).transpose()?;
        let attestation = |(number, written): (usize, WrittenAttestation)| {
            let list = (index, number.saturating_add(1));
            written.into_attestation(list, signatures.as_ref(), keys).map(Demand::Attestation)
        };
        let mut demands: Vec<Demand> =
            attestations.into_iter().enumerate().map(attestation).collect::<Result<_, _>>()?;
        demands.splice(0..0, signatures.map(Demand::Signatures));
        if allow_unsigned == demands.is_empty() {
            demands.extend(allow_unsigned.then_some(Demand::Unsigned));
        } else {
            demands.clear();
        }
        let platforms = platforms.map_or(Ok(Platforms::Index), WrittenPlatforms::into_platforms)?;
        let requirement = |demand: Demand| {
            let (policy, rule) = (policy.to_owned(), name.clone());
            Requirement { policy, rule, platforms: platforms.clone(), demand }
        };
        let mut requirements = demands.into_iter().map(requirement);
        let Some(requirement) = requirements.next() else {
            let message = format!("rule `{name}` must either demand something or allow unsigned images");
            return Err(Complaint::new(message, "keep one of them"));
        };
        Ok(Rule { images, namespaces, requirement, more: requirements.collect() })
    }
}

impl WrittenPlatforms {
    fn into_platforms(self) -> Result<Platforms, Complaint> {
        match self {
            Self::Word(PlatformsWord::Index) => Ok(Platforms::Index),
            Self::Word(PlatformsWord::AllLeaves) => Ok(Platforms::AllLeaves),
            Self::Only(names) => {
                let wrong = |error: crate::image::platform::PlatformError| Complaint::new(error.to_string(), "");
                let platforms = names.iter().map(|name| name.parse().map_err(wrong));
                Ok(Platforms::Only(platforms.collect::<Result<_, _>>()?))
            }
        }
    }
}

impl WrittenSignatures {
    /// The signatures of this list of this rule.
    pub(super) fn into_signatures(self, (rule, list): (usize, usize), keys: &Keys) -> Result<Signatures, Complaint> {
        let threshold = self.threshold.unwrap_or(NonZeroUsize::MIN);
        if threshold.get() > self.authorities.len() {
            return Err(Complaint::new("the threshold is above the number of authorities", "lower it"));
        }
        let authority = |(index, written): (usize, WrittenAuthority)| {
            let at = (rule, list, index);
            Ok(Authority {
                signer: written.signer(keys, at)?,
                validity: written.key.as_ref().map(WrittenKey::validity).transpose()?.unwrap_or_default(),
                signed_reference: match written.signed_reference {
                    None | Some(WrittenReference::Ignore) => SignedReference::Ignore,
                    Some(WrittenReference::Repository) => SignedReference::Repository,
                },
                source: written.source.as_deref().map(trusted::repository).transpose()?,
                name: written.name,
                annotations: written.annotations,
            })
        };
        let authorities = self.authorities.into_iter().enumerate().map(authority).collect::<Result<_, _>>()?;
        Ok(Signatures { threshold, authorities })
    }
}

impl WrittenAuthority {
    /// Who must have signed; the key and the root were fetched when the places of problems were still known.
    fn signer(&self, keys: &Keys, at: At) -> Result<Signer, Complaint> {
        let wrong = |message: &str| {
            Complaint::new(format!("authority `{}` {message}", self.name), "write `key: {file: …}` or `keyless`")
        };
        let root = || keys.root(at).cloned().ok_or_else(|| wrong("has no trust root"));
        match (&self.key, &self.keyless, self.transparency_log, &self.trust_root) {
            (Some(_), None, None | Some(TransparencyLog::Ignore), None) => {
                Ok(Signer::Key(keys.key(at).cloned().ok_or_else(|| wrong("has no key"))?, None))
            }
            (Some(_), None, Some(TransparencyLog::Require), _) => {
                Ok(Signer::Key(keys.key(at).cloned().ok_or_else(|| wrong("has no key"))?, Some(root()?)))
            }
            (None, Some(keyless), None | Some(TransparencyLog::Require), _) => {
                let identities: Vec<Identity> =
                    keyless.identities.iter().map(WrittenIdentity::identity).collect::<Result<_, _>>()?;
                if identities.is_empty() {
                    return Err(wrong("names no identity"));
                }
                Ok(Signer::Identity(identities, root()?))
            }
            _ => Err(wrong("must name a key or identities, and a trust root exactly where it counts")),
        }
    }
}

impl WrittenKey {
    fn validity(&self) -> Result<Validity, Complaint> {
        let time = |text: &Option<String>| text.as_deref().map(exception::instant).transpose();
        let validity = Validity { from: time(&self.from)?, until: time(&self.until)? };
        match (validity.from, validity.until) {
            (Some(from), Some(until)) if until <= from => {
                Err(Complaint::new("a key never counts", "write a later time"))
            }
            (Some(_) | None, Some(_) | None) => Ok(validity),
        }
    }
}

impl WrittenIdentity {
    fn identity(&self) -> Result<Identity, Complaint> {
        Ok(Identity {
            issuer: expected(self.issuer.as_deref(), self.issuer_pattern.as_deref(), "issuer")?,
            subject: expected(self.subject.as_deref(), self.subject_pattern.as_deref(), "subject")?,
            claims: self.claims()?,
        })
    }

    fn claims(&self) -> Result<BTreeMap<Claim, Expected>, Complaint> {
        let text = |name: &str| self.claims.get(name).map(String::as_str);
        let mut claims = BTreeMap::new();
        let mut read: usize = 0;
        for claim in Claim::ALL {
            let (exact, pattern) = (text(claim.name()), text(claim.pattern_name()));
            if exact.is_some() || pattern.is_some() {
                claims.insert(*claim, expected(exact, pattern, claim.name())?);
                read = read.saturating_add(1);
            }
        }
        if read == self.claims.len() {
            return Ok(claims);
        }
        Err(Complaint::new("an identity asks for a claim that is none", "write it as the documentation does"))
    }
}

fn expected(exact: Option<&str>, pattern: Option<&str>, what: &str) -> Result<Expected, Complaint> {
    let expected = match (exact, pattern) {
        (Some(text), None) => Expected::exactly(text),
        (None, Some(pattern)) => Expected::matching(pattern),
        (None, None) | (Some(_), Some(_)) => {
            return Err(Complaint::new(
                format!("an identity has exactly one {what}"),
                "write it exactly or as a pattern",
            ));
        }
    };
    expected.map_err(|error| Complaint::new(format!("an identity's {what}: {error}"), ""))
}

impl WrittenException {
    fn into_exception(self) -> Result<Exception, Complaint> {
        let Self { images, namespaces, digests, reason, owner, expires } = self;
        let end = exception::day(&expires)?;
        Ok(Exception { images, namespaces, digests, waiver: Waiver { reason, owner, expires }, end })
    }
}
