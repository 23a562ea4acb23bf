//! Folders that are no plain manifests are built by the user's own renderer, confined, and what it says takes their place.
//!
//! It writes nothing but a private copy of the files, and decides nothing: what was rendered is read, searched and judged
//! like any other file.

mod confine;
mod kustomize;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

pub use trace::trace;

use confine::Confined;
use kustomize::Folders;

/// The name, in its folder, of what was rendered.
const RENDERED: &str = "rendered.yaml";

/// Files, with what was rendered in the place of what it was rendered from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    /// The files, sorted as they were.
    pub files: Vec<File>,
    /// By the path of a rendered file, what it was rendered from.
    pub sources: BTreeMap<Arc<str>, Vec<File>>,
    /// What could not be rendered; its files are left out.
    pub problems: Vec<Problem>,
}

/// Builds every folder with a kustomization that no other one uses. Files of other folders pass as they are.
#[must_use]
pub fn render(files: Vec<File>) -> Rendered {
    let folders = Folders::of(&files);
    if folders.is_empty() {
        return Rendered { files, ..Rendered::default() };
    }
    let (inside, outside): (Vec<File>, Vec<File>) = files.into_iter().partition(|file| folders.hold(&file.path));
    let mut rendered = Rendered { files: outside, ..Rendered::default() };
    match build_all(&folders, &inside) {
        Ok(built) => {
            for (folder, outcome) in built {
                match outcome {
                    Ok(bytes) => {
                        let path: Arc<str> = below(&folder, RENDERED).into();
                        rendered.sources.insert(Arc::clone(&path), folders.sources(&folder, &inside));
                        rendered.files.push(File { path, bytes: bytes.into() });
                    }
                    Err(problem) => rendered.problems.push(problem),
                }
            }
        }
        Err(problems) => rendered.problems.extend(problems),
    }
    rendered.files.sort_by(|one, other| one.path.cmp(&other.path));
    rendered
}

type Built = Vec<(String, Result<Vec<u8>, Problem>)>;

fn build_all(folders: &Folders, inside: &[File]) -> Result<Built, Vec<Problem>> {
    let odd = folders.refused(inside);
    if !odd.is_empty() {
        return Err(odd);
    }
    let confined = Confined::new(inside).map_err(|problem| vec![problem])?;
    let build = |folder: String| {
        let outcome = confined.build(&folder).map_err(|problem| problem.in_file(folders.file_of(&folder)));
        (folder, outcome)
    };
    let roots: BTreeSet<String> = folders.roots();
    if roots.is_empty() {
        let problem =
            Problem::new(ErrorCode::UnsupportedFile, "every kustomization here is used by another one, in a circle");
        return Err(vec![problem.with_help("let one of them use no other")]);
    }
    Ok(roots.into_iter().map(build).collect())
}

/// A path in a folder; the top folder is `""`.
fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
