//! `sealgate demo`, as somebody types it on a machine with nothing but the binary.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary, with no home and nothing else in its environment.
fn sealgate(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn run(command: &mut Command) -> (i32, Output) {
    let output = command.output().unwrap();
    (output.status.code().unwrap(), output)
}

/// cosign 2, which `tests/setup` fetches.
fn cosign() -> PathBuf {
    let get = |name: &str| std::env::vars_os().find(|(key, _)| key == name).map(|(_, value)| PathBuf::from(value));
    let home = || get("XDG_CACHE_HOME").or_else(|| Some(get("HOME")?.join(".cache")));
    let cache = get("TEST_CACHE").or_else(|| Some(home()?.join("sealgate-tests")));
    let places =
        [get("TEST_COSIGN2"), cache.map(|cache| cache.join("bin/cosign2")), Some(PathBuf::from("/usr/bin/cosign"))];
    places.into_iter().flatten().find(|place| place.exists()).expect("run tests/setup first: cosign is missing")
}

/// The one reference to an image in a manifest.
fn image(manifest: &Path) -> String {
    let manifest = fs::read_to_string(manifest).unwrap();
    manifest.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap().to_owned()
}

#[test]
fn the_story_comes_true_without_home_network_or_git() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let (code, output) = run(sealgate(folder.path()).args(["demo", "--once"]));
    let told = text(&output.stdout);
    assert_eq!(code, 0, "{told}{}", text(&output.stderr));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let expected = [
        "pass · 2 images: 2 verified, 0 refused, 0 undecided",
        "sealgate-demo/out/web.yaml:17: image: 127.0.0.1:",
        "web.yaml:17:16 Deployment shop/web spec.template.spec.containers[0].image",
        "no-signature (rule `shop`)",
        "help: ",
        "refuse · 2 images: 1 verified, 1 refused, 0 undecided",
        "What runs is unchanged",
        "The story came true.",
    ];
    for line in expected {
        assert!(told.contains(line), "{line}\n{told}");
    }

    let world = folder.path().join("sealgate-demo");
    let (committed, applied) = (image(&world.join("manifests/web.yaml")), image(&world.join("out/web.yaml")));
    assert!(committed.ends_with("/shop/web:1.1"), "{committed}");
    let (name, digest) = applied.split_once("@sha256:").unwrap();
    assert!(name.ends_with("/shop/web:1.0") && digest.len() == 64, "{applied}");
    assert!(fs::read_to_string(world.join("out/cart.yaml")).unwrap().contains("replicas: 1\n"));
    assert!(fs::symlink_metadata(world.join("out")).unwrap().is_symlink());
    assert_eq!(fs::metadata(world.join("keys/demo.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(world.join("sealgate.log")).unwrap().contains("\"decided\""));
}

#[test]
fn the_users_credentials_and_settings_are_left_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".docker")).unwrap();
    fs::write(folder.path().join(".docker/config.json"), r#"{"credsStore": "missing-helper", "auths": {}}"#).unwrap();
    fs::write(folder.path().join(".gitconfig"), "[commit]\n\tgpgsign = true\n[core]\n\tautocrlf = true\n").unwrap();
    let mut command = sealgate(folder.path());
    command
        .env("HOME", folder.path())
        .env("SEALGATE_STATEDIR", "/nonexistent")
        .env("HTTPS_PROXY", "http://127.0.0.1:1");
    let (code, output) = run(command.args(["demo", "--once", "--dir", "a world"]));
    assert_eq!(code, 0, "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(folder.path().join("a world/out/web.yaml").exists());
}

#[test]
fn the_story_begins_anew_in_its_own_folder_and_in_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (code, output) = run(sealgate(folder.path()).args(["demo", "--once", "--dir", "mine"]));
        assert_eq!(code, 0, "{}", text(&output.stdout));
    }
    fs::create_dir(folder.path().join("other")).unwrap();
    fs::write(folder.path().join("other/policy.yaml"), "precious").unwrap();
    let (code, output) = run(sealgate(folder.path()).args(["demo", "--once", "--dir", "other"]));
    assert_eq!(code, 2);
    assert!(text(&output.stderr).contains("--dir") && output.stdout.is_empty());
    assert_eq!(fs::read_to_string(folder.path().join("other/policy.yaml")).unwrap(), "precious");
}

