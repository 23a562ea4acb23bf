//! The bytes of keys and roots that a policy names. What they are worth is not decided here.

pub mod file;
pub mod roots;
pub mod secret;
mod tuf;
pub mod web;

use crate::policy::material::{Held, Material, Unread};

use roots::Roots;

/// Fetches what policies name outside of themselves.
pub struct Trust {
    roots: Roots,
}

impl Trust {
    /// With these roots.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self { roots }
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
        }
    }
}
