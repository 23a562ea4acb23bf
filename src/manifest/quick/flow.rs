//! Flow style on one line: `[a, "b"]`, `{a: 1, b: [c]}`.

use super::super::entries::Entries;
use super::super::tree::{Node, Style, Value};
use super::Quick;
use super::cursor::Token;

impl<'t> Quick<'t> {
    /// The flow collection that begins here.
    pub(super) fn flow(&mut self, depth: usize) -> Option<Node> {
        let is_mapping = self.cursor.at_byte(b'{');
        let start = self.cursor.mark();
        self.count(depth)?;
        self.step()?;
        let value = if is_mapping { self.flow_entries(depth)? } else { self.flow_items(depth)? };
        Some(self.cursor.node(value, start, self.cursor.at))
    }

    fn flow_items(&mut self, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        if self.closes(b']')? {
            return Some(Value::Sequence(items));
        }
        loop {
            items.push(self.flow_node(depth.checked_add(1)?)?);
            if self.closes(b']')? {
                return Some(Value::Sequence(items));
            }
            self.comma()?;
        }
    }

    fn flow_entries(&mut self, depth: usize) -> Option<Value> {
        let below = depth.checked_add(1)?;
        let mut entries = Entries::default();
        if self.closes(b'}')? {
            return Some(Value::Mapping(entries.finish()));
        }
        loop {
            let token = self.flow_token()?;
            let key = self.key(&token, below)?;
            let spaced = self.cursor.byte(self.cursor.at.checked_add(1)?) == Some(b' ');
            if !self.cursor.at_byte(b':') || !spaced {
                return None;
            }
            self.step()?;
            self.cursor.pass_spaces();
            let value = self.flow_node(below)?;
            entries.add(key, value).ok()?;
            if self.closes(b'}')? {
                return Some(Value::Mapping(entries.finish()));
            }
            self.comma()?;
        }
    }

    fn flow_node(&mut self, depth: usize) -> Option<Node> {
        if self.cursor.at_byte(b'[') || self.cursor.at_byte(b'{') {
            return self.flow(depth);
        }
        let token = self.flow_token()?;
        self.scalar(&token, depth)
    }

    /// A quoted scalar or a plain word.
    fn flow_token(&mut self) -> Option<Token<'t>> {
        match self.cursor.byte(self.cursor.at)? {
            quote @ (b'"' | b'\'') => return self.cursor.quoted(quote),
            _ if !self.cursor.begins_plain() => return None,
            _ => {}
        }
        let start = self.cursor.mark();
        let line = self.cursor.text.as_bytes().get(start.at..self.cursor.end)?;
        let word = |&byte: &u8| byte.is_ascii_alphanumeric() || b"_-./@+=$~%()".contains(&byte);
        let goes_on =
            |at: usize, byte: &u8| word(byte) || (*byte == b':' && line.get(at.saturating_add(1)).is_some_and(word));
        let length = line.iter().enumerate().position(|(at, byte)| !goes_on(at, byte))?;
        let end = start.at.checked_add(length)?;
        self.cursor.at = end;
        Some(Token { text: self.cursor.slice(start.at, end)?, style: Style::Plain, start, end })
    }

    fn comma(&mut self) -> Option<()> {
        if !self.cursor.at_byte(b',') {
            return None;
        }
        self.step()?;
        self.cursor.pass_spaces();
        Some(())
    }

    /// Passes spaces, and the end of a collection where it stands here. None at the end of the line.
    fn closes(&mut self, end: u8) -> Option<bool> {
        self.cursor.pass_spaces();
        let closes = self.cursor.at_byte(end);
        if closes {
            self.step()?;
        }
        (closes || self.cursor.at < self.cursor.end).then_some(closes)
    }

    fn step(&mut self) -> Option<()> {
        self.cursor.at = self.cursor.at.checked_add(1)?;
        Some(())
    }
}
