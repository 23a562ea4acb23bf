//! Which folders are built with kustomize, which of them are used by others, and what they may name. It runs nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::below;
use crate::manifest::tree::Value;
use crate::manifest::{Limits, Node, read};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

/// How a kustomization is called.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Lists of files and folders, each of which must be in the same path.
const LOCAL: [&str; 3] = ["resources", "bases", "components"];

/// What runs other programs or fetches from elsewhere.
const REFUSED: [&str; 4] = ["helmCharts", "helmChartInflationGenerator", "helmGlobals", "plugins"];

/// Every folder with a kustomization, by its path (the top is `""`), and the path of the kustomization.
#[derive(Debug, Default)]
pub(super) struct Folders {
    folders: BTreeMap<String, String>,
    /// Which other folders a folder names.
    uses: BTreeMap<String, Vec<String>>,
}

impl Folders {
    /// The folders among these files.
    pub(super) fn of(files: &[File]) -> Self {
        let mut this = Self::default();
        for file in files {
            let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            if NAMES.contains(&name) {
                this.folders.insert(folder.to_owned(), file.path.to_string());
            }
        }
        let named = files.iter().filter(|file| this.is_kustomization(file));
        this.uses = named.map(|file| (folder_of(&file.path).to_owned(), this.folders_named(file))).collect();
        this
    }

    pub(super) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// Whether a file stands in or below such a folder.
    pub(super) fn hold(&self, path: &str) -> bool {
        self.holder(path).is_some()
    }

    /// The nearest such folder above a file.
    fn holder<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut folder = folder_of(path);
        loop {
            if self.folders.contains_key(folder) {
                return Some(folder);
            }
            folder = match folder.rsplit_once('/') {
                Some((above, _)) => above,
                None if folder.is_empty() => return None,
                None => "",
            };
        }
    }

    /// The files of a folder and of all folders that it uses.
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

    /// The folders that no other one uses: what is to be built.
    pub(super) fn roots(&self) -> BTreeSet<String> {
        let used: BTreeSet<&String> = self.uses.values().flatten().collect();
        self.folders.keys().filter(|folder| !used.contains(folder)).cloned().collect()
    }

    /// The kustomization of a folder.
    pub(super) fn file_of(&self, folder: &str) -> String {
        self.folders.get(folder).cloned().unwrap_or_default()
    }

    /// Whatever in a kustomization names something that is not among these files, or runs a program.
    pub(super) fn refused(&self, files: &[File]) -> Vec<Problem> {
        let there: BTreeSet<&str> = files.iter().map(|file| file.path.as_ref()).collect();
        let mut problems = Vec::new();
        for file in files.iter().filter(|file| self.is_kustomization(file)) {
            match read(file, &Limits::default()) {
                Ok(documents) => {
                    for document in &documents {
                        self.check(file, &document.root, &there, &mut problems);
                    }
                }
                Err(found) => problems.extend(found),
            }
        }
        problems
    }

    fn check(&self, file: &File, root: &Node, there: &BTreeSet<&str>, problems: &mut Vec<Problem>) {
        let refuse = |node: &Node, message: String, help: &str| {
            let problem = Problem::new(ErrorCode::UnsupportedFile, message);
            problem.in_file(file.path.as_ref()).at(node.place).with_help(help)
        };
        for (key, node) in root.entries().unwrap_or_default() {
            if REFUSED.contains(&key.text.as_str()) {
                let message = format!("`{}` runs another program, which is not done here", key.text);
                problems.push(refuse(node, message, "render the chart into plain manifests"));
            }
            if LOCAL.contains(&key.text.as_str()) {
                for item in node.items().unwrap_or_default() {
                    let known = item.as_str().and_then(|text| resolved(folder_of(&file.path), text));
                    let known =
                        known.is_some_and(|path| there.contains(path.as_str()) || self.folders.contains_key(&path));
                    if !known {
                        let named = item.as_str().unwrap_or("(no text)");
                        let message = format!("`{named}` is no file and no kustomization in this path");
                        problems.push(refuse(
                            item,
                            message,
                            "copy it into the repository: nothing is fetched from elsewhere",
                        ));
                    }
                }
            }
        }
        remote(root, &mut |node, text| {
            let message = format!("`{text}` would be fetched from elsewhere");
            problems.push(refuse(node, message, "copy it into the repository"));
        });
    }

    fn is_kustomization(&self, file: &File) -> bool {
        self.folders.values().any(|path| path.as_str() == file.path.as_ref())
    }

    fn folders_named(&self, file: &File) -> Vec<String> {
        // A file that cannot be read is a problem of its own, and is told by `refused`.
        let documents = read(file, &Limits::default()).unwrap_or_default();
        let lists = documents.iter().flat_map(|document| LOCAL.iter().filter_map(|list| document.root.get(list)));
        let items = lists.flat_map(|list| list.items().unwrap_or_default());
        let paths = items.filter_map(|item| resolved(folder_of(&file.path), item.as_str()?));
        paths.filter(|path| self.folders.contains_key(path)).collect()
    }
}

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

/// Every address where a kustomization could name a file.
fn remote<'d>(node: &'d Node, tell: &mut dyn FnMut(&'d Node, &'d str)) {
    match &node.value {
        Value::Scalar(_) => {
            if let Some(text) = node.as_str().filter(|text| !text.contains('\n') && text.contains("://")) {
                tell(node, text);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| remote(item, tell)),
        Value::Mapping(entries) => {
            // What is only copied into objects may hold any text.
            const COPIED: [&str; 5] = ["literals", "commonAnnotations", "annotations", "value", "options"];
            let named = entries.iter().filter(|(key, _)| !COPIED.contains(&key.text.as_str()));
            named.for_each(|(_, child)| remote(child, tell));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), bytes: text.as_bytes().to_vec().into() }
    }

    #[test]
    fn only_what_no_other_uses_is_built() {
        let files = [
            file("a/base/kustomization.yaml", "resources: [web.yaml]"),
            file("a/base/web.yaml", ""),
            file("a/prod/kustomization.yaml", "resources: [../base]"),
            file("b/plain.yaml", ""),
        ];
        let folders = Folders::of(&files);
        assert_eq!(folders.roots(), BTreeSet::from(["a/prod".to_owned()]));
        let held: Vec<bool> = files.iter().map(|file| folders.hold(&file.path)).collect();
        assert_eq!(held, [true, true, true, false]);
        assert!(folders.refused(&files).is_empty());
    }

    #[test]
    fn nothing_from_elsewhere_is_named() {
        let table = [
            ("resources: [https://example.com/x]", 2),
            ("resources: [github.com/a/b?ref=1]", 1),
            ("resources: [../../../etc]", 1),
            ("bases: [git@example.com:a/b]", 1),
            ("components: [/etc]", 1),
            ("helmCharts: [{name: x, repo: 'https://example.com'}]", 2),
            ("patches: [{path: 'https://example.com/p.yaml'}]", 1),
            ("openapi: {path: 'http://example.com/s.json'}", 1),
            ("commonAnnotations: {home: 'https://example.com'}", 0),
            ("a: !x y", 1),
        ];
        for (text, count) in table {
            let files = [file("a/kustomization.yaml", text)];
            assert_eq!(Folders::of(&files).refused(&files).len(), count, "{text}");
        }
    }
}
