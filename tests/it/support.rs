//! Servers and builders that the tests share.

pub mod fake_registry;
pub mod git;
pub mod git_http;
pub mod http;
pub mod kube;
pub mod process;
pub mod referrers;
pub mod registry_server;
pub mod signing;
pub mod sigstore;
pub mod ssh;
pub mod token_server;
pub mod tuf;
pub mod world;