/// A demo that stays, with what it has told; it ends with this value.
struct Staying {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    told: String,
}

impl Staying {
    fn start(folder: &Path) -> Self {
        let mut child = sealgate(folder).args(["demo", "--dir", "world"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, told: String::new() }
    }

    /// Reads on until a line holds this.
    fn until(&mut self, wanted: &str) {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            self.told.push_str(&line);
            self.told.push('\n');
            if line.contains(wanted) {
                return;
            }
        }
        panic!("never told: {wanted}\n{}", self.told);
    }

    /// The rest of the line that this begins, wherever it stands.
    fn line(&self, begin: &str) -> &str {
        self.told
            .lines()
            .find_map(|line| line.trim().strip_prefix(begin))
            .unwrap_or_else(|| panic!("{begin}\n{}", self.told))
    }

    /// Asks it to leave, and gives its exit code.
    fn leave(mut self) -> i32 {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

#[test]
fn the_world_stays_to_play_with_and_cosign_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Staying::start(folder.path());
    demo.until("cosign verify");
    let words: Vec<String> = demo.line("cosign verify ").split(' ').map(str::to_owned).collect();
    let cosign = |reference: &str| {
        let mut command = Command::new(cosign());
        command.current_dir(folder.path()).env("HOME", folder.path());
        run(command.arg("verify").args(&words[..words.len() - 1]).arg(reference))
    };
    let signed = words.last().unwrap();
    let (code, output) = cosign(signed);
    assert_eq!(code, 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("cosign container image signature"));
    assert_ne!(cosign(&signed.replace(":1.0", ":1.1")).0, 0);
    assert_ne!(cosign(&signed.replace(":1.0", ":1.2")).0, 0);

    for (command, code) in [("check", 1), ("pin", 1), ("verify", 0)] {
        let line = demo.line(&format!("{} {command} ", env!("CARGO_BIN_EXE_sealgate")));
        let (found, output) = run(sealgate(folder.path()).arg(command).args(line.split(' ')));
        assert_eq!(found, code, "{command} {line}\n{}{}", text(&output.stdout), text(&output.stderr));
    }

    let mend = demo.line("sed ").to_owned();
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        for (name, value) in [("NAME", "A User"), ("EMAIL", "user@example.com")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        let (code, output) = run(command.current_dir(folder.path()).env("HOME", folder.path()).args(["-c", line]));
        assert_eq!(code, 0, "{line}\n{}{}", text(&output.stdout), text(&output.stderr));
    };
    let commit = demo.line("git ").to_owned();
    shell(&format!("sed {mend}"));
    shell(&format!("git {commit}"));
    demo.until("pass · 2 images");
    assert!(fs::read_to_string(folder.path().join("world/out/cart.yaml")).unwrap().contains("replicas: 3\n"));

    // The policy's second key: uncommented, it lets the other image run.
    let edit =
        "sed -i -e 's/# - name: other-team/- name: other-team/' -e 's/#   key:/  key:/' -e 's/#     file:/    file:/'";
    shell(&format!("{edit} world/policy.yaml"));
    shell("sed -i 's|shop/web:.*|shop/web:1.2|' world/manifests/web.yaml && git -C world/manifests commit -qam other");
    demo.until("/shop/web:1.2@sha256:");
    demo.until("pass · 2 images");
    assert_eq!(demo.leave(), 0);
}

#[test]
fn a_demo_that_is_asked_to_leave_frees_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Staying::start(folder.path());
    demo.until("Everything stays up");
    let (code, output) = run(sealgate(folder.path()).args(["demo", "--once", "--dir", "world"]));
    assert_eq!(code, 2);
    assert!(text(&output.stderr).contains("another demo runs in it"));
    assert_eq!(demo.leave(), 0);
    assert_eq!(run(sealgate(folder.path()).args(["demo", "--once", "--dir", "world"])).0, 0);
}
