//! Files become documents with byte-exact places; the same documents pinned.
//!
//! One reader for everything: what is verified here is the tree that is applied, and the pinned text is a rendering that
//! must read as that tree again. Nothing here decides which field names an image, and nothing is dropped in silence.

mod borders;
mod build;
mod entries;
mod json;
pub mod objects;
pub mod parse;
pub mod pin;
mod rewrite;
mod survey;
mod tags;
mod text;
pub mod tree;
mod typing;

pub use objects::{Manifest, objects, unsupported};
pub use parse::{Limits, read, read_text};
pub use pin::{Edit, Pinned, pin};
pub use survey::survey;
pub use tree::{Document, Node, Rules};
