//! The only place where a release is approved.

pub mod release;
