//! The command line: what can be typed, and who does it. Human output goes to stdout, logs and progress to stderr.

mod base;
mod check;
mod demo;
mod history;
mod images;
mod init;
mod keyless;
mod output;
mod pin;
mod pins;
mod policy;
mod progress;
mod reference;
mod rendering;
mod run;
mod setup;
mod verify;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::io::IsTerminal as _;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::gate::Answer;
use crate::reason::{ErrorCode, Problem};
use crate::report::{Report, Subject};
use crate::telemetry;

pub use reference::reference;

use output::{Form, Output, Stream};

/// The environment, read once.
pub type Environment = BTreeMap<String, String>;

/// The command line.
#[derive(Debug, Parser)]
#[command(version, about = "A GitOps deploy gate: what runs was verified", long_about = None, max_term_width = 100)]
pub struct Cli {
    /// How much is logged: error, warn, info, debug, trace, or directives such as `info,sealgate::registry=debug`
    #[arg(long, global = true, env = "SEALGATE_LOG", value_name = "LEVEL", help_heading = "Logging")]
    log_level: Option<String>,
    /// How logs are written (default: text on a terminal, else json)
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logging")]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The daemon: watches, decides, applies, exports
    Run(run::Args),
    /// Finds, resolves and verifies every image under PATH; writes nothing
    Check(check::Args),
    /// As check; on a pass prints the manifests with every image pinned to its verified digest
    Pin(pin::Args),
    /// Lists every place where an image is named, offline, without verifying
    Images(images::Args),
    /// Proposes a configuration and a policy, from what a repository's images are signed with today
    Init(init::Args),
    /// Verifies images given on the command line
    Verify(verify::Args),
    /// Works on policies
    #[command(subcommand)]
    Policy(policy::Command),
    /// Lists the decisions that were kept, the newest first
    History(history::Args),
    /// Says what was decided on a revision or an image, when, and why
    Explain(history::ExplainArgs),
    /// Works on the decision log
    #[command(subcommand)]
    Log(history::LogCommand),
    /// A small local world, and the daemon on it: no cluster, no network
    Demo(demo::Args),
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All verified, or nothing to do.
    Ok,
    /// Refused.
    Refused,
    /// Bad usage, configuration, policy or input file.
    Bad,
    /// Undecided: try again.
    Undecided,
    /// `pin --check` would change something.
    Changes,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Refused => 1,
            Self::Bad => 2,
            Self::Undecided => 3,
            Self::Changes => 4,
        }
    }

    /// The one that counts of two: 2, 1, 3, 4, 0.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Bad => 4,
            Self::Refused => 3,
            Self::Undecided => 2,
            Self::Changes => 1,
            Self::Ok => 0,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// What a report means.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let errors = report.errors.iter().map(|error| Self::of_error(error.code)).fold(Self::Ok, Self::worst);
        let decision = match report.decision {
            Some("pass") => Self::Ok,
            Some("refuse") => Self::Refused,
            Some(_) => Self::Undecided,
            None => Self::Bad,
        };
        errors.worst(decision)
    }

    /// What an error means.
    #[must_use]
    pub fn of_error(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Usage
            | ErrorCode::ConfigInvalid
            | ErrorCode::PolicyInvalid
            | ErrorCode::FileUnreadable
            | ErrorCode::YamlInvalid
            | ErrorCode::NotAnObject
            | ErrorCode::UnsupportedFile
            | ErrorCode::LimitExceeded => Self::Bad,
            ErrorCode::HistoryRewritten | ErrorCode::TargetRejected => Self::Refused,
            ErrorCode::PolicyUnavailable | ErrorCode::SourceUnavailable | ErrorCode::TargetUnavailable => {
                Self::Undecided
            }
        }
    }
}

/// Does what was typed.
#[must_use]
pub fn run(cli: &Cli, environment: &Environment) -> Exit {
    let output = Output::new(environment);
    let format = match cli.log_format {
        Some(LogFormat::Text) => telemetry::Format::Text,
        None if std::io::stderr().is_terminal() => telemetry::Format::Text,
        Some(LogFormat::Json) | None => telemetry::Format::Json,
    };
    // The tools speak through their report; a daemon speaks through its log, which the demo keeps in its folder.
    let quiet = if matches!(cli.command, Command::Run(_) | Command::Demo(_)) { "info" } else { "error" };
    let logging = demo::Logging { format, directives: cli.log_level.as_deref().unwrap_or(quiet) };
    if !matches!(cli.command, Command::Demo(_))
        && let Err(problem) = telemetry::start(logging.format, logging.directives)
    {
        return output.problems(&[problem]);
    }
    match &cli.command {
        Command::Run(args) => run::run(args, environment, &output),
        Command::Check(args) => check::run(args, environment, &output),
        Command::Pin(args) => pin::run(args, environment, &output),
        Command::Images(args) => images::run(args),
        Command::Init(args) => init::run(args, environment, &output),
        Command::Verify(args) => verify::run(args, environment, &output),
        Command::Demo(args) => demo::run(args, &logging, &output),
        Command::Policy(command) => policy::run(command, environment, &output),
        Command::History(args) => history::run(args, environment, &output),
        Command::Explain(args) => history::explain(args, environment, &output),
        Command::Log(command) => history::log(command, environment, &output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "sealgate", &mut script);
            output::raw(&script)
        }
    }
}

/// Answers what was no command: help and version where they were asked for, else what is wrong, in the form that the
/// reader of the report expects.
#[must_use]
pub fn answer(error: &clap::Error, arguments: impl Iterator<Item = OsString>, environment: &Environment) -> Exit {
    let output = Output::new(environment);
    let form = wanted_form(arguments);
    if !error.use_stderr() || form == Form::Text {
        // Nothing is left to do where the terminal is gone.
        let _ = error.print();
        return if error.use_stderr() { Exit::Bad } else { Exit::Ok };
    }
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    output.report(&problem_report(&setup::usage(message)), form, Stream::Out)
}

/// The form that `--output` asks for, on a command line that could not be read.
fn wanted_form(arguments: impl Iterator<Item = OsString>) -> Form {
    let arguments: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let joined = arguments.iter().find_map(|argument| argument.strip_prefix("--output="));
    let apart = arguments.iter().skip_while(|argument| *argument != "--output").nth(1).map(String::as_str);
    joined.or(apart).and_then(|name| Form::from_str(name, true).ok()).unwrap_or(Form::Text)
}

/// Runs a future to its end on a runtime of its own.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Problem> {
    // Whoever comes first installs it; one that is there already is the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::new(ErrorCode::Usage, format!("failed to start: {error}")))?;
    Ok(runtime.block_on(future))
}

/// A report on nothing but problems; undecided, where trying again may help against all of them.
fn problem_report(problems: &[Problem]) -> Report {
    let passing = problems.iter().all(|problem| Exit::of_error(problem.code) == Exit::Undecided);
    let decision = if passing && !problems.is_empty() { Some(Answer::Undecided) } else { None };
    Report::new(Subject::default(), &[], &[], problems, decision)
}
