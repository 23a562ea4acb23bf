//! The demo's folder and what lies in it: keys, images, a policy, a configuration, a Git repository of manifests. It
//! touches nothing that an earlier demo did not make.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use git2::{IndexAddOption, Repository as GitRepository, RepositoryInitOptions, Signature};

use super::images::Images;
use super::signer::KeyPair;
use crate::image::{Digest, Host, Repository};
use crate::reason::{ErrorCode, Problem};

/// The gate's name.
pub(super) const GATE: &str = "demo";
/// Says that a folder is a demo's, and holds the lock while one runs.
const MARKER: &str = ".sealgate-demo";
/// Everything that a demo makes, besides the marker.
const MADE: [&str; 10] =
    ["manifests", "keys", "images", "policy.yaml", "sealgate.yaml", LOG, "state", "out", ".out.releases", ".out.new"];
const POLICY: &str = include_str!("world/policy.yaml");
const CONFIG: &str = include_str!("world/sealgate.yaml");
const MANIFESTS: [(&str, &str); 2] =
    [("web.yaml", include_str!("world/web.yaml")), ("cart.yaml", include_str!("world/cart.yaml"))];
/// The daemon's log.
const LOG: &str = "sealgate.log";

/// A world that is ready to be run.
pub struct World {
    /// The folder, as the user named it.
    dir: PathBuf,
    registry: Host,
    listener: TcpListener,
    images: Images,
    /// The digest of the signed image.
    signed: Digest,
    /// Locked while this demo runs.
    _marker: File,
}

/// What the story commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chapter {
    /// Every image is signed.
    Good,
    /// One image is not.
    Bad,
}

impl World {
    /// Makes the world. In the folder of an earlier demo it begins anew.
    ///
    /// # Errors
    /// When the folder holds something else, or cannot be written.
    pub fn create(dir: &Path) -> Result<Self, Problem> {
        let marker = claim(dir)?;
        let failed = |error: String| {
            let message = format!("failed to make the demo's world in `{}`: {error}", dir.display());
            Problem::new(ErrorCode::Usage, message).with_help("name a folder that can be written with --dir")
        };
        Self::fill(dir, marker).map_err(failed)
    }

    fn fill(dir: &Path, marker: File) -> Result<Self, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(text)?;
        listener.set_nonblocking(true).map_err(text)?;
        let registry = listener.local_addr().map_err(text)?.to_string();
        let registry = Host::parse(&registry).map_err(text)?;
        let images = Images::new(dir.join("images"));
        fs::create_dir(dir.join("keys")).map_err(text)?;
        let (ours, other) = (key_pair(dir, "demo")?, key_pair(dir, "other")?);
        let signed = image(&images, &registry, ("shop/web", "1.0"), Some(&ours))?;
        image(&images, &registry, ("shop/cart", "1.0"), Some(&ours))?;
        image(&images, &registry, ("shop/web", "1.1"), None)?;
        image(&images, &registry, ("shop/web", "1.2"), Some(&other))?;
        for (name, template) in [("policy.yaml", POLICY), ("sealgate.yaml", CONFIG)] {
            fs::write(dir.join(name), template.replace("REGISTRY", registry.as_str())).map_err(text)?;
        }
        let mut options = RepositoryInitOptions::new();
        // The user's own templates and defaults are not the demo's.
        options.initial_head("main").external_template(false).no_reinit(true);
        GitRepository::init_opts(dir.join("manifests"), &options).map_err(|error| error.message().to_owned())?;
        Ok(Self { dir: dir.to_owned(), registry, listener, images, signed, _marker: marker })
    }

    /// The folder, as the user named it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configuration of the daemon.
    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("sealgate.yaml")
    }

    /// The host under which the images are served.
    pub(super) fn registry(&self) -> &Host {
        &self.registry
    }

    /// The digest of the signed `shop/web`.
    pub(super) fn signed(&self) -> &Digest {
        &self.signed
    }

    pub(super) fn images(&self) -> Images {
        self.images.clone()
    }

    /// The socket on which the images are served.
    ///
    /// # Errors
    /// When the system gives no second handle to it.
    pub(super) fn listener(&self) -> io::Result<TcpListener> {
        self.listener.try_clone()
    }

    /// The file that the daemon logs to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn log(&self) -> Result<File, Problem> {
        let path = self.dir.join(LOG);
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        opened.map_err(|error| {
            Problem::new(ErrorCode::Usage, format!("failed to open the log `{}`: {error}", path.display()))
        })
    }

    /// What the target holds now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn running(&self) -> Result<Running, Problem> {
        let out = self.dir.join("out");
        let read = || -> io::Result<Running> {
            let files = MANIFESTS.map(|(name, _)| Ok((name, fs::read_to_string(out.join(name))?)));
            Ok(Running { release: fs::read_link(&out)?, files: files.into_iter().collect::<io::Result<_>>()? })
        };
        read().map_err(|error| {
            Problem::new(ErrorCode::TargetUnavailable, format!("failed to read `{}`: {error}", out.display()))
        })
    }

    /// Where the manifests are written.
    pub(super) fn manifests(&self) -> Manifests {
        Manifests { dir: self.dir.join("manifests"), registry: self.registry.clone() }
    }
}

/// What the target holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// Where the link leads.
    release: PathBuf,
    /// The manifests, by name.
    pub(super) files: Vec<(&'static str, String)>,
}

/// The Git repository.
pub(super) struct Manifests {
    dir: PathBuf,
    registry: Host,
}

