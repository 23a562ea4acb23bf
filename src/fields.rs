//! Reads the project's own files strictly: which fields there are, what may stand in them, and every problem at once
//! with its place. What a field means is not decided here.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use crate::manifest::tree::{Key, Node, Scalar, Typed, Value};
use crate::reason::{ErrorCode, Place, Problem};

pub mod describe;
mod near;

use near::distance;

/// What is wrong with a value, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Complaint {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// A check of a string: what the word that will carry it says when parsed.
pub type Check = fn(&str) -> Result<(), Complaint>;

/// What may stand in a field.
#[derive(Debug)]
pub enum Shape {
    /// A string that this accepts.
    Text(Check),
    /// A string that this accepts, or a whole number, which is handed to it in digits.
    Quantity(Check),
    /// One of these words. `off` may be written bare, though YAML 1.1 reads `false` there.
    Word(&'static [&'static str]),
    /// `off`, which may be written bare too, or a string that this accepts.
    Switch(Check),
    /// `true` or `false`.
    Flag,
    /// A whole number in this range.
    Count(RangeInclusive<u64>),
    /// A list of at least so many and at most [`MAX_ITEMS`] of these.
    List(&'static Shape, usize),
    /// Either of two: the first where no list stands, the second where one does.
    OneOrList(&'static Shape, &'static Shape),
    /// A mapping with these fields.
    Record(&'static Record),
    /// Either of two: the first where no mapping stands, the second where one does.
    OneOrRecord(&'static Shape, &'static Record),
    /// A mapping with keys of the user's.
    Table(Check, &'static Shape),
    /// What is known and comes later.
    Later(&'static str),
}

/// A mapping with known fields.
#[derive(Debug)]
pub struct Record {
    /// Its fields.
    pub fields: &'static [Field],
    /// What must hold between them; asked though single fields may be wrong.
    pub between: fn(&Node, &Path, &mut Found<'_>),
}

/// A field of a [`Record`].
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What may stand in it.
    pub shape: Shape,
    /// Whether it must be there.
    pub presence: Presence,
}

/// Whether a field must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It need not.
    Optional,
}

/// The way from the root of a document to a node, as a reader writes it: `spec.rules[0].images`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(String);

/// The problems found in one file.
#[derive(Debug)]
pub struct Found<'a> {
    file: &'a str,
    code: ErrorCode,
    problems: Vec<Problem>,
}

/// Most items of a list, and entries of a table: what a person or a generator writes, with room.
pub const MAX_ITEMS: usize = 10_000;

/// How many problems of one file are told: a file with more is no file with mistakes.
const MAX_PROBLEMS: usize = 200;

/// Nothing must hold between the fields.
pub fn nothing(_: &Node, _: &Path, _: &mut Found<'_>) {}

/// A field that must be there.
#[must_use]
pub const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, presence: Presence::Required }
}

/// A field that need not be there.
#[must_use]
pub const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, presence: Presence::Optional }
}

/// Compares a node with what may stand there.
pub fn check(node: &Node, shape: &Shape, path: &Path, found: &mut Found<'_>) {
    match (shape, &node.value) {
        (Shape::Later(help), _) => {
            found.report(node.place, format!("`{path}` is not supported yet"), *help);
        }
        (Shape::Text(accept) | Shape::Quantity(accept), Value::Scalar(Scalar { typed: Typed::String(text), .. })) => {
            found.accept(node.place, path, accept(text));
        }
        (Shape::Switch(accept), Value::Scalar(scalar)) => match &scalar.typed {
            Typed::Bool(false) => {}
            Typed::String(text) if text == "off" => {}
            Typed::String(text) => found.accept(node.place, path, accept(text)),
            Typed::Null | Typed::Bool(true) | Typed::Number(_) => ill_typed(node, shape, path, found),
        },
        (Shape::Quantity(accept), Value::Scalar(Scalar { typed: Typed::Number(number), .. })) => {
            found.accept(node.place, path, accept(&number.to_string()));
        }
        (Shape::Word(words), Value::Scalar(scalar)) => check_word(node, scalar, words, path, found),
        (Shape::Flag, Value::Scalar(Scalar { typed: Typed::Bool(_), .. })) => {}
        (Shape::Count(range), Value::Scalar(Scalar { typed: Typed::Number(number), .. }))
            if number.as_u64().is_some_and(|count| range.contains(&count)) => {}
        (Shape::List(each, least), Value::Sequence(items)) => check_list(node, items, (each, *least), path, found),
        (Shape::OneOrList(_, list), Value::Sequence(_)) => check(node, list, path, found),
        (Shape::Record(record) | Shape::OneOrRecord(_, record), Value::Mapping(entries)) => {
            check_record(node, entries, record, path, found);
        }
        (Shape::OneOrList(one, _) | Shape::OneOrRecord(one, _), _) => check(node, one, path, found),
        (Shape::Table(accept, each), Value::Mapping(entries)) => {
            for (key, value) in entries {
                found.accept(key.place, path, accept(&key.text));
                check(value, each, &path.entry(&key.text), found);
            }
        }
        (
            Shape::Text(_)
            | Shape::Quantity(_)
            | Shape::Switch(_)
            | Shape::Word(_)
            | Shape::Flag
            | Shape::Count(_)
            | Shape::List(..)
            | Shape::Record(_)
            | Shape::Table(..),
            _,
        ) => ill_typed(node, shape, path, found),
    }
}

