//! The bytes of keys and roots that a policy names. What they are worth is not decided here.

pub mod file;
pub mod secret;
