//! A real API server on loopback, with its etcd, shared by the tests of one binary.
//!
//! The binaries come from `TEST_KUBE_APISERVER` and `TEST_ETCD`, else from `KUBEBUILDER_ASSETS`, else from the
//! cache folder that `tests/setup` fills (`TEST_CACHE`, else `~/.cache/sealgate-tests`), else from the usual
//! places. Where one is missing, the tests say that they are skipped.
//!
//! Each server process hangs on a pipe of ours and goes when the test process goes, in whatever way.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(90);
/// Between two questions whether it is ready.
const PAUSE: Duration = Duration::from_millis(100);
/// May do everything.
const ADMIN: &str = "admin-token";
/// Stands for the service account that `deploy/` makes.
const GATE: &str = "gate-token";

/// A running API server.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    ca: String,
    store: u16,
    apiserver: PathBuf,
    /// The store, then the API server.
    processes: Mutex<Vec<Process>>,
}

/// A process that goes when this does.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // The shell around it kills it when its input ends.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The server of this binary, started by whoever asks first; none where its parts are missing, and then the test `name`
/// is told to be skipped.
pub(crate) async fn server(name: &str) -> Option<&'static Server> {
    static SERVER: OnceCell<Result<Server, String>> = OnceCell::const_new();
    match SERVER.get_or_init(Server::start).await {
        Ok(server) => Some(server),
        Err(why) => {
            skipped(name, why);
            None
        }
    }
}

/// Says that a test is skipped.
pub(crate) fn skipped(name: &str, why: &str) {
    // Past the capture of the test harness, which shows nothing of tests that pass.
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}

impl Server {
    async fn start() -> Result<Self, String> {
        let etcd = find("TEST_ETCD", "etcd")?;
        let apiserver = find("TEST_KUBE_APISERVER", "kube-apiserver")?;
        let mut last = String::new();
        // A port that was free may be taken by the time it is used.
        for _ in 0..3 {
            match Self::attempt(&etcd, &apiserver).await {
                Ok(server) => return Ok(server),
                Err(error) => last = error,
            }
        }
        // The parts are there and do not run: that is a failure, not a reason to skip.
        panic!("failed to start an API server: {last}")
    }

