//! Trust roots that are kept up to date through TUF: what a mirror may change, and what it may not.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use sealgate::outcome::{Event, Observer};
use sealgate::policy::material::{Held, RootSource, Unread};
use sealgate::trust::roots::{Asking, RootOptions, Roots};
use sealgate::trust::web::Reach;
use serde_json::json;
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT};

use crate::support::process::eventually;
use crate::support::tuf::{Answer, Mirror, Repository, sha256};
use crate::support::world::{World, gate, pod, policy, push, reasons, unsigned};

/// Notes whether refreshes succeeded.
#[derive(Default)]
struct Noted(Mutex<Vec<bool>>);

impl Observer for Noted {
    fn observe(&self, event: &Event<'_>) {
        if let Event::TrustRootRefresh { succeeded, .. } = event {
            self.0.lock().unwrap().push(*succeeded);
        }
    }
}

fn roots(folder: Option<&Path>, asking: Asking, noted: &Arc<Noted>) -> Roots {
    let options = RootOptions {
        folder: folder.map(Path::to_owned),
        mirror: None,
        initial: None,
        interval: Duration::ZERO,
        asking,
        reach: Reach::default(),
    };
    let noted = Arc::clone(noted);
    Roots::new(options, noted)
}

fn source(mirror: &Mirror, repository: &Repository) -> RootSource {
    RootSource::Tuf { mirror: mirror.url.clone(), initial: Some(repository.initial()) }
}

/// A process that starts, asks once, and ends: the root that it would use, and whether the mirror's answer was taken.
async fn ask(folder: &Path, source: &RootSource) -> (Result<Held, Unread>, bool) {
    let noted = Arc::new(Noted::default());
    let held = roots(Some(folder), Asking::WhenNeeded, &noted).root(source).await;
    let asked = noted.0.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    (held, asked[0])
}

fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap()
}

#[tokio::test]
async fn a_mirror_gives_a_root_that_is_kept_until_the_first_metadata_ends() {
    let (mirror, mut repository) = (Mirror::start(), Repository::new(SIGSTORE_STAGING_TRUSTED_ROOT));
    mirror.serve(&repository);
    let folder = tempfile::tempdir().unwrap();
    let source = source(&mirror, &repository);
    let (held, taken) = ask(folder.path(), &source).await;
    let held = held.unwrap();
    assert!(taken);
    assert_eq!(held.bytes, repository.trusted_root);
    assert_eq!(held.good_until, Some(whole(repository.timestamp_ends)));
    // Offline, what was kept counts until the TUF root itself ends, and nobody is asked.
    let before = mirror.requests();
    let noted = Arc::new(Noted::default());
    let held = roots(Some(folder.path()), Asking::Never, &noted).root(&source).await.unwrap();
    assert_eq!(held.bytes, repository.trusted_root);
    assert_eq!(held.good_until, Some(whole(repository.ends)));
    assert_eq!(mirror.requests(), before);
    // Another root under other keys is taken, when the old keys say so.
    repository.trusted_root = SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec();
    repository.version = 2;
    repository.rotate(true);
    repository.version = 3;
    repository.rotate(true);
    mirror.serve(&repository);
    let (held, taken) = ask(folder.path(), &source).await;
    assert!(taken);
    assert_eq!(held.unwrap().bytes, repository.trusted_root);
}

