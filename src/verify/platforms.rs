//! Which digests of an image a rule wants signed.

use std::collections::BTreeMap;

use crate::image::{Digest, Leaf, PinnedImage, Platform};
use crate::policy::requirement::Platforms;
use crate::reason::{Finding, Reason};

/// Most leaves of one index that are asked about, since each costs requests of its own.
const MAX_LEAVES: usize = 128;
/// The media types of indexes: such an image has leaves, even where none is listed.
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// A digest that must be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) digest: Digest,
    /// What it is inside its index; none for the image as it is pinned.
    pub(super) leaf: Option<String>,
}

/// The digests of `image` that must be signed, each once; or what is wrong with the image itself.
///
/// A leaf that is an index again counts as one digest, which fixes all that it lists, as the pinned one does.
pub(super) fn wanted(image: &PinnedImage, platforms: &Platforms) -> Result<Vec<Wanted>, Finding> {
    let itself = || Ok(vec![Wanted { digest: image.digest, leaf: None }]);
    match platforms {
        Platforms::Index => itself(),
        Platforms::AllLeaves if image.leaves.is_empty() => itself(),
        Platforms::AllLeaves => each(image.leaves.iter()),
        Platforms::Only(_) if image.leaves.is_empty() && !INDEXES.contains(&image.media_type.as_str()) => itself(),
        Platforms::Only(platforms) => {
            all_listed(image, platforms)?;
            each(image.leaves.iter().filter(|leaf| may_run(leaf, platforms)))
        }
    }
}

fn each<'a>(leaves: impl Iterator<Item = &'a Leaf>) -> Result<Vec<Wanted>, Finding> {
    let mut named: BTreeMap<Digest, String> = BTreeMap::new();
    for leaf in leaves {
        let name = leaf.platform.as_ref().map_or_else(|| "no platform".to_owned(), Platform::to_string);
        named.entry(leaf.digest).or_insert(name);
    }
    if named.is_empty() {
        return Err(Finding::new(Reason::PlatformNotSigned, "the index lists no image that could be verified"));
    }
    if named.len() > MAX_LEAVES {
        let message = format!("the index lists {} images to be verified; at most {MAX_LEAVES} are", named.len());
        return Err(Finding::new(Reason::LimitExceeded, message));
    }
    Ok(named.into_iter().map(|(digest, name)| Wanted { digest, leaf: Some(name) }).collect())
}

fn all_listed(image: &PinnedImage, platforms: &[Platform]) -> Result<(), Finding> {
    let listed = |wanted: &Platform| image.leaves.iter().any(|leaf| is(leaf, wanted));
    let missing: Vec<String> =
        platforms.iter().filter(|wanted| !listed(wanted)).map(|wanted| format!("`{wanted}`")).collect();
    if missing.is_empty() && !platforms.is_empty() {
        return Ok(());
    }
    let message = format!("the index lists no image for {}", missing.join(", "));
    let help = "build and sign the image for every platform that the rule lists, or shorten the list";
    Err(Finding::new(Reason::PlatformNotSigned, message).with_help(help))
}

/// Whether a node of one of these platforms might run the leaf. One that names no platform might run anywhere.
fn may_run(leaf: &Leaf, platforms: &[Platform]) -> bool {
    leaf.platform.is_none() || platforms.iter().any(|wanted| is(leaf, wanted))
}

fn is(leaf: &Leaf, wanted: &Platform) -> bool {
    let Some(found) = leaf.platform.as_ref().map(usual) else { return false };
    let sought = usual(wanted);
    // A variant counts only when the rule names one.
    let variant = wanted.variant.is_none() || sought.variant == found.variant;
    sought.os == found.os && sought.architecture == found.architecture && variant
}

/// A platform in the words that container runtimes turn other spellings into. Without this, an index could list an
/// unsigned `linux/x86_64` before the signed `linux/amd64`, and a node would run the first.
fn usual(platform: &Platform) -> Platform {
    let os = match platform.os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    };
    let architecture = platform.architecture.to_ascii_lowercase();
    let variant = platform.variant.as_deref().map(str::to_ascii_lowercase).filter(|variant| !variant.is_empty());
    let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
        ("i386", _) => ("386", None),
        ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
        ("x86_64" | "x86-64", other) => ("amd64", other),
        ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
        ("aarch64", other) => ("arm64", other),
        ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        (other, variant) => (other, variant),
    };
    Platform { os, architecture: architecture.to_owned(), variant: variant.map(str::to_owned) }
}
