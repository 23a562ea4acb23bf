//! Material for this room's tests: what real signers made, and what a signer with crates makes to order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::EncodePublicKey as _;
use serde_json::{Value, json};

use crate::artifact::{Artifact, Content, Evidence, Where};
use crate::image::{Digest, PinnedImage, Repository};
use crate::policy::requirement as policy;
use crate::policy::requirement::{Authority, Demand, Demands, Platforms, Requirement, Signatures, SignedReference};
use crate::signer::PublicKey;

pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
pub(super) const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(super) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
pub(super) const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// When the tests take place.
pub(super) const NOW: Timestamp = Timestamp::constant(1_770_000_000, 0);

/// What a registry holds about an image.
pub(super) struct Fixture {
    pub(super) image: PinnedImage,
    pub(super) key: PublicKey,
    pub(super) artifacts: Vec<Artifact>,
}

/// The folders whose signature must verify with their key.
pub(super) const VALID: [&str; 20] = [
    "sig-cosign2-p256",
    "sig-cosign2-p384",
    "sig-cosign2-p521",
    "sig-cosign2-rsa2048",
    "sig-cosign2-ed25519",
    "sig-cosign2-annotated",
    "sig-cosign2-two-signers",
    "sig-cosign3-p256",
    "sig-cosign3-p384",
    "sig-cosign3-p521",
    "sig-cosign3-rsa2048",
    "sig-cosign3-rsa4096",
    "sig-cosign3-ed25519",
    "oci11-cosign2-p256",
    "bundle-cosign3-p256",
    "bundle-cosign3-p384",
    "bundle-cosign3-p521",
    "bundle-cosign3-rsa2048",
    "bundle-cosign3-rsa4096",
    "bundle-openssl-ed25519",
];

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signatures").join(name)
}

pub(super) fn key(name: &str, file: &str) -> PublicKey {
    PublicKey::from_pem(&std::fs::read(folder(name).join(file)).unwrap()).unwrap()
}

/// Reads a folder of `tests/fixtures/signatures`.
pub(super) fn load(name: &str) -> Fixture {
    let (image, artifacts) = stored(name);
    Fixture { image, key: key(name, "key.pub"), artifacts }
}

/// An image of that folder, and what lies beside it.
pub(super) fn stored(name: &str) -> (PinnedImage, Vec<Artifact>) {
    let read = |file: &str| std::fs::read(folder(name).join(file)).unwrap();
    let about: Value = serde_json::from_slice(&read("about.json")).unwrap();
    let bytes = read("manifest.json");
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let place = Where::ALL.into_iter().find(|place| place.name() == about["place"]).unwrap();
    let artifact = |(number, layer): (usize, &Value)| Artifact {
        place,
        manifest: Digest::of(&bytes),
        artifact_type: manifest["artifactType"]
            .as_str()
            .or(manifest["config"]["mediaType"].as_str())
            .map(str::to_owned),
        subject: manifest["subject"]["digest"].as_str().map(|digest| digest.parse().unwrap()),
        digest: Some(text(&layer["digest"]).parse().unwrap()),
        media_type: text(&layer["mediaType"]),
        annotations: serde_json::from_value(layer["annotations"].clone()).unwrap_or_default(),
        content: Content::Bytes(read(&format!("layer-{number}")).into()),
    };
    let image = image(&text(&about["repository"]), text(&about["digest"]).parse().unwrap());
    (image, manifest["layers"].as_array().unwrap().iter().enumerate().map(artifact).collect())
}

pub(super) fn image(repository: &str, digest: Digest) -> PinnedImage {
    let repository = Repository::parse(repository).unwrap();
    PinnedImage {
        repository,
        digest,
        size: 400,
        media_type: MANIFEST.to_owned(),
        leaves: Vec::new(),
        resolved_by: None,
    }
}

pub(super) fn authority(name: &str, key: &PublicKey) -> Authority {
    Authority {
        name: name.to_owned(),
        validity: policy::Validity::default(),
        signer: policy::Signer::Key(key.clone(), None),
        annotations: BTreeMap::new(),
        signed_reference: SignedReference::Ignore,
        source: None,
    }
}

