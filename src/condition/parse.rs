//! From words to syntax: CEL's grammar, with a bound on how deep it nests.

use super::compile::{CompileError, MAX_DEPTH};
use super::lex::{Placed, Token, tokens};
use super::tree::{Constant, Operator};

/// A part of an expression as it is written.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) kind: Written,
    /// Where it begins, in bytes.
    pub(super) at: usize,
}

/// What is written.
#[derive(Debug)]
pub(super) enum Written {
    Constant(Constant),
    Name(String),
    Select(Box<Syntax>, String),
    Index(Box<Syntax>, Box<Syntax>),
    Call(Option<Box<Syntax>>, String, Vec<Syntax>),
    List(Vec<Syntax>),
    Map(Vec<(Syntax, Syntax)>),
    Not(Box<Syntax>),
    Negate(Box<Syntax>),
    /// Joined by `&&`.
    All(Vec<Syntax>),
    /// Joined by `||`.
    Any(Vec<Syntax>),
    Choose(Box<Syntax>, Box<Syntax>, Box<Syntax>),
    Binary(Operator, Box<Syntax>, Box<Syntax>),
}

/// Operators that bind alike, loosest first.
const LEVELS: [&[(&str, Operator)]; 3] = [
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

/// Parses a whole expression.
pub(super) fn parse(text: &str) -> Result<Syntax, CompileError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0 };
    // A bracket and the signs before it count as two steps.
    let syntax = parser.expression(MAX_DEPTH.saturating_mul(2))?;
    if *parser.peek() == Token::End { Ok(syntax) } else { Err(parser.unexpected("an operator")) }
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Placed>,
    next: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |(_, at)| *at)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = self.next.saturating_add(1);
        token
    }

    fn follows(&mut self, sign: &'static str) -> bool {
        let follows = *self.peek() == Token::Sign(sign);
        if follows {
            self.next = self.next.saturating_add(1);
        }
        follows
    }

    fn demand(&mut self, sign: &'static str) -> Result<(), CompileError> {
        if self.follows(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn unexpected(&self, expected: &str) -> CompileError {
        let found = match self.peek() {
            Token::End => "the end".to_owned(),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Name(name) => format!("`{name}`"),
            Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".to_owned(),
            Token::Text(_) => "a text".to_owned(),
        };
        CompileError::at(self.text, self.at(), format!("expected {expected}, found {found}"))
    }

    fn deeper(&self, depth: usize) -> Result<usize, CompileError> {
        let message = || format!("an expression nests at most {MAX_DEPTH} deep");
        depth.checked_sub(1).ok_or_else(|| CompileError::at(self.text, self.at(), message()))
    }

    fn expression(&mut self, depth: usize) -> Result<Syntax, CompileError> {
        let (depth, at) = (self.deeper(depth)?, self.at());
        let condition = self.alternatives(depth)?;
        if !self.follows("?") {
            return Ok(condition);
        }
        let yes = self.alternatives(depth)?;
        self.demand(":")?;
        let no = self.expression(depth)?;
        Ok(Syntax { kind: Written::Choose(Box::new(condition), Box::new(yes), Box::new(no)), at })
    }

    fn alternatives(&mut self, depth: usize) -> Result<Syntax, CompileError> {
        let at = self.at();
        let first = self.conjunction(depth)?;
        let mut all = vec![first];
        while self.follows("||") {
            all.push(self.conjunction(depth)?);
        }
        Ok(joined(all, Written::Any, at))
    }

    fn conjunction(&mut self, depth: usize) -> Result<Syntax, CompileError> {
        let at = self.at();
        let first = self.binary(depth, 0)?;
        let mut all = vec![first];
        while self.follows("&&") {
            all.push(self.binary(depth, 0)?);
        }
        Ok(joined(all, Written::All, at))
    }

    /// Operators of this level and those that bind tighter; from left to right.
    fn binary(&mut self, depth: usize, level: usize) -> Result<Syntax, CompileError> {
        let Some(operators) = LEVELS.get(level) else { return self.unary(depth) };
        let (at, tighter) = (self.at(), level.saturating_add(1));
        let mut syntax = self.binary(depth, tighter)?;
        loop {
            let sign = operators.iter().find(|(sign, _)| *self.peek() == Token::Sign(sign));
            let operator = match sign {
                Some((_, operator)) => *operator,
                None if level == 0 && *self.peek() == Token::Name("in".to_owned()) => Operator::In,
                None => return Ok(syntax),
            };
            let _sign = self.take();
            let other = self.binary(depth, tighter)?;
            syntax = Syntax { kind: Written::Binary(operator, Box::new(syntax), Box::new(other)), at };
        }
    }

    fn unary(&mut self, depth: usize) -> Result<Syntax, CompileError> {
        let (depth, at) = (self.deeper(depth)?, self.at());
        if self.follows("!") {
            return Ok(Syntax { kind: Written::Not(Box::new(self.unary(depth)?)), at });
        }
        if !self.follows("-") {
            return self.member(depth);
        }
        // The least whole number has no positive to be the negative of.
        if let Token::Int(number) = *self.peek()
            && let Ok(number) = i64::try_from(-i128::from(number))
        {
            let _number = self.take();
            return Ok(Syntax { kind: Written::Constant(Constant::Int(number)), at });
        }
        Ok(Syntax { kind: Written::Negate(Box::new(self.unary(depth)?)), at })
    }

    fn member(&mut self, depth: usize) -> Result<Syntax, CompileError> {
        let mut syntax = self.primary(depth)?;
        loop {
            let at = syntax.at;
            if self.follows(".") {
                let place = self.at();
                let Token::Name(name) = self.peek().clone() else { return Err(self.unexpected("a name")) };
                let _name = self.take();
                syntax = if self.follows("(") {
                    let arguments = self.items(")", depth)?;
                    Syntax { kind: Written::Call(Some(Box::new(syntax)), name, arguments), at: place }
                } else {
                    Syntax { kind: Written::Select(Box::new(syntax), name), at }
                };
            } else if self.follows("[") {
                let index = self.expression(depth)?;
                self.demand("]")?;
                syntax = Syntax { kind: Written::Index(Box::new(syntax), Box::new(index)), at };
            } else {
                return Ok(syntax);
            }
        }
    }

    fn primary(&mut self, depth: usize) -> Result<Syntax, CompileError> {
        let at = self.at();
        let constant = |constant| Ok(Syntax { kind: Written::Constant(constant), at });
        match self.peek().clone() {
            Token::Name(name) if name != "in" => {
                let _name = self.take();
                match name.as_str() {
                    "true" => constant(Constant::Bool(true)),
                    "false" => constant(Constant::Bool(false)),
                    "null" => constant(Constant::Null),
                    _ if self.follows("(") => {
                        Ok(Syntax { kind: Written::Call(None, name, self.items(")", depth)?), at })
                    }
                    _ => Ok(Syntax { kind: Written::Name(name), at }),
                }
            }
            Token::Int(number) => {
                let number = i64::try_from(number)
                    .map_err(|_| CompileError::at(self.text, at, "this number is too large; write `u` behind it"))?;
                let _number = self.take();
                constant(Constant::Int(number))
            }
            Token::Uint(number) => {
                let _number = self.take();
                constant(Constant::Uint(number))
            }
            Token::Double(number) => {
                let _number = self.take();
                constant(Constant::Double(number))
            }
            Token::Text(text) => {
                let _text = self.take();
                constant(Constant::Text(text))
            }
            Token::Sign("(") => {
                let _open = self.take();
                let inner = self.expression(depth)?;
                self.demand(")")?;
                Ok(inner)
            }
            Token::Sign("[") => {
                let _open = self.take();
                Ok(Syntax { kind: Written::List(self.items("]", depth)?), at })
            }
            Token::Sign("{") => {
                let _open = self.take();
                Ok(Syntax { kind: Written::Map(self.entries(depth)?), at })
            }
            Token::Sign(_) | Token::Name(_) | Token::End => Err(self.unexpected("a value")),
        }
    }

    /// Expressions with commas between them, up to a closing bracket; one comma may stand before that.
    fn items(&mut self, close: &'static str, depth: usize) -> Result<Vec<Syntax>, CompileError> {
        let mut items = Vec::new();
        while !self.follows(close) {
            items.push(self.expression(depth)?);
            if !self.follows(",") {
                self.demand(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(Syntax, Syntax)>, CompileError> {
        let mut entries = Vec::new();
        while !self.follows("}") {
            let key = self.expression(depth)?;
            self.demand(":")?;
            entries.push((key, self.expression(depth)?));
            if !self.follows(",") {
                self.demand("}")?;
                break;
            }
        }
        Ok(entries)
    }
}

fn joined(mut all: Vec<Syntax>, join: fn(Vec<Syntax>) -> Written, at: usize) -> Syntax {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            Syntax { kind: join(all), at }
        }
    }
}
