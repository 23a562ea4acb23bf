//! The dashboard and the alerts, against what a running daemon tells: nothing is asked for that does not exist.

mod demo;
mod promql;
pub mod scrape;
pub mod server;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

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

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_evaluates_every_query() {
    let name = "dashboards::prometheus_evaluates_every_query";
    let Some(program) = server::find("TEST_PROMETHEUS", "prometheus") else {
        return server::skipped(name, "there is no prometheus (tests/setup fetches it)");
    };
    let daemon = Daemon::start().await;
    let prometheus = Prometheus::start(&program, &daemon.address).await;
    // What happened before the first scrape is no increase.
    tokio::task::block_in_place(|| daemon.stir());
    for Asked { place, text, .. } in asked().iter().filter(|asked| !asked.text.starts_with("label_values")) {
        // An alert that does not fire finds nothing; what it looks at must be there.
        let is_alert = place.starts_with("alert") || place.starts_with("annotation");
        let parts: Vec<String> = if is_alert {
            promql::parse(text).unwrap().selectors.iter().map(Selector::text).collect()
        } else {
            vec![text.clone()]
        };
        assert_eq!(prometheus.ask(text).await["status"], "success", "{place}");
        for part in parts {
            prometheus.finds(&part).await.unwrap_or_else(|answer| panic!("{place}: nothing by {part}: {answer}"));
        }
    }
}

/// The page, the dashboards and an alert: how soon each of them shows that the demo's commit was refused.
#[tokio::test(flavor = "multi_thread")]
async fn within_five_seconds_of_the_commit_page_queries_and_alert_show_the_refusal() {
    let name = "dashboards::within_five_seconds_of_the_commit_page_queries_and_alert_show_the_refusal";
    let Some(program) = server::find("TEST_PROMETHEUS", "prometheus") else {
        return server::skipped(name, "there is no prometheus (tests/setup fetches it)");
    };
    let demo = tokio::task::block_in_place(demo::Playing::start);
    let prometheus = Prometheus::start(&program, &demo.address).await;
    tokio::task::block_in_place(|| demo.mend());
    let refused = "sum(sealgate_gate_state{state=\"refuse\"}) == 0";
    prometheus.finds(refused).await.expect("the mended revision passes");
    let commit = tokio::task::block_in_place(|| demo.spoil());
    let committed = Instant::now();
    let queries = [
        "sum(sealgate_gate_state{state=\"refuse\"}) == 1",
        "sum(sealgate_gate_images{verdict!=\"verified\"}) == 1",
        "ALERTS{alertname=\"SealgateGateRefused\"}",
    ];
    for query in queries {
        prometheus.finds(query).await.unwrap_or_else(|answer| panic!("{query}: {answer}"));
    }
    let page = reqwest::get(format!("http://{}/", demo.address)).await.unwrap().text().await.unwrap();
    let took = committed.elapsed();
    assert!(page.contains(&commit[..12]) && page.contains("no-signature"), "{page}");
    assert!(took < Duration::from_secs(5), "it took {took:?}");
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
    for rule in alerts() {
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
    for (file, dashboard) in dashboards() {
        let wanted: &[&str] = if file == "sealgate-registries.json" { &[] } else { &["gate"] };
        for variable in ["datasource", "job", "instance"].iter().chain(wanted) {
            let list = list(&dashboard["templating"]["list"]);
            assert!(list.iter().any(|found| found["name"] == *variable), "{file}: {variable}");
        }
        assert!(dashboard["links"].to_string().contains("docs/runbook.md"), "{file}: a link to the runbook");
        panels_are_whole(&dashboard);
    }
}

fn panels_are_whole(dashboard: &Value) {
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
fn links_of_panels_lead_to_sections_of_the_runbook() {
    let runbook = read("docs/runbook.md").to_lowercase();
    let mut links = 0;
    for (file, dashboard) in dashboards() {
        for panel in list(&dashboard["panels"]).iter().filter(|panel| panel["links"].is_array()) {
            for link in list(&panel["links"]) {
                let (_, section) = link["url"].as_str().unwrap().split_once("/docs/runbook.md#").unwrap();
                assert!(runbook.contains(&format!("\n## {section}\n")), "{file}: {section}");
                links += 1;
            }
        }
    }
    assert!(links > 20, "{links}");
}

#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## Sealgate")).collect();
    let mut alerts = BTreeSet::new();
    let rules = self::alerts();
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
    let mut all = Vec::new();
    for (file, dashboard) in dashboards() {
        for panel in list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row") {
            for target in list(&panel["targets"]) {
                let place = format!("panel `{}` of {file}", panel["title"].as_str().unwrap());
                all.push(Asked::of(place, &target["expr"], "{{", &[&target["legendFormat"]]));
            }
        }
        for variable in list(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "query") {
            all.push(Asked::of(
                format!("variable `{}` of {file}", variable["name"]),
                &variable["definition"],
                "{{",
                &[],
            ));
        }
        for annotation in list(&dashboard["annotations"]["list"]) {
            let place = format!("annotation `{}` of {file}", annotation["name"]);
            all.push(Asked::of(place, &annotation["expr"], "{{", &[&annotation["titleFormat"]]));
        }
    }
    for rule in recorded() {
        all.push(Asked::of(format!("record `{}`", rule["record"]), &rule["expr"], "{{", &[]));
    }
    for rule in alerts() {
        let texts = [&rule["annotations"]["summary"], &rule["annotations"]["description"]];
        all.push(Asked::of(format!("alert `{}`", rule["alert"]), &rule["expr"], "$labels.", &texts));
    }
    all
}

impl Asked {
    fn of(place: String, query: &Value, mark: &str, texts: &[&Value]) -> Self {
        let text = query.as_str().unwrap_or_else(|| panic!("{place}: a query"));
        let text = ["[$__rate_interval]", "[$__range]", "[30d]"]
            .iter()
            .fold(text.to_owned(), |text, range| text.replace(range, "[5m]"));
        let text = ["$job", "$instance", "$gate"].iter().fold(text, |text, variable| text.replace(variable, ".*"));
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
        if recorded().iter().any(|rule| rule["record"] == selector.metric) {
            known.extend(["job", "gate"]);
            continue;
        }
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

/// Every dashboard, by the name of its file.
fn dashboards() -> Vec<(&'static str, Value)> {
    let names = ["sealgate.json", "sealgate-gate.json", "sealgate-registries.json"];
    names.map(|name| (name, serde_json::from_str(&read(&format!("dashboards/{name}"))).unwrap())).into()
}

fn alerts() -> Vec<Value> {
    rules("alerts")
}

fn recorded() -> Vec<Value> {
    rules("rules")
}

fn rules(name: &str) -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&read(&format!("dashboards/{name}.yaml"))).unwrap();
    list(&file["groups"]).iter().flat_map(|group| list(&group["rules"]).clone()).collect()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
