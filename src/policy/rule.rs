//! Rules: for which images and where, and what is demanded there.

use super::glob::{NamespacePattern, Pattern};
use super::requirement::{Demand, Requirement};
use crate::image::Repository;

/// A rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) images: Vec<Pattern>,
    /// The namespaces it is narrowed to.
    pub(super) namespaces: Option<Vec<NamespacePattern>>,
    /// What it demands, under its policy's and its own name.
    pub(super) requirement: Requirement,
    /// What it demands besides.
    pub(super) more: Vec<Requirement>,
}

impl Rule {
    /// All that it demands; never nothing.
    pub(super) fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        std::iter::once(&self.requirement).chain(&self.more)
    }

    /// Whether it is about this image, wherever that runs.
    pub(super) fn names(&self, repository: &Repository) -> bool {
        self.images.iter().any(|pattern| pattern.matches(repository))
    }

    /// Whether it holds in this namespace. Where that is unknown, what a narrowed rule demands holds, and what it allows
    /// does not.
    pub(super) fn holds_in(&self, namespace: Option<&str>) -> bool {
        match (&self.namespaces, namespace) {
            (None, _) => true,
            (Some(patterns), Some(name)) => patterns.iter().any(|pattern| pattern.matches(name)),
            (Some(_), None) => self.demands_something(),
        }
    }

    fn demands_something(&self) -> bool {
        match self.requirement.demand {
            Demand::Signatures(_) | Demand::Attestation(_) => true,
            Demand::Unsigned | Demand::Excepted(_) => false,
        }
    }
}
