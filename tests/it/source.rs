//! The Git source over HTTP, HTTPS and SSH, against git's and OpenSSH's own servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{Repository, Signature, Time};
use sealgate::reason::{ErrorCode, Problem};
use sealgate::source::{Auth, Git, GitOptions, Limits};

use crate::support::git_http::{GitHttp, Options};
use crate::support::ssh::Sshd;

/// A folder with the repository `a.git`, whose branch `main` has one commit.
struct World {
    dir: tempfile::TempDir,
    commit: String,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world = Self { dir, commit: String::new() };
        Repository::init_bare(world.repository()).unwrap();
        world.push("image: one");
        world
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("a.git")
    }

    fn push(&mut self, text: &str) {
        let repository = Repository::open_bare(self.repository()).unwrap();
        let blob = repository.blob(text.as_bytes()).unwrap();
        let mut tree = repository.treebuilder(None).unwrap();
        tree.insert("app.yaml", blob, 0o100_644).unwrap();
        let tree = repository.find_tree(tree.write().unwrap()).unwrap();
        let us = Signature::new("t", "t@example.com", &Time::new(1_000, 0)).unwrap();
        let parent = repository.find_reference("refs/heads/main").ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.commit = repository.commit(Some("refs/heads/main"), &us, &us, "m", &tree, &parents).unwrap().to_string();
    }

    fn file(&self, name: &str, text: &str) -> Option<PathBuf> {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        Some(path)
    }

    fn git(&self, url: String, auth: Auth) -> Git {
        self.git_within(url, auth, Duration::from_secs(60))
    }

    fn git_within(&self, url: String, auth: Auth, timeout: Duration) -> Git {
        self.git_with(url, auth, timeout, Limits::default())
    }

    fn git_with(&self, url: String, auth: Auth, timeout: Duration, limits: Limits) -> Git {
        let cache = self.dir.path().join("cache");
        let (branch, path, exclude) = ("main".to_owned(), String::new(), Vec::new());
        Git::new(GitOptions { url, branch, path, exclude, auth, allow_rewrite: false, limits, timeout, cache }).unwrap()
    }

    /// Lists, fetches and reads the newest commit.
    fn reads(&self, git: &mut Git) {
        assert_eq!(git.head().unwrap(), self.commit);
        git.fetch(&self.commit).unwrap();
        assert_eq!(git.snapshot(&self.commit).unwrap().files.len(), 1);
    }
}

fn password(world: &World, text: &str) -> Auth {
    Auth { username: Some("bot".to_owned()), password_file: world.file("password", text), ..Auth::default() }
}

fn asking() -> Options {
    Options { password: Some(("bot".to_owned(), "hunter2".to_owned())), ..Options::default() }
}

fn refused(mut git: Git) -> Problem {
    let problem = git.head().unwrap_err();
    assert_eq!(problem.code, ErrorCode::SourceUnavailable);
    assert!(!problem.to_string().contains("hunter2") && !problem.help.contains("hunter2"));
    problem
}

#[test]
fn http_serves_one_commit_after_the_other() {
    let mut world = World::new();
    let server = GitHttp::start(world.dir.path(), Options::default());
    let mut git = world.git(server.url("a.git"), Auth::default());
    world.reads(&mut git);
    let first = world.commit.clone();
    world.push("image: two");
    world.reads(&mut git);
    assert!(git.descends(&first, &world.commit).unwrap());
}

#[test]
fn an_unchanged_head_costs_one_request_and_no_fetch() {
    let world = World::new();
    let server = GitHttp::start(world.dir.path(), Options::default());
    let mut git = world.git(server.url("a.git"), Auth::default());
    world.reads(&mut git);
    let before = server.requests().len();
    assert_eq!(git.head().unwrap(), world.commit);
    git.fetch(&world.commit).unwrap();
    assert_eq!(server.requests().len(), before + 1);
}

#[test]
fn a_password_is_read_from_its_file_at_each_use() {
    let world = World::new();
    let server = GitHttp::start(world.dir.path(), asking());
    let mut git = world.git(server.url("a.git"), password(&world, "hunter2\n"));
    world.reads(&mut git);
    world.file("password", "rotated");
    refused(git);
    let mut git = world.git(server.url("a.git"), password(&world, "hunter2"));
    world.reads(&mut git);
}

#[test]
fn a_wrong_password_is_sent_once_and_a_missing_one_never() {
    let world = World::new();
    let server = GitHttp::start(world.dir.path(), asking());
    refused(world.git(server.url("a.git"), password(&world, "hunter3")));
    let sent = |server: &GitHttp| server.requests().iter().filter(|request| request.authorization.is_some()).count();
    assert_eq!(sent(&server), 1);
    let server = GitHttp::start(world.dir.path(), asking());
    refused(world.git(server.url("a.git"), Auth::default()));
    assert_eq!(sent(&server), 0);
}

#[test]
fn another_server_gets_neither_credentials_nor_a_fetch() {
    let world = World::new();
    let other = GitHttp::start(world.dir.path(), asking());
    // Another port of the same host, and another name of it.
    for base in [other.url(""), other.url("").replace("127.0.0.1", "localhost")] {
        let redirect = Some(base.trim_end_matches('/').to_owned());
        let server = GitHttp::start(world.dir.path(), Options { redirect, ..Options::default() });
        refused(world.git(server.url("a.git"), password(&world, "hunter2")));
    }
    assert!(other.requests().iter().all(|request| request.authorization.is_none()), "{:?}", other.requests());
}

