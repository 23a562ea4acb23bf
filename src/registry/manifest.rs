//! Reading manifests and indexes: strict about what they are, because two readers that disagree run different images.
//!
//! Nothing is parsed before its bytes were hashed, and a manifest's foreign layer URLs are never followed.

use bytes::Bytes;
use oci_distribution::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciImageIndex, OciImageManifest,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::fault::{fault, sanitised};
use crate::artifact::Fault;
use crate::image::{Digest, Leaf, PinnedImage, Platform, Repository};
use crate::reason::Reason;

/// The four kinds of manifest that are asked for, always together: a registry that converts to what is accepted would
/// otherwise answer with other bytes, or not at all.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A manifest whose bytes were hashed.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) digest: Digest,
    pub(super) size: usize,
    pub(super) media_type: String,
    pub(super) body: Body,
}

/// What it is.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// One image, or one artifact.
    Image(Box<OciImageManifest>),
    /// A list of them.
    Index(OciImageIndex),
}

/// The fields that tell what a manifest is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<IgnoredAny>,
    #[serde(default)]
    layers: Option<IgnoredAny>,
    #[serde(default)]
    manifests: Option<IgnoredAny>,
    #[serde(default)]
    fs_layers: Option<IgnoredAny>,
    #[serde(default)]
    history: Option<IgnoredAny>,
}

/// The kinds of manifest.
#[derive(Clone, Copy)]
enum Kind {
    Image,
    Index,
}

/// Reads a manifest. `content_type` is what the registry called it.
///
/// # Errors
/// A message, when it is none, or not clearly one kind.
pub(super) fn read(bytes: &Bytes, content_type: Option<&str>) -> Result<Manifest, String> {
    let shape: Shape = serde_json::from_slice(bytes).map_err(|error| format!("it is no manifest: {error}"))?;
    if shape.schema_version != 2 {
        return Err(format!("schema version {} is not supported", shape.schema_version));
    }
    let media_type = media_type(&shape, content_type)?;
    let kind = match media_type.as_str() {
        OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE => Kind::Image,
        OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE => Kind::Index,
        other => return Err(format!("`{}` is no type of manifest that is supported", sanitised(other))),
    };
    if shape.fs_layers.is_some() || shape.history.is_some() {
        return Err("it has fields of schema 1".to_owned());
    }
    let foreign = match kind {
        Kind::Image => shape.manifests.is_some(),
        Kind::Index => shape.layers.is_some() || shape.config.is_some(),
    };
    if foreign {
        return Err("it reads as an image and as an index".to_owned());
    }
    let wrong = |error: serde_json::Error| format!("it is no well-formed manifest: {error}");
    let body = match kind {
        Kind::Image => Body::Image(Box::new(serde_json::from_slice(bytes).map_err(wrong)?)),
        Kind::Index => Body::Index(serde_json::from_slice(bytes).map_err(wrong)?),
    };
    Ok(Manifest { digest: Digest::of(bytes), size: bytes.len(), media_type, body })
}

/// The one media type that registry and bytes agree on.
fn media_type(shape: &Shape, content_type: Option<&str>) -> Result<String, String> {
    let told = content_type.map(essence).filter(|told| !told.is_empty());
    match (told, &shape.media_type) {
        (Some(told), Some(written)) if told != *written => {
            Err(format!("the registry calls it `{}`, itself `{}`", sanitised(&told), sanitised(written)))
        }
        (_, Some(written)) => Ok(written.clone()),
        (Some(told), None) => Ok(told),
        (None, None) => Err("neither the registry nor the manifest says of which type it is".to_owned()),
    }
}

/// A media type without its parameters, in lower case.
pub(super) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The image that a manifest is.
///
/// # Errors
/// A refusing fault, when an index lists what cannot be checked, or too much.
pub(super) fn pinned(repository: &Repository, manifest: &Manifest, most: usize) -> Result<PinnedImage, Fault> {
    let leaves = match &manifest.body {
        Body::Image(_) => Vec::new(),
        Body::Index(index) => leaves(repository, index, most)?,
    };
    Ok(PinnedImage {
        repository: repository.clone(),
        digest: manifest.digest,
        size: u64::try_from(manifest.size).unwrap_or(u64::MAX),
        media_type: manifest.media_type.clone(),
        leaves,
        resolved_by: None,
    })
}

fn leaves(repository: &Repository, index: &OciImageIndex, most: usize) -> Result<Vec<Leaf>, Fault> {
    if index.manifests.len() > most {
        let message = format!("the index of `{repository}` lists more than {most} manifests");
        return Err(fault(Reason::LimitExceeded, message));
    }
    let malformed = |message: String| fault(Reason::Malformed, format!("the index of `{repository}`: {message}"));
    index.manifests.iter().map(|entry| leaf(entry).map_err(malformed)).collect()
}

