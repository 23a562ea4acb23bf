//! The decision log: every decision, one after the other, each with the hash of the one before.
//!
//! It lies in segments, files named by the number of their first entry. An entry is appended and flushed, then the head
//! is written: where the log begins and ends. What stands behind the entry that the head names was told to nobody, so a
//! torn end is cut off; whatever else is not as it was written stays, and is a fault. When the log is full the oldest
//! segment goes, and the head says so first.

mod entry;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::{Store, file, unwritten};
use crate::reason::{ErrorCode, Problem};
use crate::report::history::{Asked, Event, Kept, News, Reports, Told};
use crate::report::kept;

use entry::{GENESIS, Head, Line, Prepared};
use scan::{Scan, scan};

pub use scan::Fault;

/// The folder in the state directory.
const FOLDER: &str = "history";
/// Largest segment in bytes that is read: a full one, and one entry more.
const MAX_SEGMENT_FILE: u64 = 32 << 20;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Entries.
    pub entries: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes from which on a segment is full.
    pub segment_bytes: u64,
    /// Entries with which a segment is full.
    pub segment_entries: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        // A decision on 100 images takes about 100 KB, one that says the same as before some 500 bytes.
        Self { entries: 10_000, bytes: 64 << 20, segment_bytes: 4 << 20, segment_entries: 500 }
    }
}

/// An entry of which it is known where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    told: Told,
    report_digest: Option<String>,
    has_report: bool,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    segment: u64,
    offset: usize,
    length: usize,
}

/// The log, open for writing.
#[derive(Debug)]
pub(super) struct History {
    dir: PathBuf,
    bounds: Bounds,
    /// What was altered or missing when it was opened.
    faults: usize,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    known: Vec<Known>,
    head: Head,
    /// The segment that is written to: its number, bytes and entries; none where the next entry begins one.
    open: Option<(u64, u64, usize)>,
    bytes: u64,
}

/// The log, as it was when it was read.
#[derive(Debug)]
pub struct Reading {
    dir: PathBuf,
    known: Vec<Known>,
    /// What is not as it was written.
    pub faults: Vec<Fault>,
    /// Whether an entry was just being written.
    pub unfinished: bool,
}

impl Known {
    fn new(line: &Line, place: Place) -> Self {
        let report_digest = line.entry.report_digest.clone();
        Self { told: line.told(), report_digest, has_report: line.has_report, place }
    }
}

fn head_path(dir: &Path) -> PathBuf {
    dir.join("head")
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}.log"))
}

impl History {
    /// Opens the log, and cuts off what a killed process left unfinished. Faults are told and stay to be found.
    pub(super) fn open(state_dir: &Path, bounds: Bounds) -> io::Result<Self> {
        let dir = state_dir.join(FOLDER);
        file::folder(&dir)?;
        let found = scan(&dir)?;
        for Fault { file, line, what } in found.faults.iter().take(10) {
            tracing::warn!(file = %file.display(), line, what, "the decision log is damaged; see `sealgate log verify`");
        }
        let Scan { known, faults, head, start, end, newest, torn, leftover, bytes } = found;
        for path in leftover.iter().filter(|_| faults.is_empty()) {
            fs::remove_file(path)?;
        }
        let start = start.unwrap_or_else(|| (1, GENESIS.to_owned()));
        let (first, before) = head.as_ref().map_or(start, |head| (head.first, head.before.clone()));
        let new = Head { first, before, last: end.0, hash: end.1 };
        if let (true, Some((number, length, _))) = (torn, newest) {
            cut(&segment_path(&dir, number), length)?;
        }
        if head.as_ref() != Some(&new) {
            write_head(&dir, &new)?;
        }
        // Nothing is written behind a fault: it stays as it was found.
        let open = newest.filter(|_| faults.is_empty());
        Ok(Self { dir, bounds, faults: faults.len(), log: Mutex::new(Log { known, head: new, open, bytes }) })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // A panic leaves the log as the last append that was acknowledged.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends, flushes, and writes the head: once this returns, the entry is kept.
    fn append(&self, news: &News) -> io::Result<Told> {
        let mut log = self.log();
        let is_full = |(_, bytes, entries): &(u64, u64, usize)| {
            *bytes >= self.bounds.segment_bytes || *entries >= self.bounds.segment_entries
        };
        let open = log.open.filter(|open| !is_full(open));
        let (number, at, entries) = open.unwrap_or((log.head.last.saturating_add(1), 0, 0));
        let after = (log.head.last, log.head.hash.as_str());
        let Prepared { line, bytes } = Prepared::new(news, after, |digest| log.same(news, digest, number))?;
        self.write(number, at, &bytes)?;
        let head = Head { last: line.entry.sequence, hash: line.hash.clone(), ..log.head.clone() };
        write_head(&self.dir, &head)?;
        log.head = head;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        log.open = Some((number, at.saturating_add(length), entries.saturating_add(1)));
        log.bytes = log.bytes.saturating_add(length);
        let offset = usize::try_from(at).unwrap_or(usize::MAX);
        log.known.push(Known::new(&line, Place { segment: number, offset, length: bytes.len() }));
        self.shrink(&mut log)?;
        Ok(line.told())
    }

    /// Writes behind the last whole entry; what a failed write left there is cut off.
    fn write(&self, number: u64, at: u64, bytes: &[u8]) -> io::Result<()> {
        let path = segment_path(&self.dir, number);
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        file.set_len(at)?;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)?;
        file.sync_data()?;
        if at == 0 { File::open(&self.dir)?.sync_all() } else { Ok(()) }
    }

