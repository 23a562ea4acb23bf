//! Servers and builders that the tests share.

pub mod fake_registry;
pub mod token_server;
