//! Where the quick reader is in the text. Everything it passes on a line is ASCII, so that columns are bytes.

use super::super::text::Text;
use super::super::tree::{Node, Style, Value};
use crate::reason::Place;

/// A longer key is for the general parser to judge.
const MAX_KEY: usize = 512;

pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    /// How many bytes of the file stand before the text.
    base: usize,
    /// The byte that is looked at.
    pub(super) at: usize,
    /// Where this line begins.
    pub(super) begin: usize,
    /// Where it ends: its line feed, or the end of the text.
    pub(super) end: usize,
    /// Its number, from 1.
    pub(super) line: usize,
    /// The last colon that was passed.
    colon: Mark,
    finished: bool,
    marker: bool,
}

/// A place that is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) at: usize,
    pub(super) line: usize,
    /// From 0.
    pub(super) column: usize,
}

/// A scalar on one line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'t> {
    pub(super) text: &'t str,
    pub(super) style: Style,
    pub(super) start: Mark,
    pub(super) end: usize,
}

impl Mark {
    pub(super) fn place(self) -> Place {
        Place { line: self.line, column: self.column.saturating_add(1) }
    }
}

impl<'t> Cursor<'t> {
    /// Before the first line.
    pub(super) fn new(text: &Text<'t>) -> Self {
        let colon = Mark { at: 0, line: 0, column: 0 };
        let Text { text, base } = *text;
        Self { text, base, at: 0, begin: 0, end: 0, line: 0, colon, finished: false, marker: false }
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    pub(super) fn at_byte(&self, wanted: u8) -> bool {
        self.byte(self.at) == Some(wanted)
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> Option<&'t str> {
        self.text.get(start..end)
    }

    pub(super) fn column(&self) -> usize {
        self.at.saturating_sub(self.begin)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.at, line: self.line, column: self.column() }
    }

    pub(super) fn at_end(&self) -> bool {
        self.finished
    }

    pub(super) fn at_marker(&self) -> bool {
        self.marker
    }

    pub(super) fn ends_document(&self) -> bool {
        self.finished || self.marker
    }

    /// Goes to the next line that holds more than a comment.
    pub(super) fn next_line(&mut self) -> Option<()> {
        let mut begin = if self.line == 0 { 0 } else { self.end.checked_add(1)? };
        loop {
            if begin >= self.text.len() {
                self.finish();
                return Some(());
            }
            self.line = self.line.saturating_add(1);
            let rest = self.text.as_bytes().get(begin..)?;
            let indent = rest.iter().position(|&b| b != b' ').unwrap_or(rest.len());
            let first = begin.checked_add(indent)?;
            let (begun, empty) = (begin, matches!(self.byte(first), None | Some(b'\n' | b'#')));
            let length = rest.get(indent..)?.iter().position(|&b| b == b'\n').unwrap_or(rest.len() - indent);
            self.end = first.checked_add(length)?;
            if !empty {
                (self.begin, self.at) = (begun, first);
                return self.look_for_marker();
            }
            begin = self.end.checked_add(1)?;
        }
    }

    fn finish(&mut self) {
        (self.at, self.begin, self.end) = (self.text.len(), self.text.len(), self.text.len());
        (self.finished, self.marker) = (true, false);
    }

    fn look_for_marker(&mut self) -> Option<()> {
        self.marker = false;
        if self.column() == 0 {
            let line = self.text.as_bytes().get(self.at..self.end)?;
            if line.starts_with(b"...") {
                return None;
            }
            self.marker = line.starts_with(b"---");
        }
        Some(())
    }

    /// Passes `---` and goes to the line behind it.
    pub(super) fn pass_marker(&mut self) -> Option<()> {
        self.at = self.at.checked_add(3)?;
        if self.rest_is_empty()? { self.next_line() } else { None }
    }

