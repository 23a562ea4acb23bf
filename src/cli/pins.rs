//! `check --pins FILE`: digests that references were resolved to before, and what a gate says about the revision of them.
//!
//! The file is what the daemon keeps of a revision (`stateDir/gates/GATE/pins/REVISION.json`), or a report as JSON.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::assembly;
use crate::gate;
use crate::image::{Digest, ImageRef};
use crate::outcome::Observer;
use crate::pipeline::judge::Pins;
use crate::pipeline::reading::Reader;
use crate::pipeline::{self, Scope};
use crate::reason::{ErrorCode, Problem};
use crate::render::{self, Extent, Plan, Rendered};
use crate::report::{self, Report, Subject};
use crate::settings::GateSettings;
use crate::snapshot::Snapshot;
use crate::source::exclude::Exclude;
use crate::source::worktree::WorkTree;

use super::setup::{Setup, usage};

/// Longest file of pins in bytes, as the daemon's own.
const MAX_FILE: u64 = 64 << 20;

/// Digests, and of what they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Kept {
    pub(super) gate: Option<String>,
    pub(super) revision: Option<String>,
    pub(super) pins: Pins,
}

/// What the daemon keeps.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRecord {
    gate: Option<String>,
    revision: Option<String>,
    pins: Pins,
}

/// What counts of a report.
#[derive(Deserialize)]
struct ReportRecord {
    gate: Option<String>,
    revision: Option<String>,
    images: Vec<ImageRecord>,
}

#[derive(Deserialize)]
struct ImageRecord {
    reference: String,
    digest: Option<Digest>,
}

impl Kept {
    /// Reads a file of pins.
    ///
    /// # Errors
    /// `file-unreadable` when it cannot be read, or is neither of the two forms.
    pub(super) fn read(path: &Path) -> Result<Self, Vec<Problem>> {
        let wrong = |why: String| {
            let problem = Problem::new(ErrorCode::FileUnreadable, format!("failed to read the pins: {why}"));
            let help = "give a file of `stateDir/gates/GATE/pins/`, or a report that `--output json` wrote";
            vec![problem.in_file(path.display().to_string()).with_help(help)]
        };
        let mut text = String::new();
        let file = fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
        file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if value.get("schema").is_none() {
            let KeptRecord { gate, revision, pins } =
                serde_json::from_value(value).map_err(|error| error.to_string())?;
            return Ok(Self { gate, revision, pins });
        }
        if value.get("schema").and_then(Value::as_str) != Some(report::SCHEMA) {
            return Err(format!("its schema is not `{}`", report::SCHEMA));
        }
        let ReportRecord { gate, revision, images } =
            serde_json::from_value(value).map_err(|error| error.to_string())?;
        let mut pins = Pins::new();
        for ImageRecord { reference, digest } in images {
            // What was not resolved, or is no reference, has no pin and is judged as ever.
            if let (Some(digest), Ok(image)) = (digest, ImageRef::parse(&reference)) {
                pins.insert(image.canonical(), digest);
            }
        }
        Ok(Self { gate, revision, pins })
    }

    /// The revision that the gate is asked about; none where the files on disk are meant.
    ///
    /// # Errors
    /// `usage` when the pins are another gate's.
    pub(super) fn revision_of(&self, gate: Option<&GateSettings>) -> Result<Option<&str>, Vec<Problem>> {
        let (Some(gate), Some(revision)) = (gate, &self.revision) else { return Ok(None) };
        match &self.gate {
            Some(of) if *of != gate.name => {
                Err(usage(format!("--pins: they are of the gate `{of}`, and --gate says `{}`", gate.name)))
            }
            Some(_) | None => Ok(Some(revision)),
        }
    }
}

/// What the daemon says about a revision.
///
/// # Errors
/// What keeps it from being read or judged at all.
pub(super) async fn replay(
    setup: &Setup,
    (gate, revision): (&GateSettings, &str),
    (paths, pins): (&[PathBuf], &Pins),
    observer: &dyn Observer,
) -> Result<Report, Vec<Problem>> {
    let [path] = paths else {
        return Err(usage("--pins of a revision: give one PATH, a clone of the gate's repository"));
    };
    let read = WorkTree::around(path).map_err(|problem| vec![problem])?;
    let exclude = Exclude::new(&setup.exclude, ErrorCode::Usage)?;
    let read = read.snapshot(revision, &gate.source.path, &exclude, &setup.source_limits()).and_then(|snapshot| {
        // As the daemon does: all of the revision is here.
        let plan = Plan { extent: Extent::Whole, ..setup.rendering.clone() };
        let Rendered { files, sources, problems } = render::render(snapshot.files, &plan);
        let snapshot = Snapshot { revision: snapshot.revision, files };
        if problems.is_empty() { Ok((snapshot, sources)) } else { Err(problems) }
    });
    let (snapshot, sources) = match read {
        Ok(read) => read,
        Err(problems) if problems.iter().any(|problem| is_ours(problem.code)) => return Err(problems),
        Err(problems) => return Ok(unread(setup, gate, revision, &problems)),
    };
    let limits = assembly::manifest_limits(&setup.limits);
    let finder = setup.finder(&limits);
    let mut reading = Reader::default().read(&snapshot.files, &finder, observer);
    render::trace(&mut reading.sites, &sources);
    let scope = Scope {
        gate: Some(&gate.name),
        mode: Some(gate.mode.name()),
        root: &gate.source.path,
        finder,
        images: setup.limits.images,
    };
    let decided = pipeline::decide(&snapshot, &reading, &setup.judge(), &scope, pins).await;
    Ok(Report { rendered: render::renderings(&sources), ..decided.report })
}

/// Whether a failure is about this clone, not about what the revision holds.
fn is_ours(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Usage | ErrorCode::FileUnreadable | ErrorCode::SourceUnavailable)
}

/// The daemon's report on a revision whose files it cannot read: refused.
fn unread(setup: &Setup, gate: &GateSettings, revision: &str, problems: &[Problem]) -> Report {
    let subject = Subject {
        gate: Some(gate.name.clone()),
        mode: Some(gate.mode.name()),
        revision: Some(revision.to_owned()),
        policies: pipeline::policies(&setup.policies),
    };
    Report::new(subject, &[], &[], problems, Some(gate::Answer::Refuse))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn pins_are_read_from_what_the_daemon_keeps_and_from_reports() {
        let kept = format!(r#"{{"gate":"g","revision":"r","pins":{{"docker.io/library/nginx:1.27":"{DIGEST}"}}}}"#);
        let report = format!(
            r#"{{"schema":"sealgate.dev/report/v1","gate":"g","revision":"r","images":[
            {{"reference":"nginx:1.27","digest":"{DIGEST}"}},{{"reference":"NO ref","digest":null}}]}}"#
        );
        assert_eq!(Kept::parse(&kept).unwrap(), Kept::parse(&report).unwrap());
        assert_eq!(Kept::parse(&kept).unwrap().pins.len(), 1);
    }

    #[test]
    fn what_is_no_file_of_pins_is_no_empty_one() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"pins":{"a":"sha256:00"}}"#,
            r#"{"schema":"sealgate.dev/images/v1"}"#,
            r#"{"pins":{},"more":1}"#,
        ] {
            assert!(Kept::parse(text).is_err(), "{text}");
        }
    }
}