    /// Lets the oldest segments go until the rest fits; never the one that is written to.
    fn shrink(&self, log: &mut Log) -> io::Result<()> {
        while log.known.len() > self.bounds.entries || log.bytes > self.bounds.bytes {
            let Some(oldest) = log.known.first().map(|entry| entry.place.segment) else { return Ok(()) };
            if log.open.is_none_or(|(number, _, _)| number == oldest) {
                return Ok(());
            }
            let count = log.known.iter().take_while(|entry| entry.place.segment == oldest).count();
            let Some(last) = log.known.get(count.saturating_sub(1)).map(|entry| entry.told.clone()) else {
                return Ok(());
            };
            let first = log.known.get(count).map_or(log.head.last, |entry| entry.place.segment);
            let head = Head { first, before: last.hash, ..log.head.clone() };
            write_head(&self.dir, &head)?;
            log.head = head;
            let path = segment_path(&self.dir, oldest);
            log.bytes = log.bytes.saturating_sub(fs::metadata(&path)?.len());
            fs::remove_file(&path)?;
            log.known.drain(..count);
        }
        Ok(())
    }
}

impl Log {
    /// The entry of this segment that has the same report as the last decision of this gate on this revision.
    fn same(&self, news: &News, digest: &str, segment: u64) -> Option<u64> {
        let of_gate = |entry: &&Known| {
            let Told { gate, revision, event, .. } = &entry.told;
            *event == Event::Decided && *gate == news.gate && *revision == news.revision
        };
        let last = self.known.iter().rev().take_while(|entry| entry.place.segment == segment).find(of_gate)?;
        let same = last.report_digest.as_deref() == Some(digest);
        let source = last.told.same_as.or(last.has_report.then_some(last.told.sequence));
        source.filter(|_| same)
    }
}

fn write_head(dir: &Path, head: &Head) -> io::Result<()> {
    file::write(&head_path(dir), &head.encode()?)
}

fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}

impl Store {
    /// Keeps what happened. Once this returns, it survives a kill.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&self, news: &News) -> Result<Told, Problem> {
        self.history.append(news).map_err(|error| unwritten(&self.history.dir, &error))
    }

    /// How many entries of the decision log were altered or missing when it was opened.
    #[must_use]
    pub fn history_faults(&self) -> usize {
        self.history.faults
    }

    /// What the decision log answers, the newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn decisions(&self, asked: &Asked) -> Result<Vec<Kept>, Problem> {
        // Files are read without the lock: whoever asks must not hold up a decision.
        let known = {
            let log = self.history.log();
            matching(&log.known, asked)
        };
        answer(&self.history.dir, known, asked)
    }
}

