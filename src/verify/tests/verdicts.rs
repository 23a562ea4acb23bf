//! How verdicts are put together: thresholds, platforms, sources, what could not be found out, and what needs no proof.

use super::super::fixtures::{Signer, image, layer, rule};
use super::super::verdict::{Basis, Check};
use super::super::{lookups, satisfied};
use super::*;
use crate::artifact::{Content, Defect, Fault, Lookup, Sought};
use crate::image::{Digest, Leaf, Platform, Repository};
use crate::policy::requirement::{Demand, Platforms, Requirement, Waiver};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn app() -> PinnedImage {
    image("registry.example.com/team/app", Digest::of(b"app"))
}

fn by(number: u8) -> Authority {
    authority(&format!("signer-{number}"), &Signer::new(number).key())
}

fn signed_by(numbers: &[u8]) -> Vec<Artifact> {
    numbers.iter().map(|number| Signer::new(*number).simple(app().digest)).collect()
}

fn answer(digest: Digest, artifacts: Vec<Artifact>) -> Evidence {
    Evidence { digest, ..evidence(&app(), artifacts) }
}

fn fault(reason: Reason) -> Fault {
    Fault { reason, message: "asked".to_owned(), retry_after: None }
}

fn all(requirements: Vec<Requirement>) -> Demands {
    Demands::new(requirements).unwrap()
}

fn signed(threshold: usize, authorities: Vec<Authority>) -> Requirement {
    rule(Platforms::Index, signatures(threshold, authorities))
}

fn waiver(reason: &str) -> Waiver {
    Waiver { reason: reason.to_owned(), owner: "team".to_owned(), expires: "2030-01-01".to_owned() }
}

#[test]
fn a_threshold_counts_distinct_signers_and_authorities() {
    type Case = (usize, Vec<Authority>, &'static [u8], &'static [Reason]);
    let cases: Vec<Case> = vec![
        (1, vec![by(1)], &[1], &[]),
        (1, vec![by(1), by(2)], &[2], &[]),
        (2, vec![by(1), by(2)], &[1, 2], &[]),
        (2, vec![by(1), by(2), by(3)], &[3, 1], &[]),
        (2, vec![by(1), by(2)], &[1], &[Reason::ThresholdNotMet]),
        (2, vec![by(1), by(2)], &[1, 1], &[Reason::ThresholdNotMet]),
        (2, vec![by(1), by(2)], &[1, 3, 4], &[Reason::ThresholdNotMet]),
        (2, vec![by(1), by(1)], &[1], &[Reason::ThresholdNotMet]),
        (2, vec![by(1)], &[1], &[Reason::ThresholdNotMet]),
        (3, vec![by(1), by(2), by(3)], &[1, 2], &[Reason::ThresholdNotMet]),
        (2, vec![by(1), by(2)], &[3, 4], &[Reason::SignatureInvalid]),
        (1, vec![by(1)], &[], &[Reason::NoSignature]),
        (1, vec![], &[1], &[Reason::NoSignature]),
    ];
    for (threshold, authorities, signers, expected) in cases {
        let demands = all(vec![signed(threshold, authorities)]);
        let judgement = verify(&app(), &[answer(app().digest, signed_by(signers))], &demands);
        assert_eq!(reasons(&judgement), expected, "{threshold} of {demands:?} by {signers:?}");
    }
}

