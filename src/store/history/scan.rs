//! Reads the whole log and finds whatever in it is not as it was written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::entry::{Head, Line};
use super::{Known, MAX_SEGMENT_FILE, Place, head_path, segment_path};
use crate::store::file;

/// Faults that are told of one log.
const MAX_FAULTS: usize = 1000;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; none where it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// The log as it was found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Every entry that is what it was, the oldest first.
    pub(super) known: Vec<Known>,
    pub(super) faults: Vec<Fault>,
    pub(super) head: Option<Head>,
    /// The number of the first entry, and the hash that it names.
    pub(super) start: Option<(u64, String)>,
    /// The entry that the next one follows: its number and hash.
    pub(super) end: (u64, String),
    /// The newest segment: its number, its bytes up to the last whole entry, its lines.
    pub(super) newest: Option<(u64, u64, usize)>,
    /// Whether something stands behind the last whole entry, which nobody was told is kept.
    pub(super) torn: bool,
    /// Files of entries before the first that counts.
    pub(super) leftover: Vec<PathBuf>,
    /// Bytes of all segments.
    pub(super) bytes: u64,
}

/// Reads the log in a folder. A folder that is not there holds none.
pub(super) fn scan(dir: &Path) -> io::Result<Scan> {
    let head_file = head_path(dir);
    let head_bytes = file::read(&head_file, 4096)?;
    let mut segments = segments(dir)?;
    let mut scan = Scan { head: head_bytes.as_deref().and_then(Head::decode), ..Scan::default() };
    if scan.head.is_none() && (head_bytes.is_some() || !segments.is_empty()) {
        let what = if head_bytes.is_some() { "it is not what was written" } else { "it is missing" };
        scan.fault(&head_file, None, what.to_owned());
    }
    if let Some(head) = &scan.head {
        // What ends before the first entry that counts was to be removed.
        let count = segments.iter().take_while(|(number, _)| *number <= head.first).count().saturating_sub(1);
        scan.leftover = segments.drain(..count).map(|(_, path)| path).collect();
    }
    let start = scan.head.clone().map(|head| (head.first, Some(head.before)));
    let first = segments.first().map_or(1, |(number, _)| *number);
    let mut walk = Walk { next: start.unwrap_or((first, None)), damaged: 0, scan };
    let last = segments.last().map(|(number, _)| *number);
    for (number, path) in &segments {
        let bytes = match file::read(path, MAX_SEGMENT_FILE) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                walk.scan.fault(path, None, format!("it cannot be read: {error}"));
                continue;
            }
        };
        walk.segment(*number, path, &bytes, Some(*number) == last);
    }
    Ok(walk.finish(&head_file))
}

/// The segments by their number, which is that of their first entry.
fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number.filter(|number| segment_path(dir, *number) == path) {
            segments.push((number, path));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

struct Walk {
    scan: Scan,
    /// The number that the next entry must have, and the hash that it must name, where that is known.
    next: (u64, Option<String>),
    /// Lines since the last good one that are none.
    damaged: u64,
}

impl Walk {
    fn segment(&mut self, number: u64, path: &Path, bytes: &[u8], is_newest: bool) {
        let mut at = 0_usize;
        let mut lines = 0_usize;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = piece.strip_suffix(b"\n").ok_or("it has no end");
            let parsed = line.and_then(Line::parse);
            let acknowledged = self.scan.head.as_ref().map_or(u64::MAX, |head| head.last);
            let all_seen = self.next.0.saturating_add(self.damaged) > acknowledged;
            match parsed {
                Ok(line) => self.entry(&line, path, (number, at, piece.len()), lines),
                Err(_) if is_newest && all_seen => {
                    self.scan.torn = true;
                    break;
                }
                Err(what) => {
                    self.scan.fault(path, Some(lines), what.to_owned());
                    self.damaged = self.damaged.saturating_add(1);
                }
            }
            at = at.saturating_add(piece.len());
            lines = lines.saturating_add(1);
        }
        let length = u64::try_from(at).unwrap_or(u64::MAX);
        self.scan.bytes = self.scan.bytes.saturating_add(length);
        if is_newest {
            self.scan.newest = Some((number, length, lines));
        }
    }

    fn entry(&mut self, line: &Line, path: &Path, place: (u64, usize, usize), above: usize) {
        let wanted = self.next.0.saturating_add(self.damaged);
        let number = line.entry.sequence;
        if number > wanted {
            let what = format!("the entries {wanted} to {} before it are missing", number.saturating_sub(1));
            self.scan.fault(path, Some(above), what);
        } else if number < wanted {
            let what = format!("entry {number} stands where entry {wanted} must stand");
            self.scan.fault(path, Some(above), what);
        } else if self.damaged == 0 && self.next.1.as_ref().is_some_and(|hash| *hash != line.entry.previous) {
            let what = format!("entry {number} does not follow the entry before it");
            self.scan.fault(path, Some(above), what);
        }
        self.damaged = 0;
        self.next = (number.saturating_add(1), Some(line.hash.clone()));
        if self.scan.head.as_ref().is_some_and(|head| head.last == number && head.hash != line.hash) {
            self.scan.fault(path, Some(above), format!("entry {number} is not the one that the head names"));
        }
        let (segment, offset, length) = place;
        self.scan.start.get_or_insert_with(|| (number, line.entry.previous.clone()));
        self.scan.known.push(Known::new(line, Place { segment, offset, length }));
    }

    fn finish(mut self, head_file: &Path) -> Scan {
        let last = self.next.0.saturating_sub(1);
        let found = (last, self.next.1.unwrap_or_else(|| super::entry::GENESIS.to_owned()));
        self.scan.end = match &self.scan.head {
            Some(head) if head.last > last || self.damaged > 0 => {
                let what = match self.damaged {
                    0 => format!("the entries {} to {} are missing at the end", self.next.0, head.last),
                    _ => format!("entry {} was the last one, and cannot be read", head.last),
                };
                let end = (head.last, head.hash.clone());
                self.scan.fault(head_file, None, what);
                end
            }
            Some(head) if head.last == last && head.hash != found.1 => {
                let end = (head.last, head.hash.clone());
                if self.scan.known.is_empty() {
                    self.scan.fault(head_file, None, "it names another hash than the log's".to_owned());
                }
                end
            }
            Some(_) | None => found,
        };
        self.scan
    }
}

impl Scan {
    fn fault(&mut self, file: &Path, above: Option<usize>, what: String) {
        if self.faults.len() < MAX_FAULTS {
            let line = above.map(|lines| lines.saturating_add(1));
            self.faults.push(Fault { file: file.to_owned(), line, what });
        }
    }
}
