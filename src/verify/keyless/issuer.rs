//! A sigstore of the tests' own: an authority that issues certificates, the log of certificates and the log of
//! signatures, as Fulcio, its CT log and Rekor v1 write them. What it makes is marked `forged`: no real signer did.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};

use crate::image::Digest;
use crate::signer::PublicKey;
use crate::signer::root::TrustRoot;
use crate::verify::fixtures::{BUNDLE, STATEMENT};

pub(in crate::verify) const ISSUER: &str = "https://token.example.com";
pub(in crate::verify) const SUBJECT: &str = "https://example.com/acme/app/release.yml@refs/tags/v1";
/// Inside the certificates' day of life, 2025-11-01.
pub(in crate::verify) const SIGNED_AT: i64 = 1_761_955_200 + 3_600;
const TREE: &str = "rekor.example.com";
const START: &str = "2025-01-01T00:00:00Z";

/// Everything that a trusted root names.
pub(in crate::verify) struct Sigstore {
    authority: Issuer<'static, KeyPair>,
    authority_der: Vec<u8>,
    certificate_log: KeyPair,
    log: KeyPair,
}

/// What is to be issued and logged; each part can be made wrong.
#[derive(Clone)]
pub(in crate::verify) struct Wish {
    pub(in crate::verify) issuer: Option<&'static str>,
    pub(in crate::verify) subject: &'static str,
    pub(in crate::verify) further: Option<&'static str>,
    pub(in crate::verify) usage: ExtendedKeyUsagePurpose,
    pub(in crate::verify) certificate_logged: bool,
    pub(in crate::verify) signed_at: i64,
    /// Further extensions of Fulcio's: the last number, and the content.
    pub(in crate::verify) claims: Vec<(u64, Vec<u8>)>,
}

/// A key with a certificate for it.
pub(in crate::verify) struct Certificate {
    key: KeyPair,
    pub(in crate::verify) der: Vec<u8>,
    pub(in crate::verify) pem: String,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            issuer: Some(ISSUER),
            subject: SUBJECT,
            further: None,
            usage: ExtendedKeyUsagePurpose::CodeSigning,
            certificate_logged: true,
            signed_at: SIGNED_AT,
            claims: Vec::new(),
        }
    }
}

