//! A file becomes documents, or a list of everything that is wrong with it. It reads text only: what the documents mean
//! is not asked here, so policies and settings are read by it too.

use std::sync::Arc;

use super::text::Text;
use super::tree::{Document, Rules};
use super::{borders, build, json};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

/// How large a file and what it expands to may be. Each limit is there because a small file can make a large tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Documents in one file.
    pub documents: usize,
    /// Levels of nesting, aliases followed.
    pub depth: usize,
    /// Nodes of all documents of a file, aliases followed.
    pub nodes: usize,
    /// Aliases in one file.
    pub aliases: usize,
    /// Bytes of text that aliases may add to a file.
    pub alias_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 10 << 20,
            documents: 10_000,
            depth: 100,
            nodes: 1_000_000,
            aliases: 10_000,
            alias_bytes: 16 << 20,
        }
    }
}

/// All documents of a file; those that hold nothing are left out, but counted. A `.json` file is read by JSON's rules.
///
/// # Errors
/// Every problem that was found, each with its place.
pub fn read(file: &File, limits: &Limits) -> Result<Vec<Document>, Vec<Problem>> {
    let refuse = |problem: Problem| vec![problem.in_file(file.path.as_ref())];
    if file.bytes.len() > limits.file_bytes {
        let message = format!("the file has {} bytes, {} are allowed", file.bytes.len(), limits.file_bytes);
        return Err(refuse(Problem::new(ErrorCode::LimitExceeded, message)));
    }
    let text = Text::new(&file.bytes).map_err(refuse)?;
    read_checked(&file.path, &text, is_json(&file.path), limits)
}

/// The documents of a text that stands inside another document, by the rules of JSON where that is said.
///
/// # Errors
/// As [`read`]; places are those inside the text.
pub fn read_text(path: &Arc<str>, text: &str, rules: Rules, limits: &Limits) -> Result<Vec<Document>, Vec<Problem>> {
    let text = Text::new(text.as_bytes()).map_err(|problem| vec![problem.in_file(path.as_ref())])?;
    read_checked(path, &text, rules, limits)
}

fn read_checked(
    path: &Arc<str>,
    text: &Text<'_>,
    rules: Rules,
    limits: &Limits,
) -> Result<Vec<Document>, Vec<Problem>> {
    let named = |problems: Vec<Problem>| -> Vec<Problem> {
        problems.into_iter().map(|problem| problem.in_file(path.as_ref())).collect()
    };
    match rules {
        Rules::Yaml => {
            borders::checked(text.text).map_err(|problem| named(vec![problem]))?;
            build::documents(path, text, limits).map_err(named)
        }
        Rules::Json => {
            let value = json::strict(text).map_err(|problem| named(vec![problem]))?;
            let documents = build::documents(path, text, limits).map_err(named)?;
            json::agrees(&documents, &value).map_err(|problem| named(vec![problem]))?;
            Ok(documents)
        }
    }
}

