//! The pinned rendering of a file: scalars get new values, every other byte stays. The result is read again and must be
//! the old tree but for those scalars; anything else is an error, never a result.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;

use super::parse::{Limits, read, read_text};
use super::rewrite::{self, Change};
use super::tree::{Document, Node, Rules, Scalar, Typed, Value};
use crate::discovery::site::{Site, Step};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

/// A new value for the scalar at a site.
#[derive(Debug, Clone)]
pub struct Edit<'a> {
    /// The site.
    pub site: &'a Site,
    /// The scalar's new value.
    pub text: String,
}

/// A file whose scalars were replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Pinned {
    /// The file's new bytes.
    pub bytes: Bytes,
    /// The documents, as read from the new bytes.
    pub documents: Vec<Document>,
}

/// The file's bytes with these scalars replaced and nothing else.
///
/// # Errors
/// When a scalar cannot be written anew, two edits of one scalar disagree, or the result does not read as it must.
pub fn pin(file: &File, documents: &[Document], edits: &[Edit<'_>], limits: &Limits) -> Result<Pinned, Problem> {
    let named = |problem: Problem| problem.in_file(file.path.as_ref());
    let wanted = Wanted::of(documents, edits, limits).map_err(named)?;
    if wanted.changes.is_empty() {
        return Ok(Pinned { bytes: file.bytes.clone(), documents: documents.to_vec() });
    }
    let text = std::str::from_utf8(&file.bytes)
        .map_err(|_| named(Problem::new(ErrorCode::YamlInvalid, "the file is not UTF-8")))?;
    let bytes = Bytes::from(wanted.written(text).map_err(named)?);
    let pinned = File { path: file.path.clone(), bytes: bytes.clone() };
    let failed = |problems: Vec<Problem>| {
        let reason = problems.first().map_or_else(String::new, |problem| format!(": {}", problem.message));
        named(Problem::new(ErrorCode::YamlInvalid, format!("failed to pin: the result cannot be read{reason}")))
    };
    let read_again = read(&pinned, limits).map_err(failed)?;
    wanted.proven(documents, &read_again).map_err(named)?;
    Ok(Pinned { bytes, documents: read_again })
}

/// What is to change: by node, since an anchored scalar stands for several nodes.
struct Wanted<'d> {
    /// The new text of each node, by the node's address.
    changes: HashMap<*const Node, String>,
    /// The new text of each scalar, by where it begins in the file.
    scalars: BTreeMap<usize, (&'d Node, String)>,
}

impl<'d> Wanted<'d> {
    fn of(documents: &'d [Document], edits: &[Edit<'_>], limits: &Limits) -> Result<Self, Problem> {
        let mut wanted = Self { changes: HashMap::new(), scalars: BTreeMap::new() };
        let mut inside: BTreeMap<(usize, &[Step]), Vec<Inner<'_>>> = BTreeMap::new();
        for edit in edits {
            let (outer, inner) = split(&edit.site.route);
            match inner {
                None => wanted.want(find(documents, edit.site, outer)?, edit.text.clone(), edit.site)?,
                Some(inner) => inside.entry((edit.site.document, outer)).or_default().push(Inner { edit, inner }),
            }
        }
        for ((_, outer), inners) in inside {
            let Some(Inner { edit, .. }) = inners.first() else { continue };
            let node = find(documents, edit.site, outer)?;
            let text = node.as_str().ok_or_else(|| unfit(edit.site, "there is no text at this place"))?;
            wanted.want(node, within(text, &inners, limits)?, edit.site)?;
        }
        Ok(wanted)
    }

    fn want(&mut self, node: &'d Node, text: String, site: &Site) -> Result<(), Problem> {
        let Some(old) = node.as_str() else { return Err(unfit(site, "there is no text at this place")) };
        if let Some((_, other)) = self.scalars.get(&node.span.start)
            && *other != text
        {
            return Err(unfit(site, "two fields share this scalar and need different pins"));
        }
        if old != text {
            self.changes.insert(std::ptr::from_ref(node), text.clone());
        }
        self.scalars.insert(node.span.start, (node, text));
        Ok(())
    }

    fn written(&self, text: &str) -> Result<String, Problem> {
        let mut result = String::with_capacity(text.len().saturating_add(self.scalars.len().saturating_mul(80)));
        let mut from = 0;
        for (node, new) in self.scalars.values() {
            let fail = |message: &str| Problem::new(ErrorCode::YamlInvalid, message).at(node.place);
            let (Some(style), Some(old)) = (style(node), node.as_str()) else {
                return Err(fail("failed to pin: there is no text at this place"));
            };
            if old == new {
                continue;
            }
            let Range { start, end } = node.span;
            let (Some(before), Some(raw)) = (text.get(from..start), text.get(start..end)) else {
                return Err(fail("failed to pin: the scalar's bytes overlap another's"));
            };
            let Some(replaced) = rewrite::scalar(raw, style, Change { old, new }) else {
                let problem = fail("failed to pin: the value cannot be written without changing more than its bytes");
                return Err(problem.with_help("write the reference on one line, without a tag such as `!!binary`"));
            };
            result.push_str(before);
            result.push_str(&replaced);
            from = end;
        }
        result.push_str(text.get(from..).unwrap_or_default());
        Ok(result)
    }

    /// Proves that the documents read again are the old ones but for the changes, and that every change is among them.
    fn proven(&self, old: &[Document], new: &[Document]) -> Result<(), Problem> {
        if old.len() != new.len() {
            return Err(Problem::new(
                ErrorCode::YamlInvalid,
                "failed to pin: the result has another number of documents",
            ));
        }
        let mut changed: usize = 0;
        for (old, new) in old.iter().zip(new) {
            if old.index != new.index {
                return Err(differs(&old.root));
            }
            changed = changed.saturating_add(self.changed(&old.root, &new.root)?);
        }
        if changed == self.changes.len() {
            return Ok(());
        }
        Err(Problem::new(ErrorCode::YamlInvalid, "failed to pin: the result does not hold every change"))
    }

    /// How many scalars have changed to what was wanted of them; an error where anything else differs.
    fn changed(&self, old: &Node, new: &Node) -> Result<usize, Problem> {
        match (&old.value, &new.value) {
            (Value::Scalar(before), Value::Scalar(after)) => self.changed_scalar(old, before, after),
            (Value::Sequence(before), Value::Sequence(after)) if before.len() == after.len() => before
                .iter()
                .zip(after)
                .try_fold(0, |sum: usize, (before, after)| Ok(sum.saturating_add(self.changed(before, after)?))),
            (Value::Mapping(before), Value::Mapping(after)) if before.len() == after.len() => {
                before.iter().zip(after).try_fold(0, |sum: usize, ((key, before), (after_key, after))| {
                    if key.text != after_key.text {
                        return Err(differs(before));
                    }
                    Ok(sum.saturating_add(self.changed(before, after)?))
                })
            }
            (Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_), _) => Err(differs(old)),
        }
    }

    /// A wanted text is never the old one, so what is as before was not to change: the counts tell.
    fn changed_scalar(&self, old: &Node, before: &Scalar, after: &Scalar) -> Result<usize, Problem> {
        if before == after {
            return Ok(0);
        }
        let wanted = self.changes.get(&std::ptr::from_ref(old));
        match (wanted, &after.typed) {
            (Some(wanted), Typed::String(text)) if wanted == text && before.style == after.style => Ok(1),
            (Some(_) | None, _) => Err(differs(old)),
        }
    }
}