fn leaf(entry: &ImageIndexEntry) -> Result<Leaf, String> {
    match entry.media_type.as_str() {
        OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE => {}
        OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE => {
            return Err("it lists another index, and nested ones are not supported".to_owned());
        }
        other => return Err(format!("it lists a `{}`, which is no image", sanitised(other))),
    }
    let digest = entry.digest.parse().map_err(|error| format!("`{}`: {error}", sanitised(&entry.digest)))?;
    let platform = entry.platform.as_ref().map(|platform| Platform {
        os: platform.os.to_string(),
        architecture: platform.architecture.to_string(),
        variant: platform.variant.clone().filter(|variant| !variant.is_empty()),
    });
    Ok(Leaf { digest, platform })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OCI: &str = OCI_IMAGE_MEDIA_TYPE;
    const INDEX: &str = OCI_IMAGE_INDEX_MEDIA_TYPE;
    const CONFIG: &str = r#""config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;

    fn image(fields: &str) -> String {
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI}",{CONFIG},"layers":[]{fields}}}"#)
    }

    fn index(entries: &str) -> String {
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#)
    }

    fn entry(media_type: &str, digest: &str, rest: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":1{rest}}}"#)
    }

    #[test]
    fn a_manifest_is_clearly_one_kind_or_refused() {
        let bare = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[]}}"#);
        let typeless_index = r#"{"schemaVersion":2,"manifests":[]}"#.to_owned();
        let good = [
            (image(""), Some(OCI)),
            (image(""), Some("application/vnd.OCI.image.manifest.v1+json; charset=utf-8")),
            (image(""), None),
            (bare.clone(), Some(OCI)),
            (bare.clone(), Some(IMAGE_MANIFEST_MEDIA_TYPE)),
            (index(""), Some(INDEX)),
            (typeless_index.clone(), Some(INDEX)),
        ];
        for (text, content_type) in good {
            assert!(read(&Bytes::from(text.clone()), content_type).is_ok(), "{text} {content_type:?}");
        }
        let schema1 = r#"{"schemaVersion":1,"name":"x","fsLayers":[],"history":[]}"#.to_owned();
        let prettyjws = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        let bad = [
            (image(""), Some(INDEX)),
            (image(""), Some(IMAGE_MANIFEST_MEDIA_TYPE)),
            (image(""), Some("application/json")),
            (image(r#","manifests":[]"#), Some(OCI)),
            (image(r#","layers":[]"#), Some(OCI)),
            (image(r#","mediaType":"x""#), Some(OCI)),
            (image(r#","fsLayers":[]"#), Some(OCI)),
            (bare.clone(), Some(INDEX)),
            (bare.clone(), None),
            (bare.replace(":2,", ":1,"), Some(OCI)),
            (index("").replace(']', r#"],"layers":[]"#), Some(INDEX)),
            (index("").replace(']', "],").replace(",}", &format!(",{CONFIG}}}")), Some(INDEX)),
            (typeless_index, Some(OCI)),
            (schema1, Some(prettyjws)),
            (String::new(), Some(OCI)),
            ("null".into(), Some(OCI)),
            ("[]".into(), Some(OCI)),
            ("[".repeat(200_000), Some(OCI)),
            (image("") + " {}", Some(OCI)),
        ];
        for (text, content_type) in bad {
            assert!(read(&Bytes::from(text.clone()), content_type).is_err(), "{text:.200} {content_type:?}");
        }
    }

    #[test]
    fn leaves_carry_their_platform_and_strange_entries_refuse_the_index() {
        let digest = Digest::of(b"leaf").to_string();
        let repository = Repository::parse("reg.example.com/app").unwrap();
        let pin = |entries: &str, most| {
            let manifest = read(&Bytes::from(index(entries)), Some(INDEX)).unwrap();
            pinned(&repository, &manifest, most)
        };
        let arm = r#","platform":{"os":"linux","architecture":"arm64","variant":"v8"}"#;
        let entries = [entry(OCI, &digest, arm), entry(IMAGE_MANIFEST_MEDIA_TYPE, &digest, "")].join(",");
        let image = pin(&entries, 2).unwrap();
        assert_eq!(image.leaves[0].platform, Some("linux/arm64/v8".parse().unwrap()));
        assert_eq!(image.leaves[1], Leaf { digest: Digest::of(b"leaf"), platform: None });
        assert_eq!(pin(&entries, 1).unwrap_err().reason, Reason::LimitExceeded);
        for (media_type, digest) in [(INDEX, digest.as_str()), ("x/y", &digest), (OCI, "sha512:00"), (OCI, "sha256:00")]
        {
            assert_eq!(pin(&entry(media_type, digest, ""), 2).unwrap_err().reason, Reason::Malformed);
        }
    }
}
