//! The state directory: pins, where each gate stands, evidence that was fetched, the decision log.
//!
//! Every write is whole or absent: a temporary file, flushed, renamed into place, its folder flushed. What the gate
//! rests on (pins, state) is an error when it is damaged; evidence is a cache and counts as absent then. Verdicts are
//! never kept.

mod evidence;
mod file;
pub mod history;
mod record;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::image::Digest;
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::Revision;

pub use evidence::Kept;

/// Revisions of a gate whose pins are kept, besides those that it stands at.
const PINNED_REVISIONS: usize = 50;
/// Largest file of pins or state in bytes: 5,000 images take about 1 MB.
const MAX_FILE: u64 = 64 << 20;
/// Bytes of evidence that are kept: some 20,000 signed images.
const EVIDENCE_BYTES: u64 = 256 << 20;

/// The digests that a revision's references were resolved to, by canonical reference as written.
pub type Pins = BTreeMap<String, Digest>;

/// The state directory, held by this process alone.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    evidence: Mutex<evidence::Shelf>,
    history: history::History,
    /// Holds the lock while it is open.
    _lock: fs::File,
}

/// Where a gate stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateState {
    /// The newest revision seen.
    pub observed: Option<Revision>,
    /// The newest that passed.
    pub passed: Option<Revision>,
    /// The one at the target.
    pub applied: Option<Revision>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinsRecord {
    gate: String,
    revision: String,
    pins: Pins,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateRecord {
    gate: String,
    observed: Option<RevisionRecord>,
    passed: Option<RevisionRecord>,
    applied: Option<RevisionRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevisionRecord {
    id: String,
    time: i64,
}

impl Store {
    /// Opens the directory, making it where it is missing, and locks it against a second process.
    ///
    /// # Errors
    /// `config-invalid` when it cannot be used, or another process uses it.
    pub fn open(dir: &Path) -> Result<Self, Problem> {
        Self::open_bounded(dir, EVIDENCE_BYTES, history::Bounds::default())
    }

    /// As [`Store::open`], keeping at most so many bytes of evidence, and so much of the decision log.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_bounded(dir: &Path, evidence_bytes: u64, log: history::Bounds) -> Result<Self, Problem> {
        let failed = |error: io::Error| {
            Problem::new(
                ErrorCode::ConfigInvalid,
                format!("failed to open the state directory `{}`: {error}", dir.display()),
            )
            .with_help("set `stateDir` to a folder that this user may write to")
        };
        file::folder(dir).map_err(failed)?;
        let lock = lock(dir)?;
        let shelf = evidence::Shelf::open(&dir.join("evidence"), evidence_bytes).map_err(failed)?;
        let history = history::History::open(dir, log).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), evidence: Mutex::new(shelf), history, _lock: lock })
    }

    /// The folder in which a gate's source keeps its repository.
    #[must_use]
    pub fn source_cache(&self, gate: &str) -> PathBuf {
        self.dir.join("sources").join(file_name(gate))
    }

    /// The folder in which trust roots are kept.
    #[must_use]
    pub fn roots(&self) -> PathBuf {
        self.dir.join("tuf")
    }

    /// The pins of a revision.
    ///
    /// # Errors
    /// When they are there and cannot be read whole.
    pub fn pins(&self, gate: &str, revision: &str) -> Result<Option<Pins>, Problem> {
        let path = self.pins_path(gate, revision);
        let Some(record) = load::<PinsRecord>(&path)? else { return Ok(None) };
        if record.gate != gate || record.revision != revision {
            return Err(damaged(&path, "it is about another revision"));
        }
        Ok(Some(record.pins))
    }

    /// Keeps the pins of a revision, and forgets those of old ones.
    ///
    /// # Errors
    /// When they cannot be written, or the gate's state cannot be read.
    pub fn keep_pins(&self, gate: &str, revision: &str, pins: &Pins) -> Result<(), Problem> {
        let record = PinsRecord { gate: gate.to_owned(), revision: revision.to_owned(), pins: pins.clone() };
        save(&self.pins_path(gate, revision), &record)?;
        self.forget_pins(gate, revision)
    }

    /// Where a gate stands.
    ///
    /// # Errors
    /// When it is there and cannot be read whole.
    pub fn gate_state(&self, gate: &str) -> Result<Option<GateState>, Problem> {
        let path = self.state_path(gate);
        let Some(record) = load::<StateRecord>(&path)? else { return Ok(None) };
        let StateRecord { gate: named, observed, passed, applied } = record;
        if named != gate {
            return Err(damaged(&path, "it is about another gate"));
        }
        let revision = |record: Option<RevisionRecord>| record.map(|RevisionRecord { id, time }| Revision { id, time });
        Ok(Some(GateState { observed: revision(observed), passed: revision(passed), applied: revision(applied) }))
    }

    /// Keeps where a gate stands.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_gate_state(&self, gate: &str, state: &GateState) -> Result<(), Problem> {
        let GateState { observed, passed, applied } = state;
        let record = |revision: &Option<Revision>| {
            revision.as_ref().map(|Revision { id, time }| RevisionRecord { id: id.clone(), time: *time })
        };
        let record = StateRecord {
            gate: gate.to_owned(),
            observed: record(observed),
            passed: record(passed),
            applied: record(applied),
        };
        save(&self.state_path(gate), &record)
    }

    /// What people were told last of a gate. It decides nothing: what cannot be read counts as nothing told.
    #[must_use]
    pub fn told(&self, gate: &str) -> Option<String> {
        let bytes = file::read(&self.gate_dir(gate).join("told"), 4096).ok()??;
        String::from_utf8(bytes).ok()
    }

    /// Keeps what people were told last of a gate.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_told(&self, gate: &str, line: &str) -> Result<(), Problem> {
        let path = self.gate_dir(gate).join("told");
        file::write(&path, line.as_bytes()).map_err(|error| unwritten(&path, &error))
    }

    fn gate_dir(&self, gate: &str) -> PathBuf {
        self.dir.join("gates").join(file_name(gate))
    }

    fn state_path(&self, gate: &str) -> PathBuf {
        self.gate_dir(gate).join("state.json")
    }

    fn pins_path(&self, gate: &str, revision: &str) -> PathBuf {
        self.gate_dir(gate).join("pins").join(format!("{}.json", file_name(revision)))
    }

    /// Removes all pins but the newest, those of the revisions at which the gate stands, and these.
    fn forget_pins(&self, gate: &str, newest: &str) -> Result<(), Problem> {
        let state = self.gate_state(gate)?.unwrap_or_default();
        let GateState { observed, passed, applied } = &state;
        let standing: Vec<PathBuf> = [observed, passed, applied]
            .into_iter()
            .flatten()
            .map(|revision| revision.id.as_str())
            .chain([newest])
            .map(|revision| self.pins_path(gate, revision))
            .collect();
        let dir = self.gate_dir(gate).join("pins");
        let mut files = file::by_age(&dir).map_err(|error| unwritten(&dir, &error))?;
        files.retain(|path| !standing.contains(path));
        let surplus = files.len().saturating_sub(PINNED_REVISIONS);
        files.iter().take(surplus).try_for_each(|path| fs::remove_file(path).map_err(|error| unwritten(path, &error)))
    }
}

