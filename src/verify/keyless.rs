//! What a certificate, a log and a timestamp prove about a signature: checked by the sigstore organisation's own crates
//! against a trusted root, and by us where those leave something open. Opens no connection.
//!
//! The crates check the chain, the certificate's own log, the signature and that the log's entry is about this artifact,
//! this signature and this certificate. Ours is the rest: that there is an entry at all, that the log which it names
//! vouches for it, that every proven time lies inside that log's period and none after `now`, and who may sign.
//! The crates read a clock too, so that a time is refused which lies in the future of either.

pub(super) mod attached;
mod failure;
#[cfg(test)]
pub(super) mod issuer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use sigstore_trust_root::TransparencyLog;
use sigstore_verify::crypto::{Checkpoint, FulcioCiClaims, VerificationKey, parse_certificate_info};
use sigstore_verify::types::{self, Bundle, TransparencyLogEntry};
use sigstore_verify::{PublicKeyVerificationPolicy, VerificationPolicy};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;

pub use super::candidate::Miss;
use super::candidate::{escaped, escaped_to};
use super::verdict::Check;
use crate::image::Digest;
use crate::reason::Reason;
use crate::signer::PublicKey;
use crate::signer::claim::Claim;
use crate::signer::identity::{Expected, Identity};
use crate::signer::root::TrustRoot;

/// Most log entries, and timestamps, of one signature: signers write one of each.
const MAX_PROOFS: usize = 8;
/// Most certificates of a chain (faults: chain length).
const MAX_CHAIN: usize = 10;
/// How much of an issuer or a subject a report names, in characters.
const NAMED: usize = 1024;

/// What was signed.
#[derive(Debug, Clone, Copy)]
pub enum Artifact<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// Its SHA-256.
    Digest(Digest),
}

/// Who signed, as a certificate says it. Proved only where [`by_certificate`] returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    issuer: String,
    subject: String,
    /// What it says about the build.
    claims: BTreeMap<Claim, String>,
    /// The digests of the certificate and of its key.
    prints: [Digest; 2],
    times: Vec<Timestamp>,
}

impl Certified {
    /// What makes two signers one: issuer and subject. No key has this digest, since a key's is of DER.
    pub(super) fn signer(&self) -> Digest {
        // Claims narrow whom a rule believes; two builds of one workflow are one signer still.
        let Self { issuer, subject, claims: _, prints: _, times: _ } = self;
        Digest::of(format!("certificate identity\n{}\n{issuer}{subject}", issuer.len()).as_bytes())
    }

    /// When it signed, by everything that proves a time.
    #[must_use]
    pub fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// The digests of the certificate and of its key.
    pub(super) fn prints(&self) -> [Digest; 2] {
        self.prints
    }

    /// Whether one of these identities is this signer's.
    ///
    /// # Errors
    /// Who signed, and who should have.
    pub fn among(&self, identities: &[Identity]) -> Result<(), Miss> {
        let mut near = None;
        for identity in identities.iter().filter(|identity| identity.is(&self.issuer, &self.subject)) {
            match identity.unfulfilled(&self.claims) {
                None => return Ok(()),
                Some(lacking) => near = near.or(Some(lacking)),
            }
        }
        if let Some((claim, expected)) = near {
            return Err(self.lacks(claim, expected));
        }
        let expected = super::attempt::listed(identities.iter().map(Identity::to_string), "or");
        let message = format!(
            "signed by subject `{}` of issuer `{}`; expected {expected}",
            escaped_to(&self.subject, NAMED),
            escaped_to(&self.issuer, NAMED)
        );
        Err(Miss { check: Check::Identity, reason: Reason::IdentityMismatch, message })
    }

    fn lacks(&self, claim: Claim, expected: &Expected) -> Miss {
        let found = match self.claims.get(&claim) {
            Some(found) => format!("`{}`", escaped_to(found, NAMED)),
            None => "none".to_owned(),
        };
        let message = format!("the certificate's claim {claim} is {found}; expected {expected}");
        Miss { check: Check::Identity, reason: Reason::IdentityMismatch, message }
    }
}

impl fmt::Display for Certified {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", escaped_to(&self.issuer, NAMED), escaped_to(&self.subject, NAMED))
    }
}

/// Reads a bundle with all that it proves.
///
/// # Errors
/// When it is none.
pub fn read(json: &[u8]) -> Result<Bundle, Miss> {
    let broken = |error: &dyn fmt::Display| Miss::malformed(format!("the bundle cannot be read: {}", brief(error)));
    let text = std::str::from_utf8(json).map_err(|error| broken(&error))?;
    Bundle::from_json(text).map_err(|error| broken(&error))
}

