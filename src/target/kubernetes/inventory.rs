//! What a gate has applied, as it is kept in the cluster: `ConfigMap`s, as many as the size asks for. No input or output.
//!
//! Nothing in an inventory is trusted for verification. It says what may be deleted, and an object is deleted only if it
//! carries the gate's label too; and it says to which digests a revision's references were resolved, so that another replica
//! pins alike. That one verifies each of these digests again: a pin is no verdict.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::plan::{GATE_LABEL, Id, Item, is_addressable};
use crate::image::{Digest, ImageRef};

/// The label by which the parts of an inventory are found.
pub(super) const INVENTORY_LABEL: &str = "sealgate.dev/inventory";
/// The bytes of entries in one part: half of what a `ConfigMap` takes, since its managed fields and metadata count too.
const MAX_PART: usize = 512 * 1024;
/// The most parts: about 200,000 objects.
pub(super) const MAX_PARTS: usize = 64;

/// What a gate has applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    /// The revision that was applied last, or is being applied.
    pub(super) revision: String,
    /// Whether all of it was applied.
    pub(super) state: State,
    /// The objects.
    pub(super) entries: BTreeMap<Id, Entry>,
    /// What the references of the revision were resolved to.
    pub(super) pins: Pins,
}

/// Digests, by canonical reference.
pub(super) type Pins = BTreeMap<String, Digest>;

/// What stands in one part.
#[derive(Debug, Default)]
struct Body {
    entries: String,
    pins: String,
}

/// The parts while they are filled.
#[derive(Debug)]
struct Bodies {
    full: Vec<Body>,
    last: Body,
}

impl Bodies {
    /// The last part, where so many more bytes fit, else a new one.
    fn room(&mut self, more: usize) -> &mut Body {
        if self.last.is_full(more) {
            self.full.push(std::mem::take(&mut self.last));
        }
        &mut self.last
    }
}

impl Body {
    /// Whether so many more bytes are too many. An empty part takes anything.
    fn is_full(&self, more: usize) -> bool {
        let length = self.entries.len().saturating_add(self.pins.len());
        length > 0 && length.saturating_add(more) > MAX_PART
    }
}

/// What is kept about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The version of its group with which it was applied.
    pub(super) version: String,
    /// The hash of what was sent; empty where that is not known to have arrived.
    pub(super) hash: String,
    /// The revision with which it was last changed.
    pub(super) revision: String,
}

/// How far an application has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Begun.
    #[default]
    Applying,
    /// Done.
    Complete,
}

/// Why an inventory cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("part {part} of the inventory: {message}")]
pub(super) struct Damage {
    part: String,
    message: String,
}

impl Entry {
    /// Whether just this was applied.
    pub(super) fn is_of(&self, item: &Item) -> bool {
        self.hash == item.hash && self.version == item.version
    }
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::Complete => "complete",
        }
    }
}

impl Inventory {
    /// This inventory's entries and the other's; of an object in both, this one's.
    pub(super) fn with(mut self, other: &Self) -> Self {
        for (id, entry) in &other.entries {
            self.entries.entry(id.clone()).or_insert_with(|| entry.clone());
        }
        self
    }

    /// The inventory as `ConfigMap`s, the first one being its head.
    ///
    /// # Errors
    /// When it needs more than [`MAX_PARTS`].
    pub(super) fn to_parts(&self, gate_label: &str, namespace: &str) -> Result<Vec<Value>, usize> {
        let mut bodies = Bodies { full: Vec::new(), last: Body::default() };
        for (id, entry) in &self.entries {
            let line = line(id, entry);
            bodies.room(line.len()).entries.push_str(&line);
        }
        for (reference, digest) in &self.pins {
            let line = format!("{}\n", json!([reference, digest.to_string()]));
            bodies.room(line.len()).pins.push_str(&line);
        }
        let Bodies { full: mut bodies, last } = bodies;
        bodies.push(last);
        if bodies.len() > MAX_PARTS {
            return Err(self.entries.len());
        }
        let count = bodies.len();
        Ok(bodies
            .iter()
            .enumerate()
            .map(|(index, body)| self.part(index, count, body, gate_label, namespace))
            .collect())
    }

