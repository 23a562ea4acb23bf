//! A gate of the built binary: its repository, its policy, its daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use git2::{Repository, Signature, Time};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::audit::{self, Written};
use super::images::{Images, images};
use super::proxy::Proxy;
use crate::support::kube::{Server, server};

/// How long something may take to come about on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// A gate and a namespace of one name, with a repository of its own and a proxy before the API server.
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    pub(crate) images: &'static Images,
    pub(crate) server: &'static Server,
    pub(crate) client: kube::Client,
    pub(crate) proxy: Proxy,
    folder: TempDir,
    kubeconfig: PathBuf,
}

/// A running daemon; killed where it is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    address: String,
    gate: &'static str,
}

impl Gate {
    /// A gate with these options of the Kubernetes target and these fields beside it.
    pub(crate) async fn new(name: &'static str, target: Value, fields: Value) -> Option<Self> {
        let images = images(name).await?;
        let server = server(name).await?;
        let client = server.client().await;
        let folder = TempDir::new().unwrap();
        let proxy = Proxy::start(server.client().await).await;
        let kubeconfig = proxy.kubeconfig(folder.path());
        Repository::init_bare(folder.path().join("repo.git")).unwrap();
        let gate = Self { name, images, server, client, proxy, folder, kubeconfig };
        gate.write_configuration(&target, &fields);
        Some(gate)
    }

    fn write_configuration(&self, target: &Value, fields: &Value) {
        let mut gate = json!({
            "name": self.name, "source": {"git": "repo.git", "branch": "main", "interval": "2s"},
            "policies": ["policy.yaml"], "target": {"kubernetes": target},
        });
        gate.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let configuration = json!({"listen": "127.0.0.1:0", "stateDir": "state", "gates": [gate]});
        let policy = json!({
            "apiVersion": "sealgate.dev/v1alpha1", "kind": "ImagePolicy", "metadata": {"name": "test"},
            "spec": {"registries": [self.images.host()], "rules": [{
                "name": "ours", "images": [format!("{}/app/**", self.images.host())],
                "signatures": {"authorities": [{"name": "ci", "key": {"file": self.images.key()}}]},
            }]},
        });
        fs::write(self.path("sealgate.yaml"), configuration.to_string()).unwrap();
        fs::write(self.path("policy.yaml"), policy.to_string()).unwrap();
    }

