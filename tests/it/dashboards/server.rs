//! A real Prometheus that scrapes a daemon, where the machine has one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How long it may take to have scraped often enough, on a busy machine.
const START: Duration = Duration::from_secs(90);
/// How long it may take until something that happened is found.
const FOUND: Duration = Duration::from_secs(30);
/// Between two questions whether it has.
const PAUSE: Duration = Duration::from_millis(200);

/// A running Prometheus; it ends with this value.
pub struct Prometheus {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A program: the one that the variable names, or one in the cache folder of `tests/setup`, or one of the machine's.
pub fn find(variable: &str, name: &str) -> Option<PathBuf> {
    let get = |name: &str| std::env::vars_os().find(|(key, _)| key == name).map(|(_, value)| PathBuf::from(value));
    let home = || Some(get("XDG_CACHE_HOME").or_else(|| Some(get("HOME")?.join(".cache")))?.join("sealgate-tests"));
    let cached = get("TEST_CACHE").or_else(home).map(|cache| cache.join("bin").join(name));
    let places = [get(variable), cached, Some(Path::new("/usr/bin").join(name))];
    places.into_iter().flatten().find(|place| place.is_file())
}

/// Says that a test is skipped.
pub fn skipped(name: &str, why: &str) {
    // Past the capture of the test harness, which shows nothing of tests that pass.
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}

impl Prometheus {
    /// Starts it, with the alert rules loaded, and waits until it has scraped three times.
    pub async fn start(program: &Path, target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let rules = ["rules", "alerts"].map(|name| format!("{}/dashboards/{name}.yaml", env!("CARGO_MANIFEST_DIR")));
        let rules = rules.join("', '");
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ['{rules}']
scrape_configs:
- job_name: sealgate
  static_configs: [{{targets: ['{target}']}}]
"
        );
        std::fs::write(folder.path().join("prometheus.yml"), settings).unwrap();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(program)
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, address, _folder: folder };
        tokio::time::timeout(START, prometheus.scraped()).await.expect("Prometheus scrapes the daemon");
        prometheus
    }

    async fn scraped(&self) {
        let mut pause = tokio::time::interval(PAUSE);
        loop {
            pause.tick().await;
            let Ok(answer) = self.query("count_over_time(sealgate_build_info[1m]) >= 3").await else { continue };
            if answer["data"]["result"].as_array().is_some_and(|found| !found.is_empty()) {
                return;
            }
        }
    }

    /// Its answer to a query.
    pub async fn ask(&self, query: &str) -> Value {
        self.query(query).await.unwrap()
    }

    /// Asks until something is found; the last answer where nothing ever is.
    pub async fn finds(&self, query: &str) -> Result<(), Value> {
        let mut last = Value::Null;
        let ask = async {
            let mut pause = tokio::time::interval(PAUSE);
            loop {
                pause.tick().await;
                last = self.ask(query).await;
                if last["data"]["result"].as_array().is_some_and(|found| !found.is_empty()) {
                    return;
                }
            }
        };
        tokio::time::timeout(FOUND, ask).await.map_err(|_| last)
    }

    async fn query(&self, query: &str) -> Result<Value, String> {
        let mut url = url::Url::parse(&format!("http://{}/api/v1/query", self.address)).unwrap();
        url.query_pairs_mut().append_pair("query", query);
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }
}
