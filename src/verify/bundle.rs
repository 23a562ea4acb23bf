//! Sigstore bundles as cosign 3 writes them: a DSSE envelope around an in-toto statement, whose predicate type says
//! whether it is a signature or an attestation (COS-05).
//!
//! Certificates, log entries and timestamps may be there and are not looked at here: `keyless` does where an authority
//! asks for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::candidate::{Certificate, Hint, Miss, Proofs, Signed, shown};
use super::envelope::Envelope;
use super::key::Scheme;
use super::statement::SIGN;
use super::{json, keyless};
use crate::image::Digest;

/// What every bundle's media type begins with; its version follows.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle";
/// The versions that are read (SIG-01), by their media types.
const VERSIONS: [&str; 4] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Option<Envelope>,
    message_signature: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Option<PublicKeyIdentifier>,
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
    #[serde(rename = "tlogEntries")]
    _tlog_entries: Option<IgnoredAny>,
    #[serde(rename = "timestampVerificationData")]
    _timestamp_verification_data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicKeyIdentifier {
    #[serde(default)]
    hint: String,
}

/// Reads a bundle, with the signer that it names.
pub(super) fn read(bytes: &Bytes) -> (Option<Hint>, Result<Signed, Miss>) {
    let bundle: Bundle = match json::read(bytes) {
        Ok(bundle) => bundle,
        Err(error) => return (None, Err(Miss::malformed(format!("the bundle cannot be read: {error}")))),
    };
    let hint = match &bundle.verification_material.public_key {
        Some(key) => named_key(&key.hint).map(Hint::Key),
        None => claimed(bytes).map(Hint::Identity),
    };
    (hint, signed(bundle, bytes))
}

/// Who the bundle's certificate says that signed.
fn claimed(bytes: &Bytes) -> Option<keyless::Certified> {
    keyless::claimed(keyless::read(bytes).ok()?.signing_certificate()?)
}

/// The key that a hint names, where it is one of cosign's: base64 of the SHA-256 of the SPKI.
fn named_key(hint: &str) -> Option<Digest> {
    let raw = STANDARD.decode(hint).ok()?;
    Some(Digest::from_raw(raw.try_into().ok()?))
}

fn signed(bundle: Bundle, bytes: &Bytes) -> Result<Signed, Miss> {
    if !VERSIONS.contains(&bundle.media_type.as_str()) {
        let message = format!("bundles of type {} cannot be read", shown(&bundle.media_type));
        return Err(Miss::malformed(message));
    }
    let certificate = certificate(&bundle.verification_material)?;
    let envelope = match (bundle.dsse_envelope, bundle.message_signature) {
        (Some(envelope), None) => envelope,
        (None, Some(_)) => {
            let message = format!("the bundle signs bytes and does not say what for; expected predicate type {SIGN:?}");
            return Err(Miss::no_signature(message));
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Miss::malformed("a bundle holds either an envelope or a message's signature"));
        }
    };
    envelope.open(Scheme::Bundle, certificate, Proofs::Bundle(bytes.clone()))
}

/// Exactly one of key and certificate says who signed.
fn certificate(material: &Material) -> Result<Certificate, Miss> {
    match (&material.public_key, &material.certificate, &material.x509_certificate_chain) {
        (Some(_), None, None) => Ok(Certificate::None),
        (None, Some(_), None) | (None, None, Some(_)) => Ok(Certificate::Only),
        _ => Err(Miss::malformed("a bundle names either a public key or a certificate")),
    }
}