/// Reads the decision log of a state directory, which a daemon may be writing meanwhile.
///
/// # Errors
/// When the folder cannot be read, or is no state directory.
pub fn read(state_dir: &Path) -> Result<Reading, Problem> {
    let wrong = |why: String| {
        Problem::new(ErrorCode::FileUnreadable, format!("failed to read the decision log: {why}"))
            .in_file(state_dir.display().to_string())
            .with_help("name the daemon's `stateDir` with --state-dir, or its configuration with --config")
    };
    let dir = state_dir.join(FOLDER);
    if !dir.is_dir() {
        return Err(wrong("there is none in this folder".to_owned()));
    }
    // While we read, a daemon may drop the oldest segment: then what we found was no fault.
    let mut found = scan(&dir).map_err(|error| wrong(error.to_string()))?;
    for _ in 0..3 {
        if found.faults.is_empty() {
            break;
        }
        let now = scan(&dir).map_err(|error| wrong(error.to_string()))?;
        let is_still = now.head == found.head;
        found = now;
        if is_still {
            break;
        }
    }
    Ok(Reading { dir, known: found.known, faults: found.faults, unfinished: found.torn })
}

impl Reading {
    /// What the log answers, the newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn decisions(&self, asked: &Asked) -> Result<Vec<Kept>, Problem> {
        answer(&self.dir, matching(&self.known, asked), asked)
    }

    /// The first and the last entry.
    #[must_use]
    pub fn ends(&self) -> Option<(&Told, &Told)> {
        self.known.first().zip(self.known.last()).map(|(first, last)| (&first.told, &last.told))
    }

    /// How many entries there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// Whether an entry with this number and hash is there.
    #[must_use]
    pub fn holds(&self, sequence: u64, hash: &str) -> bool {
        self.known.iter().any(|entry| entry.told.sequence == sequence && entry.told.hash == hash)
    }
}

/// The entries that may answer, the newest first, each with the place of its report.
fn matching(known: &[Known], asked: &Asked) -> Vec<(Told, Option<Place>)> {
    let places: BTreeMap<u64, Place> =
        known.iter().filter(|entry| entry.has_report).map(|entry| (entry.told.sequence, entry.place)).collect();
    let of = |told: &Told| places.get(&told.same_as.unwrap_or(told.sequence)).copied();
    let found = known.iter().rev().map(|entry| &entry.told).filter(|told| told.answers(asked));
    // Which of them are about an image is only known once their reports are read.
    let most = if asked.image.is_some() { usize::MAX } else { asked.limit };
    found.take(most).map(|told| (told.clone(), of(told))).collect()
}

fn answer(dir: &Path, known: Vec<(Told, Option<Place>)>, asked: &Asked) -> Result<Vec<Kept>, Problem> {
    let mut meant = BTreeMap::new();
    let mut answers = Vec::new();
    for (told, place) in known {
        if answers.len() >= asked.limit {
            break;
        }
        let wanted = asked.image.is_some() || asked.reports == Reports::With;
        let source = told.same_as.unwrap_or(told.sequence);
        if meant.get(&source) == Some(&false) {
            continue;
        }
        let report = match place.filter(|_| wanted) {
            Some(place) => load(dir, place).map_err(|error| unread(dir, &error))?,
            None => None,
        };
        if let Some(image) = &asked.image {
            let is_meant = report.as_ref().is_some_and(|report| is_about(report, image));
            meant.insert(source, is_meant);
            if !is_meant {
                continue;
            }
        }
        let report = report.filter(|_| asked.reports == Reports::With);
        answers.push(Kept { told, report });
    }
    Ok(answers)
}

fn is_about(report: &Value, image: &str) -> bool {
    kept::Report::read(report).is_ok_and(|report| report.images.iter().any(|found| found.is_meant_by(image)))
}

/// The report at a place; none where its segment has gone meanwhile, or is not as it was written.
fn load(dir: &Path, place: Place) -> io::Result<Option<Value>> {
    let mut file = match File::open(segment_path(dir, place.segment)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(u64::try_from(place.offset).unwrap_or(u64::MAX)))?;
    let mut line = Vec::new();
    file.take(u64::try_from(place.length).unwrap_or(u64::MAX)).read_to_end(&mut line)?;
    Ok(line.strip_suffix(b"\n").and_then(entry::report))
}

fn unread(dir: &Path, error: &io::Error) -> Problem {
    Problem::new(ErrorCode::FileUnreadable, format!("failed to read the decision log: {error}"))
        .in_file(dir.display().to_string())
        .with_help("check the permissions of `stateDir`")
}
