//! Debian's docker-registry on a free port of loopback, with its storage in a folder, and a small client that pushes
//! to it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::http::{self, Answer};
use super::process::program;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// Runs the registry until the pipe on its standard input closes, and takes a folder with it: also where the process
/// that started it ends without a word. By then nobody reads what the shell would say of the registry's end.
const KEEPER: &str = r#""$1" serve "$2" & exec 2>/dev/null; read -r _; kill $!; wait $!; [ -z "$3" ] || rm -rf "$3""#;

/// A running registry; it ends with this value, or with this process.
pub struct RegistryServer {
    /// `127.0.0.1:PORT`.
    pub host: String,
    keeper: Child,
    pipe: Option<ChildStdin>,
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ended = self.keeper.wait();
    }
}

/// `sha256:…` of bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// A descriptor of bytes.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

impl RegistryServer {
    /// Starts one in this folder; `leave` names a folder to remove at the end.
    pub fn start(folder: &Path, leave: Option<&Path>) -> Self {
        let data = folder.join("data");
        let settings = json!({"version": 0.1, "log": {"level": "info"}, "http": {"addr": "127.0.0.1:0", "secret": "test"},
            "storage": {"filesystem": {"rootdirectory": data}, "delete": {"enabled": true}}});
        let file = folder.join("registry.yml");
        std::fs::write(&file, settings.to_string()).unwrap();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(program("TEST_DOCKER_REGISTRY", "docker-registry"))
            .arg(&file)
            .arg(leave.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = keeper.stdin.take();
        let mut lines = BufReader::new(keeper.stderr.take().unwrap()).lines();
        let told = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split(['"', '\\']).next()?.to_owned())
        });
        // The log has to be read on, or the registry stops at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { host: told.unwrap(), keeper, pipe }
    }

    #[track_caller]
    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8], expected: u16) -> Answer {
        let answer = http::request(&self.host, method, target, headers, body).unwrap();
        assert_eq!(answer.status, expected, "{method} {target}: {}", answer.text());
        answer
    }

    /// Pushes a blob; its digest.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let begun = self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"", 202);
        let place = begun.header("location").unwrap();
        let target = place.split_once(&self.host).unwrap().1;
        let digest = digest(bytes);
        let octets = [("Content-Type", "application/octet-stream")];
        self.send("PUT", &format!("{target}&digest={digest}"), &octets, bytes, 201);
        digest
    }

    /// Puts a manifest by tag or digest; its digest.
    pub fn put_manifest(&self, repository: &str, reference: &str, manifest: &[u8]) -> String {
        let parsed: Value = serde_json::from_slice(manifest).unwrap();
        let headers = [("Content-Type", parsed["mediaType"].as_str().unwrap())];
        self.send("PUT", &format!("/v2/{repository}/manifests/{reference}"), &headers, manifest, 201);
        digest(manifest)
    }

    /// The bytes of a manifest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Vec<u8> {
        let accept = [("Accept", OCI_MANIFEST), ("Accept", OCI_INDEX)];
        self.send("GET", &format!("/v2/{repository}/manifests/{reference}"), &accept, b"", 200).body
    }

    /// The bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Vec<u8> {
        self.send("GET", &format!("/v2/{repository}/blobs/{digest}"), &[], b"", 200).body
    }

    /// Pushes an image without layers, told apart by `text`; its digest.
    pub fn push(&self, repository: &str, tag: &str, text: &str) -> String {
        let config = json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": []}})
        .to_string();
        self.put_blob(repository, config.as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
            "annotations": {"text": text}, "config": descriptor(OCI_CONFIG, config.as_bytes())})
        .to_string();
        self.put_manifest(repository, tag, manifest.as_bytes())
    }

    /// Pushes an index of these manifests, the first for amd64 and the second for arm64; its digest.
    pub fn push_index(&self, repository: &str, tag: &str, leaves: [&str; 2]) -> String {
        let entry = |digest: &str, architecture: &str| {
            json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": self.manifest(repository, digest).len(),
                "platform": {"os": "linux", "architecture": architecture}})
        };
        let manifests = [entry(leaves[0], "amd64"), entry(leaves[1], "arm64")];
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string();
        self.put_manifest(repository, tag, index.as_bytes())
    }
}

/// The tag under which cosign keeps the signatures of a digest.
pub fn signature_tag(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}
