//! `sealgate pin`: the manifests with every image pinned to the digest that was verified.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use similar::TextDiff;

use crate::discovery::site::{Action, Site};
use crate::gate::release::{ApprovedRelease, ReleaseFile};
use crate::gate::{self, Decision};
use crate::pipeline::Decided;
use crate::reason::{ErrorCode, Problem};
use crate::render::{self, Built, ImagePin};
use crate::snapshot::{File, Renderer};
use crate::source::directory::STDIN;

use super::check::Outcome;
use super::output::{self, Output, Stream};
use super::setup::{Common, usage};
use super::{Environment, Exit, check, problem_report, rendering};

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
    rendering: rendering::RenderArgs,
    #[command(flatten)]
    common: Common,
}

/// A file that pinning changes.
struct Change {
    old: File,
    new: Bytes,
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    let stream = if args.write || args.check { Stream::Out } else { Stream::Err };
    let form = args.common.output;
    let asked = check::Asked { paths: &args.paths, rendering: &args.rendering, common: &args.common };
    let outcome = match refuse_stdin(args).and_then(|()| check::decide(&asked, environment)) {
        Ok(outcome) => outcome,
        Err(problems) => return output.report(&problem_report(&problems), form, stream),
    };
    let Decision::Pass(release) = &outcome.decided.decision else {
        return output.report(&outcome.decided.report, form, stream);
    };
    if !args.write && !args.diff {
        let reported = output.report(&outcome.decided.report, form, stream);
        if args.check {
            let changed = pairs(&outcome, release).any(|(old, new)| old.bytes != new.bytes);
            return reported.worst(if changed { Exit::Changes } else { Exit::Ok });
        }
        return output::raw(&gate::joined(release)).worst(reported);
    }
    let changes = match changes(&outcome, release) {
        Ok(changes) => changes,
        Err(problems) => return output.report(&problem_report(&problems), form, stream),
    };
    let mut report = outcome.decided.report;
    if args.write {
        let problems: Vec<Problem> = changes.iter().filter_map(|change| write(change).err()).collect();
        report.errors.extend(problems.iter().map(crate::report::Error::from));
        return output.report(&report, form, stream);
    }
    let reported = output.report(&report, form, stream);
    output::raw(&diff(&changes)).worst(reported)
}

fn refuse_stdin(args: &Args) -> Result<(), Vec<Problem>> {
    let stdin = args.paths.iter().any(|path| path == Path::new(STDIN));
    if stdin && args.write { Err(usage("--write cannot change the standard input")) } else { Ok(()) }
}

/// Every file as it was read, or rendered, and as it is pinned.
fn pairs<'a>(outcome: &'a Outcome, release: &'a ApprovedRelease) -> impl Iterator<Item = (&'a File, &'a ReleaseFile)> {
    outcome.snapshot.files.iter().zip(release.files())
}

/// What changes, a kustomization in the place of what was rendered from it.
fn changes(outcome: &Outcome, release: &ApprovedRelease) -> Result<Vec<Change>, Vec<Problem>> {
    let mut changes = Vec::new();
    let mut problems = Vec::new();
    for (old, new) in pairs(outcome, release).filter(|(old, new)| old.bytes != new.bytes) {
        let change = match outcome.sources.get(&old.path) {
            None => Ok(Change { old: old.clone(), new: new.bytes.clone() }),
            Some(built) => rendered(outcome, built, &File { path: old.path.clone(), bytes: new.bytes.clone() }),
        };
        match change {
            Ok(change) => changes.push(change),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(changes) } else { Err(problems) }
}

/// What is rendered stands in no file that could be changed: a kustomization says its digests in `images`.
fn rendered(outcome: &Outcome, built: &Built, wanted: &File) -> Result<Change, Problem> {
    let pins = pins(&outcome.decided, &wanted.path);
    match built.rendering.renderer {
        Renderer::Kustomize => {
            let new = render::pin(built, &pins, wanted, &outcome.plan)?;
            let old = built.files.iter().find(|file| file.path == built.file).cloned();
            let gone = || Problem::new(ErrorCode::FileUnreadable, "the kustomization is gone");
            Ok(Change { old: old.ok_or_else(gone)?, new })
        }
        Renderer::Helm => {
            let images: Vec<String> = pins.iter().map(|pin| format!("{}@{}", pin.name, pin.digest)).collect();
            let folder = &built.rendering.folder;
            let message = format!("the chart `{folder}` is rendered with helm, and its values are not rewritten");
            Err(Problem::new(ErrorCode::UnsupportedFile, message).in_file(built.file.to_string()).with_help(format!(
                "write these into the values, where the chart has fields for digests: {}; or print what is rendered and \
                 pinned, without --write",
                images.join(", ")
            )))
        }
    }
}

/// The images of a rendered file that get a digest.
fn pins(decided: &Decided, file: &str) -> Vec<ImagePin> {
    let mut pins = BTreeSet::new();
    let here = |site: &&Site| site.file.as_ref() == file && site.action == Action::Pin;
    for judged in decided.judged.iter().filter(|judged| judged.sites.iter().any(|site| here(&site))) {
        if let (Some(image), Some(resolved)) = (&judged.image, &judged.resolved)
            && image.digest().is_none()
        {
            let name = render::without_tag(&judged.reference, image).to_owned();
            pins.insert(ImagePin {
                name,
                tag: image.tag().map(|tag| tag.as_str().to_owned()),
                digest: resolved.digest,
            });
        }
    }
    pins.into_iter().collect()
}

/// A unified diff that `git apply` takes. Pinning changes scalars of files that were read as UTF-8.
fn diff(changes: &[Change]) -> Vec<u8> {
    let mut text = String::new();
    for Change { old, new } in changes {
        let (before, after) = (String::from_utf8_lossy(&old.bytes), String::from_utf8_lossy(new));
        let name = old.path.trim_start_matches("./").trim_start_matches('/');
        let diff = TextDiff::from_lines(before.as_ref(), after.as_ref());
        let (a, b) = (format!("a/{name}"), format!("b/{name}"));
        text.push_str(&diff.unified_diff().header(&a, &b).missing_newline_hint(true).to_string());
    }
    text.into_bytes()
}

/// Changes a file by a rename beside it: whole or not at all, its mode kept, no link followed.
fn write(change: &Change) -> Result<(), Problem> {
    let path = Path::new(change.old.path.as_ref());
    replace(path, &change.old.bytes, &change.new).map_err(|error| {
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