#[test]
fn tls_is_checked_against_the_ca_file_of_this_source() {
    let world = World::new();
    let server = GitHttp::start(world.dir.path(), Options { tls: true, ..Options::default() });
    let stranger = GitHttp::start(world.dir.path(), Options { tls: true, ..Options::default() });
    let with = |ca_file| Auth { ca_file, ..Auth::default() };
    let ours = world.file("ours.pem", server.root_pem());
    world.reads(&mut world.git(server.url("a.git"), with(ours.clone())));
    refused(world.git(server.url("a.git"), Auth::default()));
    refused(world.git(server.url("a.git"), with(world.file("other.pem", stranger.root_pem()))));
    refused(world.git(server.url("a.git"), with(world.file("junk.pem", "junk"))));
    refused(world.git(server.url("a.git"), with(Some(world.dir.path().join("missing.pem")))));
    refused(world.git(server.url("a.git").replace("localhost", "127.0.0.1"), with(ours)));
}

#[test]
fn a_server_that_stalls_is_left_and_the_next_try_works() {
    let world = World::new();
    for bytes in [20, 300] {
        let stalling = GitHttp::start(world.dir.path(), Options { stall_after: Some(bytes), ..Options::default() });
        refused(world.git_within(stalling.url("a.git"), Auth::default(), Duration::from_millis(300)));
    }
    let server = GitHttp::start(world.dir.path(), Options::default());
    world.reads(&mut world.git(server.url("a.git"), Auth::default()));
}

#[test]
fn a_damaged_byte_never_changes_what_is_read() {
    let mut world = World::new();
    world.push("image: two");
    let mut refused = 0;
    // From the end: messages, the pack's checksum, its objects.
    for at in (0..250).step_by(12) {
        let server = GitHttp::start(world.dir.path(), Options { corrupt: Some(at), ..Options::default() });
        let mut git = world.git(server.url("a.git"), Auth::default());
        assert_eq!(git.head().unwrap(), world.commit);
        match git.fetch(&world.commit) {
            Ok(_) => {
                assert_eq!(&*git.snapshot(&world.commit).unwrap().files[0].bytes, b"image: two", "{at}");
                fs::remove_dir_all(world.dir.path().join("cache")).unwrap();
            }
            Err(problem) => {
                assert_eq!(problem.code, ErrorCode::SourceUnavailable, "{at}");
                refused += 1;
            }
        }
    }
    assert!(refused > 10, "{refused}");
    let server = GitHttp::start(world.dir.path(), Options::default());
    world.reads(&mut world.git(server.url("a.git"), Auth::default()));
}

#[test]
fn a_server_that_sends_more_than_the_bound_is_left() {
    let mut world = World::new();
    let mut text = String::new();
    // Not compressible to nothing.
    (0_u32..40_000).for_each(|number| text.push_str(&number.wrapping_mul(2_654_435_761).to_string()));
    world.push(&text);
    let server = GitHttp::start(world.dir.path(), Options::default());
    let limits = Limits { received_bytes: 10_000, ..Limits::default() };
    let mut git = world.git_with(server.url("a.git"), Auth::default(), Duration::from_secs(60), limits);
    let problem = git.fetch(&world.commit).unwrap_err();
    assert_eq!(problem.code, ErrorCode::SourceUnavailable);
    assert!(problem.message.contains("10000 bytes"), "{problem}");
}

#[test]
fn a_repository_that_is_not_there_is_unavailable() {
    let world = World::new();
    let server = GitHttp::start(world.dir.path(), Options::default());
    refused(world.git(server.url("none.git"), Auth::default()));
}

fn ssh(key: &Path, known_hosts: Option<PathBuf>) -> Auth {
    Auth { ssh_key_file: Some(key.to_owned()), known_hosts_file: known_hosts, ..Auth::default() }
}

#[test]
fn ssh_works_with_a_known_host_key_and_our_own() {
    let Some(server) = Sshd::start() else { return };
    let mut world = World::new();
    let url = server.url(&world.repository());
    for (name, text) in [("plain", server.known_hosts()), ("hashed", server.hashed_known_hosts())] {
        let auth = ssh(&server.key(), world.file(name, &text));
        world.push(name);
        world.reads(&mut world.git(url.clone(), auth));
    }
}

#[test]
fn a_host_key_that_is_not_known_is_refused_with_the_line_to_add() {
    let Some(server) = Sshd::start() else { return };
    let world = World::new();
    let url = server.url(&world.repository());
    for text in [String::new(), server.other_known_hosts()] {
        let auth = ssh(&server.key(), world.file("known_hosts", &text));
        let problem = refused(world.git(url.clone(), auth));
        assert!(problem.message.contains("SHA256:"), "{problem}");
        let (_, line) = problem.help.split_once("known_hosts`: ").unwrap();
        let auth = ssh(&server.key(), world.file("mended", line));
        world.reads(&mut world.git(url.clone(), auth));
    }
}

#[test]
fn a_key_that_is_not_let_in_is_refused() {
    let Some(server) = Sshd::start() else { return };
    let world = World::new();
    let url = server.url(&world.repository());
    let known = world.file("known_hosts", &server.known_hosts());
    for key in [server.strange_key(), world.file("junk", "junk").unwrap(), PathBuf::from("/nonexistent")] {
        refused(world.git(url.clone(), ssh(&key, known.clone())));
    }
    let missing = world.dir.path().join("none.git");
    let auth = ssh(&server.key(), known);
    assert_eq!(world.git(server.url(&missing), auth).head().unwrap_err().code, ErrorCode::SourceUnavailable);
}
