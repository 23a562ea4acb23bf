//! The keys and trust roots that a policy file names: read once, told apart, and counted in the policy's digest.

use std::collections::BTreeMap;

use crate::fields::{Found, Path};
use crate::manifest::tree::Node;
use crate::reason::Place;
use crate::signer::PublicKey;
use crate::signer::root::TrustRoot;

/// Fetches the bytes of a key file: the policy file's name and the path as written there, to bytes or a message.
pub type Read<'a> = &'a dyn Fn(&str, &str) -> Result<Vec<u8>, String>;

/// Where an authority stands: rule, list and place in it, each counted from 0. The first list of a rule is its
/// `signatures`, the others its `attestations`.
pub(super) type At = (usize, usize, usize);

/// The keys of one policy.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_authority: BTreeMap<At, PublicKey>,
    /// The trust roots, likewise.
    roots: BTreeMap<At, TrustRoot>,
    /// The bytes of keys and roots, in the order of the file.
    pub(super) bytes: Vec<Vec<u8>>,
}

/// What stands where a key is named.
enum Source<'t> {
    File(&'t str),
    Data(&'t str),
}

impl Keys {
    /// Reads every key that a policy names, and reports those that are none and those that stand twice in a rule.
    pub(super) fn read(policy: &Node, file: &str, read: Read<'_>, found: &mut Found<'_>) -> Self {
        let mut keys = Self::default();
        let rules = policy.get("spec").and_then(|spec| spec.get("rules")).and_then(Node::items);
        for (rule, node) in rules.into_iter().flatten().enumerate() {
            let path = Path::default().field("spec").field("rules").item(rule);
            for (list, asking, path) in lists(node, &path) {
                let authorities = asking.get("authorities").and_then(Node::items);
                let mut seen = BTreeMap::new();
                for (authority, node) in authorities.into_iter().flatten().enumerate() {
                    let (at, path) = ((rule, list, authority), path.field("authorities").item(authority));
                    if let Some(root) = keys.trust_root(node, file, read, &path, found) {
                        keys.roots.insert(at, root);
                    }
                    let Some((place, key)) = keys.one(node, file, read, &path, found) else { continue };
                    same_key(&mut seen, node, (place, &key), found);
                    keys.by_authority.insert(at, key);
                }
            }
        }
        keys
    }

    /// The key of an authority, where it was read.
    pub(super) fn key(&self, at: At) -> Option<&PublicKey> {
        self.by_authority.get(&at)
    }

    /// The trust root of an authority, where it was read.
    pub(super) fn root(&self, at: At) -> Option<&TrustRoot> {
        self.roots.get(&at)
    }

    /// The trust root of one authority. None where it names none, or one that cannot be used, which is told here.
    fn trust_root(
        &mut self,
        authority: &Node,
        file: &str,
        read: Read<'_>,
        path: &Path,
        found: &mut Found<'_>,
    ) -> Option<TrustRoot> {
        let node = authority.get("trustRoot")?.get("file")?;
        let name = node.as_str()?;
        let bytes = read(file, name).map_err(|why| (format!("cannot read the trust root `{name}`: {why}"), HELP_PATH));
        let root = bytes.and_then(|bytes| {
            let root = TrustRoot::from_json(&bytes).and_then(|root| match authority.get("keyless") {
                Some(_) => root.issues().map(|()| root),
                None => Ok(root),
            });
            self.bytes.push(bytes);
            root.map_err(|error| (format!("cannot use the trust root `{name}`: {error}"), HELP_ROOT))
        });
        match root {
            Ok(root) => Some(root),
            Err((message, help)) => {
                found.report(node.place, format!("{message} (in `{path}`)"), help);
                None
            }
        }
    }

    /// The key of one authority. None where the authority names none in a way that is told elsewhere, or where it is
    /// none, which is told here.
    fn one(
        &mut self,
        authority: &Node,
        file: &str,
        read: Read<'_>,
        path: &Path,
        found: &mut Found<'_>,
    ) -> Option<(Place, PublicKey)> {
        let (source, place) = source(authority.get("key")?)?;
        let bytes = match source {
            Source::Data(text) => Ok(text.as_bytes().to_vec()),
            Source::File(name) => {
                read(file, name).map_err(|why| (format!("cannot read the key file `{name}`: {why}"), HELP_FILE))
            }
        };
        let key = bytes.and_then(|bytes| {
            let key = PublicKey::from_pem(&bytes).map_err(|error| match source {
                Source::File(name) => (format!("cannot use the key file `{name}`: {error}"), HELP_KEY),
                Source::Data(_) => (format!("cannot use the key: {error}"), HELP_KEY),
            });
            self.bytes.push(bytes);
            key
        });
        match key {
            Ok(key) => Some((place, key)),
            Err((message, help)) => {
                found.report(place, format!("{message} (in `{path}`)"), help);
                None
            }
        }
    }
}

const HELP_FILE: &str = "paths are relative to the policy's folder; put the public key there, or correct the path";
const HELP_PATH: &str = "paths are relative to the policy's folder; put the trust root there, or correct the path";
const HELP_ROOT: &str =
    "give a sigstore trusted root in JSON, as `cosign trusted-root create` and the TUF repository write it";
const HELP_KEY: &str = "give one public key in PEM, as `cosign public-key` and `openssl … -pubout` print it";

/// What asks for authorities in a rule: its signatures, and each of its attestations.
fn lists<'t>(rule: &'t Node, path: &Path) -> Vec<(usize, &'t Node, Path)> {
    let signatures = rule.get("signatures").map(|node| (0, node, path.field("signatures")));
    let attestations = rule.get("attestations").and_then(Node::items).into_iter().flatten().enumerate();
    let attestations =
        attestations.map(|(index, node)| (index.saturating_add(1), node, path.field("attestations").item(index)));
    signatures.into_iter().chain(attestations).collect()
}

fn source(key: &Node) -> Option<(Source<'_>, Place)> {
    let (file, data) = (key.get("file"), key.get("data"));
    match (file, data) {
        (Some(node), None) => Some((Source::File(node.as_str()?), node.place)),
        (None, Some(node)) => Some((Source::Data(node.as_str()?), node.place)),
        (None, None) | (Some(_), Some(_)) => None,
    }
}

fn same_key(seen: &mut BTreeMap<PublicKey, String>, authority: &Node, key: (Place, &PublicKey), found: &mut Found<'_>) {
    let name = authority.get("name").and_then(Node::as_str).unwrap_or("another authority").to_owned();
    let (place, key) = key;
    match seen.get(key) {
        Some(first) => {
            let message = format!("authority `{name}` has the same key as `{first}`, so that they are one signer");
            found.report(place, message, "name each key once in a rule");
        }
        None => drop(seen.insert(key.clone(), name)),
    }
}
