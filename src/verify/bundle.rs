//! Sigstore bundles as cosign 3 writes them for `sign`: a DSSE envelope around an in-toto statement whose predicate type
//! says that it is a signature (COS-05, DSSE-01 … DSSE-07).
//!
//! Certificates, log entries and timestamps may be there and are not looked at here: `keyless` does where an authority
//! asks for them. What a signature is for stands in its statement alone, so an attestation never counts as one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::candidate::{Annotation, Certificate, Claim, Hint, Miss, Proofs, Signed, Subject, shown};
use super::json::{self, Members};
use super::key::{MAX_SIGNATURE, Scheme};
use super::keyless;
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
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The predicate type that makes a statement a signature.
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// Most subjects of a statement, and digests of a subject (DSSE-07).
const MAX_SUBJECTS: usize = 1024;
const MAX_DIGESTS: usize = 32;

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    sig: String,
    #[serde(rename = "keyid")]
    _keyid: Option<String>,
}

/// What a statement says that it is; the rest is read only once this fits.
#[derive(Deserialize)]
struct Heading {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    _kind: IgnoredAny,
    #[serde(rename = "predicateType")]
    _predicate_type: IgnoredAny,
    #[serde(rename = "predicate")]
    _predicate: Option<IgnoredAny>,
    subject: Vec<StatementSubject>,
}

/// A resource descriptor of in-toto; what it says beside digest and annotations is bound to nothing.
#[derive(Deserialize)]
struct StatementSubject {
    #[serde(default)]
    digest: Members<String>,
    #[serde(default)]
    annotations: Members<Annotation>,
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
    opened(&envelope, certificate, bytes)
}

/// Exactly one of key and certificate says who signed.
fn certificate(material: &Material) -> Result<Certificate, Miss> {
    match (&material.public_key, &material.certificate, &material.x509_certificate_chain) {
        (Some(_), None, None) => Ok(Certificate::None),
        (None, Some(_), None) | (None, None, Some(_)) => Ok(Certificate::Only),
        _ => Err(Miss::malformed("a bundle names either a public key or a certificate")),
    }
}

fn opened(envelope: &Envelope, certificate: Certificate, bytes: &Bytes) -> Result<Signed, Miss> {
    let payload = decoded(&envelope.payload, "payload")?;
    let [only] = envelope.signatures.as_slice() else {
        let count = envelope.signatures.len();
        return Err(Miss::malformed(format!("the envelope holds {count} signatures; expected exactly one")));
    };
    let signature = decoded(&only.sig, "signature")?;
    if signature.is_empty() || signature.len() > MAX_SIGNATURE {
        return Err(Miss::malformed(format!("a signature of {} bytes is none", signature.len())));
    }
    if envelope.payload_type != PAYLOAD_TYPE {
        let message = format!("the payload's type is {}; expected {PAYLOAD_TYPE:?}", shown(&envelope.payload_type));
        return Err(Miss::no_signature(message));
    }
    let claim = claim(&payload)?;
    let message = Bytes::from(encode(PAYLOAD_TYPE, &payload));
    let proofs = Proofs::Bundle(bytes.clone());
    Ok(Signed { scheme: Scheme::Bundle, message, signature, certificate, claim, proofs })
}

/// DSSE's pre-authentication encoding: what is signed in place of the payload (DSSE-01).
fn encode(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

/// DSSE-02: either alphabet of base64, padded.
fn decoded(text: &str, what: &str) -> Result<Vec<u8>, Miss> {
    let urlsafe = text.contains(['-', '_']);
    let decoded = if urlsafe { URL_SAFE.decode(text) } else { STANDARD.decode(text) };
    decoded.map_err(|error| Miss::malformed(format!("the {what} is no base64: {error}")))
}

fn claim(payload: &[u8]) -> Result<Claim, Miss> {
    let broken = |error: String| Miss::malformed(format!("the statement cannot be read: {error}"));
    let heading: Heading = json::read(payload).map_err(broken)?;
    if heading.predicate_type != SIGN {
        let found = shown(&heading.predicate_type);
        return Err(Miss::no_signature(format!("an attestation of type {found} is no signature; expected {SIGN:?}")));
    }
    if heading.kind != STATEMENT {
        let found = shown(&heading.kind);
        return Err(Miss::no_signature(format!("its statement is of type {found}; expected {STATEMENT:?}")));
    }
    let statement: Statement = json::read(payload).map_err(broken)?;
    Ok(Claim { subjects: subjects(statement.subject)?, reference: None })
}

fn subjects(described: Vec<StatementSubject>) -> Result<Vec<Subject>, Miss> {
    if described.len() > MAX_SUBJECTS {
        return Err(Miss::malformed(format!("a statement has at most {MAX_SUBJECTS} subjects")));
    }
    let mut subjects = Vec::new();
    for StatementSubject { digest, annotations } in described {
        if digest.len() > MAX_DIGESTS {
            return Err(Miss::malformed(format!("a subject has at most {MAX_DIGESTS} digests")));
        }
        // A subject that is named by another kind of digest is about something else than a manifest.
        let Some(hex) = digest.get("sha256") else { continue };
        let digest = format!("sha256:{hex}")
            .parse()
            .map_err(|_| Miss::malformed(format!("a subject's digest is {}, which is no SHA-256", shown(hex))))?;
        subjects.push(Subject { digest, annotations: annotations.into_map() });
    }
    if subjects.is_empty() {
        return Err(Miss::malformed("the statement is about nothing that has a SHA-256 digest"));
    }
    Ok(subjects)
}
