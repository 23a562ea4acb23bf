//! Events become trees. Here everything is refused that two readers could read differently; here the limits act.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::entries::{Clash, Entries};
use super::parse::Limits;
use super::tags::{core_suffix, tagged, unknown_tag, untypable};
use super::text::Text;
use super::tree::{Document, Key, Node, Scalar, Style, Typed, Value};
use super::typing;
use crate::reason::{ErrorCode, Place, Problem};

/// How many problems of one file are told: a file with more is no file with mistakes.
const MAX_PROBLEMS: usize = 100;

/// Every document of a text that holds something.
pub(super) fn documents(path: &Arc<str>, text: &Text<'_>, limits: &Limits) -> Result<Vec<Document>, Vec<Problem>> {
    let mut builder = Builder::new(text, limits);
    let documents = builder.stream(path);
    match documents {
        Ok(documents) if builder.problems.is_empty() => Ok(documents),
        Ok(_) | Err(Stopped) => Err(builder.problems),
    }
}

/// The documents of a text that has problems, without what they are about: for finding further problems only.
pub(super) fn remains(path: &Arc<str>, text: &Text<'_>, limits: &Limits) -> Vec<Document> {
    Builder::new(text, limits).stream(path).unwrap_or_default()
}

/// Reading cannot go on; the problem was noted.
struct Stopped;

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t Text<'t>,
    limits: &'t Limits,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    aliases: usize,
    alias_bytes: usize,
    problems: Vec<Problem>,
}

/// A node that aliases name, and what each of them costs.
struct Anchored {
    node: Node,
    size: Size,
}

#[derive(Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// What stands where a key is expected.
enum Name {
    Key(Key),
    Merge,
    /// Something that was refused and noted.
    Refused,
}

type Spanned<'t> = (Event<'t>, Span);

impl<'t> Builder<'t> {
    fn new(text: &'t Text<'t>, limits: &'t Limits) -> Self {
        let mut options = granit_parser::options! {
            disallow_directives: true,
            block_scalar_eof_without_line_feed: true,
        };
        options.set_emit_comments(false);
        Self {
            parser: Parser::new_from_str_with_options(text.text, options),
            text,
            limits,
            anchors: HashMap::new(),
            nodes: 0,
            aliases: 0,
            alias_bytes: 0,
            problems: Vec::new(),
        }
    }