/// Compares a text from outside any file, such as an environment variable, with a scalar's shape.
///
/// # Errors
/// When it cannot stand there.
pub fn check_text(text: &str, shape: &Shape) -> Result<(), Complaint> {
    let answer = |fits: bool, help: String| {
        if fits { Ok(()) } else { Err(Complaint::new(format!("it cannot be `{}`", text.escape_debug()), help)) }
    };
    match shape {
        Shape::Text(accept) | Shape::Quantity(accept) => accept(text),
        Shape::Switch(accept) => {
            if text == "off" {
                Ok(())
            } else {
                accept(text)
            }
        }
        Shape::Word(words) => answer(words.contains(&text), format!("write {}", one_of(words))),
        Shape::Flag => answer(matches!(text, "true" | "false"), "write `true` or `false`".to_owned()),
        Shape::Count(range) => {
            let fits =
                text.bytes().all(|b| b.is_ascii_digit()) && text.parse().is_ok_and(|count| range.contains(&count));
            answer(fits, format!("write a whole number from {} to {}", range.start(), range.end()))
        }
        Shape::List(..)
        | Shape::OneOrList(..)
        | Shape::Record(_)
        | Shape::OneOrRecord(..)
        | Shape::Table(..)
        | Shape::Later(_) => answer(false, "set it in the file".to_owned()),
    }
}

fn check_word(node: &Node, scalar: &Scalar, words: &[&str], path: &Path, found: &mut Found<'_>) {
    let written = match &scalar.typed {
        Typed::String(text) => Some(text.as_str()),
        Typed::Bool(false) if words.contains(&"off") => Some("off"),
        Typed::Null | Typed::Bool(_) | Typed::Number(_) => None,
    };
    if !written.is_some_and(|written| words.contains(&written)) {
        let shown = written.map_or_else(|| describe(node), |written| format!("`{written}`"));
        found.report(node.place, format!("`{path}` cannot be {shown}"), format!("write {}", one_of(words)));
    }
}

fn check_list(node: &Node, items: &[Node], (each, least): (&Shape, usize), path: &Path, found: &mut Found<'_>) {
    if items.len() < least {
        found.report(node.place, format!("`{path}` is an empty list"), "name at least one, or leave the field out");
    }
    if items.len() > MAX_ITEMS {
        found.report(node.place, format!("`{path}` has more than {MAX_ITEMS} items"), "split it up");
        return;
    }
    for (index, item) in items.iter().enumerate() {
        check(item, each, &path.item(index), found);
    }
}

fn check_record(node: &Node, entries: &[(Key, Node)], record: &Record, path: &Path, found: &mut Found<'_>) {
    for (key, value) in entries {
        match record.fields.iter().find(|field| field.name == key.text) {
            Some(field) => check(value, &field.shape, &path.field(field.name), found),
            None => unknown(key, record, path, found),
        }
    }
    for field in record.fields.iter().filter(|field| field.presence == Presence::Required) {
        if node.get(field.name).is_none() {
            let within = path.within();
            found.report(node.place, format!("missing field `{}`{within}", field.name), "write it");
        }
    }
    (record.between)(node, path, found);
}

