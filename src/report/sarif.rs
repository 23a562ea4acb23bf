//! A report as SARIF 2.1.0, for code scanning: one run, a rule for each code, a result for each reason at each place.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::text::printable;
use super::told::{About, Level, STDIN, Spot, Told, told};
use super::{Report, SiteEntry};
use crate::image::Digest;
use crate::reason::{ErrorCode, Reason, Weight};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The report as a SARIF log, indented.
#[must_use]
pub fn render(report: &Report) -> String {
    let rules = rules();
    let results: Vec<Value> = told(report).iter().map(|told| result(told, &rules)).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "sealgate",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.iter().map(Rule::descriptor).collect::<Vec<_>>(),
            }},
            "invocations": [{"executionSuccessful": is_complete(report)}],
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": {
                "decision": report.decision,
                "gate": report.gate,
                "mode": report.mode,
                "revision": report.revision,
                "policies": report.policies,
                "base": report.base,
                "summary": report.summary,
            },
        }],
    });
    format!("{log:#}\n")
}

/// Whether the results are all that there is to say: a run that found no answer must not read as a clean one.
fn is_complete(report: &Report) -> bool {
    matches!(report.decision, Some("pass" | "refuse")) && report.errors.is_empty()
}

/// What a code means.
struct Rule {
    code: &'static str,
    level: Level,
    title: String,
    help: &'static str,
}

/// A rule for each code. Codes that reasons and errors share are one rule.
fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = Reason::ALL.iter().map(|reason| Rule::of_reason(*reason)).collect();
    for code in ErrorCode::ALL {
        if rules.iter().all(|rule| rule.code != code.code()) {
            rules.push(Rule::of_error(*code));
        }
    }
    rules
}

impl Rule {
    fn of_reason(reason: Reason) -> Self {
        let (level, verdict) = match reason.weight() {
            Weight::Refused => (Level::Error, "refused"),
            Weight::Undecided => (Level::Warning, "undecided"),
        };
        Self { code: reason.code(), level, title: title(verdict, reason.code()), help: reason.help() }
    }

    fn of_error(code: ErrorCode) -> Self {
        Self { code: code.code(), level: Level::Error, title: title("error", code.code()), help: help(code) }
    }

    fn descriptor(&self) -> Value {
        json!({
            "id": self.code,
            "shortDescription": {"text": self.title},
            "help": {"text": self.help},
            "defaultConfiguration": {"level": level(self.level)},
        })
    }
}

fn title(kind: &str, code: &str) -> String {
    format!("{kind}: {}", code.replace('-', " "))
}

/// What generally helps against an error.
fn help(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Usage => "see `sealgate --help`",
        ErrorCode::ConfigInvalid => "mend the configuration where the message says",
        ErrorCode::PolicyInvalid => "mend the policy where the message says",
        ErrorCode::PolicyUnavailable => "mend the policy or the key file that cannot be loaded",
        ErrorCode::FileUnreadable => "check the path and its permissions",
        ErrorCode::YamlInvalid => "mend the file where the message says",
        ErrorCode::NotAnObject => "write Kubernetes objects with `apiVersion` and `kind`, or exclude the file",
        ErrorCode::UnsupportedFile => "render the file to plain manifests first, or exclude it",
        ErrorCode::LimitExceeded => "remove what is superfluous, or raise the limit in the configuration",
        ErrorCode::SourceUnavailable => "check the repository's address, the credentials and the network",
        ErrorCode::HistoryRewritten => "find out who rewrote the branch, and restore it",
        ErrorCode::TargetRejected => "mend the manifest, or what the target refuses it for",
        ErrorCode::TargetUnavailable => "check that the target can be reached from here",
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    }
}

fn result(told: &Told<'_>, rules: &[Rule]) -> Value {
    let mut result = Map::new();
    result.insert("ruleId".to_owned(), told.code.into());
    if let Some(index) = rules.iter().position(|rule| rule.code == told.code) {
        result.insert("ruleIndex".to_owned(), index.into());
    }
    result.insert("level".to_owned(), level(told.level).into());
    result.insert("message".to_owned(), json!({"text": plain(&told.text())}));
    if let Some(location) = location(told) {
        result.insert("locations".to_owned(), json!([location]));
    }
    result.insert("partialFingerprints".to_owned(), json!({"sealgate/v1": fingerprint(told)}));
    result.insert("properties".to_owned(), properties(told));
    Value::Object(result)
}

