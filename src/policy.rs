//! Which requirements hold for which image. Pure: what it reads is handed in, and so is the time.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::image::{Digest, Host, Repository};
use crate::reason::{ErrorCode, Finding, Problem};
use crate::signer::PublicKey;
use crate::signer::identity::Identity;
use crate::signer::root::TrustRoot;

mod attestation;
mod exception;
mod glob;
mod keys;
mod load;
mod matching;
pub mod material;
mod predicate;
pub mod requirement;
mod rule;
mod schema;
mod trusted;
mod wildcard;
mod written;

use glob::{HostPattern, Pattern};
use requirement::{Authority, Demand, Platforms, Requirement, Revoked, Signatures, SignedReference, Signer, Validity};
use rule::Rule;
use written::Policy;

pub use load::PolicyFile;
pub use matching::Matched;

/// The policies in force: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySet {
    policies: Vec<Policy>,
    identities: Vec<PolicyId>,
    /// What any of the policies revokes.
    revoked: Arc<Revoked>,
}

/// What identifies a policy in reports and in kept evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PolicyId {
    /// Its name.
    pub name: String,
    /// The digest of its text and of the keys that it names.
    pub digest: Digest,
}

/// What policy and rule are called where keys were given on the command line.
const COMMAND_LINE: &str = "command line";

/// Loads policy files. `read` fetches what they name.
///
/// # Errors
/// Every problem of every file, with its place.
pub fn load(files: &[PolicyFile], read: material::Read<'_>) -> Result<PolicySet, Vec<Problem>> {
    let (identities, policies): (_, Vec<Policy>) = load::load(files, read)?.into_iter().unzip();
    let mut revoked = Revoked::default();
    for policy in &policies {
        revoked.extend(&policy.revoked);
    }
    Ok(PolicySet { policies, identities, revoked: Arc::new(revoked) })
}

/// The fields of a policy, as a table for readers.
#[must_use]
pub fn fields() -> String {
    crate::fields::describe::table(&schema::POLICY)
}

impl PolicySet {
    /// cosign's own habit: every image must be signed by any one of these keys, with these annotations.
    ///
    /// # Errors
    /// When there is no key, or one is named twice.
    pub fn from_keys(keys: Vec<(String, PublicKey)>, annotations: &BTreeMap<String, String>) -> Result<Self, Problem> {
        let mut digested = Vec::new();
        let mut authorities: Vec<Authority> = Vec::new();
        for (name, key) in keys {
            let signer = Signer::Key(key.clone(), None);
            if let Some(first) = authorities.iter().find(|authority| authority.signer == signer) {
                let message = format!("`{name}` is the same key as `{}`", first.name);
                return Err(Problem::new(ErrorCode::Usage, message).with_help("name each key once"));
            }
            digested.extend_from_slice(key.fingerprint().raw());
            let (signed_reference, source) = (SignedReference::Ignore, None);
            let (validity, annotations) = (Validity::default(), annotations.clone());
            authorities.push(Authority { name, validity, signer, annotations, signed_reference, source });
        }
        if authorities.is_empty() {
            let problem = Problem::new(ErrorCode::Usage, "there is no key");
            return Err(problem.with_help("name one with `--key FILE`, or a policy with `--policy FILE`"));
        }
        Ok(Self::of_command_line(authorities, digested, annotations))
    }

    /// The same for certificates: every image must be signed by this identity, with these annotations.
    #[must_use]
    pub fn from_identity(identity: Identity, root: TrustRoot, annotations: &BTreeMap<String, String>) -> Self {
        let digested = format!("{identity:?}{}", root.digest()).into_bytes();
        let authority = Authority {
            name: COMMAND_LINE.to_owned(),
            validity: Validity::default(),
            signer: Signer::Identity(vec![identity], root),
            annotations: annotations.clone(),
            signed_reference: SignedReference::Ignore,
            source: None,
        };
        Self::of_command_line(vec![authority], digested, annotations)
    }