pub(super) fn signatures(threshold: usize, authorities: Vec<Authority>) -> Demand {
    Demand::Signatures(Signatures { threshold: NonZeroUsize::new(threshold).unwrap(), authorities })
}

pub(super) fn rule(platforms: Platforms, demand: Demand) -> Requirement {
    Requirement { policy: "policy".to_owned(), rule: "rule".to_owned(), platforms, demand }
}

/// One rule that asks for the image's own digest.
pub(super) fn demands(demand: Demand) -> Demands {
    Demands::new(vec![rule(Platforms::Index, demand)]).unwrap()
}

/// A complete answer about the image's own digest in its own repository.
pub(super) fn evidence(image: &PinnedImage, artifacts: Vec<Artifact>) -> Evidence {
    let repository = image.repository.clone();
    Evidence { repository, digest: image.digest, artifacts, faults: Vec::new(), left_out: 0 }
}

/// A signer with a P-256 key that its number alone decides.
pub(super) struct Signer(p256::ecdsa::SigningKey);

impl Signer {
    pub(super) fn new(number: u8) -> Self {
        Self(p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap())
    }

    pub(super) fn key(&self) -> PublicKey {
        let document = p256::PublicKey::from(self.0.verifying_key()).to_public_key_der().unwrap();
        PublicKey::from_spki(document.as_bytes()).unwrap()
    }

    /// A signature in DER.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::Signature = self.0.sign(message);
        signature.to_der().as_bytes().to_vec()
    }

    /// A signature of `digest` in the old format.
    pub(super) fn simple(&self, digest: Digest) -> Artifact {
        self.payload(claim(digest).to_string())
    }

    /// A simple-signing layer with this payload.
    pub(super) fn payload(&self, payload: impl Into<Vec<u8>>) -> Artifact {
        let payload = payload.into();
        let signature = STANDARD.encode(self.sign(&payload));
        layer(SIMPLE, &payload, &[(SIGNATURE, &signature)])
    }

    /// A bundle around this statement.
    pub(super) fn bundle(&self, statement: &Value) -> Value {
        self.envelope("application/vnd.in-toto+json", statement.to_string().as_bytes())
    }

    pub(super) fn envelope(&self, payload_type: &str, payload: &[u8]) -> Value {
        let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
        message.extend_from_slice(payload);
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.key().hint()}},
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": payload_type,
                "signatures": [{"sig": STANDARD.encode(self.sign(&message))}],
            },
        })
    }
}

/// cosign's claim about `digest`, as a value to be changed.
pub(super) fn claim(digest: Digest) -> Value {
    json!({
        "critical": {
            "identity": {"docker-reference": "registry.example.com/team/app"},
            "image": {"docker-manifest-digest": digest.to_string()},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
}

/// cosign 3's statement about `digest`, as a value to be changed.
pub(super) fn statement(digest: Digest) -> Value {
    json!({
        "_type": STATEMENT,
        "subject": [{"digest": {"sha256": digest.hex()}, "annotations": {}}],
        "predicateType": SIGN,
        "predicate": {},
    })
}

pub(super) fn bundle_layer(bundle: &Value) -> Artifact {
    layer(BUNDLE, bundle.to_string().as_bytes(), &[])
}

pub(super) fn layer(media_type: &str, bytes: &[u8], annotations: &[(&str, &str)]) -> Artifact {
    Artifact {
        place: Where::SignatureTag,
        manifest: Digest::of(b"manifest"),
        artifact_type: None,
        subject: None,
        digest: Some(Digest::of(bytes)),
        media_type: media_type.to_owned(),
        annotations: annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        content: Content::Bytes(Bytes::copy_from_slice(bytes)),
    }
}

/// The bytes of an artifact, to be changed.
pub(super) fn bytes(artifact: &Artifact) -> Vec<u8> {
    match &artifact.content {
        Content::Bytes(bytes) => bytes.to_vec(),
        Content::Unusable(defect) => panic!("{defect:?}"),
    }
}

/// The artifact with other bytes, stored as a registry would: under their own digest.
pub(super) fn with_bytes(artifact: &Artifact, bytes: Vec<u8>) -> Artifact {
    Artifact { digest: Some(Digest::of(&bytes)), content: Content::Bytes(bytes.into()), ..artifact.clone() }
}
