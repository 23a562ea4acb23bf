//! One demand for signatures or an attestation against the evidence about one digest.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::attempt::{About, Attempt, attempt, expired, stranger};
use super::candidate::{Hint, Miss, Reading, Scope, read_all};
use super::explain;
use super::platforms::Wanted;
use super::threshold::Tally;
use super::verdict::{Candidate, CandidateKind, Check};
use crate::artifact::{Evidence, Fault};
use crate::image::{Digest, PinnedImage, Repository};
use crate::policy::requirement::{Attestation, Authority, Requirement, Revoked, Signatures};
use crate::reason::{Finding, Weight};

/// All evidence about one image, read, by repository and digest.
pub(super) struct Cases<'a>(BTreeMap<Key<'a>, Case<'a>>);

/// Where evidence comes from and what it is about.
type Key<'a> = (&'a Repository, Digest);

/// The evidence about one digest in one repository.
struct Case<'a> {
    readings: Vec<Reading>,
    faults: Vec<&'a Fault>,
    left_out: usize,
}

/// What became of one demand on one digest.
pub(super) enum Ruling {
    /// It is fulfilled.
    Held,
    /// It is not, for certain.
    Refused(Vec<Finding>),
    /// Evidence is missing.
    Undecided(Vec<Finding>),
}

/// What became of the candidates: each at the furthest check that it reached under any authority of any rule.
#[derive(Default)]
pub(super) struct Ledger<'a>(BTreeMap<(Key<'a>, usize), Entry>);

struct Entry {
    kind: CandidateKind,
    digest: Digest,
    hint: Option<Hint>,
    attempt: Attempt,
}

/// What the evidence holds for one demand.
#[derive(Default)]
pub(super) struct Found {
    /// The signatures that count.
    pub(super) tally: Tally,
    /// The candidates that do not, each at the furthest check that it reached under any authority.
    pub(super) misses: Vec<Miss>,
    /// What could not be found out.
    unknown: Vec<Finding>,
    /// What kept a registry from answering and will not go away by asking again.
    faulty: Vec<Finding>,
    left_out: usize,
}

/// One demand with all that it is about.
pub(super) struct Question<'a> {
    pub(super) image: &'a PinnedImage,
    pub(super) requirement: &'a Requirement,
    /// By whom and by how many.
    pub(super) signatures: &'a Signatures,
    /// The attestation that is demanded; none where signatures are.
    pub(super) attestation: Option<&'a Attestation>,
    pub(super) wanted: Wanted,
    /// What no longer counts.
    pub(super) revoked: &'a Revoked,
    pub(super) now: Timestamp,
}

impl<'a> Cases<'a> {
    pub(super) fn of(evidence: &'a [Evidence], scope: Scope) -> Self {
        let mut answers: BTreeMap<Key<'a>, Vec<&'a Evidence>> = BTreeMap::new();
        for answer in evidence {
            answers.entry((&answer.repository, answer.digest)).or_default().push(answer);
        }
        let case = |answers: Vec<&'a Evidence>| Case {
            readings: read_all(answers.iter().flat_map(|answer| &answer.artifacts), scope),
            faults: answers.iter().flat_map(|answer| &answer.faults).collect(),
            left_out: answers.iter().fold(0, |sum, answer| sum.saturating_add(answer.left_out)),
        };
        Self(answers.into_iter().map(|(key, answers)| (key, case(answers))).collect())
    }

    /// What a repository showed about a digest.
    pub(super) fn readings(&self, repository: &'a Repository, digest: Digest) -> &[Reading] {
        self.0.get(&(repository, digest)).map_or(&[], |case| &case.readings)
    }

    /// What is missing of a repository's answer about a digest.
    pub(super) fn gaps(&self, repository: &'a Repository, digest: Digest) -> Vec<String> {
        let Some(case) = self.0.get(&(repository, digest)) else { return vec![format!("{repository} was not asked")] };
        let mut gaps: Vec<String> =
            case.faults.iter().map(|fault| format!("{}: {}", fault.reason, fault.message)).collect();
        if case.left_out > 0 {
            gaps.push(format!("{} more candidates were left out", case.left_out));
        }
        gaps
    }
}

