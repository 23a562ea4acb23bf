//! `sealgate check`: finds, resolves and verifies; writes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::assembly;
use crate::outcome::Observer;
use crate::pipeline::reading::Reader;
use crate::pipeline::{self, Decided, Scope};
use crate::reason::Problem;
use crate::snapshot::{Revision, Snapshot};
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
        Ok((_, decided)) => decided.report,
        Err(problems) => problem_report(&problems),
    };
    output.report(&report, args.common.output, Stream::Out)
}

/// Reads and judges everything under these paths.
///
/// # Errors
/// What keeps it from being read or judged at all.
pub(super) fn decide(
    paths: &[PathBuf],
    common: &Common,
    environment: &Environment,
) -> Result<(Snapshot, Decided), Vec<Problem>> {
    let progress = Progress::new();
    let setup = common.setup(environment, &BTreeSet::new(), progress.clone())?;
    let found = directory::read(paths, &setup.exclude, &mut std::io::stdin().lock(), &setup.source_limits());
    let snapshot = Snapshot { revision: Revision { id: String::new(), time: 0 }, files: found? };
    let judging = judge(&setup, &snapshot, progress.as_ref());
    let decided = block_on(progress.watch("verifying", judging)).map_err(|problem| vec![problem])?;
    Ok((snapshot, decided))
}

async fn judge(setup: &Setup, snapshot: &Snapshot, observer: &dyn Observer) -> Decided {
    let limits = assembly::manifest_limits(&setup.limits);
    let finder = setup.finder(&limits);
    let reading = Reader::default().read(&snapshot.files, &finder, observer);
    let scope = Scope { gate: None, mode: None, root: "", finder, images: setup.limits.images };
    pipeline::decide(snapshot, &reading, &setup.judge(), &scope, &pipeline::judge::Pins::new()).await
}