#[tokio::test]
async fn what_a_bad_mirror_says_changes_nothing() {
    let long_ago: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    type Spoil = fn(&mut Repository, &Mirror);
    let cases: [(&str, Spoil); 14] = [
        ("a timestamp that has ended", |repository, mirror| {
            repository.timestamp_ends = "2026-01-01T00:00:00Z".parse().unwrap();
            republish(repository, mirror);
        }),
        ("metadata that has ended", |repository, mirror| {
            repository.ends = "2026-01-01T00:00:00Z".parse().unwrap();
            republish(repository, mirror);
        }),
        ("an older version", |repository, mirror| {
            repository.version = 1;
            repository.publish();
            mirror.serve(repository);
        }),
        ("root keys that the old ones do not know", |repository, mirror| {
            repository.version += 1;
            repository.rotate(false);
            mirror.serve(repository);
        }),
        ("a root that skips a version", |repository, mirror| {
            repository.root_version += 1;
            repository.rotate(true);
            let skipped = repository.files[&format!("{}.root.json", repository.root_version)].clone();
            mirror.serve(repository);
            mirror.answer(&format!("{}.root.json", repository.root_version - 1), Answer::Bytes(skipped));
        }),
        ("a target with another hash", |repository, mirror| {
            republish(repository, mirror);
            let mut other = repository.trusted_root.clone();
            other[20] ^= 1;
            mirror.answer(&target(repository), Answer::Bytes(other));
        }),
        ("a target that is longer", |repository, mirror| {
            republish(repository, mirror);
            mirror.answer(&target(repository), Answer::Bytes([repository.trusted_root.clone(), vec![b' ']].concat()));
        }),
        ("a target without an end", |repository, mirror| {
            republish(repository, mirror);
            mirror.answer(&target(repository), Answer::Endless);
        }),
        ("a timestamp without an end", |_, mirror| mirror.answer("timestamp.json", Answer::Endless)),
        ("a timestamp that is too long", |repository, mirror| {
            republish(repository, mirror);
            let long = [repository.files["timestamp.json"].clone(), vec![b' '; 20_000]].concat();
            mirror.answer("timestamp.json", Answer::Bytes(long));
        }),
        ("no JSON", |_, mirror| mirror.answer("timestamp.json", Answer::Bytes(b"<html>".to_vec()))),
        ("another place", |_, mirror| {
            mirror.answer("timestamp.json", Answer::Redirect("http://169.254.169.254/".to_owned()));
        }),
        ("nothing", |_, mirror| mirror.answer("timestamp.json", Answer::Status(500))),
        ("a target that is no trusted root", |repository, mirror| {
            repository.trusted_root = b"{}".to_vec();
            republish(repository, mirror);
        }),
    ];
    assert!(long_ago < Timestamp::now());
    for (what, spoil) in cases {
        let (mirror, mut repository) = (Mirror::start(), Repository::new(SIGSTORE_PRODUCTION_TRUSTED_ROOT));
        repository.version = 5;
        repository.publish();
        mirror.serve(&repository);
        let folder = tempfile::tempdir().unwrap();
        let source = source(&mirror, &repository);
        let (first, taken) = ask(folder.path(), &source).await;
        assert!(taken, "{what}");
        repository.trusted_root = SIGSTORE_STAGING_TRUSTED_ROOT.as_bytes().to_vec();
        spoil(&mut repository, &mirror);
        let (second, taken) = ask(folder.path(), &source).await;
        assert!(!taken, "{what} was taken");
        assert_eq!(second, first, "{what}");
        // Where nothing was kept before, there is no root.
        let empty = tempfile::tempdir().unwrap();
        if what != "an older version" && !what.contains("root keys") && !what.contains("skips") {
            let (held, _) = ask(empty.path(), &source).await;
            assert!(matches!(held, Err(Unread::Unavailable(_))), "{what}: {held:?}");
        }
    }
}

/// The next version, served.
fn republish(repository: &mut Repository, mirror: &Mirror) {
    repository.version += 1;
    repository.publish();
    mirror.serve(repository);
}

fn target(repository: &Repository) -> String {
    format!("targets/{}.trusted_root.json", sha256(&repository.trusted_root))
}

#[tokio::test]
async fn kept_metadata_is_believed_only_as_far_as_its_signatures_go() {
    let (mirror, repository) = (Mirror::start(), Repository::new(SIGSTORE_PRODUCTION_TRUSTED_ROOT));
    mirror.serve(&repository);
    let folder = tempfile::tempdir().unwrap();
    let source = source(&mirror, &repository);
    ask(folder.path(), &source).await.0.unwrap();
    let kept = folder.path().read_dir().unwrap().next().unwrap().unwrap().path();
    for name in ["timestamp.json", "snapshot.json", "targets.json", "targets/trusted_root.json", "refreshed"] {
        let good = std::fs::read(kept.join(name)).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(kept.join(name), bad).unwrap();
        let noted = Arc::new(Noted::default());
        let held = roots(Some(folder.path()), Asking::Never, &noted).root(&source).await;
        if name != "refreshed" {
            assert!(matches!(held, Err(Unread::Unavailable(_))), "{name}: {held:?}");
        }
        std::fs::write(kept.join(name), good).unwrap();
        roots(Some(folder.path()), Asking::Never, &noted).root(&source).await.unwrap();
    }
}

#[tokio::test]
async fn a_root_is_refreshed_in_the_background_and_told() {
    let (mirror, mut repository) = (Mirror::start(), Repository::new(SIGSTORE_PRODUCTION_TRUSTED_ROOT));
    mirror.serve(&repository);
    let noted = Arc::new(Noted::default());
    let roots = roots(None, Asking::Background, &noted);
    let source = source(&mirror, &repository);
    let first = roots.root(&source).await.unwrap();
    repository.trusted_root = SIGSTORE_STAGING_TRUSTED_ROOT.as_bytes().to_vec();
    republish(&mut repository, &mirror);
    tokio::select! {
        () = roots.keep_fresh() => panic!("it ended"),
        () = roots.changed() => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("nothing changed"),
    }
    let second = roots.root(&source).await.unwrap();
    assert_ne!(first.bytes, second.bytes);
    assert_eq!(second.bytes, repository.trusted_root);
}

#[tokio::test]
async fn the_public_good_root_comes_with_the_program() {
    let noted = Arc::new(Noted::default());
    let held = roots(None, Asking::Never, &noted).root(&RootSource::Default).await.unwrap();
    assert_eq!(held.bytes, SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes());
    assert!(held.good_until.is_some());
    assert!(noted.0.lock().unwrap().is_empty());
    // A mirror that is down leaves it in place.
    let down = RootSource::Tuf { mirror: "http://127.0.0.1:9".to_owned(), initial: None };
    let held = roots(None, Asking::WhenNeeded, &noted).root(&down).await.unwrap();
    assert_eq!(held.bytes, SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes());
    assert_eq!(*noted.0.lock().unwrap(), [false]);
}

