//! The verification half of the sigstore organisation's conformance suite, offline: each case by the artifact's path and
//! by its digest. The data lies outside of the project; without it the test says that it was skipped.

use std::path::{Path, PathBuf};

use sealgate::image::Digest;
use serde_json::Value;

#[path = "../../examples/sigstore_conformance.rs"]
mod client;

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/\
                        extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
/// The suite's cases, each of which runs twice.
const CASES: usize = 70;

fn vectors() -> Option<PathBuf> {
    let named = std::env::var_os("SEALGATE_VECTORS").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    let folder = named.clone().unwrap_or_else(beside).join("sigstore-conformance/bundle-verify");
    // A folder that was named and is not there is a mistake, not a reason to skip.
    (named.is_some() || folder.is_dir()).then_some(folder)
}

#[test]
fn all_of_sigstore_conformance_is_decided_as_expected() {
    let Some(folder) = vectors() else {
        println!("skipped: no vectors; name their folder with SEALGATE_VECTORS");
        return;
    };
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        cases += 1;
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let artifact = Some(case.join("artifact")).filter(|path| path.exists()).unwrap_or(folder.join("a.txt"));
        let digest = Digest::of(&std::fs::read(&artifact).unwrap()).to_string();
        for asked in [artifact.to_str().unwrap(), &digest] {
            let answer = client::run(&arguments(&case, asked));
            if answer.is_ok() == name.ends_with("_fail") {
                wrong.push(format!("{name} {asked}: {answer:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), 2 * cases);
    assert_eq!(cases, CASES);
    println!("sigstore-conformance: {} of {}", 2 * cases, 2 * CASES);
}

/// Bytes of each accepted bundle that are changed, spread over the whole.
const CHANGED: usize = 150;

#[test]
fn no_changed_byte_of_an_accepted_bundle_makes_another_signature_count() {
    let Some(folder) = vectors() else {
        println!("skipped: no vectors; name their folder with SEALGATE_VECTORS");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let changed_file = scratch.path().join("bundle.json");
    let (mut accepted, mut free) = (0, 0);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() || case.to_str().unwrap().ends_with("_fail") {
            continue;
        }
        accepted += 1;
        let artifact = Some(case.join("artifact")).filter(|path| path.exists()).unwrap_or(folder.join("a.txt"));
        let mut arguments = arguments(&case, artifact.to_str().unwrap());
        let original = std::fs::read(&arguments[2]).unwrap();
        arguments[2] = changed_file.to_str().unwrap().to_owned();
        for place in (0..original.len()).step_by(original.len().div_ceil(CHANGED)) {
            let mut changed = original.clone();
            changed[place] ^= 1;
            std::fs::write(&changed_file, &changed).unwrap();
            if client::run(&arguments).is_ok() {
                free += 1;
                let (found, wanted) = (told(&changed), told(&original));
                let same = |(found, wanted): (&Value, &Value)| found == wanted || found.is_null();
                // A promise that goes by another name is none, and the proof stands alone. So it is with the digest beside
                // a signature: the signature itself is over the artifact.
                let spare = found.1.iter().zip(&wanted.1).all(same);
                assert!(found.0 == wanted.0 && spare, "{}: byte {place}", case.display());
            }
        }
    }
    println!("{accepted} accepted bundles, {free} changes outside of what is signed");
    assert!(accepted > 20);
}

/// What a bundle says: who signed what with which signature, and what the log proves of it; and what it may leave out,
/// the log's promise and the digest beside the signature.
fn told(bundle: &[u8]) -> (Vec<Value>, Vec<Value>) {
    let bundle: Value = serde_json::from_slice(bundle).unwrap();
    let at = |pointer: &str| bundle.pointer(pointer).cloned().unwrap_or_default();
    let entry = |member: &str| at(&format!("/verificationMaterial/tlogEntries/0/{member}"));
    let said = vec![
        at("/verificationMaterial/certificate/rawBytes"),
        at("/verificationMaterial/x509CertificateChain/certificates/0/rawBytes"),
        at("/messageSignature/signature"),
        at("/dsseEnvelope/payload"),
        at("/dsseEnvelope/signatures/0/sig"),
        entry("canonicalizedBody"),
    ];
    let digest = |member: &str| at(&format!("/messageSignature/messageDigest{member}"));
    (said, vec![entry("inclusionPromise"), digest("/digest"), digest("/algorithm")])
}

/// The command line that the suite would type.
fn arguments(case: &Path, artifact: &str) -> Vec<String> {
    let text = |name: &str| std::fs::read_to_string(case.join(name)).ok().map(|text| text.trim().to_owned());
    let path = |name: &str| Some(case.join(name)).filter(|path| path.exists());
    let mut arguments = vec!["verify-bundle".to_owned(), "--bundle".to_owned()];
    arguments.push(case.join("bundle.sigstore.json").to_str().unwrap().to_owned());
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    match path("key.pub") {
        Some(key) => option("--key", key.to_str().unwrap().to_owned()),
        None => {
            option("--certificate-identity", text("identity").unwrap_or(IDENTITY.to_owned()));
            option("--certificate-oidc-issuer", text("issuer").unwrap_or(ISSUER.to_owned()));
        }
    }
    if let Some(root) = path("trusted_root.json") {
        option("--trusted-root", root.to_str().unwrap().to_owned());
    }
    arguments.push(artifact.to_owned());
    arguments
}
