//! What looks like an image where no field is known: a value that reads as a reference, under a name that says image.
//! It claims nothing; it only says that somebody must decide.

use super::catalogue::Catalogue;
use super::pod::Crumb;
use crate::image::reference::ImageRef;
use crate::manifest::Node;

/// What may stand before a reference.
pub(super) const SCHEMES: [&str; 2] = ["docker://", "oci://"];

/// How much a name says image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// It is a name for a reference: any word that reads as one counts.
    Strong,
    /// It has `image` in it: only what has a slash, a tag or a digest counts.
    Weak,
}

/// Names that stand for the reference itself, as endings in lower case without `_` and `-`.
const STRONG: [&str; 9] = [
    "image",
    "images",
    "imagename",
    "imageref",
    "imagereference",
    "imagerepository",
    "imagerepo",
    "imageurl",
    "imageuri",
];

/// A reference that may be one: its prefix and the rest of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guess<'d> {
    pub(super) prefix: &'d str,
    pub(super) written: &'d str,
    /// The tag that stands beside it.
    pub(super) tag: Option<&'d str>,
}

/// A guess about the scalar at the end of this way; `parent` is the mapping or sequence in which it stands.
pub(super) fn guess<'d>(
    catalogue: &Catalogue,
    way: &[Crumb<'d>],
    parent: Option<&'d Node>,
    text: &'d str,
) -> Option<Guess<'d>> {
    // Nothing longer is a reference, and most long texts are looked at nowhere else.
    if text.len() > 1100 {
        return None;
    }
    by_name(catalogue, way, parent, text).or_else(|| by_digest(text))
}

/// What names a digest is an image under any name.
fn by_digest(text: &str) -> Option<Guess<'_>> {
    let after = text.rsplit_once("@sha256:")?;
    // What is no word of 64 digits is a pattern, or part of a longer text.
    if after.1.len() != 64 || text.contains(char::is_whitespace) {
        return None;
    }
    let value = match text.split_once('=') {
        Some((name, value)) if name.starts_with('-') => value,
        Some(_) | None => text,
    };
    let guess = reference(value, Hint::Weak)?;
    let prefix = text.get(..text.len().checked_sub(guess.written.len())?)?;
    Some(Guess { prefix, ..guess })
}

fn by_name<'d>(catalogue: &Catalogue, way: &[Crumb<'d>], parent: Option<&'d Node>, text: &'d str) -> Option<Guess<'d>> {
    match way {
        [.., Crumb::Key("labels" | "matchLabels" | "nodeSelector"), Crumb::Key(_)] => None,
        [.., Crumb::Key("args" | "command"), Crumb::Index(_)] => flag(catalogue, text),
        [.., Crumb::Key(outer), Crumb::Key(key)] | [.., Crumb::Key(outer), Crumb::Index(_), Crumb::Key(key)] => {
            let named = hint(catalogue, key)
                .or_else(|| within_image(catalogue, outer, key))
                .or_else(|| named_beside(catalogue, key, parent?))?;
            let beside = |key: &str| parent?.get(key)?.as_str().filter(|tag| !tag.is_empty());
            let tag =
                catalogue.parts.iter().any(|part| part == key).then(|| beside("tag").or_else(|| beside("newTag")));
            reference(text, named).map(|guess| Guess { tag: tag.flatten(), ..guess })
        }
        [.., Crumb::Key(key)] | [.., Crumb::Key(key), Crumb::Index(_)] => reference(text, hint(catalogue, key)?),
        _ => None,
    }
}

/// Whether a pair of keys never names an image.
pub(super) fn is_trap(catalogue: &Catalogue, way: &[Crumb<'_>]) -> bool {
    match way {
        [.., Crumb::Key(outer), Crumb::Key(key)] | [.., Crumb::Key(outer), Crumb::Index(_), Crumb::Key(key)] => {
            key.len() >= 5
                && catalogue.never.iter().any(|(trap, image)| image == key && (trap == outer || ends_with(outer, trap)))
        }
        _ => false,
    }
}

/// `*Statuses` stands for every key with that ending.
fn ends_with(key: &str, trap: &str) -> bool {
    trap.strip_prefix('*').is_some_and(|ending| key.ends_with(ending))
}

pub(super) fn hint(catalogue: &Catalogue, key: &str) -> Option<Hint> {
    if !key.as_bytes().windows(5).any(|window| window.eq_ignore_ascii_case(b"image")) {
        return None;
    }
    let lower: String = key.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect();
    if STRONG.iter().any(|ending| lower.ends_with(ending)) {
        return Some(Hint::Strong);
    }
    (!catalogue.is_quiet(&lower)).then_some(Hint::Weak)
}

/// A key inside a mapping that says image.
fn within_image(catalogue: &Catalogue, outer: &str, key: &str) -> Option<Hint> {
    let outer = hint(catalogue, outer)?;
    let part = catalogue.parts.iter().any(|part| part == key);
    if part { Some(outer) } else { Some(Hint::Weak).filter(|_| !catalogue.is_quiet(&key.to_ascii_lowercase())) }
}

/// A value whose name stands beside it, as in environments and parameters.
fn named_beside(catalogue: &Catalogue, key: &str, parent: &Node) -> Option<Hint> {
    if !matches!(key, "value" | "default") {
        return None;
    }
    hint(catalogue, parent.get("name")?.as_str()?).map(|_| Hint::Weak)
}

/// `--some-image=reference`.
fn flag<'d>(catalogue: &Catalogue, text: &'d str) -> Option<Guess<'d>> {
    let (name, value) = text.split_once('=')?;
    if !name.starts_with('-') {
        return None;
    }
    hint(catalogue, name)?;
    let guess = reference(value, Hint::Weak)?;
    let prefix = text.get(..text.len().checked_sub(guess.written.len())?)?;
    Some(Guess { prefix, ..guess })
}

pub(super) fn reference(text: &str, hint: Hint) -> Option<Guess<'_>> {
    let prefix = SCHEMES.iter().find(|scheme| text.starts_with(**scheme)).map_or("", |scheme| scheme);
    let written = text.strip_prefix(prefix)?;
    // White space around a reference hides it from us but perhaps not from who reads it.
    ImageRef::parse(written.trim()).ok()?;
    let plain_word = prefix.is_empty() && !written.contains(['/', ':', '@']);
    if hint == Hint::Weak && plain_word {
        return None;
    }
    Some(Guess { prefix: text.get(..prefix.len())?, written, tag: None })
}
