//! Which rules an image must pass. Decided before any host is asked; the demands follow once its digest is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::exception::Exception;
use super::requirement::{Demand, Demands, Requirement, Revoked};
use super::rule::Rule;
use super::written::Policy;
use crate::image::{Digest, Repository};
use crate::reason::{Finding, Reason};

/// The rules that an image must pass, every one of them.
#[derive(Debug, Clone)]
pub struct Matched<'a> {
    first: Hit<'a>,
    rest: Vec<Hit<'a>>,
    revoked: &'a Arc<Revoked>,
}

/// A rule that is about the image, and the exceptions of its policy that cover all of the image's sites.
#[derive(Debug, Clone)]
struct Hit<'a> {
    rule: &'a Rule,
    exceptions: Vec<&'a Exception>,
}

/// How many names one message lists.
const SHOWN: usize = 5;

impl Matched<'_> {
    /// The rules' names, each once, in the order of the policies.
    #[must_use]
    pub fn rules(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let names = self.hits().map(|hit| &hit.rule.requirement.rule);
        names.filter(|name| seen.insert(*name)).cloned().collect()
    }

    /// What is demanded of the image with this digest at this time: the requirements of each rule, in the order of the
    /// policies.
    #[must_use]
    pub fn demands(&self, digest: &Digest, now: Timestamp) -> Demands {
        let more = |hit: &Hit<'_>| -> Vec<Requirement> {
            hit.rule.more.iter().map(|further| hit.waived(further, digest, now)).collect()
        };
        let mut rest = more(&self.first);
        for hit in &self.rest {
            rest.push(hit.waived(&hit.rule.requirement, digest, now));
            rest.extend(more(hit));
        }
        Demands::all(self.first.waived(&self.first.rule.requirement, digest, now), rest)
            .without(Arc::clone(self.revoked))
    }

    fn hits(&self) -> impl Iterator<Item = &Hit<'_>> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

impl Hit<'_> {
    /// A requirement of the rule's, waived where one exception holds. An exception waives nothing of a rule that demands
    /// nothing, so that reports do not name it.
    fn waived(&self, requirement: &Requirement, digest: &Digest, now: Timestamp) -> Requirement {
        let waiver = self.exceptions.iter().find(|exception| exception.holds(digest, now));
        match (&requirement.demand, waiver) {
            (Demand::Signatures(_) | Demand::Attestation(_), Some(exception)) => {
                Requirement { demand: Demand::Excepted(exception.waiver.clone()), ..requirement.clone() }
            }
            (Demand::Signatures(_) | Demand::Attestation(_), None) | (Demand::Unsigned | Demand::Excepted(_), _) => {
                requirement.clone()
            }
        }
    }
}

/// The rules of all policies that are about this image at its sites.
pub(super) fn matching<'a>(
    policies: &'a [Policy],
    revoked: &'a Arc<Revoked>,
    repository: &Repository,
    namespaces: &[Option<String>],
) -> Result<Matched<'a>, Vec<Finding>> {
    let sites = sites(namespaces);
    let mut findings: Vec<Finding> = policies.iter().filter_map(|policy| untrusted(policy, repository)).collect();
    let named: Vec<&Rule> = all_rules(policies).filter(|rule| rule.names(repository)).collect();
    let holds = |site: Option<&str>| named.iter().any(|rule| rule.holds_in(site));
    let lonely: Vec<Option<&str>> = sites.iter().copied().filter(|site| !holds(*site)).collect();
    if !lonely.is_empty() {
        findings.push(unmatched(&named, repository, &lonely));
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut hits = policies.iter().flat_map(|policy| hits(policy, repository, &sites));
    match hits.next() {
        Some(first) => Ok(Matched { first, rest: hits.collect(), revoked }),
        // No site and no rule: every site matched one above, so this is not reached; it refuses all the same.
        None => Err(vec![unmatched(&named, repository, &sites)]),
    }
}

/// The namespaces of an image's sites, each once; unknown, where there is no site.
fn sites(namespaces: &[Option<String>]) -> Vec<Option<&str>> {
    let mut sites: BTreeSet<Option<&str>> = namespaces.iter().map(Option::as_deref).collect();
    if sites.is_empty() {
        sites.insert(None);
    }
    sites.into_iter().collect()
}

fn all_rules(policies: &[Policy]) -> impl Iterator<Item = &Rule> {
    policies.iter().flat_map(|policy| &policy.rules)
}

fn hits<'a>(policy: &'a Policy, repository: &Repository, sites: &[Option<&str>]) -> Vec<Hit<'a>> {
    let exceptions = policy.exceptions.iter().filter(|exception| exception.covers(repository, sites));
    let exceptions: Vec<&Exception> = exceptions.collect();
    let rules = policy.rules.iter().filter(|rule| rule.names(repository));
    let rules = rules.filter(|rule| sites.iter().any(|site| rule.holds_in(*site)));
    rules.map(|rule| Hit { rule, exceptions: exceptions.clone() }).collect()
}

fn untrusted(policy: &Policy, repository: &Repository) -> Option<Finding> {
    let registries = policy.registries.as_ref()?;
    if registries.iter().any(|trusted| trusted.holds(repository)) {
        return None;
    }
    let trusted: Vec<String> = registries.iter().map(ToString::to_string).collect();
    let message =
        format!("policy `{}` trusts {}, and `{repository}` lies in none of them", policy.name, listed(&trusted));
    Some(Finding::new(Reason::UntrustedRegistry, message))
}

/// Says that no rule is about an image, and which one nearly is.
fn unmatched(named: &[&Rule], repository: &Repository, sites: &[Option<&str>]) -> Finding {
    let near: Vec<String> = named.iter().map(|rule| rule.requirement.rule.clone()).collect();
    let places: Vec<String> = sites.iter().flatten().map(ToString::to_string).collect();
    let unknown = sites.iter().any(Option::is_none);
    let Some(first) = near.first() else {
        return Finding::new(Reason::NoMatchingRule, format!("no rule is about `{repository}`"));
    };
    let place = match (places.is_empty(), unknown) {
        (false, false) => format!("in namespace {}", listed(&places)),
        (false, true) => format!("in namespace {}, nor where the namespace is unknown", listed(&places)),
        (true, _) => "where the namespace is unknown".to_owned(),
    };
    let message = format!("no rule is about `{repository}` {place}; of its name are {}", listed(&near));
    let help = if unknown {
        format!(
            "write the object's namespace, or give one with `--namespace`, so that rule `{first}` can allow it there"
        )
    } else {
        format!("add the namespace to rule `{first}`, or write a rule for it")
    };
    Finding::new(Reason::NoMatchingRule, message).with_help(help)
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        Some(_) | None => shown.join(", "),
    }
}
