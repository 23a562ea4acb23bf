//! How images are named: references, repositories, digests, platforms.
//!
//! Everything here is parsed once, at the edge, and carried as a proof afterwards. A [`reference::ImageRef`] keeps what
//! was written *and* what it means; a [`PinnedImage`] has no tag, so that after resolving nobody can ask about it again.

pub mod address;
pub mod digest;
pub mod platform;
pub mod reference;

pub use digest::Digest;
pub use platform::Platform;
pub use reference::{Host, ImageRef, Repository, Tag};

/// An image whose reference was resolved: what every later request and check is about.
///
/// It has no tag on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedImage {
    /// Where the manifest lives.
    pub repository: Repository,
    /// The digest of the manifest's bytes, computed by us.
    pub digest: Digest,
    /// Size of the manifest in bytes.
    pub size: u64,
    /// Media type of the manifest, as its bytes and the registry agree on it.
    pub media_type: String,
    /// The platforms that an index lists; empty for a single image manifest.
    pub leaves: Vec<Leaf>,
    /// The mirror that said what the tag names; none where the registry itself said so, or the digest was known.
    pub resolved_by: Option<Host>,
}

/// One platform's image inside an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The digest of that platform's manifest.
    pub digest: Digest,
    /// The platform, when the index names one.
    pub platform: Option<Platform>,
}
