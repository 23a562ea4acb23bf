//! `sealgate run`: the daemon, or one reconcile of every gate.

use std::path::PathBuf;

use crate::daemon::{self, Ending, Invocation, Once};
use crate::reason::Problem;

use super::output::{Form, Output, Stream};
use super::{Environment, Exit, block_on};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// One reconcile of every gate, then leave; exit codes as `check`
    #[arg(long)]
    once: bool,
    /// The form of the reports of --once
    #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    let invocation = Invocation { config: args.config.clone(), environment: environment.clone() };
    if args.once {
        let looked = block_on(daemon::once(&invocation)).map_err(|problem| vec![problem]).and_then(|looked| looked);
        return match looked {
            Ok(gates) => gates.iter().map(|gate| tell(gate, args.output, output)).fold(Exit::Ok, Exit::worst),
            Err(problems) => fail(&problems, output),
        };
    }
    match block_on(daemon::run(&invocation)).map_err(|problem| vec![problem]).and_then(|ended| ended) {
        Ok(Ending::Asked) => Exit::Ok,
        Ok(Ending::Died) => Exit::Undecided,
        Err(problems) => fail(&problems, output),
    }
}

fn fail(problems: &[Problem], output: &Output) -> Exit {
    output.problems(problems).worst(Exit::Bad)
}

/// The report of a gate; what failed beside the decision counts too.
fn tell(gate: &Once, form: Form, output: &Output) -> Exit {
    let failures = gate.status.errors.iter().map(|error| Exit::of_error(error.code)).fold(Exit::Ok, Exit::worst);
    let Some(report) = &gate.report else {
        let mut report = super::problem_report(&[]);
        report.gate = Some(gate.status.name.clone());
        report.mode = Some(gate.status.mode);
        report.errors.clone_from(&gate.status.errors);
        if gate.status.suspended {
            report.decision = None;
            output.report(&report, form, Stream::Out);
            return Exit::Ok;
        }
        output.report(&report, form, Stream::Out);
        return if failures == Exit::Ok { Exit::Undecided } else { failures };
    };
    let mut report = report.as_ref().clone();
    report.errors.extend(gate.status.errors.iter().cloned());
    output.report(&report, form, Stream::Out).worst(failures)
}
