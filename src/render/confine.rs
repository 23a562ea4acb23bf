//! Runs a renderer where it can reach nothing: an empty environment, a private copy of the files, no network where the
//! kernel permits, and bounds on time, memory, output, files and processes.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::plan::{Isolation, Limits, Plan};
use super::program::{Cut, Programs, Told};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::{File, Network};

/// Bytes of complaints that are read.
const COMPLAINTS: usize = 64 << 10;
/// Files that may be open at once.
const OPEN_FILES: u32 = 256;
/// Processes and threads, where the kernel counts those of the namespace alone.
const PROCESSES: u32 = 512;
/// How often a running build is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long the output of a process that has ended may still be under way.
const DRAIN: Duration = Duration::from_secs(5);

/// Where the files of the source lie in the copy, where those given beside it, and what the renderer takes for its home.
const FILES: &str = "files";
const GIVEN: &str = "given";
const HOME: &str = "home";

/// A private copy of files, and what runs renderers on it.
#[derive(Debug)]
pub(super) struct Confined<'p> {
    copy: TempDir,
    cut: Cut,
    programs: Programs<'p>,
    limits: &'p Limits,
}

impl<'p> Confined<'p> {
    /// Copies the files.
    pub(super) fn new(files: &[File], plan: &'p Plan) -> Result<Self, Problem> {
        let cut = Cut::find();
        if plan.isolation == Isolation::Required && cut.network() == Network::Open {
            let message = "the network cannot be cut from a renderer here, and the configuration demands it";
            return Err(Problem::new(ErrorCode::UnsupportedFile, message).with_help(
                "let this process make user namespaces (`unshare -rn true` tells), or write `isolation: best-effort`",
            ));
        }
        let copy = TempDir::with_prefix("sealgate-render-").map_err(|error| failed(&error))?;
        let confined = Self { copy, cut, programs: Programs::new(&plan.programs), limits: &plan.limits };
        for folder in [FILES, GIVEN, HOME] {
            fs::create_dir(confined.copy.path().join(folder)).map_err(|error| failed(&error))?;
        }
        for file in files {
            Self::write(&confined.place(&file.path)?, &file.bytes)?;
        }
        Ok(confined)
    }

    /// Adds a file that stands beside the source.
    pub(super) fn give(&self, number: usize, name: &str, bytes: &[u8]) -> Result<PathBuf, Problem> {
        let path = self.copy.path().join(GIVEN).join(format!("{number}-{name}.yaml"));
        Self::write(&path, bytes)?;
        Ok(path)
    }

    fn write(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        fs::write(path, bytes).map_err(|error| failed(&error))
    }

    /// The renderers.
    pub(super) fn programs(&self) -> &Programs<'p> {
        &self.programs
    }

    /// Whether they have a network.
    pub(super) fn network(&self) -> Network {
        self.cut.network()
    }

    /// Where a file or folder of the source lies in the copy: always below it.
    pub(super) fn place(&self, path: &str) -> Result<PathBuf, Problem> {
        let mut place = self.copy.path().join(FILES);
        for part in Path::new(path).components() {
            match part {
                Component::Normal(name) => place.push(name),
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
        Ok(place)
    }

    /// What a renderer prints.
    pub(super) fn run(&self, arguments: &[OsString]) -> Result<Vec<u8>, Told> {
        let failed = |what: String| Told::Failed(what);
        let mut child = self.command(arguments).spawn().map_err(|error| failed(error.to_string()))?;
        let output = reader(child.stdout.take(), self.limits.output);
        let complaints = reader(child.stderr.take(), COMPLAINTS);
        let ended_well = wait(&mut child, self.limits.time)?;
        let gone = |_| failed("something that it started still holds its output".to_owned());
        let output = output.recv_timeout(DRAIN).map_err(gone)?;
        let complaints = complaints.recv_timeout(DRAIN).map_err(gone)?;
        if output.len() > self.limits.output {
            return Err(Told::Limit(format!("more than {} bytes are rendered", self.limits.output)));
        }
        if ended_well { Ok(output) } else { Err(failed(self.printable(&complaints))) }
    }

    /// What a renderer says, without the names of the private copy.
    fn printable(&self, complaints: &[u8]) -> String {
        let copy = self.copy.path().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(complaints);
        let text = text.replace(&format!("{copy}/{FILES}/"), "").replace(&copy, "");
        text.trim().chars().filter(|c| !c.is_control()).take(500).collect()
    }

    fn command(&self, arguments: &[OsString]) -> Command {
        let Limits { time, memory, output } = self.limits;
        let (kibibytes, blocks) = (memory / 1024, output / 512);
        let seconds = time.as_secs().saturating_mul(2).max(1);
        // Shells disagree on the letter for processes. Only inside a namespace are they this build's alone.
        let processes = match self.cut.network() {
            Network::Cut => format!("{{ ulimit -u {PROCESSES} 2>/dev/null || ulimit -p {PROCESSES}; }} && "),
            Network::Open => String::new(),
        };
        let mut command = self.cut.shell();
        command.arg("-c").arg(format!(
            "{processes}ulimit -v {kibibytes} && ulimit -t {seconds} && ulimit -c 0 && ulimit -n {OPEN_FILES} && \
             ulimit -f {blocks} && exec \"$@\""
        ));
        command.arg("sh").args(arguments);
        command.env_clear().env("HOME", self.copy.path().join(HOME)).current_dir(self.copy.path().join(FILES));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command
    }
}

fn failed(error: &std::io::Error) -> Problem {
    Problem::new(ErrorCode::FileUnreadable, format!("failed to copy the files to be rendered: {error}"))
        .with_help("see that the folder for temporary files can be written and has room")
}

/// Reads in a thread of its own, so that a full pipe blocks nobody; one byte more than allowed, and the rest is dropped
/// so that the renderer ends.
fn reader(pipe: Option<impl Read + Send + 'static>, limit: usize) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            // What cannot be read is missing, and the renderer fails or its output does not parse.
            let _ = pipe.by_ref().take(bound).read_to_end(&mut bytes);
        }
        // Nobody waits any more where the renderer was killed.
        let _ = sender.send(bytes);
    });
    receiver
}

/// Waits within the limit of time; says whether the renderer ended well.
fn wait(child: &mut Child, limit: Duration) -> Result<bool, Told> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if start.elapsed() < limit => thread::sleep(LOOK),
            Ok(None) => {
                end(child);
                return Err(Told::Limit(format!("the build took longer than {} seconds", limit.as_secs_f32())));
            }
            Err(error) => {
                end(child);
                return Err(Told::Failed(error.to_string()));
            }
        }
    }
}

/// Ends a renderer and everything in its process group. It may have ended meanwhile; either way nothing of it counts.
fn end(child: &mut Child) {
    let mut group = Command::new("/bin/sh");
    group.args(["-c", "kill -9 -- \"-$1\"", "sh", &child.id().to_string()]).env_clear();
    let _ = group.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let _ = child.kill();
    let _ = child.wait();
}
