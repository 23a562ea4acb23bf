//! The link shows one release, whole, whatever happens between two steps.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::gate::release::ReleaseFile;
use crate::snapshot::Revision;

fn release(revision: &str, files: &[(&str, &str)]) -> ApprovedRelease {
    let files = files
        .iter()
        .map(|(path, text)| ReleaseFile { path: Arc::from(*path), bytes: Bytes::copy_from_slice(text.as_bytes()) })
        .collect();
    ApprovedRelease::for_test("g", Revision { id: revision.to_owned(), time: 0 }, files, Vec::new())
}

fn old() -> ApprovedRelease {
    release("aaaa", &[("a.yaml", "old"), ("sub/b.yaml", "old"), ("sub/gone.yaml", "old")])
}

fn new() -> ApprovedRelease {
    release("bbbb", &[("a.yaml", "new"), ("sub/b.yaml", "old"), ("sub/deep/c.yaml", "new")])
}

struct World {
    dir: tempfile::TempDir,
    target: Directory,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = Directory::new(&dir.path().join("out")).unwrap();
        Self { dir, target }
    }

    async fn holding(release: &ApprovedRelease) -> Self {
        let world = Self::new();
        world.target.apply(release, &|| true).await.unwrap();
        world
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn releases(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join(".out.releases")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Whether a reader sees exactly the files of this release.
    fn shows(&self, release: &ApprovedRelease) -> bool {
        let seen = read::held(&self.target.layout).unwrap();
        seen.whole && seen.odd.is_empty() && seen.files == files(release).unwrap()
    }

    async fn applied(&self) -> Option<String> {
        self.target.applied().await.unwrap()
    }
}

fn told(outcomes: &[Outcome]) -> Vec<(&str, Action)> {
    outcomes.iter().map(|outcome| (outcome.object.as_str(), outcome.action)).collect()
}

#[tokio::test]
async fn a_release_is_shown_whole_and_the_next_takes_its_place() {
    let world = World::new();
    assert_eq!(world.applied().await, None);
    let created = world.target.apply(&old(), &|| true).await.unwrap();
    assert!(created.iter().all(|outcome| outcome.action == Action::Created));
    assert!(world.shows(&old()));
    let outcomes = world.target.apply(&new(), &|| true).await.unwrap();
    let expected = [
        ("a.yaml", Action::Configured),
        ("sub/b.yaml", Action::Unchanged),
        ("sub/deep/c.yaml", Action::Created),
        ("sub/gone.yaml", Action::Pruned),
    ];
    assert_eq!(told(&outcomes), expected);
    assert!(world.shows(&new()));
    assert_eq!(world.applied().await.as_deref(), Some("bbbb"));
    assert_eq!(fs::read_to_string(world.out().join("a.yaml")).unwrap(), "new");
}

#[tokio::test]
async fn one_release_before_is_kept_and_older_ones_are_removed() {
    let world = World::holding(&old()).await;
    for revision in ["c1", "c2", "c3"] {
        world.target.apply(&release(revision, &[("a.yaml", revision)]), &|| true).await.unwrap();
    }
    let mut kept: Vec<String> = world.releases().iter().map(|name| name[..2].to_owned()).collect();
    kept.sort();
    assert_eq!(kept, ["c2", "c3"]);
}

#[tokio::test]
async fn applying_again_changes_nothing() {
    let world = World::holding(&old()).await;
    let before = fs::read_link(world.out()).unwrap();
    let outcomes = world.target.apply(&old(), &|| true).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.action == Action::Unchanged));
    assert_eq!(fs::read_link(world.out()).unwrap(), before);
    assert_eq!(world.releases().len(), 1);
}

