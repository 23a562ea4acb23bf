//! The corpus of hiding places: each case is a file (`input.*`), what is found in it (`sites.json`), and the file pinned
//! (`pinned.*`) where it can be. A case in which nothing is found says in its name that it is a
//! trap.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::discovery::site::{Action, Form, Site};
use crate::discovery::{Rules, discover};
use crate::image::Digest;
use crate::manifest::{Edit, Limits, pin, read};
use crate::reason::Problem;
use crate::snapshot::File;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/manifests");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

fn named(case: &Path, stem: &str) -> Option<File> {
    let entry = std::fs::read_dir(case)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_stem().is_some_and(|name| name == stem))?;
    let name = entry.file_name().unwrap().to_str().unwrap();
    Some(File { path: name.into(), bytes: std::fs::read(&entry).unwrap().into() })
}

/// What is found, as `sites.json` says it, and the file pinned.
fn outcome(file: &File) -> (Value, Option<Vec<u8>>) {
    let told = |problems: &[Problem]| {
        let tell = |problem: &Problem| json!({"code": problem.code, "line": problem.place.map(|p| p.line), "column": problem.place.map(|p| p.column)});
        json!({"problems": problems.iter().map(tell).collect::<Vec<_>>()})
    };
    let documents = match read(file, &Limits::default()) {
        Ok(documents) => documents,
        Err(problems) => return (told(&problems), None),
    };
    let mut sites = Vec::new();
    for document in &documents {
        match discover(document, Some("shop"), &Rules::default()) {
            Ok(mut found) => sites.append(&mut found),
            Err(problems) => return (told(&problems), None),
        }
    }
    let value = json!({"sites": sites.iter().map(site).collect::<Vec<_>>()});
    match pin(file, &documents, &edits(&sites), &Limits::default()) {
        Ok(pinned) => (value, Some(pinned.bytes.to_vec())),
        Err(problem) => (json!({"sites": value["sites"], "unpinnable": problem.place.map(|p| p.line)}), None),
    }
}

fn site(site: &Site) -> Value {
    json!({
        "document": site.document, "line": site.place.line, "column": site.place.column, "path": site.path,
        "action": site.action, "layer": site.layer, "object": site.object.as_ref(), "reference": site.written,
        "valid": site.image.is_ok(),
    })
}

fn edits(sites: &[Site]) -> Vec<Edit<'_>> {
    let digest = Digest::of(b"image");
    let mut edits = Vec::new();
    for site in sites.iter().filter(|site| site.action == Action::Pin) {
        let Ok(image) = &site.image else { continue };
        let text = match &site.form {
            Form::Whole { prefix } => format!("{prefix}{}", image.pinned(&digest)),
            Form::Tag => format!("{}@{digest}", image.tag().unwrap()),
            Form::Fixed | Form::Text => continue,
        };
        edits.push(Edit { site, text });
    }
    edits
}

/// Writes what was found, to be read by a person before it is kept.
fn write(case: &Path, input: &File, value: &Value, pinned: Option<&[u8]>) {
    std::fs::write(case.join("sites.json"), serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
    if let Some(pinned) = pinned {
        std::fs::write(case.join(input.path.replace("input", "pinned")), pinned).unwrap();
    }
}

#[test]
fn every_hiding_place_is_found_or_refused() {
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for case in cases {
        let input = named(&case, "input").unwrap();
        let (value, pinned) = outcome(&input);
        #[expect(clippy::disallowed_methods, reason = "asked for by hand, to write what is expected anew")]
        if std::env::var_os("TEST_WRITE").is_some() {
            write(&case, &input, &value, pinned.as_deref());
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(case.join("sites.json")).unwrap()).unwrap();
        assert_eq!(value, expected, "{}", case.display());
        let expected = named(&case, "pinned").map(|file| file.bytes.to_vec());
        assert_eq!(pinned, expected, "{}", case.display());
        let silent = value["sites"].as_array().is_some_and(Vec::is_empty);
        let name = case.file_name().unwrap().to_str().unwrap();
        assert!(!silent || name.starts_with("trap-"), "{name} passes in silence");
    }
}
