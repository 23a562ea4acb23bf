//! The `sealgate` command: reads the command line and maps the outcome to an exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let exit = sealgate::cli::run(&sealgate::cli::Cli::parse(), &environment);
    ExitCode::from(exit.code())
}
