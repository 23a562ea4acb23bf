//! The `images` of a kustomization, with digests: entries are added to, or added, and every other byte stays. It only
//! proposes: whether the folder then renders as it should is for the caller to prove.

use std::fmt::Write as _;

use crate::image::Digest;
use crate::manifest::tree::Value;
use crate::manifest::{Limits, Node, Rules, read_text};

/// An image that is to be pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImagePin {
    /// The name as rendered, without tag and digest.
    pub name: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest that was verified.
    pub digest: Digest,
}

/// Where a digest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Into the entry that makes the image, where there is one.
    Existing,
    /// Into an entry of its own, after all others.
    Appended,
}

/// The text of a kustomization with its images pinned.
///
/// # Errors
/// Where it is written in a way that cannot be added to; says which.
pub(super) fn pinned(text: &str, root: &Node, pins: &[ImagePin], way: Way) -> Result<String, &'static str> {
    let mut edit = Edit { text, end: if text.contains("\r\n") { "\r\n" } else { "\n" }, inserted: Vec::new() };
    let images = root.get("images");
    let mut new = Vec::new();
    for pin in pins {
        let entry = images.filter(|_| way == Way::Existing).and_then(|images| entry_of(images, pin));
        match entry {
            Some(entry) => edit.fill(entry, pin)?,
            None => new.push(pin),
        }
    }
    if !new.is_empty() {
        edit.append(root, images, &new)?;
    }
    Ok(edit.done())
}

/// The entry that makes an image, as far as one can tell without building: the last with its name and no other tag.
fn entry_of<'d>(images: &'d Node, pin: &ImagePin) -> Option<&'d Node> {
    let text = |entry: &'d Node, key: &str| entry.get(key).and_then(Node::as_str);
    let makes = |entry: &&'d Node| {
        let name = text(entry, "newName").or_else(|| text(entry, "name"));
        let tag = text(entry, "newTag");
        name == Some(pin.name.as_str())
            && entry.get("digest").is_none()
            && tag.is_none_or(|tag| pin.tag.as_deref() == Some(tag))
    };
    images.items()?.iter().rev().find(makes)
}

struct Edit<'t> {
    text: &'t str,
    end: &'static str,
    inserted: Vec<(usize, String)>,
}

const ODD: &str = "its `images` are written in a way that cannot be added to";