    fn part(&self, index: usize, count: usize, body: &Body, gate_label: &str, namespace: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": part_name(gate_label, index),
                "namespace": namespace,
                "labels": {INVENTORY_LABEL: gate_label},
            },
            "data": {
                "revision": self.revision,
                "state": self.state.name(),
                "parts": count.to_string(),
                "entries": body.entries,
                "pins": body.pins,
            },
        })
    }

    /// Puts the parts of an inventory together; none where there are none. While a writer is at work, or was killed, parts
    /// of two inventories stand side by side: all their entries count, and the whole is not complete.
    ///
    /// # Errors
    /// When a part is not readable. A deletion must not rest on half an inventory, nor a new one overwrite what it lost.
    pub(super) fn from_parts(parts: &[Value], gate_label: &str) -> Result<Option<Self>, Damage> {
        let mut inventory = Self::default();
        let mut heads = Vec::new();
        let mut pins = Vec::new();
        for part in parts {
            let name = part.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let damage = |message: &str| Damage { part: name.to_owned(), message: message.to_owned() };
            let text = |field: &str| {
                part.get("data")
                    .and_then(|data| data.get(field))
                    .and_then(Value::as_str)
                    .ok_or_else(|| damage(&format!("it has no `{field}`")))
            };
            heads.push((text("revision")?, text("state")?, text("parts")?));
            if name == part_name(gate_label, 0) {
                text("revision")?.clone_into(&mut inventory.revision);
            }
            for line in text("entries")?.lines() {
                let (id, entry) = read_line(line).ok_or_else(|| damage("an entry is not readable"))?;
                inventory.entries.insert(id, entry);
            }
            for line in text("pins")?.lines() {
                let (reference, digest) = read_pin(line).ok_or_else(|| damage("a pin is not readable"))?;
                pins.push((text("revision")?, reference, digest));
            }
        }
        // A part that a killed writer left is about another revision, and so are its pins.
        let of_this = pins.into_iter().filter(|(revision, ..)| *revision == inventory.revision);
        inventory.pins = of_this.map(|(_, reference, digest)| (reference, digest)).collect();
        let Some(first) = heads.first() else { return Ok(None) };
        let alike = heads.iter().all(|head| head == first);
        if alike && first.1 == State::Complete.name() && first.2 == parts.len().to_string() {
            inventory.state = State::Complete;
        }
        Ok(Some(inventory))
    }
}

/// The name of a part. The label holds no dot, so no two gates share one.
pub(super) fn part_name(gate_label: &str, index: usize) -> String {
    format!("sealgate.{gate_label}.{index}")
}

/// A gate's name as a label's value and part of a name: itself where it can be that, else what it can, with a hash.
pub(super) fn gate_label(gate: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = gate.len() <= 40
        && gate.bytes().all(|b| plain(b) || b == b'-')
        && gate.bytes().next().is_some_and(plain)
        && gate.bytes().last().is_some_and(plain);
    if good {
        return gate.to_owned();
    }
    let kept: String = gate.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).take(20).collect();
    let hash: String = Digest::of(gate.as_bytes()).hex().chars().take(16).collect();
    format!("gate-{kept}-{hash}")
}

/// The selector for objects of this gate.
pub(super) fn owner_of(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("labels")?.get(GATE_LABEL)?.as_str()
}

fn line(id: &Id, entry: &Entry) -> String {
    let namespace = id.namespace.as_deref();
    let fields = json!([id.group, entry.version, id.kind, namespace, id.name, entry.hash, entry.revision]);
    format!("{fields}\n")
}

/// A pin, where it is one: what stands there must be a reference in its canonical form.
fn read_pin(line: &str) -> Option<(String, Digest)> {
    let (reference, digest) = serde_json::from_str::<(String, String)>(line).ok()?;
    let image = ImageRef::parse(&reference).ok()?;
    (image.canonical() == reference).then_some((reference, digest.parse().ok()?))
}

