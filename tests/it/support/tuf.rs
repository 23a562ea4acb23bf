//! A TUF repository of the tests' own, with a sigstore trusted root as its target, and a server that gives it, or does
//! what a bad one does.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jiff::Timestamp;
use rcgen::{KeyPair, SigningKey as _};
use sealgate::image::Digest;
use serde_json::{Value, json};
use sigstore_tuf::canonical_json::to_canonical_bytes;

/// The hexadecimal SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

/// A key of the repository.
pub enum Key {
    Ed25519(Ed25519KeyPair),
    P256(KeyPair),
}

impl Key {
    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub fn p256() -> Self {
        Self::P256(KeyPair::generate().unwrap())
    }

    fn object(&self) -> Value {
        match self {
            Self::Ed25519(pair) => {
                json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex::encode(pair.public_key())}})
            }
            Self::P256(pair) => {
                json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pair.public_key_pem()}})
            }
        }
    }

    fn id(&self) -> String {
        sha256(&to_canonical_bytes(&self.object()).unwrap())
    }

    fn sign(&self, message: &[u8]) -> Value {
        let sig = match self {
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::P256(pair) => pair.sign(message).unwrap(),
        };
        json!({"keyid": self.id(), "sig": hex::encode(sig)})
    }
}

/// The repository: what its owner knows.
pub struct Repository {
    root: Vec<Key>,
    online: Key,
    /// The versions of root and of all else.
    pub root_version: u64,
    pub version: u64,
    /// When the timestamp ends, and when all else does.
    pub timestamp_ends: Timestamp,
    pub ends: Timestamp,
    pub trusted_root: Vec<u8>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Repository {
    /// The first version, with this trusted root.
    pub fn new(trusted_root: &str) -> Self {
        let now = Timestamp::now();
        let mut new = Self {
            root: vec![Key::p256(), Key::ed25519()],
            online: Key::ed25519(),
            root_version: 1,
            version: 1,
            timestamp_ends: now + Duration::from_hours(24),
            ends: now + Duration::from_hours(24 * 300),
            trusted_root: trusted_root.as_bytes().to_vec(),
            files: BTreeMap::new(),
        };
        let signers: Vec<&Key> = new.root.iter().collect();
        let root = new.root_metadata(&signers);
        new.files.insert("1.root.json".to_owned(), root);
        new.publish();
        new
    }

    /// The root with which trust begins.
    pub fn initial(&self) -> Vec<u8> {
        self.files["1.root.json"].clone()
    }

    fn root_metadata(&self, signers: &[&Key]) -> Vec<u8> {
        let ids = |keys: &[Key]| keys.iter().map(Key::id).collect::<Vec<_>>();
        let online = json!({"keyids": [self.online.id()], "threshold": 1});
        let keys: serde_json::Map<String, Value> =
            self.root.iter().chain([&self.online]).map(|key| (key.id(), key.object())).collect();
        let signed = json!({
            "_type": "root", "spec_version": "1.0", "version": self.root_version, "consistent_snapshot": true,
            "expires": time(self.ends), "keys": keys,
            "roles": {"root": {"keyids": ids(&self.root), "threshold": self.root.len()},
                "timestamp": online, "snapshot": online, "targets": online},
        });
        metadata(&signed, signers)
    }

    /// Other root keys and another online key, signed by the old and the new ones, or by the new ones alone.
    pub fn rotate(&mut self, signed_by_old: bool) {
        let old = std::mem::replace(&mut self.root, vec![Key::ed25519(), Key::p256()]);
        self.online = Key::p256();
        self.root_version += 1;
        let mut signers: Vec<&Key> = self.root.iter().collect();
        if signed_by_old {
            signers.extend(&old);
        }
        let root = self.root_metadata(&signers);
        self.files.insert(format!("{}.root.json", self.root_version), root);
        self.publish();
    }

    /// Signs the current state under the current version.
    pub fn publish(&mut self) {
        let Self { version, .. } = *self;
        let target = self.trusted_root.clone();
        let hash = sha256(&target);
        self.files.insert(format!("targets/{hash}.trusted_root.json"), target.clone());
        let role = |kind: &str, rest: Value, ends: Timestamp| {
            let mut signed = json!({"_type": kind, "spec_version": "1.0", "version": version, "expires": time(ends)});
            signed.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            metadata(&signed, &[&self.online])
        };
        let about =
            |bytes: &[u8]| json!({"version": version, "length": bytes.len(), "hashes": {"sha256": sha256(bytes)}});
        let targets = json!({"targets": {"trusted_root.json": {"length": target.len(), "hashes": {"sha256": hash}}}});
        let targets = role("targets", targets, self.ends);
        let snapshot = role("snapshot", json!({"meta": {"targets.json": about(&targets)}}), self.ends);
        let timestamp = role("timestamp", json!({"meta": {"snapshot.json": about(&snapshot)}}), self.timestamp_ends);
        self.files.insert(format!("{version}.targets.json"), targets);
        self.files.insert(format!("{version}.snapshot.json"), snapshot);
        self.files.insert("timestamp.json".to_owned(), timestamp);
    }
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn metadata(signed: &Value, signers: &[&Key]) -> Vec<u8> {
    let message = to_canonical_bytes(signed).unwrap();
    let signatures: Vec<Value> = signers.iter().map(|key| key.sign(&message)).collect();
    json!({"signed": signed, "signatures": signatures}).to_string().into_bytes()
}

/// What a mirror answers for a file.
#[derive(Clone)]
pub enum Answer {
    Bytes(Vec<u8>),
    /// So many bytes more than anybody wants, without a length.
    Endless,
    /// To another place.
    Redirect(String),
    Status(u16),
}

/// A mirror on loopback, over plain HTTP.
pub struct Mirror {
    pub url: String,
    files: Arc<Mutex<BTreeMap<String, Answer>>>,
    requests: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (files, requests) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicUsize::new(0)));
        let (kept, counted) = (Arc::clone(&files), Arc::clone(&requests));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let (files, heads) = (Arc::clone(&kept), Arc::clone(&told));
                // A client that has enough leaves: that is no failure of ours.
                std::thread::spawn(move || drop(serve(stream, &files, &heads)));
            }
        });
        Self { url, files, requests, heads }
    }

    /// Serves a repository as it is now.
    pub fn serve(&self, repository: &Repository) {
        let files = repository.files.iter().map(|(name, bytes)| (name.clone(), Answer::Bytes(bytes.clone())));
        *self.files.lock().unwrap() = files.collect();
    }

    /// Answers otherwise for one file.
    pub fn answer(&self, name: &str, answer: Answer) {
        self.files.lock().unwrap().insert(name.to_owned(), answer);
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// How many requests came so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(
    mut stream: TcpStream,
    files: &Mutex<BTreeMap<String, Answer>>,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    heads.lock().unwrap().push(head.clone());
    let name = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let answer = files.lock().unwrap().get(&name).cloned().unwrap_or(Answer::Status(404));
    match answer {
        Answer::Bytes(bytes) => {
            let length = bytes.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
            stream.write_all(&bytes)
        }
        Answer::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            for _ in 0..4096 {
                stream.write_all(&[b' '; 4096])?;
            }
            Ok(())
        }
        Answer::Redirect(to) => {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Answer::Status(status) => {
            write!(stream, "HTTP/1.1 {status} Status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
    }
}
