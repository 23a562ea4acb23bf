//! The verification half of the sigstore organisation's conformance suite, offline: each case by the artifact's path and
//! by its digest. The data lies outside of the project; without it the test says that it was skipped.

use std::path::{Path, PathBuf};

use sealgate::image::Digest;

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
