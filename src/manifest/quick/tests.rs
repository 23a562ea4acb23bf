//! Whatever the quick reader reads, the general parser reads as the same tree, places and spans included.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::super::build;
use super::*;

/// Whether the quick reader took the text; where it did, the general parser must agree.
fn quick_and_right(text: &str) -> bool {
    let (path, limits) = (Arc::from("a.yaml"), Limits::default());
    let Ok(text) = Text::new(text.as_bytes()) else { return false };
    let Some(quick) = documents(&path, &text, &limits) else { return false };
    match build::documents(&path, &text, &limits) {
        Ok(general) => assert!(
            quick == general,
            "{:?}\n{}",
            quick.iter().zip(&general).find_map(|(a, b)| difference(&a.root, &b.root)),
            text.text
        ),
        Err(problems) => panic!("the general parser refuses it: {problems:?}\n{}", text.text),
    }
    true
}

/// The first nodes that differ.
fn difference(ours: &Node, theirs: &Node) -> Option<String> {
    let told = |ours: &Node, theirs: &Node| Some(format!("{ours:?}\nis\n{theirs:?}"));
    match (&ours.value, &theirs.value) {
        (Value::Sequence(a), Value::Sequence(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .find_map(|(a, b)| difference(a, b))
            .or_else(|| (ours != theirs).then(|| told(ours, theirs))?),
        (Value::Mapping(a), Value::Mapping(b)) if a.len() == b.len() => {
            let below = a.iter().zip(b).find_map(|((_, a), (_, b))| difference(a, b));
            below.or_else(|| (ours != theirs).then(|| told(ours, theirs))?)
        }
        _ => (ours != theirs).then(|| told(ours, theirs))?,
    }
}

#[test]
fn common_manifests_are_read_quickly() {
    let texts = [
        "",
        "# nothing\n",
        "---\n---\n# c\n---\na: 1\n---\n",
        "a: 1",
        "a: 1\nb: x y  z   # c\nc: 'q' # c\nd: \"e\"\n",
        "a:\nb:  # c\n\n  # c\n\nc:\n",
        "a:\n  b:\n    c: 1\n  d: 2\ne: 3\n",
        "a:\n- b\n- c: 1\n  d: 2\n-\n- e:\n  - f\n  g: h\nz: 1\n",
        "a:\n  - b\n  -   c: 1\n      d: 2\n  - - x\n    - y\n  -\n    k: v\n\n\nz: 1\n",
        "a: {}\nb: []\nc: [a, \"b\", 'c d', 1.5]\nd: {x: [1, {y: z}], 'q': http://a/b:1} # c\n- [x]\n",
        "a: |\n  x\n\n   y: [\n  # no comment\n\n\nb: |-\n    ü\n    z\n# c\nc: 1\n",
        "a:\n- b: |\n    x\n  c: 1\n",
        "mode: 0644\non: off\n1: ~\n\"x/y\": -1\nz: --flag=a:b\nurl: http://x:80/#y\n",
        "\u{FEFF}a: 1\n",
        "- 1\n- x\n",
        "# ü\na: b # ü\nc: 1\n",
        "a: 1\n---\n# c\nb: 2\n--- # c\nc: 3\n",
    ];
    let slow = ["a: {}\nb: []\nc: [a, \"b\", 'c d', 1.5]\nd: {x: [1, {y: z}], 'q': http://a/b:1} # c\n- [x]\n"];
    for text in texts {
        assert_eq!(quick_and_right(text), !slow.contains(&text), "{text}");
    }
}

#[test]
fn what_is_not_certain_is_left_to_the_general_parser() {
    let texts = [
        "a: b\n  c\n",
        "a: b: c\n",
        "a : b\n",
        "a: \"b\n  c\"\n",
        "a: \"b\\n\"\n",
        "a: 'it''s'\n",
        "a: &x b\n",
        "a: *x\n",
        "a: !!str b\n",
        "? a\n: b\n",
        "a:\tb\n",
        "a: b\r\n",
        "a: ü\n",
        "a: |2\n   x\n",
        "a: >\n  x\n",
        "a: |\n\n  x\n",
        "a: |\n    x\n  y\n",
        "a: |\n  x",
        "a: [b\n  ]\n",
        "a: [b: c]\n",
        "a: [b,]\n",
        "a: [b c]\n",
        "a: {b}\n",
        "a: {\"b\":1}\n",
        "<<: {a: 1}\n",
        "a: 1\na: 2\n",
        "~: 1\n",
        "a: .inf\n",
        "  a: 1\n",
        "a:\n    b: 1\n  c: 2\n",
        "a: 1\n- b\n",
        "- a\nb: 1\n",
        "--- a\n",
        "---a: 1\n",
        "...\n",
        "%YAML 1.1\n---\na: 1\n",
        "a\n",
        "a: @b\n",
        "a: \"b\"c\n",
        "a: \"b\"# c\n",
        "{\"a\": 1}\n",
    ];
    for text in texts {
        assert!(!quick_and_right(text), "{text}");
    }
}

fn corpus() -> Vec<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/manifests")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(path) {
                texts.push(text);
            }
        }
    }
    texts.sort();
    texts
}

#[test]
fn the_corpus_is_read_alike() {
    let texts = corpus();
    let quick = texts.iter().filter(|text| quick_and_right(text)).count();
    assert!(quick * 3 > texts.len(), "only {quick} of {} are read quickly", texts.len());
}

/// Pieces of YAML that meet each other in every way.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b: ",
        "b:",
        "c: x",
        "- ",
        "-",
        "\n",
        "\n",
        "\n ",
        "\n  ",
        "\n    ",
        "\n- ",
        "\n  - ",
        "\n    - ",
        "\na: ",
        "\n  b: ",
        "\n    c: ",
        "|",
        "|-",
        "|+",
        ">",
        "#",
        " #",
        "# c",
        "'x'",
        "\"y\"",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ",",
        ": ",
        ":",
        "---",
        "\n---\n",
        "\n--- ",
        "...",
        "\n...\n",
        "1",
        "0644",
        "on",
        "~",
        "<<",
        "ü",
        "\u{1F980}",
        " ",
        "  ",
        ".",
        "/",
        "http://a:1",
        "=",
        "$(x)",
        "--x",
        "-1",
        "&a ",
        "*a",
        "!!str ",
        "?",
        "? ",
        "%",
        "@",
        "\t",
        "\\",
        "\"",
        "'",
        "[a, b]",
        "{a: 1}",
        "[]",
        "{}",
        "key: value",
        "\n  text\n",
        "\n\n",
        "null",
        "!",
        "`",
        "x y",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_alike(text in pieces()) {
        quick_and_right(&text);
    }

    #[test]
    fn a_changed_manifest_is_read_alike(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), cut in 0..6_usize, piece in pieces()) {
        let texts = corpus();
        let mut characters: Vec<char> = which.get(&texts).chars().collect();
        let start = at.index(characters.len() + 1);
        let end = (start + cut).min(characters.len());
        characters.splice(start..end, piece.chars().take(8));
        quick_and_right(&characters.iter().collect::<String>());
    }
}