fn read_line(line: &str) -> Option<(Id, Entry)> {
    type Fields = (String, String, String, Option<String>, String, String, String);
    let (group, version, kind, namespace, name, hash, revision) = serde_json::from_str::<Fields>(line).ok()?;
    let id = Id { group, kind, namespace, name };
    // Whoever can write an inventory must not reach beyond the objects that it can list.
    is_addressable(&id, &version).then_some((id, Entry { version, hash, revision }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(count: usize, state: State) -> Inventory {
        let entries = (0..count)
            .map(|index| {
                let id = Id {
                    group: "apps".to_owned(),
                    kind: "Deployment".to_owned(),
                    namespace: (index % 2 == 0).then(|| "shop".to_owned()),
                    name: format!("web-{index}:{}", "x".repeat(200)),
                };
                (id, Entry { version: "v1".to_owned(), hash: "0".repeat(32), revision: "r".repeat(40) })
            })
            .collect();
        let pins = (0..count.min(2_000)).map(|it| (format!("r.example/app/n{it}:1"), Digest::of(&[1])));
        Inventory { revision: "r1".to_owned(), state, entries, pins: pins.collect() }
    }

    fn parts(inventory: &Inventory) -> Vec<Value> {
        inventory.to_parts("g", "sealgate").unwrap()
    }

    #[test]
    fn an_inventory_comes_back_as_it_was() {
        for (count, expected) in [(0, 1), (1, 1), (5_000, 4)] {
            let inventory = inventory(count, State::Complete);
            let parts = parts(&inventory);
            assert_eq!(parts.len(), expected);
            assert!(parts.iter().all(|part| part.to_string().len() < 1024 * 1024));
            assert_eq!(Inventory::from_parts(&parts, "g"), Ok(Some(inventory)));
        }
    }

    #[test]
    fn an_inventory_that_is_not_whole_is_not_complete() {
        let whole = parts(&inventory(5_000, State::Complete));
        let mut mixed = whole.clone();
        mixed[1] = parts(&inventory(5_000, State::Applying))[1].clone();
        let state = |parts: &[Value]| Inventory::from_parts(parts, "g").unwrap().map(|inventory| inventory.state);
        assert_eq!(state(&whole), Some(State::Complete));
        assert_eq!(state(&whole[1..]), Some(State::Applying));
        assert_eq!(state(&mixed), Some(State::Applying));
        assert_eq!(state(&[]), None);
    }

    #[test]
    fn a_damaged_inventory_is_no_inventory() {
        let good = parts(&inventory(3, State::Complete));
        for (field, value) in [
            ("entries", json!("[1]\n")),
            ("entries", json!(null)),
            ("entries", json!("[\"\",\"v1\",\"ConfigMap\",\"a\",\"../x\",\"\",\"\"]\n")),
            ("pins", json!("[\"r.example/a:1\",\"sha256:1\"]\n")),
            (
                "pins",
                json!("[\"nginx\",\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"]\n"),
            ),
            ("pins", json!(null)),
            ("state", json!(1)),
        ] {
            let mut bad = good.clone();
            bad[0]["data"][field] = value;
            assert!(Inventory::from_parts(&bad, "g").is_err());
        }
        assert!(Inventory::from_parts(&[json!({"metadata": {"name": "x"}})], "g").is_err());
    }

    #[test]
    fn the_pins_of_another_revision_are_not_this_ones() {
        let whole = parts(&inventory(5_000, State::Complete));
        let mut mixed = whole.clone();
        mixed.last_mut().unwrap()["data"]["revision"] = json!("r2");
        let read = |parts: &[Value]| Inventory::from_parts(parts, "g").unwrap().unwrap();
        assert_eq!(read(&whole).pins.len(), 2_000);
        let left = read(&mixed);
        assert_eq!((left.revision.as_str(), left.state), ("r1", State::Applying));
        assert!(left.pins.len() < 2_000);
    }

    #[test]
    fn too_many_objects_are_refused() {
        assert_eq!(inventory(120_000, State::Complete).to_parts("g", "n"), Err(120_000));
    }

    #[test]
    fn merging_keeps_every_object_and_prefers_the_new() {
        let old = inventory(3, State::Complete);
        let mut new = inventory(1, State::Applying);
        new.entries.values_mut().for_each(|entry| entry.hash = "new".to_owned());
        let both = new.with(&old);
        assert_eq!(both.entries.len(), 3);
        assert_eq!(both.entries.values().filter(|entry| entry.hash == "new").count(), 1);
        assert_eq!(both.state, State::Applying);
    }

    #[test]
    fn gates_do_not_share_a_label() {
        let names = ["prod", "Prod", "prod.", "-prod", "prod 1", "prod/1", "", "ü", "prod-1"];
        let mut labels: Vec<String> = names.iter().map(|name| gate_label(name)).collect();
        assert_eq!(labels[0], "prod");
        assert!(labels.iter().all(|label| label.len() <= 63 && !label.contains('.') && !label.starts_with('-')));
        labels.sort();
        labels.dedup();
        assert_eq!(labels.len(), names.len());
        assert_eq!(gate_label(&"x".repeat(300)).len(), 42);
    }
}
