//! The state directory: what is kept comes back, what is damaged does not.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;

use super::*;
use crate::artifact::{Artifact, Content, Defect, Evidence, Fault, Where};
use crate::image::{Leaf, PinnedImage, Platform, Repository};
use crate::reason::Reason;

fn image(name: &str) -> PinnedImage {
    PinnedImage {
        repository: Repository::parse(&format!("registry.example.com/{name}")).unwrap(),
        digest: Digest::of(name.as_bytes()),
        size: 7,
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        leaves: vec![
            Leaf { digest: Digest::of(b"leaf"), platform: Some("linux/arm64/v8".parse::<Platform>().unwrap()) },
            Leaf { digest: Digest::of(b"attestation"), platform: None },
        ],
        resolved_by: None,
    }
}

fn artifact(content: Content, digest: Option<Digest>) -> Artifact {
    Artifact {
        place: Where::SignatureTag,
        manifest: Digest::of(b"manifest"),
        artifact_type: Some("type".to_owned()),
        subject: Some(Digest::of(b"subject")),
        digest,
        media_type: "text/plain".to_owned(),
        annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        content,
    }
}

fn evidence(image: &PinnedImage, payload: &[u8]) -> Vec<Evidence> {
    let defect = Defect { reason: Reason::DigestMismatch, message: "other bytes".to_owned() };
    vec![Evidence {
        repository: image.repository.clone(),
        digest: image.digest,
        artifacts: vec![
            artifact(Content::Bytes(Bytes::copy_from_slice(payload)), Some(Digest::of(payload))),
            artifact(Content::Unusable(defect), None),
        ],
        faults: Vec::new(),
        left_out: 3,
    }]
}

fn revision(id: &str) -> Revision {
    Revision { id: id.to_owned(), time: 5 }
}

fn only_file(dir: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn pins_and_state_come_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let pins = Pins::from([("docker.io/library/nginx:1".to_owned(), Digest::of(b"x"))]);
    let state = GateState { observed: Some(revision("b")), passed: None, applied: Some(revision("a")) };
    for gate in ["production", "Odd/../gate", ""] {
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.pins(gate, "a"), Ok(None));
        assert_eq!(store.gate_state(gate), Ok(None));
        store.keep_pins(gate, "a", &pins).unwrap();
        store.keep_gate_state(gate, &state).unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.pins(gate, "a"), Ok(Some(pins.clone())));
        assert_eq!(store.gate_state(gate), Ok(Some(state.clone())));
        assert!(store.source_cache(gate).starts_with(dir.path().join("sources")));
    }
}

#[test]
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap_err().code, ErrorCode::ConfigInvalid);
    drop(store);
    assert!(Store::open(dir.path()).is_ok());
}

#[test]
fn only_this_user_may_read() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = Store::open(&dir).unwrap();
    store.keep_gate_state("g", &GateState::default()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("gates/g")), 0o700);
    assert_eq!(mode(&dir.join("gates/g/state.json")), 0o600);
}

#[test]
fn damaged_pins_and_state_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.keep_pins("g", "a", &Pins::new()).unwrap();
    store.keep_gate_state("g", &GateState::default()).unwrap();
    let pins = dir.path().join("gates/g/pins/a.json");
    fs::copy(&pins, dir.path().join("gates/g/pins/b.json")).unwrap();
    assert_eq!(store.pins("g", "b").unwrap_err().code, ErrorCode::FileUnreadable);
    for junk in ["", "{", "{}", "{\"gate\":\"g\",\"revision\":\"a\",\"pins\":{\"x\":\"sha256:0\"}}"] {
        fs::write(&pins, junk).unwrap();
        fs::write(dir.path().join("gates/g/state.json"), junk).unwrap();
        assert_eq!(store.pins("g", "a").unwrap_err().code, ErrorCode::FileUnreadable, "{junk}");
        assert_eq!(store.gate_state("g").unwrap_err().code, ErrorCode::FileUnreadable, "{junk}");
    }
}

#[test]
fn old_pins_go_but_those_in_use_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.keep_gate_state("g", &GateState { applied: Some(revision("r0")), ..GateState::default() }).unwrap();
    let oldest = std::time::UNIX_EPOCH;
    for number in 0..60_u64 {
        store.keep_pins("g", &format!("r{number}"), &Pins::new()).unwrap();
        let file =
            fs::File::options().append(true).open(dir.path().join(format!("gates/g/pins/r{number}.json"))).unwrap();
        file.set_modified(oldest + std::time::Duration::from_secs(number)).unwrap();
    }
    let has = |revision: &str| store.pins("g", revision).unwrap().is_some();
    assert!(has("r0") && has("r59") && has("r20"));
    assert!(!has("r1") && !has("r8"));
    assert_eq!(fs::read_dir(dir.path().join("gates/g/pins")).unwrap().count(), PINNED_REVISIONS + 2);
}

#[test]
fn evidence_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let image = image("a");
    let kept = Kept { image: image.clone(), evidence: evidence(&image, b"payload") };
    store.keep_evidence(&kept.image, &kept.evidence).unwrap();
    assert_eq!(store.evidence(&image.repository, &image.digest), Some(kept));
    assert_eq!(store.evidence(&image.repository, &Digest::of(b"other")), None);
}

#[test]
fn evidence_with_faults_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let image = image("a");
    let mut answers = evidence(&image, b"payload");
    let fault = Fault { reason: Reason::TimedOut, message: String::new(), retry_after: None };
    answers[0].faults.push(fault);
    store.keep_evidence(&image, &answers).unwrap();
    assert_eq!(store.evidence(&image.repository, &image.digest), None);
}

#[test]
fn no_damaged_byte_of_evidence_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let image = image("a");
    store.keep_evidence(&image, &evidence(&image, b"payload")).unwrap();
    let path = only_file(&dir.path().join("evidence"));
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(store.evidence(&image.repository, &image.digest), None, "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(store.evidence(&image.repository, &image.digest), None, "cut at {at}");
    }
}

#[test]
fn content_is_hashed_again_even_where_the_file_is_consistent() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let image = image("a");
    let mut answers = evidence(&image, b"payload");
    answers[0].artifacts[0].digest = Some(Digest::of(b"another"));
    store.keep_evidence(&image, &answers).unwrap();
    assert_eq!(store.evidence(&image.repository, &image.digest), None);
}

#[test]
fn the_least_recently_used_evidence_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_bounded(dir.path(), 20_000, history::Bounds::default()).unwrap();
    let images: Vec<PinnedImage> = (0..8).map(|number| image(&format!("i{number}"))).collect();
    let get = |image: &PinnedImage| store.evidence(&image.repository, &image.digest).is_some();
    for image in &images {
        store.keep_evidence(image, &evidence(image, &[7; 3_000])).unwrap();
        get(&images[0]);
    }
    assert!(get(&images[0]) && get(&images[7]));
    assert!(!get(&images[1]));
    let bytes: u64 =
        fs::read_dir(dir.path().join("evidence")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 20_000, "{bytes}");
    store.keep_evidence(&image("huge"), &evidence(&image("huge"), &vec![7; 30_000])).unwrap();
    assert!(!get(&image("huge")) && get(&images[7]));
}

#[test]
fn unfinished_files_are_swept_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let partial = dir.path().join("evidence").join(format!("{}x", file::PARTIAL));
    fs::write(&partial, "half").unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(!partial.exists());
    drop(store);
}
