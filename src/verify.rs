//! Whether what a registry holds proves what a policy demands. Never fetches; the time is an argument.
//!
//! [`lookups`] says what is wanted; `registry` fetches it, hashed and bounded, and asks [`satisfied`] when it may stop;
//! [`verify`] decides. `Verified` is the presence of a proof for every demand, never the absence of an error.

mod age;
mod attempt;
mod attestation;
mod bundle;
mod candidate;
mod cosign;
mod envelope;
mod explain;
#[cfg(test)]
mod fixtures;
mod json;
mod judge;
mod key;
pub mod keyless;
mod platforms;
mod statement;
#[cfg(test)]
mod tests;
mod threshold;
pub mod tree;
pub mod verdict;

use jiff::Timestamp;

use crate::artifact::{Artifact, Evidence, Lookup, Sought};
use crate::image::{Digest, PinnedImage};
use crate::policy::requirement::{Demand, Demands, Requirement, Revoked, Waiver};
use crate::reason::{Finding, Reason};

use candidate::{Scope, read_all};
use judge::{Cases, Ledger, Question, Ruling};
use verdict::{Basis, Judgement, Verdict, VerifiedImage};

/// What must be asked to verify `image`; empty when nothing needs evidence. Each repository and digest stands once.
#[must_use]
pub fn lookups(image: &PinnedImage, demands: &Demands) -> Vec<Lookup> {
    let mut lookups: Vec<Lookup> = Vec::new();
    // Nothing is judged here, so that any time will do.
    for question in answerable(image, demands, Timestamp::UNIX_EPOCH) {
        for (repository, authorities) in question.sources() {
            let digest = question.wanted.digest;
            let known = lookups.iter().position(|one| one.repository == *repository && one.digest == digest);
            let fresh = || {
                let (repository, hints) = (repository.clone(), Vec::new());
                Lookup { repository, digest, hints, sought: Sought::default() }
            };
            let mut lookup = known.map_or_else(fresh, |known| lookups.remove(known));
            for hint in authorities.iter().filter_map(|(_, authority)| authority.signer.hint()) {
                if !lookup.hints.contains(&hint) {
                    lookup.hints.push(hint);
                }
            }
            seek(&mut lookup.sought, &question);
            lookups.insert(known.unwrap_or(lookups.len()), lookup);
        }
    }
    lookups
}

/// Adds what a question wants to what is sought.
fn seek(sought: &mut Sought, question: &Question<'_>) {
    match question.attestation {
        None => sought.signatures = true,
        Some(attestation) if sought.predicate_types.contains(&attestation.predicate_type) => {}
        Some(attestation) => sought.predicate_types.push(attestation.predicate_type.clone()),
    }
}

/// Whether the registry may stop looking for more: these artifacts show all that this lookup's answer could show.
#[must_use]
pub fn satisfied(
    image: &PinnedImage,
    lookup: &Lookup,
    artifacts: &[Artifact],
    demands: &Demands,
    now: Timestamp,
) -> bool {
    let readings = read_all(artifacts.iter(), scope(demands));
    answerable(image, demands, now).iter().all(|question| {
        let sources = question.sources();
        match sources.get(&lookup.repository) {
            Some(authorities) if question.wanted.digest == lookup.digest => question.exhausted(authorities, &readings),
            Some(_) | None => true,
        }
    })
}

/// Decides: every requirement must hold.
///
/// What is refused for certain, on complete evidence, is refused whatever else could not be found out; only then is
/// missing evidence what makes a verdict undecided. A verdict's findings are all of its own weight. A signature from
/// after `now` counts nowhere.
#[must_use]
pub fn verify(image: &PinnedImage, evidence: &[Evidence], demands: &Demands, now: Timestamp) -> Judgement {
    let cases = Cases::of(evidence, scope(demands));
    let mut ledger = Ledger::default();
    let (mut refused, mut undecided) = (revoked(image, demands.revoked()), Vec::new());
    for requirement in demands.requirements() {
        match questions(image, requirement, demands.revoked(), now) {
            Err(finding) => refused.push(finding),
            Ok(questions) => {
                for question in questions {
                    match question.judge(&cases, &mut ledger) {
                        Ruling::Held => {}
                        Ruling::Refused(findings) => refused.extend(findings),
                        Ruling::Undecided(findings) => undecided.extend(findings),
                    }
                }
            }
        }
    }
    let verdict = if !refused.is_empty() {
        Verdict::Refused(refused)
    } else if !undecided.is_empty() {
        Verdict::Undecided(undecided)
    } else {
        approved(image, demands.requirements())
    };
    Judgement { verdict, candidates: ledger.candidates() }
}