fn is_json(path: &str) -> Rules {
    match path.rsplit_once('.') {
        Some((_, extension)) if extension.eq_ignore_ascii_case("json") => Rules::Json,
        Some(_) | None => Rules::Yaml,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde_json::{Value, json};

    use super::*;
    use crate::reason::Place;

    fn parse(path: &str, bytes: &[u8]) -> Result<Vec<Document>, Vec<Problem>> {
        let file = File { path: path.into(), bytes: bytes.to_vec().into() };
        read(&file, &Limits::default())
    }

    fn values(text: &str) -> Vec<Value> {
        parse("a.yaml", text.as_bytes()).unwrap().iter().map(|document| document.root.to_json()).collect()
    }

    #[test]
    fn documents_read_as_kubernetes_reads_them() {
        let table = [
            ("mode: 0644\non: off\n", vec![json!({"mode": 420, "true": false})]),
            ("a: '0644'\nb: \"on\"\n", vec![json!({"a": "0644", "b": "on"})]),
            ("a: !!binary aGVsbG8=\n", vec![json!({"a": "hello"})]),
            ("a: !!str 12\nb: !!str\nc: !!int 7\nd: !!float 2\n", vec![json!({"a": "12", "b": "", "c": 7, "d": 2})]),
            ("a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\n", vec![json!({"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}})]),
            (
                "a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}\n",
                vec![json!({"a": {"p": 1}, "b": {"p": 2, "q": 2}, "c": {"p": 1, "q": 2}})],
            ),
            ("a: {'<<': 1}\n", vec![json!({"a": {"<<": 1}})]),
            ("---\na: 1\n---\n---\n# nothing\n---\nnull\n---\nb: 2\n...\n", vec![json!({"a": 1}), json!({"b": 2})]),
            ("a: |\n  text", vec![json!({"a": "text"})]),
            ("a: |\n  text\n", vec![json!({"a": "text\n"})]),
            ("a: >-\n  x\n  y\n", vec![json!({"a": "x y"})]),
            ("\u{FEFF}a: 1\r\nb: 2\r\n", vec![json!({"a": 1, "b": 2})]),
            ("{\"a\": [1, 2], \"b\": {}}", vec![json!({"a": [1, 2], "b": {}})]),
            ("- 1\n- x\n", vec![json!([1, "x"])]),
            ("? a\n: 1\n", vec![json!({"a": 1})]),
            ("a: &x 1\n*x : 2\n", vec![json!({"a": 1, "1": 2})]),
            ("a:\n- b\n-\n", vec![json!({"a": ["b", null]})]),
            ("", vec![]),
            ("# only a comment\n", vec![]),
        ];
        for (text, expected) in table {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn what_readers_disagree_on_is_refused_at_its_place() {
        let table = [
            ("a: 1\nb: 2\na: 3\n", 3, 1),
            ("true: 1\nyes: 2\n", 2, 1),
            ("x: &b {p: 1}\ny: {p: 9, <<: *b}\n", 2, 11),
            ("x: &b {p: 1}\ny:\n  <<: *b\n  <<: *b\n", 4, 3),
            ("y: {<<: 3}\n", 1, 5),
            ("a: !secret x\n", 1, 4),
            ("a: !!set {x}\n", 1, 4),
            ("a: !!int \"12\"\n", 1, 4),
            ("a: !!int x\n", 1, 4),
            ("a: !!timestamp 2001-01-01\n", 1, 4),
            ("a: ! x\n", 1, 4),
            ("a: !!binary '*'\n", 1, 4),
            ("? {a: 1}\n: 2\n", 1, 3),
            ("? [a]\n: 2\n", 1, 3),
            ("~: 1\n", 1, 1),
            (": 1\n", 1, 1),
            ("1.5: 1\n", 1, 1),
            ("a: .inf\n", 1, 4),
            ("a: .nan\n", 1, 4),
            ("%YAML 1.1\n---\na: 1\n", 1, 1),
            ("a: *nowhere\n", 1, 4),
            ("a: &x [*x]\n", 1, 8),
            ("a: [1\n", 1, 4),
            ("a: b: c\n", 1, 5),
            ("ü: {é: 1, é: 2}\n", 1, 11),
        ];
        for (text, line, column) in table {
            let problems = parse("a.yaml", text.as_bytes()).unwrap_err();
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert_eq!(problems[0].code, ErrorCode::YamlInvalid, "{text}");
            assert_eq!(problems[0].place, Some(Place { line, column }), "{text}: {problems:?}");
            assert_eq!(problems[0].file.as_deref(), Some("a.yaml"));
        }
    }

    #[test]
    fn every_problem_of_a_file_is_told() {
        let problems = parse("a.yaml", b"a: 1\na: !x 2\n~: 3\n").unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn json_files_are_read_as_json() {
        let good = r#"{"a": "\/\ud83e\udd80", "b": [1.0, -0, 1e2, true, null], "0644": {"<<": 0.5}}"#;
        let documents = parse("A.JSON", good.as_bytes()).unwrap();
        let expected = json!({"a": "/\u{1F980}", "b": [1, 0, 100, true, null], "0644": {"<<": 0.5}});
        assert_eq!(documents[0].root.to_json(), expected);
        for bad in
            ["{a: 1}", "{\"a\": 1,}", "{\"a\": 0644}", "{\"a\": 1, \"a\": 2}", "{} {}", "# c\n{}", "", "{'a': 1}"]
        {
            let problems = parse("a.json", bad.as_bytes()).unwrap_err();
            assert!(problems.iter().all(|problem| problem.code == ErrorCode::YamlInvalid), "{bad}");
        }
        let problems = parse("a.json", "{\"é\": 1,\n \"éé\" x}".as_bytes()).unwrap_err();
        assert_eq!(problems[0].place, Some(Place { line: 2, column: 7 }));
    }

    #[test]
    fn the_limits_act() {
        let bomb = (0..12).fold("a0: &a0 [x]\n".to_owned(), |mut text, level: usize| {
            let below = format!("*a{level}, ").repeat(10);
            writeln!(text, "a{0}: &a{0} [{below}]", level + 1).unwrap();
            text
        });
        let chain = (0..200).fold("a0: &a0 [x]\n".to_owned(), |mut text, level: usize| {
            writeln!(text, "a{0}: &a{0} [*a{level}]", level + 1).unwrap();
            text
        });
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(500));
        let many = "---\na: 1\n".repeat(10_001);
        let texts = [
            bomb,
            chain,
            long,
            many,
            format!("{}{}", "[".repeat(101), "]".repeat(101)),
            "[".repeat(100_000),
            "- ".repeat(101),
            format!("a: &a x\nb: [{}]", "*a,".repeat(10_001)),
            format!("[{}]", "[],".repeat(1_000_001)),
            "#".repeat((10 << 20) + 1),
        ];
        for text in texts {
            let problems = parse("a.yaml", text.as_bytes()).unwrap_err();
            let start = text.get(..40).unwrap();
            assert_eq!(problems[0].code, ErrorCode::LimitExceeded, "{start}: {:?}", problems[0]);
        }
        assert!(parse("a.yaml", format!("{}{}", "[".repeat(99), "]".repeat(99)).as_bytes()).is_ok());
    }

    #[test]
    fn spans_are_the_scalars_own_bytes() {
        let text = "\u{FEFF}ü: &x 'a'\r\nb: [\"c\", *x]\r\nd: |\r\n  e\r\n";
        let documents = parse("a.yaml", text.as_bytes()).unwrap();
        let root = &documents[0].root;
        let slice = |node: &super::super::Node| text.get(node.span.clone()).unwrap().to_owned();
        assert_eq!(slice(root.get("ü").unwrap()), "'a'");
        assert_eq!(root.get("ü").unwrap().place, Place { line: 1, column: 7 });
        let items = root.get("b").unwrap().items().unwrap();
        assert_eq!((slice(&items[0]), slice(&items[1])), ("\"c\"".to_owned(), "'a'".to_owned()));
        assert!(slice(root.get("d").unwrap()).contains('e'));
    }
}
