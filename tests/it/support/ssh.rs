//! An SSH server on loopback: `sshd` with keys made for the test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running `sshd`; it ends when this is dropped.
pub struct Sshd {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
    user: String,
}

impl Sshd {
    /// Starts a server that lets the key [`Sshd::key`] in; none, with the reason printed, where there is no `sshd`.
    pub fn start() -> Option<Self> {
        let program = program()?;
        let dir = tempfile::tempdir().unwrap();
        for (name, kind) in [("host", "ed25519"), ("host_ecdsa", "ecdsa"), ("user", "ed25519"), ("stranger", "ed25519")]
        {
            make_key(&dir.path().join(name), kind);
        }
        fs::copy(dir.path().join("user.pub"), dir.path().join("authorized")).unwrap();
        let port = free_port();
        fs::write(dir.path().join("config"), config(dir.path(), port)).unwrap();
        let mut child = Command::new(&program)
            .args(["-D", "-e", "-f"])
            .arg(dir.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Err(said) = listening(&mut child) {
            println!("skipped: {} does not start: {said}", program.display());
            return None;
        }
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        Some(Self { child, port, dir, user })
    }

    /// The URL of a repository at this path.
    pub fn url(&self, repository: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, repository.display())
    }

    /// The private key that is let in.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("user")
    }

    /// A private key that is not.
    pub fn strange_key(&self) -> PathBuf {
        self.dir.path().join("stranger")
    }

    /// Lines of `known_hosts` for the server's own keys.
    pub fn known_hosts(&self) -> String {
        self.lines(&["host.pub", "host_ecdsa.pub"])
    }

    /// The same for a key that the server does not have.
    pub fn other_known_hosts(&self) -> String {
        self.lines(&["stranger.pub"])
    }

    /// [`Sshd::known_hosts`] with its names hashed.
    pub fn hashed_known_hosts(&self) -> String {
        let file = self.dir.path().join("hashed");
        fs::write(&file, self.known_hosts()).unwrap();
        let run = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        fs::read_to_string(file).unwrap()
    }

    fn lines(&self, keys: &[&str]) -> String {
        let line = |key: &&str| {
            let key = fs::read_to_string(self.dir.path().join(key)).unwrap();
            format!("[127.0.0.1]:{} {key}", self.port)
        };
        keys.iter().map(line).collect()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// `$TEST_SSHD`, or where Debian puts it. It must be started by its full path.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("TEST_SSHD").map(PathBuf::from);
    let program = named.unwrap_or_else(|| PathBuf::from("/usr/sbin/sshd"));
    if program.is_file() {
        return Some(program);
    }
    println!("skipped: there is no {} (Debian: openssh-server)", program.display());
    None
}

fn make_key(at: &Path, kind: &str) {
    let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(at).status().unwrap();
    assert!(made.success());
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn config(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host\nHostKey {dir}/host_ecdsa\n\
         AuthorizedKeysFile {dir}/authorized\nPidFile none\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel INFO\n"
    )
}

/// Waits for the line in which the server says that it listens, then keeps its log from filling up.
fn listening(child: &mut Child) -> Result<(), String> {
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if log.read_line(&mut line).unwrap() == 0 {
            return Err(said);
        }
        if line.contains("Server listening") {
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Ok(());
        }
        said.push_str(&line);
    }
}
