//! Images in a real registry on loopback: forty that are signed by a real cosign, and one that is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sealgate::image::Digest;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::Hung;
use crate::support::kube;

/// How many images are signed.
pub(crate) const SIGNED: usize = 40;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const START: Duration = Duration::from_secs(30);

/// The images, shared by the tests of this binary.
pub(crate) struct Images {
    address: String,
    folder: TempDir,
    digests: Vec<Digest>,
    /// What the tag of one repository has been: two that are signed, and one that is not.
    moving: Vec<(String, Digest)>,
    _registry: Hung,
}

/// The images, made by whoever asks first; none where the parts are missing, and then the test `name` is skipped.
pub(crate) async fn images(name: &str) -> Option<&'static Images> {
    static IMAGES: OnceCell<Result<Images, String>> = OnceCell::const_new();
    match IMAGES.get_or_init(Images::make).await {
        Ok(images) => Some(images),
        Err(why) => {
            kube::skipped(name, why);
            None
        }
    }
}

impl Images {
    async fn make() -> Result<Self, String> {
        let registry = kube::find("TEST_DOCKER_REGISTRY", "docker-registry")?;
        let cosign = kube::find("TEST_COSIGN2", "cosign2")?;
        let folder = TempDir::new().unwrap();
        let (process, address) = serve(&registry, folder.path()).await;
        let mut images = Self { address, folder, digests: Vec::new(), moving: Vec::new(), _registry: process };
        for index in 0..=SIGNED {
            let (_, digest) = images.push(&format!("n{index}"), &index.to_string()).await;
            images.digests.push(digest);
        }
        for version in ["first", "second", "unsigned"] {
            let pushed = images.push("moving", version).await;
            images.moving.push(pushed);
        }
        images.sign(&cosign);
        Ok(images)
    }

    /// A signed image as one writes it.
    pub(crate) fn signed(&self, index: usize) -> String {
        assert!(index < SIGNED);
        self.reference(index)
    }

    /// A signed image as it is pinned.
    pub(crate) fn pinned(&self, index: usize) -> String {
        format!("{}@{}", self.signed(index), self.digests[index])
    }

    /// The image that nobody signed.
    pub(crate) fn unsigned(&self) -> String {
        self.reference(SIGNED)
    }

    /// The registry.
    pub(crate) fn host(&self) -> &str {
        &self.address
    }

    /// The key that the signatures are checked with.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("ci.pub")
    }

    /// An image whose tag moves, as one writes it.
    pub(crate) fn moving(&self) -> String {
        format!("{}/app/moving:1", self.address)
    }

    /// What that tag leads to: 0 and 1 are signed, 2 is not.
    pub(crate) fn moved(&self, version: usize) -> Digest {
        self.moving[version].1
    }

    /// Moves the tag.
    pub(crate) async fn move_tag(&self, version: usize) {
        self.put("moving", &self.moving[version].0).await;
    }

    /// Whether an image is pinned to what was signed; a test may put a door of its own before the registry.
    pub(crate) fn is_verified(&self, image: &str) -> bool {
        let Some((_, path)) = image.split_once('/') else { return false };
        let image = format!("{}/{path}", self.address);
        let moved = |version: usize| format!("{}@{}", self.moving(), self.moving[version].1);
        (0..SIGNED).any(|index| self.pinned(index) == image) || (0..2).any(|version| moved(version) == image)
    }

    fn reference(&self, index: usize) -> String {
        format!("{}/app/n{index}:1", self.address)
    }

    /// Pushes an image that differs from all others; its manifest.
    async fn push(&self, name: &str, label: &str) -> (String, Digest) {
        let client = reqwest::Client::new();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Labels": {"n": label}},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        let config = config.to_string();
        let digest = Digest::of(config.as_bytes());
        let repository = format!("http://{}/v2/app/{name}", self.address);
        let begun = client.post(format!("{repository}/blobs/uploads/")).send().await.unwrap();
        let place = begun.headers()["location"].to_str().unwrap().to_owned();
        let sent = client.put(format!("{place}&digest={digest}")).body(config.clone()).send().await.unwrap();
        assert!(sent.status().is_success(), "{sent:?}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {"mediaType": CONFIG, "digest": digest.to_string(), "size": config.len()},
        });
        let manifest = manifest.to_string();
        self.put(name, &manifest).await;
        let digest = Digest::of(manifest.as_bytes());
        (manifest, digest)
    }

    async fn put(&self, name: &str, manifest: &str) {
        let url = format!("http://{}/v2/app/{name}/manifests/1", self.address);
        let put = reqwest::Client::new().put(url).header("content-type", MANIFEST);
        let sent = put.body(manifest.to_owned()).send().await.unwrap();
        assert!(sent.status().is_success(), "{sent:?}");
    }

    /// Signs all but the last, and all but the last that the moving tag has been.
    fn sign(&self, cosign: &Path) {
        let run = |arguments: &[String]| {
            let done = Command::new(cosign)
                .args(arguments)
                .current_dir(self.folder.path())
                .env("HOME", self.folder.path())
                .env("COSIGN_PASSWORD", "x")
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        run(&["generate-key-pair", "--output-key-prefix", "ci"].map(str::to_owned));
        let mut sign: Vec<String> = ["sign", "--key", "ci.key", "--tlog-upload=false", "-y"].map(str::to_owned).into();
        sign.extend((0..SIGNED).map(|index| format!("{}/app/n{index}@{}", self.address, self.digests[index])));
        sign.extend((0..2).map(|version| format!("{}/app/moving@{}", self.address, self.moving[version].1)));
        run(&sign);
    }
}

/// Starts the registry on a port of its own choice.
async fn serve(program: &Path, folder: &Path) -> (Hung, String) {
    let configuration = json!({
        "version": "0.1", "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": folder.join("data")}},
        "http": {"addr": "127.0.0.1:0", "secret": "test"},
    });
    let file = folder.join("registry.yml");
    fs::write(&file, configuration.to_string()).unwrap();
    let log = folder.join("registry.log");
    let process = Hung::start(program, &["serve".as_ref(), file.as_os_str()], &log);
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
        if let Some((_, rest)) = text.split_once("listening on ")
            && let Some((address, _)) = rest.split_once('"')
        {
            return (process, address.to_owned());
        }
        assert!(began.elapsed() < START, "the registry does not start: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
