//! Throws changed manifests and random bytes at reading, discovering and pinning, the same ones in every run.
//!
//! `cargo test --test fuzz` runs for five seconds, `TEST_FUZZ_SECONDS=60` for sixty; `TEST_FUZZ_SEED` starts elsewhere.
//! What fails is told with its input. Each text is also read behind a comment, which must move it and change nothing.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a failure is a panic that tells the input; how long to run is said by the environment"
)]

use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use sealgate::discovery::site::{Action, Form, Site, Step};
use sealgate::discovery::{FieldRule, Rules, discover};
use sealgate::image::Digest;
use sealgate::manifest::tree::{Node, Value};
use sealgate::manifest::{Document, Edit, Limits, pin, read};
use sealgate::snapshot::File;

/// Largest input, in bytes.
const MAX_INPUT: usize = 64 << 10;

/// The memory that all this may take at its peak, in KiB.
const MAX_MEMORY: u64 = 1 << 20;

/// A line that says nothing.
const COMMENT: &[u8] = b"#\r\n";

/// Pieces that mean something to YAML.
const PIECES: [&str; 48] = [
    "\n",
    "\n  ",
    "\n    ",
    "\n- ",
    "\n  - ",
    "- ",
    ": ",
    ":",
    " #",
    "#",
    "|",
    "|-",
    "|2+",
    ">",
    ">-",
    "'",
    "\"",
    "\\",
    "[",
    "]",
    "{",
    "}",
    ",",
    ", ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!",
    "? ",
    "---\n",
    "\n---\n",
    "...\n",
    "%YAML 1.1\n",
    "\t",
    "\r\n",
    "\r",
    "\u{FEFF}",
    "\u{85}",
    "\u{2028}",
    "ü",
    "\u{1F980}",
    "\0",
    "0644",
    "on",
    "~",
    "image: a:1\n",
    "1e9",
];

#[test]
fn nothing_breaks_reading_discovering_and_pinning() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
    };
    let seconds = number("TEST_FUZZ_SECONDS", 5);
    let mut random = Random(number("TEST_FUZZ_SEED", 0x5EA1) | 1);
    let (corpus, fuzz) = (corpus(), Fuzz::new());
    for (path, bytes) in &corpus {
        fuzz.guarded(path, bytes);
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut rounds, mut pinned) = (0_u64, 0_u64);
    while Instant::now() < end {
        let (path, bytes) = random.input(&corpus);
        pinned += u64::from(fuzz.guarded(&path, &bytes));
        rounds += 1;
    }
    let memory = peak_memory();
    eprintln!("{rounds} inputs, {pinned} of them pinned, {memory} KiB of memory at the peak");
    assert!(memory < MAX_MEMORY, "{memory} KiB of memory at the peak, {MAX_MEMORY} KiB are allowed");
}

/// The files of the corpus: name and bytes.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/manifests")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// The most memory that this process has had, in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A generator of numbers (xorshift): the same ones in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit.max(1)).unwrap();
        usize::try_from((self.0 >> 11) % limit).unwrap()
    }

    fn range(&mut self, length: usize) -> Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(8) == 0 { length } else { 12 };
        start..(start + self.below(longest + 1)).min(length)
    }

    fn input(&mut self, corpus: &[(String, Vec<u8>)]) -> (String, Vec<u8>) {
        if self.below(16) == 0 {
            let length = self.below(300);
            return ("a.yaml".to_owned(), (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect());
        }
        let (path, bytes) = &corpus[self.below(corpus.len())];
        let mut bytes = bytes.clone();
        // Half of them are changed once, so that many can still be pinned.
        let changes = if self.below(2) == 0 { 1 } else { 1 + self.below(6) };
        for _ in 0..changes {
            self.change(&mut bytes, corpus);
        }
        bytes.truncate(MAX_INPUT);
        (path.clone(), bytes)
    }

    fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[(String, Vec<u8>)]) {
        let range = self.range(bytes.len());
        match self.below(7) {
            0 => drop(bytes.drain(range)),
            1 => {
                let copy = bytes[range.clone()].to_vec();
                let times = if self.below(16) == 0 { 1 + self.below(200) } else { 1 };
                bytes.splice(range.start..range.start, copy.repeat(times));
            }
            2 | 3 => {
                let piece = PIECES[self.below(PIECES.len())];
                let times = if self.below(32) == 0 { 1 + self.below(300) } else { 1 };
                bytes.splice(range.start..range.start, piece.repeat(times).bytes());
            }
            4 => {
                let piece = PIECES[self.below(PIECES.len())];
                bytes.splice(range, piece.bytes());
            }
            5 => {
                let (_, other) = &corpus[self.below(corpus.len())];
                let part = self.range(other.len());
                bytes.splice(range, other[part].iter().copied());
            }
            _ => {
                let byte = u8::try_from(self.below(256)).unwrap();
                bytes.splice(range.start..range.start, [byte]);
            }
        }
    }
}

