//! Fulcio: certificates of ten minutes for whoever a token names, each with the promise of a log of certificates.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
    SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What stands before the 65 bytes of a P-256 key, wherever it is.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The names of issuer extensions, and of the list of promises.
const FULCIO: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 0];
const PROMISES: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// A root, an authority under it, and the log of what that issued.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    chain: String,
    log: KeyPair,
}

/// The key that somebody asks to have certified.
struct Key(Vec<u8>);

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    pub fn new() -> Self {
        let (root, root_pem) = {
            let (params, key) = (authority("root", 1), key());
            let pem = params.self_signed(&key).unwrap().pem();
            (Issuer::new(params, key), pem)
        };
        let (mut params, key) = (authority("authority", 0), key());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let pem = params.signed_by(&key, &root).unwrap().pem();
        Self { issuer: Issuer::new(params, key), chain: pem + &root_pem, log: self::key() }
    }

    /// The authority's certificate and the root's.
    pub fn chain(&self) -> String {
        self.chain.clone()
    }

    /// The key of the log of certificates.
    pub fn log_key(&self) -> String {
        self.log.public_key_pem()
    }

    /// The certificate in PEM for the P-256 key inside `request`, in DER, and the holder of the token.
    pub fn issue(&self, token: &str, request: &[u8]) -> String {
        let at = request.windows(P256.len()).position(|window| window == P256).expect("a P-256 key");
        let from = at + P256.len();
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        self.certify(&Key(request[from..from + 65].to_vec()), &claims)
    }

    fn certify(&self, key: &Key, claims: &Value) -> String {
        let now = now();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let subject = claims["sub"].as_str().unwrap();
        params.subject_alt_names = vec![match subject.contains("://") {
            true => SanType::URI(subject.try_into().unwrap()),
            false => SanType::Rfc822Name(subject.try_into().unwrap()),
        }];
        params.serial_number = Some(SerialNumber::from_slice(&Sha256::digest(&key.0)[..16]));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(1970, 1, 1) + now;
        params.not_after = params.not_before + Duration::from_secs(600);
        let issuer = claims["iss"].as_str().unwrap().as_bytes();
        let utf8 = [&[0x0c, u8::try_from(issuer.len()).unwrap()], issuer].concat();
        for (last, content) in [(1, issuer.to_vec()), (8, utf8)] {
            let mut name = FULCIO;
            name[8] = last;
            params.custom_extensions.push(CustomExtension::from_oid_content(&name, content));
        }
        let unlogged = params.signed_by(key, &self.issuer).unwrap();
        let promises = self.promises(signed_part(unlogged.der()), now);
        params.custom_extensions.push(CustomExtension::from_oid_content(&PROMISES, promises));
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    /// RFC 6962, section 3.3: the list of one signed timestamp over a certificate without it.
    fn promises(&self, certificate: &[u8], at: Duration) -> Vec<u8> {
        let time = u64::try_from(at.as_millis()).unwrap().to_be_bytes();
        let length = u32::try_from(certificate.len()).unwrap().to_be_bytes();
        let issuer = Sha256::digest(self.issuer.key().subject_public_key_info());
        let signed = [&[0, 0], &time[..], &[0, 1], &issuer, &length[1..], certificate, &[0, 0]].concat();
        let signature = self.log.sign(&signed).unwrap();
        let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let log = Sha256::digest(self.log.subject_public_key_info());
        let timestamp = [&[0], &log[..], &time, &[0, 0, 4, 3], &sized(&signature)].concat();
        let list = sized(&sized(&timestamp));
        [&[4, u8::try_from(list.len()).unwrap()], list.as_slice()].concat()
    }

    /// The answer of the first version of the API: a chain in PEM.
    pub fn answer_v1(&self, token: &str, request: &Value) -> String {
        let pem = STANDARD.decode(request["publicKey"]["content"].as_str().unwrap()).unwrap();
        self.issue(token, &der(&String::from_utf8(pem).unwrap())) + &self.chain
    }

    /// The answer of the second version.
    pub fn answer_v2(&self, token: &str, request: &Value) -> Value {
        let pem = match request["certificateSigningRequest"].as_str() {
            Some(request) => String::from_utf8(STANDARD.decode(request).unwrap()).unwrap(),
            None => request["publicKeyRequest"]["publicKey"]["content"].as_str().unwrap().to_owned(),
        };
        let (authority, root) = self.chain.split_at(self.chain.rfind("-----BEGIN").unwrap());
        let chain = [self.issue(token, &der(&pem)), authority.to_owned(), root.to_owned()];
        json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}})
    }
}

/// What a certificate of an authority says.
pub fn authority(name: &str, depth: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "tests");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

/// A new P-256 key.
pub fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// The bytes of a block of PEM.
pub fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(text).unwrap()
}

/// Since 1970.
pub fn now() -> Duration {
    Duration::from_secs(u64::try_from(jiff::Timestamp::now().as_second()).unwrap())
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
