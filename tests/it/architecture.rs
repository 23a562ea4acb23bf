//! Holds the source to its rows: words, stages, edges, orchestration, as `src/lib.rs` lists them. A row imports only
//! rows above it; edges import neither each other nor metrics; the pure rows know no clock, disk, log or runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the pure rows must not know.
const IMPURE: &[&str] = &[
    "tokio",
    "tracing",
    "reqwest",
    "git2",
    "kube::",
    "notify::",
    "axum",
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "println!",
    "eprintln!",
];

/// Files of stages that hold words only: data that other stages may name whatever their order.
const WORDS_OF_STAGES: &[&str] = &["discovery::site", "manifest::tree", "policy::requirement", "verify::verdict"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Words,
    Stages,
    Edges,
    Orchestration,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The row of each module, as the comments of `lib.rs` say.
fn rows() -> BTreeMap<String, Row> {
    let mut row = None;
    let mut rows = BTreeMap::new();
    for line in std::fs::read_to_string(source().join("lib.rs")).unwrap().lines() {
        row = match line {
            line if line.starts_with("// Words") => Some(Row::Words),
            line if line.starts_with("// Stages") => Some(Row::Stages),
            line if line.starts_with("// Edges") => Some(Row::Edges),
            line if line.starts_with("// Orchestration") => Some(Row::Orchestration),
            _ => row,
        };
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            rows.insert(name.to_owned(), row.expect("a module stands under the name of its row"));
        }
    }
    rows
}

/// The code of each file: its module, its path, its text without comments and tests.
fn files() -> Vec<(String, String, String)> {
    let mut folders = vec![source()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
            if entry.is_dir() {
                if name != "tests" {
                    folders.push(entry);
                }
            } else if name.ends_with(".rs")
                && !["tests.rs", "fixtures.rs", "main.rs", "lib.rs"].contains(&name.as_str())
            {
                let path = entry.strip_prefix(source()).unwrap().display().to_string();
                let module = path.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
                files.push((module, path, code(&std::fs::read_to_string(entry).unwrap())));
            }
        }
    }
    files.sort();
    files
}

fn code(text: &str) -> String {
    let text = text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(before, _)| before);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that code names by `crate::`.
fn imports(path: &str, code: &str) -> BTreeSet<String> {
    code.split("crate::")
        .skip(1)
        .map(|rest| {
            assert!(!rest.starts_with('{'), "{path}: write one `use` a module");
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        })
        .collect()
}

#[test]
fn a_row_imports_only_rows_above_it() {
    let rows = rows();
    let mut wrong = Vec::new();
    for (module, path, code) in files() {
        let row = *rows.get(&module).unwrap_or_else(|| panic!("{path}: lib.rs lists no `{module}`"));
        for import in imports(&path, &code).into_iter().filter(|import| *import != module) {
            let Some(other) = rows.get(&import) else { panic!("{path}: what is `crate::{import}`?") };
            // Words are made of words, stages of earlier stages; edges stand alone.
            let allowed = match row {
                Row::Words | Row::Stages | Row::Orchestration => *other <= row,
                Row::Edges => *other < row,
            };
            if !allowed {
                wrong.push(format!("{path}: {row:?} imports `{import}` of {other:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_modules_of_a_row_import_each_other_in_one_direction() {
    let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
    for (module, path, code) in files() {
        let code = WORDS_OF_STAGES.iter().fold(code, |code, word| code.replace(&format!("crate::{word}"), ""));
        let found = imports(&path, &code).into_iter().filter(|import| *import != module);
        graph.entry(module.clone()).or_default().extend(found);
    }
    // What imports nothing that is left goes; what cannot go is a circle.
    while let Some(free) = graph.iter().find(|(_, imports)| imports.is_empty()).map(|(module, _)| module.clone()) {
        graph.remove(&free);
        for imports in graph.values_mut() {
            imports.remove(&free);
        }
    }
    assert!(graph.is_empty(), "these import each other: {graph:#?}");
}

#[test]
fn the_words_of_stages_are_made_of_words() {
    let rows = rows();
    for word in WORDS_OF_STAGES {
        let wanted = format!("{}.rs", word.replace("::", "/"));
        let (_, path, code) = files().into_iter().find(|(_, path, _)| *path == wanted).expect(&wanted);
        let code = WORDS_OF_STAGES.iter().fold(code, |code, word| code.replace(&format!("crate::{word}"), ""));
        let others: Vec<String> = imports(&path, &code).into_iter().filter(|name| rows[name] != Row::Words).collect();
        assert!(others.is_empty(), "{path} imports {others:?}");
    }
}

#[test]
fn words_and_stages_know_no_disk_clock_log_or_runtime() {
    let rows = rows();
    let mut wrong = Vec::new();
    for (module, path, code) in files() {
        if rows[&module] > Row::Stages {
            continue;
        }
        wrong.extend(IMPURE.iter().filter(|word| code.contains(**word)).map(|word| format!("{path}: {word}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn proofs_are_made_in_one_place_each() {
    for (type_name, module) in [("VerifiedImage", "verify"), ("ApprovedRelease", "gate")] {
        for (found, path, code) in files() {
            // A literal, with its braces; not `impl VerifiedImage {` or `struct VerifiedImage {`.
            let made = code.match_indices(&format!("{type_name} {{")).any(|(at, _)| {
                let before = code[..at].trim_end();
                !["impl", "struct", "for"].iter().any(|word| before.ends_with(word)) && !before.ends_with("->")
            });
            assert!(!made || found == module, "{path} makes a {type_name}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&entry).unwrap();
                assert!(text.starts_with("//! "), "{}", entry.display());
                assert_ne!(entry.file_name().unwrap(), "mod.rs");
            }
        }
    }
}
