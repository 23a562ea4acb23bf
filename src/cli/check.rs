//! `sealgate check`: finds, resolves and verifies; writes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::assembly;
use crate::outcome::Observer;
use crate::pipeline::reading::Reader;
use crate::pipeline::{self, Decided, Scope};
use crate::reason::Problem;
use crate::render::{self, Plan, Rendered, Sources};
use crate::snapshot::{Revision, Snapshot};
use crate::source::directory;

use super::output::{Output, Stream};
use super::progress::Progress;
use super::setup::{Common, Setup};
use super::{Environment, Exit, block_on, problem_report, rendering};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files or folders of manifests, `-` for the standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    rendering: rendering::RenderArgs,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    let asked = Asked { paths: &args.paths, rendering: &args.rendering, common: &args.common };
    let report = match decide(&asked, environment) {
        Ok(outcome) => outcome.decided.report,
        Err(problems) => problem_report(&problems),
    };
    output.report(&report, args.common.output, Stream::Out)
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

/// What was typed.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) paths: &'a [PathBuf],
    pub(super) rendering: &'a rendering::RenderArgs,
    pub(super) common: &'a Common,
}

/// Reads and judges everything under these paths.
///
/// # Errors
/// What keeps it from being read or judged at all.
pub(super) fn decide(asked: &Asked<'_>, environment: &Environment) -> Result<Outcome, Vec<Problem>> {
    let progress = Progress::new();
    let setup = asked.common.setup(environment, &BTreeSet::new(), progress.clone())?;
    let plan = asked.rendering.over(setup.rendering.clone(), setup.namespace.as_deref())?;
    let found = directory::read(asked.paths, &setup.exclude, &mut std::io::stdin().lock(), &setup.source_limits());
    let Rendered { files, sources, problems } = render::render(found?, &plan);
    if !problems.is_empty() {
        return Err(problems);
    }
    let snapshot = Snapshot { revision: Revision { id: String::new(), time: 0 }, files };
    let judging = judge(&setup, &snapshot, &sources, progress.as_ref());
    let mut decided = block_on(progress.watch("verifying", judging)).map_err(|problem| vec![problem])?;
    decided.report.rendered = render::renderings(&sources);
    Ok(Outcome { snapshot, decided, sources, plan })
}

async fn judge(setup: &Setup, snapshot: &Snapshot, sources: &Sources, observer: &dyn Observer) -> Decided {
    let limits = assembly::manifest_limits(&setup.limits);
    let finder = setup.finder(&limits);
    let mut reading = Reader::default().read(&snapshot.files, &finder, observer);
    render::trace(&mut reading.sites, sources);
    let scope = Scope { gate: None, mode: None, root: "", finder, images: setup.limits.images };
    pipeline::decide(snapshot, &reading, &setup.judge(), &scope, &pipeline::judge::Pins::new()).await
}
