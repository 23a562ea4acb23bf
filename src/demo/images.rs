//! The demo's image store: one OCI image layout for each repository, so that other tools can read it and add to it.
//! Tags are the layout's reference names.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::signer::Signed;
use crate::image::Digest;

/// Largest file that is served, in bytes: the demo's own have a few hundred.
const MAX_FILE: u64 = 64 << 20;
/// Where an index keeps a manifest's tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The folder of all repositories.
#[derive(Debug, Clone)]
pub(super) struct Images {
    root: PathBuf,
}

/// How a manifest is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Tag(String),
    Digest(Digest),
}

/// Bytes that are held, and what they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Vec<Value>,
}

impl Images {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Adds an image whose one layer holds one small text.
    pub(super) fn push(&self, repository: &str, tag: &str, text: &str) -> io::Result<Digest> {
        let layer = self.keep(repository, LAYER, &tar("hello.txt", text.as_bytes()))?;
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [layer.get("digest")] },
        });
        let config = self.keep(repository, CONFIG, config.to_string().as_bytes())?;
        self.keep_manifest(repository, tag, &config, &layer)
    }

    /// Adds a signature where cosign looks for it: under the tag `sha256-….sig`.
    pub(super) fn attach(&self, repository: &str, image: &Digest, signed: &Signed) -> io::Result<()> {
        let mut layer = self.keep(repository, SIMPLE_SIGNING, &signed.payload)?;
        if let Some(layer) = layer.as_object_mut() {
            layer.insert("annotations".to_owned(), json!({ "dev.cosignproject.cosign/signature": signed.signature }));
        }
        let config = json!({
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [layer.get("digest")] },
        });
        let config = self.keep(repository, CONFIG, config.to_string().as_bytes())?;
        self.keep_manifest(repository, &format!("sha256-{}.sig", image.hex()), &config, &layer).map(drop)
    }

    fn keep_manifest(&self, repository: &str, tag: &str, config: &Value, layer: &Value) -> io::Result<Digest> {
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
        let bytes = manifest.to_string().into_bytes();
        let mut descriptor = self.keep(repository, MANIFEST, &bytes)?;
        if let Some(descriptor) = descriptor.as_object_mut() {
            descriptor.insert("annotations".to_owned(), json!({ REF_NAME: tag }));
        }
        let mut index = self.index(repository)?;
        index.manifests.retain(|known| !has_tag(known, tag));
        index.manifests.push(descriptor);
        let folder = self.root.join(repository);
        fs::write(folder.join("index.json"), serde_json::to_vec_pretty(&index)?)?;
        fs::write(folder.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
        Ok(Digest::of(&bytes))
    }

    /// Writes a blob, and gives its descriptor.
    fn keep(&self, repository: &str, media_type: &str, bytes: &[u8]) -> io::Result<Value> {
        let digest = Digest::of(bytes);
        let path = self.blob_path(repository, &digest);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
    }

    /// The manifest of this name, where there is one.
    pub(super) fn manifest(&self, repository: &str, name: &Name) -> io::Result<Option<Held>> {
        let digest = match name {
            Name::Digest(digest) => Some(*digest),
            Name::Tag(tag) => {
                let index = self.index(repository)?;
                let found = index.manifests.iter().find(|known| has_tag(known, tag));
                found.and_then(|known| known.get("digest")?.as_str()?.parse().ok())
            }
        };
        let Some(digest) = digest else { return Ok(None) };
        let Some(bytes) = read(&self.blob_path(repository, &digest))? else { return Ok(None) };
        // A blob that does not say that it is a manifest is none.
        let media_type = serde_json::from_slice(&bytes).ok().and_then(|manifest: Value| {
            let written = manifest.get("mediaType")?.as_str()?;
            Some(written.to_owned())
        });
        Ok(media_type.map(|media_type| Held { media_type, digest, bytes }))
    }

    /// The blob with this digest, where there is one.
    pub(super) fn blob(&self, repository: &str, digest: &Digest) -> io::Result<Option<Held>> {
        let bytes = read(&self.blob_path(repository, digest))?;
        let media_type = "application/octet-stream".to_owned();
        Ok(bytes.map(|bytes| Held { media_type, digest: *digest, bytes }))
    }

    fn index(&self, repository: &str) -> io::Result<Index> {
        match read(&self.root.join(repository).join("index.json"))? {
            Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
            None => Ok(Index { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests: Vec::new() }),
        }
    }

    fn blob_path(&self, repository: &str, digest: &Digest) -> PathBuf {
        self.root.join(repository).join("blobs/sha256").join(digest.hex())
    }
}

fn has_tag(descriptor: &Value, tag: &str) -> bool {
    let written = descriptor.get("annotations").and_then(|annotations| annotations.get(REF_NAME));
    written.and_then(Value::as_str) == Some(tag)
}

/// The file's bytes; none where there is no file.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if length > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{length} bytes are too many")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// An archive with one file, byte for byte the same each time.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    // The header's sum is taken with spaces in the sum's own place.
    let blank = tar_header(name, content.len(), "        ");
    let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
    let mut archive = tar_header(name, content.len(), &format!("{sum:06o}\0 "));
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
    // Two empty blocks end it.
    archive.resize(archive.len().saturating_add(1024), 0);
    archive
}

fn tar_header(name: &str, size: usize, sum: &str) -> Vec<u8> {
    let mut header = name.as_bytes().to_vec();
    header.resize(100, 0);
    // Mode, owner, group, size, time, sum, kind.
    header.extend(format!("0000644\x000000000\x000000000\x00{size:011o}\x0000000000000\x00{sum}0").bytes());
    header.resize(257, 0);
    header.extend(b"ustar\x0000");
    header.resize(512, 0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_by_tag_and_by_digest() {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::new(dir.path().to_owned());
        let first = images.push("shop/web", "1.0", "one").unwrap();
        let second = images.push("shop/web", "1.1", "two").unwrap();
        for (tag, digest) in [("1.0", first), ("1.1", second)] {
            let held = images.manifest("shop/web", &Name::Tag(tag.to_owned())).unwrap().unwrap();
            assert_eq!((held.media_type.as_str(), held.digest), (MANIFEST, digest));
            assert_eq!(Digest::of(&held.bytes), digest);
            assert_eq!(images.manifest("shop/web", &Name::Digest(digest)).unwrap().unwrap(), held);
        }
        for (repository, tag) in [("shop/web", "2"), ("shop/none", "1.0")] {
            assert_eq!(images.manifest(repository, &Name::Tag(tag.to_owned())).unwrap(), None);
        }
    }

    #[test]
    fn a_layer_is_no_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::new(dir.path().to_owned());
        images.push("web", "1", "one").unwrap();
        let layer = Digest::of(&tar("hello.txt", b"one"));
        assert_eq!(images.manifest("web", &Name::Digest(layer)).unwrap(), None);
        assert_eq!(images.blob("web", &layer).unwrap().unwrap().digest, layer);
    }

    #[test]
    fn the_archive_is_whole_blocks_with_a_true_sum() {
        let archive = tar("hello.txt", b"Hello\n");
        assert_eq!(archive.len(), 512 * 4);
        let written = std::str::from_utf8(&archive[148..154]).unwrap();
        let sum: u32 = archive[..512]
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        assert_eq!(u32::from_str_radix(written, 8).unwrap(), sum);
        assert_eq!(&archive[156..157], b"0");
    }
}
