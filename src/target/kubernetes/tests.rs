//! The target against a real API server.

pub(crate) mod builders;