/// Who signed `artifact`, by a certificate of the root's and an entry in one of its logs.
///
/// # Errors
/// The first check that failed.
pub fn by_certificate(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    root: &TrustRoot,
    now: Timestamp,
) -> Result<Certified, Miss> {
    bounded(bundle)?;
    let policy = VerificationPolicy::any_identity();
    let verified = root.verifier().verify(given(artifact), bundle, &policy);
    let verified = verified.map_err(|error| failure::miss(&error))?;
    if !(verified.certificate_verified() && verified.sct_verified() && verified.tlog_verified()) {
        return Err(certificate("the certificate, its log or the signature's log was not checked"));
    }
    if verified.verified_timestamps().is_empty() {
        return Err(certificate("no time of signing is proven, so that the certificate cannot be judged"));
    }
    logged(bundle, root, verified.verified_timestamps(), now)?;
    names_one(bundle)?;
    match bundle.signing_certificate().and_then(claimed) {
        Some(certified) if verified.issuer() == Some(&certified.issuer) => {
            Ok(Certified { times: verified.verified_timestamps().to_vec(), ..certified })
        }
        Some(_) | None => Err(certificate("the certificate names no issuer, or no e-mail address or URI")),
    }
}

/// Whether `key` signed `artifact`, with an entry in one of the root's logs; the proven times of signing, if any.
///
/// # Errors
/// The first check that failed.
pub fn by_key(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    key: &PublicKey,
    root: &TrustRoot,
    now: Timestamp,
) -> Result<Vec<Timestamp>, Miss> {
    bounded(bundle)?;
    let policy = PublicKeyVerificationPolicy::new(types::DerPublicKey::new(key.spki().to_vec()));
    let verified = root.verifier().verify(given(artifact), bundle, &policy);
    let verified = verified.map_err(|error| failure::miss(&error))?;
    if !verified.tlog_verified() {
        return Err(log("the signature's log was not checked"));
    }
    logged(bundle, root, verified.verified_timestamps(), now)?;
    Ok(verified.verified_timestamps().to_vec())
}

/// Who a certificate says that it is, without any proof: a hint for reports.
pub(super) fn claimed(certificate: &types::DerCertificate) -> Option<Certified> {
    let read = parse_certificate_info(certificate).ok()?;
    let prints = [Digest::of(certificate.as_bytes()), Digest::of(read.public_key.as_bytes())];
    let claims = said(&read.ci_claims);
    let (issuer, subject) = (read.issuer?, read.identity?.as_str().to_owned());
    Some(Certified { issuer, subject, claims, prints, times: Vec::new() })
}

/// What a certificate says about its build. What it does not say, or not in the form that it has, is not there.
fn said(claims: &FulcioCiClaims) -> BTreeMap<Claim, String> {
    let old = &claims.deprecated_github;
    let text = |claim: &Claim| match claim {
        Claim::GithubWorkflowTrigger => &old.workflow_trigger,
        Claim::GithubWorkflowSha => &old.workflow_sha,
        Claim::GithubWorkflowName => &old.workflow_name,
        Claim::GithubWorkflowRepository => &old.workflow_repository,
        Claim::GithubWorkflowRef => &old.workflow_ref,
        Claim::BuildSignerUri => &claims.build_signer_uri,
        Claim::BuildSignerDigest => &claims.build_signer_digest,
        Claim::RunnerEnvironment => &claims.runner_environment,
        Claim::SourceRepositoryUri => &claims.source_repository_uri,
        Claim::SourceRepositoryDigest => &claims.source_repository_digest,
        Claim::SourceRepositoryRef => &claims.source_repository_ref,
        Claim::SourceRepositoryIdentifier => &claims.source_repository_identifier,
        Claim::SourceRepositoryOwnerUri => &claims.source_repository_owner_uri,
        Claim::SourceRepositoryOwnerIdentifier => &claims.source_repository_owner_identifier,
        Claim::BuildConfigUri => &claims.build_config_uri,
        Claim::BuildConfigDigest => &claims.build_config_digest,
        Claim::BuildTrigger => &claims.build_trigger,
        Claim::RunInvocationUri => &claims.run_invocation_uri,
        Claim::SourceRepositoryVisibility => &claims.source_repository_visibility_at_signing,
        Claim::DeploymentEnvironment => &claims.deployment_environment,
        Claim::TokenSubject => &claims.token_subject,
    };
    Claim::ALL.iter().filter_map(|claim| Some((*claim, text(claim).clone()?))).collect()
}