    /// Loses all that the daemon keeps on this machine.
    pub(crate) fn lose_state(&self) {
        fs::remove_dir_all(self.path("state")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Commits these objects, and nothing else, each in a file of its own; answers with the commit.
    pub(crate) fn commit(&self, objects: &[Value]) -> String {
        let repository = Repository::open_bare(self.path("repo.git")).unwrap();
        let mut tree = repository.treebuilder(None).unwrap();
        for (index, object) in objects.iter().enumerate() {
            let blob = repository.blob(serde_yaml::to_string(object).unwrap().as_bytes()).unwrap();
            tree.insert(format!("{index:03}.yaml"), blob, 0o100_644).unwrap();
        }
        let tree = repository.find_tree(tree.write().unwrap()).unwrap();
        let us = Signature::new("t", "t@example.com", &Time::new(1_000, 0)).unwrap();
        let parent = repository.find_reference("refs/heads/main").ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        repository.commit(Some("refs/heads/main"), &us, &us, "m", &tree, &parents).unwrap().to_string()
    }

    /// Starts the daemon.
    pub(crate) async fn start(&self) -> Daemon {
        self.start_with(&self.kubeconfig).await
    }

    /// Starts the daemon with another kubeconfig.
    pub(crate) async fn start_with(&self, kubeconfig: &Path) -> Daemon {
        self.launch("log", kubeconfig, &[]).await
    }

    /// Starts one of several replicas, with a state directory of its own and as a user of its own.
    pub(crate) async fn start_replica(&self, name: &str) -> Daemon {
        let mut kubeconfig: Value = serde_json::from_slice(&fs::read(self.server.admin()).unwrap()).unwrap();
        let user = &mut kubeconfig["users"][0]["user"];
        user["as"] = name.into();
        user["as-groups"] = json!(["system:masters"]);
        let path = self.path(&format!("{name}.kubeconfig"));
        fs::write(&path, kubeconfig.to_string()).unwrap();
        let state = self.path(&format!("{name}.state")).display().to_string();
        let environment =
            [("SEALGATE_STATEDIR", state.as_str()), ("SEALGATE_LEADERELECTION", "true"), ("HOSTNAME", name)];
        self.launch(&format!("{name}.log"), &path, &environment).await
    }

    /// Changes the configuration.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Value)) {
        self.change("sealgate.yaml", change);
    }

    /// Changes one of the gate's files.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path(name);
        let mut content: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut content);
        fs::write(path, content.to_string()).unwrap();
    }

    async fn launch(&self, log: &str, kubeconfig: &Path, environment: &[(&str, &str)]) -> Daemon {
        let log = self.path(log);
        let file = fs::File::create(&log).unwrap();
        let child = Command::new(binary())
            .args(["run", "--config"])
            .arg(self.path("sealgate.yaml"))
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", self.folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut daemon = Daemon { child, log, address: String::new(), gate: self.name };
        let began = Instant::now();
        while daemon.address.is_empty() {
            assert!(began.elapsed() < PATIENCE, "the daemon does not listen: {}", daemon.log());
            tokio::time::sleep(PAUSE).await;
            let heard = daemon.events().into_iter().find_map(|event| event_field(&event, "address"));
            daemon.address = heard.unwrap_or_default();
        }
        daemon
    }

    pub(crate) fn namespace(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})
    }

    pub(crate) fn config_map(&self, name: &str, value: &str) -> Value {
        let metadata = json!({"name": name, "namespace": self.name});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": value}})
    }

    pub(crate) fn deployment(&self, name: &str, image: &str) -> Value {
        let labels = json!({"app": name});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": self.name},
            "spec": {"selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]},
            }},
        })
    }

    /// What the cluster has at a path below the gate's namespace, such as `configmaps/a` or `apps/deployments/b`.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let request = http::Request::get(self.url(path)).body(Vec::new()).unwrap();
        match self.client.request(request).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Writes as somebody else.
    pub(crate) async fn send(&self, method: &str, path: &str, kind: &str, body: &Value) -> Value {
        let request = http::Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("content-type", kind)
            .body(body.to_string().into_bytes())
            .unwrap();
        self.client.request(request).await.unwrap()
    }

    /// Changes an object as somebody else.
    pub(crate) async fn patch(&self, path: &str, body: &Value) {
        self.send("PATCH", path, "application/merge-patch+json", body).await;
    }

    fn url(&self, path: &str) -> String {
        match path.strip_prefix("apps/") {
            _ if path.starts_with('/') => path.to_owned(),
            Some(rest) => format!("/apis/apps/v1/namespaces/{}/{rest}", self.name),
            None => format!("/api/v1/namespaces/{}/{path}", self.name),
        }
    }
}

impl Daemon {
    /// Where the gate stands.
    pub(crate) async fn status(&self) -> Value {
        let url = format!("http://{}/api/v1/gates/{}", self.address, self.gate);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    /// Waits until the gate's report, with its `status`, is as wished.
    pub(crate) async fn until(&self, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let status = self.status().await;
            if wished(&status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: never: {status:#}\n{}", self.last_words());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until a commit is at the target.
    pub(crate) async fn applied(&self, commit: &str) -> Value {
        self.until("applied", |it| it["status"]["applied"] == commit && it["status"]["errors"] == json!([])).await
    }

    /// Waits until the gate ended another look.
    pub(crate) async fn looked(&self) {
        let before = self.status().await["status"]["reconciled"].clone();
        self.until("another look", |it| it["status"]["reconciled"] != before).await;
    }

    /// Its metrics.
    pub(crate) async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.address)).await.unwrap().text().await.unwrap()
    }

    /// The events in its log.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What its HTTP server answers: the status and the body.
    pub(crate) async fn ask(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.address)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it ended by itself; its exit code.
    pub(crate) async fn ended(mut self, within: Duration) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < within {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("still there: {}", self.last_words())
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Gate {
    /// Whatever a test was about: no write of any gate so far holds an image that was not verified.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let Written { unverified, .. } =
                audit::written(&self.server.audit(), &|image| self.images.is_verified(image));
            assert_eq!(unverified, Vec::<String>::new());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary under test: another build, where `TEST_SEALGATE` names one.
fn binary() -> PathBuf {
    std::env::var_os("TEST_SEALGATE").map_or_else(|| env!("CARGO_BIN_EXE_sealgate").into(), PathBuf::from)
}

/// A field of an event, wherever the format puts it.
pub(crate) fn event_field(event: &Value, name: &str) -> Option<String> {
    let value = event.get(name).or_else(|| event.get("fields")?.get(name))?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
