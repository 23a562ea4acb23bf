//! The common shape of manifests, read line by line: block mappings and lists, scalars on one line, short flow style,
//! literal blocks. It is much faster than the general parser and answers only where there is one reading.
//!
//! What it does not know for certain it does not read: then, and for every mistake, the general parser reads the whole
//! file. What it does read must be the very tree that the general parser builds, places and spans included; tests hold
//! it to that. It refuses nothing by itself and tells no problem.

mod cursor;
mod flow;
mod literal;

use std::sync::Arc;

use super::build::key_text;
use super::entries::Entries;
use super::parse::Limits;
use super::text::Text;
use super::tree::{Document, Key, Node, Scalar, Style, Typed, Value};
use super::typing;

use cursor::{Cursor, Mark, Token};

/// The documents of a text, where its shape is a common one and it has no problem.
pub(super) fn documents(path: &Arc<str>, text: &Text<'_>, limits: &Limits) -> Option<Vec<Document>> {
    // A lone carriage return is a line break to some.
    if text.text.as_bytes().contains(&b'\r') {
        return None;
    }
    Quick { cursor: Cursor::new(text), limits, nodes: 0 }.stream(path)
}

struct Quick<'t> {
    cursor: Cursor<'t>,
    limits: &'t Limits,
    nodes: usize,
}

impl<'t> Quick<'t> {
    fn stream(&mut self, path: &Arc<str>) -> Option<Vec<Document>> {
        let mut documents = Vec::new();
        let mut index: usize = 0;
        self.cursor.next_line()?;
        while !self.cursor.at_end() {
            if index >= self.limits.documents {
                return None;
            }
            if self.cursor.at_marker() {
                self.cursor.pass_marker()?;
            } else if index > 0 {
                return None;
            }
            if !self.cursor.ends_document() {
                if self.cursor.column() != 0 {
                    return None;
                }
                let root = self.block(1)?;
                documents.push(Document { file: Arc::clone(path), index, root });
            }
            if !self.cursor.ends_document() {
                return None;
            }
            index = index.saturating_add(1);
        }
        Some(documents)
    }

    /// A node counts against the limits as it does for the general parser.
    fn count(&mut self, depth: usize) -> Option<()> {
        self.nodes = self.nodes.saturating_add(1);
        (self.nodes <= self.limits.nodes && depth <= self.limits.depth).then_some(())
    }

    /// A block collection that begins here.
    fn block(&mut self, depth: usize) -> Option<Node> {
        if self.cursor.at_dash() {
            return self.sequence(depth, false);
        }
        let start = self.cursor.mark();
        match self.token()? {
            (token, true) => self.mapping(start, token, depth),
            (_, false) => None,
        }
    }

    /// The scalar on this line, and whether it is a key.
    fn token(&mut self) -> Option<(Token<'t>, bool)> {
        let token = self.cursor.token()?;
        let is_key = self.cursor.pass_colon();
        Some((token, is_key))
    }

    /// A mapping whose first key was read.
    fn mapping(&mut self, start: Mark, first: Token<'t>, depth: usize) -> Option<Node> {
        self.count(depth)?;
        let below = depth.checked_add(1)?;
        let column = start.column;
        let mut entries = Entries::default();
        let mut token = first;
        loop {
            let key = self.key(&token, below)?;
            let value = self.value(column, below)?;
            entries.add(key, value).ok()?;
            if self.cursor.ends_document() || self.cursor.column() < column {
                break;
            }
            if self.cursor.column() > column || self.cursor.at_dash() {
                return None;
            }
            token = match self.token()? {
                (token, true) => token,
                (_, false) => return None,
            };
        }
        Some(self.cursor.collection(Value::Mapping(entries.finish()), start))
    }

    fn key(&mut self, token: &Token<'t>, depth: usize) -> Option<Key> {
        self.count(depth)?;
        if token.text == "<<" {
            return None;
        }
        Some(Key { text: key_text(typed(token)?).ok()?, place: token.start.place() })
    }