impl Sigstore {
    pub(in crate::verify) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2036, 1, 1);
        let key = KeyPair::generate().unwrap();
        let authority_der = params.self_signed(&key).unwrap().der().to_vec();
        let authority = Issuer::new(params, key);
        Self { authority, authority_der, certificate_log: key_pair(), log: key_pair() }
    }

    /// The trusted root, as a value to be changed.
    pub(in crate::verify) fn root_value(&self) -> Value {
        let log = |name: &str, key: &KeyPair| {
            json!({
                "baseUrl": format!("https://{name}"),
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(key.subject_public_key_info()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": START},
                },
                "logId": {"keyId": STANDARD.encode(id(key))},
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(TREE, &self.log)],
            "certificateAuthorities": [{
                "subject": {"organization": "example", "commonName": "authority"},
                "uri": "https://fulcio.example.com",
                "certChain": {"certificates": [{"rawBytes": STANDARD.encode(&self.authority_der)}]},
                "validFor": {"start": START},
            }],
            "ctlogs": [log("ct.example.com", &self.certificate_log)],
        })
    }

    pub(in crate::verify) fn root(&self) -> TrustRoot {
        TrustRoot::from_json(self.root_value().to_string().as_bytes()).unwrap()
    }

    /// Issues a certificate for a new key.
    pub(in crate::verify) fn issue(&self, wish: &Wish) -> Certificate {
        let key = key_pair();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = |name: &str| {
            if name.contains("://") {
                SanType::URI(name.try_into().unwrap())
            } else {
                SanType::Rfc822Name(name.try_into().unwrap())
            }
        };
        params.subject_alt_names = [wish.subject].into_iter().chain(wish.further).map(name).collect();
        params.serial_number = Some(SerialNumber::from_slice(&[1, 2, 3, 4]));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![wish.usage.clone()];
        params.not_before = date_time_ymd(2025, 11, 1);
        params.not_after = date_time_ymd(2025, 11, 2);
        if let Some(issuer) = wish.issuer {
            // As it stands there, for old readers, and as a UTF8String.
            let text = utf8_string(issuer);
            for (last, content) in [(1, issuer.as_bytes().to_vec()), (8, text)] {
                let oid = [1, 3, 6, 1, 4, 1, 57264, 1, last];
                params.custom_extensions.push(CustomExtension::from_oid_content(&oid, content));
            }
        }
        for (last, content) in &wish.claims {
            let oid = [1, 3, 6, 1, 4, 1, 57264, 1, *last];
            params.custom_extensions.push(CustomExtension::from_oid_content(&oid, content.clone()));
        }
        if wish.certificate_logged {
            let unlogged = params.signed_by(&key, &self.authority).unwrap();
            let list = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
            let promise = self.promise(signed_part(unlogged.der()), wish.signed_at);
            params.custom_extensions.push(CustomExtension::from_oid_content(&list, promise));
        }
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        Certificate { key, der: certificate.der().to_vec(), pem: certificate.pem() }
    }

    /// RFC 6962, section 3.3: the list of one signed timestamp over a certificate without it.
    fn promise(&self, certificate: &[u8], at: i64) -> Vec<u8> {
        let time = u64::try_from(at).unwrap().saturating_mul(1000).to_be_bytes();
        let length = u32::try_from(certificate.len()).unwrap().to_be_bytes();
        let authority = Digest::of(&self.authority.key().subject_public_key_info());
        let signed = [&[0, 0], time.as_slice(), &[0, 1], authority.raw(), &length[1..], certificate, &[0, 0]].concat();
        let signature = self.certificate_log.sign(&signed).unwrap();
        let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let timestamp = [&[0], id(&self.certificate_log).as_slice(), &time, &[0, 0, 4, 3], &sized(&signature)].concat();
        let list = sized(&sized(&timestamp));
        // One of fewer than 128 bytes, which it always is, has its length in one.
        assert!(list.len() < 0x80);
        [&[4, u8::try_from(list.len()).unwrap()], list.as_slice()].concat()
    }

    /// An entry of the log, with its promise and with its proof in a tree of one.
    pub(in crate::verify) fn entry(&self, kind: &str, body: &Value, at: i64) -> Value {
        let body = body.to_string();
        let encoded = STANDARD.encode(&body);
        let root = Digest::of(&[&[0], body.as_bytes()].concat());
        let note = format!("{TREE} - 1\n1\n{}\n", STANDARD.encode(root.raw()));
        let signature = [&id(&self.log)[..4], &self.log.sign(note.as_bytes()).unwrap()].concat();
        json!({
            "logIndex": "0",
            "logId": {"keyId": STANDARD.encode(id(&self.log))},
            "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": at.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": self.set(&encoded, at)},
            "inclusionProof": {
                "logIndex": "0", "rootHash": STANDARD.encode(root.raw()), "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": format!("{note}\n— {TREE} {}\n", STANDARD.encode(signature))},
            },
            "canonicalizedBody": encoded,
        })
    }

    /// Rekor's promise over an entry's body.
    pub(in crate::verify) fn set(&self, body: &str, at: i64) -> String {
        let log = hex::encode(id(&self.log));
        let signed = format!(r#"{{"body":"{body}","integratedTime":{at},"logID":"{log}","logIndex":0}}"#);
        STANDARD.encode(self.log.sign(signed.as_bytes()).unwrap())
    }

    /// The annotation that cosign 2 writes for an entry.
    pub(in crate::verify) fn annotation(&self, body: &Value, at: i64) -> Value {
        let body = STANDARD.encode(body.to_string());
        json!({
            "SignedEntryTimestamp": self.set(&body, at),
            "Payload": {"body": body, "integratedTime": at, "logIndex": 0, "logID": hex::encode(id(&self.log))},
        })
    }

    /// A whole bundle about `statement`.
    pub(in crate::verify) fn bundle(&self, wish: &Wish, statement: &Value) -> Value {
        let certificate = self.issue(wish);
        let material = json!({"certificate": {"rawBytes": STANDARD.encode(&certificate.der)}});
        let (payload, signature) = envelope(&certificate.key, statement);
        self.assembled(material, &certificate.pem, (&payload, &signature), wish.signed_at)
    }

    /// A bundle that a key made, in the log; with the key.
    pub(in crate::verify) fn by_key(&self, statement: &Value) -> (PublicKey, Value) {
        let pair = key_pair();
        let key = PublicKey::from_spki(&pair.subject_public_key_info()).unwrap();
        let (payload, signature) = envelope(&pair, statement);
        let material = json!({"publicKey": {"hint": key.hint()}});
        (key, self.assembled(material, &pair.public_key_pem(), (&payload, &signature), SIGNED_AT))
    }

    fn assembled(&self, mut material: Value, verifier: &str, signed: (&[u8], &[u8]), at: i64) -> Value {
        let (payload, signature) = signed;
        let hash = |bytes: &[u8]| json!({"algorithm": "sha256", "value": Digest::of(bytes).hex()});
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": hash(b"envelope"),
            "payloadHash": hash(payload),
            "signatures": [{"signature": STANDARD.encode(signature), "verifier": STANDARD.encode(verifier)}],
        }});
        material["tlogEntries"] = json!([self.entry("dsse", &body, at)]);
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": material,
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": STANDARD.encode(signature)}],
            },
        })
    }
}

