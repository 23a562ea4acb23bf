//! The entries of one mapping while it is read: distinct keys, and what a merge key brings in.

use std::collections::{BTreeSet, HashMap};

use super::tree::{Key, Node, Value};

/// From how many entries on an index is kept; below, comparing is quicker.
const INDEXED: usize = 12;

/// Entries in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Entries {
    list: Vec<(Key, Node)>,
    index: HashMap<String, usize>,
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
        self.index.get(key).copied()
    }

    fn push(&mut self, key: Key, node: Node) {
        let at = self.list.len();
        self.list.push((key, node));
        match self.list.len() {
            ..INDEXED => {}
            INDEXED => {
                self.index = self.list.iter().enumerate().map(|(at, (key, _))| (key.text.clone(), at)).collect();
            }
            _ => {
                if let Some((key, _)) = self.list.last() {
                    self.index.insert(key.text.clone(), at);
                }
            }
        }
    }
}
