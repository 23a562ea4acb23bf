//! An authority for timestamps (RFC 3161): `openssl ts` with a certificate of the tests' own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rcgen::{CustomExtension, IsCa, Issuer, KeyUsagePurpose};

use super::authority::{authority, key};

/// The extended key usage for timestamps alone, which has to be critical.
const USAGE: ([u64; 4], [u8; 12]) =
    ([2, 5, 29, 37], [0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08]);

pub struct Timestamps {
    folder: PathBuf,
    chain: String,
    /// The next number; openssl keeps it in a file.
    turn: Mutex<u64>,
}

impl Timestamps {
    /// Writes what openssl needs into a folder of its own.
    pub fn new(folder: &Path) -> Self {
        let folder = folder.join("tsa");
        std::fs::create_dir(&folder).unwrap();
        let (params, root_key) = (authority("timestamps root", 0), key());
        let root_pem = params.self_signed(&root_key).unwrap().pem();
        let root = Issuer::new(params, root_key);
        let (mut params, leaf_key) = (authority("timestamps", 0), key());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let mut usage = CustomExtension::from_oid_content(&USAGE.0, USAGE.1.to_vec());
        usage.set_criticality(true);
        params.custom_extensions.push(usage);
        let leaf_pem = params.signed_by(&leaf_key, &root).unwrap().pem();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("leaf.pem", &leaf_pem);
        write("leaf.key", &leaf_key.serialize_pem());
        write("tsa.cnf", SETTINGS);
        Self { folder, chain: leaf_pem + &root_pem, turn: Mutex::new(1) }
    }

    /// The certificate that signs, and the root's.
    pub fn chain(&self) -> String {
        self.chain.clone()
    }

    /// The answer to a request, both in DER.
    pub fn answer(&self, request: &[u8]) -> Vec<u8> {
        let mut turn = self.turn.lock().unwrap();
        *turn += 1;
        std::fs::write(self.folder.join("serial"), format!("{:08X}", *turn)).unwrap();
        std::fs::write(self.folder.join("query"), request).unwrap();
        self.openssl(&["-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply"]);
        std::fs::read(self.folder.join("reply")).unwrap()
    }

    /// A timestamp of these bytes: an answer without a request from outside.
    pub fn stamp(&self, bytes: &[u8]) -> Vec<u8> {
        use sha2::{Digest as _, Sha256};
        // TimeStampReq: version 1, the imprint, no nonce, the certificate wanted.
        let head = [
            0x30, 0x39, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
            0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
        ];
        self.answer(&[&head[..], &Sha256::digest(bytes), &[0x01, 0x01, 0xff]].concat())
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .arg("ts")
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    }
}

const SETTINGS: &str = "[tsa]
default_tsa = here
[here]
serial = serial
signer_cert = leaf.pem
signer_key = leaf.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.57264.2
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
";