struct Fuzz {
    limits: Limits,
    rules: Rules,
    digest: Digest,
}

impl Fuzz {
    fn new() -> Self {
        let rule = |path: &str| FieldRule::new("", "ConfigMap", path, Action::Pin).unwrap();
        let fields = vec![rule("data[\"values.yaml\"](yaml).image"), rule("data[\"app.json\"](json).image")];
        let rules = Rules { fields, ..Rules::default() };
        Self { limits: Limits::default(), rules, digest: Digest::of(b"image") }
    }

    /// Checks an input, and tells it where that fails. Whether it was pinned.
    fn guarded(&self, path: &str, bytes: &[u8]) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.check(path, bytes))).unwrap_or_else(|_| {
            panic!("the input that failed, as {path}: \"{}\"", bytes.escape_ascii());
        })
    }

    fn check(&self, path: &str, bytes: &[u8]) -> bool {
        let file = file(path, bytes);
        let documents = read(&file, &self.limits);
        let is_json = path.to_ascii_lowercase().ends_with(".json");
        if !is_json && !bytes.starts_with("\u{FEFF}".as_bytes()) {
            self.check_behind_comment(path, bytes, documents.as_deref().ok());
        }
        let Ok(documents) = documents else { return false };
        let Some(sites) = self.sites(&documents) else { return false };
        let edits = self.edits(&sites);
        let Ok(pinned) = pin(&file, &documents, &edits, &self.limits) else { return false };
        check_bytes(bytes, &documents, &pinned.bytes, &pinned.documents, &edits);
        check_trees(&documents, &pinned.documents, &edits);
        let again = self::file(path, &pinned.bytes);
        let read_again = read(&again, &self.limits).unwrap();
        assert!(read_again == pinned.documents, "the pinned file reads differently");
        let Some(sites) = self.sites(&read_again) else { return true };
        let edits_again = self.edits(&sites);
        if let Ok(twice) = pin(&again, &read_again, &edits_again, &self.limits) {
            assert!(twice.bytes == pinned.bytes, "a second run changes something");
        }
        !edits.is_empty()
    }

    fn check_behind_comment(&self, path: &str, bytes: &[u8], documents: Option<&[Document]>) {
        let moved = read(&file(path, &[COMMENT, bytes].concat()), &self.limits).ok();
        let (Some(documents), Some(moved)) = (documents, &moved) else {
            assert_eq!(documents.is_some(), moved.is_some(), "a comment in front decides whether it is read");
            return;
        };
        assert_eq!(documents.len(), moved.len(), "a comment in front is a document");
        for (ours, theirs) in documents.iter().zip(moved) {
            assert_eq!(ours.index, theirs.index);
            same_tree(&ours.root, &theirs.root);
        }
    }

    fn sites(&self, documents: &[Document]) -> Option<Vec<Site>> {
        let mut sites = Vec::new();
        for document in documents {
            sites.append(&mut discover(document, Some("shop"), &self.rules).ok()?);
        }
        Some(sites)
    }

    /// What the gate would write.
    fn edits<'s>(&self, sites: &'s [Site]) -> Vec<Edit<'s>> {
        let edit = |site: &'s Site| {
            let image = site.image.as_ref().ok().filter(|image| image.digest().is_none())?;
            let text = match &site.form {
                Form::Whole { prefix } => format!("{prefix}{}", image.pinned(&self.digest)),
                Form::Tag => format!("{}@{}", image.tag()?.as_str(), self.digest),
                Form::Fixed | Form::Text => return None,
            };
            Some(Edit { site, text })
        };
        sites.iter().filter(|site| site.action == Action::Pin).filter_map(edit).collect()
    }
}