    /// What stands behind the colon, on this line or below it.
    fn value(&mut self, column: usize, depth: usize) -> Option<Node> {
        let colon = self.cursor.colon();
        if self.cursor.rest_is_empty()? {
            self.cursor.next_line()?;
            if self.cursor.ends_document() || self.cursor.column() < column {
                return self.nothing(colon, depth);
            }
            if self.cursor.column() > column {
                return self.block(depth);
            }
            return if self.cursor.at_dash() { self.sequence(depth, true) } else { self.nothing(colon, depth) };
        }
        if self.cursor.at_byte(b'|') {
            self.count(depth)?;
            return self.cursor.literal(column);
        }
        self.inline(depth)
    }

    /// A scalar or flow collection that ends this line.
    fn inline(&mut self, depth: usize) -> Option<Node> {
        let node = if self.cursor.at_byte(b'[') || self.cursor.at_byte(b'{') {
            self.flow(depth)?
        } else {
            match self.token()? {
                (token, false) => self.scalar(&token, depth)?,
                (_, true) => return None,
            }
        };
        self.line_is_done()?;
        Some(node)
    }

    /// A list; one without indentation stands directly below its key and ends with the next one.
    fn sequence(&mut self, depth: usize, indentless: bool) -> Option<Node> {
        self.count(depth)?;
        let below = depth.checked_add(1)?;
        let start = if indentless { self.cursor.behind_dash() } else { self.cursor.mark() };
        let column = self.cursor.column();
        let mut items = Vec::new();
        loop {
            items.push(self.item(column, below)?);
            if self.cursor.ends_document() || self.cursor.column() < column {
                break;
            }
            match (self.cursor.column() > column, self.cursor.at_dash()) {
                (true, _) => return None,
                (false, true) => {}
                (false, false) if indentless => break,
                (false, false) => return None,
            }
        }
        Some(self.cursor.collection(Value::Sequence(items), start))
    }

    fn item(&mut self, column: usize, depth: usize) -> Option<Node> {
        let entry = self.cursor.behind_dash();
        self.cursor.pass_dash();
        if self.cursor.rest_is_empty()? {
            self.cursor.next_line()?;
            let below = !self.cursor.ends_document() && self.cursor.column() > column;
            return if below { self.block(depth) } else { self.nothing(entry, depth) };
        }
        if self.cursor.at_dash() {
            return self.sequence(depth, false);
        }
        if self.cursor.at_byte(b'[') || self.cursor.at_byte(b'{') {
            return self.inline(depth);
        }
        let start = self.cursor.mark();
        match self.token()? {
            (token, true) => self.mapping(start, token, depth),
            (token, false) => {
                let node = self.scalar(&token, depth)?;
                self.line_is_done()?;
                Some(node)
            }
        }
    }

    fn line_is_done(&mut self) -> Option<()> {
        if self.cursor.rest_is_empty()? { self.cursor.next_line() } else { None }
    }

    /// The value that is not written: it stands at the sign that announces it.
    fn nothing(&mut self, sign: Mark, depth: usize) -> Option<Node> {
        self.count(depth)?;
        let value = Value::Scalar(Scalar { typed: Typed::Null, style: Style::Plain });
        Some(self.cursor.node(value, sign, sign.at))
    }

    fn scalar(&mut self, token: &Token<'t>, depth: usize) -> Option<Node> {
        self.count(depth)?;
        let value = Value::Scalar(Scalar { typed: typed(token)?, style: token.style });
        Some(self.cursor.node(value, token.start, token.end))
    }
}

fn typed(token: &Token<'_>) -> Option<Typed> {
    match token.style {
        Style::Plain => typing::plain(token.text.into()).ok(),
        Style::SingleQuoted | Style::DoubleQuoted | Style::Literal | Style::Folded => {
            Some(Typed::String(token.text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests;
