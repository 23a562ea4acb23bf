//! The bytes of a file as text: UTF-8, without a byte order mark, without the characters on which readers disagree.

use crate::reason::{ErrorCode, Place, Problem};

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A checked text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    /// The text, without a byte order mark.
    pub(super) text: &'t str,
    /// How many bytes of the file stand before it.
    pub(super) base: usize,
}

impl<'t> Text<'t> {
    /// Checks the bytes.
    pub(super) fn new(bytes: &'t [u8]) -> Result<Self, Problem> {
        let (bytes, base) = match bytes.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => (rest, BYTE_ORDER_MARK.len()),
            None => (bytes, 0),
        };
        let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
        match forbidden(text) {
            Some((at, odd)) => Err(refused(text, at, odd)),
            None => Ok(Self { text, base }),
        }
    }
}

/// The place of a byte, counted from the beginning: for errors only, since it reads everything before it.
fn place(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|&b| b == b'\n').count().saturating_add(1);
    let start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
    let column = before.get(start..).map_or(0, |rest| rest.chars().count()).saturating_add(1);
    Place { line, column }
}

fn not_utf8(bytes: &[u8], at: usize) -> Problem {
    let valid = bytes.get(..at).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or("");
    Problem::new(ErrorCode::YamlInvalid, "the file is not UTF-8")
        .at(place(valid, at))
        .with_help("save the file as UTF-8, without UTF-16 or Latin-1 characters")
}

fn refused(text: &str, at: usize, odd: char) -> Problem {
    let code = u32::from(odd);
    let what = match odd {
        '\u{85}' | '\u{2028}' | '\u{2029}' => "a line break to some readers and none to others",
        _ => "no character that YAML allows in a file",
    };
    Problem::new(ErrorCode::YamlInvalid, format!("U+{code:04X} is {what}"))
        .at(place(text, at))
        .with_help(format!("remove it, or write it in double quotes as `\\u{code:04x}`"))
}

/// The first character that Kubernetes' reader refuses or that readers read differently.
fn forbidden(text: &str) -> Option<(usize, char)> {
    let mut from = 0;
    loop {
        let rest = text.as_bytes().get(from..)?;
        let at = from.checked_add(rest.iter().position(|&b| suspicious(b))?)?;
        let odd = text.get(at..)?.chars().next()?;
        if is_forbidden(odd) {
            return Some((at, odd));
        }
        from = at.checked_add(odd.len_utf8())?;
    }
}

/// The first bytes of the characters that are not allowed, and of some that are: one look per byte.
fn suspicious(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || matches!(byte, 0x7F | 0xC2 | 0xE2 | 0xEF)
}

fn is_forbidden(odd: char) -> bool {
    match odd {
        '\t' | '\n' | '\r' => false,
        '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_characters_are_refused_at_their_place() {
        let table: [(&[u8], usize, usize); 8] = [
            (b"a: b\n# \x07\n", 2, 3),
            ("é: \u{85}".as_bytes(), 1, 4),
            ("a: \u{2028}".as_bytes(), 1, 4),
            ("a: 'x\u{2029}'".as_bytes(), 1, 6),
            ("a: \u{FEFF}b".as_bytes(), 1, 4),
            (b"a\n\nb\xFF", 3, 2),
            (b"a: \x7F", 1, 4),
            (b"\0", 1, 1),
        ];
        for (bytes, line, column) in table {
            let problem = Text::new(bytes).unwrap_err();
            assert_eq!(problem.code, ErrorCode::YamlInvalid);
            assert_eq!(problem.place, Some(Place { line, column }), "{bytes:?}");
        }
    }

    #[test]
    fn ordinary_text_is_taken_as_it_is() {
        for bytes in ["a: ü€ – “x” 日本 \u{1F980}\r\n\tb", "", "\u{A0}"] {
            assert_eq!(Text::new(bytes.as_bytes()).unwrap().text, bytes);
        }
        let marked = Text::new(b"\xEF\xBB\xBFa").unwrap();
        assert_eq!((marked.text, marked.base), ("a", 3));
    }
}