    /// Any one of these authorities, for every image. `digested` is what the policy's digest is of, beside annotations.
    fn of_command_line(
        authorities: Vec<Authority>,
        mut digested: Vec<u8>,
        annotations: &BTreeMap<String, String>,
    ) -> Self {
        for (name, value) in annotations {
            digested.extend_from_slice(format!("{}:{name}{}:{value}", name.len(), value.len()).as_bytes());
        }
        let (digest, signatures) = (Digest::of(&digested), Signatures { threshold: NonZeroUsize::MIN, authorities });
        let requirement = Requirement {
            policy: COMMAND_LINE.to_owned(),
            rule: COMMAND_LINE.to_owned(),
            platforms: Platforms::Index,
            demand: Demand::Signatures(signatures),
        };
        let rule = Rule { images: vec![Pattern::everything()], namespaces: None, requirement, more: Vec::new() };
        let name = COMMAND_LINE.to_owned();
        let policy = Policy {
            name: name.clone(),
            registries: None,
            rules: vec![rule],
            exceptions: Vec::new(),
            revoked: Revoked::default(),
        };
        Self { policies: vec![policy], identities: vec![PolicyId { name, digest }], revoked: Arc::default() }
    }

    /// The policies' names and digests, in the order of the files.
    #[must_use]
    pub fn identities(&self) -> &[PolicyId] {
        &self.identities
    }

    /// The hosts that the policies name literally, and that may therefore be asked.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<Host> {
        let mut hosts = BTreeSet::new();
        for policy in &self.policies {
            hosts.extend(policy.registries.iter().flatten().map(|trusted| trusted.host().clone()));
            for rule in &policy.rules {
                hosts.extend(rule.images.iter().filter_map(Pattern::named_host).cloned());
                hosts.extend(sources(rule).map(|source| source.host().clone()));
            }
        }
        hosts
    }

    /// Whether a rule's pattern has a wildcard for a host. Such a pattern names no host, but loopback in the
    /// command-line tools.
    #[must_use]
    pub fn names_loopback(&self) -> bool {
        let mut patterns = self.policies.iter().flat_map(|policy| &policy.rules).flat_map(|rule| &rule.images);
        patterns.any(|pattern| *pattern.host() == HostPattern::Wildcard)
    }

    /// What the policies say about an image before any host is asked. `namespaces` has one entry for each of its sites,
    /// `None` where the namespace is unknown; without any site it is unknown too.
    ///
    /// # Errors
    /// The findings that refuse the image: a registry that is not trusted, a site that no rule is about.
    pub fn matching<'a>(
        &'a self,
        repository: &Repository,
        namespaces: &[Option<String>],
    ) -> Result<Matched<'a>, Vec<Finding>> {
        matching::matching(&self.policies, &self.revoked, repository, namespaces)
    }

    /// The next instant after `now` at which an exception, a trust root, a key or what an attestation may say ends, or a key
    /// begins.
    #[must_use]
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        let exceptions = self.policies.iter().flat_map(|policy| &policy.exceptions).map(|exception| exception.end);
        let rules = self.policies.iter().flat_map(|policy| &policy.rules);
        let demands = rules.clone().flat_map(Rule::requirements).map(|requirement| &requirement.demand);
        let allowed = demands.flat_map(|demand| match demand {
            Demand::Attestation(attestation) => attestation.ends.as_slice(),
            Demand::Signatures(_) | Demand::Unsigned | Demand::Excepted(_) => &[],
        });
        let roots = rules.clone().flat_map(authorities).filter_map(|authority| authority.signer.root()?.good_until());
        let validities = rules.flat_map(authorities).map(|authority| authority.validity);
        let keys = validities.flat_map(|Validity { from, until }| from.into_iter().chain(until));
        exceptions.chain(allowed.copied()).chain(roots).chain(keys).filter(|end| *end > now).min()
    }
}

/// The authorities that a rule names.
fn authorities(rule: &Rule) -> impl Iterator<Item = &Authority> {
    let demanded = rule.requirements().filter_map(|requirement| requirement.demand.signatures());
    demanded.flat_map(|signatures| &signatures.authorities)
}

/// The repositories other than the image's own in which a rule looks for signatures.
fn sources(rule: &Rule) -> impl Iterator<Item = &Repository> {
    authorities(rule).filter_map(|authority| authority.source.as_ref())
}

#[cfg(test)]
mod tests;