impl<'a> Question<'a> {
    /// The authorities by the repository that holds their signatures, each with its position in the rule.
    pub(super) fn sources(&self) -> BTreeMap<&'a Repository, Vec<(usize, &'a Authority)>> {
        let mut sources: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (position, authority) in self.signatures.authorities.iter().enumerate() {
            let repository = authority.source.as_ref().unwrap_or(&self.image.repository);
            sources.entry(repository).or_default().push((position, authority));
        }
        sources
    }

    /// Whether these candidates show all that this repository could show for the demand.
    pub(super) fn exhausted(&self, authorities: &[(usize, &Authority)], readings: &[Reading]) -> bool {
        let mut tally = Tally::default();
        for reading in readings {
            self.count(reading, authorities, &mut tally);
        }
        tally.count() >= self.signatures.threshold.get().min(authorities.len())
    }

    /// Judges the demand; what became of each candidate goes to the ledger.
    pub(super) fn judge(&self, cases: &Cases<'a>, ledger: &mut Ledger<'a>) -> Ruling {
        let found = self.gather(cases, ledger);
        if found.tally.count() >= self.signatures.threshold.get() {
            Ruling::Held
        } else if !found.unknown.is_empty() {
            Ruling::Undecided(found.unknown)
        } else if !found.faulty.is_empty() {
            Ruling::Refused(found.faulty)
        } else if found.left_out > 0 {
            Ruling::Refused(vec![explain::left_out(self, found.left_out)])
        } else {
            Ruling::Refused(vec![explain::shortfall(self, &found)])
        }
    }

    fn gather(&self, cases: &Cases<'a>, ledger: &mut Ledger<'a>) -> Found {
        let mut found = Found::default();
        for (repository, authorities) in self.sources() {
            let key = (repository, self.wanted.digest);
            let Some(case) = cases.0.get(&key) else {
                found.unknown.push(explain::not_asked(self, repository));
                continue;
            };
            let expired = authorities.iter().filter_map(|(_, authority)| expired(authority, self.now));
            found
                .unknown
                .extend(expired.map(|miss| Finding::new(miss.reason, miss.message).of_rule(&self.requirement.rule)));
            for (position, reading) in case.readings.iter().enumerate() {
                let best = self.weigh(reading, &authorities, &mut found.tally);
                found.misses.extend(best.as_ref().err().cloned());
                ledger.note((key, position), reading, best);
            }
            for fault in &case.faults {
                let finding = explain::fault(self, fault);
                match fault.reason.weight() {
                    Weight::Undecided => found.unknown.push(finding),
                    Weight::Refused => found.faulty.push(finding),
                }
            }
            found.left_out = found.left_out.saturating_add(case.left_out);
        }
        found
    }

    /// Adds what counts of a candidate to the tally.
    fn count(&self, reading: &Reading, authorities: &[(usize, &Authority)], tally: &mut Tally) {
        for (position, authority) in authorities {
            if let Ok(counted) = attempt(reading, authority, &self.about()) {
                tally.add(*position, counted.signer);
            }
        }
    }

    /// Adds what counts of a candidate to the tally, and says how far it came at best.
    fn weigh(&self, reading: &Reading, authorities: &[(usize, &Authority)], tally: &mut Tally) -> Attempt {
        let mut best: Option<Attempt> = None;
        for (position, authority) in authorities {
            let outcome = attempt(reading, authority, &self.about());
            if let Ok(counted) = &outcome {
                tally.add(*position, counted.signer);
            }
            if best.as_ref().is_none_or(|best| reach(&outcome) > reach(best)) {
                best = Some(outcome);
            }
        }
        let all: Vec<&Authority> = authorities.iter().map(|(_, authority)| *authority).collect();
        match (best, &reading.signed) {
            (Some(Err(Miss { check: Check::Key, .. })), Ok(signed)) => {
                Err(stranger(reading.hint.as_ref(), signed, &all))
            }
            (Some(best), _) => best,
            (None, _) => Err(Miss::no_signature("no authority asks for it")),
        }
    }

    pub(super) fn about(&self) -> About<'a> {
        let Self { image, attestation, wanted, revoked, now, requirement: _, signatures: _ } = self;
        About {
            digest: wanted.digest,
            pinned: image.digest,
            repository: &image.repository,
            attestation: *attestation,
            revoked,
            now: *now,
        }
    }
}

/// How far a candidate came: all the way, or up to the check that it failed.
fn reach(attempt: &Attempt) -> (bool, Option<Check>) {
    match attempt {
        Ok(_) => (true, None),
        Err(miss) => (false, Some(miss.check)),
    }
}

impl<'a> Ledger<'a> {
    fn note(&mut self, key: (Key<'a>, usize), reading: &Reading, attempt: Attempt) {
        if self.0.get(&key).is_none_or(|known| reach(&attempt) > reach(&known.attempt)) {
            let Reading { kind, digest, hint, .. } = reading;
            self.0.insert(key, Entry { kind: *kind, digest: *digest, hint: hint.clone(), attempt });
        }
    }

    /// The candidates as reports list them.
    pub(super) fn candidates(self) -> Vec<Candidate> {
        self.0.into_values().map(Entry::candidate).collect()
    }
}

impl Entry {
    fn candidate(self) -> Candidate {
        let Self { kind, digest, hint, attempt } = self;
        let (signer, failed, message) = match attempt {
            Ok(counted) => (Some(counted.name), None, counted.message),
            Err(miss) => (hint.map(|hint| hint.to_string()), Some(miss.check), miss.message),
        };
        Candidate { kind, digest, signer, failed, message }
    }
}
