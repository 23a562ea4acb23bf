//! The `sealgate` command: reads the command line and maps the outcome to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use sealgate::cli::{self, Cli};

fn main() -> ExitCode {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let exit = match Cli::try_parse() {
        Ok(cli) => cli::run(&cli, &environment),
        Err(error) => cli::answer(&error, std::env::args_os(), &environment),
    };
    ExitCode::from(exit.code())
}
