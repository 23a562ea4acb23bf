//! Rekor, both versions: entries in a Merkle tree (RFC 6962), each with its proof and a signed checkpoint.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::authority::{key, now};

type Hash = [u8; 32];

/// The name of Rekor v1, and of its tree.
const ORIGIN: &str = "rekor.example.com - 1193050959916656506";
const NAME: &str = "rekor.example.com";

/// The leaves of a tree.
#[derive(Default)]
struct Tree(Mutex<Vec<Hash>>);

/// Where an entry is, and the proof of it.
struct Place {
    index: usize,
    size: usize,
    root: Hash,
    path: Vec<Hash>,
}

/// Rekor v1: it tells the time, and promises in a signature that an entry will be there.
pub struct Log {
    key: KeyPair,
    tree: Tree,
}

/// Rekor v2: it tells no time, and promises nothing.
pub struct LogV2 {
    key: KeyPair,
    origin: String,
    tree: Tree,
}

impl Tree {
    fn add(&self, body: &str) -> Place {
        let mut leaves = self.0.lock().unwrap();
        leaves.push(hash(&[&[0], body.as_bytes()]));
        let (index, size) = (leaves.len() - 1, leaves.len());
        Place { index, size, root: root(&leaves), path: path(index, &leaves) }
    }
}

fn hash(parts: &[&[u8]]) -> Hash {
    Sha256::digest(parts.concat()).into()
}

/// The largest power of two below `size`.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => hash(&[]),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            hash(&[&[1], &root(left), &root(right)])
        }
    }
}

fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) = match index.checked_sub(left.len()) {
        None => (path(index, left), root(right)),
        Some(index) => (path(index, right), root(left)),
    };
    path.push(other);
    path
}

impl Place {
    /// A checkpoint with the note's signature by `sign`, under this name and hint.
    fn checkpoint(&self, origin: &str, name: &str, hint: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let note = format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root));
        let signature = [&hint[..4], &sign(note.as_bytes())].concat();
        format!("{note}\n\u{2014} {name} {}\n", STANDARD.encode(signature))
    }
}

impl Log {
    pub fn new() -> Self {
        Self { key: key(), tree: Tree::default() }
    }

    pub fn key(&self) -> String {
        self.key.public_key_pem()
    }

    fn id(&self) -> Hash {
        Sha256::digest(self.key.subject_public_key_info()).into()
    }

    /// Adds an entry with this body: where it is, when that was, and the answer of the API with the entry's name.
    pub fn add(&self, body: &str) -> (String, Value) {
        let place = self.tree.add(body);
        let (body, at, id) = (STANDARD.encode(body), now().as_secs(), hex::encode(self.id()));
        let index = place.index;
        let promise = format!(r#"{{"body":"{body}","integratedTime":{at},"logID":"{id}","logIndex":{index}}}"#);
        let sign = |bytes: &[u8]| self.key.sign(bytes).unwrap();
        let name = format!("{:016x}{}", 1193050959916656506_u64, hex::encode(hash(&[b"uuid", body.as_bytes()])));
        let hex = |hashes: &[Hash]| hashes.iter().map(hex::encode).collect::<Vec<_>>();
        let entry = json!({
            "body": body,
            "integratedTime": at,
            "logID": id,
            "logIndex": index,
            "verification": {
                "inclusionProof": {
                    "checkpoint": place.checkpoint(ORIGIN, NAME, &self.id(), sign),
                    "hashes": hex(&place.path),
                    "logIndex": index,
                    "rootHash": hex::encode(place.root),
                    "treeSize": place.size,
                },
                "signedEntryTimestamp": STANDARD.encode(sign(promise.as_bytes())),
            },
        });
        (name, entry)
    }

    /// The answer to a proposed entry; none where its kind is unknown here.
    pub fn answer(&self, proposed: &Value) -> Option<(String, Value)> {
        let spec = &proposed["spec"];
        let spec = match proposed["kind"].as_str()? {
            "hashedrekord" => json!({
                "data": {"hash": {"algorithm": spec["data"]["hash"]["algorithm"], "value": spec["data"]["hash"]["value"]}},
                "signature": {
                    "content": spec["signature"]["content"],
                    "publicKey": {"content": spec["signature"]["publicKey"]["content"]},
                },
            }),
            "dsse" => enveloped(&spec["proposedContent"])?,
            _ => return None,
        };
        Some(self.add(&json!({"apiVersion": "0.0.1", "kind": proposed["kind"], "spec": spec}).to_string()))
    }
}

/// What the log keeps of an envelope.
fn enveloped(proposed: &Value) -> Option<Value> {
    let text = proposed["envelope"].as_str()?;
    let envelope: Value = serde_json::from_str(text).ok()?;
    let payload = STANDARD.decode(envelope["payload"].as_str()?).ok()?;
    let sha256 = |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex::encode(Sha256::digest(bytes))});
    Some(json!({
        "envelopeHash": sha256(text.as_bytes()),
        "payloadHash": sha256(&payload),
        "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": proposed["verifiers"][0]}],
    }))
}

impl LogV2 {
    pub fn new(origin: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Self { key, origin: origin.to_owned(), tree: Tree::default() }
    }

    pub fn key(&self) -> String {
        self.key.public_key_pem()
    }

    /// What tells the log: its name with its key, as signed notes have it.
    fn id(&self) -> Hash {
        hash(&[self.origin.as_bytes(), b"\n\x01", self.key.der_bytes()])
    }

    /// The answer to a request for an entry; none where its kind is unknown here.
    pub fn answer(&self, request: &Value) -> Option<Value> {
        let request = request.get("hashedRekordRequestV002")?;
        let digest = request["digest"].as_str()?;
        let algorithm = match STANDARD.decode(digest).ok()?.len() {
            32 => "SHA2_256",
            48 => "SHA2_384",
            64 => "SHA2_512",
            _ => return None,
        };
        let verifier = &request["signature"]["verifier"];
        let which = ["publicKey", "x509Certificate"].into_iter().find(|name| verifier.get(name).is_some())?;
        let body = json!({
            "apiVersion": "0.0.2",
            "kind": "hashedrekord",
            "spec": {"hashedRekordV002": {
                "data": {"algorithm": algorithm, "digest": digest},
                "signature": {
                    "content": request["signature"]["content"],
                    "verifier": {"keyDetails": verifier["keyDetails"], which: {"rawBytes": verifier[which]["rawBytes"]}},
                },
            }},
        });
        Some(self.add(&body.to_string()))
    }

    /// Adds an entry with this body; the entry, as bundles have it.
    pub fn add(&self, body: &str) -> Value {
        let place = self.tree.add(body);
        let sign = |bytes: &[u8]| self.key.sign(bytes).unwrap();
        json!({
            "logIndex": place.index.to_string(),
            "logId": {"keyId": STANDARD.encode(self.id())},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "integratedTime": "0",
            "inclusionProof": {
                "logIndex": place.index.to_string(),
                "rootHash": STANDARD.encode(place.root),
                "treeSize": place.size.to_string(),
                "hashes": place.path.iter().map(|hash| STANDARD.encode(hash)).collect::<Vec<_>>(),
                "checkpoint": {"envelope": place.checkpoint(&self.origin, &self.origin, &self.id(), sign)},
            },
            "canonicalizedBody": STANDARD.encode(body),
        })
    }
}