/// No two readers can see different signers in the certificate: it has one name, and no extension twice.
fn names_one(bundle: &Bundle) -> Result<(), Miss> {
    let der = bundle.signing_certificate().map(types::DerCertificate::as_bytes).unwrap_or_default();
    let read = x509_cert::Certificate::from_der(der);
    let read = read.map_err(|error| certificate(format!("the certificate cannot be read: {}", brief(&error))))?;
    let mut seen = BTreeSet::new();
    if read.tbs_certificate.extensions.iter().flatten().any(|extension| !seen.insert(extension.extn_id)) {
        return Err(certificate("the certificate has an extension twice"));
    }
    match read.tbs_certificate.get::<SubjectAltName>() {
        Ok(Some((_, SubjectAltName(names)))) if names.len() == 1 => Ok(()),
        Ok(_) | Err(_) => Err(certificate("the certificate names not exactly one signer")),
    }
}

fn given(artifact: Artifact<'_>) -> types::Artifact<'_> {
    match artifact {
        Artifact::Bytes(bytes) => types::Artifact::from_blob(bytes),
        Artifact::Digest(digest) => types::Artifact::from_digest(types::Sha256Hash::new(*digest.raw())),
    }
}

/// The crates' loops succeed over nothing, and have no bounds of their own.
fn bounded(bundle: &Bundle) -> Result<(), Miss> {
    let material = &bundle.verification_material;
    let (entries, times) = (&material.tlog_entries, &material.timestamp_verification_data.rfc3161_timestamps);
    if entries.is_empty() {
        return Err(log("there is no entry of a transparency log with the signature"));
    }
    if entries.len() > MAX_PROOFS || times.len() > MAX_PROOFS {
        return Err(Miss::malformed(format!("a signature has at most {MAX_PROOFS} log entries and timestamps")));
    }
    if let types::bundle::VerificationMaterialContent::X509CertificateChain { certificates } = &material.content
        && certificates.len() > MAX_CHAIN
    {
        return Err(Miss::malformed(format!("a certificate's chain has at most {MAX_CHAIN} certificates")));
    }
    if entries.iter().any(|entry| entry.inclusion_promise.is_none() && entry.inclusion_proof.is_none()) {
        return Err(log("a log entry has neither a promise nor a proof of inclusion"));
    }
    Ok(())
}

/// Every entry is vouched for by the very log that it names, and every proven time lies in that log's period and not in
/// the future.
fn logged(bundle: &Bundle, root: &TrustRoot, times: &[Timestamp], now: Timestamp) -> Result<(), Miss> {
    if let Some(future) = times.iter().find(|time| **time > now) {
        let message = format!("signed at {future}, which lies in the future");
        return Err(Miss { check: Check::Time, reason: Reason::TransparencyLogInvalid, message });
    }
    for entry in &bundle.verification_material.tlog_entries {
        let named = root.parts().tlogs.iter().find(|log| log.log_id == entry.log_id);
        let named = named.ok_or_else(|| log("the entry's log is not in the trusted root"))?;
        in_period(named, times, now)?;
        if !vouched(entry, named) {
            return Err(log(format!("the entry's checkpoint is not signed by the log {}", brief(&named.base_url))));
        }
    }
    Ok(())
}

fn in_period(named: &TransparencyLog, times: &[Timestamp], now: Timestamp) -> Result<(), Miss> {
    let Some(period) = named.public_key.valid_for else { return Ok(()) };
    let outside = times.iter().find(|time| !period.contains(**time));
    match outside.or_else(|| (!period.has_started_by(now)).then_some(&now)) {
        None => Ok(()),
        Some(time) => Err(log(format!("the log's key is not trusted at {time}"))),
    }
}

/// Whether the entry's proof, where it has one, ends in a checkpoint that the named log signed under its own name.
fn vouched(entry: &TransparencyLogEntry, named: &TransparencyLog) -> bool {
    let Some(proof) = &entry.inclusion_proof else { return entry.inclusion_promise.is_some() };
    let (Some(checkpoint), Ok(key)) =
        (proof.checkpoint.checkpoint(), VerificationKey::from_spki(&named.public_key.raw_bytes))
    else {
        return false;
    };
    let hint = named.log_id.key_id.as_bytes().get(..4);
    checkpoint.signatures().iter().any(|signature| {
        hint == Some(signature.key_id.as_slice())
            && is_origin(checkpoint, &signature.name)
            && key.verify(checkpoint.signed_data(), &signature.signature).is_ok()
    })
}

/// A log's origin is its name, in Rekor v1 followed by the number of its tree.
fn is_origin(checkpoint: &Checkpoint, name: &str) -> bool {
    let rest = checkpoint.origin().strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" - "))
}

fn certificate(message: impl Into<String>) -> Miss {
    Miss { check: Check::Certificate, reason: Reason::CertificateInvalid, message: message.into() }
}

fn log(message: impl Into<String>) -> Miss {
    Miss { check: Check::Log, reason: Reason::TransparencyLogInvalid, message: message.into() }
}

/// A foreign message, made harmless.
fn brief(message: &dyn fmt::Display) -> String {
    escaped(&message.to_string())
}
