//! From syntax to a tree: names are resolved, and only what is known is let through.

use super::functions::Function;
use super::parse::{Syntax, Written, parse};
use super::tree::{Constant, Kind, Loop, Node, Pattern, Variable};

/// Longest expression, in bytes, and in words.
const MAX_TEXT: usize = 64 * 1024;
pub(super) const MAX_TOKENS: usize = 8192;
/// How deep an expression may nest, chains of operators and members among them.
pub(super) const MAX_DEPTH: usize = 48;
/// How many loops may lie in each other.
const MAX_LOOPS: usize = 3;
/// Sizes of compiled regular expressions, in bytes, and what a byte of text costs up to each. The last is the largest.
const PATTERNS: [(usize, usize); 3] = [(8 * 1024, 2), (32 * 1024, 12), (128 * 1024, 48)];

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// What is wrong.
    pub message: String,
    /// Where in the expression: line and column in characters, from 1; none where it is about the whole.
    pub place: Option<(usize, usize)>,
}

impl CompileError {
    /// Something wrong at this byte of a text.
    pub(super) fn at(text: &str, at: usize, message: impl Into<String>) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
        let line = before.matches('\n').count().saturating_add(1);
        Self { message: message.into(), place: Some((line, column)) }
    }
}

/// Compiles an expression.
pub(super) fn compile(text: &str) -> Result<Node, CompileError> {
    if text.len() > MAX_TEXT {
        let message = format!("an expression has at most {MAX_TEXT} bytes, this one {}", text.len());
        return Err(CompileError { message, place: None });
    }
    Compiler { text, locals: Vec::new() }.node(&parse(text)?, MAX_DEPTH)
}

struct Compiler<'t> {
    text: &'t str,
    /// The variables of the loops around, outermost first.
    locals: Vec<String>,
}

