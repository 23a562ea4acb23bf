//! `sealgate demo`, left up, and the two commits that its reader may make.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A demo that stays; it ends with this value.
pub struct Playing {
    child: Child,
    folder: tempfile::TempDir,
    pub address: String,
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Playing {
    /// Starts it, and waits until its story is told.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.env_clear().current_dir(folder.path()).args(["demo", "--dir", "world"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let page = |line: &str| Some(line.trim().strip_prefix("http://")?.split_once("/metrics")?.0.to_owned());
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| page(&line));
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, folder, address: address.expect("the demo tells where the metrics are") }
    }

    fn manifests(&self) -> PathBuf {
        self.folder.path().join("world/manifests")
    }

    /// Commits another tag of `shop/web`; gives the commit.
    fn commit(&self, tag: &str) -> String {
        let path = self.manifests().join("web.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once("shop/web:").unwrap();
        let (_, after) = rest.split_once('\n').unwrap();
        std::fs::write(&path, format!("{before}shop/web:{tag}\n{after}")).unwrap();
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.arg("-C").arg(self.manifests()).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
            let output = command.args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["commit", "-qam", tag]);
        git(&["rev-parse", "HEAD"])
    }

    /// Commits the signed image.
    pub fn mend(&self) -> String {
        self.commit("1.0")
    }

    /// Commits the image that nobody signed.
    pub fn spoil(&self) -> String {
        self.commit("1.1")
    }
}
