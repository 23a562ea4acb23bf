//! Where, in the files from which something was rendered, a reference was written; where that cannot be known, the
//! rendered object is all that is told.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Built, Sources, below};
use crate::discovery::site::{Origin, Site};
use crate::image::ImageRef;
use crate::manifest::tree::Value;
use crate::manifest::{Limits, Node, read};
use crate::reason::Place;
use crate::snapshot::File;

/// How Helm says which template wrote what follows.
const SOURCE: &str = "# Source: ";

/// Says of each site in a rendered file where its text stands in the sources, if it stands there exactly once: the whole
/// reference, else the part of it before the tag; else, where the renderer says which template wrote it, the template.
pub fn trace(sites: &mut [Site], sources: &Sources) {
    let mut known: HashMap<Arc<str>, HashMap<String, Option<Origin>>> = HashMap::new();
    for site in sites {
        let Some(built) = sources.get(&site.file) else { continue };
        let texts = known.entry(Arc::clone(&site.file)).or_insert_with(|| texts(&built.files));
        let unique = |text: &str| texts.get(text).cloned().flatten();
        let before_tag = || site.image.as_ref().ok().and_then(|image| unique(without_tag(&site.written, image)));
        site.origin = unique(&site.written).or_else(before_tag).or_else(|| template(built, site.place));
    }
}

/// The lines of a rendered text from which on another template speaks.
pub(super) fn templates(folder: &str, rendered: &[u8]) -> Vec<(usize, Arc<str>)> {
    let text = String::from_utf8_lossy(rendered);
    let told = text.lines().enumerate().filter_map(|(number, line)| Some((number, line.strip_prefix(SOURCE)?)));
    // The first part of a template's name is the chart's.
    let paths = told.filter_map(|(number, name)| Some((number.saturating_add(1), name.trim().split_once('/')?.1)));
    paths.map(|(line, path)| (line, below(folder, path).into())).collect()
}

/// The template that wrote a line; where it speaks of an image once, there.
fn template(built: &Built, place: Place) -> Option<Origin> {
    let (_, path) = built.templates.iter().take_while(|(line, _)| *line <= place.line).last()?;
    let file = built.files.iter().find(|file| file.path == *path)?;
    let text = String::from_utf8_lossy(&file.bytes);
    let mut named = text.lines().enumerate().filter_map(|(number, line)| Some((number, line.find("image:")?)));
    let place = match (named.next(), named.next()) {
        (Some((number, column)), None) => Place { line: number.saturating_add(1), column: column.saturating_add(1) },
        (Some(_), Some(_)) | (None, _) => Place { line: 1, column: 1 },
    };
    Some(Origin { file: Arc::clone(path), place })
}

/// The reference as written, up to its tag or digest.
#[must_use]
pub fn without_tag<'w>(written: &'w str, image: &ImageRef) -> &'w str {
    let name = written.split('@').next().unwrap_or(written);
    let tag = image.tag().map(|tag| format!(":{}", tag.as_str()));
    tag.and_then(|tag| name.strip_suffix(tag.as_str())).unwrap_or(name)
}

/// Every string, with its place where there is only one.
fn texts(files: &[File]) -> HashMap<String, Option<Origin>> {
    let mut found = HashMap::new();
    for file in files {
        // What cannot be read here was refused by the renderer, or is no YAML: a template, a text.
        for document in read(file, &Limits::default()).unwrap_or_default() {
            collect(&file.path, &document.root, &mut found);
        }
    }
    found
}

fn collect(file: &Arc<str>, node: &Node, found: &mut HashMap<String, Option<Origin>>) {
    match &node.value {
        Value::Scalar(_) => {
            if let Some(text) = node.as_str() {
                let origin = Origin { file: Arc::clone(file), place: node.place };
                let only = |kept: &mut Option<Origin>| {
                    if kept.as_ref().is_some_and(|kept| kept != &origin) {
                        *kept = None;
                    }
                };
                found.entry(text.to_owned()).and_modify(only).or_insert_with(|| Some(origin.clone()));
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect(file, item, found)),
        Value::Mapping(entries) => entries.iter().for_each(|(_, child)| collect(file, child, found)),
    }
}
