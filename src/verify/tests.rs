//! The room as a whole: real signatures, every byte of them changed, and every field flipped.

mod attestations;
mod fields;
mod logged;
mod real;
mod verdicts;

use super::fixtures::{NOW, authority, demands, evidence, signatures};
use super::verdict::{Candidate, Judgement, Verdict};
use crate::artifact::{Artifact, Evidence};
use crate::image::PinnedImage;
use crate::policy::requirement::{Authority, Demands};
use crate::reason::Reason;
use crate::signer::PublicKey;

/// The judgement at the time of the tests.
fn verify(image: &PinnedImage, evidence: &[Evidence], demands: &Demands) -> Judgement {
    super::verify(image, evidence, demands, NOW)
}

/// The judgement where one authority with one key is asked for, and all evidence is there.
fn by_key(image: &PinnedImage, artifacts: Vec<Artifact>, key: &PublicKey) -> Judgement {
    by_authority(image, artifacts, authority("ci", key))
}

fn by_authority(image: &PinnedImage, artifacts: Vec<Artifact>, authority: Authority) -> Judgement {
    verify(image, &[evidence(image, artifacts)], &demands(signatures(1, vec![authority])))
}

fn is_verified(judgement: &Judgement) -> bool {
    matches!(judgement.verdict, Verdict::Verified(_))
}

/// The reasons of a verdict; none where it is verified.
fn reasons(judgement: &Judgement) -> Vec<Reason> {
    match &judgement.verdict {
        Verdict::Verified(_) => Vec::new(),
        Verdict::Refused(findings) | Verdict::Undecided(findings) => {
            assert!(!findings.is_empty());
            findings.iter().map(|finding| finding.reason).collect()
        }
    }
}

fn only(judgement: &Judgement) -> &Candidate {
    let [candidate] = judgement.candidates.as_slice() else { panic!("{judgement:?}") };
    candidate
}
