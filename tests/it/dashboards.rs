//! The dashboard and the alerts, against what a running daemon tells: nothing is asked for that does not exist.

mod promql;
pub mod scrape;
mod server;

use std::collections::BTreeSet;
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use promql::{Matcher, Query, Selector};
use scrape::{Daemon, Scrape};
use server::Prometheus;

/// Labels that Prometheus adds to every series.
const ADDED: [&str; 2] = ["job", "instance"];

/// A query, where it stands, and the labels that its legend or texts show.
struct Asked {
    place: String,
    text: String,
    shown: BTreeSet<String>,
}

#[tokio::test]
async fn every_query_asks_for_series_that_exist() {
    let scrape = Scrape::shared().await;
    let asked = asked();
    assert!(asked.len() > 30, "{} queries were found", asked.len());
    let wrong: Vec<String> = asked
        .iter()
        .filter_map(|asked| check(asked, scrape).err().map(|why| format!("{}: {why}", asked.place)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn prometheus_evaluates_every_query() {
    let name = "dashboards::prometheus_evaluates_every_query";
    let Some(program) = server::find("TEST_PROMETHEUS", "prometheus") else {
        return server::skipped(name, "there is no prometheus (tests/setup fetches it)");
    };
    let daemon = Daemon::start().await;
    let prometheus = Prometheus::start(&program, &daemon.address).await;
    for Asked { place, text, .. } in asked().iter().filter(|asked| !asked.text.starts_with("label_values")) {
        let answer = prometheus.ask(text).await;
        assert_eq!(answer["status"], "success", "{place}: {answer}");
        // What asks for trouble, or for what is rare, may well find none.
        let may_be_empty = text.contains(" > ") || text.starts_with("absent") || text.contains("== 1");
        let found = answer["data"]["result"].as_array().unwrap();
        assert!(may_be_empty || !found.is_empty(), "{place}: nothing was found by {text}");
    }
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let name = "dashboards::alerts_fire_when_they_should_and_only_then";
    let Some(promtool) = server::find("TEST_PROMTOOL", "promtool") else {
        return server::skipped(name, "there is no promtool (tests/setup fetches it)");
    };
    let tests = format!("{}/dashboards/alerts_test.yaml", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(promtool).args(["test", "rules", &tests]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = read("dashboards/alerts_test.yaml");
    for rule in rules() {
        let alert = rule["alert"].as_str().unwrap();
        assert!(text.matches(alert).count() >= 2, "{alert} has a test that it fires, and one that it does not");
    }
}

#[test]
fn a_query_for_what_does_not_exist_is_noticed() {
    let scrape = Scrape::parse("# TYPE a_total counter\na_total{x=\"1\"} 3\n");
    let check = |text: &str, shown: &[&str]| {
        let shown = shown.iter().map(|label| (*label).to_owned()).collect();
        check(&Asked { place: String::new(), text: text.to_owned(), shown }, &scrape)
    };
    check("sum by (x, job) (rate(a_total{x=\"1\", x=~\"1|2\"}[5m]))", &["x", "job"]).unwrap();
    for text in ["b_total", "a_total{y=\"1\"}", "a_total{x=\"2\"}", "a_total{x=~\"3.\"}", "sum by (y) (a_total)"] {
        assert!(check(text, &[]).is_err(), "{text}");
    }
    check("a_total", &["y"]).unwrap_err();
}

#[test]
fn panels_say_what_they_show() {
    let dashboard = dashboard();
    for variable in ["datasource", "job", "gate"] {
        assert!(list(&dashboard["templating"]["list"]).iter().any(|found| found["name"] == variable), "{variable}");
    }
    let mut seen = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        assert!(seen.insert(panel["id"].as_u64().unwrap()), "two panels have the id {}", panel["id"]);
        if panel["type"] == "row" {
            continue;
        }
        let title = panel["title"].as_str().unwrap();
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{title}: a description");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: a unit");
        assert!(panel["fieldConfig"]["defaults"]["thresholds"].is_object(), "{title}: thresholds");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
}

#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## Sealgate")).collect();
    let mut alerts = BTreeSet::new();
    let rules = rules();
    for rule in &rules {
        let alert = rule["alert"].as_str().unwrap();
        alerts.insert(alert.strip_prefix("Sealgate").unwrap());
        let link = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert!(link.ends_with(&format!("/docs/runbook.md#{}", alert.to_lowercase())), "{alert}: {link}");
        for text in ["summary", "description"] {
            assert!(!rule["annotations"][text].as_str().unwrap().is_empty(), "{alert}: {text}");
        }
        assert!(["info", "warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{alert}");
    }
    assert_eq!(alerts, sections);
}

/// Every query of the dashboard and the alerts.
fn asked() -> Vec<Asked> {
    let dashboard = dashboard();
    let mut all = Vec::new();
    for panel in list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row") {
        for target in list(&panel["targets"]) {
            let place = format!("panel `{}`", panel["title"].as_str().unwrap());
            all.push(Asked::of(place, &target["expr"], "{{", &[&target["legendFormat"]]));
        }
    }
    for variable in list(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "query") {
        all.push(Asked::of(format!("variable `{}`", variable["name"]), &variable["definition"], "{{", &[]));
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        let place = format!("annotation `{}`", annotation["name"]);
        all.push(Asked::of(place, &annotation["expr"], "{{", &[&annotation["titleFormat"]]));
    }
    for rule in rules() {
        let texts = [&rule["annotations"]["summary"], &rule["annotations"]["description"]];
        all.push(Asked::of(format!("alert `{}`", rule["alert"]), &rule["expr"], "$labels.", &texts));
    }
    all
}

impl Asked {
    fn of(place: String, query: &Value, mark: &str, texts: &[&Value]) -> Self {
        let text = query.as_str().unwrap_or_else(|| panic!("{place}: a query"));
        let text = ["[$__rate_interval]", "[$__range]"]
            .iter()
            .fold(text.to_owned(), |text, range| text.replace(range, "[5m]"));
        let text = ["$job", "$gate"].iter().fold(text, |text, variable| text.replace(variable, ".*"));
        let shown = |text: &&Value| {
            let text = text.as_str().unwrap().to_owned();
            let after = text.split(mark).skip(1);
            after
                .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
                .collect::<Vec<String>>()
        };
        // Legends show labels alone; a variable of Prometheus' templates begins with a dollar sign.
        let shown = texts.iter().flat_map(shown).filter(|label| !label.is_empty()).collect();
        Self { place, text, shown }
    }
}

fn check(asked: &Asked, scrape: &Scrape) -> Result<(), String> {
    // `label_values(selector, label)` is Grafana's own; its label must exist as any other.
    let (text, label) = match asked.text.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(',')) {
        Some((selector, label)) => (selector, Some(label.trim().trim_end_matches(')').to_owned())),
        None => (asked.text.as_str(), None),
    };
    let Query { selectors, labels } = promql::parse(text)?;
    let mut known: BTreeSet<&str> = ADDED.into_iter().collect();
    for selector in &selectors {
        let series = scrape.series.get(&selector.metric).ok_or(format!("there is no metric `{}`", selector.metric))?;
        known.extend(series.iter().flat_map(|labels| labels.keys().map(String::as_str)));
        selector.matchers.iter().try_for_each(|matcher| selects(selector, matcher, scrape))?;
    }
    match labels.iter().chain(&asked.shown).chain(&label).find(|label| !known.contains(label.as_str())) {
        Some(label) => Err(format!("none of its metrics has the label `{label}`")),
        None => Ok(()),
    }
}

/// Whether a matcher speaks of a label and a value that the metric has.
fn selects(selector: &Selector, matcher: &Matcher, scrape: &Scrape) -> Result<(), String> {
    let Matcher { label, operator, value } = matcher;
    if ADDED.contains(&label.as_str()) {
        return Ok(());
    }
    let values: Vec<&String> = scrape.series[&selector.metric].iter().filter_map(|labels| labels.get(label)).collect();
    let named = |text: &str| {
        let whole = Regex::new(&format!("^(?:{text})$")).map_err(|error| error.to_string())?;
        Ok::<bool, String>(values.iter().any(|value| whole.is_match(value)))
    };
    let found = if operator.ends_with('~') { named(value)? } else { named(&regex::escape(value))? };
    if found { Ok(()) } else { Err(format!("`{}` has no {label} that is {value}", selector.metric)) }
}

fn dashboard() -> Value {
    serde_json::from_str(&read("dashboards/sealgate.json")).unwrap()
}

fn rules() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&read("dashboards/alerts.yaml")).unwrap();
    list(&file["groups"]).iter().flat_map(|group| list(&group["rules"]).clone()).collect()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
