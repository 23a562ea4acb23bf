//! The decision log: nothing acknowledged is lost, and nothing can be altered or taken away unseen.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::report::Summary;

/// Small enough that a dozen entries fill several segments.
const SMALL: Bounds = Bounds { entries: 1000, bytes: 1 << 20, segment_bytes: 1500, segment_entries: 5 };

fn decided(number: usize) -> News {
    News {
        time: format!("2026-01-01T00:00:{:02}Z", number % 60),
        gate: "production".to_owned(),
        event: Event::Decided,
        mode: "enforce".to_owned(),
        revision: format!("{number:040x}"),
        decision: Some("refuse".to_owned()),
        summary: Summary { images: 1, refused: 1, ..Summary::default() },
        report: Some(json!({"images": [{"reference": format!("host/app-{number}:1"), "digest": "sha256:ab"}]})),
    }
}

fn filled(state: &Path, count: usize, bounds: Bounds) -> History {
    let history = History::open(state, bounds).unwrap();
    for number in 1..=count {
        assert_eq!(history.append(&decided(number)).unwrap().sequence, u64::try_from(number).unwrap());
    }
    history
}

fn all(limit: usize) -> Asked {
    Asked { limit, reports: Reports::With, ..Asked::default() }
}

/// Every file of a folder with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn lay(files: &BTreeMap<PathBuf, Vec<u8>>, dir: &Path) {
    fs::remove_dir_all(dir).unwrap();
    fs::create_dir(dir).unwrap();
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn what_was_kept_is_there_after_a_restart_and_an_intact_log_has_no_fault() {
    let state = tempfile::tempdir().unwrap();
    drop(filled(state.path(), 12, SMALL));
    let history = History::open(state.path(), SMALL).unwrap();
    assert_eq!(history.append(&decided(13)).unwrap().sequence, 13);
    let reading = read(state.path()).unwrap();
    assert_eq!((reading.faults.len(), reading.count(), reading.unfinished), (0, 13, false));
    assert!(files(&state.path().join(FOLDER)).len() > 3, "several segments");
    let answers = reading.decisions(&all(2)).unwrap();
    assert_eq!(answers.iter().map(|kept| kept.told.sequence).collect::<Vec<_>>(), [13, 12]);
    assert_eq!(answers[0].report, decided(13).report);
}

