//! `sealgate policy check`.

use std::path::PathBuf;

use crate::report::Subject;
use crate::report::{Policy, Report};

use super::output::{self, Form, Output, Stream};
use super::setup::{load, tool_trust};
use super::{Environment, Exit, problem_report};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Validates policies with the keys that they name
    Check {
        /// Policy files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The form of the report
        #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
        output: Form,
        /// Connect to nothing: trust roots are those that were kept or come with this program
        #[arg(long)]
        offline: bool,
    },
}

pub(super) fn run(command: &Command, environment: &Environment, output: &Output) -> Exit {
    let Command::Check { files, output: form, offline } = command;
    let loaded = tool_trust(environment, *offline).and_then(|trust| load(files, &trust));
    match loaded {
        Ok(set) => {
            let policies: Vec<Policy> = crate::pipeline::policies(&set);
            if *form == Form::Text {
                let line = |policy: &Policy| format!("policy `{}` is valid: {}\n", policy.name, policy.digest);
                let lines: Vec<String> = policies.iter().map(line).collect();
                return output::raw(lines.concat().as_bytes());
            }
            let subject = Subject { policies, ..Subject::default() };
            let report = Report::new(subject, &[], &[], &[], Some(crate::gate::Answer::Pass));
            output.report(&report, *form, Stream::Out)
        }
        Err(problems) => output.report(&problem_report(&problems), *form, Stream::Out),
    }
}