fn file(path: &str, bytes: &[u8]) -> File {
    File { path: path.into(), bytes: bytes.to_vec().into() }
}

/// One tree, but that the second stands one line further down.
fn same_tree(ours: &Node, theirs: &Node) {
    assert_eq!((ours.place.line + 1, ours.place.column), (theirs.place.line, theirs.place.column), "{ours:?}");
    let shifted = ours.span.start + COMMENT.len()..ours.span.end + COMMENT.len();
    assert_eq!(shifted, theirs.span, "{ours:?}");
    match (&ours.value, &theirs.value) {
        (Value::Scalar(ours), Value::Scalar(theirs)) => assert_eq!(ours, theirs),
        (Value::Sequence(ours), Value::Sequence(theirs)) => {
            assert_eq!(ours.len(), theirs.len());
            ours.iter().zip(theirs).for_each(|(ours, theirs)| same_tree(ours, theirs));
        }
        (Value::Mapping(ours), Value::Mapping(theirs)) => {
            assert_eq!(ours.len(), theirs.len());
            for ((key, ours), (their_key, theirs)) in ours.iter().zip(theirs) {
                assert_eq!(key.text, their_key.text);
                same_tree(ours, theirs);
            }
        }
        (Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_), _) => panic!("{ours:?} is {theirs:?}"),
    }
}

/// The steps of a site outside texts that are kept in strings.
fn outer(site: &Site) -> &[Step] {
    let border = site.route.iter().position(|step| matches!(step, Step::Inside(..)));
    &site.route[..border.unwrap_or(site.route.len())]
}

fn spans(documents: &[Document], edits: &[Edit<'_>]) -> Vec<Range<usize>> {
    let span = |edit: &Edit<'_>| {
        let document = documents.iter().find(|document| document.index == edit.site.document).unwrap();
        document.root.at(outer(edit.site)).unwrap().span.clone()
    };
    let mut spans: Vec<_> = edits.iter().map(span).collect();
    spans.sort_by_key(|span| span.start);
    spans.dedup();
    spans
}

/// What stands between the sites is the same in both files.
fn check_bytes(old: &[u8], old_documents: &[Document], new: &[u8], new_documents: &[Document], edits: &[Edit<'_>]) {
    let between = |bytes: &[u8], spans: &[Range<usize>]| -> Vec<Vec<u8>> {
        let mut from = 0;
        let mut parts = Vec::new();
        for span in spans {
            parts.push(bytes[from..span.start].to_vec());
            from = span.end;
        }
        parts.push(bytes[from..].to_vec());
        parts
    };
    let (before, after) = (between(old, &spans(old_documents, edits)), between(new, &spans(new_documents, edits)));
    assert!(before == after, "bytes outside the sites have changed");
}

/// Without what stands at the sites, both files are the same values.
fn check_trees(old: &[Document], new: &[Document], edits: &[Edit<'_>]) {
    assert_eq!(old.len(), new.len());
    for (old, new) in old.iter().zip(new) {
        let (mut before, mut after) = (old.root.to_json(), new.root.to_json());
        for edit in edits.iter().filter(|edit| edit.site.document == old.index) {
            let inside = outer(edit.site).len() < edit.site.route.len();
            let was = at(&mut before, outer(edit.site));
            let is = at(&mut after, outer(edit.site));
            // Of two edits inside one text, the second finds it gone already.
            assert!(inside || *is == edit.text, "{is} is not the pin {}", edit.text);
            *was = serde_json::Value::Null;
            *is = serde_json::Value::Null;
        }
        assert!(before == after, "something besides the sites has changed");
    }
}

fn at<'v>(value: &'v mut serde_json::Value, route: &[Step]) -> &'v mut serde_json::Value {
    route.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key.as_str()],
        Step::Index(index) => &mut value[*index],
        Step::Inside(..) => value,
    })
}
