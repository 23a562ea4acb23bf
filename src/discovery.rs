//! Which fields name images: the pod shape, known kinds, the user's rules, and what none of them claims.
//!
//! Every place that is seen becomes a site, those that are left alone included, so that a reader can tell what was looked
//! at. Nothing inside a manifest can take itself out: no annotation, label or name.

mod catalogue;
mod claim;
mod guess;
pub mod path;
mod pod;
mod rules;
mod search;
pub mod site;
mod split;
#[cfg(test)]
mod tests;
mod text;

pub use catalogue::is_known;
pub use rules::{FieldRule, Rules, SplitKeys, Unclassified, settling_line};
pub use search::discover;