fn unknown(key: &Key, record: &Record, path: &Path, found: &mut Found<'_>) {
    let names: Vec<&str> = record.fields.iter().map(|field| field.name).collect();
    let near = names.iter().map(|name| (distance(name, &key.text), name)).min().filter(|(steps, _)| *steps <= 2);
    let help = match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => format!("the fields here are {}", one_of(&names)),
    };
    found.report(key.place, format!("unknown field `{}`{}", key.text, path.within()), help);
}

fn ill_typed(node: &Node, shape: &Shape, path: &Path, found: &mut Found<'_>) {
    let (wanted, help) = match shape {
        Shape::Text(_) => ("a string", "put it in quotes, if it is meant as text"),
        Shape::Quantity(_) => ("a number, or a string with a unit", "write for example `10MiB`"),
        Shape::Switch(_) => ("`off`, or a string", "write `off`, or a duration such as `6h`"),
        Shape::Word(_) => ("a word", "write one of the words that the documentation lists"),
        Shape::Flag => ("`true` or `false`", "write `true` or `false`, without quotes"),
        Shape::Count(range) => {
            let message = format!("`{path}` must be a whole number from {} to {}", range.start(), range.end());
            return found.report(node.place, format!("{message}, not {}", describe(node)), "write such a number");
        }
        Shape::List(..) => ("a list", "write a list: `- …`"),
        Shape::Record(_) | Shape::Table(..) => ("a mapping", "write `name: value` lines below it"),
        // These never end here: `check` hands their parts on.
        Shape::OneOrList(..) | Shape::OneOrRecord(..) | Shape::Later(_) => ("something else", "see the documentation"),
    };
    found.report(node.place, format!("`{path}` must be {wanted}, not {}", describe(node)), help);
}

fn describe(node: &Node) -> String {
    match &node.value {
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Scalar(scalar) => match &scalar.typed {
            Typed::Null => "nothing".to_owned(),
            Typed::Bool(truth) => format!("the truth value `{truth}`"),
            Typed::Number(number) => format!("the number `{number}`"),
            Typed::String(_) => "a string".to_owned(),
        },
    }
}

/// The words as a sentence has them: `a`, `b` or `c`.
#[must_use]
pub fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "none".to_owned(),
    }
}

impl Complaint {
    /// A complaint.
    #[must_use]
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

impl Path {
    /// The way to a field of this node.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The way to an item of this list.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The way to an entry under a key of the user's, which may hold dots.
    fn entry(&self, key: &str) -> Self {
        Self(format!("{}[\"{}\"]", self.0, key.escape_default()))
    }

    /// ` in …`, but at the root.
    fn within(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!(" in `{}`", self.0) }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(if self.0.is_empty() { "the document" } else { &self.0 })
    }
}

impl<'a> Found<'a> {
    /// Nothing yet, in this file.
    #[must_use]
    pub fn new(file: &'a str, code: ErrorCode) -> Self {
        Self { file, code, problems: Vec::new() }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &'a str {
        self.file
    }

    /// Takes note of a problem.
    pub fn report(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.report_as(self.code, place, message, help);
    }

    /// Takes note of a problem that is of another kind than those of the file itself.
    pub fn report_as(&mut self, code: ErrorCode, place: Place, message: impl Into<String>, help: impl Into<String>) {
        match self.problems.len().cmp(&MAX_PROBLEMS) {
            Ordering::Less => self.push(code, place, message, help),
            Ordering::Equal => {
                self.push(self.code, place, "there are more problems than are told", "mend these first");
            }
            Ordering::Greater => {}
        }
    }

    fn push(&mut self, code: ErrorCode, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(code, message).in_file(self.file).at(place).with_help(help));
    }

    /// Takes note of what was not accepted.
    pub fn accept(&mut self, place: Place, path: &Path, answer: Result<(), Complaint>) {
        if let Err(Complaint { message, help }) = answer {
            self.report(place, format!("{message} (in `{path}`)"), help);
        }
    }

    /// Takes over problems that another reader found in the file, under the code of this one.
    pub fn take(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems.into_iter().map(|problem| Problem { code: self.code, ..problem }));
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems, in the order of the file.
    #[must_use]
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.place);
        self.problems
    }
}

#[cfg(test)]
mod tests;
