//! Licence expressions as SPDX writes them: whether a list of licences allows one.
//!
//! `A OR B` needs one of the two, `A AND B` both; `A WITH E` is a licence of its own, to be listed as it is written.

use super::value::{List, Value};
use super::{Failure, Meter};

/// Longest licence expression, in bytes, and how deep it may nest.
const MAX_TEXT: usize = 4096;
const MAX_DEPTH: usize = 16;

/// Whether the list allows this licence. What cannot be read is allowed only where it is listed as it is written.
pub(super) fn allowed(written: &str, list: &List<'_>, meter: &mut Meter) -> Result<bool, Failure> {
    let mut names = Vec::new();
    for item in list.iter() {
        let Value::Text(name) = &item else { return Err(Failure::wrong("a list of licences holds texts alone")) };
        meter.spend(1)?;
        names.push(name.as_str().to_owned());
    }
    if names.iter().any(|name| name == written) {
        return Ok(true);
    }
    if written.len() > MAX_TEXT {
        return Ok(false);
    }
    let spaced = written.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    meter.spend(words.len().saturating_mul(names.len().saturating_add(1)))?;
    let mut reader = Reader { words: &words, names: &names };
    Ok(reader.any(MAX_DEPTH) == Some(true) && reader.words.is_empty())
}

struct Reader<'w> {
    words: &'w [&'w str],
    names: &'w [String],
}

impl<'w> Reader<'w> {
    fn next(&mut self) -> Option<&'w str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn follows(&mut self, word: &str) -> bool {
        let follows = self.words.first().is_some_and(|next| next.eq_ignore_ascii_case(word));
        if follows {
            let _word = self.next();
        }
        follows
    }

    /// Alternatives; none where the text is no expression.
    fn any(&mut self, depth: usize) -> Option<bool> {
        let mut allowed = self.all(depth)?;
        while self.follows("OR") {
            allowed |= self.all(depth)?;
        }
        Some(allowed)
    }

    fn all(&mut self, depth: usize) -> Option<bool> {
        let mut allowed = self.one(depth)?;
        while self.follows("AND") {
            allowed &= self.one(depth)?;
        }
        Some(allowed)
    }

    fn one(&mut self, depth: usize) -> Option<bool> {
        let depth = depth.checked_sub(1)?;
        let name = self.next()?;
        if name == "(" {
            let inner = self.any(depth)?;
            return (self.next()? == ")").then_some(inner);
        }
        if name == ")" || ["OR", "AND", "WITH"].iter().any(|word| name.eq_ignore_ascii_case(word)) {
            return None;
        }
        if self.follows("WITH") {
            let whole = format!("{name} WITH {}", self.next()?);
            return Some(self.names.contains(&whole));
        }
        Some(self.names.iter().any(|one| one == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_allowed_when_the_list_allows_all_that_it_asks() {
        let list = Value::list(
            ["MIT", "Apache-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", "the old one"].map(Value::text).to_vec(),
        );
        let Value::List(list) = list else { panic!() };
        let table = [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("GPL-3.0-only OR Apache-2.0", true),
            ("MIT AND GPL-3.0-only", false),
            ("MIT AND (GPL-3.0-only OR Apache-2.0)", true),
            ("(MIT)AND(Apache-2.0)", true),
            ("GPL-2.0-only WITH Classpath-exception-2.0", true),
            ("GPL-2.0-only", false),
            ("MIT WITH Classpath-exception-2.0", false),
            ("the old one", true),
            ("MIT, Apache-2.0", false),
            ("MIT Apache-2.0", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT)", false),
            ("", false),
            ("mit", false),
            ("NOASSERTION", false),
        ];
        for (written, expected) in table {
            assert_eq!(allowed(written, &list, &mut Meter::full()), Ok(expected), "{written}");
        }
        let deep = format!("{}MIT{}", "(".repeat(200), ")".repeat(200));
        assert_eq!(allowed(&deep, &list, &mut Meter::full()), Ok(false));
    }
}
