//! `sealgate check`: finds, resolves and verifies; writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::assembly;
use crate::outcome::Observer;
use crate::pipeline::reading::Reader;
use crate::pipeline::{self, Decided, Scope};
use crate::reason::Problem;
use crate::render::{self, Rendered};
use crate::snapshot::{File, Revision, Snapshot};
use crate::source::directory;

use super::output::{Output, Stream};
use super::progress::Progress;
use super::setup::{Common, Setup};
use super::{Environment, Exit, block_on, problem_report};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files or folders of manifests, `-` for the standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    let report = match decide(&args.paths, &args.common, environment) {
        Ok(outcome) => outcome.decided.report,
        Err(problems) => problem_report(&problems),
    };
    output.report(&report, args.common.output, Stream::Out)
}

/// What was read, with rendered files in the place of their sources, and what was decided about it.
pub(super) struct Outcome {
    pub(super) snapshot: Snapshot,
    pub(super) decided: Decided,
    /// By the path of a rendered file, what it was rendered from.
    pub(super) sources: BTreeMap<Arc<str>, Vec<File>>,
}

/// Reads and judges everything under these paths.
///
/// # Errors
/// What keeps it from being read or judged at all.
pub(super) fn decide(paths: &[PathBuf], common: &Common, environment: &Environment) -> Result<Outcome, Vec<Problem>> {
    let progress = Progress::new();
    let setup = common.setup(environment, &BTreeSet::new(), progress.clone())?;
    let found = directory::read(paths, &setup.exclude, &mut std::io::stdin().lock(), &setup.source_limits());
    let Rendered { files, sources, problems } = render::render(found?);
    if !problems.is_empty() {
        return Err(problems);
    }
    let snapshot = Snapshot { revision: Revision { id: String::new(), time: 0 }, files };
    let judging = judge(&setup, &snapshot, &sources, progress.as_ref());
    let decided = block_on(progress.watch("verifying", judging)).map_err(|problem| vec![problem])?;
    Ok(Outcome { snapshot, decided, sources })
}

async fn judge(
    setup: &Setup,
    snapshot: &Snapshot,
    sources: &BTreeMap<Arc<str>, Vec<File>>,
    observer: &dyn Observer,
) -> Decided {
    let limits = assembly::manifest_limits(&setup.limits);
    let finder = setup.finder(&limits);
    let mut reading = Reader::default().read(&snapshot.files, &finder, observer);
    render::trace(&mut reading.sites, sources);
    let scope = Scope { gate: None, mode: None, root: "", finder, images: setup.limits.images };
    pipeline::decide(snapshot, &reading, &setup.judge(), &scope, &pipeline::judge::Pins::new()).await
}
