//! The integration tests: one binary, real servers and fakes for what real ones will not do.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    unreachable_pub,
    dead_code,
    reason = "support code of tests: a panic is a failed test"
)]

mod registry;
mod support;
