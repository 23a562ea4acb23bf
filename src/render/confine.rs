//! Runs a renderer where it can reach nothing: an empty environment, a private copy of the files, no network where the
//! kernel permits, and bounds on time, memory and output.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

/// Time of one build.
const TIME: Duration = Duration::from_secs(30);
/// Seconds of processor time of one build.
const PROCESSOR: u32 = 60;
/// Address space of the renderer, in KiB: Go's runtime reserves far more than it uses.
const MEMORY: u32 = 4 << 20;
/// Bytes that may be rendered.
const OUTPUT: u64 = 64 << 20;
/// Bytes of complaints that are read.
const COMPLAINTS: u64 = 64 << 10;
/// How often a running build is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A private copy of files, and the program that builds folders of it.
#[derive(Debug)]
pub(super) struct Confined {
    copy: TempDir,
    program: Vec<OsString>,
    /// Whether the network is cut. Where it is not, only what a kustomization names protects.
    no_network: Option<PathBuf>,
}

impl Confined {
    /// Copies the files and finds the renderer.
    pub(super) fn new(files: &[File]) -> Result<Self, Problem> {
        let program = kustomize().ok_or_else(|| {
            Problem::new(
                ErrorCode::UnsupportedFile,
                "a folder is to be built with kustomize, and there is no `kustomize` and no `kubectl`",
            )
            .with_help("install one of them on the PATH, or render the folder into plain manifests, or `exclude` it")
        })?;
        let failed = |error: std::io::Error| {
            Problem::new(ErrorCode::FileUnreadable, format!("failed to copy the files to be rendered: {error}"))
        };
        let copy = TempDir::with_prefix("sealgate-render-").map_err(failed)?;
        for file in files {
            let path = copy.path().join(private(&file.path)?);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            fs::write(&path, &file.bytes).map_err(failed)?;
        }
        Ok(Self { copy, program, no_network: unshare() })
    }

    /// What the renderer makes of a folder.
    pub(super) fn build(&self, folder: &str) -> Result<Vec<u8>, Problem> {
        let failed = |what: String| {
            Problem::new(ErrorCode::UnsupportedFile, format!("failed to build the folder with kustomize: {what}"))
                .with_help(
                    "see that `kustomize build` works on the files of this path alone, YAML and JSON, without plugins",
                )
        };
        let folder = self.copy.path().join(private(folder)?);
        let mut child = self.command(&folder).spawn().map_err(|error| failed(error.to_string()))?;
        let output = reader(child.stdout.take(), OUTPUT);
        let complaints = reader(child.stderr.take(), COMPLAINTS);
        let done = wait(&mut child).map_err(|what| failed(what.to_owned()));
        let (output, complaints) = (joined(output), joined(complaints));
        if !done? {
            let text = String::from_utf8_lossy(&complaints).replace(&*self.copy.path().to_string_lossy(), "");
            return Err(failed(text.trim().chars().filter(|c| !c.is_control()).take(500).collect()));
        }
        if u64::try_from(output.len()).is_ok_and(|length| length > OUTPUT) {
            return Err(Problem::new(ErrorCode::LimitExceeded, format!("more than {OUTPUT} bytes are rendered")));
        }
        Ok(output)
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(format!("ulimit -v {MEMORY} && ulimit -t {PROCESSOR} && ulimit -c 0 && exec \"$@\""))
            .arg("sh");
        if let Some(unshare) = &self.no_network {
            command.arg(unshare).arg("-rn");
        }
        command.args(&self.program).arg(folder).env_clear().current_dir(self.copy.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Where a file lies in the copy: always below it.
fn private(path: &str) -> Result<PathBuf, Problem> {
    let mut inside = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Problem::new(
                    ErrorCode::Usage,
                    format!("`{path}` leads out of its folder and cannot be rendered"),
                )
                .with_help("name the path without `..`"));
            }
        }
    }
    Ok(inside)
}

/// The command that builds a folder, without the folder.
fn kustomize() -> Option<Vec<OsString>> {
    let standalone = found("kustomize").map(|path| vec![path.into(), "build".into()]);
    standalone.or_else(|| found("kubectl").map(|path| vec![path.into(), "kustomize".into()]))
}

/// `unshare`, where the kernel lets it cut the network.
fn unshare() -> Option<PathBuf> {
    let unshare = found("unshare")?;
    let mut trial = Command::new(&unshare);
    trial.args(["-rn", "/bin/sh", "-c", ":"]).env_clear();
    trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    trial.status().is_ok_and(|status| status.success()).then_some(unshare)
}

/// A program, as a shell would find it; only in absolute folders of the PATH.
#[expect(clippy::disallowed_methods, reason = "the renderer is the user's own, found as a shell finds it")]
fn found(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Reads in a thread of its own, so that a full pipe blocks nobody; one byte more than allowed.
fn reader(pipe: Option<impl Read + Send + 'static>, limit: u64) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let Some(pipe) = pipe else { return bytes };
        // What cannot be read is missing, and the renderer fails or its output does not parse.
        let _ = pipe.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        bytes
    })
}

fn joined(reader: JoinHandle<Vec<u8>>) -> Vec<u8> {
    reader.join().unwrap_or_default()
}

/// Waits within the limit of time; says whether the renderer ended well.
fn wait(child: &mut Child) -> Result<bool, &'static str> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if start.elapsed() < TIME => thread::sleep(LOOK),
            Ok(None) | Err(_) => {
                // It may have ended meanwhile; either way nothing of it counts.
                let _ = child.kill();
                let _ = child.wait();
                return Err("it took longer than 30 seconds");
            }
        }
    }
}
