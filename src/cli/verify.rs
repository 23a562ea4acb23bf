//! `sealgate verify`: images given on the command line.

use std::collections::BTreeSet;

use crate::image::{Host, ImageRef};
use crate::pipeline;
use crate::pipeline::judge::Entry;
use crate::reason::Problem;
use crate::report::Report;

use super::output::{Output, Stream};
use super::progress::Progress;
use super::setup::Common;
use super::{Environment, Exit, block_on, problem_report};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image references, such as registry.example.com/team/app:1.0
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    let report = judge(args, environment).unwrap_or_else(|problems| problem_report(&problems));
    output.report(&report, args.common.output, Stream::Out)
}

fn judge(args: &Args, environment: &Environment) -> Result<Report, Vec<Problem>> {
    let distinct: BTreeSet<&String> = args.images.iter().collect();
    let entries: Vec<Entry> = distinct.into_iter().map(|text| entry(text)).collect();
    let named = entries.iter().filter_map(|entry| entry.image.as_ref().ok());
    let hosts: BTreeSet<Host> = named.map(|image| image.repository().host().clone()).collect();
    let progress = Progress::new();
    let setup = args.common.setup(environment, &hosts, progress.clone())?;
    let judge = setup.judge();
    block_on(progress.watch("verifying", pipeline::verify(entries, &judge))).map_err(|problem| vec![problem])
}

fn entry(text: &str) -> Entry {
    Entry { reference: text.to_owned(), image: ImageRef::parse(text), sites: Vec::new(), refused: None }
}
