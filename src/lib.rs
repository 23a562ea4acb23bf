//! Sealgate: a `GitOps` deploy gate. What runs was verified.
//!
//! ```text
//! Revision ─source→ Snapshot{files} ─manifest→ Vec<Document> ─discovery→ Vec<Site{ImageRef}>
//!   ImageRef ─registry.resolve→ PinnedImage ─verify→ Verdict::{Verified(VerifiedImage) | Refused | Undecided}
//!   Vec<Document> + {ImageRef: Verdict} ─gate→ Decision::{Pass(ApprovedRelease) | Refuse | Undecided}
//!   ApprovedRelease ─target→ Vec<Outcome> ─→ Report ─→ metrics · HTTP · log · CLI
//! ```

// Words: pure data.
pub mod artifact;
pub mod condition;
pub mod image;
pub mod outcome;
pub mod push;
pub mod reason;
pub mod signer;
pub mod snapshot;

// Stages: pure functions.
pub mod discovery;
pub mod fields;
pub mod gate;
pub mod manifest;
pub mod policy;
pub mod report;
pub mod verify;

// Edges: input and output.
pub mod http;
pub mod metrics;
pub mod notify;
pub mod registry;
pub mod render;
pub mod settings;
pub mod source;
pub mod store;
pub mod target;
pub mod telemetry;
pub mod trigger;
pub mod trust;

// Orchestration.
pub mod assembly;
pub mod cli;
pub mod daemon;
pub mod demo;
pub mod pipeline;
