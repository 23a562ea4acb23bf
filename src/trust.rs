//! The bytes of keys and roots that a policy names. What they are worth is not decided here.

pub mod file;
pub mod kms;
pub mod roots;
pub mod secret;
mod tuf;
pub mod web;

use crate::policy::material::{Held, Material, Unread};

use kms::Kms;
use roots::Roots;

/// Fetches what policies name outside of themselves.
pub struct Trust {
    roots: Roots,
    kms: Kms,
}

impl Trust {
    /// With these roots and key services.
    #[must_use]
    pub fn new(roots: Roots, kms: Kms) -> Self {
        Self { roots, kms }
    }

    /// The roots.
    #[must_use]
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The bytes of a material that is no file.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn fetch(&self, material: &Material) -> Result<Held, Unread> {
        match material {
            Material::File { policy, path } => file::beside(policy, path).map(Held::for_ever).map_err(Unread::Wrong),
            Material::Root(source) => self.roots.root(source).await,
            Material::Kms(_) if self.roots.are_offline() => {
                Err(Unread::Unavailable("no key service is asked offline".to_owned()))
            }
            Material::Kms(reference) => self.kms.key(reference).await.map(Held::for_ever).map_err(Unread::Unavailable),
            Material::Secret { namespace, name, entry } => {
                let read = secret::entry(namespace, name, entry).await;
                read.map(Held::for_ever).map_err(Unread::Unavailable)
            }
        }
    }
}
