//! Our reader against Kubernetes' own (`tests/data/yaml-go/make`): the same tree, or a refusal that is listed in
//! `refused.tsv` with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sealgate::manifest::{Limits, read};
use sealgate::snapshot::File;
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/yaml-go");

/// Spellings that YAML allows and Kubernetes' reader does not know.
const ALONE: [&str; 6] = [
    "anchor-colon.yaml",
    "anchor-unicode.yaml",
    "bytes-tabs-blank-lines.yaml",
    "literal-tabs.yaml",
    "scalar-escape-slash.yaml",
    "scalar-escape-surrogates.yaml",
];

/// Equal, with numbers by value: JSON's writer chooses how a large one is spelt.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (!(one.is_i64() && other.is_i64()) && one.as_f64() == other.as_f64())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|there| same(value, there)))
        }
        (one, other) => one == other,
    }
}

fn ours(name: &str) -> Result<Vec<Value>, String> {
    let bytes = std::fs::read(Path::new(FOLDER).join("inputs").join(name)).unwrap();
    let documents = read(&File { path: name.into(), bytes: bytes.into() }, &Limits::default());
    match documents {
        Ok(documents) => Ok(documents.iter().map(|document| document.root.to_json()).collect()),
        Err(problems) => Err(problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ")),
    }
}

#[test]
fn every_input_is_read_as_kubernetes_reads_it_or_refused() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(Path::new(FOLDER).join("expected.json")).unwrap()).unwrap();
    let answers: BTreeMap<String, Option<Vec<Value>>> = serde_json::from_value(expected["answers"].clone()).unwrap();
    let inputs = std::fs::read_dir(Path::new(FOLDER).join("inputs")).unwrap();
    let inputs: BTreeSet<String> = inputs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(inputs, answers.keys().cloned().collect(), "run tests/data/yaml-go/make");
    assert!(answers.len() >= 300, "{} inputs", answers.len());

    let mut wrong = Vec::new();
    let mut alone = Vec::new();
    let mut refused = BTreeMap::new();
    for (name, theirs) in &answers {
        match (ours(name), theirs) {
            (Ok(ours), Some(theirs)) if same(&Value::Array(ours.clone()), &Value::Array(theirs.clone())) => {}
            // No second reading exists: where kubectl refuses, nothing else is deployed from this text.
            (Ok(_), None) => alone.push(name.clone()),
            (Ok(ours), theirs) => wrong.push(format!("{name}\n  ours   {ours:?}\n  theirs {theirs:?}")),
            (Err(_), None) => {}
            (Err(message), Some(_)) => {
                refused.insert(name.clone(), message);
            }
        }
    }
    assert!(wrong.is_empty(), "{} are read otherwise:\n{}", wrong.len(), wrong.join("\n"));
    let listed = std::fs::read_to_string(Path::new(FOLDER).join("refused.tsv")).unwrap_or_default();
    let lines: String = refused.iter().map(|(name, message)| format!("{name}\t{message}\n")).collect();
    if std::env::var_os("TEST_WRITE").is_some() {
        std::fs::write(Path::new(FOLDER).join("refused.tsv"), &lines).unwrap();
    }
    assert_eq!(lines, listed, "what we refuse and Kubernetes reads:\n{lines}");
    assert_eq!(alone, ALONE, "what Kubernetes refuses and we read");
}
