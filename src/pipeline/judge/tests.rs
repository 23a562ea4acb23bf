//! Promise 3: an error, a time-out or a panic is never a pass. Promise 1: a reference is resolved once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::artifact::{Artifact, Lookup};
use crate::image::Repository;
use crate::outcome::Unobserved;
use crate::policy::PolicyFile;

const POLICY: &str = "\
apiVersion: sealgate.dev/v1alpha1
kind: ImagePolicy
metadata: {name: test}
spec:
  rules:
  - {name: unsigned, images: ['r.example/free/**'], allowUnsigned: true}
";

/// How the registry behaves, by the last part of the repository's path.
#[derive(Default)]
struct Fake {
    resolved: AtomicUsize,
    by_digest: AtomicUsize,
}

impl Fake {
    async fn answer(&self, repository: &Repository, digest: Digest) -> Result<PinnedImage, Fault> {
        let fault = |reason| Fault { reason, message: "told so".to_owned(), retry_after: Some(Duration::from_secs(7)) };
        match repository.path() {
            "free/panics" => panic!("as told"),
            "free/hangs" => std::future::pending().await,
            "free/missing" => Err(fault(Reason::ImageNotFound)),
            "free/limited" => Err(fault(Reason::RateLimited)),
            _ => Ok(PinnedImage {
                repository: repository.clone(),
                digest,
                size: 1,
                media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
                leaves: Vec::new(),
                resolved_by: None,
            }),
        }
    }
}

impl Registry for Fake {
    async fn resolve(&self, image: &ImageRef) -> Result<PinnedImage, Fault> {
        let number = self.resolved.fetch_add(1, Ordering::Relaxed);
        self.answer(image.repository(), Digest::of(&number.to_be_bytes())).await
    }

    async fn pinned(&self, repository: &Repository, digest: &Digest) -> Result<PinnedImage, Fault> {
        self.by_digest.fetch_add(1, Ordering::Relaxed);
        self.answer(repository, *digest).await
    }

    async fn evidence(&self, lookup: &Lookup, _enough: &(dyn Fn(&[Artifact]) -> bool + Send + Sync)) -> Evidence {
        let Lookup { repository, digest, hints: _, sought: _ } = lookup.clone();
        Evidence { repository, digest, artifacts: Vec::new(), faults: Vec::new(), left_out: 0 }
    }
}

async fn judge(fake: &Fake, references: &[&str], pins: &Pins) -> Judging {
    let file = PolicyFile { name: "policy.yaml".to_owned(), text: POLICY.as_bytes().to_vec().into() };
    let policies =
        crate::policy::load(&[file], &crate::policy::material::files(|_, _| Err("no file".to_owned()))).unwrap();
    let judge = Judge {
        registry: fake,
        policies: &policies,
        store: None,
        observer: &Unobserved,
        bounds: Bounds { jobs: 4, image_timeout: Duration::from_secs(30), decision_timeout: Duration::from_mins(1) },
        now: Timestamp::UNIX_EPOCH,
    };
    let entry = |reference: &&str| Entry {
        reference: (*reference).to_owned(),
        image: ImageRef::parse(reference),
        sites: Vec::new(),
        refused: None,
    };
    judge.judge(references.iter().map(entry).collect(), pins).await
}

#[tokio::test(start_paused = true)]
async fn nothing_but_a_proof_passes() {
    let table = [
        ("r.example/free/fine", None),
        ("r.example/free/panics", Some(Reason::InternalError)),
        ("r.example/free/hangs", Some(Reason::TimedOut)),
        ("r.example/free/missing", Some(Reason::ImageNotFound)),
        ("r.example/free/limited", Some(Reason::RateLimited)),
        ("r.example/other", Some(Reason::NoMatchingRule)),
        ("no reference", Some(Reason::InvalidReference)),
    ];
    let references: Vec<&str> = table.iter().map(|(reference, _)| *reference).collect();
    let judging = judge(&Fake::default(), &references, &Pins::new()).await;
    for ((reference, expected), judged) in table.iter().zip(&judging.judged) {
        assert_eq!(&judged.reference, reference);
        assert_eq!(judged.verdict.findings().first().map(|finding| finding.reason), *expected, "{reference}");
        let weight = expected.map(Reason::weight);
        let verdict = match judged.verdict {
            Verdict::Verified(_) => None,
            Verdict::Refused(_) => Some(Weight::Refused),
            Verdict::Undecided(_) => Some(Weight::Undecided),
        };
        assert_eq!(verdict, weight, "{reference}");
    }
    assert_eq!(judging.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_reference_is_resolved_once_however_it_is_spelt() {
    let fake = Fake::default();
    let judging =
        judge(&fake, &["r.example/free/a", "r.example/free/a:latest", "R.example/free/a"], &Pins::new()).await;
    assert_eq!(fake.resolved.load(Ordering::Relaxed), 1);
    assert_eq!(judging.pins.len(), 1);
}

#[tokio::test]
async fn a_kept_pin_is_never_resolved_again() {
    let fake = Fake::default();
    let digest = Digest::of(b"kept");
    let pins = Pins::from([("r.example/free/a:latest".to_owned(), digest)]);
    let judging = judge(&fake, &["r.example/free/a"], &pins).await;
    assert_eq!(fake.resolved.load(Ordering::Relaxed), 0);
    assert_eq!(judging.judged[0].resolved.as_ref().map(|image| image.digest), Some(digest));
    assert_eq!(judging.pins, pins);
}
