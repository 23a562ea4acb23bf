//! Literal blocks: `|` and `|-`, whose first line says how far they are indented.

use super::super::tree::{Node, Scalar, Style, Typed, Value};
use super::cursor::{Cursor, Mark};

/// What the lines of a block hold.
struct Lines {
    text: String,
    /// The first character.
    start: Mark,
    /// What follows the block, behind the spaces before it.
    end: usize,
}

impl Cursor<'_> {
    /// The literal block that begins here, below a key in this column.
    pub(super) fn literal(&mut self, column: usize) -> Option<Node> {
        self.at = self.at.checked_add(1)?;
        let strip = self.at_byte(b'-');
        if strip {
            self.at = self.at.checked_add(1)?;
        }
        if !self.rest_is_empty()? {
            return None;
        }
        let Lines { mut text, start, end } = self.lines(column)?;
        text.truncate(text.trim_end_matches('\n').len());
        if !strip {
            text.push('\n');
        }
        let value = Value::Scalar(Scalar { typed: Typed::String(text), style: Style::Literal });
        let node = self.node(value, start, end);
        self.next_line()?;
        Some(node)
    }

    /// Leaves the cursor at the end of the block's last line.
    fn lines(&mut self, column: usize) -> Option<Lines> {
        let mut text = String::new();
        let mut start: Option<Mark> = None;
        loop {
            let begin = self.end.checked_add(1)?;
            let Some(rest) = self.text.get(begin..).filter(|rest| !rest.is_empty()) else {
                return Some(Lines { text, start: start?, end: self.text.len() });
            };
            let line = rest.get(..rest.find('\n')?)?;
            let spaces = line.bytes().position(|b| b != b' ');
            let number = self.line.checked_add(1)?;
            let indent = match (start, spaces) {
                (Some(start), None) if line.len() <= start.column => start.column,
                (Some(start), Some(spaces)) if spaces >= start.column => start.column,
                (None, Some(spaces)) if spaces > column => {
                    start = Some(Mark { at: begin.checked_add(spaces)?, line: number, column: spaces });
                    spaces
                }
                (Some(start), Some(spaces)) if spaces <= column => {
                    return Some(Lines { text, start, end: begin.checked_add(spaces)? });
                }
                // Empty lines first, or one that is indented less than the text and more than its key.
                (None | Some(_), _) => return None,
            };
            text.push_str(line.get(indent.min(line.len())..)?);
            text.push('\n');
            self.end = begin.checked_add(line.len())?;
            self.line = number;
        }
    }
}
