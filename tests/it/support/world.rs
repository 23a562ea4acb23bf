//! A small world for the built binary: images in a registry, a Git repository, a policy, a configuration, a target.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::git::Repository;
use super::http::{self, Answer};
use super::process::{self, Done, eventually};
use super::registry_server::RegistryServer;
use super::signing::{Form, signing};

/// The registry of this process, for tests that only add to it.
pub fn registry() -> &'static RegistryServer {
    static REGISTRY: OnceLock<RegistryServer> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let shared = process::shared_folder();
        let folder = shared.join("registry");
        std::fs::create_dir(&folder).unwrap();
        RegistryServer::start(&folder, Some(shared))
    })
}

/// An image in the shared registry.
#[derive(Debug, Clone)]
pub struct Image {
    pub repository: String,
    pub digest: String,
}

impl Image {
    /// `HOST/REPOSITORY:v1`.
    pub fn tagged(&self) -> String {
        format!("{}/{}:v1", registry().host, self.repository)
    }

    /// `HOST/REPOSITORY@DIGEST`.
    pub fn by_digest(&self) -> String {
        format!("{}/{}@{}", registry().host, self.repository, self.digest)
    }

    /// `HOST/REPOSITORY:v1@DIGEST`.
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.tagged(), self.digest)
    }

    /// The same image after its digest was signed.
    pub fn signed(self, form: Form, key: &str) -> Self {
        signing().sign(form, key, &self.by_digest(), &[]);
        self
    }
}

/// Pushes an image without a signature, tagged `v1`.
pub fn push(repository: &str) -> Image {
    let digest = registry().push(repository, "v1", repository);
    Image { repository: repository.to_owned(), digest }
}

/// Pushes an index of two leaves, tagged `v1`, without a signature.
pub fn push_index(repository: &str) -> (Image, [Image; 2]) {
    let leaves = ["one", "two"].map(|text| registry().push(repository, text, &format!("{repository} {text}")));
    let digest = registry().push_index(repository, "v1", [&leaves[0], &leaves[1]]);
    let image = |digest: String| Image { repository: repository.to_owned(), digest };
    (image(digest), leaves.map(image))
}

/// An image that `ci` signed in this form; the same one for every test that asks.
pub fn signed(form: Form) -> Image {
    static IMAGES: Mutex<BTreeMap<String, Image>> = Mutex::new(BTreeMap::new());
    let name = format!("app/{form:?}").to_lowercase();
    let mut images = IMAGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    images.entry(name.clone()).or_insert_with(|| push(&name).signed(form, "ci")).clone()
}

/// Another image that `ci` signed; the same one for every test that asks.
pub fn good() -> Image {
    signed(Form::Tag2)
}

/// An image that nobody signed; the same one for every test that asks.
pub fn unsigned() -> Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| push("app/unsigned")).clone()
}

/// A Pod of one container.
pub fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  containers:\n  - name: app\n    image: {image}\n"
    )
}

/// A folder with everything that a gate needs.
pub struct World {
    folder: tempfile::TempDir,
    pub repository: Repository,
}

impl World {
    /// A world whose policy asks for the signature of `ci` on everything under `app/`, with one gate, `production`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::new(&folder.path().join("repository"));
        let world = Self { folder, repository };
        for name in ["ci", "release", "stranger"] {
            std::fs::copy(signing().public_key(name), world.path(&format!("{name}.pub"))).unwrap();
        }
        world.write("policy.yaml", &policy("{name: ci, key: {file: ci.pub}}"));
        world.configure(&[gate("production")]);
        world
    }

    /// A path in the world's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file by rename, as an editor or a mount does.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }

    /// Writes the configuration with these gates.
    pub fn configure(&self, gates: &[Value]) {
        self.write("sealgate.yaml", &json!({"listen": "127.0.0.1:0", "stateDir": "state", "gates": gates}).to_string());
    }

    /// The binary, in this world's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = process::command(self.folder.path());
        command.args(arguments);
        command
    }

    /// Runs the binary to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Done {
        process::run(&mut self.command(arguments))
    }

    /// Runs `verify` against the world's policy, with JSON.
    #[track_caller]
    pub fn verify(&self, image: &str) -> Done {
        self.run(&["verify", image, "--policy", "policy.yaml", "--output", "json"])
    }

    /// One reconcile of every gate.
    #[track_caller]
    pub fn once(&self) -> Done {
        self.run(&["run", "--config", "sealgate.yaml", "--once", "--output", "json"])
    }

    /// The text of a file at the target of the gate `production`; none where there is none.
    pub fn applied(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.path("out").join(file)).ok()
    }

    /// Starts the daemon.
    pub fn daemon(&self) -> Daemon {
        Daemon::start(&mut self.command(&["run", "--config", "sealgate.yaml"]))
    }
}

