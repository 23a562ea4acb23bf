//! Promises 1 to 3: what is approved was verified, all of it or nothing.

use proptest::prelude::*;

use super::*;
use crate::policy::requirement::{Demand, Demands, Platforms, Requirement};
use crate::reason::Place;
use crate::verify;

/// Two images of which one stands twice; the Service names none and waits with them.
const MANIFEST: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: a, image: r.example/a:1}
  - {name: b, image: 'r.example/b'} # the sidecar
  - {name: c, image: r.example/a:1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Verified,
    Refused,
    Undecided,
}

fn verified(image: &ImageRef) -> (PinnedImage, Verdict) {
    let pinned = PinnedImage {
        repository: image.repository().clone(),
        digest: Digest::of(image.written().as_bytes()),
        size: 1,
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        leaves: Vec::new(),
        resolved_by: None,
    };
    let requirement = Requirement {
        policy: "test".to_owned(),
        rule: "test".to_owned(),
        platforms: Platforms::Index,
        demand: Demand::Unsigned,
    };
    let demands = Demands::new(vec![requirement]).unwrap();
    let verdict = verify::verify(&pinned, &[], &demands, jiff::Timestamp::UNIX_EPOCH).verdict;
    (pinned, verdict)
}

fn judged(sites: &[Site], told: &dyn Fn(&str) -> Told) -> Vec<Judged> {
    let mut by_reference = BTreeMap::<&str, Vec<Site>>::new();
    for site in sites {
        by_reference.entry(&site.written).or_default().push(site.clone());
    }
    let judge = |(reference, sites): (&str, Vec<Site>)| {
        let image = sites[0].image.clone().unwrap();
        let (pinned, pass) = verified(&image);
        let finding = |reason| vec![Finding::new(reason, "told so")];
        let verdict = match told(reference) {
            Told::Verified => pass,
            Told::Refused => Verdict::Refused(finding(Reason::NoSignature)),
            Told::Undecided => Verdict::Undecided(finding(Reason::TimedOut)),
        };
        let (reference, image) = (reference.to_owned(), Some(image));
        Judged { reference, image, resolved: Some(pinned), rules: vec![], verdict, candidates: vec![], sites }
    };
    by_reference.into_iter().map(judge).collect()
}

/// Decides on the manifest, with verdicts as told, after `tamper` had its way with them.
fn decide_on(told: &dyn Fn(&str) -> Told, problems: &[Problem], tamper: &dyn Fn(&mut Vec<Judged>)) -> Decision {
    let limits = Limits::default();
    let rules = Rules::default();
    let file = File { path: "clusters/prod/web.yaml".into(), bytes: Bytes::from_static(MANIFEST.as_bytes()) };
    let documents = manifest::read(&file, &limits).unwrap();
    let sites: Vec<Site> =
        documents.iter().flat_map(|document| discovery::discover(document, None, &rules).unwrap()).collect();
    let mut judged = judged(&sites, told);
    tamper(&mut judged);
    decide(&Case {
        gate: "production",
        revision: &Revision { id: "1".repeat(40), time: 0 },
        root: "clusters/prod",
        files: &[ReadFile { file, documents: Arc::new(documents) }],
        judged: &judged,
        problems,
        finding: Finder { rules: &rules, namespace: None, limits: &limits },
    })
}

#[test]
fn a_release_holds_the_verified_digests_and_nothing_else_changes() {
    let Decision::Pass(release) = decide_on(&|_| Told::Verified, &[], &|_| {}) else { panic!("no pass") };
    let (a, b) = (Digest::of(b"r.example/a:1"), Digest::of(b"r.example/b"));
    let expected = MANIFEST
        .replace("r.example/a:1", &format!("r.example/a:1@{a}"))
        .replace("r.example/b'", &format!("r.example/b@{b}'"));
    assert_eq!(release.files()[0].bytes, expected.as_bytes());
    assert_eq!(&*release.files()[0].path, "web.yaml");
    assert_eq!(release.digests(), &BTreeSet::from([a, b]));
    let pins =
        [("r.example/a:1", a), ("r.example/b:latest", b)].map(|(reference, digest)| (reference.to_owned(), digest));
    assert_eq!(release.pins(), &pins.into());
    assert_eq!(release.objects()[0].json["spec"]["containers"][1]["image"], format!("r.example/b@{b}"));
    let images: Vec<usize> = release.objects().iter().map(|object| object.images.len()).collect();
    assert_eq!(images, [2, 0]);
}

#[test]
fn an_image_that_nobody_judged_is_never_applied() {
    let forget_one = |judged: &mut Vec<Judged>| drop(judged.pop());
    assert!(
        matches!(decide_on(&|_| Told::Verified, &[], &forget_one), Decision::Refuse(problems) if problems.len() == 1)
    );
    let forget_all = |judged: &mut Vec<Judged>| judged.clear();
    assert!(
        matches!(decide_on(&|_| Told::Verified, &[], &forget_all), Decision::Refuse(problems) if problems.len() == 1)
    );
}

#[test]
fn a_site_that_nobody_judged_is_never_applied() {
    let forget = |judged: &mut Vec<Judged>| {
        for judged in judged {
            judged.sites.truncate(1);
        }
    };
    assert!(matches!(decide_on(&|_| Told::Verified, &[], &forget), Decision::Refuse(_)));
}

#[test]
fn one_file_that_cannot_be_read_refuses_everything() {
    let problem = Problem::new(ErrorCode::YamlInvalid, "broken").at(Place { line: 1, column: 1 });
    assert_eq!(decide_on(&|_| Told::Verified, &[problem], &|_| {}).answer(), Answer::Refuse);
}

proptest! {
    #[test]
    fn a_pass_is_every_verdict_verified(a in 0_usize..3, b in 0_usize..3) {
        let told = [Told::Verified, Told::Refused, Told::Undecided];
        let verdicts = [told[a], told[b]];
        let answer = decide_on(&|reference| verdicts[usize::from(reference == "r.example/b")], &[], &|_| {}).answer();
        let expected = if verdicts.contains(&Told::Refused) {
            Answer::Refuse
        } else if verdicts.contains(&Told::Undecided) {
            Answer::Undecided
        } else {
            Answer::Pass
        };
        prop_assert_eq!(answer, expected);
    }
}
