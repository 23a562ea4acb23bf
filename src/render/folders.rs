//! Which folders are built with what, and which of them are parts of others. It runs nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Extent, Plan, is_same};
use super::{folder_of, helm, kustomize, shown};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::{File, Renderer};

/// Every folder that is to be built, by its path (the top is `""`).
#[derive(Debug, Default)]
pub(super) struct Folders {
    folders: BTreeMap<String, Folder>,
    /// Which other kustomizations a kustomization names.
    uses: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
struct Folder {
    renderer: Renderer,
    /// The file that says so.
    file: String,
}

impl Folders {
    /// The folders among these files.
    ///
    /// # Errors
    /// Where two renderers could build a folder and nobody says which one, and where the plan names what is not there.
    pub(super) fn of(files: &[File], plan: &Plan) -> Result<Self, Vec<Problem>> {
        let mut this = Self::default();
        let mut problems = Vec::new();
        for (folder, found) in found(files) {
            match choose(&folder, &found, plan) {
                Ok(chosen) => {
                    this.folders.insert(folder, chosen);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if plan.extent == Extent::Whole {
            let missing =
                plan.folders.iter().filter(|plan| !this.folders.keys().any(|folder| is_same(folder, &plan.path)));
            problems.extend(missing.map(|plan| not_there(&plan.path)));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let kustomizations = files.iter().filter(|file| this.is(Renderer::Kustomize, &file.path));
        this.uses = kustomizations.map(|file| (folder_of(&file.path).to_owned(), this.named_by(file))).collect();
        Ok(this)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// Whether a file stands in or below such a folder.
    pub(super) fn hold(&self, path: &str) -> bool {
        self.holder(path).is_some()
    }

    /// Whether there is a kustomization in this folder.
    pub(super) fn has_kustomization(&self, folder: &str) -> bool {
        self.folders.get(folder).is_some_and(|found| found.renderer == Renderer::Kustomize)
    }

    /// The charts.
    pub(super) fn charts(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().filter(|(_, folder)| folder.renderer == Renderer::Helm).map(|(path, _)| path.as_str())
    }

    /// The nearest such folder above a file.
    fn holder<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut folder = folder_of(path);
        loop {
            if self.folders.contains_key(folder) {
                return Some(folder);
            }
            if folder.is_empty() {
                return None;
            }
            folder = folder_of(folder);
        }
    }

    /// The files of a kustomization's folder and of all folders that it uses.
    pub(super) fn sources(&self, folder: &str, files: &[File]) -> Vec<File> {
        let mut reached = BTreeSet::from([folder]);
        let mut open = vec![folder];
        while let Some(next) = open.pop() {
            for used in self.uses.get(next).into_iter().flatten() {
                if reached.insert(used) {
                    open.push(used);
                }
            }
        }
        let mine = |file: &&File| self.holder(&file.path).is_some_and(|holder| reached.contains(holder));
        files.iter().filter(mine).cloned().collect()
    }

    /// What is to be built: the kustomizations that no other one uses, and the charts that are no part of another one.
    pub(super) fn roots(&self) -> Vec<(&str, Renderer)> {
        let used: BTreeSet<&String> = self.uses.values().flatten().collect();
        let root = |(folder, found): &(&String, &Folder)| match found.renderer {
            Renderer::Kustomize => !used.contains(folder),
            Renderer::Helm => !self.is_part_of_chart(folder),
        };
        self.folders.iter().filter(root).map(|(folder, found)| (folder.as_str(), found.renderer)).collect()
    }

    /// The file that says that a folder is to be built.
    pub(super) fn file_of(&self, folder: &str) -> &str {
        self.folders.get(folder).map_or("", |found| &found.file)
    }

    /// Whatever in these folders names something that is not among the files, or runs a program.
    pub(super) fn refused(&self, files: &[File]) -> Vec<Problem> {
        let there: BTreeSet<&str> = files.iter().map(|file| file.path.as_ref()).collect();
        let kustomizations = files.iter().filter(|file| self.is(Renderer::Kustomize, &file.path));
        let mut problems: Vec<Problem> =
            kustomizations.flat_map(|file| kustomize::refused(file, self, &there)).collect();
        let charts = self.roots().into_iter().filter(|(_, renderer)| *renderer == Renderer::Helm);
        problems.extend(charts.flat_map(|(folder, _)| helm::refused(folder, files)));
        problems
    }

    /// Whether this is the file that says that its folder is built so.
    fn is(&self, renderer: Renderer, path: &str) -> bool {
        self.folders.get(folder_of(path)).is_some_and(|found| found.renderer == renderer && found.file == path)
    }

    fn named_by(&self, file: &File) -> Vec<String> {
        kustomize::named(file).into_iter().filter(|path| self.has_kustomization(path)).collect()
    }

    /// `…/charts/NAME` below a chart.
    fn is_part_of_chart(&self, folder: &str) -> bool {
        let charts = folder_of(folder);
        let parent = charts
            .strip_suffix("charts")
            .and_then(|above| if above.is_empty() { Some("") } else { above.strip_suffix('/') });
        parent.is_some_and(|parent| self.folders.get(parent).is_some_and(|found| found.renderer == Renderer::Helm))
    }
}

/// The files that say how a folder is built, by folder.
fn found(files: &[File]) -> BTreeMap<String, Vec<Folder>> {
    let mut found = BTreeMap::<String, Vec<Folder>>::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let renderer = match name {
            "Chart.yaml" => Renderer::Helm,
            name if kustomize::NAMES.contains(&name) => Renderer::Kustomize,
            _ => continue,
        };
        let list = found.entry(folder_of(&file.path).to_owned()).or_default();
        list.push(Folder { renderer, file: file.path.to_string() });
    }
    found
}

fn choose(folder: &str, found: &[Folder], plan: &Plan) -> Result<Folder, Problem> {
    let said = plan.of_folder(folder).and_then(|plan| plan.renderer);
    let several = found.iter().any(|one| found.iter().any(|other| one.renderer != other.renderer));
    let wanted = said.or(plan.renderer.filter(|_| several));
    let refuse = |message: String, help: &str| {
        let file = found.first().map(|first| first.file.clone()).unwrap_or_default();
        Err(Problem::new(ErrorCode::UnsupportedFile, message).in_file(file).with_help(help))
    };
    let fits = |one: &&Folder| wanted.is_none_or(|wanted| wanted == one.renderer);
    let fitting: Vec<&Folder> = found.iter().filter(fits).collect();
    match fitting.as_slice() {
        [Folder { renderer, file }] => Ok(Folder { renderer: *renderer, file: file.clone() }),
        [] => refuse(
            format!("the folder `{}` is to be built with {}, and has no file for it", shown(folder), name(wanted)),
            "name the renderer that the folder is made for, or none",
        ),
        [_, _, ..] if several && wanted.is_none() => refuse(
            format!("the folder `{}` could be built with kustomize and with helm", shown(folder)),
            "say which one: `--renderer helm`, or `renderer: helm` for the folder under the gate's `render`",
        ),
        [_, _, ..] => refuse(
            format!("the folder `{}` has more than one kustomization", shown(folder)),
            "keep one of them: kustomize refuses the folder too",
        ),
    }
}

fn name(renderer: Option<Renderer>) -> &'static str {
    renderer.map_or("a renderer", Renderer::name)
}

fn not_there(path: &str) -> Problem {
    let message = format!("`render` tells something about the folder `{path}`, in which there is nothing to build");
    Problem::new(ErrorCode::ConfigInvalid, message)
        .with_help("write the folder's path in the repository, with its `Chart.yaml` or kustomization in it")
}