/// An edit behind the border of a string.
struct Inner<'e> {
    edit: &'e Edit<'e>,
    inner: Inside<'e>,
}

/// What of a route lies inside a string.
#[derive(Clone, Copy)]
struct Inside<'r> {
    rules: Rules,
    document: usize,
    route: &'r [Step],
}

/// The text in a string with these edits made in it.
fn within(text: &str, inners: &[Inner<'_>], limits: &Limits) -> Result<String, Problem> {
    let Some(Inner { edit: first, inner: Inside { rules, .. } }) = inners.first() else { return Ok(text.to_owned()) };
    let path = match rules {
        Rules::Yaml => "text.yaml",
        Rules::Json => "text.json",
    };
    let documents = read_text(&path.into(), text, *rules, limits)
        .map_err(|_| unfit(first.site, "the text in this string cannot be read"))?;
    let sites: Vec<(Site, &str)> = inners
        .iter()
        .map(|Inner { edit, inner: Inside { rules: _, document, route } }| {
            let site = Site { document: *document, route: route.to_vec(), ..edit.site.clone() };
            (site, edit.text.as_str())
        })
        .collect();
    let edits: Vec<Edit<'_>> = sites.iter().map(|(site, text)| Edit { site, text: (*text).to_owned() }).collect();
    let file = File { path: path.into(), bytes: Bytes::copy_from_slice(text.as_bytes()) };
    let pinned = pin(&file, &documents, &edits, limits).map_err(|problem| unfit(first.site, &problem.message))?;
    String::from_utf8(pinned.bytes.to_vec()).map_err(|_| unfit(first.site, "the result is not UTF-8"))
}

/// The steps up to a string, and those inside it.
fn split(route: &[Step]) -> (&[Step], Option<Inside<'_>>) {
    let border = route.iter().enumerate().find_map(|(at, step)| match step {
        Step::Inside(rules, document) => Some((at, *rules, *document)),
        Step::Key(_) | Step::Index(_) => None,
    });
    match border {
        Some((at, rules, document)) => {
            let (outer, rest) = route.split_at(at);
            (outer, Some(Inside { rules, document, route: rest.get(1..).unwrap_or_default() }))
        }
        None => (route, None),
    }
}

fn find<'d>(documents: &'d [Document], site: &Site, route: &[Step]) -> Result<&'d Node, Problem> {
    let root = documents
        .binary_search_by_key(&site.document, |document| document.index)
        .ok()
        .and_then(|at| documents.get(at))
        .map(|document| &document.root);
    root.and_then(|root| root.at(route)).ok_or_else(|| unfit(site, "there is no such field in the document"))
}

fn style(node: &Node) -> Option<super::tree::Style> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar.style),
        Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

fn unfit(site: &Site, message: &str) -> Problem {
    Problem::new(ErrorCode::YamlInvalid, format!("failed to pin `{}`: {message}", site.path))
        .at(site.place)
        .with_help("set the field's `action: verify` in `discovery.fields` and write the digest yourself")
}

fn differs(node: &Node) -> Problem {
    Problem::new(ErrorCode::YamlInvalid, "failed to pin: the result reads differently at this place")
        .at(node.place)
        .with_help("an image's scalar may be anchored only for other images")
}

#[cfg(test)]
mod tests;
