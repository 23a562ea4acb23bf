//! Folders that are watched for changes.
//!
//! The folder is watched, never a file in it: editors and mounted `ConfigMap`s put another file, or a link, in a file's
//! place, and a watch on the file goes deaf. What changed is for the listener to find out, by content.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Sender, Trigger};

/// How long changes are gathered before they count as one.
const GATHER: Duration = Duration::from_millis(250);

/// A folder to watch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// How far down.
    pub depth: Depth,
}

/// How far down a folder is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The names in it.
    Itself,
    /// All folders in it too.
    All,
}

/// A watch; it ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
    gathering: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.gathering.abort();
    }
}

/// The folders in which these files, and what they are links to, can change.
#[must_use]
pub fn file_places(files: &[PathBuf]) -> Vec<Place> {
    let folder = |path: &Path| {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        Place { folder: above.unwrap_or(Path::new(".")).to_owned(), depth: Depth::Itself }
    };
    let mut places = BTreeSet::new();
    for file in files {
        places.insert(folder(file));
        // A file that cannot be found now has no other folder yet; its own tells when it comes.
        if let Ok(real) = file.canonicalize() {
            places.insert(folder(&real));
        }
    }
    places.into_iter().collect()
}

/// The folders in which the branches of a local repository change, given the folder that holds its `HEAD`.
#[must_use]
pub fn repository_places(git_dir: &Path) -> Vec<Place> {
    vec![
        Place { folder: git_dir.to_owned(), depth: Depth::Itself },
        Place { folder: git_dir.join("refs"), depth: Depth::All },
    ]
}

/// Pulls `trigger` soon after anything changes in these folders. Must be called inside a tokio runtime.
///
/// Where a folder cannot be watched, that is logged and the others are; where nothing can, there is no watch.
#[must_use]
pub fn watch(places: &[Place], trigger: Trigger, sender: &Sender) -> Option<Watch> {
    let news = Arc::new(Notify::new());
    let told = Arc::clone(&news);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if counts(&event) {
            told.notify_one();
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "failed to watch for changes; the interval finds them");
            return None;
        }
    };
    let added = places.iter().filter(|place| add(&mut watcher, place)).count();
    if added == 0 {
        return None;
    }
    let gathering = tokio::spawn(gather(news, trigger, sender.clone()));
    Some(Watch { _watcher: watcher, gathering })
}

fn add(watcher: &mut RecommendedWatcher, place: &Place) -> bool {
    let mode = match place.depth {
        Depth::Itself => RecursiveMode::NonRecursive,
        Depth::All => RecursiveMode::Recursive,
    };
    let added = watcher.watch(&place.folder, mode);
    if let Err(error) = &added {
        tracing::warn!(folder = %place.folder.display(), %error, "failed to watch a folder; the interval finds its changes");
    }
    added.is_ok()
}

/// Whether an event can mean a change. Reading is none: we read these files ourselves. A watcher that lost events, or
/// failed, may have missed one.
fn counts(event: &notify::Result<Event>) -> bool {
    match event {
        Ok(event) => event.need_rescan() || !matches!(event.kind, EventKind::Access(_)),
        Err(_) => true,
    }
}

async fn gather(news: Arc<Notify>, trigger: Trigger, sender: Sender) {
    loop {
        news.notified().await;
        tokio::time::sleep(GATHER).await;
        sender.send(trigger);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::trigger::{Receiver, channel};

    /// Far beyond what an event takes; only a test that fails waits so long.
    const LONG: Duration = Duration::from_secs(20);

    async fn heard(receiver: &mut Receiver) -> BTreeSet<Trigger> {
        tokio::time::timeout(LONG, receiver.next()).await.unwrap()
    }

    #[tokio::test]
    async fn a_file_is_noticed_however_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.yaml");
        fs::write(&file, "1").unwrap();
        let (sender, mut receiver) = channel();
        let _watch = watch(&file_places(std::slice::from_ref(&file)), Trigger::PolicyChanged, &sender).unwrap();
        let replace = |text: &str| {
            let other = dir.path().join("other");
            fs::write(&other, text).unwrap();
            fs::rename(other, &file).unwrap();
        };
        let steps: [&dyn Fn(); 4] = [&|| fs::write(&file, "2").unwrap(), &|| replace("3"), &|| replace("4"), &|| {
            fs::remove_file(&file).unwrap();
        }];
        for step in steps {
            step();
            assert_eq!(heard(&mut receiver).await, BTreeSet::from([Trigger::PolicyChanged]));
        }
    }

    #[tokio::test]
    async fn every_swap_of_a_mounted_config_map_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let swap = |revision: u32| {
            let data = dir.path().join(format!("..{revision}"));
            fs::create_dir(&data).unwrap();
            fs::write(data.join("policy.yaml"), revision.to_string()).unwrap();
            symlink(format!("..{revision}"), dir.path().join("..new")).unwrap();
            fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
        };
        swap(1);
        let file = dir.path().join("policy.yaml");
        symlink("..data/policy.yaml", &file).unwrap();
        let (sender, mut receiver) = channel();
        let _watch = watch(&file_places(std::slice::from_ref(&file)), Trigger::PolicyChanged, &sender).unwrap();
        for revision in 2..6 {
            swap(revision);
            heard(&mut receiver).await;
            assert_eq!(fs::read_to_string(&file).unwrap(), revision.to_string());
        }
    }

    #[tokio::test]
    async fn a_commit_to_a_local_repository_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init(dir.path()).unwrap();
        let (sender, mut receiver) = channel();
        let _watch = watch(&repository_places(repository.path()), Trigger::SourceChanged, &sender).unwrap();
        let tree = repository.find_tree(repository.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let us = git2::Signature::new("t", "t@example.com", &git2::Time::new(0, 0)).unwrap();
        repository.commit(Some("refs/heads/team/main"), &us, &us, "one", &tree, &[]).unwrap();
        assert_eq!(heard(&mut receiver).await, BTreeSet::from([Trigger::SourceChanged]));
    }

    #[tokio::test]
    async fn what_cannot_be_watched_is_left_to_the_interval() {
        let (sender, _receiver) = channel();
        let place = Place { folder: PathBuf::from("/nonexistent/folder"), depth: Depth::Itself };
        assert!(watch(&[place], Trigger::ConfigChanged, &sender).is_none());
    }

    #[test]
    fn reading_is_no_change() {
        let event = |kind| Ok(Event::new(kind));
        assert!(!counts(&event(EventKind::Access(notify::event::AccessKind::Any))));
        assert!(counts(&event(EventKind::Any)));
        assert!(counts(&Err(notify::Error::generic("lost"))));
    }
}
