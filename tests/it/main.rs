//! The integration tests: one binary, real servers, and fakes for what real ones will not do.
#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "support code of tests: a failure is a panic that names its line"
)]

mod architecture;
mod attestations;
mod browser;
mod changes;
mod ci;
mod cli;
mod conformance;
mod daemon;
mod dashboards;
mod demo;
mod deploy;
mod discovery;
mod docs;
mod gate;
mod history;
mod hooks;
mod http;
mod init;
mod keys;
mod kubernetes;
mod load;
mod matrix;
mod notify;
mod pin;
mod policy;
mod registry;
mod render;
mod settings;
mod sigstore;
mod source;
mod support;
mod tuf;
mod yaml_go;
