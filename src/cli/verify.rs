//! `sealgate verify`: images given on the command line.

mod explain;

use std::collections::BTreeSet;

use crate::image::{Host, ImageRef};
use crate::pipeline;
use crate::pipeline::judge::{Entry, Judge};
use crate::reason::Problem;
use crate::report::Report;

use super::output::{Output, Stream, raw};
use super::progress::Progress;
use super::setup::Common;
use super::{Environment, Exit, block_on, problem_report};
use explain::Listening;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image references, such as registry.example.com/team/app:1.0
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Tell for every rule and authority what became of each candidate, as a tree (text only)
    #[arg(long, conflicts_with = "output")]
    explain: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    let (report, tree) = judge(args, environment).unwrap_or_else(|problems| (problem_report(&problems), String::new()));
    let told = if tree.is_empty() { Exit::Ok } else { raw(tree.as_bytes()) };
    told.worst(output.report(&report, args.common.output, Stream::Out))
}

/// The report, and the tree where one is wanted.
fn judge(args: &Args, environment: &Environment) -> Result<(Report, String), Vec<Problem>> {
    let distinct: BTreeSet<&String> = args.images.iter().collect();
    let entries: Vec<Entry> = distinct.into_iter().map(|text| entry(text)).collect();
    let named = entries.iter().filter_map(|entry| entry.image.as_ref().ok());
    let hosts: BTreeSet<Host> = named.map(|image| image.repository().host().clone()).collect();
    let progress = Progress::new();
    let setup = args.common.setup(environment, &hosts, progress.clone())?;
    let Judge { registry, policies, store, observer, bounds, now } = setup.judge();
    let listening = Listening::new(registry);
    let judge = Judge { registry: &listening, policies, store, observer, bounds, now };
    let report = block_on(progress.watch("verifying", pipeline::verify(entries, &judge)));
    let report = report.map_err(|problem| vec![problem])?;
    let tree = if args.explain { explain::tree(&report, &listening, policies, now) } else { String::new() };
    Ok((report, tree))
}

fn entry(text: &str) -> Entry {
    Entry { reference: text.to_owned(), image: ImageRef::parse(text), sites: Vec::new(), refused: None }
}
