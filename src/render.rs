//! Folders that are no plain manifests are built by the user's own renderer, confined, and what it says takes their place.
//!
//! It writes nothing but a private copy of the files, and decides nothing: what was rendered is read, searched and judged
//! like any other file.

mod confine;
mod folders;
mod helm;
mod images;
mod kustomize;
mod pin;
mod plan;
mod program;
mod trace;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use crate::reason::{ErrorCode, Problem};
use crate::snapshot::{File, Renderer, Rendering};

pub use images::ImagePin;
pub use pin::pin;
pub use plan::{Extent, FolderPlan, HelmOptions, Isolation, Limits, Plan, Programs, Values};
pub use trace::{trace, without_tag};

use confine::Confined;
use folders::Folders;

/// The name, in its folder, of what was rendered.
const RENDERED: &str = "rendered.yaml";

/// Files, with what was rendered in the place of what it was rendered from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    /// The files, sorted as they were.
    pub files: Vec<File>,
    /// What was built, by the path of the rendered file.
    pub sources: Sources,
    /// What could not be rendered; its files are left out.
    pub problems: Vec<Problem>,
}

/// What was built, by the path of the rendered file.
pub type Sources = BTreeMap<Arc<str>, Built>;

/// A folder that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// How.
    pub rendering: Rendering,
    /// The file that says that the folder is to be built: a kustomization, or `Chart.yaml`.
    pub file: Arc<str>,
    /// The files from which it was built.
    pub files: Vec<File>,
    /// Which template wrote what, where the renderer says so: the line from which on, and the template's path.
    templates: Vec<(usize, Arc<str>)>,
}

/// How the folders of these sources were built.
#[must_use]
pub fn renderings(sources: &Sources) -> Vec<Rendering> {
    sources.values().map(|built| built.rendering.clone()).collect()
}

/// Builds every folder with a kustomization that no other one uses, and every chart that is no part of another. Files of
/// other folders pass as they are.
#[must_use]
pub fn render(files: Vec<File>, plan: &Plan) -> Rendered {
    let folders = match Folders::of(&files, plan) {
        Ok(folders) => folders,
        Err(problems) => return Rendered { files: Vec::new(), problems, ..Rendered::default() },
    };
    if folders.is_empty() {
        return Rendered { files, ..Rendered::default() };
    }
    let values = helm::values_in_source(&folders, plan);
    let taken = |file: &File| folders.hold(&file.path) || values.contains(file.path.as_ref());
    let (inside, outside): (Vec<File>, Vec<File>) = files.into_iter().partition(taken);
    let mut rendered = Rendered { files: outside, ..Rendered::default() };
    match build_all(&folders, &inside, plan) {
        Ok(built) => built.into_iter().for_each(|outcome| rendered.take(outcome)),
        Err(problems) => rendered.problems.extend(problems),
    }
    rendered.files.sort_by(|one, other| one.path.cmp(&other.path));
    rendered
}

impl Rendered {
    fn take(&mut self, outcome: Result<(Built, Vec<u8>), Problem>) {
        match outcome {
            Ok((built, bytes)) => {
                let folder = if built.rendering.folder == "." { "" } else { &built.rendering.folder };
                let path: Arc<str> = below(folder, RENDERED).into();
                self.sources.insert(Arc::clone(&path), built);
                self.files.push(File { path, bytes: bytes.into() });
            }
            Err(problem) => self.problems.push(problem),
        }
    }
}

type Outcome = Result<(Built, Vec<u8>), Problem>;

fn build_all(folders: &Folders, inside: &[File], plan: &Plan) -> Result<Vec<Outcome>, Vec<Problem>> {
    let odd = folders.refused(inside);
    if !odd.is_empty() {
        return Err(odd);
    }
    let roots = folders.roots();
    if roots.is_empty() {
        let problem =
            Problem::new(ErrorCode::UnsupportedFile, "every kustomization here is used by another one, in a circle");
        return Err(vec![problem.with_help("let one of them use no other")]);
    }
    let confined = Confined::new(inside, plan).map_err(|problem| vec![problem])?;
    let build = |(folder, renderer): (&str, Renderer)| {
        let file: Arc<str> = folders.file_of(folder).into();
        let named = |problem: Problem| problem.in_file(file.as_ref());
        let (arguments, files) = match renderer {
            Renderer::Kustomize => {
                (kustomize::arguments(&confined, folder).map_err(named)?, folders.sources(folder, inside))
            }
            Renderer::Helm => helm::arguments(&confined, folder, inside, plan).map_err(named)?,
        };
        let bytes = run(&confined, renderer, &arguments).map_err(named)?;
        if is_blank(&bytes) {
            return Err(named(blank(folder)));
        }
        let rendering = Rendering { folder: shown(folder).to_owned(), renderer, network: confined.network() };
        let templates = match renderer {
            Renderer::Kustomize => Vec::new(),
            Renderer::Helm => trace::templates(folder, &bytes),
        };
        Ok((Built { rendering, file: Arc::clone(&file), files, templates }, bytes))
    };
    Ok(roots.into_iter().map(build).collect())
}

/// Nothing but comments and marks between documents: more likely a mistake than a wish to remove everything.
fn is_blank(rendered: &[u8]) -> bool {
    let says_something = |line: &[u8]| !line.is_empty() && !line.starts_with(b"#") && line != b"---";
    !rendered.split(|byte| *byte == b'\n').any(|line| says_something(line.trim_ascii()))
}

fn blank(folder: &str) -> Problem {
    let (shown, glob) = (shown(folder), below(folder, "**"));
    Problem::new(ErrorCode::UnsupportedFile, format!("the folder `{shown}` renders to nothing"))
        .with_help(format!("give it something to render, or leave it out: `exclude: [\"{glob}\"]`"))
}

fn run(confined: &Confined, renderer: Renderer, arguments: &[OsString]) -> Result<Vec<u8>, Problem> {
    match renderer {
        Renderer::Kustomize => kustomize::run(confined, arguments),
        Renderer::Helm => helm::run(confined, arguments),
    }
}

/// A folder as reports name it.
fn shown(folder: &str) -> &str {
    if folder.is_empty() { "." } else { folder }
}

/// A path in a folder; the top folder is `""`.
fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The folder of a path; the top is `""`.
fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A relative path, from a folder; none where it leads out of all folders.
fn resolved(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains("://") {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let (top, found) = (folder.starts_with('/'), parts.join("/"));
    Some(if top { below("/", &found).replacen("//", "/", 1) } else { found })
}
