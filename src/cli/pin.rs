//! `sealgate pin`: the manifests with every image pinned to the digest that was verified.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::gate::release::{ApprovedRelease, ReleaseFile};
use crate::gate::{self, Decision};
use crate::pipeline::Decided;
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::{File, Snapshot};
use crate::source::directory::STDIN;

use super::output::{self, Output, Stream};
use super::setup::{Common, usage};
use super::{Environment, Exit, check, problem_report};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files or folders of manifests, `-` for the standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print a unified diff in place of the manifests
    #[arg(long, conflicts_with_all = ["write", "check"])]
    diff: bool,
    /// Change the files; the report goes to stdout
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Only say whether anything would change (exit code 4); the report goes to stdout
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    common: Common,
}

/// A file that pinning changes.
struct Change<'a> {
    old: &'a File,
    new: &'a ReleaseFile,
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    let stream = if args.write || args.check { Stream::Out } else { Stream::Err };
    let form = args.common.output;
    let decided = match refuse_stdin(args).and_then(|()| check::decide(&args.paths, &args.common, environment)) {
        Ok(decided) => decided,
        Err(problems) => return output.report(&problem_report(&problems), form, stream),
    };
    let check::Outcome { snapshot, decided, sources } = decided;
    if (args.write || args.diff) && !sources.is_empty() {
        let problems: Vec<Problem> = sources.keys().map(|file| rendered(file, &decided)).collect();
        return output.report(&problem_report(&problems), form, stream);
    }
    let Decision::Pass(release) = &decided.decision else { return output.report(&decided.report, form, stream) };
    let changes = changes(&snapshot, release);
    if args.write {
        let problems: Vec<Problem> = changes.iter().filter_map(|change| write(change).err()).collect();
        let mut report = decided.report;
        report.errors.extend(problems.iter().map(crate::report::Error::from));
        return output.report(&report, form, stream);
    }
    let reported = output.report(&decided.report, form, stream);
    if args.check {
        return reported.worst(if changes.is_empty() { Exit::Ok } else { Exit::Changes });
    }
    let text = if args.diff { diff(&changes) } else { gate::joined(release).to_vec() };
    output::raw(&text).worst(reported)
}

fn refuse_stdin(args: &Args) -> Result<(), Vec<Problem>> {
    let stdin = args.paths.iter().any(|path| path == Path::new(STDIN));
    if stdin && args.write { Err(usage("--write cannot change the standard input")) } else { Ok(()) }
}

fn changes<'a>(snapshot: &'a Snapshot, release: &'a ApprovedRelease) -> Vec<Change<'a>> {
    let pairs = snapshot.files.iter().zip(release.files());
    pairs.filter(|(old, new)| old.bytes != new.bytes).map(|(old, new)| Change { old, new }).collect()
}

/// What is rendered stands in no file that could be changed; says what to write by hand.
fn rendered(file: &str, decided: &Decided) -> Problem {
    let mut entries = BTreeSet::new();
    for judged in decided.judged.iter().filter(|judged| judged.sites.iter().any(|site| site.file.as_ref() == file)) {
        if let (Some(image), Some(resolved)) = (&judged.image, &judged.resolved) {
            let tag = image.tag().map(|tag| format!(", newTag: \"{tag}\"")).unwrap_or_default();
            let name = judged.reference.split('@').next().unwrap_or_default();
            let name = image.tag().and_then(|tag| name.strip_suffix(&format!(":{tag}"))).unwrap_or(name);
            entries.insert(format!("{{name: {name}{tag}, digest: {}}}", resolved.digest));
        }
    }
    let folder = file.rsplit_once('/').map_or(".", |(folder, _)| folder);
    let message = format!("the folder `{folder}` is built with kustomize, whose files are not rewritten");
    let entries = entries.into_iter().collect::<Vec<_>>().join(", ");
    Problem::new(ErrorCode::UnsupportedFile, message).in_file(file).with_help(format!(
        "write into its kustomization: `images: [{entries}]`; or print what is rendered and pinned, without --write"
    ))
}

/// A unified diff that `git apply` takes. Pinning changes scalars of files that were read as UTF-8.
fn diff(changes: &[Change<'_>]) -> Vec<u8> {
    let mut text = String::new();
    for Change { old, new } in changes {
        let (before, after) = (String::from_utf8_lossy(&old.bytes), String::from_utf8_lossy(&new.bytes));
        let name = old.path.trim_start_matches("./").trim_start_matches('/');
        let diff = TextDiff::from_lines(before.as_ref(), after.as_ref());
        let (a, b) = (format!("a/{name}"), format!("b/{name}"));
        text.push_str(&diff.unified_diff().header(&a, &b).missing_newline_hint(true).to_string());
    }
    text.into_bytes()
}

/// Changes a file by a rename beside it: whole or not at all, its mode kept, no link followed.
fn write(change: &Change<'_>) -> Result<(), Problem> {
    let path = Path::new(change.old.path.as_ref());
    replace(path, &change.old.bytes, &change.new.bytes).map_err(|error| {
        Problem::new(ErrorCode::FileUnreadable, format!("failed to write the pinned manifest: {error}"))
            .in_file(change.old.path.to_string())
            .with_help("the file is as it was; check its permissions, and that it is no link")
    })
}

fn replace(path: &Path, old: &[u8], new: &[u8]) -> std::io::Result<()> {
    let about = std::fs::symlink_metadata(path)?;
    if !about.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    if std::fs::read(path)? != old {
        return Err(std::io::Error::other("it changed while it was verified"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(new)?;
    file.as_file().set_permissions(about.permissions())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
