//! A release that may be applied. Only `gate` makes one; a target accepts nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::discovery::site::Object;
use crate::image::Digest;
use crate::reason::Place;
use crate::snapshot::Revision;

/// The manifests of one revision, every image in them pinned to a digest that was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovedRelease {
    gate: String,
    revision: Revision,
    files: Vec<ReleaseFile>,
    objects: Vec<ReleaseObject>,
    digests: BTreeSet<Digest>,
    pins: BTreeMap<String, Digest>,
}

/// One file of a release, pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFile {
    /// Its path, relative to the gate's path.
    pub path: Arc<str>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// One object of a release, pinned.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseObject {
    /// What it is called.
    pub object: Arc<Object>,
    /// What is sent.
    pub json: serde_json::Value,
    /// The file it stands in.
    pub file: Arc<str>,
    /// Which document of the file, from 0.
    pub document: usize,
    /// Where it begins.
    pub place: Place,
    /// The image references in it that were verified, as the pinned object writes them.
    pub images: BTreeSet<String>,
}

impl ApprovedRelease {
    pub(super) fn new(
        gate: String,
        revision: Revision,
        files: Vec<ReleaseFile>,
        objects: Vec<ReleaseObject>,
        images: BTreeMap<String, Digest>,
    ) -> Self {
        let digests = images.values().copied().collect();
        Self { gate, revision, files, objects, digests, pins: images }
    }

    /// A release that nothing approved, for tests of targets.
    #[cfg(test)]
    pub(crate) fn for_test(
        gate: &str,
        revision: Revision,
        files: Vec<ReleaseFile>,
        objects: Vec<ReleaseObject>,
    ) -> Self {
        Self::new(gate.to_owned(), revision, files, objects, BTreeMap::new())
    }

    /// The gate that approved it.
    #[must_use]
    pub fn gate(&self) -> &str {
        &self.gate
    }

    /// The revision.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The files, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[ReleaseFile] {
        &self.files
    }

    /// The objects, in the order of the files.
    #[must_use]
    pub fn objects(&self) -> &[ReleaseObject] {
        &self.objects
    }

    /// What each verified reference was resolved to, by its canonical form: what another replica needs to pin alike.
    #[must_use]
    pub fn pins(&self) -> &BTreeMap<String, Digest> {
        &self.pins
    }

    /// The same release with these pins, for tests of targets.
    #[cfg(test)]
    pub(crate) fn with_pins(mut self, pins: BTreeMap<String, Digest>) -> Self {
        self.pins = pins;
        self
    }

    /// The digests that were verified.
    #[must_use]
    pub fn digests(&self) -> &BTreeSet<Digest> {
        &self.digests
    }
}
