//! A running daemon with something of everything, and what it tells Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use git2::{Repository, Signature};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::support::fake_registry::{FakeRegistry, Guard, Misdeed};

/// A daemon that has applied one revision and refused the next; it ends with this value.
pub struct Daemon {
    child: Child,
    pub address: String,
    folder: tempfile::TempDir,
    good: String,
    _registries: [FakeRegistry; 2],
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Daemon {
    pub async fn start() -> Self {
        let open = FakeRegistry::start().await;
        open.image("app", "1", "an image");
        let failing = Misdeed::Answer { status: 503, headers: Vec::new(), body: "" };
        open.misbehave("/broken/", failing, usize::MAX);
        let guarded = FakeRegistry::start().await;
        guarded.guard(Guard::Basic { authorization: "nobody".to_owned() });

        let folder = tempfile::tempdir().unwrap();
        let hosts = [open.host().to_string(), guarded.host().to_string()];
        write_world(folder.path(), &hosts);
        commit(folder.path(), &[&format!("{}/app:1", hosts[0])]);
        let next = [format!("{}/broken/app:1", hosts[0]), format!("{}/app:1", hosts[1]), "nginx:1".to_owned()];
        let place = folder.path().to_owned();
        let run = move || {
            let mut child = Command::new(env!("CARGO_BIN_EXE_sealgate"))
                .args(["run", "--log-format", "json", "--config"])
                .arg(place.join("sealgate.yaml"))
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .env_remove("RUST_LOG")
                .spawn()
                .unwrap();
            let address = follow(&mut child, &place, &next);
            (child, address)
        };
        let (child, address) = tokio::task::spawn_blocking(run).await.unwrap();
        let good = format!("{}/app:1", hosts[0]);
        Self { child, address, folder, good, _registries: [open, guarded] }
    }

    /// Lets it apply another revision and refuse the next one, so that every counter moves.
    pub fn stir(&self) {
        commit(self.folder.path(), &[&self.good, &self.good]);
        let applied = || std::fs::read_to_string(self.folder.path().join("out/pod.json")).unwrap().contains("c1");
        crate::support::process::eventually("the good revision is applied", || applied().then_some(()));
        commit(self.folder.path(), &[&format!("{}-unknown", self.good), "nginx:1"]);
    }

    pub async fn metrics(&self) -> String {
        let answer = reqwest::get(format!("http://{}/metrics", self.address)).await.unwrap();
        assert!(answer.status().is_success());
        answer.text().await.unwrap()
    }
}

/// Commits the second revision once the first is applied, and waits until that one is decided on.
fn follow(child: &mut Child, folder: &Path, next: &[String]) -> String {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut address = None;
    for line in lines.by_ref() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        match event["message"].as_str() {
            Some("listening") => address = event["address"].as_str().map(ToOwned::to_owned),
            Some("applied") => {
                let images: Vec<&str> = next.iter().map(String::as_str).collect();
                commit(folder, &images);
            }
            Some("decided") if event["decision"] == "refuse" => break,
            _ => {}
        }
    }
    // The log has to be read on, or the daemon stops at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    address.expect("the daemon tells where it listens before it decides")
}

fn write_world(folder: &Path, hosts: &[String; 2]) {
    Repository::init(folder.join("repository")).unwrap();
    let [open, guarded] = hosts;
    let policy = format!(
        "apiVersion: sealgate.dev/v1alpha1
kind: ImagePolicy
metadata: {{name: test}}
spec:
  registries: ['{open}', '{guarded}']
  rules:
  - {{name: all, images: ['{open}/**', '{guarded}/**'], allowUnsigned: true}}
  - name: keyless
    images: ['{open}/nowhere/**']
    signatures: {{authorities: [{{name: a, keyless: {{identities: [{{issuer: i, subject: s}}]}}}}]}}
"
    );
    std::fs::write(folder.join("policy.yaml"), policy).unwrap();
    let settings = "listen: 127.0.0.1:0
stateDir: state
gates:
- name: production
  source: {git: repository, interval: 1s}
  policies: [policy.yaml]
  target: {directory: {path: out}}
limits: {imageTimeout: 1s}
offline: true
";
    std::fs::write(folder.join("sealgate.yaml"), settings).unwrap();
}

/// Commits a pod with these images.
fn commit(folder: &Path, images: &[&str]) {
    let containers: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(at, image)| serde_json::json!({"name": format!("c{at}"), "image": image}))
        .collect();
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}});
    let repository = Repository::open(folder.join("repository")).unwrap();
    let mut tree = repository.treebuilder(None).unwrap();
    tree.insert("pod.json", repository.blob(pod.to_string().as_bytes()).unwrap(), 0o100_644).unwrap();
    let tree = repository.find_tree(tree.write().unwrap()).unwrap();
    let us = Signature::now("t", "t@example.com").unwrap();
    let parent = repository.find_reference("refs/heads/main").ok().map(|head| head.peel_to_commit().unwrap());
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(Some("refs/heads/main"), &us, &us, "m", &tree, &parents).unwrap();
}

/// The series of a scrape: by metric, the labels of each of its series; and the types by family.
#[derive(Debug, Default)]
pub struct Scrape {
    pub series: BTreeMap<String, Vec<BTreeMap<String, String>>>,
    pub types: BTreeMap<String, String>,
}

impl Scrape {
    /// The scrape of a daemon that all tests share.
    pub async fn shared() -> &'static Self {
        static SCRAPE: OnceCell<Scrape> = OnceCell::const_new();
        SCRAPE.get_or_init(|| async { Self::parse(&Daemon::start().await.metrics().await) }).await
    }

    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (family, kind) = rest.split_once(' ').unwrap();
                scrape.types.insert(family.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (metric, labels) = series(line);
                scrape.series.entry(metric).or_default().push(labels);
            }
        }
        scrape
    }

    /// The labels of a family, without those that its type brings.
    pub fn labels(&self, family: &str) -> BTreeSet<String> {
        let plain = if self.types[family] == "histogram" { format!("{family}_count") } else { family.to_owned() };
        self.series[&plain].iter().flat_map(|labels| labels.keys().cloned()).collect()
    }
}

/// `metric{label="value"} 1`; our labels hold neither quotes nor commas.
fn series(line: &str) -> (String, BTreeMap<String, String>) {
    let Some((metric, rest)) = line.split_once('{') else {
        return (line.split(' ').next().unwrap().to_owned(), BTreeMap::new());
    };
    let (labels, _) = rest.split_once('}').unwrap();
    let pair = |pair: &str| {
        let (label, value) = pair.split_once('=').unwrap();
        (label.to_owned(), value.trim_matches('"').to_owned())
    };
    (metric.to_owned(), labels.split(',').map(pair).collect())
}
