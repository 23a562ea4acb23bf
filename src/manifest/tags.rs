//! What tags make of scalars: only YAML's own are known, and only where the text bears them out.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use granit_parser::Tag;

use super::tree::Typed;
use super::typing::{self, Untypable};
use crate::reason::{ErrorCode, Problem};

/// The type that a tag of YAML's own names.
pub(super) fn core_suffix(tag: &Tag) -> Option<Cow<'_, str>> {
    tag.suffix_in_namespace("tag:yaml.org,2002:")
}

pub(super) fn unknown_tag(tag: &Tag) -> Problem {
    Problem::new(ErrorCode::YamlInvalid, format!("the tag `{}` is none that every reader knows", tag.original()))
}

pub(super) fn untypable(odd: Untypable) -> &'static str {
    match odd {
        Untypable::NotFinite => "a number that is not finite",
        Untypable::Spelling => "a number in a spelling that readers take differently",
    }
}

/// A scalar with a tag: only what the tag says and the text bears out.
pub(super) fn tagged(text: Cow<'_, str>, plain: bool, tag: &Tag) -> Result<Typed, String> {
    let name = core_suffix(tag).unwrap_or_default();
    let typed = match name.as_ref() {
        "str" => return Ok(Typed::String(text.into_owned())),
        "binary" => return binary(&text).map(Typed::String),
        "bool" | "int" | "float" | "null" if plain => typing::plain(text).map_err(|odd| untypable(odd).to_owned())?,
        _ => return Err(unknown_tag(tag).message),
    };
    let fits = match &typed {
        Typed::Null => name == "null",
        Typed::Bool(_) => name == "bool",
        Typed::Number(number) => name == "float" || (name == "int" && !number.is_f64()),
        Typed::String(_) => false,
    };
    if fits { Ok(typed) } else { Err(format!("the value is not what its tag `{}` says", tag.original())) }
}

fn binary(text: &str) -> Result<String, String> {
    let encoded: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = STANDARD.decode(encoded).map_err(|_| "what `!!binary` marks is no base64".to_owned())?;
    String::from_utf8(bytes).map_err(|_| "what `!!binary` marks is no UTF-8 text".to_owned())
}
