//! Evidence as a file: its own digest on the first line, JSON behind.
//!
//! Whatever does not decode to exactly what was encoded is no evidence: unknown fields, other digests, trailing bytes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::evidence::Kept;
use crate::artifact::{Artifact, Content, Defect, Evidence, Where};
use crate::image::{Digest, Leaf, PinnedImage, Repository};
use crate::reason::Reason;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRecord {
    repository: String,
    digest: Digest,
    size: u64,
    media_type: String,
    leaves: Vec<LeafRecord>,
    evidence: Vec<EvidenceRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafRecord {
    digest: Digest,
    platform: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceRecord {
    repository: String,
    digest: Digest,
    artifacts: Vec<ArtifactRecord>,
    left_out: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArtifactRecord {
    place: String,
    manifest: Digest,
    artifact_type: Option<String>,
    subject: Option<Digest>,
    digest: Option<Digest>,
    media_type: String,
    annotations: BTreeMap<String, String>,
    content: ContentRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum ContentRecord {
    Base64(String),
    Unusable { reason: String, message: String },
}

/// The file's bytes.
pub(super) fn encode(image: &PinnedImage, evidence: &[Evidence]) -> Result<Vec<u8>, serde_json::Error> {
    // Who resolved the tag is a fact about one decision; what is kept is about the digest.
    let PinnedImage { repository, digest, size, media_type, leaves, resolved_by: _ } = image;
    let record = KeptRecord {
        repository: repository.to_string(),
        digest: *digest,
        size: *size,
        media_type: media_type.clone(),
        leaves: leaves.iter().map(leaf_record).collect(),
        evidence: evidence.iter().map(evidence_record).collect(),
    };
    let body = serde_json::to_vec(&record)?;
    let mut bytes = format!("{}\n", Digest::of(&body)).into_bytes();
    bytes.extend(body);
    Ok(bytes)
}

/// What the bytes hold; none where anything in them is not as it was written, or a content has another digest than
/// its own.
pub(super) fn decode(bytes: &[u8]) -> Option<Kept> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, body) = bytes.split_at_checked(end)?;
    let body = body.get(1..)?;
    let digest: Digest = std::str::from_utf8(head).ok()?.parse().ok()?;
    if digest != Digest::of(body) {
        return None;
    }
    let KeptRecord { repository, digest, size, media_type, leaves, evidence } = serde_json::from_slice(body).ok()?;
    let image = PinnedImage {
        repository: Repository::parse(&repository).ok()?,
        digest,
        size,
        media_type,
        leaves: leaves.into_iter().map(leaf).collect::<Option<_>>()?,
        resolved_by: None,
    };
    Some(Kept { image, evidence: evidence.into_iter().map(answer).collect::<Option<_>>()? })
}

fn leaf_record(leaf: &Leaf) -> LeafRecord {
    let Leaf { digest, platform } = leaf;
    LeafRecord { digest: *digest, platform: platform.as_ref().map(ToString::to_string) }
}

fn leaf(record: LeafRecord) -> Option<Leaf> {
    let LeafRecord { digest, platform } = record;
    Some(Leaf { digest, platform: platform.map(|text| text.parse()).transpose().ok()? })
}

fn evidence_record(evidence: &Evidence) -> EvidenceRecord {
    // Evidence with faults is never kept.
    let Evidence { repository, digest, artifacts, faults: _, left_out } = evidence;
    EvidenceRecord {
        repository: repository.to_string(),
        digest: *digest,
        artifacts: artifacts.iter().map(artifact_record).collect(),
        left_out: *left_out,
    }
}

fn answer(record: EvidenceRecord) -> Option<Evidence> {
    let EvidenceRecord { repository, digest, artifacts, left_out } = record;
    let repository = Repository::parse(&repository).ok()?;
    let artifacts = artifacts.into_iter().map(artifact).collect::<Option<_>>()?;
    Some(Evidence { repository, digest, artifacts, faults: Vec::new(), left_out })
}

fn artifact_record(artifact: &Artifact) -> ArtifactRecord {
    let Artifact { place, manifest, artifact_type, subject, digest, media_type, annotations, content } = artifact;
    ArtifactRecord {
        place: place.name().to_owned(),
        manifest: *manifest,
        artifact_type: artifact_type.clone(),
        subject: *subject,
        digest: *digest,
        media_type: media_type.clone(),
        annotations: annotations.clone(),
        content: match content {
            Content::Bytes(bytes) => ContentRecord::Base64(STANDARD.encode(bytes)),
            Content::Unusable(Defect { reason, message }) => {
                ContentRecord::Unusable { reason: reason.code().to_owned(), message: message.clone() }
            }
        },
    }
}

fn artifact(record: ArtifactRecord) -> Option<Artifact> {
    let ArtifactRecord { place, manifest, artifact_type, subject, digest, media_type, annotations, content } = record;
    let place = Where::ALL.into_iter().find(|known| known.name() == place)?;
    let content = match content {
        ContentRecord::Base64(text) => {
            let bytes = STANDARD.decode(text).ok()?;
            if digest != Some(Digest::of(&bytes)) {
                return None;
            }
            Content::Bytes(Bytes::from(bytes))
        }
        ContentRecord::Unusable { reason, message } => {
            let reason = Reason::ALL.iter().copied().find(|known| known.code() == reason)?;
            Content::Unusable(Defect { reason, message })
        }
    };
    Some(Artifact { place, manifest, artifact_type, subject, digest, media_type, annotations, content })
}
