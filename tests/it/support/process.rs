//! Programs that the tests run: the built binary with a clean environment and a bound on time, and what `tests/setup`
//! fetches.

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A run of ours that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the tests wait for something to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that `tests/setup` fetches.
pub fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let get = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = get("TEST_CACHE")
        .or_else(|| Some(get("XDG_CACHE_HOME").or_else(|| Some(get("HOME")?.join(".cache")))?.join("sealgate-tests")));
    let mut places = vec![cache.unwrap().join("bin").join(name)];
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path).map(|folder| folder.join(name)));
    let found = places.iter().find(|place| place.exists());
    found.unwrap_or_else(|| panic!("run tests/setup first: `{name}` is missing")).clone()
}

/// The folder that the tests of this process share; it goes with the process (see `registry_server`).
pub fn shared_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| tempfile::Builder::new().prefix("it-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep())
}

/// The built binary, or the one that `TEST_SEALGATE` names, such as a release: linked to, so that a build that runs
/// meanwhile does not change it under the tests.
pub fn sealgate() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let given = std::env::var_os("TEST_SEALGATE").map(PathBuf::from);
        let built = given.unwrap_or_else(|| env!("CARGO_BIN_EXE_sealgate").into());
        let copy = shared_folder().join("sealgate");
        if std::fs::hard_link(&built, &copy).is_err() {
            std::fs::copy(built, &copy).unwrap();
        }
        copy
    })
}

/// The binary with nothing in its environment but a home of its own.
pub fn command(home: &Path) -> Command {
    let mut command = Command::new(sealgate());
    command.env_clear().env("HOME", home).env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir(home);
    command
}

/// What a run came to.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Done {
    /// Stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the exit code, and tells everything where it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// Runs a command to its end, within the limit.
#[track_caller]
pub fn run(command: &mut Command) -> Done {
    run_with(command, b"")
}

/// Runs a command to its end, within the limit, with this on its standard input.
#[track_caller]
pub fn run_with(command: &mut Command, stdin: &[u8]) -> Done {
    let started = Instant::now();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("program");
    let mut input = child.stdin.take().unwrap();
    let sent = stdin.to_vec();
    // One that reads no input closes it.
    thread::spawn(move || drop(input.write_all(&sent)));
    let (stdout, stderr) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let code = ends(&mut child, LIMIT);
    let text = |bytes: thread::JoinHandle<Vec<u8>>| String::from_utf8_lossy(&bytes.join().unwrap()).into_owned();
    let (stdout, stderr) = (text(stdout), text(stderr));
    let Some(code) = code else { panic!("{command:?} hangs\n{stdout}\n{stderr}") };
    Done { code, stdout, stderr, took: started.elapsed() }
}

/// Waits for a child's end; kills it where it does not come. A signal's number counts from -1 downwards.
pub fn ends(child: &mut Child, within: Duration) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or_else(|| -status.signal().unwrap()));
        }
        if Instant::now() > deadline {
            let _gone = child.kill().and_then(|()| child.wait());
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ended = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits until there is an answer; says what was waited for where none comes.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
}
