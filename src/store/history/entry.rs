//! One entry as a line of the log, and the head: where the log begins and ends.
//!
//! A line is the hash, a space, and JSON with no line end in it. The hash is over the JSON, which holds the hash of the
//! entry before: so it is over everything before it.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::report::Summary;
use crate::report::history::{Event, News, Told};

/// What stands in the place of the hash before the first entry.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Keeps our hashes apart from all others.
const DOMAIN: &[u8] = b"sealgate decision log v1\n";
/// Largest report that is kept whole, in bytes: some 8,000 images.
const MAX_REPORT: usize = 8 << 20;

/// An entry, without its report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) previous: String,
    time: String,
    gate: String,
    event: Event,
    mode: String,
    revision: String,
    decision: Option<String>,
    summary: Summary,
    pub(super) report_digest: Option<String>,
    pub(super) same_as: Option<u64>,
}

/// The same with its report, as it is written.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    report: Option<&'a Value>,
}

/// Says whether a report is there, and gives it.
#[derive(Deserialize)]
struct WithReport<T> {
    report: Option<T>,
}

/// A line that is what it was when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) entry: Entry,
    pub(super) hash: String,
    pub(super) has_report: bool,
}

/// An entry that is ready to be written.
pub(super) struct Prepared {
    pub(super) line: Line,
    pub(super) bytes: Vec<u8>,
}

/// Where the log begins and ends: written after each entry, so what it names was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The number of the first entry that is kept.
    pub(super) first: u64,
    /// The hash of the entry before that.
    pub(super) before: String,
    /// The number of the last entry; 0 where there is none yet.
    pub(super) last: u64,
    /// Its hash.
    pub(super) hash: String,
}

impl Head {
    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads a head; none where it is not, byte by byte, what is written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let head: Self = serde_json::from_slice(bytes).ok()?;
        (head.encode().ok()? == bytes).then_some(head)
    }
}

impl Prepared {
    /// The next entry: `same_as` says which earlier entry has a report of this digest.
    pub(super) fn new(
        news: &News,
        after: (u64, &str),
        same_as: impl FnOnce(&str) -> Option<u64>,
    ) -> Result<Self, serde_json::Error> {
        let report = news.report.as_ref().map(serde_json::to_vec).transpose()?;
        let report_digest = report.as_ref().map(|bytes| hex::encode(Sha256::digest(bytes)));
        let same_as = report_digest.as_deref().and_then(same_as);
        let fits = report.is_some_and(|bytes| bytes.len() <= MAX_REPORT);
        let News { time, gate, event, mode, revision, decision, summary, report } = news;
        let entry = Entry {
            sequence: after.0.saturating_add(1),
            previous: after.1.to_owned(),
            time: time.clone(),
            gate: gate.clone(),
            event: *event,
            mode: mode.clone(),
            revision: revision.clone(),
            decision: decision.clone(),
            summary: *summary,
            report_digest,
            same_as,
        };
        let report = report.as_ref().filter(|_| fits && same_as.is_none());
        let json = serde_json::to_vec(&Whole { entry: &entry, report })?;
        let hash = hash_of(&json);
        let mut bytes = format!("{hash} ").into_bytes();
        bytes.extend(json);
        bytes.push(b'\n');
        Ok(Self { line: Line { entry, hash, has_report: report.is_some() }, bytes })
    }
}

impl Line {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(line: &[u8]) -> Result<Self, &'static str> {
        let (hash, json) = split(line)?;
        let entry: Entry = serde_json::from_slice(json).map_err(|_| "it is no entry of this program")?;
        let WithReport::<IgnoredAny> { report } =
            serde_json::from_slice(json).map_err(|_| "it is no entry of this program")?;
        Ok(Self { entry, hash: hash.to_owned(), has_report: report.is_some() })
    }

    pub(super) fn told(&self) -> Told {
        let Entry { sequence, time, gate, event, mode, revision, decision, summary, same_as, .. } = self.entry.clone();
        Told { sequence, time, gate, event, mode, revision, decision, summary, same_as, hash: self.hash.clone() }
    }
}

/// The report in a line.
pub(super) fn report(line: &[u8]) -> Option<Value> {
    let (_, json) = split(line).ok()?;
    serde_json::from_slice::<WithReport<Value>>(json).ok()?.report
}

/// Hash and JSON of a line, where the one is over the other.
fn split(line: &[u8]) -> Result<(&str, &[u8]), &'static str> {
    let (hash, rest) = line.split_at_checked(GENESIS.len()).ok_or("it is too short")?;
    let json = rest.strip_prefix(b" ").ok_or("it does not begin with a hash")?;
    if hash == hash_of(json).as_bytes() {
        return std::str::from_utf8(hash).map(|hash| (hash, json)).map_err(|_| "it does not begin with a hash");
    }
    Err("it is not what was written: its hash is another one")
}

fn hash_of(json: &[u8]) -> String {
    hex::encode(Sha256::new().chain_update(DOMAIN).chain_update(json).finalize())
}
