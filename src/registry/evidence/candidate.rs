//! Which manifests and layers can be evidence, which come first, and what may be fetched of them.

use std::collections::BTreeMap;

use oci_distribution::manifest::{ImageIndexEntry, OciDescriptor, OciImageManifest};

use crate::artifact::{Artifact, Content, Defect, Fault, Lookup, Where};
use crate::image::Digest;
use crate::reason::{Reason, Weight};
use crate::registry::fault::sanitised;
use crate::registry::options::Limits;

/// The media types of what can be evidence.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The artifact type of cosign's signatures by referrer.
const COSIGN_SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// What lists call a bundle whose writer did not look at the manifest.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The annotations that say what a bundle or an envelope is about, and the value for signatures.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
const ENVELOPE_TYPE: &str = "predicateType";
const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The manifest that carries layers.
#[derive(Clone)]
pub(super) struct Carrier {
    pub(super) place: Where,
    pub(super) manifest: Digest,
    pub(super) artifact_type: Option<String>,
    pub(super) subject: Option<Digest>,
}

/// A layer whose bytes are still to be had.
pub(super) struct Layer {
    pub(super) carrier: Carrier,
    pub(super) descriptor: OciDescriptor,
    pub(super) rank: u8,
}

impl Carrier {
    /// An artifact that it carries.
    pub(super) fn artifact(&self, digest: Option<Digest>, layer: &OciDescriptor, content: Content) -> Artifact {
        Artifact {
            place: self.place,
            manifest: self.manifest,
            artifact_type: self.artifact_type.clone(),
            subject: self.subject,
            digest,
            media_type: layer.media_type.clone(),
            annotations: layer.annotations.clone().unwrap_or_default(),
            content,
        }
    }
}

impl Layer {
    /// The digest and size of its blob, if it may be fetched at all.
    pub(super) fn blob(&self, limits: &Limits) -> Result<(Digest, usize), Defect> {
        let layer = &self.descriptor;
        let malformed = |message: String| Defect { reason: Reason::Malformed, message };
        if !is_evidence(&layer.media_type) {
            return Err(malformed(format!("`{}` is no type of signature", sanitised(&layer.media_type))));
        }
        let digest = layer.digest.parse();
        let digest = digest.map_err(|error| malformed(format!("`{}`: {error}", sanitised(&layer.digest))))?;
        let size = usize::try_from(layer.size).map_err(|_| malformed(format!("{} is no size", layer.size)))?;
        let cap = if layer.media_type == SIMPLE_SIGNING { limits.payload_bytes } else { limits.blob_bytes };
        if size > cap {
            let message = format!("it has {size} bytes, and at most {cap} are taken");
            return Err(Defect { reason: Reason::LimitExceeded, message });
        }
        Ok((digest, size))
    }
}

/// The layers of a manifest that are evidence, or should be; the error says what is wrong with the manifest.
pub(super) fn layers(
    place: Where,
    manifest: Digest,
    image: &OciImageManifest,
    lookup: &Lookup,
) -> Result<Vec<Layer>, &'static str> {
    let subject = image.subject.as_ref().map(|subject| subject.digest.parse::<Digest>());
    let subject = subject.transpose().map_err(|_| "its subject has no digest that can be checked")?;
    let written = image.artifact_type.clone().filter(|kind| !kind.is_empty());
    let artifact_type = written.unwrap_or_else(|| image.config.media_type.clone());
    let is_signature = is_signature_type(&artifact_type);
    if is_signature && image.layers.is_empty() {
        return Err("it should hold a signature, and has no layer");
    }
    // What stands where evidence is kept, or says that it is some, is a candidate whatever its layers are.
    let declared = matches!(place, Where::SignatureTag | Where::AttestationTag) || is_signature;
    let carrier = Carrier { place, manifest, artifact_type: Some(artifact_type), subject };
    let of_manifest = fit(image.annotations.as_ref().and_then(|annotations| annotations.get(PREDICATE_TYPE)), lookup);
    let of_layer = |layer: &OciDescriptor| {
        let annotations = layer.annotations.as_ref();
        let own = annotations.and_then(|annotations| annotations.get(ENVELOPE_TYPE));
        let fit = own.map_or(of_manifest, |own| fit(Some(own), lookup));
        let rank = if fit < STRANGE && hinted(annotations, &lookup.hints) { 0 } else { fit };
        Layer { carrier: carrier.clone(), rank, descriptor: layer.clone() }
    };
    Ok(image.layers.iter().filter(|layer| declared || is_evidence(&layer.media_type)).map(of_layer).collect())
}