impl Edit<'_> {
    /// Adds what an entry lacks.
    fn fill(&mut self, entry: &Node, pin: &ImagePin) -> Result<(), &'static str> {
        let mut pairs = Vec::new();
        if let (Some(tag), None) = (&pin.tag, entry.get("newTag")) {
            pairs.push(("newTag", quoted(tag)));
        }
        pairs.push(("digest", pin.digest.to_string()));
        let at = self.last_byte(entry).ok_or(ODD)?;
        if self.is_flow(entry) {
            let text = pairs.iter().fold(String::new(), |text, (key, value)| format!("{text}, {key}: {value}"));
            self.inserted.push((at, text));
            return Ok(());
        }
        let (key, _) = entry.entries().and_then(<[_]>::first).ok_or(ODD)?;
        let indent = " ".repeat(key.place.column.saturating_sub(1));
        let lines: Vec<String> = pairs.iter().map(|(key, value)| format!("{indent}{key}: {value}")).collect();
        self.lines_after(at, &lines);
        Ok(())
    }

    /// Adds entries, and the list where there is none.
    fn append(&mut self, root: &Node, images: Option<&Node>, pins: &[&ImagePin]) -> Result<(), &'static str> {
        let flow: Vec<String> = pins.iter().map(|pin| in_flow(pin)).collect();
        let flow = flow.join(", ");
        let Some(images) = images else { return self.append_list(root, pins, &flow) };
        match images.items() {
            Some([]) => self.inserted.push((images.span.start.saturating_add(1), flow)),
            Some([.., last]) if self.is_flow(images) => {
                let at = self.last_byte(last).ok_or(ODD)?;
                self.inserted.push((if self.is_flow(last) { last.span.end } else { at }, format!(", {flow}")));
            }
            Some([.., last]) => {
                let indent = self.dash(last).ok_or(ODD)?;
                let at = if self.is_flow(last) { last.span.end } else { self.last_byte(last).ok_or(ODD)? };
                let lines: Vec<String> = pins.iter().flat_map(|pin| in_block(pin, indent)).collect();
                self.lines_after(at, &lines);
            }
            None => return Err(ODD),
        }
        Ok(())
    }

    fn append_list(&mut self, root: &Node, pins: &[&ImagePin], flow: &str) -> Result<(), &'static str> {
        if self.is_flow(root) {
            let at = self.last_byte(root).ok_or(ODD)?;
            self.inserted.push((at, format!(", images: [{flow}]")));
            return Ok(());
        }
        if self.text.lines().any(|line| line.starts_with("...")) {
            return Err("it ends with `...`, behind which nothing can be added");
        }
        let indent = " ".repeat(root.place.column.saturating_sub(1));
        let entries = pins.iter().flat_map(|pin| in_block(pin, indent.len()));
        let lines: Vec<String> = std::iter::once(format!("{indent}images:")).chain(entries).collect();
        self.lines_after(self.text.len(), &lines);
        Ok(())
    }

    /// Adds whole lines behind the line of this byte.
    fn lines_after(&mut self, at: usize, lines: &[String]) {
        let rest = self.text.get(at..).unwrap_or_default();
        let begun = self.text.get(..at).is_some_and(|before| !before.is_empty() && !before.ends_with('\n'));
        let (at, mut text) = match rest.find('\n') {
            Some(newline) if begun => (at.saturating_add(newline).saturating_add(1), String::new()),
            None if begun => (self.text.len(), self.end.to_owned()),
            Some(_) | None => (at, String::new()),
        };
        // A file without a last newline has none afterwards.
        let last = if text.is_empty() { self.end } else { "" };
        // Writing into a string cannot fail.
        let _ = write!(text, "{}{last}", lines.join(self.end));
        self.inserted.push((at, text));
    }

    /// The byte behind the last scalar in a node, or behind its closing bracket's content.
    fn last_byte(&self, node: &Node) -> Option<usize> {
        match &node.value {
            Value::Scalar(_) => Some(node.span.end),
            Value::Sequence(items) => items.last().map_or(Some(node.span.end), |last| self.end_of(last)),
            Value::Mapping(entries) => entries.last().map_or(Some(node.span.end), |(_, last)| self.end_of(last)),
        }
    }

    fn end_of(&self, node: &Node) -> Option<usize> {
        if self.is_flow(node) { Some(node.span.end) } else { self.last_byte(node) }
    }

    fn is_flow(&self, node: &Node) -> bool {
        let bracket = match node.value {
            Value::Scalar(_) => return false,
            Value::Sequence(_) => '[',
            Value::Mapping(_) => '{',
        };
        self.text.get(node.span.start..).is_some_and(|text| text.starts_with(bracket))
    }

    /// How far the dash of an item is indented.
    fn dash(&self, item: &Node) -> Option<usize> {
        let line = self.text.lines().nth(item.place.line.saturating_sub(1))?;
        let before = line.get(..item.place.column.saturating_sub(1))?;
        let (indent, gap) = before.rsplit_once('-')?;
        (indent.bytes().all(|b| b == b' ') && gap.bytes().all(|b| b == b' ')).then_some(indent.len())
    }

    fn done(mut self) -> String {
        self.inserted.sort_by_key(|(at, _)| *at);
        let mut result = String::with_capacity(self.text.len().saturating_add(200));
        let mut from = 0;
        for (at, text) in &self.inserted {
            result.push_str(self.text.get(from..*at).unwrap_or_default());
            result.push_str(text);
            from = *at;
        }
        result.push_str(self.text.get(from..).unwrap_or_default());
        result
    }
}

fn in_flow(pin: &ImagePin) -> String {
    let tag = pin.tag.as_ref().map(|tag| format!(", newTag: {}", quoted(tag))).unwrap_or_default();
    format!("{{name: {}{tag}, digest: {}}}", quoted(&pin.name), pin.digest)
}

fn in_block(pin: &ImagePin, indent: usize) -> Vec<String> {
    let indent = " ".repeat(indent);
    let mut lines = vec![format!("{indent}- name: {}", quoted(&pin.name))];
    lines.extend(pin.tag.as_ref().map(|tag| format!("{indent}  newTag: {}", quoted(tag))));
    lines.push(format!("{indent}  digest: {}", pin.digest));
    lines
}

