//! Servers and builders that the tests share.

pub mod fake_registry;
pub mod git_http;
pub mod kube;
pub mod ssh;
pub mod token_server;
