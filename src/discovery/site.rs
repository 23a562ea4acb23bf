//! The places where image references stand.

use std::sync::Arc;

use serde::Serialize;

use crate::image::reference::{ImageRef, ReferenceError};
use crate::manifest::tree::Rules;
use crate::reason::Place;

/// A place where an image reference stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The file's path.
    pub file: Arc<str>,
    /// Which document of the file, from 0.
    pub document: usize,
    /// Where the scalar begins.
    pub place: Place,
    /// The path inside the document, such as `spec.template.spec.containers[0].image`.
    pub path: String,
    /// The same path as steps, for reading and rewriting the tree.
    pub route: Vec<Step>,
    /// What is done with it.
    pub action: Action,
    /// Which layer found it.
    pub layer: Layer,
    /// The object in which it stands.
    pub object: Arc<Object>,
    /// The reference as it means: of a split field, its parts put together.
    pub written: String,
    /// The reference, or why it is none.
    pub image: Result<ImageRef, ReferenceError>,
    /// How a digest is written into it.
    pub form: Form,
    /// Why it is left alone or left as it is, where somebody said.
    pub reason: Option<Arc<str>>,
    /// Where it is written in the files from which this one was rendered; none where nothing was, or it is not known.
    pub origin: Option<Origin>,
}

/// A place in a file that was rendered into another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file's path.
    pub file: Arc<str>,
    /// Where the scalar begins.
    pub place: Place,
}

/// One step from a node to its child.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The entry of a mapping.
    Key(String),
    /// The item of a sequence.
    Index(usize),
    /// Into a text that is kept in a string: its document with this number, read by these rules.
    Inside(Rules, usize),
}

/// What is done with a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Verified, and the digest written into it.
    Pin,
    /// Verified and left as it is.
    Verify,
    /// Known to be no image that runs, or left out by the user.
    Ignore,
    /// Looks like an image where no field is known.
    Unclassified,
}

/// Which layer found a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The pod shape.
    Pod,
    /// The catalogue of known kinds.
    Catalogue,
    /// The user's own rules.
    Rule,
    /// None: a guess, reported as unclassified.
    Unclassified,
}

/// The Kubernetes object in which a site stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// `apiVersion`, as written.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// The namespace, written or given by default; none where it is unknown.
    pub namespace: Option<String>,
    /// The name; none where only `generateName` is written.
    pub name: Option<String>,
}

/// How a digest is written into a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The scalar is the whole reference, behind this prefix (`docker://`, mostly empty).
    Whole {
        /// What stands before the reference.
        prefix: String,
    },
    /// The scalar at the site's route is the tag (or the digest) of a reference that stands in several fields; the pin
    /// is written into it as `tag@digest`.
    Tag,
    /// No digest can be written here.
    Fixed,
    /// It stands somewhere in the scalar's text, which has no tree.
    Text,
}
