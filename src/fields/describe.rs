//! The fields of a file as a table for readers, made from what checks them.

use std::fmt::Write as _;

use super::{Presence, Record, Shape};

/// The rows of a Markdown table: path, what may stand there, whether it must.
#[must_use]
pub fn table(shape: &Shape) -> String {
    let mut rows = String::from("| field | holds | |\n|---|---|---|\n");
    below(shape, "", &mut rows);
    rows
}

fn fields(record: &Record, parent: &str, rows: &mut String) {
    for field in record.fields {
        let path = if parent.is_empty() { field.name.to_owned() } else { format!("{parent}.{}", field.name) };
        let presence = match field.presence {
            Presence::Required => "required",
            Presence::Optional => "",
        };
        let _ = writeln!(rows, "| `{path}` | {} | {presence} |", words(&field.shape));
        below(&field.shape, &path, rows);
    }
}

/// The fields inside a field.
fn below(shape: &Shape, path: &str, rows: &mut String) {
    match shape {
        Shape::Record(record) | Shape::OneOrRecord(_, record) => fields(record, path, rows),
        Shape::List(inner, _) => below(inner, &format!("{path}[]"), rows),
        Shape::OneOrList(_, list) => below(list, path, rows),
        Shape::Table(_, inner) => below(inner, &format!("{path}.NAME"), rows),
        Shape::Text(_)
        | Shape::Quantity(_)
        | Shape::Word(_)
        | Shape::Switch(_)
        | Shape::Flag
        | Shape::Count(_)
        | Shape::Later(_) => {}
    }
}

fn words(shape: &Shape) -> String {
    match shape {
        Shape::Text(_) => "text".to_owned(),
        Shape::Quantity(_) => "text or number".to_owned(),
        Shape::Word(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(" or ")
        }
        Shape::Switch(_) => "`off` or text".to_owned(),
        Shape::Flag => "`true` or `false`".to_owned(),
        Shape::Count(range) if *range.end() == u64::MAX => format!("a number from {}", range.start()),
        Shape::Count(range) => format!("a number from {} to {}", range.start(), range.end()),
        Shape::List(inner, 0) => format!("a list: {}", words(inner)),
        Shape::List(inner, least) => format!("a list, at least {least}: {}", words(inner)),
        Shape::OneOrList(one, list) => format!("{}, or {}", words(one), words(list)),
        Shape::Record(_) => "fields".to_owned(),
        Shape::OneOrRecord(one, _) => format!("{}, or fields", words(one)),
        Shape::Table(_, inner) => format!("by name: {}", words(inner)),
        Shape::Later(help) => format!("not supported yet: {}", help.replace('|', "\\|")),
    }
}
