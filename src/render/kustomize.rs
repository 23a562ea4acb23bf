//! What a kustomization may name, and how it is built.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::confine::Confined;
use super::folders::Folders;
use super::program::Told;
use super::{folder_of, resolved};
use crate::manifest::tree::Value;
use crate::manifest::{Limits, Node, read};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

/// How a kustomization is called.
pub(super) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Lists of files and folders, each of which must be in the same path.
const LOCAL: [&str; 3] = ["resources", "bases", "components"];

/// What runs other programs or fetches from elsewhere.
const REFUSED: [&str; 4] = ["helmCharts", "helmChartInflationGenerator", "helmGlobals", "plugins"];

/// What the renderer is told to build a folder.
pub(super) fn arguments(confined: &Confined, folder: &str) -> Result<Vec<OsString>, Problem> {
    let (program, first) = confined.programs().kustomize()?;
    Ok(vec![program.into(), first.into(), confined.place(folder)?.into()])
}

/// Builds.
pub(super) fn run(confined: &Confined, arguments: &[OsString]) -> Result<Vec<u8>, Problem> {
    confined.run(arguments).map_err(|told| match told {
        Told::Limit(message) => Problem::new(ErrorCode::LimitExceeded, message),
        Told::Failed(what) => {
            Problem::new(ErrorCode::UnsupportedFile, format!("failed to build the folder with kustomize: {what}"))
                .with_help("see that `kustomize build` works on the files of this path alone, without plugins")
        }
    })
}

/// Every file and folder that a kustomization names as something to build on.
pub(super) fn named(file: &File) -> Vec<String> {
    // A file that cannot be read is a problem of its own, and is told by `refused`.
    let documents = read(file, &Limits::default()).unwrap_or_default();
    let lists = documents.iter().flat_map(|document| LOCAL.iter().filter_map(|list| document.root.get(list)));
    let items = lists.flat_map(|list| list.items().unwrap_or_default());
    items.filter_map(|item| resolved(folder_of(&file.path), item.as_str()?)).collect()
}

/// Whatever a kustomization names that is not among these files, or that runs a program.
pub(super) fn refused(file: &File, folders: &Folders, there: &BTreeSet<&str>) -> Vec<Problem> {
    let documents = match read(file, &Limits::default()) {
        Ok(documents) => documents,
        Err(problems) => return problems,
    };
    let mut problems = Vec::new();
    for document in &documents {
        check(file, &document.root, &mut problems, &|path| there.contains(path) || folders.has_kustomization(path));
    }
    problems
}

fn check(file: &File, root: &Node, problems: &mut Vec<Problem>, is_there: &dyn Fn(&str) -> bool) {
    let refuse = |node: &Node, message: String, help: &str| {
        let problem = Problem::new(ErrorCode::UnsupportedFile, message);
        problem.in_file(file.path.as_ref()).at(node.place).with_help(help)
    };
    for (key, node) in root.entries().unwrap_or_default() {
        if REFUSED.contains(&key.text.as_str()) {
            let message = format!("`{}` runs another program, which is not done here", key.text);
            problems.push(refuse(
                node,
                message,
                "render the chart into plain manifests, or give it a folder of its own",
            ));
        }
        if !LOCAL.contains(&key.text.as_str()) {
            continue;
        }
        for item in node.items().unwrap_or_default() {
            let path = item.as_str().and_then(|text| resolved(folder_of(&file.path), text));
            if !path.is_some_and(|path| is_there(&path)) {
                let message =
                    format!("`{}` is no file and no kustomization in this path", item.as_str().unwrap_or("(no text)"));
                problems.push(refuse(item, message, "copy it into the repository: nothing is fetched from elsewhere"));
            }
        }
    }
    remote(root, &mut |node, text| {
        let message = format!("`{text}` would be fetched from elsewhere");
        problems.push(refuse(node, message, "copy it into the repository"));
    });
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
    use crate::render::Plan;
    use crate::snapshot::Renderer;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), bytes: text.as_bytes().to_vec().into() }
    }

    fn folders(files: &[File]) -> Folders {
        Folders::of(files, &Plan::default()).unwrap()
    }

    #[test]
    fn only_what_no_other_uses_is_built() {
        let files = [
            file("a/base/kustomization.yaml", "resources: [web.yaml]"),
            file("a/base/web.yaml", ""),
            file("a/prod/kustomization.yaml", "resources: [../base]"),
            file("b/plain.yaml", ""),
            file("c/Chart.yaml", "name: c"),
            file("c/charts/d/Chart.yaml", "name: d"),
            file("c/deep/Chart.yaml", "name: e"),
        ];
        let folders = folders(&files);
        let (kustomize, helm) = (Renderer::Kustomize, Renderer::Helm);
        assert_eq!(folders.roots(), [("a/prod", kustomize), ("c", helm), ("c/deep", helm)]);
        let inside: Vec<bool> = files.iter().map(|file| folders.hold(&file.path)).collect();
        assert_eq!(inside, [true, true, true, false, true, true, true]);
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
            assert_eq!(folders(&files).refused(&files).len(), count, "{text}");
        }
    }

    #[test]
    fn a_folder_that_two_could_build_needs_a_word() {
        let files = [file("a/kustomization.yaml", ""), file("a/Chart.yaml", "name: a")];
        assert_eq!(Folders::of(&files, &Plan::default()).unwrap_err().len(), 1);
        for renderer in [Renderer::Kustomize, Renderer::Helm] {
            let plan = Plan { renderer: Some(renderer), ..Plan::default() };
            assert_eq!(Folders::of(&files, &plan).unwrap().roots(), [("a", renderer)]);
        }
        let twice = [file("a/kustomization.yaml", ""), file("a/Kustomization", "")];
        assert_eq!(Folders::of(&twice, &Plan::default()).unwrap_err().len(), 1);
    }
}
