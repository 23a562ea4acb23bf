//! An expression as it is evaluated: every name resolved, every function known.

use jiff::Timestamp;
use regex::Regex;

use super::functions::Function;

/// A part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Constant(Constant),
    Variable(Variable),
    /// The variable of an enclosing loop, by its depth.
    Local(usize),
    List(Vec<Node>),
    /// A list that is written out whole: borrowed, so that going through it again and again costs nothing.
    Written(Vec<serde_json::Value>),
    Map(Vec<(String, Node)>),
    Select(Box<Node>, String),
    /// Whether a member is there.
    Has(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    /// Joined by `&&`.
    All(Vec<Node>),
    /// Joined by `||`.
    Any(Vec<Node>),
    Choose(Box<Node>, Box<Node>, Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Pattern),
    Loop(Box<Loop>),
}

/// What is written out.
#[derive(Debug, Clone)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    /// `timestamp("…")` of a text that is written out.
    Time(Timestamp),
}

/// The names that every expression knows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Variable {
    Predicate,
    Statement,
    Image,
    Now,
}

/// Operators that look at both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A regular expression, and what a byte of text costs it.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    pub(super) cost: usize,
}

/// A macro over the items of a list, or the keys of a map.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) kind: Kind,
    pub(super) range: Node,
    /// Which items count; `map` alone has one beside its body.
    pub(super) filter: Option<Node>,
    pub(super) body: Node,
}

/// The macros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}