/// What an answer about a blob makes of it.
pub(super) fn content(found: Result<Option<bytes::Bytes>, Fault>) -> Result<Content, Fault> {
    let defect = |reason, message| Ok(Content::Unusable(Defect { reason, message }));
    match found {
        Ok(Some(bytes)) => Ok(Content::Bytes(bytes)),
        Ok(None) => defect(Reason::Malformed, "its manifest names it, but the registry does not hold it".to_owned()),
        Err(error) => match error.reason.weight() {
            Weight::Refused => defect(error.reason, error.message),
            Weight::Undecided => Err(error),
        },
    }
}

fn is_evidence(media_type: &str) -> bool {
    media_type == SIMPLE_SIGNING || media_type == ENVELOPE || media_type.starts_with(BUNDLE_PREFIX)
}

fn is_signature_type(artifact_type: &str) -> bool {
    artifact_type == COSIGN_SIGNATURE || artifact_type.starts_with(BUNDLE_PREFIX)
}

/// Whether an annotation carries the hint of a wanted signer.
fn hinted(annotations: Option<&BTreeMap<String, String>>, hints: &[String]) -> bool {
    annotations.is_some_and(|annotations| annotations.values().any(|value| hints.contains(value)))
}

/// The rank of a predicate type that nobody asked for.
const STRANGE: u8 = 2;

/// How well a predicate type fits what is sought; one that is not told may fit.
fn fit(predicate: Option<&String>, lookup: &Lookup) -> u8 {
    match predicate {
        None => 1,
        Some(kind) if kind == SIGN_PREDICATE && lookup.sought.signatures => 1,
        Some(kind) if lookup.sought.predicate_types.contains(kind) => 1,
        Some(_) => STRANGE,
    }
}

/// Which entries of a list are read first. Hints only: none is left out for what the list says of it.
pub(super) fn rank_entry(entry: &ImageIndexEntry, lookup: &Lookup) -> u8 {
    if hinted(entry.annotations.as_ref(), &lookup.hints) {
        return 0;
    }
    let artifact_type = entry.artifact_type.as_deref().unwrap_or_default();
    let likely = artifact_type.is_empty() || artifact_type == EMPTY || is_signature_type(artifact_type);
    let predicate = entry.annotations.as_ref().and_then(|annotations| annotations.get(PREDICATE_TYPE));
    if likely { fit(predicate, lookup) } else { 3 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hints_come_first_and_nothing_is_left_out() {
        let mut lookup = Lookup {
            repository: crate::image::Repository::parse("registry.example.com/app").unwrap(),
            digest: Digest::of(b"app"),
            hints: vec!["gRdC".to_owned()],
            sought: crate::artifact::Sought::signatures(),
        };
        let entry_for = |lookup: &Lookup, artifact_type: Option<&str>, annotations: serde_json::Value| {
            let entry = json!({"mediaType": "x", "digest": "x", "size": 1, "artifactType": artifact_type, "annotations": annotations});
            rank_entry(&serde_json::from_value(entry).unwrap(), lookup)
        };
        let entry = |artifact_type, annotations| entry_for(&lookup, artifact_type, annotations);
        let predicate = |kind: &str| json!({"dev.sigstore.bundle.predicateType": kind});
        assert_eq!(entry(Some("application/spdx+json"), json!({"any": "gRdC"})), 0);
        assert_eq!(entry(None, json!(null)), 1);
        assert_eq!(entry(Some(EMPTY), json!({})), 1);
        assert_eq!(entry(Some(COSIGN_SIGNATURE), json!({})), 1);
        assert_eq!(entry(Some("application/vnd.dev.sigstore.bundle.v0.3+json"), predicate(SIGN_PREDICATE)), 1);
        assert_eq!(entry(Some(EMPTY), predicate("https://slsa.dev/provenance/v1")), 2);
        assert_eq!(entry(Some("application/spdx+json"), json!({})), 3);
        lookup.sought = crate::artifact::Sought {
            signatures: false,
            predicate_types: vec!["https://slsa.dev/provenance/v1".to_owned()],
        };
        assert_eq!(entry_for(&lookup, Some(EMPTY), predicate("https://slsa.dev/provenance/v1")), 1);
        assert_eq!(entry_for(&lookup, Some(EMPTY), predicate(SIGN_PREDICATE)), 2);
    }
}
