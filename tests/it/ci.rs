//! The shell of every step of the examples under `deploy/ci`, run as the CI system runs it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::process::{self, Done};
use crate::support::world::{World, good, pod, policy, unsigned};

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ci").join(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&example(name)).unwrap()
}

/// A clone of a repository whose default branch passes, on a branch that changes one image to this.
struct Clone {
    world: World,
    path: PathBuf,
    bin: PathBuf,
}

impl Clone {
    fn new(image: &str) -> Self {
        let world = World::new();
        let key = fs::read_to_string(world.path("ci.pub")).unwrap();
        let old = pod("old", &unsigned().tagged());
        let text = policy("{name: ci, key: {file: ci.pub}}");
        world.repository.commit(&[("policy.yaml", &text), ("ci.pub", &key), ("manifests/old.yaml", &old)]);
        let path = world.path("clone");
        world.repository.git(&["clone", "-q", world.repository.path.to_str().unwrap(), path.to_str().unwrap()]);
        let bin = world.path("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(process::sealgate(), bin.join("sealgate")).unwrap();
        let clone = Self { world, path, bin };
        clone.shell("git checkout -q -b change", &[]).exits(0);
        fs::write(clone.path.join("manifests/new.yaml"), pod("new", image)).unwrap();
        clone.shell("git add -A && git -c user.name=t -c user.email=t commit -q -m change", &[]).exits(0);
        clone
    }

    fn shell(&self, script: &str, environment: &[(&str, &str)]) -> Done {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin.display());
        let mut command = Command::new("bash");
        command
            .args(["-e", "-o", "pipefail", "-c", script])
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.world.path(""));
        process::run(command.envs(environment.iter().copied()).current_dir(&self.path))
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }
}

/// What the change is, and what a check of it exits with.
fn changes() -> [(String, i32); 2] {
    [(good().tagged(), 0), (unsigned().tagged(), 1)]
}

/// The API of comments: it keeps them, and tells what was asked.
struct Comments {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
    kept: Arc<Mutex<Vec<Value>>>,
}

impl Comments {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        // A person's comment that pretends to be ours is left alone.
        let person = json!({"id": 1, "user": {"type": "User"}, "body": "<!-- sealgate:check -->\nnot ours"});
        let (asked, kept) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(vec![person])));
        let (asks, keeps) = (Arc::clone(&asked), Arc::clone(&kept));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let mut length = 0;
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    match header.trim_end().to_lowercase().split_once(": ") {
                        Some(("content-length", value)) => length = value.parse().unwrap(),
                        Some(_) => {}
                        None => break,
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let mut kept = keeps.lock().unwrap();
                let method = line.split(' ').next().unwrap().to_owned();
                if method == "POST" {
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    kept.push(json!({"id": 2, "user": {"type": "Bot"}, "body": body["body"]}));
                } else if method == "PATCH" {
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    kept[1]["body"] = body["body"].clone();
                }
                let answer = serde_json::to_string(&*kept).unwrap();
                asks.lock().unwrap().push(line.trim_end().to_owned());
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
                let _left = stream.write_all((head + &answer).as_bytes());
            }
        });
        Self { host, asked, kept }
    }
}

#[test]
fn the_steps_for_github_check_scan_and_comment_once() {
    let workflow = yaml("github-actions.yml");
    let steps = workflow["jobs"]["check"]["steps"].as_array().unwrap().clone();
    let step = |name: &str| {
        let step = steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}"));
        step["run"].as_str().unwrap().to_owned()
    };
    let told = steps.iter().filter(|step| step.get("run").is_some()).count();
    assert_eq!(told, 3, "every step is run here");
    let server = Comments::start();
    let api = format!("http://{}", server.host);
    for (image, code) in changes() {
        let clone = Clone::new(&image);
        let environment = [
            ("BASE", "origin/main"),
            ("GITHUB_STEP_SUMMARY", "summary.md"),
            ("GITHUB_API_URL", api.as_str()),
            ("GH_TOKEN", "t"),
            ("REPOSITORY", "acme/manifests"),
            ("NUMBER", "7"),
        ];
        let done = clone.shell(&step("Check"), &environment).exits(code);
        assert_eq!(done.stdout.contains("::error file=manifests/new.yaml"), code == 1, "{done:?}");
        assert!(clone.file("summary.md").starts_with("<!-- sealgate:check -->"));
        clone.shell(&step("Write SARIF"), &environment).exits(0);
        let sarif: Value = serde_json::from_str(&clone.file("sealgate.sarif")).unwrap();
        assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().is_empty(), code == 0);
        clone.shell(&step("Comment"), &environment).exits(0);
        let kept = server.kept.lock().unwrap().clone();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert_eq!(kept[0]["body"], "<!-- sealgate:check -->\nnot ours");
        assert_eq!(kept[1]["body"], clone.file("comment.md"));
        // A policy that cannot be read is no answer, and fails every step.
        fs::write(clone.path.join("policy.yaml"), "a: [\n").unwrap();
        for name in ["Check", "Write SARIF"] {
            assert_ne!(clone.shell(&step(name), &environment).code, 0, "{name}");
        }
    }
    let asked = server.asked.lock().unwrap().join("\n");
    assert!(asked.contains("POST /repos/acme/manifests/issues/7/comments "), "{asked}");
    assert!(asked.contains("PATCH /repos/acme/manifests/issues/comments/2 "), "{asked}");
}

#[test]
fn the_job_for_gitlab_writes_a_report_and_fails_as_it_should() {
    let job = yaml("gitlab-ci.yml")["sealgate"].clone();
    let lines: Vec<&str> = job["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for (image, code) in changes() {
        let clone = Clone::new(&image);
        clone.shell(&lines.join("\n"), &[("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main")]).exits(code);
        let report = clone.file(job["artifacts"]["reports"]["junit"].as_str().unwrap());
        assert_eq!(report.contains("<failure"), code == 1, "{report}");
    }
}

#[test]
fn the_stage_for_jenkins_writes_a_report_and_fails_as_it_should() {
    let text = example("Jenkinsfile");
    let script = text.split("'''").nth(1).unwrap();
    let report = text.split("junit '").nth(1).unwrap().split('\'').next().unwrap();
    for (image, code) in changes() {
        let clone = Clone::new(&image);
        clone.shell(script, &[("CHANGE_TARGET", "main")]).exits(code);
        assert_eq!(clone.file(report).contains("<failure"), code == 1);
    }
}

#[test]
fn the_hook_before_a_commit_looks_at_what_is_not_committed() {
    let hook = yaml("pre-commit-config.yaml")["repos"][0]["hooks"][0].clone();
    let entry = hook["entry"].as_str().unwrap();
    let clone = Clone::new(&good().tagged());
    clone.shell(entry, &[]).exits(0);
    fs::write(clone.path.join("manifests/more.yaml"), pod("more", &unsigned().tagged())).unwrap();
    let done = clone.shell(entry, &[]).exits(1);
    assert!(done.stdout.contains("manifests/more.yaml") && !done.stdout.contains("manifests/old.yaml"), "{done:?}");
    let files = regex::Regex::new(hook["files"].as_str().unwrap()).unwrap();
    assert!(files.is_match("manifests/more.yaml") && files.is_match("policy.yaml") && !files.is_match("README.md"));
}
