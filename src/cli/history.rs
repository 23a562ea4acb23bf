//! `sealgate history`, `explain` and `log verify`: the decision log, read from the state directory. A daemon may be
//! running on it meanwhile.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use crate::reason::{ErrorCode, Problem};
use crate::report::history::{Asked, Kept, Reports};
use crate::report::kept::text;
use crate::report::text::printable;
use crate::settings;
use crate::store::history::{Fault, Reading, read};

use super::output::{Output, raw};
use super::{Environment, Exit};

/// How decisions are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For a person
    Text,
    /// As the API tells them
    Json,
}

/// Where the log lies.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// The daemon's state directory
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The daemon's configuration, which names it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Only of this gate
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
    /// Only of commits that begin so
    #[arg(long, value_name = "COMMIT")]
    revision: Option<String>,
    /// Only decisions about images whose reference, name or digest holds this
    #[arg(long, value_name = "TEXT")]
    image: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// How they are told
    #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// A commit, or its beginning; or an image's reference, name or digest, or a part of it
    #[arg(value_name = "REVISION|IMAGE")]
    what: String,
    #[command(flatten)]
    place: Place,
    /// Only of this gate
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Finds every entry that was altered or is missing; exit code 1 where there is one
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// An entry's number and hash, noted elsewhere, that must still be there (repeatable)
    #[arg(long, value_name = "NUMBER:HASH", value_parser = known)]
    known: Vec<(u64, String)>,
}

/// `NUMBER:HASH`, as the daemon's log tells them.
fn known(text: &str) -> Result<(u64, String), String> {
    let wrong = || format!("`{}` is not NUMBER:HASH", text.escape_debug());
    let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = number.parse().map_err(|_| wrong())?;
    if is_hash { Ok((number, hash.to_ascii_lowercase())) } else { Err(wrong()) }
}

impl Place {
    fn open(&self, environment: &Environment) -> Result<Reading, Vec<Problem>> {
        let dir = match (&self.state_dir, &self.config) {
            (Some(dir), _) => dir.clone(),
            (None, Some(config)) => settings::load(config, environment)?.state_dir,
            (None, None) => return Err(super::setup::usage("name --state-dir or --config".to_owned())),
        };
        read(&dir).map_err(|problem| vec![problem])
    }
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    let Args { place, gate, revision, image, limit, output: form } = args;
    let asked = Asked {
        gate: gate.clone(),
        revision: revision.clone(),
        image: image.clone(),
        limit: *limit,
        ..Asked::default()
    };
    let found = place.open(environment).and_then(|log| log.decisions(&asked).map_err(|problem| vec![problem]));
    match (found, form) {
        (Ok(entries), Form::Text) => {
            let lines: Vec<String> = entries.iter().map(|kept| text::line(&kept.told)).collect();
            let end = if lines.is_empty() { "" } else { "\n" };
            raw(format!("{}{end}", lines.join("\n")).as_bytes())
        }
        (Ok(entries), Form::Json) => {
            let told: Vec<_> = entries.into_iter().map(|kept| kept.told).collect();
            raw(format!("{}\n", json!({ "decisions": told })).as_bytes())
        }
        (Err(problems), _) => output.problems(&problems).worst(Exit::Bad),
    }
}

pub(super) fn explain(args: &ExplainArgs, environment: &Environment, output: &Output) -> Exit {
    match args.place.open(environment).and_then(|log| newest(args, &log)) {
        Ok((kept, image)) => match args.output {
            Form::Text => raw(text::explain(&kept, image).as_bytes()),
            Form::Json => match serde_json::to_string(&kept) {
                Ok(json) => raw(format!("{json}\n").as_bytes()),
                Err(error) => output.problems(&super::setup::usage(error.to_string())).worst(Exit::Bad),
            },
        },
        Err(problems) => output.problems(&problems).worst(Exit::Bad),
    }
}

/// The newest decision on this revision; where there is none, the newest about this image.
fn newest<'a>(args: &'a ExplainArgs, log: &Reading) -> Result<(Kept, Option<&'a str>), Vec<Problem>> {
    let ExplainArgs { what, gate, .. } = args;
    let asked =
        Asked { gate: gate.clone(), limit: 1, decisions_only: true, reports: Reports::With, ..Asked::default() };
    let first =
        |asked: Asked| log.decisions(&asked).map(|found| found.into_iter().next()).map_err(|problem| vec![problem]);
    let is_commit = what.len() >= 4 && what.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit && let Some(found) = first(Asked { revision: Some(what.to_ascii_lowercase()), ..asked.clone() })? {
        return Ok((found, None));
    }
    if let Some(found) = first(Asked { image: Some(what.clone()), ..asked })? {
        return Ok((found, Some(what)));
    }
    let message = format!("no decision about `{}` is kept", printable(what));
    Err(vec![Problem::new(ErrorCode::Usage, message).with_help("`sealgate history` lists what is kept")])
}

pub(super) fn log(command: &LogCommand, environment: &Environment, output: &Output) -> Exit {
    let LogCommand::Verify(VerifyArgs { place, known }) = command;
    match place.open(environment) {
        Ok(reading) => verified(&reading, known),
        Err(problems) => output.problems(&problems).worst(Exit::Bad),
    }
}

fn verified(reading: &Reading, known: &[(u64, String)]) -> Exit {
    let fault = |fault: &Fault| {
        let line = fault.line.map(|line| format!(":{line}")).unwrap_or_default();
        printable(&format!("{}{line}: {}", fault.file.display(), fault.what))
    };
    let mut lines: Vec<String> = reading.faults.iter().map(fault).collect();
    let gone = known.iter().filter(|(number, hash)| !reading.holds(*number, hash));
    lines.extend(gone.map(|(number, hash)| format!("entry {number} with the hash {hash} is not there")));
    let exit = if lines.is_empty() { Exit::Ok } else { Exit::Refused };
    let verdict = if lines.is_empty() { "intact" } else { "damaged" };
    lines.push(format!("{verdict}: {} entries", reading.count()));
    if let Some((first, last)) = reading.ends() {
        lines.push(format!("first: {} of {}", first.sequence, first.time));
        lines.push(format!("last: {}:{} of {}", last.sequence, last.hash, last.time));
    }
    if reading.unfinished {
        lines.push("an entry was just being written".to_owned());
    }
    raw(format!("{}\n", lines.join("\n")).as_bytes()).worst(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_entry_is_its_number_and_hash() {
        let hash = "aB".repeat(32);
        assert_eq!(known(&format!("12:{hash}")), Ok((12, "ab".repeat(32))));
        for text in ["12", "x:ab", ":", &hash, "12:abc"] {
            assert!(known(text).is_err(), "{text}");
        }
    }
}