fn properties(told: &Told<'_>) -> Value {
    match told.about {
        About::Image(image, _) => json!({
            "reference": image.reference,
            "digest": image.digest,
            "rule": told.rule,
            "help": told.help,
        }),
        About::Error(_) => json!({"help": told.help}),
    }
}

/// A plain text message in which nothing of the text reads as a link or as a placeholder. Other braces stay single:
/// they belong to lines that are there to be copied.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = None;
    for c in text.chars() {
        if matches!((last, c), (Some(']'), '(') | (Some('{'), '0'..='9')) {
            out.push(' ');
        }
        out.push(c);
        last = Some(c);
    }
    out
}

fn location(told: &Told<'_>) -> Option<Value> {
    let mut location = Map::new();
    if let Some(spot) = told.spot() {
        location.insert("physicalLocation".to_owned(), physical(&spot));
    }
    if let About::Image(image, site) = told.about {
        let logical = site.map_or_else(|| json!({"name": printable(&image.reference), "kind": "resource"}), logical);
        location.insert("logicalLocations".to_owned(), json!([logical]));
    }
    (!location.is_empty()).then_some(Value::Object(location))
}

fn physical(spot: &Spot<'_>) -> Value {
    let mut region = Map::new();
    if let Some(line) = spot.line {
        region.insert("startLine".to_owned(), line.into());
        // A column says nothing without its line.
        if let Some(column) = spot.column {
            region.insert("startColumn".to_owned(), column.into());
        }
    }
    let mut physical = Map::from_iter([("artifactLocation".to_owned(), artifact(spot.file))]);
    if !region.is_empty() {
        physical.insert("region".to_owned(), Value::Object(region));
    }
    Value::Object(physical)
}

fn artifact(file: &str) -> Value {
    if file == STDIN {
        return json!({"uri": "stdin", "description": {"text": "the standard input"}});
    }
    let path = encoded(file);
    if file.starts_with('/') {
        json!({"uri": format!("file:///{path}")})
    } else {
        json!({"uri": path, "uriBaseId": "%SRCROOT%"})
    }
}

/// A path, percent-encoded, without segments that are empty or `.`.
fn encoded(path: &str) -> String {
    let segments: Vec<String> = path.split('/').filter(|segment| !matches!(*segment, "" | ".")).map(segment).collect();
    segments.join("/")
}

/// One segment: a colon is encoded too, lest a first one read as a scheme.
fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn logical(site: &SiteEntry) -> Value {
    let full = format!("{}: {}", object(site), site.path);
    json!({"name": printable(&site.path), "fullyQualifiedName": printable(&full), "kind": "value"})
}

fn object(site: &SiteEntry) -> String {
    let object = &site.object;
    let name = object.name.as_deref().unwrap_or("(unnamed)");
    object
        .namespace
        .as_ref()
        .map_or_else(|| format!("{} {name}", object.kind), |namespace| format!("{} {namespace}/{name}", object.kind))
}

