//! Whether what a registry holds proves what a policy demands. Never fetches, reads no clock.

pub mod verdict;
