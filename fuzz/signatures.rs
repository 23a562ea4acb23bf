//! Throws changed signatures, certificates and policies at reading and judging, the same ones in every run: nothing
//! panics, nothing takes more than its bounds, and no changed signature counts for anybody but who made it.
//!
//! `cargo test --test fuzz_signatures` runs for five seconds, shared by the targets; `TEST_FUZZ_SECONDS=60` for thirty,
//! since `fuzz` runs for as long as it says. `TEST_FUZZ_SEED` starts elsewhere. What fails is told with its input.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a failure is a panic that tells the input; how long to run is said by the environment"
)]

mod change;
#[path = "../tests/fixtures/signatures/recorded.rs"]
mod recorded;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use change::Random;
use jiff::Timestamp;
use recorded::{Fixture, fixtures, folder};
use sealgate::artifact::{Artifact, Content};
use sealgate::image::{Digest, Repository};
use sealgate::policy::material::files;
use sealgate::policy::{PolicyFile, load};
use sealgate::signer::root::TrustRoot;
use sealgate::verify::verdict::Verdict;
use serde_json::Value;

/// When judging takes place: after all fixtures were made.
const NOW: Timestamp = Timestamp::constant(1_830_000_000, 0);
/// The longest that one judgement may take, in a debug build beside others.
const MAX_TIME: Duration = Duration::from_secs(5);

/// What is changed.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// The bytes of a bundle.
    Bundle,
    /// The payload of its envelope, in base64 again.
    Dsse,
    /// A simple-signing payload.
    SimpleSigning,
    /// Its annotations: signature, certificate, log entry, timestamp.
    Annotation,
    /// The certificate of a bundle, in base64 again.
    Certificate,
    /// A policy.
    Policy,
    /// A trusted root.
    Root,
}

const TARGETS: [Target; 7] = [
    Target::Bundle,
    Target::Dsse,
    Target::SimpleSigning,
    Target::Annotation,
    Target::Certificate,
    Target::Policy,
    Target::Root,
];

#[test]
fn nothing_breaks_judging_and_nothing_changed_counts() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
    };
    let seconds = number("TEST_FUZZ_SECONDS", 10).div_ceil(2);
    let mut random = Random::new(number("TEST_FUZZ_SEED", 0x5EA1));
    let fixtures = fixtures();
    for fixture in &fixtures {
        assert!(passes(fixture, fixture.artifacts.clone()), "{} does not verify", fixture.name);
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rounds = [0_u64; TARGETS.len()];
    while Instant::now() < end {
        for (target, rounds) in TARGETS.iter().zip(&mut rounds) {
            *rounds += u64::from(once(*target, &fixtures, &mut random));
        }
    }
    for (target, rounds) in TARGETS.iter().zip(rounds) {
        eprintln!("{target:?}: {rounds} inputs");
        assert!(rounds > 0, "nothing was thrown at {target:?}");
    }
}

/// One input for one target; whether the fixture that was drawn has such a part.
fn once(target: Target, fixtures: &[Fixture], random: &mut Random) -> bool {
    let fixture = &fixtures[random.below(fixtures.len())];
    let artifact = &fixture.artifacts[random.below(fixture.artifacts.len())];
    let bundle = artifact.media_type.contains("sigstore.bundle");
    match target {
        Target::Policy => return guarded(&random.changed(POLICY.as_bytes()), policy),
        Target::Root => return guarded(&random.changed(&fs::read(folder("private-root.json")).unwrap()), root),
        Target::Bundle | Target::Dsse | Target::Certificate if !bundle => return false,
        Target::SimpleSigning | Target::Annotation if bundle => return false,
        Target::Bundle | Target::Dsse | Target::Certificate | Target::SimpleSigning | Target::Annotation => {}
    }
    let bytes = bytes(artifact);
    let changed = match target {
        Target::Bundle | Target::SimpleSigning => with_bytes(artifact, random.changed(&bytes)),
        Target::Dsse => inside(artifact, "/dsseEnvelope/payload", random),
        Target::Certificate => inside(artifact, "/verificationMaterial/certificate/rawBytes", random),
        Target::Annotation => annotated(artifact, random),
        Target::Policy | Target::Root => return false,
    };
    if changed == *artifact {
        return false;
    }
    let shown = format!("{target:?} of {}: {changed:?}", fixture.name);
    let began = Instant::now();
    let counted = catch_unwind(AssertUnwindSafe(|| passes(fixture, vec![changed.clone()])))
        .unwrap_or_else(|_| panic!("the input that failed, {shown}"));
    assert!(began.elapsed() < MAX_TIME, "it took {:?}: {shown}", began.elapsed());
    let free = !matches!(target, Target::Certificate) && same(artifact, &changed);
    assert!(!counted || free, "it counts: {shown}");
    true
}

