//! Local repositories made on the spot: heads, snapshots, history, hostile trees, a damaged copy.

use git2::{Signature, Time};

use std::fs;

use super::*;

/// A raw entry of a tree: mode, name, content (or the entries of a folder).
enum Node {
    Blob(u32, &'static [u8], Vec<u8>),
    Folder(&'static [u8], Vec<Node>),
    Submodule(&'static [u8]),
}

fn file(name: &'static str, text: &str) -> Node {
    Node::Blob(0o100_644, name.as_bytes(), text.as_bytes().to_vec())
}

fn link(name: &'static str, to: &str) -> Node {
    Node::Blob(0o120_000, name.as_bytes(), to.as_bytes().to_vec())
}

fn dir(name: &'static str, nodes: Vec<Node>) -> Node {
    Node::Folder(name.as_bytes(), nodes)
}

/// Writes a tree byte by byte: a hostile one could not be made by `git add`.
fn write_tree(repository: &Repository, nodes: &[Node]) -> Oid {
    let odb = repository.odb().unwrap();
    let mut bytes = Vec::new();
    for node in nodes {
        let (mode, name, id) = match node {
            Node::Blob(mode, name, content) => (*mode, *name, odb.write(git2::ObjectType::Blob, content).unwrap()),
            Node::Folder(name, nodes) => (0o40_000, *name, write_tree(repository, nodes)),
            Node::Submodule(name) => (0o160_000, *name, Oid::from_bytes(&[7; 20]).unwrap()),
        };
        bytes.extend(format!("{mode:o} ").bytes());
        bytes.extend(name);
        bytes.push(0);
        bytes.extend(id.as_bytes());
    }
    odb.write(git2::ObjectType::Tree, &bytes).unwrap()
}

struct World {
    dir: tempfile::TempDir,
    origin: Repository,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let origin = Repository::init_bare(dir.path().join("origin")).unwrap();
        timeouts::set_once().unwrap();
        git2::opts::strict_object_creation(false);
        Self { dir, origin }
    }

    fn commit_on(&self, branch: &str, parents: &[&str], nodes: &[Node]) -> String {
        let tree = self.origin.find_tree(write_tree(&self.origin, nodes)).unwrap();
        let us = Signature::new("t", "t@example.com", &Time::new(1_000, 0)).unwrap();
        let parents: Vec<_> =
            parents.iter().map(|id| self.origin.find_commit(Oid::from_str(id).unwrap()).unwrap()).collect();
        let id = self.origin.commit(None, &us, &us, "a commit", &tree, &parents.iter().collect::<Vec<_>>()).unwrap();
        self.origin.reference(&format!("refs/heads/{branch}"), id, true, "test").unwrap();
        id.to_string()
    }

    fn commit(&self, nodes: &[Node]) -> String {
        self.commit_on("main", &[], nodes)
    }

    fn options(&self) -> GitOptions {
        GitOptions {
            url: self.dir.path().join("origin").display().to_string(),
            branch: "main".to_owned(),
            path: String::new(),
            exclude: Vec::new(),
            auth: Auth::default(),
            allow_rewrite: false,
            limits: Limits::default(),
            timeout: Duration::from_mins(1),
            cache: self.dir.path().join("cache"),
        }
    }

    fn git(&self) -> Git {
        Git::new(self.options()).unwrap()
    }

    /// What a source with these options makes of one commit with these entries.
    fn snapshot(nodes: &[Node], change: impl FnOnce(&mut GitOptions)) -> Result<Vec<String>, Vec<Problem>> {
        let world = Self::new();
        let commit = world.commit(nodes);
        let mut options = world.options();
        change(&mut options);
        let mut git = Git::new(options).unwrap();
        git.fetch(&commit).unwrap();
        git.snapshot(&commit).map(|snapshot| snapshot.files.iter().map(|file| file.path.to_string()).collect())
    }
}

fn codes(result: Result<Vec<String>, Vec<Problem>>) -> Vec<ErrorCode> {
    result.unwrap_err().iter().map(|problem| problem.code).collect()
}

#[test]
fn a_commit_is_listed_fetched_and_read() {
    let world = World::new();
    let first = world.commit(&[file("a.yaml", "a: 1"), file("b.txt", "no")]);
    let mut git = world.git();
    assert_eq!(git.head().unwrap(), first);
    assert_eq!(git.fetch(&first).unwrap(), Revision { id: first.clone(), time: 1_000 });
    let snapshot = git.snapshot(&first).unwrap();
    assert_eq!(snapshot.files.len(), 1);
    assert_eq!((&*snapshot.files[0].path, &*snapshot.files[0].bytes), ("a.yaml", &b"a: 1"[..]));
    let second = world.commit_on("main", &[&first], &[file("a.yaml", "a: 2")]);
    assert_eq!(git.head().unwrap(), second);
    git.fetch(&second).unwrap();
    assert_eq!(git.descends(&first, &second), Ok(true));
    assert_eq!(git.descends(&second, &first), Ok(false));
    assert_eq!(git.descends(&second, &second), Ok(true));
    assert_eq!(&*git.snapshot(&first).unwrap().files[0].bytes, b"a: 1");
}

#[test]
fn a_rewritten_branch_does_not_descend() {
    let world = World::new();
    let first = world.commit(&[file("a.yaml", "1")]);
    let mut git = world.git();
    git.fetch(&first).unwrap();
    let other = world.commit(&[file("a.yaml", "2")]);
    git.fetch(&other).unwrap();
    assert_eq!(git.descends(&first, &other), Ok(false));
    assert_eq!(git.descends(&"ab".repeat(20), &other), Ok(false));
}

#[test]
fn a_fetch_that_is_not_needed_asks_nobody() {
    let world = World::new();
    let commit = world.commit(&[file("a.yaml", "1")]);
    world.git().fetch(&commit).unwrap();
    fs::remove_dir_all(world.dir.path().join("origin")).unwrap();
    let mut git = world.git();
    assert!(git.fetch(&commit).is_ok());
    assert_eq!(git.head().unwrap_err().code, ErrorCode::SourceUnavailable);
}

#[test]
fn what_is_not_there_is_unavailable() {
    let world = World::new();
    let mut git = world.git();
    assert_eq!(git.head().unwrap_err().code, ErrorCode::SourceUnavailable);
    let commit = world.commit_on("other", &[], &[file("a.yaml", "1")]);
    let problem = git.head().unwrap_err();
    assert_eq!(problem.code, ErrorCode::SourceUnavailable);
    assert!(problem.help.contains("other"), "{}", problem.help);
    for id in [commit.as_str(), "ab12", "", "zz"] {
        assert_eq!(git.fetch(id).unwrap_err().code, ErrorCode::SourceUnavailable, "{id}");
        assert_eq!(git.snapshot(id).unwrap_err()[0].code, ErrorCode::SourceUnavailable, "{id}");
    }
    for url in ["/nonexistent/repository", "http://127.0.0.1:1/a.git"] {
        let options = GitOptions { url: url.to_owned(), ..world.options() };
        assert_eq!(Git::new(options).unwrap().head().unwrap_err().code, ErrorCode::SourceUnavailable, "{url}");
    }
}

#[test]
fn only_manifests_below_the_path_are_read_and_sorted() {
    let nodes = || {
        let ci = dir("ci", vec![file("c.yaml", "")]);
        let prod = dir("prod", vec![file("b.YML", ""), ci, file("a.json", ""), file("notes.md", "")]);
        vec![dir("clusters", vec![prod]), file("top.yaml", "")]
    };
    let at = |path: &str, exclude: &[&str]| {
        World::snapshot(&nodes(), |options| {
            options.path = path.to_owned();
            options.exclude = exclude.iter().map(|glob| (*glob).to_owned()).collect();
        })
    };
    let prod = ["clusters/prod/a.json", "clusters/prod/b.YML", "clusters/prod/ci/c.yaml"];
    assert_eq!(at("clusters/prod", &[]).unwrap(), prod);
    assert_eq!(at("./clusters/prod/", &["ci/**"]).unwrap(), prod[..2]);
    assert_eq!(at("clusters/prod", &["clusters/prod/ci"]).unwrap(), prod[..2]);
    assert_eq!(at("", &[]).unwrap().len(), 4);
    for (path, exclude) in [("none", &[][..]), ("top.yaml", &[]), ("clusters/prod", &["**"])] {
        assert_eq!(codes(at(path, exclude)), [ErrorCode::SourceUnavailable], "{path}");
    }
}

#[test]
fn what_is_no_plain_file_refuses_the_revision_with_the_line_that_settles_it() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let odd = || {
        vec![
            file("a.yaml", ""),
            dir("d", vec![link("l.yaml", "/etc/passwd")]),
            link("linked", "d"),
            file("big.yaml", pointer),
            Node::Submodule(b"sub"),
        ]
    };
    let problems = World::snapshot(&odd(), |_| {}).unwrap_err();
    assert!(problems.iter().all(|problem| problem.code == ErrorCode::UnsupportedFile));
    let lines: Vec<&str> = problems.iter().map(|problem| problem.help.split_once("exclude: [").unwrap().1).collect();
    assert_eq!(lines, ["\"d/l.yaml\"]", "\"linked\"]", "\"big.yaml\"]", "\"sub\"]"]);
    let settled = World::snapshot(&odd(), |options| {
        options.exclude = ["d/l.yaml", "linked", "big.yaml", "sub"].map(str::to_owned).to_vec();
    });
    assert_eq!(settled.unwrap(), ["a.yaml"]);
}

#[test]
fn hostile_names_are_refused() {
    let names: [&'static [u8]; 8] =
        [b"..", b".", b".git", b".GIT", b"a\nb.yaml", b"\xff.yaml", b"a\\b.yaml", b"../x.yaml"];
    for name in names {
        for node in [Node::Blob(0o100_644, name, Vec::new()), Node::Folder(name, vec![file("x.yaml", "")])] {
            let found = World::snapshot(&[file("a.yaml", ""), node], |_| {});
            assert_eq!(codes(found), [ErrorCode::UnsupportedFile], "{}", name.escape_ascii());
        }
    }
    let twice = World::snapshot(&[file("a.yaml", "1"), file("a.yaml", "2")], |_| {});
    assert_eq!(codes(twice), [ErrorCode::UnsupportedFile]);
}

#[test]
fn every_bound_is_kept() {
    let nodes =
        || vec![file("a.yaml", "12345"), file("b.yaml", "12345"), dir("d", vec![dir("e", vec![file("c.yaml", "1")])])];
    let bounds: [fn(&mut Limits); 5] = [
        |limits| limits.file_bytes = 4,
        |limits| limits.files = 2,
        |limits| limits.total_bytes = 10,
        |limits| limits.depth = 1,
        |limits| limits.entries = 4,
    ];
    assert_eq!(World::snapshot(&nodes(), |_| {}).unwrap().len(), 3);
    for bound in bounds {
        let found = codes(World::snapshot(&nodes(), |options| bound(&mut options.limits)));
        assert!(found.iter().all(|code| *code == ErrorCode::LimitExceeded), "{found:?}");
    }
}

#[test]
fn a_damaged_copy_is_fetched_afresh() {
    let world = World::new();
    let first = world.commit(&[file("a.yaml", "1")]);
    let mut git = world.git();
    git.fetch(&first).unwrap();
    for path in walk(&world.dir.path().join("cache/objects")) {
        fs::remove_file(&path).unwrap();
        fs::write(&path, "junk").unwrap();
    }
    assert_eq!(git.snapshot(&first).unwrap_err()[0].code, ErrorCode::SourceUnavailable);
    let mut git = world.git();
    git.fetch(&first).unwrap();
    assert_eq!(git.snapshot(&first).unwrap().files.len(), 1);
    let left: Vec<_> = fs::read_dir(world.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_copy_that_lost_a_file_is_fetched_afresh_at_the_next_try() {
    let world = World::new();
    let first = world.commit(&[file("a.yaml", "1")]);
    let mut git = world.git();
    git.fetch(&first).unwrap();
    // The same commit and tree, without the file's object.
    let cache = world.dir.path().join("cache");
    let kept = Repository::open_bare(&cache).unwrap();
    let commit = kept.find_commit(Oid::from_str(&first).unwrap()).unwrap();
    let blob = commit.tree().unwrap().get_name("a.yaml").unwrap().id();
    let object = |id| kept.odb().unwrap().read(id).unwrap().data().to_vec();
    let (root, tree) = (object(commit.id()), object(commit.tree_id()));
    for path in walk(&cache.join("objects")) {
        fs::remove_file(path).unwrap();
    }
    let repository = Repository::open_bare(&cache).unwrap();
    let odb = repository.odb().unwrap();
    odb.write(git2::ObjectType::Commit, &root).unwrap();
    odb.write(git2::ObjectType::Tree, &tree).unwrap();
    assert!(!odb.exists(blob));
    git.fetch(&first).unwrap();
    assert_eq!(git.snapshot(&first).unwrap_err()[0].code, ErrorCode::SourceUnavailable);
    git.fetch(&first).unwrap();
    assert_eq!(git.snapshot(&first).unwrap().files.len(), 1);
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_folder_of_something_else_is_never_replaced() {
    let world = World::new();
    world.commit(&[file("a.yaml", "1")]);
    fs::create_dir(world.dir.path().join("cache")).unwrap();
    fs::write(world.dir.path().join("cache/mine"), "x").unwrap();
    assert_eq!(world.git().head().unwrap_err().code, ErrorCode::SourceUnavailable);
    assert!(world.dir.path().join("cache/mine").exists());
}

#[test]
fn options_that_cannot_be_meant_so_are_refused() {
    let file = || Some(PathBuf::from("/f"));
    let auth = Auth::default;
    let https = "https://h/a";
    let ssh = "git@h:a";
    let table: [(&str, &str, &str, Auth); 13] = [
        ("git://h/a", "main", "", auth()),
        ("https://u:p@h/a", "main", "", auth()),
        (https, "refs/heads/main", "", auth()),
        (https, "a..b", "", auth()),
        (https, "", "", auth()),
        (https, "main", "../x", auth()),
        (https, "main", "/x", auth()),
        (https, "main", "", Auth { ssh_key_file: file(), ..auth() }),
        (https, "main", "", Auth { password_file: file(), ..auth() }),
        ("https://a@h/a", "main", "", Auth { username: Some("b".to_owned()), ..auth() }),
        ("http://h/a", "main", "", Auth { ca_file: file(), ..auth() }),
        (ssh, "main", "", Auth { ssh_key_file: file(), ..auth() }),
        ("/local", "main", "", Auth { username: Some("b".to_owned()), ..auth() }),
    ];
    let world = World::new();
    for (url, branch, path, auth) in table {
        let (url, branch, path) = (url.to_owned(), branch.to_owned(), path.to_owned());
        let options = GitOptions { url: url.clone(), branch, path, auth, ..world.options() };
        assert_eq!(Git::new(options).unwrap_err().code, ErrorCode::ConfigInvalid, "{url}");
    }
    let both = Auth { ssh_key_file: file(), known_hosts_file: file(), ..auth() };
    assert!(Git::new(GitOptions { url: ssh.to_owned(), auth: both, ..world.options() }).is_ok());
}

#[test]
fn a_silent_server_is_left_when_time_is_up() {
    let world = World::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.git", server.local_addr().unwrap());
    let options = GitOptions { url, timeout: Duration::from_millis(200), ..world.options() };
    let mut git = Git::new(options).unwrap();
    let start = Instant::now();
    assert_eq!(git.head().unwrap_err().code, ErrorCode::SourceUnavailable);
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(server);
}

#[test]
fn a_local_working_repository_says_what_to_watch() {
    let world = World::new();
    let work = world.dir.path().join("work");
    Repository::init(&work).unwrap();
    let git = Git::new(GitOptions { url: work.display().to_string(), ..world.options() }).unwrap();
    assert_eq!(git.watch_path().unwrap().canonicalize().unwrap(), work.join(".git").canonicalize().unwrap());
    let git = Git::new(GitOptions { url: "https://h/a".to_owned(), ..world.options() }).unwrap();
    assert_eq!(git.watch_path(), None);
}