#[test]
fn the_log_answers_by_gate_revision_image_and_number() {
    let state = tempfile::tempdir().unwrap();
    let history = filled(state.path(), 9, SMALL);
    history.append(&News { gate: "other".to_owned(), ..decided(3) }).unwrap();
    history.append(&News { event: Event::Applied, report: None, decision: None, ..decided(9) }).unwrap();
    let reading = read(state.path()).unwrap();
    let numbers = |asked: Asked| {
        let answers = reading.decisions(&Asked { limit: 50, ..asked }).unwrap();
        answers.iter().map(|kept| kept.told.sequence).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(numbers(Asked { gate: text("other"), ..Asked::default() }), [10]);
    assert_eq!(numbers(Asked { revision: text(&format!("{:040x}", 3)), ..Asked::default() }), [10, 3]);
    assert_eq!(numbers(Asked { image: text("app-9"), ..Asked::default() }), [9]);
    assert_eq!(numbers(Asked { before: Some(3), ..Asked::default() }), [2, 1]);
    assert_eq!(
        numbers(Asked { revision: text(&format!("{:040x}", 9)), decisions_only: true, ..Asked::default() }),
        [9]
    );
}

#[test]
fn a_decision_that_says_the_same_again_is_kept_without_its_report() {
    let state = tempfile::tempdir().unwrap();
    let history = History::open(state.path(), Bounds::default()).unwrap();
    for _ in 0..3 {
        history.append(&decided(1)).unwrap();
    }
    drop(history);
    let history = History::open(state.path(), Bounds::default()).unwrap();
    let told = history.append(&decided(1)).unwrap();
    assert_eq!(told.same_as, Some(1));
    assert_eq!(history.append(&decided(2)).unwrap().same_as, None);
    assert_eq!(history.append(&decided(1)).unwrap().same_as, Some(1));
    let reading = read(state.path()).unwrap();
    assert!(reading.faults.is_empty());
    let answers = reading.decisions(&all(10)).unwrap();
    assert_eq!(answers.iter().filter(|kept| kept.report == decided(1).report).count(), 5);
}

#[test]
fn the_oldest_go_when_it_is_full_and_the_rest_stays_verifiable() {
    let state = tempfile::tempdir().unwrap();
    let history = filled(state.path(), 60, Bounds { entries: 20, ..SMALL });
    let reading = read(state.path()).unwrap();
    assert!(reading.faults.is_empty(), "{:?}", reading.faults);
    assert!((15..=20).contains(&reading.count()), "{}", reading.count());
    assert_eq!(reading.ends().unwrap().1.sequence, 60);
    let bytes: usize = files(&state.path().join(FOLDER)).values().map(Vec::len).sum();
    assert!(bytes < 20_000, "{bytes}");
    drop(history);
    let history = History::open(state.path(), Bounds { bytes: 2000, ..SMALL }).unwrap();
    history.append(&decided(61)).unwrap();
    let reading = read(state.path()).unwrap();
    assert!(reading.faults.is_empty() && reading.count() < 8, "{:?} {}", reading.faults, reading.count());
}

/// The states in which a kill can leave the folder while one entry is appended.
fn killed_while_appending(dir: &Path, append: impl FnOnce()) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
    let before = files(dir);
    append();
    let after = files(dir);
    let head = head_path(dir);
    let mut states = Vec::new();
    let mut state = before.clone();
    // The segment is written first, byte by byte; then the head, by a rename; then the oldest segments go.
    for (path, bytes) in after.iter().filter(|(path, bytes)| **path != head && before.get(*path) != Some(bytes)) {
        let start = before.get(path).map_or(0, Vec::len);
        for length in start..=bytes.len() {
            state.insert(path.clone(), bytes[..length].to_vec());
            states.push(state.clone());
        }
    }
    state.insert(head.clone(), after[&head].clone());
    states.push(state.clone());
    for gone in before.keys().filter(|path| !after.contains_key(*path)) {
        state.remove(gone);
        states.push(state.clone());
    }
    states
}

#[test]
fn killed_at_any_write_it_opens_again_with_nothing_acknowledged_lost() {
    let bounds = Bounds { entries: 12, ..SMALL };
    for acknowledged in [0, 5, 14] {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join(FOLDER);
        let history = filled(state.path(), acknowledged, bounds);
        let kept = read(state.path()).unwrap().count();
        let states = killed_while_appending(&dir, || {
            history.append(&decided(acknowledged + 1)).unwrap();
        });
        assert!(states.len() > 300);
        for (number, files) in states.iter().enumerate() {
            lay(files, &dir);
            assert!(read(state.path()).unwrap().faults.is_empty(), "{acknowledged} {number}");
            let history = History::open(state.path(), bounds).unwrap();
            let reading = read(state.path()).unwrap();
            let last = reading.ends().map_or(0, |(_, last)| last.sequence);
            assert!(reading.faults.is_empty() && !reading.unfinished, "{acknowledged} {number} {:?}", reading.faults);
            assert!(last >= u64::try_from(acknowledged).unwrap(), "{acknowledged} {number}");
            assert!(reading.count() >= kept.min(7), "{acknowledged} {number}: {}", reading.count());
            assert_eq!(history.append(&decided(99)).unwrap().sequence, last + 1);
            assert!(read(state.path()).unwrap().faults.is_empty(), "{acknowledged} {number}");
        }
    }
}

#[test]
fn a_failed_write_leaves_nothing_that_the_next_one_trips_over() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join(FOLDER);
    let history = filled(state.path(), 2, SMALL);
    let mut file = OpenOptions::new().append(true).open(segment_path(&dir, 1)).unwrap();
    file.write_all(b"half an entry").unwrap();
    history.append(&decided(3)).unwrap();
    let reading = read(state.path()).unwrap();
    assert_eq!((reading.faults.len(), reading.count()), (0, 3));
}