#[tokio::test]
async fn going_back_swaps_to_the_release_that_is_still_there() {
    let world = World::holding(&old()).await;
    world.target.apply(&new(), &|| true).await.unwrap();
    let asked = AtomicUsize::new(0);
    let count = || asked.fetch_add(1, Ordering::Relaxed) < usize::MAX;
    world.target.apply(&old(), &count).await.unwrap();
    assert!(world.shows(&old()));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// Runs `apply` and dies at the given time that it asks whether to go on; true where it came to that.
async fn die_at(world: &World, release: ApprovedRelease, step: usize) -> bool {
    let target = world.target.clone();
    let asked = Arc::new(AtomicUsize::new(0));
    let run = tokio::spawn(async move {
        let go_on = move || {
            assert!(asked.fetch_add(1, Ordering::Relaxed) != step, "killed on purpose");
            true
        };
        target.apply(&release, &go_on).await
    });
    run.await.is_err()
}

#[tokio::test]
async fn a_death_at_any_step_leaves_the_old_release_and_the_next_run_converges() {
    let mut steps = 0;
    loop {
        let world = World::holding(&old()).await;
        if !die_at(&world, new(), steps).await {
            assert!(world.shows(&new()));
            break;
        }
        assert!(world.shows(&old()), "step {steps}");
        assert_eq!(world.applied().await.as_deref(), Some("aaaa"), "step {steps}");
        world.target.apply(&new(), &|| true).await.unwrap();
        assert!(world.shows(&new()), "step {steps}");
        assert!(world.releases().iter().all(|name| !name.starts_with(disk::PARTIAL)), "step {steps}");
        steps += 1;
    }
    // Each file, the end of writing, the swap.
    assert_eq!(steps, 5);
}

/// The states between two disk steps of an apply that do not ask: made by running the steps up to there.
#[tokio::test]
async fn every_state_between_two_disk_steps_shows_one_release_whole() {
    for step in 0..6 {
        let world = World::holding(&old()).await;
        let layout = &world.target.layout;
        let wanted = files(&new()).unwrap();
        let [folder, _] = layout::names("bbbb", &layout::digest(&wanted)).unwrap();
        let partial = disk::start(layout).unwrap();
        for (path, bytes) in &wanted {
            disk::write_file(&partial, path, bytes).unwrap();
        }
        match step {
            0 => fs::write(partial.join("a.yaml"), "torn").unwrap(),
            1 => disk::finish(layout, &partial, &folder).unwrap(),
            2 => {
                // The name is there, a content is not: a disk that lost what it had confirmed.
                disk::finish(layout, &partial, &folder).unwrap();
                fs::write(layout.dir(&folder).join("a.yaml"), "").unwrap();
            }
            3 => {
                disk::finish(layout, &partial, &folder).unwrap();
                symlink(layout.link_text(&folder), &layout.new_link).unwrap();
            }
            4 => {
                disk::finish(layout, &partial, &folder).unwrap();
                disk::swap(layout, &folder).unwrap();
            }
            _ => symlink("nowhere", &layout.new_link).unwrap(),
        }
        let swapped = step == 4;
        assert!(world.shows(&if swapped { new() } else { old() }), "step {step}");
        world.target.apply(&new(), &|| true).await.unwrap();
        assert!(world.shows(&new()), "step {step}");
        assert!(!layout.new_link.is_symlink(), "step {step}");
    }
}

#[tokio::test]
async fn it_leaves_off_when_asked_to() {
    let world = World::holding(&old()).await;
    for allowed in 0..5 {
        let asked = AtomicUsize::new(0);
        let go_on = || asked.fetch_add(1, Ordering::Relaxed) < allowed;
        let error = world.target.apply(&new(), &go_on).await.unwrap_err();
        assert_eq!(error.retry, Retry::Later(None));
        assert!(world.shows(&old()), "{allowed}");
    }
}

#[tokio::test]
async fn drift_names_every_file_that_differs_and_applying_mends_it() {
    let world = World::holding(&old()).await;
    assert_eq!(world.target.drift(&old()).await.unwrap(), Vec::<String>::new());
    let held = world.out();
    fs::write(held.join("a.yaml"), "edited").unwrap();
    fs::remove_file(held.join("sub/b.yaml")).unwrap();
    fs::write(held.join("sub/foreign.yaml"), "x").unwrap();
    symlink("/etc/passwd", held.join("link.yaml")).unwrap();
    assert_eq!(world.target.drift(&old()).await.unwrap(), ["a.yaml", "link.yaml", "sub/b.yaml", "sub/foreign.yaml"]);
    assert_eq!(world.applied().await, None);
    world.target.apply(&old(), &|| true).await.unwrap();
    assert!(world.shows(&old()));
    assert_eq!(world.target.drift(&old()).await.unwrap(), Vec::<String>::new());
    // Damaged a second time, the first name is used again.
    fs::write(held.join("a.yaml"), "edited").unwrap();
    world.target.apply(&old(), &|| true).await.unwrap();
    assert!(world.shows(&old()));
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_drift_and_is_taken_over() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("a.yaml"), "old").unwrap();
    symlink(elsewhere.path(), world.out()).unwrap();
    assert_eq!(world.applied().await, None);
    assert_eq!(world.target.drift(&old()).await.unwrap().len(), 3);
    world.target.apply(&old(), &|| true).await.unwrap();
    assert!(world.shows(&old()));
    assert_eq!(fs::read_to_string(elsewhere.path().join("a.yaml")).unwrap(), "old");
}

#[tokio::test]
async fn a_real_folder_at_the_path_is_a_configuration_error() {
    let world = World::new();
    fs::create_dir(world.out()).unwrap();
    assert_eq!(Directory::new(&world.out()).unwrap_err().code, ErrorCode::ConfigInvalid);
    let dry = world.target.dry_run(&old()).await.unwrap_err();
    let wet = world.target.apply(&old(), &|| true).await.unwrap_err();
    for error in [dry, wet] {
        assert_eq!((error.problems[0].code, error.retry), (ErrorCode::ConfigInvalid, Retry::Never));
    }
    assert!(Directory::new(Path::new("/")).is_err());
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_tells_every_bad_path() {
    let world = World::new();
    world.target.dry_run(&old()).await.unwrap();
    assert_eq!(fs::read_dir(world.dir.path()).unwrap().count(), 0);
    let bad = release(
        "aaaa",
        &[("/abs", ""), ("../up", ""), ("a//b", ""), ("", ""), ("x\n", ""), ("f", ""), ("f", ""), ("f/g", "")],
    );
    let error = world.target.dry_run(&bad).await.unwrap_err();
    assert_eq!(error.problems.len(), 7, "{:?}", error.problems);
    assert!(error.problems.iter().all(|problem| problem.code == ErrorCode::TargetRejected));
    assert_eq!(error.retry, Retry::Never);
    assert_eq!(world.target.apply(&bad, &|| true).await.unwrap_err().problems.len(), 7);
    assert_eq!(fs::read_dir(world.dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn missing_folders_above_are_made_and_foreign_ones_beside_stay() {
    let world = World::new();
    let target = Directory::new(&world.dir.path().join("x/y/out")).unwrap();
    target.dry_run(&old()).await.unwrap();
    target.apply(&old(), &|| true).await.unwrap();
    let foreign = world.dir.path().join("x/y/.out.releases/mine");
    fs::create_dir(&foreign).unwrap();
    target.apply(&new(), &|| true).await.unwrap();
    target.apply(&release("cccc", &[]), &|| true).await.unwrap();
    assert!(foreign.exists());
    assert_eq!(target.applied().await.unwrap().as_deref(), Some("cccc"));
}
