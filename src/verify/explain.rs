//! Findings for readers: what was expected, what was found, what would help.

use super::attempt::listed;
use super::candidate::Miss;
use super::judge::{Found, Question};
use super::verdict::Check;
use crate::artifact::Fault;
use crate::image::Repository;
use crate::policy::requirement::{Attestation, Signer};
use crate::reason::{Finding, Reason};

/// Nobody asked this repository: a fault of ours, never a reason to refuse.
pub(super) fn not_asked(question: &Question<'_>, repository: &Repository) -> Finding {
    let message = format!("{} was not asked for evidence about {}", repository, what(question));
    Finding::new(Reason::InternalError, message).of_rule(&question.requirement.rule)
}

/// A registry gave no usable answer.
pub(super) fn fault(question: &Question<'_>, fault: &Fault) -> Finding {
    Finding::new(fault.reason, fault.message.clone()).of_rule(&question.requirement.rule)
}

/// The limit was reached before enough was found.
pub(super) fn left_out(question: &Question<'_>, count: usize) -> Finding {
    let message = format!(
        "expected {}; none among those within the limit, and {count} more candidates were left out",
        expected(question)
    );
    Finding::new(Reason::LimitExceeded, message)
        .of_rule(&question.requirement.rule)
        .with_help("remove what is superfluous beside the image, or raise `limits.signatures`")
}

/// All evidence is there, and it is not enough.
pub(super) fn shortfall(question: &Question<'_>, found: &Found) -> Finding {
    let finding = match (found.tally.count(), nearest(&found.misses)) {
        (0, None) => unsigned(question, ""),
        (0, Some(miss)) if is_absence(miss) => {
            unsigned(question, &format!(": {} ({})", miss.message, candidates(found)))
        }
        (0, Some(miss)) => {
            let message = format!("expected {}; {} ({})", expected(question), miss.message, candidates(found));
            Finding::new(miss.reason, message)
        }
        (count, miss) => too_few(question, found, count, miss),
    };
    finding.of_rule(&question.requirement.rule)
}

/// Whether a candidate was not even of the kind that is asked for.
fn is_absence(miss: &Miss) -> bool {
    matches!(miss.reason, Reason::NoSignature | Reason::AttestationMissing)
}

fn unsigned(question: &Question<'_>, detail: &str) -> Finding {
    if let Some(attestation) = question.attestation {
        return unattested(question, attestation, detail);
    }
    let reason = match question.wanted.leaf {
        None => Reason::NoSignature,
        Some(_) => Reason::PlatformNotSigned,
    };
    let message = format!("expected {}; there is no signature{detail}", expected(question));
    let recursive = if question.wanted.leaf.is_some() { "--recursive " } else { "" };
    let image = question.image;
    let key = key_option(question);
    let help = format!("sign it: `cosign sign {recursive}{key}{}@{}`", image.repository, image.digest);
    Finding::new(reason, message).with_help(help)
}

fn unattested(question: &Question<'_>, attestation: &Attestation, detail: &str) -> Finding {
    let message = format!("expected {}; there is none of that type{detail}", expected(question));
    let (key, repository, digest) = (key_option(question), &question.image.repository, question.wanted.digest);
    let kind = &attestation.predicate_type;
    let help = format!("attach it: `cosign attest {key}--type {kind} --predicate FILE {repository}@{digest}`");
    Finding::new(Reason::AttestationMissing, message).with_help(help)
}

fn key_option(question: &Question<'_>) -> &'static str {
    let with_key = question.signatures.authorities.iter().any(|authority| matches!(authority.signer, Signer::Key(..)));
    if with_key { "--key KEY " } else { "" }
}

fn too_few(question: &Question<'_>, found: &Found, count: usize, miss: Option<&Miss>) -> Finding {
    let named = question.signatures.authorities.iter().enumerate();
    let counted = named.filter(|(position, _)| found.tally.has(*position));
    let by = listed(counted.map(|(_, authority)| format!("`{}`", authority.name)), "and");
    let other = miss.map(|miss| format!("; the nearest other candidate: {}", miss.message)).unwrap_or_default();
    let message = format!("expected {}; found {count}, by {by}{other}", expected(question));
    Finding::new(Reason::ThresholdNotMet, message)
}

/// The miss that says most: what is no signature says least, then what cannot be read, then the furthest check.
fn nearest(misses: &[Miss]) -> Option<&Miss> {
    let rank = |miss: &Miss| (!is_absence(miss), miss.check != Check::Form, miss.check);
    misses.iter().rev().max_by_key(|miss| rank(miss))
}

fn candidates(found: &Found) -> String {
    match found.misses.len() {
        1 => "the only candidate".to_owned(),
        count => format!("the nearest of {count} candidates"),
    }
}

/// What is expected: how many signatures, of what, by whom.
fn expected(question: &Question<'_>) -> String {
    let signatures = question.signatures;
    let by = listed(signatures.authorities.iter().map(|authority| format!("`{}`", authority.name)), "or");
    let number = match (signatures.threshold.get(), question.attestation) {
        (1, None) => "a signature of".to_owned(),
        (count, None) => format!("{count} signatures by different signers of"),
        (1, Some(attestation)) => format!("an attestation of type {} about", attestation.predicate_type),
        (count, Some(attestation)) => {
            format!("{count} attestations of type {} by different signers about", attestation.predicate_type)
        }
    };
    format!("{number} {} by {by}", what(question))
}

/// The digest that a question is about, with its place in an index.
pub(super) fn what(question: &Question<'_>) -> String {
    let digest = question.wanted.digest;
    match &question.wanted.leaf {
        None => digest.to_string(),
        Some(leaf) => format!("{digest} ({leaf})"),
    }
}