impl Manifests {
    /// Writes a chapter's files and commits them; gives the commit.
    ///
    /// # Errors
    /// When the repository cannot be written.
    pub(super) fn commit(&self, chapter: Chapter) -> Result<String, Problem> {
        let failed = |error: String| {
            Problem::new(ErrorCode::SourceUnavailable, format!("failed to commit to `{}`: {error}", self.dir.display()))
        };
        let (tag, replicas, message) = match chapter {
            Chapter::Good => ("1.0", "1", "Run the shop\n"),
            Chapter::Bad => ("1.1", "3", "Update web to 1.1, and run three carts\n"),
        };
        for (name, template) in MANIFESTS {
            let filled = template.replace("REGISTRY", self.registry.as_str());
            let filled = filled.replace("TAG", tag).replace("REPLICAS", replicas);
            fs::write(self.dir.join(name), filled).map_err(|error| failed(error.to_string()))?;
        }
        self.commit_all(message).map_err(|error| failed(error.message().to_owned()))
    }

    fn commit_all(&self, message: &str) -> Result<String, git2::Error> {
        let repository = GitRepository::open(&self.dir)?;
        let mut index = repository.index()?;
        index.add_all(["*"], IndexAddOption::DEFAULT, None)?;
        index.write()?;
        let tree = repository.find_tree(index.write_tree()?)?;
        let author = Signature::now("Sealgate demo", "demo@sealgate.invalid")?;
        let parent = match repository.head() {
            Ok(head) => Some(head.peel_to_commit()?),
            Err(error) if error.code() == git2::ErrorCode::UnbornBranch => None,
            Err(error) => return Err(error),
        };
        let parents: Vec<_> = parent.iter().collect();
        Ok(repository.commit(Some("HEAD"), &author, &author, message, &tree, &parents)?.to_string())
    }
}

/// Makes the folder ours: new, empty, or an earlier demo's, which is cleared.
fn claim(dir: &Path) -> Result<File, Problem> {
    let wrong = |what: String| {
        Problem::new(ErrorCode::Usage, format!("`{}` cannot be the demo's folder: {what}", dir.display()))
            .with_help("name a new or an empty folder with --dir")
    };
    let io = |error: io::Error| wrong(error.to_string());
    fs::create_dir_all(dir).map_err(io)?;
    let is_empty = fs::read_dir(dir).map_err(io)?.next().is_none();
    let marker = dir.join(MARKER);
    if !is_empty && !marker.is_file() {
        return Err(wrong("it holds something else".to_owned()));
    }
    let marker = OpenOptions::new().create(true).append(true).open(marker).map_err(io)?;
    match marker.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(wrong("another demo runs in it".to_owned())),
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    for name in MADE {
        remove(&dir.join(name)).map_err(io)?;
    }
    Ok(marker)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Makes a key pair and writes both halves.
fn key_pair(dir: &Path, name: &str) -> Result<KeyPair, String> {
    let pair = KeyPair::generate()?;
    let path = |ending: &str| dir.join("keys").join(format!("{name}.{ending}"));
    let mut private = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path("key")).map_err(text)?;
    private.write_all(pair.private_pem()?.as_bytes()).map_err(text)?;
    fs::write(path("pub"), pair.public_pem()?).map_err(text)?;
    Ok(pair)
}

/// Pushes an image, and its signature where somebody signs it.
fn image(images: &Images, registry: &Host, name: (&str, &str), signer: Option<&KeyPair>) -> Result<Digest, String> {
    let (path, tag) = name;
    let digest = images.push(path, tag, &format!("This is {path} {tag}.\n")).map_err(text)?;
    if let Some(signer) = signer {
        let repository = Repository::new(registry.clone(), path).map_err(text)?;
        images.attach(path, &digest, &signer.sign(&repository, &digest)).map_err(text)?;
    }
    Ok(digest)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_holds_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("policy.yaml"), "mine").unwrap();
        assert_eq!(World::create(dir.path()).err().unwrap().code, ErrorCode::Usage);
        assert_eq!(fs::read_to_string(dir.path().join("policy.yaml")).unwrap(), "mine");
    }

    #[test]
    fn an_earlier_demo_is_begun_anew_and_a_running_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let world = World::create(dir.path()).unwrap();
        world.manifests().commit(Chapter::Good).unwrap();
        let earlier = world.manifests().commit(Chapter::Bad).unwrap();
        fs::write(dir.path().join("notes"), "mine").unwrap();
        assert!(World::create(dir.path()).is_err());
        drop(world);
        let world = World::create(dir.path()).unwrap();
        world.manifests().commit(Chapter::Good).unwrap();
        let repository = GitRepository::open(dir.path().join("manifests")).unwrap();
        assert!(repository.find_commit(earlier.parse().unwrap()).is_err());
        assert!(dir.path().join("notes").exists());
    }

    #[test]
    fn private_keys_are_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        World::create(dir.path()).unwrap();
        for name in ["keys/demo.key", "keys/other.key"] {
            assert_eq!(fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_work_tree_is_clean_after_a_commit() {
        let dir = tempfile::tempdir().unwrap();
        let world = World::create(dir.path()).unwrap();
        for chapter in [Chapter::Good, Chapter::Bad] {
            world.manifests().commit(chapter).unwrap();
            let repository = GitRepository::open(dir.path().join("manifests")).unwrap();
            assert_eq!(repository.statuses(None).unwrap().len(), 0, "{chapter:?}");
        }
    }
}
