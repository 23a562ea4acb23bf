//! Defaults, file and environment, one over the other, through `config`. The file reaches it as the tree that was
//! checked, so that no second YAML reader has an opinion of its own.

use config::{Config, ConfigError, Map, Source, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::environment::Override;
use crate::manifest::tree::{Node, Scalar, Typed, Value as TreeValue};

/// What holds where neither file nor environment says anything.
const DEFAULTS: [(&str, &str); 15] = [
    ("listen", "127.0.0.1:8080"),
    ("stateDir", "/var/lib/sealgate"),
    ("discovery.unclassified", "refuse"),
    ("limits.fileBytes", "10MiB"),
    ("limits.files", "50000"),
    ("limits.images", "5000"),
    ("limits.manifestBytes", "4MiB"),
    ("limits.blobBytes", "32MiB"),
    ("limits.signatures", "64"),
    ("limits.imageTimeout", "2m"),
    ("limits.decisionTimeout", "10m"),
    ("render.time", "30s"),
    ("render.memory", "4GiB"),
    ("render.output", "64MiB"),
    ("render.isolation", "best-effort"),
];

/// A file, as the tree that was read from it.
#[derive(Debug, Clone)]
struct Tree(Map<String, Value>);

/// The layers as one value.
pub(super) fn join<T: DeserializeOwned>(file: &Node, overrides: &[Override]) -> Result<T, ConfigError> {
    let mut builder = Config::builder();
    for (path, text) in DEFAULTS {
        builder = builder.set_default(path, text)?;
    }
    builder = builder.add_source(Tree::new(file));
    for Override { path, text } in overrides {
        builder = builder.set_override(path, text.as_str())?;
    }
    builder.build()?.try_deserialize()
}

/// A file that has no defaults and no overrides.
pub(super) fn alone<T: DeserializeOwned>(file: &Node) -> Result<T, ConfigError> {
    Config::builder().add_source(Tree::new(file)).build()?.try_deserialize()
}

impl Tree {
    fn new(root: &Node) -> Self {
        Self(table(root))
    }
}

impl Source for Tree {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// The entries of a mapping; none of anything else, which the schema refused before.
fn table(node: &Node) -> Map<String, Value> {
    node.entries().into_iter().flatten().map(|(key, node)| (key.text.clone(), value(node))).collect()
}

fn value(node: &Node) -> Value {
    let kind = match &node.value {
        TreeValue::Mapping(_) => ValueKind::Table(table(node)),
        TreeValue::Sequence(items) => ValueKind::Array(items.iter().map(value).collect()),
        TreeValue::Scalar(Scalar { typed, .. }) => match typed {
            Typed::Null => ValueKind::Nil,
            Typed::Bool(truth) => ValueKind::Boolean(*truth),
            Typed::String(text) => ValueKind::String(text.clone()),
            // As text: `config` makes the number that the field wants, and no float on the way.
            Typed::Number(number) => ValueKind::String(number.to_string()),
        },
    };
    Value::new(None, kind)
}