/// A text as a scalar, in quotes where it would read as something else without.
fn quoted(text: &str) -> String {
    let read = read_text(&"text.yaml".into(), &format!("[{text}]"), Rules::Yaml, &Limits::default());
    let plain = read.ok().and_then(|documents| {
        let items = documents.first()?.root.items()?.to_vec();
        match items.as_slice() {
            [item] => Some(item.as_str() == Some(text)),
            [] | [_, _, ..] => None,
        }
    });
    if plain == Some(true) { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, pins: &[ImagePin], way: Way) -> Result<String, &'static str> {
        let documents = read_text(&"k.yaml".into(), text, Rules::Yaml, &Limits::default()).unwrap();
        pinned(text, &documents[0].root, pins, way)
    }

    fn pin(name: &str, tag: Option<&str>) -> ImagePin {
        ImagePin { name: name.to_owned(), tag: tag.map(str::to_owned), digest: Digest::of(b"x") }
    }

    #[test]
    fn entries_get_what_they_lack_and_every_other_byte_stays() {
        let table = [
            (
                "images:\n- name: a # why\n  newTag: \"1.0\" # here\n# last\n",
                "images:\n- name: a # why\n  newTag: \"1.0\" # here\n  digest: D\n# last\n",
            ),
            (
                "images:\r\n  - newName: a\r\n    name: x\r\n",
                "images:\r\n  - newName: a\r\n    name: x\r\n    newTag: \"1.0\"\r\n    digest: D\r\n",
            ),
            ("images: [{name: a, newTag: '1.0' }]\n", "images: [{name: a, newTag: '1.0', digest: D }]\n"),
            ("images:\n- name: a\n  newTag: '1.0'", "images:\n- name: a\n  newTag: '1.0'\n  digest: D"),
            ("images:\n- {name: b}\nx: y\n", "images:\n- {name: b}\n- name: a\n  newTag: \"1.0\"\n  digest: D\nx: y\n"),
            (
                "images:\n  - name: b\n    newTag: '2'\nx: y\n",
                "images:\n  - name: b\n    newTag: '2'\n  - name: a\n    newTag: \"1.0\"\n    digest: D\nx: y\n",
            ),
            ("images: []\n", "images: [{name: a, newTag: \"1.0\", digest: D}]\n"),
            ("images: [{name: b}]\n", "images: [{name: b}, {name: a, newTag: \"1.0\", digest: D}]\n"),
            ("resources: [b]", "resources: [b]\nimages:\n- name: a\n  newTag: \"1.0\"\n  digest: D"),
            ("resources: [b]\n# end\n", "resources: [b]\n# end\nimages:\n- name: a\n  newTag: \"1.0\"\n  digest: D\n"),
            ("{resources: [b]}\n", "{resources: [b], images: [{name: a, newTag: \"1.0\", digest: D}]}\n"),
            // Another tag's entry is another image's.
            (
                "images:\n- name: a\n  newTag: '2'\n",
                "images:\n- name: a\n  newTag: '2'\n- name: a\n  newTag: \"1.0\"\n  digest: D\n",
            ),
        ];
        let digest = Digest::of(b"x").to_string();
        for (text, expected) in table {
            let found = edited(text, &[pin("a", Some("1.0"))], Way::Existing).unwrap();
            assert_eq!(found.replace(&digest, "D"), expected, "{text}");
        }
    }

    #[test]
    fn an_entry_of_its_own_stands_last() {
        let text = "images:\n- name: x\n  newName: a\n";
        let found = edited(text, &[pin("a", None)], Way::Appended).unwrap();
        assert_eq!(found, format!("{text}- name: a\n  digest: {}\n", Digest::of(b"x")));
    }

    #[test]
    fn what_cannot_be_added_to_is_told() {
        for text in ["images: 3\n", "images: {a: b}\n", "a: b\n...\n"] {
            assert!(edited(text, &[pin("a", None)], Way::Existing).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_that_read_as_something_else_are_quoted() {
        for (text, expected) in
            [("1.27", "\"1.27\""), ("v1", "v1"), ("on", "\"on\""), ("r.io:5000/a", "r.io:5000/a"), ("1e3", "\"1e3\"")]
        {
            assert_eq!(quoted(text), expected);
        }
    }
}