    async fn attempt(etcd: &Path, apiserver: &Path) -> Result<Self, String> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let ca = write_keys(folder.path());
        let (store, peer, port) = (free_port(), free_port(), free_port());
        let processes = vec![
            Process(start_etcd(etcd, folder.path(), store, peer)),
            Process(start_apiserver(apiserver, folder.path(), store, port)),
        ];
        let apiserver = apiserver.to_owned();
        let server = Self { folder, port, ca, store, apiserver, processes: Mutex::new(processes) };
        server.wait_ready().await?;
        Ok(server)
    }

    /// A server of one test alone, which may be stopped; none where its parts are missing.
    pub(crate) async fn own(name: &str) -> Option<&'static Self> {
        match Self::start().await {
            Ok(server) => Some(Box::leak(Box::new(server))),
            Err(why) => {
                skipped(name, &why);
                None
            }
        }
    }

    /// Kills the API server; its store stays.
    pub(crate) fn stop(&self) {
        self.processes.lock().unwrap().truncate(1);
    }

    /// Starts the API server again, on the same port and store.
    pub(crate) async fn start_again(&self) {
        let process = Process(start_apiserver(&self.apiserver, self.folder.path(), self.store, self.port));
        self.processes.lock().unwrap().push(process);
        self.wait_ready().await.unwrap();
    }

    async fn wait_ready(&self) -> Result<(), String> {
        let client = self.client().await;
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < START {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            match client.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(PAUSE).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("apiserver.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        Err(format!("not ready after {} s: {last}\n{}", START.as_secs(), tail.join("\n")))
    }

    /// A kubeconfig file with this token.
    pub(crate) fn kubeconfig(&self, token: &str) -> PathBuf {
        let path = self.folder.path().join(format!("kubeconfig-{token}-{}", free_port()));
        std::fs::write(&path, self.kubeconfig_text(token).to_string()).unwrap();
        path
    }

    /// A kubeconfig file of the administrator.
    pub(crate) fn admin(&self) -> PathBuf {
        self.kubeconfig(ADMIN)
    }

    /// A kubeconfig file of the service account that `deploy/` makes.
    pub(crate) fn gate(&self) -> PathBuf {
        self.kubeconfig(GATE)
    }

    /// A client of the administrator.
    pub(crate) async fn client(&self) -> kube::Client {
        let kubeconfig = serde_json::from_value(self.kubeconfig_text(ADMIN)).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
            .await
            .unwrap();
        config.read_timeout = Some(Duration::from_secs(30));
        kube::Client::try_from(config).unwrap()
    }

    /// Every finished request to the server so far, as its audit log has it.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn kubeconfig_text(&self, token: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "certificate-authority-data": base64(&self.ca),
            }}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        })
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The program of this name.
pub(crate) fn find(variable: &str, name: &str) -> Result<PathBuf, String> {
    if let Some(path) = environment(variable) {
        return Ok(path.into());
    }
    let home = environment("HOME").unwrap_or_default();
    let caches = environment("XDG_CACHE_HOME").unwrap_or_else(|| format!("{home}/.cache"));
    let cache = environment("TEST_CACHE").unwrap_or_else(|| format!("{caches}/sealgate-tests"));
    let folders = [
        environment("KUBEBUILDER_ASSETS").unwrap_or_default(),
        format!("{cache}/bin"),
        "/usr/local/bin".to_owned(),
        "/usr/bin".to_owned(),
    ];
    folders
        .iter()
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("there is no {name}; tests/setup fetches it, or {variable} names it"))
}

#[expect(clippy::disallowed_methods, reason = "where the servers are is said by the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a process under a shell that kills it as soon as our end of its input is closed, by us or by our death, and that
/// removes what it leaves then: a static server is not dropped.
fn spawn(program: &Path, folder: &Path, (log, leaves): (&str, &Path), arguments: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join(log)).unwrap();
    Command::new("/bin/sh")
        .arg("-c")
        .arg(r#""$0" "$@" & server=$!; read -r _; kill -KILL "$server"; wait; rm -rf "$LEAVES""#)
        .arg(program)
        .args(arguments)
        .env("LEAVES", leaves)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn start_etcd(program: &Path, folder: &Path, port: u16, peer: u16) -> Child {
    let (url, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
    let arguments = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ];
    spawn(program, folder, ("etcd.log", folder), &arguments)
}

fn start_apiserver(program: &Path, folder: &Path, store: u16, port: u16) -> Child {
    let file = |name: &str| folder.join(name).display().to_string();
    let arguments = [
        format!("--etcd-servers=http://127.0.0.1:{store}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        format!("--cert-dir={}", file("certificates")),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        "--service-account-issuer=https://127.0.0.1/".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        // Without a controller manager no namespace has its default account.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        format!("--audit-policy-file={}", file("audit.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
    ];
    // The folder goes with the store.
    spawn(program, folder, ("apiserver.log", Path::new("")), &arguments)
}

/// Writes keys, certificates, tokens and the audit policy; answers with the authority's certificate.
fn write_keys(folder: &Path) -> String {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = parameters.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(parameters, key);
    let server = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&server, &issuer).unwrap();
    let accounts = KeyPair::generate().unwrap();
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "RequestResponse", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
            {"level": "Metadata"},
        ],
    });
    let files = [
        ("server.crt", certificate.pem()),
        ("server.key", server.serialize_pem()),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
        (
            "tokens.csv",
            format!("{ADMIN},admin,admin,\"system:masters\"\n{GATE},system:serviceaccount:sealgate:sealgate,gate\n"),
        ),
        ("audit.yaml", policy.to_string()),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    ca
}
