//! How verdicts are put together.