/// The kinds of entries in which Rekor v1 keeps attestations.
#[derive(Debug, Clone, Copy)]
pub(in crate::verify) enum Entry {
    /// `dsse` 0.0.1, as cosign 2 sends it.
    Dsse,
    /// `intoto` 0.0.2, on `--rekor-entry-type intoto`.
    Intoto,
}

impl Sigstore {
    /// An envelope around `statement`, the certificate that made it, and the body of its entry.
    pub(in crate::verify) fn envelope(&self, wish: &Wish, statement: &Value, kind: Entry) -> (Value, String, Value) {
        let certificate = self.issue(wish);
        let (payload, signature) = envelope(&certificate.key, statement);
        let (sig, verifier) = (STANDARD.encode(&signature), STANDARD.encode(&certificate.pem));
        let envelope = json!({
            "payloadType": "application/vnd.in-toto+json",
            "payload": STANDARD.encode(&payload),
            "signatures": [{"keyid": "", "sig": sig}],
        });
        let hash = |bytes: &[u8]| json!({"algorithm": "sha256", "value": Digest::of(bytes).hex()});
        let whole = hash(envelope.to_string().as_bytes());
        let body = match kind {
            Entry::Dsse => json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
                "envelopeHash": whole, "payloadHash": hash(&payload),
                "signatures": [{"signature": sig, "verifier": verifier}],
            }}),
            Entry::Intoto => json!({"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": {
                "envelope": {
                    "payloadType": "application/vnd.in-toto+json",
                    "signatures": [{"publicKey": verifier, "sig": STANDARD.encode(&sig)}],
                },
                "hash": whole, "payloadHash": hash(&payload),
            }}}),
        };
        (envelope, certificate.pem, body)
    }
}

impl Certificate {
    pub(in crate::verify) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).unwrap()
    }
}

/// The body of the entry that cosign 2 sends for a simple-signing payload.
pub(in crate::verify) fn hashed(payload: &[u8], signature: &[u8], verifier: &str) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": Digest::of(payload).hex()}},
        "signature": {
            "content": STANDARD.encode(signature),
            "publicKey": {"content": STANDARD.encode(verifier)},
        },
    }})
}

/// A statement that cosign attests rather than signs.
pub(in crate::verify) fn attestation(digest: Digest) -> Value {
    json!({
        "_type": STATEMENT,
        "subject": [{"digest": {"sha256": digest.hex()}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
    })
}

fn envelope(key: &KeyPair, statement: &Value) -> (Vec<u8>, Vec<u8>) {
    let payload = statement.to_string().into_bytes();
    let mut message = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).into_bytes();
    message.extend_from_slice(&payload);
    let signature = key.sign(&message).unwrap();
    (payload, signature)
}

/// A short text as a `UTF8String` in DER.
pub(in crate::verify) fn utf8_string(text: &str) -> Vec<u8> {
    [&[0x0c, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn key_pair() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// What tells a log: the SHA-256 of its key.
fn id(key: &KeyPair) -> [u8; 32] {
    *Digest::of(&key.subject_public_key_info()).raw()
}

/// The part of a certificate that is signed: the first element inside it.
fn signed_part(certificate: &[u8]) -> &[u8] {
    let (head, _) = length(certificate);
    let inner = &certificate[head..];
    let (head, length) = length(inner);
    &inner[..head + length]
}

/// The bytes of an element's head, and of what follows it.
fn length(element: &[u8]) -> (usize, usize) {
    match element[1] {
        short @ ..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(element[2])),
        _ => (4, usize::from(element[2]) * 256 + usize::from(element[3])),
    }
}
