//! JSON files by JSON's own rules: `serde_json` says whether a text is JSON, and what our reader made of it must be
//! what `serde_json` makes of it.

use serde_json::{Number, Value};

use super::text::Text;
use super::tree::{Document, Node, Typed, Value as Content};
use crate::reason::{ErrorCode, Place, Problem};

/// Reads the text as exactly one JSON value.
pub(super) fn strict(text: &Text<'_>) -> Result<Value, Problem> {
    serde_json::from_str(text.text).map_err(|error| {
        let place = column_in_characters(text.text, error.line(), error.column());
        Problem::new(ErrorCode::YamlInvalid, format!("the file is no JSON: {error}"))
            .at(place)
            .with_help("mend the JSON; one file holds one value")
    })
}

/// Whether our reader saw the same value.
pub(super) fn agrees(documents: &[Document], value: &Value) -> Result<(), Problem> {
    let same = match documents {
        [] => value.is_null(),
        [document] => same(&document.root, value),
        [_, _, ..] => false,
    };
    if same {
        return Ok(());
    }
    let place = documents.first().map_or(Place { line: 1, column: 1 }, |document| document.root.place);
    Err(Problem::new(ErrorCode::YamlInvalid, "the file reads differently as JSON and as YAML")
        .at(place)
        .with_help("write it without escapes in keys, or as YAML"))
}

fn same(node: &Node, value: &Value) -> bool {
    match (&node.value, value) {
        (Content::Scalar(scalar), value) => match (&scalar.typed, value) {
            (Typed::Null, Value::Null) => true,
            (Typed::Bool(ours), Value::Bool(theirs)) => ours == theirs,
            (Typed::Number(ours), Value::Number(theirs)) => same_number(ours, theirs),
            (Typed::String(ours), Value::String(theirs)) => ours == theirs,
            (Typed::Null | Typed::Bool(_) | Typed::Number(_) | Typed::String(_), _) => false,
        },
        (Content::Sequence(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Content::Mapping(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, node)| theirs.get(&key.text).is_some_and(|theirs| same(node, theirs)))
        }
        (Content::Sequence(_) | Content::Mapping(_), _) => false,
    }
}

/// `1.0` and `1` are one number.
fn same_number(ours: &Number, theirs: &Number) -> bool {
    ours == theirs || (theirs.is_f64() && ours.as_f64() == theirs.as_f64())
}

/// `serde_json` counts columns in bytes.
fn column_in_characters(text: &str, line: usize, column: usize) -> Place {
    let source = text.split('\n').nth(line.saturating_sub(1)).unwrap_or("");
    let before = source.bytes().take(column.saturating_sub(1));
    let characters = before.filter(|b| b & 0xC0 != 0x80).count();
    Place { line, column: characters.saturating_add(1) }
}
