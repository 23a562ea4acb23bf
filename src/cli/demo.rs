//! `sealgate demo`: a small local world, and the daemon on it.

use std::path::PathBuf;

use crate::demo::{self, Ended, Stage, Stay, World};
use crate::reason::Problem;
use crate::telemetry;

use super::output::{self, Output, Stream};
use super::{Exit, block_on};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to make it in: new, empty, or an earlier demo's, which begins anew
    #[arg(long, value_name = "DIR", default_value = "sealgate-demo")]
    dir: PathBuf,
    /// Leave after the story; exit code 0 only if it came true
    #[arg(long)]
    once: bool,
}

/// How the daemon of the demo logs, into a file of the demo's folder.
pub(super) struct Logging<'a> {
    pub(super) format: telemetry::Format,
    pub(super) directives: &'a str,
}

pub(super) fn run(args: &Args, logging: &Logging<'_>, output: &Output) -> Exit {
    match play(args, logging, output) {
        Ok(Ended::CameTrue) => Exit::Ok,
        Ok(Ended::Otherwise) => Exit::Refused,
        Ok(Ended::Unfinished) => Exit::Undecided,
        Err(problems) => output.problems(&problems).worst(Exit::Bad),
    }
}

fn play(args: &Args, logging: &Logging<'_>, output: &Output) -> Result<Ended, Vec<Problem>> {
    let one = |problem: Problem| vec![problem];
    let world = World::create(&args.dir).map_err(one)?;
    let log = world.log().map_err(one)?;
    telemetry::start_in(log, logging.format, logging.directives).map_err(one)?;
    let program =
        std::env::args_os().next().map_or_else(|| "sealgate".to_owned(), |name| name.to_string_lossy().into_owned());
    let tell = |text: &str| {
        output::raw(text.as_bytes());
    };
    let stage = Stage { tell: &tell, colour: output.colour(Stream::Out), program: &program };
    let stay = if args.once { Stay::UntilTold } else { Stay::UntilAsked };
    block_on(demo::run(&world, &stage, stay)).map_err(one).and_then(|ended| ended)
}
