//! A key of every kind that cosign knows, made by openssl and given to cosign.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::cell::Signer;
use crate::support::process::shared_folder;
use crate::support::sigstore::cosign3;

pub struct Keys(PathBuf);

/// The ones of this process.
pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let keys = Keys(shared_folder().join("keys"));
        std::fs::create_dir(&keys.0).unwrap();
        for signer in Signer::ALL {
            let Some(file) = keys.file(signer) else { continue };
            let (pem, prefix) = (file.with_extension("pem").display().to_string(), file.display().to_string());
            let kind: &[&str] = match signer {
                Signer::P256 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                Signer::P384 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
                Signer::P521 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
                Signer::Rsa => &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                Signer::Ed25519 => &["ED25519"],
                Signer::Keyless => continue,
            };
            openssl(&[&["genpkey", "-out", &pem, "-algorithm"], kind].concat());
            cosign3(&["import-key-pair", "--key", &pem, "--output-key-prefix", &prefix]).exits(0);
        }
        keys
    })
}

impl Keys {
    /// The stem of a signer's files; none where it has no key of its own.
    pub fn file(&self, signer: Signer) -> Option<PathBuf> {
        (signer != Signer::Keyless).then(|| self.0.join(format!("{signer:?}")))
    }

    /// A signature; hashed with this, but for Ed25519, which hashes nothing.
    pub fn sign(&self, signer: Signer, message: &[u8], hash: &str) -> Vec<u8> {
        let pem = self.file(signer).unwrap().with_extension("pem").display().to_string();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("in"), message).unwrap();
        let (input, output) = (path("in"), path("out"));
        let digest: &[&str] = if signer == Signer::Ed25519 { &[] } else { &["-digest", hash] };
        let arguments = ["pkeyutl", "-sign", "-rawin", "-inkey", &pem, "-in", &input, "-out", &output];
        openssl(&[&arguments[..], digest].concat());
        std::fs::read(output).unwrap()
    }
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
