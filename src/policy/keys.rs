//! The keys and trust roots that a policy file names: read once, told apart, and counted in the policy's digest.

use std::collections::BTreeMap;
use std::fmt;

use super::material::{Held, Material, Read, RootSource, Unread};
use crate::fields::{Found, Path};
use crate::manifest::tree::Node;
use crate::reason::{ErrorCode, Place};
use crate::signer::PublicKey;
use crate::signer::root::TrustRoot;

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
    /// Namespace, name and entry of a secret.
    Secret(&'t str, &'t str, &'t str),
    Kms(&'t str),
}

/// The entry of a secret that holds the key, where none is named.
const ENTRY: &str = "cosign.pub";

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

    /// The trust root of one authority. None where it needs none, or names one that cannot be used, which is told here.
    fn trust_root(
        &mut self,
        authority: &Node,
        file: &str,
        read: Read<'_>,
        path: &Path,
        found: &mut Found<'_>,
    ) -> Option<TrustRoot> {
        let (place, named) = named_root(authority)?;
        let held = named.held(file, read);
        let root = held.and_then(|Held { bytes, good_until }| {
            let root = TrustRoot::from_json(&bytes).and_then(|root| match authority.get("keyless") {
                Some(_) => root.issues().map(|()| root),
                None => Ok(root),
            });
            self.bytes.push(bytes);
            root.map(|root| root.until(good_until)).map_err(|error| Trouble {
                code: ErrorCode::PolicyInvalid,
                message: format!("cannot use the {named}: {error}"),
                help: HELP_ROOT,
            })
        });
        told(root, place, path, found)
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
        let key = source.held(file, read).and_then(|bytes| {
            let key = PublicKey::from_pem(&bytes).map_err(|error| Trouble {
                code: ErrorCode::PolicyInvalid,
                message: format!("cannot use the {source}: {error}"),
                help: HELP_KEY,
            });
            self.bytes.push(bytes);
            key
        });
        told(key, place, path, found).map(|key| (place, key))
    }
}

/// What is wrong with something that an authority names.
struct Trouble {
    code: ErrorCode,
    message: String,
    help: &'static str,
}

impl Trouble {
    fn of(unread: Unread, what: &dyn fmt::Display, help: &'static str) -> Self {
        match unread {
            Unread::Wrong(why) => {
                Self { code: ErrorCode::PolicyInvalid, message: format!("cannot read the {what}: {why}"), help }
            }
            Unread::Unavailable(why) => Self {
                code: ErrorCode::PolicyUnavailable,
                message: format!("failed to fetch the {what}: {why}"),
                help: HELP_UNAVAILABLE,
            },
        }
    }
}

/// Reports what is wrong.
fn told<T>(outcome: Result<T, Trouble>, place: Place, path: &Path, found: &mut Found<'_>) -> Option<T> {
    match outcome {
        Ok(usable) => Some(usable),
        Err(Trouble { code, message, help }) => {
            found.report_as(code, place, format!("{message} (in `{path}`)"), help);
            None
        }
    }
}

const HELP_UNAVAILABLE: &str = "make it reachable from here; it is asked again";
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

/// How an authority names its trust root.
enum Named<'t> {
    File(&'t str),
    /// A mirror, with the file in which trust in it begins.
    Tuf(&'t str, Option<&'t str>),
    Default,
}

/// The trust root of an authority that needs one, and the place where it is named or needed. None too where it is named
/// in a way that is told elsewhere.
fn named_root(authority: &Node) -> Option<(Place, Named<'_>)> {
    let Some(node) = authority.get("trustRoot") else {
        let required = authority.get("transparencyLog").and_then(Node::as_str) == Some("require");
        let needed = authority.get("keyless").is_some() || authority.get("key").is_some() && required;
        return needed.then_some((authority.place, Named::Default));
    };
    match (node.get("file"), node.get("tuf")) {
        (Some(file), None) => Some((file.place, Named::File(file.as_str()?))),
        (None, Some(tuf)) => {
            let root = match tuf.get("root") {
                Some(root) => Some(root.as_str()?),
                None => None,
            };
            Some((tuf.place, Named::Tuf(tuf.get("mirror")?.as_str()?, root)))
        }
        (None, None) | (Some(_), Some(_)) => None,
    }
}

impl Named<'_> {
    fn held(&self, file: &str, read: Read<'_>) -> Result<Held, Trouble> {
        let at = |path: &str| Material::File { policy: file.to_owned(), path: path.to_owned() };
        let material = match self {
            Self::File(path) => at(path),
            Self::Default => Material::Root(RootSource::Default),
            Self::Tuf(mirror, root) => {
                let initial = root.map(|path| read(&at(path)).map(|held| held.bytes)).transpose();
                let initial = initial.map_err(|unread| Trouble::of(unread, self, HELP_PATH))?;
                Material::Root(RootSource::Tuf { mirror: (*mirror).to_owned(), initial })
            }
        };
        read(&material).map_err(|unread| Trouble::of(unread, self, HELP_PATH))
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "trust root `{path}`"),
            Self::Tuf(mirror, _) => write!(out, "trust root of `{mirror}`"),
            Self::Default => out.write_str("default trust root"),
        }
    }
}

impl Source<'_> {
    fn held(&self, file: &str, read: Read<'_>) -> Result<Vec<u8>, Trouble> {
        let material = match self {
            Self::Data(text) => return Ok(text.as_bytes().to_vec()),
            Self::File(path) => Material::File { policy: file.to_owned(), path: (*path).to_owned() },
            Self::Secret(namespace, name, entry) => {
                let (namespace, name) = ((*namespace).to_owned(), (*name).to_owned());
                Material::Secret { namespace, name, entry: (*entry).to_owned() }
            }
            Self::Kms(reference) => Material::Kms((*reference).to_owned()),
        };
        read(&material).map(|held| held.bytes).map_err(|unread| Trouble::of(unread, self, HELP_FILE))
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "key file `{path}`"),
            Self::Data(_) => out.write_str("key"),
            Self::Secret(namespace, name, entry) => write!(out, "key `{entry}` of the secret `{namespace}/{name}`"),
            Self::Kms(reference) => write!(out, "key `{reference}`"),
        }
    }
}

fn source(key: &Node) -> Option<(Source<'_>, Place)> {
    match (key.get("file"), key.get("data"), key.get("secret"), key.get("kms")) {
        (Some(node), None, None, None) => Some((Source::File(node.as_str()?), node.place)),
        (None, Some(node), None, None) => Some((Source::Data(node.as_str()?), node.place)),
        (None, None, Some(node), None) => {
            let entry = match node.get("key") {
                Some(entry) => entry.as_str()?,
                None => ENTRY,
            };
            let (namespace, name) = (node.get("namespace")?.as_str()?, node.get("name")?.as_str()?);
            Some((Source::Secret(namespace, name, entry), node.place))
        }
        (None, None, None, Some(node)) => Some((Source::Kms(node.as_str()?), node.place)),
        _ => None,
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