/// The same for the same finding in another revision: no line, no document number. The object and the rule are in it,
/// since one file often says the same of several; of an error its message, for want of a reference.
fn fingerprint(told: &Told<'_>) -> String {
    let words = match told.about {
        About::Image(image, site) => json!([
            told.code,
            site.map(|site| &site.file),
            site.map(|site| &site.path),
            image.reference,
            site.map(object),
            told.rule,
        ]),
        About::Error(error) => json!([told.code, error.file, error.message]),
    };
    Digest::of(words.to_string().as_bytes()).hex()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::told::samples::{at, error, hostile, image, mixed, report, site};
    use super::*;

    fn run(report: &Report) -> Value {
        let log: Value = serde_json::from_str(&render(report)).unwrap();
        assert_eq!((&log["version"], log["runs"].as_array().unwrap().len()), (&json!("2.1.0"), 1));
        log["runs"][0].clone()
    }

    #[test]
    fn every_code_is_one_rule() {
        let run = run(&report(Some("pass"), Vec::new(), Vec::new()));
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
        let reasons = Reason::ALL.iter().map(|reason| reason.code());
        let codes: BTreeSet<&str> = reasons.chain(ErrorCode::ALL.iter().map(|code| code.code())).collect();
        assert_eq!((ids.len(), &ids), (rules.len(), &codes));
        assert!(rules.iter().all(|rule| rule["help"]["text"].as_str().is_some_and(|text| !text.is_empty())));
    }

    #[test]
    fn results_name_their_rule_level_and_place() {
        let run = run(&mixed());
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let physical = |result: &Value| result["locations"][0]["physicalLocation"].clone();
        let results = run["results"].as_array().unwrap();
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(result["ruleId"], rules[index]["id"]);
        }
        let told: Vec<_> = results.iter().map(|result| (result["level"].clone(), physical(result))).collect();
        let app = json!({"artifactLocation": {"uri": "app.yaml", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 17, "startColumn": 16}});
        let bad = json!({"artifactLocation": {"uri": "bad.yaml", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 3, "startColumn": 7}});
        assert_eq!(told[..3], [(json!("error"), bad), (json!("error"), Value::Null), (json!("error"), app)]);
        assert_eq!((&told[6].0, &told[6].1["artifactLocation"]["uri"]), (&json!("warning"), &json!("stdin")));
        assert_eq!(
            (&told[7].0, &told[7].1["artifactLocation"]["uri"]),
            (&json!("note"), &json!("a%20b/%C3%BC%3A%25.yaml"))
        );
        assert_eq!(results[8]["locations"], json!([{"logicalLocations": [{"name": "typed:1", "kind": "resource"}]}]));
    }

    #[test]
    fn paths_become_uris() {
        let table = [
            ("a/b.yaml", "a/b.yaml"),
            ("./a//./b.yaml", "a/b.yaml"),
            ("../a.yaml", "../a.yaml"),
            ("c:d/e?f#g%h", "c%3Ad/e%3Ff%23g%25h"),
            ("/tmp/ü", "file:///tmp/%C3%BC"),
            ("//host/x", "file:///host/x"),
            ("-", "stdin"),
        ];
        for (path, uri) in table {
            assert_eq!(artifact(path)["uri"], uri, "{path}");
        }
    }

    #[test]
    fn fingerprints_differ_by_finding_and_not_by_line() {
        let run = |report| run(&report)["results"].as_array().unwrap().clone();
        let prints = |results: &[Value]| -> Vec<String> {
            results.iter().map(|result| result["partialFingerprints"]["sealgate/v1"].to_string()).collect()
        };
        let before = prints(&run(mixed()));
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), before.len());
        let mut moved = mixed();
        for site in moved.images.iter_mut().flat_map(|image| &mut image.sites) {
            site.line += 5;
            site.document += 1;
        }
        for error in &mut moved.errors {
            error.line = error.line.map(|line| line + 5);
        }
        assert_eq!(prints(&run(moved)), before);
    }

    #[test]
    fn only_a_run_with_an_answer_is_successful() {
        let failed = || vec![error(None, None, "m")];
        let table = [
            (Some("pass"), Vec::new(), true),
            (Some("refuse"), Vec::new(), true),
            (Some("undecided"), Vec::new(), false),
            (None, Vec::new(), false),
            (Some("refuse"), failed(), false),
            (None, failed(), false),
        ];
        for (decision, errors, successful) in table {
            let run = run(&report(decision, Vec::new(), errors));
            assert_eq!(run["invocations"][0]["executionSuccessful"], successful, "{decision:?}");
        }
    }

    #[test]
    fn a_verified_image_gives_no_result() {
        let verified = at(image("a:1", Some("verified"), &[]), &[site("a.yaml", 0, "x")]);
        assert_eq!(run(&report(Some("pass"), vec![verified], Vec::new()))["results"], json!([]));
    }

    #[test]
    fn hostile_text_is_no_link_no_placeholder_and_no_line() {
        for result in run(&hostile())["results"].as_array().unwrap() {
            let text = result["message"]["text"].as_str().unwrap();
            assert!(!text.contains("](") && !text.contains("{0}"), "{text}");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
            assert!(text.lines().skip(1).all(|line| line.starts_with("help: ")), "{text}");
        }
        for (text, expected) in [("[a](b)", "[a] (b)"), ("{0}", "{ 0}"), ("{{12}}", "{{ 12}}"), ("{a: 1}", "{a: 1}")] {
            assert_eq!(plain(text), expected);
        }
    }
}
