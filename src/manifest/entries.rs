//! The entries of one mapping while it is read: distinct keys, and what a merge key brings in.

use std::collections::{BTreeSet, HashMap};

use super::tree::{Key, Node, Value};

/// From how many entries on an index is kept; below, comparing is quicker.
const INDEXED: usize = 12;

/// Entries in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Entries {
    list: Vec<(Key, Node)>,
    index: Option<HashMap<String, usize>>,
    merged: BTreeSet<usize>,
    merges: usize,
}

/// Why an entry cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clash {
    /// The key stands there already.
    Duplicate(Key),
    /// A second `<<`.
    SecondMerge,
    /// A merge that brings in a key that was written before it: readers disagree on which one wins.
    MergeAfterKey(String),
    /// What a merge key names is no mapping.
    NoMapping,
}

impl Entries {
    /// Takes a written entry; it replaces one that a merge key brought in.
    pub(super) fn add(&mut self, key: Key, node: Node) -> Result<(), Clash> {
        let Some(at) = self.position(&key.text) else {
            self.push(key, node);
            return Ok(());
        };
        if self.merged.remove(&at)
            && let Some(entry) = self.list.get_mut(at)
        {
            *entry = (key, node);
            return Ok(());
        }
        Err(Clash::Duplicate(key))
    }

    /// Takes what a merge key names: a mapping, or a list of mappings of which the earlier ones win.
    pub(super) fn merge(&mut self, node: Node) -> Result<(), Clash> {
        self.merges = self.merges.saturating_add(1);
        if self.merges > 1 {
            return Err(Clash::SecondMerge);
        }
        match node.value {
            Value::Mapping(entries) => self.merge_mapping(entries),
            Value::Sequence(items) => items.into_iter().try_for_each(|item| match item.value {
                Value::Mapping(entries) => self.merge_mapping(entries),
                Value::Scalar(_) | Value::Sequence(_) => Err(Clash::NoMapping),
            }),
            Value::Scalar(_) => Err(Clash::NoMapping),
        }
    }

    /// All of them.
    pub(super) fn finish(self) -> Vec<(Key, Node)> {
        self.list
    }

    fn merge_mapping(&mut self, entries: Vec<(Key, Node)>) -> Result<(), Clash> {
        for (key, node) in entries {
            match self.position(&key.text) {
                Some(at) if self.merged.contains(&at) => {}
                Some(_) => return Err(Clash::MergeAfterKey(key.text)),
                None => {
                    self.merged.insert(self.list.len());
                    self.push(key, node);
                }
            }
        }
        Ok(())
    }

    fn position(&self, key: &str) -> Option<usize> {
        if self.list.len() < INDEXED {
            return self.list.iter().position(|(other, _)| other.text == key);
        }
        self.index.as_ref()?.get(key).copied()
    }

    fn push(&mut self, key: Key, node: Node) {
        let at = self.list.len();
        self.list.push((key, node));
        match self.list.len() {
            ..INDEXED => {}
            INDEXED => {
                let positions = self.list.iter().enumerate().map(|(at, (key, _))| (key.text.clone(), at));
                self.index = Some(positions.collect());
            }
            _ => {
                if let (Some((key, _)), Some(index)) = (self.list.last(), &mut self.index) {
                    index.insert(key.text.clone(), at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tree::{Scalar, Style, Typed};
    use crate::reason::Place;

    const PLACE: Place = Place { line: 1, column: 1 };

    fn key(number: usize) -> Key {
        Key { text: format!("k{number}"), place: PLACE }
    }

    fn node() -> Node {
        let value = Value::Scalar(Scalar { typed: Typed::Null, style: Style::Plain });
        Node { value, span: 0..0, place: PLACE }
    }

    #[test]
    fn a_duplicate_is_seen_in_mappings_of_any_size() {
        for size in [1, INDEXED - 1, INDEXED, INDEXED + 1, 1000] {
            let mut entries = Entries::default();
            assert!((0..size).all(|number| entries.add(key(number), node()).is_ok()));
            for again in [0, size - 1] {
                assert_eq!(entries.add(key(again), node()), Err(Clash::Duplicate(key(again))), "{size}");
            }
            assert_eq!(entries.finish().len(), size);
        }
    }
}
