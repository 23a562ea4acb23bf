//! What a policy names that lies outside of it: keys and trust roots, as bytes that the caller hands in.

use jiff::Timestamp;

/// Something that a policy names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Material {
    /// A file; a relative path is relative to the policy's folder.
    File {
        /// The policy file's name.
        policy: String,
        /// The path as written there.
        path: String,
    },
    /// An entry of a secret in the cluster.
    Secret {
        /// The secret's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The entry.
        entry: String,
    },
    /// A public key that a key management service holds, by its reference.
    Kms(String),
    /// A sigstore trusted root that is kept up to date through TUF.
    Root(RootSource),
}

/// A TUF repository with a sigstore trusted root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RootSource {
    /// The one of the configuration; the public-good one, where that names none.
    Default,
    /// A mirror that the policy names.
    Tuf {
        /// Its URL.
        mirror: String,
        /// The TUF root with which trust in it begins; the public-good one, where none is named.
        initial: Option<Vec<u8>>,
    },
}

/// The bytes of a material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Until when they may be relied on; for ever, where none.
    pub good_until: Option<Timestamp>,
}

/// Why there are no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// What the policy names is not there.
    Wrong(String),
    /// It could not be asked for: another time it may be there.
    Unavailable(String),
}

/// Fetches the bytes of a material.
pub type Read<'a> = &'a dyn Fn(&Material) -> Result<Held, Unread>;

impl Held {
    /// Bytes that may be relied on for ever.
    #[must_use]
    pub fn for_ever(bytes: Vec<u8>) -> Self {
        Self { bytes, good_until: None }
    }
}

/// A reader of files alone, from one that is given the policy file's name and the path as written there.
pub fn files(read: impl Fn(&str, &str) -> Result<Vec<u8>, String>) -> impl Fn(&Material) -> Result<Held, Unread> {
    move |material| match material {
        Material::File { policy, path } => read(policy, path).map(Held::for_ever).map_err(Unread::Wrong),
        Material::Root(_) | Material::Secret { .. } | Material::Kms(_) => {
            Err(Unread::Unavailable("only files are read here".to_owned()))
        }
    }
}
