//! The client of the sigstore organisation's conformance suite, for our own verification:
//! `verify-bundle [--staging] --bundle FILE (--certificate-identity ID --certificate-oidc-issuer URL | --key FILE)
//! [--trusted-root FILE] FILE_OR_DIGEST`. Exits with 0 where the bundle proves what is asked. Opens no connection.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use sealgate::image::Digest;
use sealgate::signer::PublicKey;
use sealgate::signer::identity::{Expected, Identity};
use sealgate::signer::root::TrustRoot;
use sealgate::verify::keyless::{self, Artifact};
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT};

/// What was typed.
#[derive(Default)]
struct Asked {
    bundle: Option<String>,
    identity: Option<String>,
    issuer: Option<String>,
    key: Option<String>,
    root: Option<String>,
    staging: bool,
    artifact: Option<String>,
}

#[allow(dead_code, reason = "the integration tests call `run` alone")]
#[expect(clippy::print_stderr, reason = "a command line tells its errors there")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Verifies what the arguments name.
///
/// # Errors
/// Why it is not verified.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let asked = Asked::read(arguments)?;
    let root = asked.root()?;
    let bundle = keyless::read(&file(asked.bundle.as_deref().ok_or("no --bundle")?)?).map_err(|miss| miss.message)?;
    let named = asked.artifact.as_deref().ok_or("no artifact")?;
    let bytes;
    let artifact = if let Some(digest) = digest(named) {
        Artifact::Digest(digest)
    } else {
        bytes = file(named)?;
        Artifact::Bytes(&bytes)
    };
    match (&asked.key, &asked.identity, &asked.issuer) {
        (Some(key), None, None) => {
            let key = PublicKey::from_pem(&file(key)?).map_err(|error| error.to_string())?;
            keyless::by_key(&bundle, artifact, &key, &root, now()).map(drop).map_err(|miss| miss.message)
        }
        (None, Some(subject), Some(issuer)) => {
            let exactly = |text: &str| Expected::exactly(text).map_err(|error| error.to_string());
            let identity = Identity { issuer: exactly(issuer)?, subject: exactly(subject)?, claims: BTreeMap::new() };
            let certified = keyless::by_certificate(&bundle, artifact, &root, now()).map_err(|miss| miss.message)?;
            certified.among(&[identity]).map_err(|miss| miss.message)
        }
        _ => Err("name either --key, or --certificate-identity and --certificate-oidc-issuer".to_owned()),
    }
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut asked = Self::default();
        let mut rest = arguments.iter();
        if rest.next().map(String::as_str) != Some("verify-bundle") {
            return Err("only verify-bundle is known".to_owned());
        }
        while let Some(argument) = rest.next() {
            let place = match argument.as_str() {
                "--bundle" => &mut asked.bundle,
                "--certificate-identity" => &mut asked.identity,
                "--certificate-oidc-issuer" => &mut asked.issuer,
                "--key" => &mut asked.key,
                "--trusted-root" => &mut asked.root,
                "--staging" => {
                    asked.staging = true;
                    continue;
                }
                other if other.starts_with('-') => return Err(format!("{other} is not known")),
                other => {
                    if asked.artifact.replace(other.to_owned()).is_some() {
                        return Err("more than one artifact".to_owned());
                    }
                    continue;
                }
            };
            *place = Some(rest.next().ok_or_else(|| format!("{argument} has no value"))?.clone());
        }
        Ok(asked)
    }

    fn root(&self) -> Result<TrustRoot, String> {
        let bytes = match (&self.root, self.staging) {
            (Some(path), _) => file(path)?,
            (None, true) => SIGSTORE_STAGING_TRUSTED_ROOT.as_bytes().to_vec(),
            (None, false) => SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec(),
        };
        TrustRoot::from_json(&bytes).map_err(|error| error.to_string())
    }
}

/// A digest, where no file has that name.
fn digest(named: &str) -> Option<Digest> {
    if Path::new(named).exists() { None } else { named.parse().ok() }
}

fn file(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("failed to read {path}: {error}"))
}

#[expect(clippy::disallowed_methods, reason = "the command line is where time enters")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
