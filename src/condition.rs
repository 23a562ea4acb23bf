//! Conditions: what an attestation must say, as expressions in CEL, compiled when a policy is loaded.
//!
//! An expression may come from one person and the data from another, and neither may hold up or exhaust the gate. So
//! the language is parsed here, to a bounded depth, and evaluated step by step: every step costs, and what costs more
//! than a [`Meter`] holds is a failure. So is every error. No clock is read, nothing is fetched, and no function has an
//! effect. (The crates for CEL know no cost, and their parsers need a hundred kilobytes of stack for each bracket.)

mod compile;
mod evaluate;
mod functions;
mod lex;
mod licence;
mod operators;
mod parse;
mod reports;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

pub use compile::CompileError;

/// The cost that the conditions on one attestation may reach together. A step is an operation on one value, or on a few
/// bytes of a text; that many take a fraction of a second.
pub const MAX_COST: u64 = 5_000_000;

/// A compiled expression. Two are equal when their texts are.
#[derive(Clone)]
pub struct Expression {
    text: String,
    root: Arc<tree::Node>,
}

/// What an expression can see.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// What the attestation says.
    pub predicate: &'a serde_json::Value,
    /// The whole statement.
    pub statement: &'a serde_json::Value,
    /// The image: `name`, `registry`, `repository`, `digest`, `pinned`.
    pub image: &'a serde_json::Value,
    /// The time of the question.
    pub now: Timestamp,
}

/// What evaluating may still cost.
#[derive(Debug, Clone, Copy)]
pub struct Meter(u64);

/// Why an expression has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It costs more than it may.
    #[error("evaluating it costs more than the limit allows")]
    Costly,
    /// It cannot be evaluated on this data.
    #[error("{0}")]
    Wrong(String),
}

impl Expression {
    /// Compiles an expression. Names, functions and their arguments are checked here, so that a slip of the pen is an
    /// error in the policy, not a refusal.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        Ok(Self { text: text.to_owned(), root: Arc::new(compile::compile(text)?) })
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// When it gives no truth value, or costs too much.
    pub fn holds(&self, scope: &Scope<'_>, meter: &mut Meter) -> Result<bool, Failure> {
        evaluate::truth(&self.root, scope, meter)
    }
}

impl Meter {
    /// As much as the conditions on one attestation may cost together.
    #[must_use]
    pub fn full() -> Self {
        Self(MAX_COST)
    }

    /// Pays for some steps.
    fn spend(&mut self, steps: usize) -> Result<(), Failure> {
        let left = u64::try_from(steps).ok().and_then(|steps| self.0.checked_sub(steps));
        // Nothing that comes later is cheaper: what was left is forfeited.
        self.0 = left.unwrap_or(0);
        left.map(drop).ok_or(Failure::Costly)
    }

    /// Pays for looking at, or making, a text of this length.
    fn spend_text(&mut self, bytes: usize) -> Result<(), Failure> {
        self.spend(bytes.div_ceil(16))
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::full()
    }
}

impl Failure {
    fn wrong(message: impl Into<String>) -> Self {
        Self::Wrong(message.into())
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Expression({:?})", self.text)
    }
}