#[test]
fn all_that_an_authority_asks_holds_on_one_signature() {
    // The right key without the annotation, and another key with it.
    let mut ci = by(1);
    ci.annotations = [("stage".to_owned(), "release".to_owned())].into();
    let annotated = |number: u8| {
        let claim = super::super::fixtures::claim(app().digest).to_string();
        Signer::new(number).payload(claim.replace("null", r#"{"stage":"release"}"#))
    };
    let both = vec![Signer::new(1).simple(app().digest), annotated(2)];
    let judgement = by_authority(&app(), both, ci.clone());
    assert_eq!(reasons(&judgement), [Reason::AnnotationMismatch]);
    assert!(is_verified(&by_authority(&app(), vec![annotated(1)], ci)));
}

#[test]
fn the_most_telling_candidate_gives_the_reason() {
    let broken = || layer(super::super::fixtures::SIMPLE, b"{}", &[]);
    let sbom = || layer("text/spdx+json", b"{}", &[]);
    let oversized = || Artifact {
        content: Content::Unusable(Defect { reason: Reason::LimitExceeded, message: "33 MiB".to_owned() }),
        ..broken()
    };
    let stranger = || Signer::new(9).simple(app().digest);
    let moved = || Signer::new(1).simple(Digest::of(b"other"));
    let cases: Vec<(Vec<Artifact>, Reason)> = vec![
        (vec![sbom()], Reason::NoSignature),
        (vec![sbom(), broken()], Reason::Malformed),
        (vec![oversized(), sbom()], Reason::LimitExceeded),
        (vec![broken(), stranger(), sbom()], Reason::SignatureInvalid),
        (vec![moved(), stranger(), broken()], Reason::DigestMismatch),
    ];
    for (artifacts, expected) in cases {
        let count = artifacts.len();
        let judgement = by_authority(&app(), artifacts, by(1));
        assert_eq!(reasons(&judgement), [expected]);
        assert_eq!(judgement.candidates.len(), count);
    }
}

#[test]
fn a_good_signature_counts_whatever_lies_beside_it() {
    let mut artifacts: Vec<Artifact> = (2..60).map(|number| Signer::new(number).simple(app().digest)).collect();
    artifacts.push(layer("text/spdx+json", b"{}", &[]));
    artifacts.push(Signer::new(1).simple(app().digest));
    let mut answer = answer(app().digest, artifacts);
    answer.faults = vec![fault(Reason::RegistryUnavailable)];
    answer.left_out = 10_000;
    assert!(is_verified(&verify(&app(), &[answer], &all(vec![signed(1, vec![by(1)])]))));
}

#[test]
fn what_could_not_be_found_out_is_undecided() {
    let demands = all(vec![signed(1, vec![by(1)])]);
    let cases: [(&[Reason], usize, &[Reason]); 6] = [
        (&[Reason::TimedOut], 0, &[Reason::TimedOut]),
        (&[Reason::RateLimited, Reason::RegistryUnavailable], 0, &[Reason::RateLimited, Reason::RegistryUnavailable]),
        (&[Reason::TimedOut], 5, &[Reason::TimedOut]),
        (&[], 5, &[Reason::LimitExceeded]),
        (&[Reason::LimitExceeded], 0, &[Reason::LimitExceeded]),
        (&[Reason::LimitExceeded, Reason::TimedOut], 0, &[Reason::TimedOut]),
    ];
    for (faults, left_out, expected) in cases {
        let mut answer = answer(app().digest, signed_by(&[2]));
        answer.faults = faults.iter().map(|reason| fault(*reason)).collect();
        answer.left_out = left_out;
        let judgement = verify(&app(), &[answer], &demands);
        assert_eq!(reasons(&judgement), expected);
        let undecided = matches!(judgement.verdict, Verdict::Undecided(_));
        assert_eq!(undecided, expected.iter().all(|one| one.weight() == crate::reason::Weight::Undecided));
    }
}

#[test]
fn evidence_that_nobody_asked_for_is_our_fault() {
    let demands = all(vec![signed(1, vec![by(1)])]);
    let good = answer(app().digest, signed_by(&[1]));
    let elsewhere = Evidence { repository: Repository::parse("registry.example.com/x").unwrap(), ..good.clone() };
    let other = Evidence { digest: Digest::of(b"other"), ..good };
    for evidence in [vec![], vec![elsewhere], vec![other]] {
        let judgement = verify(&app(), &evidence, &demands);
        assert!(matches!(judgement.verdict, Verdict::Undecided(_)));
        assert_eq!(reasons(&judgement), [Reason::InternalError]);
    }
}

#[test]
fn every_requirement_must_hold() {
    let source = Repository::parse("registry.example.com/signatures").unwrap();
    let mut elsewhere = by(2);
    elsewhere.source = Some(source.clone());
    let demands = all(vec![signed(1, vec![by(1)]), signed(1, vec![elsewhere])]);
    let own = |signers: &[u8]| answer(app().digest, signed_by(signers));
    let there = |signers: &[u8]| Evidence { repository: source.clone(), ..own(signers) };
    let down = |mut evidence: Evidence| {
        evidence.faults.push(fault(Reason::RegistryUnavailable));
        evidence
    };
    let cases: Vec<(Vec<Evidence>, &[Reason])> = vec![
        (vec![own(&[1]), there(&[2])], &[]),
        (vec![own(&[1]), there(&[])], &[Reason::NoSignature]),
        (vec![own(&[]), there(&[2])], &[Reason::NoSignature]),
        (vec![own(&[1, 2]), there(&[])], &[Reason::NoSignature]),
        // Undecided only as long as nothing is refused for certain.
        (vec![own(&[1]), down(there(&[]))], &[Reason::RegistryUnavailable]),
        (vec![own(&[]), down(there(&[]))], &[Reason::NoSignature]),
        (vec![down(own(&[])), down(there(&[]))], &[Reason::RegistryUnavailable, Reason::RegistryUnavailable]),
    ];
    for (evidence, expected) in cases {
        assert_eq!(reasons(&verify(&app(), &evidence, &demands)), expected, "{evidence:?}");
    }
    let asked: Vec<(Repository, Vec<String>)> =
        lookups(&app(), &demands).into_iter().map(|lookup| (lookup.repository, lookup.hints)).collect();
    let hints = |number| vec![Signer::new(number).key().hint()];
    assert_eq!(asked, [(app().repository, hints(1)), (source, hints(2))]);
}

#[test]
fn what_needs_no_proof_says_so() {
    let unsigned = || rule(Platforms::Index, Demand::Unsigned);
    let excepted = |reason: &str| rule(Platforms::AllLeaves, Demand::Excepted(waiver(reason)));
    let proof = || signed(1, vec![by(1)]);
    let cases: Vec<(Vec<Requirement>, Basis, usize)> = vec![
        (vec![unsigned()], Basis::UnsignedAllowed, 0),
        (vec![unsigned(), unsigned()], Basis::UnsignedAllowed, 0),
        (vec![unsigned(), proof()], Basis::Proof, 0),
        (vec![proof()], Basis::Proof, 0),
        (vec![excepted("a")], Basis::Exception, 1),
        (vec![unsigned(), excepted("a"), excepted("a"), proof()], Basis::Exception, 1),
        (vec![excepted("a"), excepted("b")], Basis::Exception, 2),
    ];
    for (requirements, basis, exceptions) in cases {
        let judgement = verify(&app(), &[answer(app().digest, signed_by(&[1]))], &all(requirements));
        let Verdict::Verified(image) = judgement.verdict else { panic!("{judgement:?}") };
        assert_eq!((image.basis(), image.exceptions().len()), (basis, exceptions));
    }
    let nothing = all(vec![unsigned(), excepted("a")]);
    assert!(lookups(&app(), &nothing).is_empty());
    assert!(is_verified(&verify(&app(), &[], &nothing)));
    // Neither weakens another rule.
    let judgement = verify(&app(), &[answer(app().digest, vec![])], &all(vec![unsigned(), excepted("a"), proof()]));
    assert_eq!(reasons(&judgement), [Reason::NoSignature]);
}

fn index(leaves: &[(&str, &str)]) -> PinnedImage {
    let leaf = |(name, platform): &(&str, &str)| {
        let mut parts = platform.split('/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let platform = Platform { os: part(), architecture: part(), variant: Some(part()).filter(|v| !v.is_empty()) };
        Leaf { digest: Digest::of(name.as_bytes()), platform: Some(platform).filter(|one| !one.os.is_empty()) }
    };
    PinnedImage { media_type: INDEX.to_owned(), leaves: leaves.iter().map(leaf).collect(), ..app() }
}

#[test]
fn a_rule_says_which_platforms_must_be_signed() {
    let leaves = [("amd", "linux/amd64"), ("arm", "linux/arm64/v8"), ("att", "unknown/unknown")];
    let only = |list: &[&str]| Platforms::Only(list.iter().map(|one| one.parse().unwrap()).collect());
    let unsigned: &[Reason] = &[Reason::PlatformNotSigned];
    let cases: Vec<(PinnedImage, Platforms, &[&str], &[Reason])> = vec![
        (index(&leaves), Platforms::Index, &["app"], &[]),
        (index(&leaves), Platforms::Index, &["amd", "arm", "att"], &[Reason::NoSignature]),
        (index(&leaves), Platforms::AllLeaves, &["amd", "arm", "att"], &[]),
        (index(&leaves), Platforms::AllLeaves, &["amd", "arm"], unsigned),
        (index(&leaves), Platforms::AllLeaves, &["app"], &[Reason::PlatformNotSigned; 3]),
        (index(&leaves), only(&["linux/amd64"]), &["amd"], &[]),
        (index(&leaves), only(&["linux/amd64"]), &["arm", "app"], unsigned),
        (index(&leaves), only(&["linux/amd64", "linux/arm64"]), &["amd", "arm"], &[]),
        (index(&leaves), only(&["linux/amd64", "linux/arm64"]), &["amd"], unsigned),
        (index(&leaves), only(&["linux/amd64", "linux/s390x"]), &["amd"], unsigned),
        (index(&leaves), only(&[]), &["app", "amd", "arm", "att"], unsigned),
        // No index: the image itself counts. An index that lists nothing has no platforms.
        (app(), Platforms::AllLeaves, &["app"], &[]),
        (app(), only(&["linux/amd64"]), &["app"], &[]),
        (index(&[]), Platforms::AllLeaves, &["app"], &[]),
        (index(&[]), only(&["linux/amd64"]), &["app"], unsigned),
        // What a node might run in the place of a platform's image must be signed too.
        (index(&[("bad", "linux/x86_64"), ("amd", "linux/amd64")]), only(&["linux/amd64"]), &["amd"], unsigned),
        (index(&[("bad", "Linux/AMD64"), ("amd", "linux/amd64")]), only(&["linux/amd64"]), &["amd"], unsigned),
        (index(&[("bad", ""), ("amd", "linux/amd64")]), only(&["linux/amd64"]), &["amd"], unsigned),
        (index(&[("two", "linux/amd64/v2"), ("amd", "linux/amd64")]), only(&["linux/amd64"]), &["amd"], unsigned),
        (index(&[("seven", "linux/arm/v7"), ("six", "linux/arm/v6")]), only(&["linux/arm/v7"]), &["seven"], &[]),
        (index(&[("seven", "linux/arm"), ("six", "linux/arm/v6")]), only(&["linux/arm/v7"]), &["seven"], &[]),
        (index(&[("seven", "linux/arm"), ("six", "linux/arm/v6")]), only(&["linux/arm"]), &["seven"], unsigned),
    ];
    for (image, platforms, signed, expected) in cases {
        let demands = all(vec![rule(platforms, signatures(1, vec![by(1)]))]);
        let digests: Vec<Digest> = signed.iter().map(|name| Digest::of(name.as_bytes())).collect();
        let respond = |lookup: Lookup| {
            let good = digests.contains(&lookup.digest).then(|| Signer::new(1).simple(lookup.digest));
            answer(lookup.digest, good.into_iter().collect())
        };
        let evidence: Vec<Evidence> = lookups(&image, &demands).into_iter().map(respond).collect();
        assert_eq!(reasons(&verify(&image, &evidence, &demands)), expected, "{image:?} {demands:?} {signed:?}");
    }
}

#[test]
fn an_index_of_too_many_images_is_refused_without_asking() {
    let names: Vec<String> = (0..129).map(|number| number.to_string()).collect();
    let leaves: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "linux/amd64")).collect();
    let demands = all(vec![rule(Platforms::AllLeaves, signatures(1, vec![by(1)]))]);
    assert!(lookups(&index(&leaves), &demands).is_empty());
    assert_eq!(reasons(&verify(&index(&leaves), &[], &demands)), [Reason::LimitExceeded]);
    assert_eq!(lookups(&index(&leaves[1..]), &demands).len(), 128);
}

#[test]
fn each_repository_and_digest_is_asked_once() {
    let demands = all(vec![
        signed(1, vec![by(1), by(2)]),
        signed(1, vec![by(2), by(3)]),
        rule(Platforms::AllLeaves, signatures(1, vec![by(4)])),
    ]);
    let lookups = lookups(&index(&[("amd", "linux/amd64"), ("arm", "linux/arm64"), ("amd", "linux/amd64")]), &demands);
    let asked: Vec<(Digest, usize)> = lookups.iter().map(|lookup| (lookup.digest, lookup.hints.len())).collect();
    assert_eq!(asked[0], (app().digest, 3));
    assert_eq!(asked.len(), 3);
    assert!(asked[1..].iter().all(|(digest, hints)| *digest != app().digest && *hints == 1));
}

#[test]
fn the_registry_may_stop_once_more_would_change_nothing() {
    let source = Repository::parse("registry.example.com/signatures").unwrap();
    let mut elsewhere = by(3);
    elsewhere.source = Some(source.clone());
    let one = all(vec![signed(1, vec![by(1), by(2)])]);
    let two = all(vec![signed(2, vec![by(1), by(2), elsewhere])]);
    let both = all(vec![signed(1, vec![by(1)]), signed(1, vec![by(2)])]);
    let leaf = all(vec![rule(Platforms::AllLeaves, signatures(1, vec![by(1)]))]);
    let own = app().repository;
    let cases: [(&Demands, &Repository, &[u8], bool); 12] = [
        (&one, &own, &[], false),
        (&one, &own, &[3], false),
        (&one, &own, &[3, 2], true),
        (&two, &own, &[1], false),
        (&two, &own, &[1, 1], false),
        (&two, &own, &[1, 2], true),
        (&two, &source, &[1, 2], false),
        (&two, &source, &[3], true),
        (&both, &own, &[1], false),
        (&both, &own, &[2, 1], true),
        (&leaf, &own, &[], false),
        (&leaf, &own, &[1], true),
    ];
    for (demands, repository, signers, expected) in cases {
        let lookup = Lookup {
            repository: repository.clone(),
            digest: app().digest,
            hints: Vec::new(),
            sought: Sought::signatures(),
        };
        let found = satisfied(&app(), &lookup, &signed_by(signers), demands, NOW);
        assert_eq!(found, expected, "{demands:?} {repository} {signers:?}");
    }
}

#[test]
fn one_candidate_found_in_two_places_is_listed_once() {
    let one = Signer::new(2).simple(app().digest);
    let again = Artifact { place: crate::artifact::Where::FallbackTag, ..one.clone() };
    let judgement = by_authority(&app(), vec![one, again], by(1));
    assert_eq!(only(&judgement).failed, Some(Check::Key));
}

#[test]
fn a_candidate_is_shown_at_the_furthest_check_under_any_rule() {
    let demands = all(vec![signed(1, vec![by(1)]), signed(1, vec![by(2)])]);
    let judgement = verify(&app(), &[answer(app().digest, signed_by(&[2]))], &demands);
    assert_eq!(reasons(&judgement), [Reason::SignatureInvalid]);
    assert_eq!(only(&judgement).failed, None);
}

#[test]
fn the_tree_tells_every_candidate_under_every_authority() {
    let named = |number: u8| Requirement { rule: format!("rule-{number}"), ..signed(1, vec![by(number), by(2)]) };
    let unsigned = Requirement { rule: "open".to_owned(), ..rule(Platforms::Index, Demand::Unsigned) };
    let excepted = Requirement { rule: "late".to_owned(), ..rule(Platforms::Index, Demand::Excepted(waiver("why"))) };
    let demands = all(vec![named(1), named(3), unsigned, excepted]);
    let moved = Signer::new(3).simple(Digest::of(b"other"));
    let mut answer = answer(app().digest, [signed_by(&[2]), vec![moved]].concat());
    answer.faults = vec![fault(Reason::TimedOut)];
    let tree = super::super::tree::explain(&app(), &[answer], &demands, NOW);
    let rules: Vec<&str> = tree.iter().map(|branch| branch.rule.as_str()).collect();
    assert_eq!(rules, ["rule-1", "rule-3", "open", "late"]);
    assert!(tree[2].authorities.is_empty() && tree[3].asks.contains("why"), "{tree:?}");
    let failed = |branch: usize, authority: usize| -> Vec<Option<Check>> {
        tree[branch].authorities[authority].candidates.iter().map(|one| one.failed).collect()
    };
    assert_eq!(failed(0, 0), [Some(Check::Key), Some(Check::Key)]);
    assert_eq!(failed(0, 1), [None, Some(Check::Key)]);
    assert_eq!(failed(1, 0), [Some(Check::Key), Some(Check::Digest)]);
    assert!(tree[0].authorities[0].signer.contains(&Signer::new(1).key().fingerprint().to_string()));
    assert_eq!(tree[0].authorities[0].gaps.len(), 1);
}

#[test]
fn the_tree_says_what_was_not_asked() {
    let tree = super::super::tree::explain(&app(), &[], &all(vec![signed(1, vec![by(1)])]), NOW);
    assert_eq!((tree[0].authorities[0].gaps.len(), tree[0].authorities[0].candidates.len()), (1, 0));
}