    fn stream(&mut self, path: &Arc<str>) -> Result<Vec<Document>, Stopped> {
        let mut documents = Vec::new();
        let mut index: usize = 0;
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::StreamEnd) {
                return Ok(documents);
            }
            if !matches!(event, Event::DocumentStart(..)) {
                continue;
            }
            if index >= self.limits.documents {
                return Err(self.exceeded(span, "documents", self.limits.documents));
            }
            self.anchors.clear();
            let (event, span) = self.next()?;
            let root = self.node(event, span, 1)?;
            if !root.is_null() {
                documents.push(Document { file: Arc::clone(path), index, root });
            }
            index = index.saturating_add(1);
        }
    }

    fn next(&mut self) -> Result<Spanned<'t>, Stopped> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.unreadable(&error)),
            None => Err(self.stop(Problem::new(ErrorCode::YamlInvalid, "the file ends in the middle"))),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's events are its own; any other is refused")]
    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Stopped> {
        self.grow(1, span)?;
        if depth > self.limits.depth {
            return Err(self.exceeded(span, "levels of nesting", self.limits.depth));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let typed = self.typed(text, style, tag.as_deref(), span)?;
                let value = Value::Scalar(Scalar { typed, style: style_of(style) });
                self.anchored(anchor, self.finished(value, span, span.end))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", span)?;
                let (items, end) = self.items(depth)?;
                self.anchored(anchor, self.finished(Value::Sequence(items), span, end))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", span)?;
                let (entries, end) = self.entries(depth)?;
                self.anchored(anchor, self.finished(Value::Mapping(entries), span, end))
            }
            Event::Alias(anchor) => self.alias(anchor, span, depth),
            other => {
                let message = format!("unexpected {other:?} while reading");
                Err(self.stop(Problem::new(ErrorCode::YamlInvalid, message).at(place_of(span.start))))
            }
        }
    }

    fn items(&mut self, depth: usize) -> Result<(Vec<Node>, Marker), Stopped> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok((items, span.end));
            }
            items.push(self.node(event, span, depth.saturating_add(1))?);
        }
    }

    fn entries(&mut self, depth: usize) -> Result<(Vec<(Key, Node)>, Marker), Stopped> {
        let mut entries = Entries::default();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok((entries.finish(), span.end));
            }
            let name = self.name(event, span, depth)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth.saturating_add(1))?;
            let taken = match name {
                Name::Key(key) => entries.add(key, value),
                Name::Merge => entries.merge(value),
                Name::Refused => Ok(()),
            };
            if let Err(clash) = taken {
                self.clash(&clash, place_of(span.start))?;
            }
        }
    }

    fn name(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Name, Stopped> {
        if let Event::Scalar(text, ScalarStyle::Plain, _, tag) = &event
            && text == "<<"
            && tag.as_deref().is_none_or(|tag| core_suffix(tag).as_deref() == Some("merge"))
        {
            return Ok(Name::Merge);
        }
        let place = place_of(span.start);
        let node = self.node(event, span, depth.saturating_add(1))?;
        let text = match node.value {
            Value::Scalar(scalar) => key_text(scalar.typed),
            Value::Sequence(_) | Value::Mapping(_) => Err("a list or a mapping"),
        };
        match text {
            Ok(text) => Ok(Name::Key(Key { text, place })),
            Err(what) => {
                let problem = Problem::new(ErrorCode::YamlInvalid, format!("{what} is no key that every reader takes"))
                    .at(place)
                    .with_help("write the key as text in quotes");
                self.note(problem)?;
                Ok(Name::Refused)
            }
        }
    }

    /// Follows an alias: the anchored node is copied, and the copy counts against the limits.
    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Node, Stopped> {
        self.aliases = self.aliases.saturating_add(1);
        if self.aliases > self.limits.aliases {
            return Err(self.exceeded(span, "aliases", self.limits.aliases));
        }
        let Some(Anchored { node, size }) = self.anchors.get(&anchor) else {
            let problem = Problem::new(ErrorCode::YamlInvalid, "an alias stands inside the node that it names");
            return Err(self.stop(problem.at(place_of(span.start))));
        };
        let (nodes, bytes, deepest) = (size.nodes, size.bytes, size.depth.saturating_add(depth));
        self.alias_bytes = self.alias_bytes.saturating_add(bytes);
        // Checked before the copy is made, so that the limits bound the memory too.
        let affordable = self.alias_bytes <= self.limits.alias_bytes
            && deepest <= self.limits.depth.saturating_add(1)
            && self.nodes.saturating_add(nodes) <= self.limits.nodes;
        if affordable {
            let copy = node.clone();
            self.nodes = self.nodes.saturating_add(nodes);
            return Ok(copy);
        }
        if self.alias_bytes > self.limits.alias_bytes {
            return Err(self.exceeded(span, "bytes of text from aliases", self.limits.alias_bytes));
        }
        if deepest > self.limits.depth.saturating_add(1) {
            return Err(self.exceeded(span, "levels of nesting", self.limits.depth));
        }
        Err(self.exceeded(span, "nodes", self.limits.nodes))
    }

    /// Keeps an anchored node for its aliases; the copy that is kept counts like any other.
    fn anchored(&mut self, anchor: usize, node: Node) -> Result<Node, Stopped> {
        if anchor != 0 {
            let size = measure(&node);
            self.nodes = self.nodes.saturating_add(size.nodes);
            self.alias_bytes = self.alias_bytes.saturating_add(size.bytes);
            if self.nodes > self.limits.nodes || self.alias_bytes > self.limits.alias_bytes {
                let problem = too_much("nodes behind anchors", self.limits.nodes).at(node.place);
                return Err(self.stop(problem));
            }
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        Ok(node)
    }

    fn finished(&self, value: Value, span: Span, end: Marker) -> Node {
        let start = span.start.byte_offset().unwrap_or(0).saturating_add(self.text.base);
        let end = end.byte_offset().unwrap_or(0).saturating_add(self.text.base);
        Node { value, span: Range { start, end: end.max(start) }, place: place_of(span.start) }
    }

    fn typed(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Typed, Stopped> {
        let plain = matches!(style, ScalarStyle::Plain);
        let outcome = match tag {
            // In a flow collection Kubernetes' reader takes the `?` for the mark of a key.
            _ if plain && text.starts_with('?') => Err("a plain value that begins with `?`".to_owned()),
            None if plain => typing::plain(text).map_err(|odd| untypable(odd).to_owned()),
            None => Ok(Typed::String(text.into_owned())),
            Some(tag) => tagged(text, plain, tag),
        };
        match outcome {
            Ok(typed) => Ok(typed),
            Err(message) => {
                let start = span.tag_start().unwrap_or(span.start);
                let problem = Problem::new(ErrorCode::YamlInvalid, message)
                    .at(place_of(start))
                    .with_help("write text in quotes, and values without tags");
                self.note(problem)?;
                Ok(Typed::Null)
            }
        }
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), Stopped> {
        let Some(tag) = tag else { return Ok(()) };
        if core_suffix(tag).as_deref() == Some(expected) {
            return Ok(());
        }
        let problem = unknown_tag(tag).at(place_of(span.tag_start().unwrap_or(span.start)));
        self.note(problem.with_help("remove the tag"))
    }

    fn clash(&mut self, clash: &Clash, place: Place) -> Result<(), Stopped> {
        let (message, help) = match clash {
            Clash::Duplicate(key) => (
                format!("the key `{}` stands here a second time", key.text),
                "remove one of them: readers disagree on which one counts",
            ),
            Clash::SecondMerge => ("a second `<<` in one mapping".to_owned(), "write one `<<` with a list"),
            Clash::MergeAfterKey(key) => (
                format!("`<<` brings in `{key}`, which stands before it"),
                "write `<<` first: readers disagree on which one counts",
            ),
            Clash::NoMapping => ("`<<` names no mapping".to_owned(), "let `<<` name a mapping or a list of mappings"),
        };
        self.note(Problem::new(ErrorCode::YamlInvalid, message).at(place).with_help(help))
    }

    fn grow(&mut self, nodes: usize, span: Span) -> Result<(), Stopped> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.limits.nodes {
            return Err(self.exceeded(span, "nodes", self.limits.nodes));
        }
        Ok(())
    }

    fn unreadable(&mut self, error: &ScanError) -> Stopped {
        let too_deep = matches!(error.kind(), ErrorKind::RecursionLimitExceeded);
        let code = if too_deep { ErrorCode::LimitExceeded } else { ErrorCode::YamlInvalid };
        let problem = Problem::new(code, format!("the file cannot be read: {}", error.info()));
        self.stop(problem.at(place_of(*error.marker())))
    }

    fn exceeded(&mut self, span: Span, what: &str, limit: usize) -> Stopped {
        self.stop(too_much(what, limit).at(place_of(span.start)))
    }

    /// Notes a problem after which reading goes on, so that all are told at once.
    fn note(&mut self, problem: Problem) -> Result<(), Stopped> {
        self.problems.push(problem);
        if self.problems.len() >= MAX_PROBLEMS { Err(Stopped) } else { Ok(()) }
    }

    fn stop(&mut self, problem: Problem) -> Stopped {
        self.problems.push(problem);
        Stopped
    }
}

fn too_much(what: &str, limit: usize) -> Problem {
    Problem::new(ErrorCode::LimitExceeded, format!("the file has more than {limit} {what}"))
        .with_help("split the file, or leave it out with `exclude`")
}

fn place_of(marker: Marker) -> Place {
    Place { line: marker.line(), column: marker.col().saturating_add(1) }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

/// The text of a key, as it becomes a key of JSON.
pub(super) fn key_text(typed: Typed) -> Result<String, &'static str> {
    match typed {
        Typed::String(text) => Ok(text),
        Typed::Bool(truth) => Ok(truth.to_string()),
        Typed::Number(number) if number.is_i64() => Ok(number.to_string()),
        Typed::Number(_) => Err("this number"),
        Typed::Null => Err("null"),
    }
}

fn measure(node: &Node) -> Size {
    let below = |size: Size, child: &Node| {
        let child = measure(child);
        Size {
            nodes: size.nodes.saturating_add(child.nodes),
            bytes: size.bytes.saturating_add(child.bytes),
            depth: size.depth.max(child.depth.saturating_add(1)),
        }
    };
    let alone = Size { nodes: 1, bytes: 0, depth: 1 };
    match &node.value {
        Value::Scalar(Scalar { typed: Typed::String(text), .. }) => Size { bytes: text.len(), ..alone },
        Value::Scalar(_) => alone,
        Value::Sequence(items) => items.iter().fold(alone, below),
        Value::Mapping(entries) => entries.iter().fold(alone, |size, (key, child)| {
            let size = below(size, child);
            Size { bytes: size.bytes.saturating_add(key.text.len()), ..size }
        }),
    }
}