    /// Passes spaces: whether nothing but a comment is left of this line. None for what is pressed against it.
    pub(super) fn rest_is_empty(&mut self) -> Option<bool> {
        let before = self.at;
        self.pass_spaces();
        if self.at >= self.end {
            return Some(true);
        }
        match (self.at_byte(b'#'), self.at > before) {
            (true, spaced) => spaced.then_some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    pub(super) fn pass_spaces(&mut self) {
        while self.at < self.end && self.at_byte(b' ') {
            self.at = self.at.saturating_add(1);
        }
    }

    /// Whether a list's item begins here.
    pub(super) fn at_dash(&self) -> bool {
        self.at_byte(b'-') && self.is_blank_at(self.at.saturating_add(1))
    }

    pub(super) fn is_blank_at(&self, at: usize) -> bool {
        at >= self.end || self.byte(at) == Some(b' ')
    }

    pub(super) fn pass_dash(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    /// Where the general parser sees a list's entry: behind its dash, the spaces and a comment.
    pub(super) fn behind_dash(&self) -> Mark {
        let after = self.at.saturating_add(1);
        let rest = self.text.as_bytes().get(after..self.end).unwrap_or_default();
        let spaces = rest.iter().position(|&b| b != b' ').unwrap_or(rest.len());
        let at = after.saturating_add(spaces);
        if self.byte(at) != Some(b'#') {
            return Mark { at, line: self.line, column: at.saturating_sub(self.begin) };
        }
        let column = self.slice(self.begin, self.end).map_or(0, |line| line.chars().count());
        Mark { at: self.end, line: self.line, column }
    }

    /// Passes the colon of a key, where one stands here.
    pub(super) fn pass_colon(&mut self) -> bool {
        let is_colon = self.at_byte(b':') && self.at < self.end && self.is_blank_at(self.at.saturating_add(1));
        if is_colon {
            self.colon = self.mark();
            self.at = self.at.saturating_add(1);
        }
        is_colon
    }

    pub(super) fn colon(&self) -> Mark {
        self.colon
    }

    /// The scalar that begins here and ends on this line.
    pub(super) fn token(&mut self) -> Option<Token<'t>> {
        let start = self.mark();
        let token = match self.byte(self.at)? {
            quote @ (b'"' | b'\'') => self.quoted(quote)?,
            _ => self.plain()?,
        };
        let is_long_key = self.at_byte(b':') && token.end.saturating_sub(start.at) > MAX_KEY;
        if is_long_key { None } else { Some(token) }
    }

    /// A quoted scalar without escapes.
    pub(super) fn quoted(&mut self, quote: u8) -> Option<Token<'t>> {
        let start = self.mark();
        let inner = start.at.checked_add(1)?;
        let line = self.text.as_bytes().get(inner..self.end)?;
        let stop = line.iter().position(|&b| b == quote || b == b'\\' || !(b' '..=b'~').contains(&b))?;
        let close = inner.checked_add(stop)?;
        let after = close.checked_add(1)?;
        let doubled = quote == b'\'' && self.byte(after) == Some(b'\'');
        if self.byte(close) != Some(quote) || doubled {
            return None;
        }
        self.at = after;
        let style = if quote == b'"' { Style::DoubleQuoted } else { Style::SingleQuoted };
        Some(Token { text: self.slice(inner, close)?, style, start, end: after })
    }

    /// A plain scalar of block style.
    fn plain(&mut self) -> Option<Token<'t>> {
        let start = self.mark();
        if !self.begins_plain() {
            return None;
        }
        let line = self.text.as_bytes().get(start.at..self.end)?;
        let mut length = line.len();
        let mut last = b' ';
        for (at, &byte) in line.iter().enumerate() {
            match byte {
                b'#' if last == b' ' => {
                    length = at;
                    break;
                }
                b':' if matches!(line.get(at.saturating_add(1)), None | Some(b' ')) => {
                    // `key :` is for the general parser.
                    if last == b' ' {
                        return None;
                    }
                    length = at;
                    break;
                }
                b' '..=b'~' => last = byte,
                _ => return None,
            }
        }
        let text = self.slice(start.at, start.at.checked_add(length)?)?.trim_end_matches(' ');
        let end = start.at.checked_add(text.len())?;
        self.at = end;
        Some(Token { text, style: Style::Plain, start, end })
    }

    /// Whether a plain scalar can begin here, for certain.
    pub(super) fn begins_plain(&self) -> bool {
        match self.byte(self.at) {
            Some(first) if first.is_ascii_alphanumeric() => true,
            Some(b'/' | b'.' | b'_' | b'$' | b'~' | b'(' | b'+' | b'=') => true,
            Some(b'-') => self
                .byte(self.at.saturating_add(1))
                .is_some_and(|next| next.is_ascii_alphanumeric() || next == b'-' || next == b'.'),
            Some(_) | None => false,
        }
    }

    /// A node from a mark to a byte.
    pub(super) fn node(&self, value: Value, start: Mark, end: usize) -> Node {
        let span = start.at.saturating_add(self.base)..end.saturating_add(self.base);
        Node { value, span, place: start.place() }
    }

    /// A block collection that ends where the next line's content begins.
    pub(super) fn collection(&self, value: Value, start: Mark) -> Node {
        self.node(value, start, self.at)
    }
}
