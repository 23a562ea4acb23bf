//! References that stand in several fields, put together; and where their digest can be written.

use super::catalogue::Split;
use super::site::Form;
use crate::image::reference::ImageRef;
use crate::manifest::Node;
use crate::manifest::tree::{Scalar, Typed, Value};

/// A reference put together.
pub(super) struct Joined<'d> {
    /// The key, in the mapping of the parts, of the scalar into which a pin goes.
    pub(super) key: String,
    /// That scalar.
    pub(super) node: &'d Node,
    /// The whole reference.
    pub(super) written: String,
    /// How a digest is written.
    pub(super) form: Form,
}

/// Puts the parts in a mapping together; none where no repository is written.
pub(super) fn join<'d>(parts: &'d Node, split: &Split) -> Option<Joined<'d>> {
    let Split { registry, repository, name, tag, digest, prefixes } = split;
    let text = |key: &Option<String>| -> String {
        key.as_ref().and_then(|key| parts.get(key)).map_or_else(String::new, plain_text)
    };
    let node = parts.get(repository)?;
    let whole = plain_text(node);
    let prefix = prefixes.iter().find(|prefix| whole.starts_with(prefix.as_str())).map_or("", String::as_str);
    let host = Some(text(registry)).filter(|host| !host.is_empty()).map_or_else(String::new, |host| host + "/");
    let last = Some(text(name)).filter(|last| !last.is_empty()).map_or_else(String::new, |last| format!("/{last}"));
    let path = whole.strip_prefix(prefix).unwrap_or(&whole);
    let written = format!("{host}{path}{last}{}{}", tag_part(&text(tag)), digest_part(&text(digest)));
    if ImageRef::parse(&written).is_ok_and(|image| image.digest().is_some()) {
        return Some(Joined { key: repository.clone(), node, written, form: Form::Fixed });
    }
    let tagged = tag.as_ref().and_then(|key| Some((key, parts.get(key)?)));
    Some(match tagged {
        Some((key, tag)) if tag.as_str().is_some_and(|tag| !tag.is_empty()) => {
            Joined { key: key.clone(), node: tag, written, form: Form::Tag }
        }
        Some(_) | None => {
            let alone = registry.is_none() && name.is_none() && tag.is_none();
            let form = if alone { Form::Whole { prefix: prefix.to_owned() } } else { Form::Fixed };
            Joined { key: repository.clone(), node, written, form }
        }
    })
}

/// A scalar's text as JSON would print it, without quotes around text; of a mapping or sequence what it is.
pub(super) fn plain_text(node: &Node) -> String {
    match &node.value {
        Value::Scalar(Scalar { typed: Typed::String(text), .. }) => text.clone(),
        Value::Scalar(_) => node.to_json().to_string(),
        Value::Sequence(_) => "(a list)".to_owned(),
        Value::Mapping(_) => "(a mapping)".to_owned(),
    }
}

pub(super) fn tag_part(tag: &str) -> String {
    match tag {
        "" => String::new(),
        digest if digest.starts_with("sha256:") => format!("@{digest}"),
        tag => format!(":{tag}"),
    }
}

fn digest_part(digest: &str) -> String {
    match digest {
        "" => String::new(),
        named if named.starts_with("sha256:") => format!("@{named}"),
        bare => format!("@sha256:{bare}"),
    }
}
