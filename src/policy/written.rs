//! A policy as `serde_yaml` builds it: the second reader of the text, as strict as the first, and the only one whose
//! values are used.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::Deserialize;

use super::exception::{self, Exception};
use super::glob::{NamespacePattern, Pattern};
use super::keys::Keys;
use super::requirement::{Authority, Demand, Platforms, Requirement, Signatures, SignedReference, Waiver};
use super::rule::Rule;
use super::trusted::{self, Trusted};
use crate::fields::Complaint;

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
struct WrittenSignatures {
    threshold: Option<NonZeroUsize>,
    authorities: Vec<WrittenAuthority>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenAuthority {
    name: String,
    #[serde(rename = "key")]
    _key: WrittenKey,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(rename = "transparencyLog")]
    _transparency_log: Option<TransparencyLog>,
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
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TransparencyLog {
    Ignore,
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
    digests: Option<Vec<crate::image::Digest>>,
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
}

impl Written {
    /// The policy, with its keys.
    ///
    /// # Errors
    /// When the first reader would have complained: then the two read the text differently, and it is not used.
    pub(super) fn into_policy(self, keys: &Keys) -> Result<Policy, Complaint> {
        let Metadata { name } = self.metadata;
        let Spec { registries, rules, exceptions } = self.spec;
        if rules.is_empty() {
            return Err(Complaint::new("there is no rule", "write at least one"));
        }
        let rule = |(index, rule): (usize, WrittenRule)| rule.into_rule(&name, index, keys);
        let rules = rules.into_iter().enumerate().map(rule).collect::<Result<_, _>>()?;
        let exceptions = exceptions.into_iter().map(WrittenException::into_exception).collect::<Result<_, _>>()?;
        Ok(Policy { name, registries, rules, exceptions })
    }
}

impl WrittenRule {
    fn into_rule(self, policy: &str, index: usize, keys: &Keys) -> Result<Rule, Complaint> {
        let Self { name, images, namespaces, platforms, allow_unsigned, signatures } = self;
        let demand = match (signatures, allow_unsigned) {
            (Some(signatures), false) => Demand::Signatures(signatures.into_signatures(index, keys)?),
            (None, true) => Demand::Unsigned,
            (Some(_), true) | (None, false) => {
                let message = format!("rule `{name}` must either demand signatures or allow unsigned images");
                return Err(Complaint::new(message, "keep one of them"));
            }
        };
        let platforms = platforms.map_or(Ok(Platforms::Index), WrittenPlatforms::into_platforms)?;
        Ok(Rule {
            images,
            namespaces,
            requirement: Requirement { policy: policy.to_owned(), rule: name, platforms, demand },
        })
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
    fn into_signatures(self, rule: usize, keys: &Keys) -> Result<Signatures, Complaint> {
        let threshold = self.threshold.unwrap_or(NonZeroUsize::MIN);
        if threshold.get() > self.authorities.len() {
            return Err(Complaint::new("the threshold is above the number of authorities", "lower it"));
        }
        let authority = |(index, written): (usize, WrittenAuthority)| {
            let missing =
                || Complaint::new(format!("authority `{}` has no key", written.name), "write `key: {file: …}`");
            let key = keys.get(rule, index).cloned().ok_or_else(missing)?;
            Ok(Authority {
                key,
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

impl WrittenException {
    fn into_exception(self) -> Result<Exception, Complaint> {
        let Self { images, namespaces, digests, reason, owner, expires } = self;
        let end = exception::day(&expires)?;
        Ok(Exception { images, namespaces, digests, waiver: Waiver { reason, owner, expires }, end })
    }
}
