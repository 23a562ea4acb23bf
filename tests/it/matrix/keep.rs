//! Keeps what the cosigns made with private services, as fixtures for the tests that start nothing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::cell::{Cell, Form, Signer};
use crate::support::registry_server::signature_tag;
use crate::support::sigstore::{ISSUER, SUBJECT, Witness, sigstore};
use crate::support::world::registry;

/// The cells that are kept, by the names of their folders.
const KEPT: [(&str, Signer, Form, Witness); 6] = [
    ("sig-cosign2-keyless-rekor1", Signer::Keyless, Form::Tag, Witness::RekorV1),
    ("sig-cosign2-p256-rekor1", Signer::P256, Form::Tag, Witness::RekorV1),
    ("bundle-cosign3-keyless-rekor1", Signer::Keyless, Form::Fallback, Witness::RekorV1),
    ("bundle-cosign3-keyless-rekor2", Signer::Keyless, Form::Fallback, Witness::RekorV2),
    ("bundle-cosign3-p256-rekor1", Signer::P256, Form::Fallback, Witness::RekorV1),
    ("bundle-cosign3-p256-rekor2", Signer::P256, Form::Fallback, Witness::RekorV2),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signatures")
}

/// Writes the fixture of a cell, where it is one of those that are kept.
pub fn keep(cell: Cell, image: &str) {
    let kept = KEPT.iter().find(|kept| (kept.1, kept.2, kept.3) == (cell.signer, cell.form, cell.witness));
    let Some((name, ..)) = kept else { return };
    let digest = image.rsplit_once('@').unwrap().1;
    let repository = cell.repository();
    let place = if cell.form == Form::Tag { "signature-tag" } else { "fallback-tag" };
    let manifest = match cell.form {
        Form::Tag => registry().manifest(&repository, &signature_tag(digest)),
        Form::Oci11 | Form::Referrers | Form::Fallback => {
            let index: Value =
                serde_json::from_slice(&registry().manifest(&repository, &digest.replace(':', "-"))).unwrap();
            registry().manifest(&repository, index["manifests"][0]["digest"].as_str().unwrap())
        }
    };
    let write = |file: &str, bytes: &[u8]| {
        let path = folder().join(name).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let mut about = json!({"place": place, "repository": format!("{}/{repository}", cell.host()), "digest": digest});
    match cell.key() {
        Some((_, public)) => write("key.pub", &std::fs::read(public).unwrap()),
        None => {
            about["issuer"] = json!(ISSUER);
            about["subject"] = json!(SUBJECT);
        }
    }
    write("about.json", (serde_json::to_string_pretty(&about).unwrap() + "\n").as_bytes());
    write("manifest.json", &manifest);
    write("image.json", &registry().manifest(&repository, digest));
    let parsed: Value = serde_json::from_slice(&manifest).unwrap();
    for (number, layer) in parsed["layers"].as_array().unwrap().iter().enumerate() {
        write(&format!("layer-{number}"), &registry().blob(&repository, layer["digest"].as_str().unwrap()));
    }
    std::fs::copy(sigstore().root(), folder().join("private-root.json")).unwrap();
}
