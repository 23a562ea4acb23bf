//! Where answers go: stdout for what was asked, stderr for the rest. A reader that has left is no error.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::reason::Problem;
use crate::report::text::{self, Colour};
use crate::report::{Report, github, json, junit, markdown, sarif};

use super::{Environment, Exit, problem_report};

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For a person in a hurry
    Text,
    /// The report of the contract
    Json,
    /// For code scanning
    Sarif,
    /// For test reports
    Junit,
    /// GitHub annotations, and the job's summary where `GITHUB_STEP_SUMMARY` names its file
    Github,
    /// One comment on a pull request
    Markdown,
}

/// Where a report goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// The two streams, and whether they take colour.
#[derive(Debug)]
pub(super) struct Output {
    colour_wanted: bool,
    /// The file of a job's summary.
    summary: Option<PathBuf>,
}

impl Output {
    pub(super) fn new(environment: &Environment) -> Self {
        let summary = environment.get("GITHUB_STEP_SUMMARY").filter(|name| !name.is_empty());
        Self {
            colour_wanted: environment.get("NO_COLOR").is_none_or(String::is_empty),
            summary: summary.map(PathBuf::from),
        }
    }

    /// Writes a report, and says what it means.
    pub(super) fn report(&self, report: &Report, form: Form, stream: Stream) -> Exit {
        let text = match form {
            Form::Text => text::render(report, self.colour(stream)),
            Form::Json => json::render(report),
            Form::Sarif => sarif::render(report),
            Form::Junit => junit::render(report),
            Form::Github => {
                self.summarise(report);
                github::render(report)
            }
            Form::Markdown => markdown::render(report),
        };
        write(stream, text.as_bytes()).worst(Exit::of(report))
    }

    /// Adds the report to the job's summary. The annotations tell it too, so that a file that takes nothing is only told.
    fn summarise(&self, report: &Report) {
        let Some(path) = &self.summary else { return };
        if let Err(error) = append(path, &markdown::render(report)) {
            let line = format!("the job's summary was not written: {error}\n");
            write(Stream::Err, line.as_bytes());
        }
    }

    /// Tells problems on stderr.
    pub(super) fn problems(&self, problems: &[Problem]) -> Exit {
        self.report(&problem_report(problems), Form::Text, Stream::Err)
    }

    pub(super) fn colour(&self, stream: Stream) -> Colour {
        let terminal = match stream {
            Stream::Out => std::io::stdout().is_terminal(),
            Stream::Err => std::io::stderr().is_terminal(),
        };
        if terminal && self.colour_wanted { Colour::Ansi } else { Colour::None }
    }
}

/// Writes what was asked for, byte by byte.
pub(super) fn raw(bytes: &[u8]) -> Exit {
    write(Stream::Out, bytes)
}

fn write(stream: Stream, bytes: &[u8]) -> Exit {
    let written = match stream {
        Stream::Out => whole(&mut std::io::stdout().lock(), bytes),
        Stream::Err => whole(&mut std::io::stderr().lock(), bytes),
    };
    match written {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        // A report that was not told is none; nobody must take it for a pass.
        Err(_) => Exit::Bad,
    }
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn whole(stream: &mut dyn Write, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}
