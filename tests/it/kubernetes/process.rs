//! Processes that go when the test process goes, in whatever way.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process under a shell that kills it as soon as our end of the shell's input is closed.
pub(crate) struct Hung(Child);

impl Hung {
    /// Starts a program; what it says goes into a file.
    pub(crate) fn start(program: &Path, arguments: &[&OsStr], log: &Path) -> Self {
        let log = File::create(log).unwrap();
        let child = Command::new("/bin/sh")
            .arg("-c")
            .arg(r#""$0" "$@" & server=$!; read -r _; kill -KILL "$server"; wait"#)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
