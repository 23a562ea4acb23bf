//! Real cosigns of both lines, and keys that the tests of a process share.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::process::{program, shared_folder};

/// Who signs, and where the signature is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// cosign 2, the `.sig` tag.
    Tag2,
    /// cosign 3, the `.sig` tag.
    Tag3,
    /// cosign 2, an OCI 1.1 referrer by the fallback tag.
    Oci11,
    /// cosign 3, a sigstore bundle by the fallback tag.
    Bundle,
}

impl Form {
    pub const ALL: [Self; 4] = [Self::Tag2, Self::Tag3, Self::Oci11, Self::Bundle];
}

/// Two cosigns, and the files that they need.
pub struct Signing {
    folder: PathBuf,
}

/// The one of this process.
pub fn signing() -> &'static Signing {
    static SIGNING: OnceLock<Signing> = OnceLock::new();
    SIGNING.get_or_init(|| {
        let signing = Signing { folder: shared_folder().join("signing") };
        std::fs::create_dir(&signing.folder).unwrap();
        let none = ["--no-default-fulcio", "--no-default-rekor", "--no-default-tsa"];
        let cosign3 = program("TEST_COSIGN3", "cosign3");
        signing.run(
            &cosign3,
            &[&["signing-config", "create", "--no-default-oidc", "--out", "sc.json"], &none[..]].concat(),
            &[],
        );
        signing.run(
            &cosign3,
            &[&["trusted-root", "create", "--no-default-ctfe", "--out", "tr.json"], &none[..]].concat(),
            &[],
        );
        signing.key("ci", &program("TEST_COSIGN2", "cosign2"));
        signing.key("release", &cosign3);
        signing.key("stranger", &cosign3);
        signing
    })
}

impl Signing {
    fn run(&self, cosign: &Path, arguments: &[&str], environment: &[(&str, &str)]) {
        let output = Command::new(cosign)
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", "/usr/bin:/bin")
            .env("COSIGN_PASSWORD", "x")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn key(&self, name: &str, cosign: &Path) {
        self.run(cosign, &["generate-key-pair", "--output-key-prefix", name], &[]);
    }

    /// The public key of `ci`, `release` or `stranger`.
    pub fn public_key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pub"))
    }

    /// Signs `HOST/REPOSITORY@DIGEST`.
    pub fn sign(&self, form: Form, key: &str, image: &str, annotations: &[&str]) {
        let key = format!("{key}.key");
        let mut arguments = vec!["sign", "--key", &key, "-y"];
        for annotation in annotations {
            arguments.extend(["-a", annotation]);
        }
        let experimental = [("COSIGN_EXPERIMENTAL", "1")];
        let (cosign, more, environment): (_, &[&str], &[_]) = match form {
            Form::Tag2 => (program("TEST_COSIGN2", "cosign2"), &["--tlog-upload=false"], &[]),
            Form::Tag3 => (
                program("TEST_COSIGN3", "cosign3"),
                &["--use-signing-config=false", "--new-bundle-format=false", "--tlog-upload=false"],
                &[],
            ),
            Form::Oci11 => (
                program("TEST_COSIGN2", "cosign2"),
                &["--tlog-upload=false", "--registry-referrers-mode=oci-1-1"],
                &experimental,
            ),
            Form::Bundle => {
                (program("TEST_COSIGN3", "cosign3"), &["--signing-config", "sc.json", "--trusted-root", "tr.json"], &[])
            }
        };
        arguments.extend(more);
        arguments.push(image);
        self.run(&cosign, &arguments, environment);
    }
}

/// Who attests, and where the attestation is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attester {
    /// cosign 2, the `.att` tag.
    Tag2,
    /// cosign 3, a sigstore bundle by the fallback tag.
    Bundle,
}

impl Attester {
    pub const ALL: [Self; 2] = [Self::Tag2, Self::Bundle];
}

impl Signing {
    /// Attests `predicate` about `HOST/REPOSITORY@DIGEST`.
    pub fn attest(&self, form: Attester, key: &str, kind: &str, predicate: &serde_json::Value, image: &str) {
        static COUNTER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (file, key) = (format!("predicate-{number}.json"), format!("{key}.key"));
        std::fs::write(self.folder.join(&file), predicate.to_string()).unwrap();
        let (cosign, more): (_, &[&str]) = match form {
            Attester::Tag2 => (program("TEST_COSIGN2", "cosign2"), &["--tlog-upload=false"]),
            Attester::Bundle => {
                (program("TEST_COSIGN3", "cosign3"), &["--signing-config", "sc.json", "--trusted-root", "tr.json"])
            }
        };
        let mut arguments = vec!["attest", "--key", &key, "-y", "--type", kind, "--predicate", &file];
        arguments.extend(more);
        arguments.push(image);
        self.run(&cosign, &arguments, &[]);
    }
}
