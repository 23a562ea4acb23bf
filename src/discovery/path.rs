//! Paths into documents, as users and the catalogue write them and as reports show them:
//! `spec.containers[*].image`, `metadata.annotations["a.b/c"]`, `data["app.yaml"](yaml).image`.

use std::fmt::Write;

use super::site::Step;
use crate::manifest::{Node, Rules};

/// Longest path that is read, in bytes.
const MAX_PATH: usize = 1024;

/// A path that may name many fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    parts: Vec<Part>,
}

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// `.key` or `["key"]`.
    Key(String),
    /// `.*`: every key of a mapping.
    EveryKey,
    /// `[3]`.
    Index(usize),
    /// `[*]`: every item of a sequence.
    EveryItem,
    /// `(yaml)` or `(json)`: into the text of a string, all its documents.
    Inside(Rules),
}

/// A node to which a pattern leads.
pub(super) struct Reached<'d> {
    /// The node: a field, or the string into which the rest leads.
    pub(super) node: &'d Node,
    /// The steps to it.
    pub(super) route: Vec<Step>,
    /// What is left of the pattern, where the node is a string to be read.
    pub(super) inside: Option<(Rules, Pattern)>,
}

impl Pattern {
    /// Reads a path.
    ///
    /// # Errors
    /// When it is none; the message says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_PATH {
            return Err(format!("a path has 1 to {MAX_PATH} bytes, such as `spec.image`"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, after) = next_part(rest, parts.is_empty()).ok_or_else(|| {
                format!("`{text}` is no path at `{rest}`: write `spec.items[*].image` or `data[\"a.b\"]`")
            })?;
            parts.push(part);
            rest = after;
        }
        match parts.last() {
            Some(Part::Inside(_)) => Err(format!("`{text}` ends at the border of a text: say which field in it")),
            Some(Part::Key(_) | Part::EveryKey | Part::Index(_) | Part::EveryItem) | None => Ok(Self { parts }),
        }
    }

    /// Whether it leads into the text of a string.
    pub(super) fn leads_into_text(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Inside(_)))
    }

    /// Everything below this node to which the pattern leads.
    pub(super) fn reach<'d>(&self, node: &'d Node) -> Vec<Reached<'d>> {
        let mut found = Vec::new();
        follow(&self.parts, node, &mut Vec::new(), &mut found);
        found
    }
}

fn follow<'d>(parts: &[Part], node: &'d Node, route: &mut Vec<Step>, found: &mut Vec<Reached<'d>>) {
    let Some((part, rest)) = parts.split_first() else {
        found.push(Reached { node, route: route.clone(), inside: None });
        return;
    };
    let mut go = |step: Step, child: &'d Node| {
        route.push(step);
        follow(rest, child, route, found);
        route.pop();
    };
    match part {
        Part::Key(key) => {
            if let Some(child) = node.get(key) {
                go(Step::Key(key.clone()), child);
            }
        }
        Part::EveryKey => {
            for (key, child) in node.entries().unwrap_or_default() {
                go(Step::Key(key.text.clone()), child);
            }
        }
        Part::Index(index) => {
            if let Some(child) = node.items().and_then(|items| items.get(*index)) {
                go(Step::Index(*index), child);
            }
        }
        Part::EveryItem => {
            for (index, child) in node.items().unwrap_or_default().iter().enumerate() {
                go(Step::Index(index), child);
            }
        }
        Part::Inside(rules) => {
            let inside = Some((*rules, Pattern { parts: rest.to_vec() }));
            found.push(Reached { node, route: route.clone(), inside });
        }
    }
}

fn next_part(text: &str, first: bool) -> Option<(Part, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        return bracketed(rest);
    }
    if let Some(rest) = text.strip_prefix("(yaml)") {
        return Some((Part::Inside(Rules::Yaml), rest));
    }
    if let Some(rest) = text.strip_prefix("(json)") {
        return Some((Part::Inside(Rules::Json), rest));
    }
    let text = if first { text } else { text.strip_prefix('.')? };
    let end = text.find(['.', '[', '(']).unwrap_or(text.len());
    let (key, rest) = text.split_at_checked(end)?;
    if key.is_empty() || key.contains([']', ')', '"', ' ']) {
        return None;
    }
    Some((if key == "*" { Part::EveryKey } else { Part::Key(key.to_owned()) }, rest))
}

fn bracketed(text: &str) -> Option<(Part, &str)> {
    if let Some(rest) = text.strip_prefix("*]") {
        return Some((Part::EveryItem, rest));
    }
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let key = values.next()?.ok()?;
        let rest = text.get(values.byte_offset()..)?.strip_prefix(']')?;
        return Some((Part::Key(key), rest));
    }
    let (digits, rest) = text.split_once(']')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some((Part::Index(digits.parse().ok().filter(|_| plain)?), rest))
}

/// A route as reports show it; as a pattern it leads to the same field.
#[must_use]
pub fn written(route: &[Step]) -> String {
    let mut text = String::new();
    for step in route {
        // Writing into a string cannot fail.
        let _ = match step {
            Step::Key(key) if is_plain(key) && text.is_empty() => write!(text, "{key}"),
            Step::Key(key) if is_plain(key) => write!(text, ".{key}"),
            Step::Key(key) => write!(text, "[{}]", serde_json::Value::from(key.as_str())),
            Step::Index(index) => write!(text, "[{index}]"),
            Step::Inside(Rules::Yaml, _) => write!(text, "(yaml)"),
            Step::Inside(Rules::Json, _) => write!(text, "(json)"),
        };
    }
    text
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_part_by_part() {
        let key = |text: &str| Part::Key(text.to_owned());
        let table = [
            ("spec.image", vec![key("spec"), key("image")]),
            ("a[*].b[12]", vec![key("a"), Part::EveryItem, key("b"), Part::Index(12)]),
            ("spec.*.image", vec![key("spec"), Part::EveryKey, key("image")]),
            (r#"a["b.c/d\"e"].f"#, vec![key("a"), key("b.c/d\"e"), key("f")]),
            (r#"["a b"]"#, vec![key("a b")]),
            (
                r#"data["x.yaml"](yaml).image"#,
                vec![key("data"), key("x.yaml"), Part::Inside(Rules::Yaml), key("image")],
            ),
            ("data.x(json)[0]", vec![key("data"), key("x"), Part::Inside(Rules::Json), Part::Index(0)]),
        ];
        for (text, parts) in table {
            assert_eq!(Pattern::parse(text), Ok(Pattern { parts }), "{text}");
        }
        let bad =
            ["", ".a", "a.", "a..b", "a[", "a[x]", "a[-1]", "a[\"b]", "a]b", "a(yaml)", "a(toml).b", "a b", "a[*]b"];
        for text in bad {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_written_route_is_a_pattern_for_itself() {
        let key = |text: &str| Step::Key(text.to_owned());
        let table = [
            (vec![key("spec"), key("containers"), Step::Index(0), key("image")], "spec.containers[0].image"),
            (vec![key("metadata"), key("a.b/c")], "metadata[\"a.b/c\"]"),
            (vec![key("d"), Step::Inside(Rules::Yaml, 0), key("x")], "d(yaml).x"),
            (vec![key(""), key("é"), key("*")], "[\"\"][\"é\"][\"*\"]"),
        ];
        for (route, text) in table {
            assert_eq!(written(&route), text);
            assert!(Pattern::parse(text).is_ok(), "{text}");
        }
    }
}