/// The policy of worlds, with these authorities (flow style, joined by commas) for `app/**`.
pub fn policy(authorities: &str) -> String {
    policy_with(&format!("signatures: {{authorities: [{authorities}]}}"))
}

/// The policy of worlds, with these demands of its rule.
pub fn policy_with(demands: &str) -> String {
    let host = &registry().host;
    format!(
        "apiVersion: sealgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  registries: ['{host}']\n  rules:\n  - name: first-party\n    images: ['{host}/app/**']\n    {demands}\n"
    )
}

/// A gate as the configuration writes it; its target is `out` for `production`, else `out-NAME`.
pub fn gate(name: &str) -> Value {
    let out = if name == "production" { "out".to_owned() } else { format!("out-{name}") };
    json!({"name": name, "source": {"git": "repository", "branch": "main", "interval": "1h"},
        "policies": ["policy.yaml"], "target": {"directory": {"path": out}}})
}

/// A running daemon; it is killed with this value.
pub struct Daemon {
    pub child: Child,
    pub host: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Daemon {
    /// Starts it, and waits until it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        let mut daemon = Self { child, host: String::new(), log };
        daemon.host = eventually("the daemon listens", || {
            let events = daemon.events();
            let listening = events.iter().find(|event| event["message"] == "listening")?;
            Some(listening["address"].as_str().unwrap().to_owned())
        });
        daemon
    }

    /// The log's lines so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The log so far; each line must be JSON.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.log().iter().map(parse).collect()
    }

    pub fn get(&self, target: &str) -> Answer {
        http::get(&self.host, target).unwrap()
    }

    /// The API's answer about a gate.
    pub fn gate(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/gates/{name}")).json()
    }

    /// Waits until a gate's newest decision is this, on this revision.
    #[track_caller]
    pub fn decides(&self, gate: &str, decision: &str, revision: &str) -> Value {
        let what = format!("gate {gate} decides {decision} on {revision}");
        self.await_gate(&what, gate, |report| report["decision"] == decision && report["revision"] == revision)
    }

    /// Waits until a revision is at a gate's target.
    #[track_caller]
    pub fn applies(&self, gate: &str, revision: &str) -> Value {
        let what = format!("gate {gate} applies {revision}");
        self.await_gate(&what, gate, |report| report["status"]["applied"] == revision)
    }

    /// Waits until the API's answer about a gate is as wanted.
    #[track_caller]
    pub fn await_gate(&self, what: &str, gate: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = eventually_or(
            || {
                last = self.gate(gate);
                wanted(&last).then(|| last.clone())
            },
            Duration::from_secs(30),
        );
        found.unwrap_or_else(|| panic!("waited in vain for: {what}\n{:#}\n{}", self.gate(gate), self.log().join("\n")))
    }

    /// Asks it to reconcile now.
    pub fn nudge(&self) {
        process::signal(&self.child, "HUP");
    }

    /// Sends a signal and waits for the end; the exit code.
    pub fn leave(mut self, signal: &str) -> Option<i32> {
        process::signal(&self.child, signal);
        process::ends(&mut self.child, Duration::from_secs(20))
    }
}

fn eventually_or<T>(mut look: impl FnMut() -> Option<T>, within: Duration) -> Option<T> {
    let deadline = std::time::Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if std::time::Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The codes of all reasons in a report.
pub fn reasons(report: &Value) -> Vec<String> {
    let images = report["images"].as_array().unwrap();
    let codes = images.iter().flat_map(|image| image["reasons"].as_array().unwrap());
    codes.map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
}

/// The codes of all errors in a report.
pub fn errors(report: &Value) -> Vec<String> {
    let errors = report["errors"].as_array().unwrap();
    errors.iter().map(|error| error["code"].as_str().unwrap().to_owned()).collect()
}

/// The keys of an object, in their order.
pub fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Every file below a folder, by its path in it.
pub fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.insert(name, std::fs::read(path).unwrap_or_default());
            }
        }
    }
    files
}
