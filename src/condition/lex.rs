//! The words of an expression: CEL's tokens, each with its place.

use super::compile::{CompileError, MAX_TOKENS};

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Int(u64),
    Uint(u64),
    Double(f64),
    Text(String),
    /// An operator, bracket or separator.
    Sign(&'static str),
    End,
}

/// A word and where it begins, in bytes.
pub(super) type Placed = (Token, usize);

/// The longer signs first: the first that fits is meant.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "+", "-", "*", "/", "%", "<", ">", "!", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}",
];

/// All words of a text, the end among them.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, CompileError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let (token, at) = lexer.next()?;
        if tokens.len() >= MAX_TOKENS {
            return Err(CompileError::at(text, at, format!("an expression has at most {MAX_TOKENS} words")));
        }
        let end = token == Token::End;
        tokens.push((token, at));
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn error(&self, message: impl Into<String>) -> CompileError {
        CompileError::at(self.text, self.at, message)
    }

    /// Takes characters as long as they fit.
    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(end);
        rest.get(..end).unwrap_or_default()
    }

    fn next(&mut self) -> Result<Placed, CompileError> {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest().starts_with("//") {
                break;
            }
            self.take_while(|c| c != '\n');
        }
        let start = self.at;
        let token = match self.peek() {
            None => Token::End,
            Some(c) if c.is_ascii_digit() => self.number()?,
            Some('"' | '\'') => self.quoted(false)?,
            Some('r' | 'R') if self.rest().get(1..).is_some_and(|rest| rest.starts_with(['"', '\''])) => {
                self.at = self.at.saturating_add(1);
                self.quoted(true)?
            }
            Some('b' | 'B') if self.rest().get(1..).is_some_and(|rest| rest.starts_with(['"', '\''])) => {
                return Err(self.error("bytes are not supported in conditions"));
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => {
                Token::Name(self.take_while(|c| c == '_' || c.is_ascii_alphanumeric()).to_owned())
            }
            Some(_) => self.sign()?,
        };
        Ok((token, start))
    }

    fn sign(&mut self) -> Result<Token, CompileError> {
        let sign = SIGNS.into_iter().find(|sign| self.rest().starts_with(sign));
        let sign = sign.ok_or_else(|| self.error("an expression cannot hold this character"))?;
        self.at = self.at.saturating_add(sign.len());
        Ok(Token::Sign(sign))
    }

    fn number(&mut self) -> Result<Token, CompileError> {
        let start = self.at;
        let hexadecimal = self.rest().starts_with("0x") || self.rest().starts_with("0X");
        if hexadecimal {
            self.at = self.at.saturating_add(2);
            let digits = self.take_while(|c| c.is_ascii_hexdigit());
            return self.whole(u64::from_str_radix(digits, 16).ok());
        }
        self.take_while(|c| c.is_ascii_digit());
        let mut fraction = false;
        if self.rest().starts_with('.') && self.rest().chars().nth(1).is_some_and(|c| c.is_ascii_digit()) {
            self.at = self.at.saturating_add(1);
            self.take_while(|c| c.is_ascii_digit());
            fraction = true;
        }
        if self.rest().starts_with(['e', 'E']) {
            self.at = self.at.saturating_add(1);
            if self.rest().starts_with(['+', '-']) {
                self.at = self.at.saturating_add(1);
            }
            self.take_while(|c| c.is_ascii_digit());
            fraction = true;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if fraction {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            return number.map(Token::Double).ok_or_else(|| self.error("this is no number"));
        }
        self.whole(text.parse().ok())
    }

    fn whole(&mut self, number: Option<u64>) -> Result<Token, CompileError> {
        let number = number.ok_or_else(|| self.error("this is no number, or too large for one"))?;
        let unsigned = self.rest().starts_with(['u', 'U']);
        if unsigned {
            self.at = self.at.saturating_add(1);
        }
        if self.peek().is_some_and(|c| c == '_' || c.is_ascii_alphanumeric()) {
            return Err(self.error("this is no number"));
        }
        Ok(if unsigned { Token::Uint(number) } else { Token::Int(number) })
    }

    fn quoted(&mut self, raw: bool) -> Result<Token, CompileError> {
        let rest = self.rest();
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let Some(quote) = quotes.into_iter().find(|quote| rest.starts_with(quote)) else {
            return Err(self.error("a text begins with a quote"));
        };
        self.at = self.at.saturating_add(quote.len());
        let mut text = String::new();
        loop {
            if self.rest().starts_with(quote) {
                self.at = self.at.saturating_add(quote.len());
                return Ok(Token::Text(text));
            }
            match self.peek() {
                None => return Err(self.error("a text does not end")),
                Some('\n' | '\r') if quote.len() == 1 => return Err(self.error("a text does not end in its line")),
                Some('\\') if !raw => text.push(self.escape()?),
                Some(c) => {
                    text.push(c);
                    self.at = self.at.saturating_add(c.len_utf8());
                }
            }
        }
    }

    /// One escape, as CEL knows them.
    fn escape(&mut self) -> Result<char, CompileError> {
        let mut rest = self.rest().chars().skip(1);
        let Some(kind) = rest.next() else { return Err(self.error("a text does not end")) };
        let (digits, base) = match kind {
            'x' | 'X' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='3' => (3, 8),
            _ => {
                let plain = match kind {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    '\\' | '?' | '"' | '\'' | '`' => kind,
                    _ => return Err(self.error("CEL knows no such escape; write `\\\\` for a backslash")),
                };
                self.at = self.at.saturating_add(2);
                return Ok(plain);
            }
        };
        let from = self.at.saturating_add(if base == 8 { 1 } else { 2 });
        let end = from.saturating_add(digits);
        let code = self.text.get(from..end).and_then(|digits| u32::from_str_radix(digits, base).ok());
        let found = code.and_then(char::from_u32).ok_or_else(|| self.error("this escape is no character"))?;
        self.at = end;
        Ok(found)
    }
}
