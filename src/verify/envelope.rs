//! DSSE envelopes around in-toto statements: opened, not believed (DSSE-01 … DSSE-07).
//!
//! cosign 2 stores an envelope by itself under its tag for attestations, with what proves it in annotations (COS-04);
//! bundles hold the same envelope.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use serde::Deserialize;

use super::candidate::{Certificate, Hint, Miss, Proofs, Signed, shown};
use super::key::{MAX_SIGNATURE, Scheme};
use super::keyless::attached::{Attached, CERTIFICATE};
use super::{json, statement};

/// The layer's media type under cosign's tag for attestations.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Envelope {
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

/// Reads a layer that is an envelope, with its annotations; with who its certificate says that signed it.
pub(super) fn read(bytes: &Bytes, annotations: &BTreeMap<String, String>) -> (Option<Hint>, Result<Signed, Miss>) {
    let attached = Attached::of(annotations);
    let hint = attached.claimed().map(Hint::Identity);
    let certificate = if annotations.contains_key(CERTIFICATE) { Certificate::Beside } else { Certificate::None };
    let envelope: Result<Envelope, Miss> =
        json::read(bytes).map_err(|error| Miss::malformed(format!("the envelope cannot be read: {error}")));
    let proofs = Proofs::Enveloped(attached, bytes.clone());
    (hint, envelope.and_then(|envelope| envelope.open(Scheme::Envelope, certificate, proofs)))
}

impl Envelope {
    /// The signature inside, over the bytes that DSSE signs in place of the payload.
    pub(super) fn open(&self, scheme: Scheme, certificate: Certificate, proofs: Proofs) -> Result<Signed, Miss> {
        let payload = decoded(&self.payload, "payload")?;
        let [only] = self.signatures.as_slice() else {
            let count = self.signatures.len();
            return Err(Miss::malformed(format!("the envelope holds {count} signatures; expected exactly one")));
        };
        let signature = decoded(&only.sig, "signature")?;
        if signature.is_empty() || signature.len() > MAX_SIGNATURE {
            return Err(Miss::malformed(format!("a signature of {} bytes is none", signature.len())));
        }
        if self.payload_type != PAYLOAD_TYPE {
            let message = format!("the payload's type is {}; expected {PAYLOAD_TYPE:?}", shown(&self.payload_type));
            return Err(Miss::no_signature(message));
        }
        let (purpose, claim) = statement::read(&payload)?;
        let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
        let message = Bytes::from([head.as_bytes(), &payload].concat());
        let payload = message.slice(head.len()..);
        Ok(Signed { scheme, message, payload, signature, certificate, purpose, claim, proofs })
    }
}

/// DSSE-02: either alphabet of base64, padded.
fn decoded(text: &str, what: &str) -> Result<Vec<u8>, Miss> {
    let urlsafe = text.contains(['-', '_']);
    let decoded = if urlsafe { URL_SAFE.decode(text) } else { STANDARD.decode(text) };
    decoded.map_err(|error| Miss::malformed(format!("the {what} is no base64: {error}")))
}