/// Whether the signed bytes and the signature are the same: then what was changed lies outside of both.
fn same(ours: &Artifact, theirs: &Artifact) -> bool {
    let signed = |artifact: &Artifact| {
        let bytes = bytes(artifact);
        let signature = artifact.annotations.get(SIGNATURE).cloned();
        let Ok(bundle) = serde_json::from_slice::<Value>(&bytes) else { return (bytes, signature) };
        let text = |pointer: &str| bundle.pointer(pointer).and_then(Value::as_str).map(decoded);
        match (text("/dsseEnvelope/payload"), text("/dsseEnvelope/signatures/0/sig")) {
            (Some(payload), Some(signature)) => (payload, Some(hex::encode(signature))),
            _ => (bytes, signature),
        }
    };
    signed(ours) == signed(theirs)
}

/// Either alphabet of base64 counts.
fn decoded(text: &str) -> Vec<u8> {
    STANDARD.decode(text.replace('-', "+").replace('_', "/")).unwrap_or_default()
}

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

fn passes(fixture: &Fixture, artifacts: Vec<Artifact>) -> bool {
    matches!(fixture.judged(artifacts, NOW).verdict, Verdict::Verified(_))
}

fn bytes(artifact: &Artifact) -> Vec<u8> {
    match &artifact.content {
        Content::Bytes(bytes) => bytes.to_vec(),
        Content::Unusable(defect) => panic!("{defect:?}"),
    }
}

/// The artifact with other bytes, under their own digest.
fn with_bytes(artifact: &Artifact, bytes: Vec<u8>) -> Artifact {
    Artifact { digest: Some(Digest::of(&bytes)), content: Content::Bytes(bytes.into()), ..artifact.clone() }
}

/// A bundle with the decoded text at a pointer changed.
fn inside(artifact: &Artifact, pointer: &str, random: &mut Random) -> Artifact {
    let mut bundle: Value = serde_json::from_slice(&bytes(artifact)).unwrap();
    let Some(text) = bundle.pointer_mut(pointer) else { return artifact.clone() };
    let original = decoded(text.as_str().unwrap());
    let changed = random.changed(&original);
    if changed == original {
        return artifact.clone();
    }
    *text = Value::String(STANDARD.encode(changed));
    with_bytes(artifact, bundle.to_string().into_bytes())
}

fn annotated(artifact: &Artifact, random: &mut Random) -> Artifact {
    let mut changed = artifact.clone();
    let names: Vec<&String> = artifact.annotations.keys().collect();
    let name = names[random.below(names.len())];
    let value = random.changed(artifact.annotations[name].as_bytes());
    changed.annotations.insert(name.clone(), String::from_utf8_lossy(&value).into_owned());
    changed
}

const POLICY: &str = "apiVersion: sealgate.dev/v1alpha1
kind: ImagePolicy
metadata: {name: p}
spec:
  registries: [registry.example.com]
  rules:
  - name: r
    images: ['registry.example.com/**']
    namespaces: ['prod-*']
    platforms: [linux/amd64]
    signatures:
      threshold: 1
      authorities:
      - name: ci
        key: {file: ci.pub}
        annotations: {stage: release}
        signedReference: repository
        source: registry.example.com/signatures
      - name: github
        keyless: {identities: [{issuer: 'https://a', subjectRegExp: 'https://b/.+'}]}
        trustRoot: {file: root.json}
  exceptions:
  - {images: ['registry.example.com/old'], reason: r, owner: o, expires: 2030-01-01}
";

/// A policy that cannot be read is told; whatever is read demands something of every image that it matches.
fn policy(bytes: &[u8]) {
    let file = PolicyFile { name: "policy.yaml".to_owned(), text: bytes.to_vec().into() };
    let read = files(|_policy, path| {
        let name = if path.ends_with("ci.pub") { "sig-cosign2-p256/key.pub" } else { "private-root.json" };
        fs::read(folder(name)).map_err(|error| error.to_string())
    });
    match load(&[file], &read) {
        Ok(set) => {
            let repository = Repository::parse("registry.example.com/team/app").unwrap();
            if let Ok(matched) = set.matching(&repository, &[]) {
                assert!(!matched.demands(&Digest::of(b"image"), NOW).requirements().is_empty());
            }
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
}

fn root(bytes: &[u8]) {
    if let Ok(root) = TrustRoot::from_json(bytes) {
        drop(root.issues());
    }
}

/// Runs a check on an input, and tells the input where that panics.
fn guarded(bytes: &[u8], check: impl Fn(&[u8])) -> bool {
    let began = Instant::now();
    catch_unwind(AssertUnwindSafe(|| check(bytes)))
        .unwrap_or_else(|_| panic!("the input that failed: \"{}\"", bytes.escape_ascii()));
    assert!(began.elapsed() < MAX_TIME, "it took {:?}: \"{}\"", began.elapsed(), bytes.escape_ascii());
    true
}