impl Compiler<'_> {
    fn error(&self, at: &Syntax, message: impl Into<String>) -> CompileError {
        CompileError::at(self.text, at.at, message)
    }

    fn boxed(&mut self, syntax: &Syntax, depth: usize) -> Result<Box<Node>, CompileError> {
        self.node(syntax, depth).map(Box::new)
    }

    fn nodes(&mut self, all: &[Syntax], depth: usize) -> Result<Vec<Node>, CompileError> {
        all.iter().map(|one| self.node(one, depth)).collect()
    }

    fn node(&mut self, syntax: &Syntax, depth: usize) -> Result<Node, CompileError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.error(syntax, format!("an expression nests at most {MAX_DEPTH} deep")));
        };
        Ok(match &syntax.kind {
            Written::Constant(constant) => Node::Constant(constant.clone()),
            Written::Name(name) => self.name(syntax, name)?,
            Written::Select(of, name) => Node::Select(self.boxed(of, depth)?, name.clone()),
            Written::Index(of, index) => Node::Index(self.boxed(of, depth)?, self.boxed(index, depth)?),
            Written::Call(target, name, arguments) => {
                return self.call(syntax, (target.as_deref(), name), arguments, depth);
            }
            Written::List(items) => {
                let items = self.nodes(items, depth)?;
                let written = items.iter().map(written).collect::<Option<Vec<_>>>();
                written.map_or(Node::List(items), Node::Written)
            }
            Written::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| self.entry(key, value, depth));
                Node::Map(entries.collect::<Result<_, _>>()?)
            }
            Written::Not(of) => Node::Not(self.boxed(of, depth)?),
            Written::Negate(of) => Node::Negate(self.boxed(of, depth)?),
            Written::All(all) => Node::All(self.nodes(all, depth)?),
            Written::Any(all) => Node::Any(self.nodes(all, depth)?),
            Written::Choose(condition, yes, no) => {
                Node::Choose(self.boxed(condition, depth)?, self.boxed(yes, depth)?, self.boxed(no, depth)?)
            }
            Written::Binary(operator, one, other) => {
                Node::Binary(*operator, self.boxed(one, depth)?, self.boxed(other, depth)?)
            }
        })
    }

    fn name(&self, at: &Syntax, name: &str) -> Result<Node, CompileError> {
        if let Some(depth) = self.locals.iter().rposition(|local| local == name) {
            return Ok(Node::Local(depth));
        }
        Ok(Node::Variable(match name {
            "predicate" => Variable::Predicate,
            "statement" => Variable::Statement,
            "image" => Variable::Image,
            "now" => Variable::Now,
            _ => {
                let known = "conditions see `predicate`, `statement`, `image` and `now`";
                return Err(self.error(at, format!("there is no variable `{name}`; {known}")));
            }
        }))
    }

    fn entry(&mut self, key: &Syntax, value: &Syntax, depth: usize) -> Result<(String, Node), CompileError> {
        let Written::Constant(Constant::Text(name)) = &key.kind else {
            return Err(self.error(key, "a map's keys must be texts that are written out"));
        };
        Ok((name.clone(), self.node(value, depth)?))
    }

    fn call(
        &mut self,
        at: &Syntax,
        (target, name): (Option<&Syntax>, &str),
        arguments: &[Syntax],
        depth: usize,
    ) -> Result<Node, CompileError> {
        if let Some(kind) = kind(name) {
            return self.each(at, (kind, name, target), arguments, depth);
        }
        match (name, target, arguments) {
            ("has", None, [argument]) => {
                let Written::Select(of, member) = &argument.kind else {
                    return Err(self.error(argument, "`has` asks for a member, as in `has(predicate.member)`"));
                };
                return Ok(Node::Has(self.boxed(of, depth)?, member.clone()));
            }
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                return self.matches(text, pattern, depth);
            }
            ("matches", ..) => {
                return Err(self.error(at, "`matches` is not called so; write `text.matches(\"pattern\")`"));
            }
            _ => {}
        }
        let Some(function) = Function::named(name) else {
            return Err(self.error(at, format!("there is no function `{name}`")));
        };
        let all = target.into_iter().chain(arguments).map(|one| self.node(one, depth));
        let all: Vec<Node> = all.collect::<Result<_, _>>()?;
        if !function.takes(all.len(), target.is_some()) {
            return Err(self.error(at, format!("`{name}` is not called so; write `{}`", function.usage())));
        }
        match (function, all.as_slice()) {
            (Function::Timestamp, [Node::Constant(Constant::Text(text))]) => match text.parse() {
                Ok(time) => Ok(Node::Constant(Constant::Time(time))),
                Err(_) => Err(self.error(at, "this is no timestamp; write `2027-01-31T00:00:00Z`")),
            },
            _ => Ok(Node::Call(function, all)),
        }
    }

    /// What goes through the items of a list.
    fn each(
        &mut self,
        at: &Syntax,
        (kind, name, target): (Kind, &str, Option<&Syntax>),
        arguments: &[Syntax],
        depth: usize,
    ) -> Result<Node, CompileError> {
        let (range, variable, filter, body) = match (target, kind, arguments) {
            (Some(range), _, [variable, body]) => (range, variable, None, body),
            (Some(range), Kind::Map, [variable, filter, body]) => (range, variable, Some(filter), body),
            _ => return Err(self.error(at, format!("`{name}` is not called so; write `list.{name}(item, …)`"))),
        };
        let range = self.node(range, depth)?;
        let Written::Name(item) = &variable.kind else {
            return Err(self.error(variable, "the first argument names the item"));
        };
        if self.locals.len() >= MAX_LOOPS {
            return Err(self.error(variable, format!("at most {MAX_LOOPS} loops may lie in each other")));
        }
        self.locals.push(item.clone());
        let filter = filter.map(|filter| self.node(filter, depth)).transpose();
        let body = self.node(body, depth);
        self.locals.pop();
        Ok(Node::Loop(Box::new(Loop { kind, range, filter: filter?, body: body? })))
    }

    /// The pattern must be written out, so that it is compiled once, and bounded, when the policy is loaded.
    fn matches(&mut self, text: &Syntax, pattern: &Syntax, depth: usize) -> Result<Node, CompileError> {
        let Written::Constant(Constant::Text(written)) = &pattern.kind else {
            return Err(self.error(pattern, "the pattern of `matches` must be a text that is written out"));
        };
        let compiled = bounded(written).map_err(|message| self.error(pattern, message))?;
        Ok(Node::Matches(self.boxed(text, depth)?, compiled))
    }
}

fn kind(name: &str) -> Option<Kind> {
    match name {
        "all" => Some(Kind::All),
        "exists" => Some(Kind::Exists),
        "exists_one" | "existsOne" => Some(Kind::ExistsOne),
        "filter" => Some(Kind::Filter),
        "map" => Some(Kind::Map),
        _ => None,
    }
}

/// A pattern, and what a byte costs it: the larger its program, the more of it a byte may pass through.
fn bounded(written: &str) -> Result<Pattern, String> {
    let mut refused = String::new();
    for (size, cost) in PATTERNS {
        match regex::RegexBuilder::new(written).size_limit(size).dfa_size_limit(size.saturating_mul(4)).build() {
            Ok(regex) => return Ok(Pattern { regex, cost }),
            Err(error) => refused = error.to_string(),
        }
    }
    Err(format!("no usable regular expression: {}", refused.lines().last().unwrap_or_default()))
}

/// What is written out, as data.
fn written(node: &Node) -> Option<serde_json::Value> {
    let Node::Constant(constant) = node else { return None };
    match constant {
        Constant::Null => Some(serde_json::Value::Null),
        Constant::Bool(truth) => Some((*truth).into()),
        Constant::Int(number) => Some((*number).into()),
        Constant::Text(text) => Some(text.as_str().into()),
        Constant::Uint(_) | Constant::Double(_) | Constant::Time(_) => None,
    }
}