/// What a requirement asks of the evidence: a question for each digest; none where nothing needs to be shown. At least
/// one for a demand of signatures or of an attestation, or what is wrong with the image itself.
fn questions<'a>(
    image: &'a PinnedImage,
    requirement: &'a Requirement,
    revoked: &'a Revoked,
    now: Timestamp,
) -> Result<Vec<Question<'a>>, Finding> {
    let (signatures, attestation) = match &requirement.demand {
        Demand::Unsigned | Demand::Excepted(_) => return Ok(Vec::new()),
        Demand::Signatures(signatures) => (signatures, None),
        Demand::Attestation(attestation) => (&attestation.by, Some(attestation)),
    };
    let wanted =
        platforms::wanted(image, &requirement.platforms).map_err(|finding| finding.of_rule(&requirement.rule))?;
    let question = |wanted| Question { image, requirement, signatures, attestation, wanted, revoked, now };
    Ok(wanted.into_iter().map(question).collect())
}

/// For whom artifacts are read.
fn scope(demands: &Demands) -> Scope {
    let attested = |requirement: &Requirement| matches!(requirement.demand, Demand::Attestation(_));
    if demands.requirements().iter().any(attested) { Scope::Attestations } else { Scope::Signatures }
}

/// The questions that evidence can answer. What is wrong with the image itself needs none: [`verify`] reports it.
fn answerable<'a>(image: &'a PinnedImage, demands: &'a Demands, now: Timestamp) -> Vec<Question<'a>> {
    let mut answerable = Vec::new();
    for requirement in demands.requirements() {
        if let Ok(questions) = questions(image, requirement, demands.revoked(), now) {
            answerable.extend(questions);
        }
    }
    answerable
}

/// An image whose digest, or that of one of its platforms, is revoked must not run, whoever vouches for it.
fn revoked(image: &PinnedImage, revoked: &Revoked) -> Vec<Finding> {
    let own = std::iter::once((image.digest, "the image"));
    let leaves = image.leaves.iter().map(|leaf| (leaf.digest, "a platform of the image"));
    let found = own.chain(leaves).filter(|(digest, _)| revoked.digests.contains(digest));
    let finding = |(digest, what): (Digest, &str)| {
        Finding::new(Reason::Revoked, format!("{what} is {digest}, which a policy revokes"))
            .with_help("deploy an image that is not revoked")
    };
    found.map(finding).collect()
}

/// The verdict where every requirement holds. Without one, nothing does.
fn approved(image: &PinnedImage, requirements: &[Requirement]) -> Verdict {
    if requirements.is_empty() {
        return Verdict::Undecided(vec![Finding::new(Reason::InternalError, "nothing was demanded of the image")]);
    }
    let mut exceptions: Vec<Waiver> = Vec::new();
    let mut unsigned = true;
    for requirement in requirements {
        match &requirement.demand {
            Demand::Unsigned => {}
            Demand::Signatures(_) | Demand::Attestation(_) => unsigned = false,
            Demand::Excepted(waiver) if exceptions.contains(waiver) => {}
            Demand::Excepted(waiver) => exceptions.push(waiver.clone()),
        }
    }
    let basis = match (exceptions.is_empty(), unsigned) {
        (false, _) => Basis::Exception,
        (true, true) => Basis::UnsignedAllowed,
        (true, false) => Basis::Proof,
    };
    Verdict::Verified(VerifiedImage::new(image.clone(), basis, exceptions))
}
