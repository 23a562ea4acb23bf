//! What no cosign writes: an entry of Rekor v2 in the old annotations, and bundles by pure Ed25519.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::cell::{Cell, Form, Signer};
use super::keys::keys;
use crate::support::http;
use crate::support::registry_server::{
    OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, SIGNATURE, SIMPLE_SIGNING, descriptor, digest, signature_tag,
};
use crate::support::sigstore::{SUBJECT, Witness, sigstore};
use crate::support::world::registry;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EXPERIMENT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const PAYLOAD: &str = "application/vnd.in-toto+json";

/// A signature with what says who made it.
struct Signed {
    signature: Vec<u8>,
    /// What a log's entry calls the verifier: its key or certificate, in DER.
    verifier: Value,
    /// The certificate in PEM, where there is one.
    certificate: Option<String>,
}

/// Signs `HOST/REPOSITORY@DIGEST` as the cell wants it, and pushes that.
pub fn sign(cell: Cell, image: &str) {
    let wanted = image.rsplit_once('@').unwrap().1;
    match cell.form {
        Form::Tag | Form::Oci11 => attached(cell, wanted),
        Form::Referrers | Form::Fallback => bundled(cell, wanted),
    }
}

fn signed(cell: Cell, message: &[u8]) -> Signed {
    let raw = |pem: &str| json!({"rawBytes": pem.lines().filter(|line| !line.starts_with("--")).collect::<String>()});
    if cell.signer == Signer::Keyless {
        let key = KeyPair::generate().unwrap();
        let pem = sigstore().services.authority.issue(&sigstore().token(SUBJECT), &key.subject_public_key_info());
        let verifier = json!({"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": raw(&pem)});
        return Signed { signature: key.sign(message).unwrap(), verifier, certificate: Some(pem) };
    }
    let details = match cell.signer {
        Signer::P256 | Signer::Keyless => "PKIX_ECDSA_P256_SHA_256",
        Signer::P384 => "PKIX_ECDSA_P384_SHA_384",
        Signer::P521 => "PKIX_ECDSA_P521_SHA_512",
        Signer::Rsa => "PKIX_RSA_PKCS1V15_2048_SHA256",
        Signer::Ed25519 => "PKIX_ED25519",
    };
    let verifier = json!({"keyDetails": details, "publicKey": raw(&public_key(cell))});
    Signed { signature: keys().sign(cell.signer, message, cell.hash()), verifier, certificate: None }
}

impl Cell {
    /// What is hashed with: SHA-256 in the old format, the hash that is as long as the curve in bundles.
    fn hash(self) -> &'static str {
        match (self.form.is_bundle(), self.signer) {
            (true, Signer::P384) => "sha384",
            (true, Signer::P521) => "sha512",
            (true | false, _) => "sha256",
        }
    }

    fn hashed(self, message: &[u8]) -> Vec<u8> {
        match self.hash() {
            "sha384" => Sha384::digest(message).to_vec(),
            "sha512" => Sha512::digest(message).to_vec(),
            _ => Sha256::digest(message).to_vec(),
        }
    }
}

fn public_key(cell: Cell) -> String {
    std::fs::read_to_string(cell.key().unwrap().1).unwrap()
}

/// The old format with an entry of Rekor v2 in the place of one with a promise.
fn attached(cell: Cell, wanted: &str) {
    let repository = cell.repository();
    let payload = json!({"critical": {
        "identity": {"docker-reference": format!("{}/{repository}", cell.host())},
        "image": {"docker-manifest-digest": wanted},
        "type": "cosign container image signature",
    }, "optional": null})
    .to_string();
    let signed = signed(cell, payload.as_bytes());
    let entry = logged_v2(cell, &signed, payload.as_bytes());
    let id = STANDARD.decode(entry["logId"]["keyId"].as_str().unwrap()).unwrap();
    let index: u64 = entry["logIndex"].as_str().unwrap().parse().unwrap();
    let promise = json!({"SignedEntryTimestamp": "", "Payload": {"body": entry["canonicalizedBody"],
        "integratedTime": 0, "logIndex": index, "logID": hex::encode(id)}});
    let stamp = STANDARD.encode(sigstore().services.timestamps.stamp(&signed.signature));
    let mut annotations = json!({
        SIGNATURE: STANDARD.encode(&signed.signature),
        "dev.sigstore.cosign/bundle": promise.to_string(),
        "dev.sigstore.cosign/rfc3161timestamp": json!({"SignedRFC3161Timestamp": stamp}).to_string(),
    });
    if let Some(certificate) = &signed.certificate {
        annotations["dev.sigstore.cosign/certificate"] = json!(certificate);
        annotations["dev.sigstore.cosign/chain"] = json!(sigstore().services.authority.chain());
    }
    let config = json!({"architecture": "", "os": "", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(payload.as_bytes())]}})
    .to_string();
    let mut layer = descriptor(SIMPLE_SIGNING, payload.as_bytes());
    layer["annotations"] = annotations;
    registry().put_blob(&repository, payload.as_bytes());
    registry().put_blob(&repository, config.as_bytes());
    let experiment = cell.form == Form::Oci11;
    let kind = if experiment { EXPERIMENT } else { OCI_CONFIG };
    let mut manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor(kind, config.as_bytes()), "layers": [layer]});
    if experiment {
        refer(cell, wanted, manifest, EXPERIMENT);
    } else {
        manifest["annotations"] = json!({});
        put(cell, &signature_tag(wanted), &manifest.to_string());
    }
}

