//! cosign's simple signing: a payload as a layer, its signature beside it in an annotation (COS-01 … COS-03).
//!
//! The payload is read so that no two readers can disagree: no unknown, missing or repeated member.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::candidate::{Annotation, Certificate, Claim, Hint, Miss, Proofs, Signed, Subject, shown};
use super::json::{self, Members};
use super::key::{MAX_SIGNATURE, Scheme};
use super::keyless::attached::{Attached, CERTIFICATE};
use super::statement::Purpose;
use crate::image::Digest;

/// The layer's media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that holds the signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What `critical.type` says.
const TYPE: &str = "cosign container image signature";
/// Longest signature annotation in bytes, as base64.
const MAX_ENCODED: usize = MAX_SIGNATURE.div_ceil(3).saturating_mul(4);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    critical: Critical,
    optional: Option<Members<Annotation>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    // The specification's own example writes it with a capital letter; both together are a repetition.
    #[serde(rename = "docker-manifest-digest", alias = "Docker-manifest-digest")]
    docker_manifest_digest: Digest,
}

/// Reads a layer with its annotations; with who its certificate says that signed it.
pub(super) fn read(payload: &Bytes, annotations: &BTreeMap<String, String>) -> (Option<Hint>, Result<Signed, Miss>) {
    let attached = Attached::of(annotations);
    (attached.claimed().map(Hint::Identity), signed(payload, annotations, attached))
}

fn signed(payload: &Bytes, annotations: &BTreeMap<String, String>, attached: Attached) -> Result<Signed, Miss> {
    let signature = signature(annotations)?;
    let certificate = if annotations.contains_key(CERTIFICATE) { Certificate::Beside } else { Certificate::None };
    let claim = Ok(claim(payload)?);
    let (scheme, proofs) = (Scheme::SimpleSigning, Proofs::Attached(attached));
    let (message, payload, purpose) = (payload.clone(), Bytes::new(), Purpose::Image);
    Ok(Signed { scheme, message, payload, signature, certificate, purpose, claim, proofs })
}

fn signature(annotations: &BTreeMap<String, String>) -> Result<Vec<u8>, Miss> {
    let Some(text) = annotations.get(SIGNATURE) else {
        return Err(Miss::malformed(format!("the layer has no annotation `{SIGNATURE}`")));
    };
    if text.is_empty() || text.len() > MAX_ENCODED {
        return Err(Miss::malformed(format!("a signature of {} characters is none", text.len())));
    }
    STANDARD.decode(text).map_err(|error| Miss::malformed(format!("the signature is no base64: {error}")))
}

fn claim(payload: &[u8]) -> Result<Claim, Miss> {
    let payload: Payload = json::read(payload)
        .map_err(|error| Miss::malformed(format!("the payload is no simple-signing claim: {error}")))?;
    let Critical { identity, image, kind } = payload.critical;
    if kind != TYPE {
        return Err(Miss::no_signature(format!("its type is {}; expected {TYPE:?}", shown(&kind))));
    }
    let annotations = payload.optional.map(Members::into_map).unwrap_or_default();
    let subject = Subject { digest: image.docker_manifest_digest, annotations };
    Ok(Claim { subjects: vec![subject], reference: Some(identity.docker_reference) })
}
