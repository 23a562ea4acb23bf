//! Files become documents with byte-exact places; the same documents pinned.

pub mod tree;
