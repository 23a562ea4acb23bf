//! What cosign's old format attaches to a signature as annotations, turned into a bundle that proves the same: the
//! certificate, the log's promise, a timestamp.
//!
//! Such a signature has no proof of inclusion, so that it becomes a bundle of version 0.1. The chain beside it is not
//! read: what leads from a certificate to a root comes from the trusted root alone.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_verify::types::{Bundle, DerCertificate};

use super::{Certified, brief, claimed, log, read};
use crate::image::Digest;
use crate::verify::candidate::{Miss, Signed, shown};
use crate::verify::json;

/// The annotation that holds a certificate, where one was used.
pub(in crate::verify) const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
/// Longest annotation of these, in bytes. A log's entry holds signature and certificate, encoded twice.
const MAX_TEXT: usize = 64 * 1024;

/// The annotations as they stand there. Nothing in them is looked at before somebody asks what they prove.
pub(in crate::verify) struct Attached {
    certificate: Option<String>,
    bundle: Option<String>,
    timestamp: Option<String>,
}

/// What Rekor answered, as cosign keeps it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Promise {
    signed_entry_timestamp: String,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Payload {
    body: String,
    integrated_time: i64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// What a log entry says that it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed: String,
}

impl Attached {
    pub(in crate::verify) fn of(annotations: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| annotations.get(name).cloned();
        Self { certificate: text(CERTIFICATE), bundle: text(BUNDLE), timestamp: text(TIMESTAMP) }
    }

    /// Who the certificate says that signed.
    pub(in crate::verify) fn claimed(&self) -> Option<Certified> {
        let pem = self.certificate.as_ref().filter(|pem| pem.len() <= MAX_TEXT)?;
        claimed(&DerCertificate::from_pem(pem).ok()?)
    }

    /// A bundle that proves what the annotations prove; by the certificate, where there is one.
    pub(in crate::verify) fn bundle(&self, signed: &Signed) -> Result<Bundle, Miss> {
        let digest = STANDARD.encode(Digest::of(&signed.message).raw());
        let content = json!({
            "messageDigest": {"algorithm": "SHA2_256", "digest": digest},
            "signature": STANDARD.encode(&signed.signature),
        });
        self.around("messageSignature", &content)
    }

    /// The same around an envelope. A timestamp beside one is of the envelope's bytes, which a bundle cannot say.
    pub(in crate::verify) fn enveloped(&self, envelope: &[u8]) -> Result<Bundle, Miss> {
        if self.timestamp.is_some() {
            return Err(Miss::malformed("a timestamp beside an envelope cannot be checked"));
        }
        let content: Value = serde_json::from_slice(envelope)
            .map_err(|error| Miss::malformed(format!("the envelope cannot be read: {}", brief(&error))))?;
        self.around("dsseEnvelope", &content)
    }

    /// A bundle with the annotations' material around what was signed.
    fn around(&self, name: &str, content: &Value) -> Result<Bundle, Miss> {
        let mut material = match &self.certificate {
            Some(pem) => json!({"x509CertificateChain": {"certificates": [{"rawBytes": certificate(pem)?}]}}),
            None => json!({"publicKey": {"hint": ""}}),
        };
        let entries = self.bundle.iter().map(|text| entry(text)).collect::<Result<Vec<_>, _>>()?;
        let times = self.timestamp.iter().map(|text| timestamp(text)).collect::<Result<Vec<_>, _>>()?;
        if let Some(material) = material.as_object_mut() {
            material.insert("tlogEntries".to_owned(), Value::Array(entries));
            material.insert("timestampVerificationData".to_owned(), json!({"rfc3161Timestamps": times}));
        }
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
            "verificationMaterial": material,
            name: content,
        });
        read(bundle.to_string().as_bytes())
    }
}

/// The certificate in DER, as base64: one block of PEM.
fn certificate(pem: &str) -> Result<String, Miss> {
    let broken = |why: String| Miss::malformed(format!("the annotation `{CERTIFICATE}` holds no certificate: {why}"));
    bounded(pem, CERTIFICATE)?;
    if pem.matches("-----BEGIN").count() != 1 {
        return Err(broken("expected exactly one block of PEM".to_owned()));
    }
    DerCertificate::from_pem(pem).map(|der| der.to_base64()).map_err(|error| broken(brief(&error)))
}

/// The log's entry, as a bundle writes it.
fn entry(text: &str) -> Result<Value, Miss> {
    let broken = |why: String| log(format!("the annotation `{BUNDLE}` cannot be read: {why}"));
    bounded(text, BUNDLE)?;
    let Promise { signed_entry_timestamp, payload } = json::read(text.as_bytes()).map_err(broken)?;
    let Payload { body, integrated_time, log_index, log_id } = payload;
    let log = hex::decode(&log_id).map_err(|_| broken(format!("{} is no log's identity", shown(&log_id))))?;
    let decoded = STANDARD.decode(&body).map_err(|error| broken(format!("its body is no base64: {error}")))?;
    let Entry { api_version, kind } = json::read(&decoded).map_err(broken)?;
    Ok(json!({
        "logIndex": log_index.to_string(),
        "logId": {"keyId": STANDARD.encode(log)},
        "kindVersion": {"kind": kind, "version": api_version},
        "integratedTime": integrated_time.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": signed_entry_timestamp},
        "canonicalizedBody": body,
    }))
}

fn timestamp(text: &str) -> Result<Value, Miss> {
    bounded(text, TIMESTAMP)?;
    let broken = |why: String| Miss::malformed(format!("the annotation `{TIMESTAMP}` cannot be read: {why}"));
    let Timestamp { signed } = json::read(text.as_bytes()).map_err(broken)?;
    Ok(json!({"signedTimestamp": signed}))
}

fn bounded(text: &str, name: &str) -> Result<(), Miss> {
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    Err(Miss::malformed(format!("the annotation `{name}` has more than {MAX_TEXT} bytes")))
}
