//! `sealgate check`: finds, resolves and verifies; writes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assembly;
use crate::outcome::Observer;
use crate::pipeline::judge::Pins;
use crate::pipeline::reading::Reader;
use crate::pipeline::{self, Decided, Scope};
use crate::reason::Problem;
use crate::render::{self, Plan, Rendered, Sources};
use crate::report::Report;
use crate::snapshot::{Revision, Snapshot};
use crate::source::directory;

use super::base::Comparison;
use super::output::{Output, Stream};
use super::pins::{self, Kept};
use super::progress::Progress;
use super::setup::{Common, Setup};
use super::{Environment, Exit, block_on, problem_report, rendering};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files or folders of manifests, `-` for the standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Look only at what changed since this commit: PATH is in a git work tree
    #[arg(long, value_name = "REF", conflicts_with = "pins")]
    base: Option<String>,
    /// Digests to take in place of asking: a file of `stateDir/gates/GATE/pins/`, or a report as JSON. With --config and
    /// --gate the report is the daemon's on the revision of the pins, and PATH a clone of the gate's repository
    #[arg(long, value_name = "FILE")]
    pins: Option<PathBuf>,
    #[command(flatten)]
    rendering: rendering::RenderArgs,
    #[command(flatten)]
    common: Common,
}

/// What was typed.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) paths: &'a [PathBuf],
    pub(super) rendering: &'a rendering::RenderArgs,
    pub(super) common: &'a Common,
}

impl Asked<'_> {
    fn setup(&self, environment: &Environment, progress: Arc<Progress>) -> Result<Setup, Vec<Problem>> {
        let mut setup = self.common.setup(environment, &BTreeSet::new(), progress)?;
        setup.rendering = self.rendering.over(setup.rendering, setup.namespace.as_deref())?;
        Ok(setup)
    }
}

impl Args {
    fn asked(&self) -> Asked<'_> {
        Asked { paths: &self.paths, rendering: &self.rendering, common: &self.common }
    }
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    let report = match (&args.base, &args.pins) {
        (Some(base), _) => compare(args, base, environment),
        (None, Some(pins)) => pinned(args, pins, environment),
        (None, None) => decide(&args.asked(), environment).map(|outcome| outcome.decided.report),
    };
    let report = report.unwrap_or_else(|problems| problem_report(&problems));
    output.report(&report, args.common.output, Stream::Out)
}

/// The report on what a change brings.
fn compare(args: &Args, base: &str, environment: &Environment) -> Result<Report, Vec<Problem>> {
    let progress = Progress::new();
    let setup = args.asked().setup(environment, progress.clone())?;
    let comparison = Comparison::open(base, &args.paths)?;
    let (snapshot, sources) = read(&args.paths, &setup)?;
    let limits = assembly::manifest_limits(&setup.limits);
    let finder = setup.finder(&limits);
    let mut reading = Reader::default().read(&snapshot.files, &finder, progress.as_ref());
    render::trace(&mut reading.sites, &sources);
    let base = comparison.narrow(&mut reading, &setup, &finder)?;
    let scope = Scope { gate: None, mode: None, root: "", finder, images: setup.limits.images };
    let judge = setup.judge();
    let judging = pipeline::change(&reading, &judge, &scope);
    let report = block_on(progress.watch("verifying", judging)).map_err(|problem| vec![problem])?;
    Ok(Report { base: Some(base), rendered: render::renderings(&sources), ..report })
}

/// The report under digests that were kept.
fn pinned(args: &Args, file: &Path, environment: &Environment) -> Result<Report, Vec<Problem>> {
    let kept = Kept::read(file)?;
    let progress = Progress::new();
    let setup = args.asked().setup(environment, progress.clone())?;
    let gate = setup.gate.as_ref();
    if let (Some(gate), Some(revision)) = (gate, kept.revision_of(gate)?) {
        let judging = pins::replay(&setup, (gate, revision), (&args.paths, &kept.pins), progress.as_ref());
        return block_on(progress.watch("verifying", judging)).map_err(|problem| vec![problem])?;
    }
    let (snapshot, sources) = read(&args.paths, &setup)?;
    let judging = judge(&setup, (&snapshot, &sources), &kept.pins, progress.as_ref());
    block_on(progress.watch("verifying", judging)).map(|decided| decided.report).map_err(|problem| vec![problem])
}

/// Everything under these paths, rendered where it must be.
fn read(paths: &[PathBuf], setup: &Setup) -> Result<(Snapshot, Sources), Vec<Problem>> {
    let found = directory::read(paths, &setup.exclude, &mut std::io::stdin().lock(), &setup.source_limits());
    let Rendered { files, sources, problems } = render::render(found?, &setup.rendering);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok((Snapshot { revision: Revision { id: String::new(), time: 0 }, files }, sources))
}

/// What was read, with rendered files in the place of their sources, and what was decided about it.
pub(super) struct Outcome {
    pub(super) snapshot: Snapshot,
    pub(super) decided: Decided,
    /// What was rendered, by the path of the rendered file.
    pub(super) sources: Sources,
    /// What renderers were told.
    pub(super) plan: Plan,
}

/// Reads and judges everything under these paths.
///
/// # Errors
/// What keeps it from being read or judged at all.
pub(super) fn decide(asked: &Asked<'_>, environment: &Environment) -> Result<Outcome, Vec<Problem>> {
    let progress = Progress::new();
    let setup = asked.setup(environment, progress.clone())?;
    let (snapshot, sources) = read(asked.paths, &setup)?;
    let pins = Pins::new();
    let judging = judge(&setup, (&snapshot, &sources), &pins, progress.as_ref());
    let decided = block_on(progress.watch("verifying", judging)).map_err(|problem| vec![problem])?;
    Ok(Outcome { snapshot, decided, sources, plan: setup.rendering })
}

async fn judge(
    setup: &Setup,
    (snapshot, sources): (&Snapshot, &Sources),
    pins: &Pins,
    observer: &dyn Observer,
) -> Decided {
    let limits = assembly::manifest_limits(&setup.limits);
    let finder = setup.finder(&limits);
    let mut reading = Reader::default().read(&snapshot.files, &finder, observer);
    render::trace(&mut reading.sites, sources);
    let scope = Scope { gate: None, mode: None, root: "", finder, images: setup.limits.images };
    let mut decided = pipeline::decide(snapshot, &reading, &setup.judge(), &scope, pins).await;
    decided.report.rendered = render::renderings(sources);
    decided
}
