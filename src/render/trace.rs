//! Where, in the files from which something was rendered, a reference was written; where that cannot be known, the
//! rendered object is all that is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::discovery::site::{Origin, Site};
use crate::manifest::tree::Value;
use crate::manifest::{Limits, Node, read};
use crate::snapshot::File;

/// Says of each site in a rendered file where its text stands in the sources, if it stands there exactly once.
pub fn trace(sites: &mut [Site], sources: &BTreeMap<Arc<str>, Vec<File>>) {
    let mut known: HashMap<Arc<str>, HashMap<String, Option<Origin>>> = HashMap::new();
    for site in sites {
        let Some(files) = sources.get(&site.file) else { continue };
        let texts = known.entry(Arc::clone(&site.file)).or_insert_with(|| texts(files));
        site.origin = texts.get(&site.written).cloned().flatten();
    }
}

/// Every string, with its place where there is only one.
fn texts(files: &[File]) -> HashMap<String, Option<Origin>> {
    let mut found = HashMap::new();
    for file in files {
        // What cannot be read here was refused by the renderer, or is no YAML that it uses.
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
