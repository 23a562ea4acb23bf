//! Images in the text of a string: a file of YAML or JSON that a `ConfigMap` carries, a manifest that a workflow applies.
//! Controllers deploy from there. Like a guess it claims nothing; a rule of the user's with a path into the text does.

use std::sync::Arc;

use super::catalogue::Catalogue;
use super::guess::{Guess, guess, hint, is_trap, reference};
use super::pod::Crumb;
use super::site::Step;
use crate::manifest::tree::{Scalar, Typed, Value};
use crate::manifest::{Limits, Node, Rules, read_text};

/// At most so many images of one text are told; a text with more is refused as a whole.
pub(super) const MAX_IN_TEXT: usize = 1000;

/// An image in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// The steps from the string to the field in its text; none where the text has no tree.
    pub(super) route: Vec<Step>,
    /// The reference, its tag included.
    pub(super) written: String,
}

/// Every image that stands in a text, up to one more than may be told.
pub(super) fn hidden(catalogue: &Catalogue, file: &Arc<str>, text: &str) -> Vec<Hidden> {
    if !may_hold(text) {
        return Vec::new();
    }
    let documents = read_text(file, text, Rules::Yaml, &Limits::default()).unwrap_or_default();
    let has_tree = documents.iter().any(|document| !matches!(document.root.value, Value::Scalar(_)));
    if !has_tree {
        // A template or a script: only its lines can be read.
        return in_lines(catalogue, text);
    }
    let mut walk = Walk { catalogue, document: 0, way: Vec::new(), found: Vec::new() };
    for document in &documents {
        walk.document = document.index;
        walk.visit(&document.root, None);
    }
    walk.found
}

/// More than a word, with the word in it.
fn may_hold(text: &str) -> bool {
    let shaped = text.contains('\n') || text.trim_start().starts_with(['{', '[']);
    shaped && text.as_bytes().windows(5).any(|window| window.eq_ignore_ascii_case(b"image"))
}

struct Walk<'c, 'd> {
    catalogue: &'c Catalogue,
    document: usize,
    way: Vec<Crumb<'d>>,
    found: Vec<Hidden>,
}

impl<'d> Walk<'_, 'd> {
    fn visit(&mut self, node: &'d Node, parent: Option<&'d Node>) {
        if self.found.len() > MAX_IN_TEXT {
            return;
        }
        match &node.value {
            Value::Scalar(Scalar { typed: Typed::String(text), .. }) => {
                if is_trap(self.catalogue, &self.way) {
                    return;
                }
                if let Some(guess) = guess(self.catalogue, &self.way, parent, text) {
                    self.found.push(Hidden { route: self.route(), written: whole(&guess) });
                }
            }
            Value::Scalar(_) => {}
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.step(Crumb::Index(index), item, node);
                }
            }
            Value::Mapping(entries) => {
                for (key, child) in entries {
                    self.step(Crumb::Key(&key.text), child, node);
                }
            }
        }
    }

    fn step(&mut self, crumb: Crumb<'d>, child: &'d Node, parent: &'d Node) {
        self.way.push(crumb);
        self.visit(child, Some(parent));
        self.way.pop();
    }

    fn route(&self) -> Vec<Step> {
        let inside = std::iter::once(Step::Inside(Rules::Yaml, self.document));
        inside.chain(self.way.iter().map(|crumb| Step::from(*crumb))).collect()
    }
}

fn whole(guess: &Guess<'_>) -> String {
    let tag = guess.tag.map(super::split::tag_part).unwrap_or_default();
    format!("{}{tag}", guess.written)
}

/// `image: reference` and `"image": "reference"`, wherever they stand in the text.
fn in_lines(catalogue: &Catalogue, text: &str) -> Vec<Hidden> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once(':') {
            if let Some(reference) = pair(catalogue, before, after) {
                found.push(Hidden { route: Vec::new(), written: reference.to_owned() });
            }
            if found.len() > MAX_IN_TEXT {
                return found;
            }
            rest = after;
        }
    }
    found
}

/// The reference after a colon whose key says image.
fn pair<'t>(catalogue: &Catalogue, before: &str, after: &'t str) -> Option<&'t str> {
    let before = before.trim_end();
    let quoted = before.ends_with(['"', '\'']);
    let before = before.trim_end_matches(['"', '\'']);
    let start = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')));
    let key = before.get(start.map_or(0, |at| at.saturating_add(1))..)?;
    if !quoted && !after.starts_with([' ', '\t', '"', '\'']) {
        return None;
    }
    let named = hint(catalogue, key)?;
    let value = after.trim_start().trim_start_matches(['"', '\'']);
    let end =
        value.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '}' | ']')).unwrap_or(value.len());
    reference(value.get(..end)?, named).map(|guess| guess.written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let file: Arc<str> = "a.yaml".into();
        let found = hidden(Catalogue::builtin().unwrap(), &file, text);
        found.iter().map(|found| format!("{}={}", super::super::path::written(&found.route), found.written)).collect()
    }

    #[test]
    fn images_in_texts_are_told_with_their_path() {
        let table: [(&str, &[&str]); 9] = [
            ("image: r.io/a:1\n", &["(yaml).image=r.io/a:1"]),
            (
                "spec:\n  containers:\n  - image: a\n---\nb: {image: {repository: r.io/b, tag: v1}}\n",
                &["(yaml).spec.containers[0].image=a", "(yaml).b.image.repository=r.io/b:v1"],
            ),
            (r#"{"spec": {"image": "r.io/a:1"}}"#, &["(yaml).spec.image=r.io/a:1"]),
            (
                "{{ if .x }}\nimage: r.io/a:1\n  \"image\":\"r.io/b:1\", \"x\": 'y'\n{{ end }}\n",
                &["=r.io/a:1", "=r.io/b:1"],
            ),
            (
                "#!/bin/sh\ndocker build -t image:latest .\necho \"image: r.io/a:1\" | kubectl apply -f -\n",
                &["=r.io/a:1"],
            ),
            ("{{ x }}\nimage: {{ .Values.image }}\nimagePullPolicy: Always\n", &[]),
            ("image", &[]),
            ("words about an image\nand: more\n", &[]),
            ("rbd:\n  image: disk\n", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(told(text), expected, "{text}");
        }
    }
}
