//! JSON as no two readers can disagree on it: one value, nothing behind it, no member twice, depth bounded.

mod strict;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::candidate::{Annotation, escaped};

/// Most members that an object with free names may have.
const MAX_MEMBERS: usize = 1024;

/// An object with free names, each of which stands once.
#[derive(Debug)]
pub(super) struct Members<T>(BTreeMap<String, T>);

/// Reads `bytes` whole. `serde_json` bounds the depth; types refuse repeated members by themselves, [`Members`] for free
/// names.
///
/// The error repeats foreign names, so it is made harmless.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    // Of bytes the reader would check only the members that somebody asks for.
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| escaped(&error.to_string()))
}

/// Reads `bytes` whole as data.
pub(super) fn value(bytes: &[u8]) -> Result<serde_json::Value, String> {
    strict::read(bytes).map_err(|error| escaped(&error.to_string()))
}

impl<T> Members<T> {
    pub(super) fn into_map(self) -> BTreeMap<String, T> {
        self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name)
    }
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
    type Value = Members<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = access.next_entry::<String, T>()? {
            if members.len() == MAX_MEMBERS {
                return Err(de::Error::custom(format!("more than {MAX_MEMBERS} members")));
            }
            if members.insert(name, value).is_some() {
                return Err(de::Error::custom("a member stands twice"));
            }
        }
        Ok(Members(members))
    }
}

impl<'de> Deserialize<'de> for Annotation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnnotationVisitor)
    }
}

struct AnnotationVisitor;

impl<'de> Visitor<'de> for AnnotationVisitor {
    type Value = Annotation;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an annotation's value")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Annotation, E> {
        Ok(Annotation::Text(text.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Annotation, E> {
        Ok(Annotation::Other)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Annotation, E> {
        Ok(Annotation::Other)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Annotation, E> {
        Ok(Annotation::Other)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Annotation, E> {
        Ok(Annotation::Other)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Annotation, E> {
        Ok(Annotation::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Annotation, A::Error> {
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Annotation::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Annotation, A::Error> {
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Annotation::Other)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::read;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Asked {
        asked: u8,
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_nobody_asks_for_them_too() {
        assert_eq!(read(b"{\"asked\": 1, \"other\": \"x\"}"), Ok(Asked { asked: 1 }));
        assert!(read::<Asked>(b"{\"asked\": 1, \"other\": \"\xc9\"}").is_err());
    }
}
