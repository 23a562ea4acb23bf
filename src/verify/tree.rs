//! A judgement told in full: each rule, each of its authorities, and what became of each candidate under it.
//!
//! Decides nothing, and nothing rests on it: it asks the same questions of the same evidence as [`super::verify`].

use jiff::Timestamp;

use super::attempt::{About, attempt, listed};
use super::candidate::Reading;
use super::explain::what;
use super::judge::{Cases, Question};
use super::verdict::Candidate;
use super::{questions, scope};
use crate::artifact::Evidence;
use crate::image::PinnedImage;
use crate::policy::requirement::{Authority, Demand, Demands, Requirement, Signer};

/// One rule, asked about one digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The policy's name.
    pub policy: String,
    /// The rule's name.
    pub rule: String,
    /// What it asks, or why it asks nothing.
    pub asks: String,
    /// Its authorities; none where nothing needs to be shown.
    pub authorities: Vec<Twig>,
}

/// One authority of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twig {
    /// Its name.
    pub name: String,
    /// Who must have signed.
    pub signer: String,
    /// What kept a registry from answering in full.
    pub gaps: Vec<String>,
    /// Everything that was found, at the first check that it failed under this authority.
    pub candidates: Vec<Candidate>,
}

/// Every rule with its authorities and the candidates under each.
#[must_use]
pub fn explain(image: &PinnedImage, evidence: &[Evidence], demands: &Demands, now: Timestamp) -> Vec<Branch> {
    let cases = Cases::of(evidence, scope(demands));
    let mut branches = Vec::new();
    for requirement in demands.requirements() {
        match &requirement.demand {
            Demand::Unsigned => branches.push(branch(requirement, "nothing: it allows unsigned images".to_owned())),
            Demand::Excepted(waiver) => {
                let asks = format!("nothing: an exception until {} waives it: {}", waiver.expires, waiver.reason);
                branches.push(branch(requirement, asks));
            }
            Demand::Signatures(_) | Demand::Attestation(_) => {
                match questions(image, requirement, demands.revoked(), now) {
                    Err(finding) => {
                        branches.push(branch(requirement, format!("more than can be: {}", finding.message)));
                    }
                    Ok(questions) => branches.extend(questions.iter().map(|question| asked(question, &cases))),
                }
            }
        }
    }
    branches
}

fn branch(requirement: &Requirement, asks: String) -> Branch {
    let Requirement { policy, rule, platforms: _, demand: _ } = requirement;
    Branch { policy: policy.clone(), rule: rule.clone(), asks, authorities: Vec::new() }
}

fn asked<'a>(question: &Question<'a>, cases: &Cases<'a>) -> Branch {
    let authorities: Vec<Twig> =
        question.signatures.authorities.iter().map(|authority| twig(question, authority, cases)).collect();
    let (threshold, count) = (question.signatures.threshold, authorities.len());
    let attested = question.attestation.map(|one| format!(", an attestation of type {}", one.predicate_type));
    let asks = format!("{threshold} of {count} authorities for {}{}", what(question), attested.unwrap_or_default());
    Branch { authorities, ..branch(question.requirement, asks) }
}

fn twig<'a>(question: &Question<'a>, authority: &'a Authority, cases: &Cases<'a>) -> Twig {
    let repository = authority.source.as_ref().unwrap_or(&question.image.repository);
    let gaps = cases.gaps(repository, question.wanted.digest);
    let about = question.about();
    let readings = cases.readings(repository, question.wanted.digest).iter();
    let candidates = readings.map(|reading| candidate(reading, authority, &about)).collect();
    Twig { name: authority.name.clone(), signer: wanted(&authority.signer), gaps, candidates }
}

fn candidate(reading: &Reading, authority: &Authority, about: &About<'_>) -> Candidate {
    let outcome = attempt(reading, authority, about);
    let (signer, failed, message) = match outcome {
        Ok(counted) => (Some(counted.name), None, counted.message),
        Err(miss) => (reading.hint.as_ref().map(ToString::to_string), Some(miss.check), miss.message),
    };
    Candidate { kind: reading.kind, digest: reading.digest, signer, failed, message }
}

/// Whose signature an authority asks for, and whether a log must hold it.
fn wanted(signer: &Signer) -> String {
    match signer {
        Signer::Key(key, None) => format!("key {}", key.fingerprint()),
        Signer::Key(key, Some(_)) => format!("key {}, in a transparency log", key.fingerprint()),
        Signer::Identity(identities, _) => {
            format!("a certificate: {}", listed(identities.iter().map(ToString::to_string), "or"))
        }
    }
}