const KEYLESS: &str = "name: github, keyless: {identities: [{issuer: 'https://i.example.com', subject: s}]}";

#[test]
fn the_age_of_a_root_is_a_metric() {
    let (mirror, repository) = (Mirror::start(), Repository::new(SIGSTORE_PRODUCTION_TRUSTED_ROOT));
    mirror.serve(&repository);
    let world = trusting(&mirror, &repository);
    let revision = world.repository.commit(&[("a.yaml", &pod("a", &unsigned().tagged()))]);
    let daemon = world.daemon();
    assert_eq!(reasons(&daemon.decides("production", "refuse", &revision)), ["no-signature"]);
    let metrics = daemon.get("/metrics").text();
    let value = |name: &str| {
        let line = format!("sealgate_trust_root_{name} ");
        let found = metrics.lines().find_map(|found| found.strip_prefix(&line)).unwrap_or_else(|| panic!("{metrics}"));
        found.parse::<i64>().unwrap()
    };
    let age = Timestamp::now().as_second() - value("refreshed_timestamp_seconds{root=\"127.0.0.1\"}");
    assert!((0..60).contains(&age), "{age}");
    assert_eq!(value("expiry_timestamp_seconds{root=\"127.0.0.1\"}"), repository.timestamp_ends.as_second());
    assert_eq!(value("refresh_total{result=\"success\",root=\"127.0.0.1\"}"), 1);
    assert_eq!(value("refresh_total{result=\"failure\",root=\"127.0.0.1\"}"), 0);
}

/// A world whose policy believes certificates as this repository says.
fn trusting(mirror: &Mirror, repository: &Repository) -> World {
    let world = World::new();
    std::fs::write(world.path("root.json"), repository.initial()).unwrap();
    let tuf = format!("trustRoot: {{tuf: {{mirror: '{}', root: root.json}}}}", mirror.url);
    world.write("policy.yaml", &policy(&format!("{{{KEYLESS}, {tuf}}}")));
    world
}

#[test]
fn a_root_that_ended_leaves_images_undecided_until_it_is_renewed() {
    let (mirror, mut repository) = (Mirror::start(), Repository::new(SIGSTORE_PRODUCTION_TRUSTED_ROOT));
    let world = trusting(&mirror, &repository);
    world.repository.commit(&[("a.yaml", &pod("a", &unsigned().tagged()))]);
    // Metadata that ends soon, until it was kept in time.
    let kept = (0..10).any(|_| {
        repository.timestamp_ends = Timestamp::now() + Duration::from_secs(5);
        republish(&mut repository, &mirror);
        world.once().code == 1
    });
    assert!(kept);
    mirror.answer("timestamp.json", Answer::Status(503));
    eventually("the metadata ends", || (Timestamp::now() > repository.timestamp_ends).then_some(()));
    assert_eq!(reasons(&world.once().exits(3).json()), ["trust-root-unavailable"]);
    repository.timestamp_ends = Timestamp::now() + Duration::from_hours(1);
    republish(&mut repository, &mirror);
    assert_eq!(reasons(&world.once().exits(1).json()), ["no-signature"]);
}

#[test]
fn offline_means_that_no_mirror_is_asked() {
    let (mirror, repository) = (Mirror::start(), Repository::new(SIGSTORE_PRODUCTION_TRUSTED_ROOT));
    mirror.serve(&repository);
    let world = World::new();
    std::fs::write(world.path("root.json"), repository.initial()).unwrap();
    world.write("policy.yaml", &policy(&format!("{{{KEYLESS}}}")));
    let settings = |offline: bool| {
        let tuf = json!({"mirror": mirror.url, "root": "root.json"});
        json!({"stateDir": "state", "gates": [gate("production")], "offline": offline, "tuf": tuf}).to_string()
    };
    let image = push("app/offline");
    world.repository.commit(&[("a.yaml", &pod("a", &image.tagged()))]);
    // Nothing is kept yet, and this root comes with no program.
    world.write("sealgate.yaml", &settings(true));
    world.once().exits(2);
    let by_gate = ["verify", &image.tagged(), "--config", "sealgate.yaml", "--gate", "production", "--output", "json"];
    let done = world.run(&by_gate).exits(3);
    assert_eq!(done.json()["errors"][0]["code"], "policy-unavailable");
    assert_eq!(mirror.requests(), 0);
    world.write("sealgate.yaml", &settings(false));
    assert_eq!(reasons(&world.once().exits(1).json()), ["no-signature"]);
    let asked = mirror.requests();
    assert!(asked > 0);
    world.write("sealgate.yaml", &settings(true));
    assert_eq!(reasons(&world.once().exits(1).json()), ["no-signature"]);
    assert_eq!(mirror.requests(), asked);
    // The root that the program brings along needs nobody.
    world.run(&["policy", "check", "policy.yaml", "--offline"]).exits(0);
    let verify = ["verify", &image.tagged(), "--policy", "policy.yaml", "--offline", "--output", "json"];
    assert_eq!(reasons(&world.run(&verify).exits(1).json()), ["no-signature"]);
}