/// Takes the lock, which the system releases when the process ends, however it does.
fn lock(dir: &Path) -> Result<fs::File, Problem> {
    let path = dir.join("lock");
    let wrong =
        |what: String| Problem::new(ErrorCode::ConfigInvalid, format!("failed to lock `{}`: {what}", path.display()));
    let file = file::lockable(&path).map_err(|error| wrong(error.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(wrong("another process uses this state directory".to_owned())
            .with_help("stop the other one, or give each its own `stateDir`")),
        Err(fs::TryLockError::Error(error)) => Err(wrong(error.to_string())),
    }
}

/// A file name for any text: the text itself where it is plain, else its hash; the two can never be the same.
fn file_name(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("_{}", hex::encode(Sha256::digest(text.as_bytes())))
}

fn load<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, Problem> {
    let Some(bytes) = file::read(path, MAX_FILE).map_err(|error| damaged(path, &error.to_string()))? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(path, &error.to_string()))
}

fn save<T: Serialize>(path: &Path, record: &T) -> Result<(), Problem> {
    let bytes = serde_json::to_vec(record).map_err(|error| unwritten(path, &io::Error::other(error)))?;
    file::write(path, &bytes).map_err(|error| unwritten(path, &error))
}

fn damaged(path: &Path, what: &str) -> Problem {
    Problem::new(ErrorCode::FileUnreadable, format!("failed to read kept state: {what}"))
        .in_file(path.display().to_string())
        .with_help("restore it, or remove it: tags are then resolved again, and the next head is taken as the first")
}

fn unwritten(path: &Path, error: &io::Error) -> Problem {
    Problem::new(ErrorCode::FileUnreadable, format!("failed to write state: {error}"))
        .in_file(path.display().to_string())
        .with_help("check the space and the permissions of `stateDir`")
}

#[cfg(test)]
mod tests;
