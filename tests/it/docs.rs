//! What the documentation says is so: links lead somewhere, examples load, lists are complete, commands exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sealgate::assembly::trusting::{self, TrustPlan};
use sealgate::outcome::Unobserved;
use sealgate::policy::PolicySet;
use sealgate::reason::{ErrorCode, Problem, Reason, Weight};
use sealgate::settings;
use sealgate::trust::roots::Asking;

use crate::dashboards::scrape::Scrape;

/// Folders that hold no documentation of ours.
const ELSEWHERE: [&str; 3] = ["target", ".git", "fixtures"];

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            if let Err(why) = follow(&page, &link) {
                wrong.push(format!("{}: {link}: {why}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn marked_examples_load() {
    let mut loaded = 0;
    for page in pages() {
        for block in blocks(&fs::read_to_string(&page).unwrap()) {
            let folder = folder_with_keys();
            let path = folder.path().join("example.yaml");
            fs::write(&path, &block.text).unwrap();
            let place = format!("{}:{}", page.display(), block.line);
            match block.info.as_str() {
                "yaml policy" => drop(policies(&path).unwrap_or_else(|problems| panic!("{place}: {problems:?}"))),
                "yaml configuration" => {
                    drop(
                        settings::load(&path, &BTreeMap::new())
                            .unwrap_or_else(|problems| panic!("{place}: {problems:?}")),
                    );
                }
                "yaml registries" => {
                    drop(settings::load_registries(&path).unwrap_or_else(|problems| panic!("{place}: {problems:?}")));
                }
                _ => continue,
            }
            loaded += 1;
        }
    }
    assert!(loaded > 2, "{loaded} examples are marked");
}

/// Loads a policy with what it names, without a connection.
fn policies(path: &Path) -> Result<PolicySet, Vec<Problem>> {
    let trust = TrustPlan::default().open(Asking::Never, Arc::new(Unobserved)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(trusting::policies(&[path.to_owned()], &trust))
}

#[test]
fn the_examples_of_the_repository_load() {
    for policy in ["config/policy.yaml", "deploy/base/policy.yaml"] {
        policies(&root().join(policy)).unwrap_or_else(|problems| panic!("{policy}: {problems:?}"));
    }
    for file in ["config/sealgate.yaml", "deploy/base/sealgate.yaml"] {
        settings::load(&root().join(file), &BTreeMap::new()).unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
    }
}

#[test]
fn the_reference_is_what_the_code_says() {
    let text = fs::read_to_string(root().join("docs/reference.md")).unwrap();
    assert!(text == sealgate::cli::reference(), "write it anew: cargo run --example reference > docs/reference.md");
}

#[test]
fn every_reason_and_error_is_explained() {
    let text = fs::read_to_string(root().join("docs/reasons.md")).unwrap();
    let of = |weight| Reason::ALL.iter().filter(move |reason| reason.weight() == weight).map(|reason| reason.code());
    assert_eq!(codes(&text, "Refused"), of(Weight::Refused).collect::<Vec<_>>());
    assert_eq!(codes(&text, "Undecided"), of(Weight::Undecided).collect::<Vec<_>>());
    assert_eq!(codes(&text, "Errors"), ErrorCode::ALL.iter().map(|error| error.code()).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_metric_is_listed_with_its_type_and_labels() {
    let scrape = Scrape::shared().await;
    let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let listed: BTreeMap<String, (String, BTreeSet<String>)> = text.lines().filter_map(metric).collect();
    let told: BTreeMap<String, (String, BTreeSet<String>)> = scrape
        .types
        .iter()
        .filter(|(family, _)| family.starts_with("sealgate_"))
        .map(|(family, kind)| (family.clone(), (kind.clone(), scrape.labels(family))))
        .collect();
    assert_eq!(listed, told);
}

#[test]
fn commands_and_options_exist() {
    let mut helps = BTreeMap::<String, String>::new();
    let mut seen = 0;
    for page in pages() {
        for block in blocks(&fs::read_to_string(&page).unwrap()).iter().filter(|block| block.info == "sh") {
            for line in block.text.replace("\\\n", " ").lines() {
                let Some(typed) =
                    ["sealgate ", "cargo run --release -- "].iter().find_map(|start| line.trim().strip_prefix(start))
                else {
                    continue;
                };
                let words: Vec<&str> = typed.split(" #").next().unwrap().split_whitespace().collect();
                let command: Vec<&str> =
                    if ["policy", "log"].contains(&words[0]) { words[..2].to_vec() } else { words[..1].to_vec() };
                let help = helps.entry(command.join(" ")).or_insert_with(|| help(&command));
                for option in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
                    let option = option.split('=').next().unwrap();
                    assert!(
                        help.contains(option),
                        "{}:{}: {} has no {option}",
                        page.display(),
                        block.line,
                        command.join(" ")
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "{seen} commands were found");
}

/// What `--help` says about a command that exists.
fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sealgate")).args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "there is no command `{}`", command.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// The codes that the third-level headings of a section name.
fn codes<'a>(text: &'a str, section: &str) -> Vec<&'a str> {
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).unwrap_or_else(|| panic!("a section {section}"));
    let section = rest.split("\n## ").next().unwrap();
    section.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect()
}

/// A row of the table: `| name | type | labels | … |`.
fn metric(line: &str) -> Option<(String, (String, BTreeSet<String>))> {
    let cells: Vec<&str> = line.strip_prefix("| `sealgate_")?.split(" | ").collect();
    let labels = cells[2].split(", ").map(|label| label.trim_matches('`').to_owned()).filter(|label| label != "none");
    Some((format!("sealgate_{}", cells[0].trim_end_matches('`')), (cells[1].to_owned(), labels.collect())))
}

/// A fenced block.
struct Block {
    line: usize,
    info: String,
    text: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, content) in text.lines().enumerate() {
        match (content.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(info), None) => open = Some(Block { line: line + 1, info: info.to_owned(), text: String::new() }),
            (None, Some(block)) => block.text.push_str(&format!("{content}\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end");
    blocks
}

/// Where the links of a page lead, code left out.
fn links(text: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            // What stands between backticks is no link.
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()).collect()
}

fn follow(page: &Path, link: &str) -> Result<(), String> {
    if link.starts_with("https://") {
        return Ok(());
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if !target.exists() {
        return Err("there is no such file".to_owned());
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(target).map_err(|error| error.to_string())?;
    let anchors: BTreeSet<String> = text.lines().filter(|line| line.starts_with('#')).map(slug).collect();
    if anchors.contains(anchor) { Ok(()) } else { Err("there is no such heading".to_owned()) }
}

/// The anchor of a heading, as forges make it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).collect::<String>().replace(' ', "-")
}

/// A folder with the keys and policies that examples name.
fn folder_with_keys() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, from) in
        [("ci.pub", "config/ci.pub"), ("cosign.pub", "config/ci.pub"), ("release.pub", "deploy/base/cosign.pub")]
    {
        fs::copy(root().join(from), folder.path().join(name)).unwrap();
    }
    folder
}

/// Every page of the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !ELSEWHERE.contains(&name.as_str()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 5, "{pages:?}");
    pages
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
