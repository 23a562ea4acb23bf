//! Real servers, started by the test that needs them.

pub mod git_http;
pub mod ssh;
