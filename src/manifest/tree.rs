//! The tree of a document: every scalar with its type as Kubernetes reads it, its byte range and its style.

use std::ops::Range;
use std::sync::Arc;

use crate::discovery::site::Step;
use crate::reason::Place;

/// By whose rules a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rules {
    /// YAML, as Kubernetes reads it.
    Yaml,
    /// JSON.
    Json,
}

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file's path.
    pub file: Arc<str>,
    /// Which document of the file, from 0.
    pub index: usize,
    /// The document's content.
    pub root: Node,
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Its bytes in the file; for an alias, the bytes of the anchored node.
    pub span: Range<usize>,
    /// Where it begins, a scalar's quote included.
    pub place: Place,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A scalar.
    Scalar(Scalar),
    /// A sequence.
    Sequence(Vec<Node>),
    /// A mapping, in the order of the file, merge keys resolved; keys are distinct.
    Mapping(Vec<(Key, Node)>),
}

/// The key of a mapping's entry. Every key is a string, as JSON's are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// A scalar.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// Its typed value.
    pub typed: Typed,
    /// How it is written.
    pub style: Style,
}

/// A scalar's value, as Kubernetes' own reader types it.
#[derive(Debug, Clone, PartialEq)]
pub enum Typed {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A string.
    String(String),
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single quotes.
    SingleQuoted,
    /// In double quotes; every JSON string too.
    DoubleQuoted,
    /// A literal block (`|`).
    Literal,
    /// A folded block (`>`).
    Folded,
}

impl Node {
    /// The entry of a mapping under this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()?.iter().find(|(name, _)| name.text == key).map(|(_, node)| node)
    }

    /// The node at the end of these steps; none behind the border of a string.
    #[must_use]
    pub fn at(&self, route: &[Step]) -> Option<&Self> {
        route.iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key),
            Step::Index(index) => node.items()?.get(*index),
            Step::Inside(..) => None,
        })
    }

    /// The entries, where this is a mapping.
    #[must_use]
    pub fn entries(&self) -> Option<&[(Key, Self)]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            Value::Scalar(_) | Value::Sequence(_) => None,
        }
    }

    /// The items, where this is a sequence.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            Value::Scalar(_) | Value::Mapping(_) => None,
        }
    }

    /// The string, where this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar { typed: Typed::String(text), .. }) => Some(text),
            Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { typed: Typed::Null, .. }))
    }

    /// The tree as JSON: what is sent to Kubernetes.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar(scalar) => match &scalar.typed {
                Typed::Null => serde_json::Value::Null,
                Typed::Bool(truth) => (*truth).into(),
                Typed::Number(number) => number.clone().into(),
                Typed::String(text) => text.clone().into(),
            },
            Value::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => serde_json::Value::Object(
                entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect(),
            ),
        }
    }
}
