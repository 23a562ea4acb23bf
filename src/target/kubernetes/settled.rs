//! What was found right, and at which version: the memory that spares requests.
//!
//! An object counts as right only for the very content that was sent, so that what another revision wishes is never taken
//! for granted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::plan::{Id, Item};

/// The objects that were found to be as they should be; shared with the watches.
#[derive(Debug, Clone, Default)]
pub(super) struct Settled(Arc<Mutex<BTreeMap<Id, Right>>>);

/// An object that is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Right {
    /// The version at which it is.
    version: String,
    /// The hash of what was sent.
    hash: String,
    /// The images that were verified in it.
    images: BTreeSet<String>,
    /// The images in it that nobody verified, where these are only told.
    foreign: BTreeSet<String>,
}

impl Settled {
    /// Takes note that an object is right at this version.
    pub(super) fn note(&self, item: &Item, version: String, foreign: BTreeSet<String>) {
        let right = Right { version, hash: item.hash.clone(), images: item.images.clone(), foreign };
        self.lock().insert(item.id.clone(), right);
    }

    /// Nothing is known about this object any more.
    pub(super) fn forget(&self, id: &Id) {
        self.lock().remove(id);
    }

    /// The version at which an object has just this content; none where that is not known.
    pub(super) fn version(&self, item: &Item) -> Option<String> {
        self.lock().get(&item.id).filter(|right| right.is_of(item)).map(|right| right.version.clone())
    }

    /// The images that nobody verified and that are only told, each with its object.
    pub(super) fn foreign(&self) -> Vec<(String, String)> {
        let rights = self.lock();
        let images = |(id, right): (&Id, &Right)| {
            let object = id.to_string();
            right.foreign.iter().map(|image| (object.clone(), image.clone())).collect::<Vec<_>>()
        };
        rights.iter().flat_map(images).collect()
    }

    /// Whether an object is right at this version, whatever its content.
    pub(super) fn is_at(&self, id: &Id, version: &str) -> bool {
        self.lock().get(id).is_some_and(|right| right.version == version)
    }

    /// The objects that this holds for.
    pub(super) fn ids(&self, which: impl Fn(&Id) -> bool) -> Vec<Id> {
        self.lock().keys().filter(|id| which(id)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Right>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Right {
    fn is_of(&self, item: &Item) -> bool {
        self.hash == item.hash && self.images == item.images
    }
}