#[test]
fn whole_entries_that_are_missing_are_found_wherever_they_stood() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join(FOLDER);
    drop(filled(state.path(), 12, SMALL));
    let intact = files(&dir);
    let segment = segment_path(&dir, 1);
    let lines: Vec<&[u8]> = intact[&segment].split_inclusive(|byte| *byte == b'\n').collect();
    for left_out in 0..lines.len() {
        let mut damaged = intact.clone();
        let rest = lines.iter().enumerate().filter(|(at, _)| *at != left_out).flat_map(|(_, line)| line.to_vec());
        damaged.insert(segment.clone(), rest.collect());
        lay(&damaged, &dir);
        assert!(!read(state.path()).unwrap().faults.is_empty(), "line {left_out}");
    }
    for gone in intact.keys() {
        let mut damaged = intact.clone();
        damaged.remove(gone);
        lay(&damaged, &dir);
        assert!(!read(state.path()).unwrap().faults.is_empty(), "{}", gone.display());
    }
    // At the end the head tells. Only whoever takes the head back too is not found here: a hash noted elsewhere tells.
    let newest = intact.keys().rfind(|path| **path != head_path(&dir)).unwrap();
    for length in 0..intact[newest].len() {
        let mut damaged = intact.clone();
        damaged.get_mut(newest).unwrap().truncate(length);
        lay(&damaged, &dir);
        assert!(!read(state.path()).unwrap().faults.is_empty(), "{length}");
    }
}

#[test]
fn a_damaged_log_stays_as_it_is_and_goes_on_behind_the_damage() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join(FOLDER);
    drop(filled(state.path(), 12, SMALL));
    let intact = files(&dir);
    let mut newest = intact.keys().rfind(|path| **path != head_path(&dir)).unwrap().clone();
    for (file, at) in [(segment_path(&dir, 1), 100), (std::mem::take(&mut newest), 90), (head_path(&dir), 3)] {
        let mut damaged = intact.clone();
        damaged.get_mut(&file).unwrap()[at] ^= 1;
        lay(&damaged, &dir);
        for number in 13..16 {
            let history = History::open(state.path(), SMALL).unwrap();
            assert_eq!(history.append(&decided(number)).unwrap().sequence, u64::try_from(number).unwrap());
        }
        let reading = read(state.path()).unwrap();
        assert!(reading.count() >= 14, "{}", reading.count());
        if file != head_path(&dir) {
            assert_eq!(fs::read(&file).unwrap(), damaged[&file]);
            assert!(!reading.faults.is_empty());
        }
    }
}

#[test]
fn a_log_that_was_taken_back_as_a_whole_is_found_by_a_hash_noted_elsewhere() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join(FOLDER);
    let history = filled(state.path(), 3, SMALL);
    let earlier = files(&dir);
    let noted = history.append(&decided(4)).unwrap();
    assert!(read(state.path()).unwrap().holds(4, &noted.hash));
    lay(&earlier, &dir);
    let reading = read(state.path()).unwrap();
    assert!(reading.faults.is_empty() && !reading.holds(4, &noted.hash));
}

#[test]
fn a_folder_without_a_log_is_told() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(read(state.path()).unwrap_err().code, ErrorCode::FileUnreadable);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_flipped_bit_is_found(place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join(FOLDER);
        drop(filled(state.path(), 7, SMALL));
        let intact = files(&dir);
        let mut at = place.index(intact.values().map(Vec::len).sum());
        for (path, bytes) in &intact {
            if at < bytes.len() {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                fs::write(path, bytes).unwrap();
                break;
            }
            at -= bytes.len();
        }
        let reading = read(state.path()).unwrap();
        prop_assert!(!reading.faults.is_empty(), "{place:?} {bit}");
    }
}
