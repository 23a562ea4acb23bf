//! Which fields name images: the pod shape, known kinds, the user's rules, and what none of them claims.

pub mod site;
