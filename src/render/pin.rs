//! A kustomization whose images are pinned, proven by building it again: the same folder must render as the manifests
//! that were verified and pinned, or nothing is changed.

use bytes::Bytes;

use super::confine::Confined;
use super::images::{ImagePin, Way, pinned};
use super::{Built, Plan, kustomize};
use crate::manifest::{Document, Limits, read};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

/// The kustomization's new bytes, with which its folder renders as `wanted`.
///
/// # Errors
/// When no entries of `images` lead there.
pub fn pin(built: &Built, pins: &[ImagePin], wanted: &File, plan: &Plan) -> Result<Bytes, Problem> {
    let named = |problem: Problem| problem.in_file(built.file.as_ref());
    let file = built.files.iter().find(|file| file.path == built.file);
    let file = file.ok_or_else(|| named(fails("its kustomization is gone")))?;
    let first = |problems: Vec<Problem>| problems.into_iter().next().unwrap_or_else(|| fails("it cannot be read"));
    let text = std::str::from_utf8(&file.bytes).map_err(|_| named(fails("it is no UTF-8")))?;
    let documents = read(file, &Limits::default()).map_err(first)?;
    let [document] = documents.as_slice() else { return Err(named(fails("it has more than one document"))) };
    if text.starts_with('\u{feff}') {
        return Err(named(fails("it begins with a byte order mark")));
    }
    let expected = read(wanted, &Limits::default()).map_err(first)?;
    let mut problem = fails("there is nothing to pin");
    for way in [Way::Existing, Way::Appended] {
        let new = pinned(text, &document.root, pins, way).map_err(|why| named(fails(why)))?;
        let new = File { path: file.path.clone(), bytes: new.into() };
        match proven(built, &new, &expected, plan) {
            Ok(()) => return Ok(new.bytes),
            Err(why) => problem = why,
        }
    }
    Err(named(problem))
}

/// Whether the folder renders as expected with this kustomization in it.
fn proven(built: &Built, new: &File, expected: &[Document], plan: &Plan) -> Result<(), Problem> {
    let folder = super::folder_of(&built.file);
    let files: Vec<File> =
        built.files.iter().map(|file| if file.path == new.path { new } else { file }).cloned().collect();
    let confined = Confined::new(&files, plan)?;
    let bytes = kustomize::run(&confined, &kustomize::arguments(&confined, folder)?)?;
    let rendered = File { path: super::below(folder, super::RENDERED).into(), bytes: bytes.into() };
    let rendered = read(&rendered, &Limits::default())
        .map_err(|problems| problems.into_iter().next().unwrap_or_else(|| fails("the result cannot be read")))?;
    let same = |(one, other): (&Document, &Document)| one.root.to_json() == other.root.to_json();
    let odd = rendered.iter().zip(expected).find(|pair| !same(*pair)).map(|(found, _)| name(found));
    match odd {
        None if rendered.len() == expected.len() => Ok(()),
        None => Err(fails("with the digests in its `images` it renders other objects")),
        Some(object) => Err(fails(&format!("kustomize's `images` cannot pin all of {object} to what was verified"))),
    }
}

fn name(document: &Document) -> String {
    let text = |keys: &[&str]| {
        let node = keys.iter().try_fold(&document.root, |node, key| node.get(key));
        node.and_then(|node| node.as_str()).unwrap_or("(unnamed)").to_owned()
    };
    format!("{} {}", text(&["kind"]), text(&["metadata", "name"]))
}

fn fails(why: &str) -> Problem {
    Problem::new(ErrorCode::UnsupportedFile, format!("failed to pin in the kustomization: {why}")).with_help(
        "its `images` reach containers and image volumes, one tag a name; write the digest of any other image into the \
         resource, or print what is rendered and pinned, without --write",
    )
}
