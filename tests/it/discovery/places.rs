//! The corpus of hiding places as a list: what becomes of an image in each.

use std::fmt::Write as _;

use serde_json::Value;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/manifests");

/// One line for each case of the corpus.
pub fn list() -> String {
    let mut cases: Vec<_> = std::fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    let mut text = String::from("| place | what becomes of it |\n|---|---|\n");
    for case in &cases {
        let expected: Value = serde_json::from_slice(&std::fs::read(case.join("sites.json")).unwrap()).unwrap();
        let name = case.file_name().unwrap().to_str().unwrap();
        let _ = writeln!(text, "| `{name}` | {} |", outcome(&expected));
    }
    text
}

fn outcome(expected: &Value) -> String {
    if let Some(problems) = expected["problems"].as_array() {
        let codes: Vec<&str> = problems.iter().map(|problem| problem["code"].as_str().unwrap()).collect();
        return format!("refused: {}", codes.join(", "));
    }
    let sites = expected["sites"].as_array().unwrap();
    let mut said: Vec<String> = sites.iter().map(fate).collect();
    if expected.get("unpinnable").is_some() {
        said.push("refused: cannot be pinned".to_owned());
    }
    said.dedup();
    if said.is_empty() { "no image".to_owned() } else { said.join("; ") }
}

fn fate(site: &Value) -> String {
    let layer = site["layer"].as_str().unwrap();
    match (site["action"].as_str().unwrap(), site["valid"].as_bool().unwrap()) {
        ("ignore", _) => format!("left alone ({layer})"),
        ("unclassified", _) => "unclassified".to_owned(),
        (_, false) => format!("refused: no reference ({layer})"),
        ("pin", true) => format!("verified and pinned ({layer})"),
        (_, true) => format!("verified where a digest is written, else refused ({layer})"),
    }
}