/// Rekor v2's entry over what was signed.
fn logged_v2(cell: Cell, signed: &Signed, message: &[u8]) -> Value {
    let request = json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(cell.hashed(message)),
        "signature": {"content": STANDARD.encode(&signed.signature), "verifier": signed.verifier},
    }});
    sigstore().services.log2.answer(&request).unwrap()
}

/// Rekor v1's entry of an envelope, as bundles have it.
fn logged_v1(envelope: &Value, verifier: &str) -> Value {
    let proposed = json!({"kind": "dsse", "spec": {"proposedContent":
        {"envelope": envelope.to_string(), "verifiers": [STANDARD.encode(verifier)]}}});
    let (_, entry) = sigstore().services.log.answer(&proposed).unwrap();
    let (verification, proof) = (&entry["verification"], &entry["verification"]["inclusionProof"]);
    let base64 = |hex: &Value| STANDARD.encode(hex::decode(hex.as_str().unwrap()).unwrap());
    json!({
        "logIndex": entry["logIndex"].to_string(),
        "logId": {"keyId": base64(&entry["logID"])},
        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": entry["integratedTime"].to_string(),
        "inclusionPromise": {"signedEntryTimestamp": verification["signedEntryTimestamp"]},
        "inclusionProof": {
            "logIndex": proof["logIndex"].to_string(),
            "rootHash": base64(&proof["rootHash"]),
            "treeSize": proof["treeSize"].to_string(),
            "hashes": proof["hashes"].as_array().unwrap().iter().map(base64).collect::<Vec<_>>(),
            "checkpoint": {"envelope": proof["checkpoint"]},
        },
        "canonicalizedBody": entry["body"],
    })
}

fn bundled(cell: Cell, wanted: &str) {
    let statement = json!({"_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": wanted.trim_start_matches("sha256:")}, "annotations": {}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {}})
    .to_string();
    let message = format!("DSSEv1 {} {PAYLOAD} {} {statement}", PAYLOAD.len(), statement.len());
    let signed = signed(cell, message.as_bytes());
    let envelope = json!({"payload": STANDARD.encode(&statement), "payloadType": PAYLOAD,
        "signatures": [{"sig": STANDARD.encode(&signed.signature)}]});
    let key = public_key(cell);
    let spki: String = key.lines().filter(|line| !line.starts_with("--")).collect();
    let hint = STANDARD.encode(Sha256::digest(STANDARD.decode(spki).unwrap()));
    let mut material = json!({"publicKey": {"hint": hint}});
    match cell.witness {
        Witness::RekorV1 => material["tlogEntries"] = json!([logged_v1(&envelope, &key)]),
        Witness::RekorV2 => material["tlogEntries"] = json!([logged_v2(cell, &signed, message.as_bytes())]),
        Witness::Tsa | Witness::Nothing => {}
    }
    if matches!(cell.witness, Witness::RekorV2 | Witness::Tsa) {
        let stamp = STANDARD.encode(sigstore().services.timestamps.stamp(&signed.signature));
        material["timestampVerificationData"] = json!({"rfc3161Timestamps": [{"signedTimestamp": stamp}]});
    }
    let bundle = json!({"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}).to_string();
    let repository = cell.repository();
    registry().put_blob(&repository, bundle.as_bytes());
    registry().put_blob(&repository, b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE,
        "config": descriptor(EMPTY, b"{}"), "layers": [descriptor(BUNDLE, bundle.as_bytes())],
        "annotations": {"dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"}});
    refer(cell, wanted, manifest, EMPTY);
}

/// Pushes a manifest that refers to the image; where the registry lists none, under the fallback tag too.
fn refer(cell: Cell, wanted: &str, mut manifest: Value, kind: &str) {
    let repository = cell.repository();
    manifest["subject"] = descriptor(OCI_MANIFEST, &registry().manifest(&repository, wanted));
    let text = manifest.to_string();
    put(cell, &digest(text.as_bytes()), &text);
    if cell.form != Form::Referrers {
        let mut entry = descriptor(OCI_MANIFEST, text.as_bytes());
        entry["artifactType"] = json!(kind);
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
        put(cell, &wanted.replace(':', "-"), &index.to_string());
    }
}

fn put(cell: Cell, reference: &str, manifest: &str) {
    let parsed: Value = serde_json::from_str(manifest).unwrap();
    let headers = [("Content-Type", parsed["mediaType"].as_str().unwrap())];
    let target = format!("/v2/{}/manifests/{reference}", cell.repository());
    let answer = http::request(cell.host(), "PUT", &target, &headers, manifest.as_bytes()).unwrap();
    assert_eq!(answer.status, 201, "{target}: {}", answer.text());
}
