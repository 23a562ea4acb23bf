//! The fields of the configuration: what may stand where, and what must hold between fields.

use std::collections::BTreeMap;

use super::checks::{self, Transport};
use super::kms;
use super::kubernetes::KUBERNETES;
use super::telling;
use crate::discovery::{self, FieldRule};
use crate::fields::{Complaint, Field, Found, Path, Record, Shape, nothing, optional, required};
use crate::image::Host;
use crate::manifest::tree::Node;
use crate::push::Provider;

/// Most gates of one daemon: each is a task, and a label of every metric.
const MAX_GATES: usize = 256;

/// The configuration file.
pub(super) static SETTINGS: Record = Record {
    fields: &[
        optional("listen", Shape::Text(checks::listen)),
        optional("stateDir", Shape::Text(checks::text)),
        required("gates", Shape::List(&Shape::Record(&GATE), 1)),
        optional("registries", REGISTRIES),
        optional("discovery", Shape::Record(&DISCOVERY)),
        optional("limits", Shape::Record(&LIMITS)),
        optional("proxy", Shape::Record(&PROXY)),
        optional("leaderElection", Shape::Flag),
        optional("render", Shape::Record(&RENDER)),
        optional("notifications", Shape::List(&Shape::Record(&telling::NOTIFICATION), 0)),
        optional("offline", Shape::Flag),
        optional("tuf", Shape::Record(&TUF)),
        optional("kms", Shape::Record(&kms::KMS)),
        optional("admission", Shape::Later("leave it out")),
    ],
    between: gates_and_registries_are_distinct,
};

/// A file of registries alone.
pub(super) static REGISTRY_CONFIG: Record =
    Record { fields: &[required("registries", REGISTRIES)], between: registries_are_distinct };

static GATE: Record = Record {
    fields: &[
        required("name", Shape::Text(checks::label)),
        required("source", Shape::Record(&SOURCE)),
        required("policies", Shape::List(&Shape::Text(checks::text), 1)),
        required("target", Shape::Record(&TARGET)),
        optional("namespace", Shape::Text(checks::label)),
        optional("mode", Shape::Word(&["enforce", "audit"])),
        optional("drift", Shape::Record(&DRIFT)),
        optional("render", Shape::List(&Shape::Record(&FOLDER), 0)),
        optional("suspend", Shape::Flag),
        optional("statuses", Shape::Record(&telling::STATUSES)),
        optional("hook", Shape::Record(&HOOK)),
    ],
    between: nothing,
};

static HOOK: Record = Record {
    fields: &[required("provider", Shape::Word(&Provider::NAMES)), required("secretFile", Shape::Text(checks::text))],
    between: nothing,
};

static SOURCE: Record = Record {
    fields: &[
        required("git", Shape::Text(checks::git)),
        optional("branch", Shape::Text(checks::branch)),
        optional("path", Shape::Text(checks::inside)),
        optional("interval", Shape::Text(checks::interval)),
        optional("exclude", Shape::List(&Shape::Text(checks::exclude), 0)),
        optional("allowRewrite", Shape::Flag),
        optional("auth", Shape::Record(&AUTH)),
    ],
    between: auth_fits_the_transport,
};

static AUTH: Record = Record {
    fields: &[
        optional("username", Shape::Text(checks::text)),
        optional("passwordFile", Shape::Text(checks::text)),
        optional("caFile", Shape::Text(checks::text)),
        optional("sshKeyFile", Shape::Text(checks::text)),
        optional("knownHostsFile", Shape::Text(checks::text)),
    ],
    between: nothing,
};

static TARGET: Record = Record {
    fields: &[
        optional("kubernetes", Shape::Record(&KUBERNETES)),
        optional(
            "directory",
            Shape::Record(&Record { fields: &[required("path", Shape::Text(checks::text))], between: nothing }),
        ),
        optional("git", Shape::Later("write to a `directory`, or apply to `kubernetes`")),
    ],
    between: one_target,
};

static DRIFT: Record = Record {
    fields: &[
        optional("objects", Shape::Word(&["correct", "report", "off"])),
        optional("tags", Shape::Switch(checks::interval)),
    ],
    between: nothing,
};

const REGISTRIES: Shape = Shape::Table(checks::host, &Shape::Record(&REGISTRY));

static REGISTRY: Record = Record {
    fields: &[
        optional("mirrors", Shape::List(&Shape::OneOrRecord(&Shape::Text(checks::mirror), &MIRROR), 0)),
        optional("insecure", Shape::Flag),
        optional("caFile", Shape::Text(checks::text)),
        optional("concurrency", Shape::Count(1..=256)),
        optional("authRealms", Shape::List(&Shape::Text(checks::host), 0)),
        optional("pullSecret", Shape::Record(&PULL_SECRET)),
    ],
    between: insecure_needs_no_roots,
};

static MIRROR: Record = Record {
    fields: &[required("location", Shape::Text(checks::mirror)), optional("resolveTags", Shape::Flag)],
    between: nothing,
};

static PULL_SECRET: Record = Record {
    fields: &[required("namespace", Shape::Text(checks::label)), required("name", Shape::Text(checks::text))],
    between: nothing,
};

static DISCOVERY: Record = Record {
    fields: &[
        optional("fields", Shape::List(&Shape::Record(&FIELD), 0)),
        optional("unclassified", Shape::Word(&["refuse", "warn", "ignore"])),
    ],
    between: nothing,
};

static FIELD: Record = Record {
    fields: &[
        required("group", Shape::Text(checks::group)),
        required("kind", Shape::Text(checks::text)),
        required("path", Shape::Text(checks::text)),
        required("action", Shape::Word(&["pin", "verify", "ignore"])),
        optional("reason", Shape::Text(checks::text)),
        optional("split", Shape::Record(&SPLIT)),
    ],
    between: field_rule_is_one,
};

static SPLIT: Record = Record {
    fields: &[
        optional("registry", Shape::Text(checks::text)),
        required("repository", Shape::Text(checks::text)),
        optional("name", Shape::Text(checks::text)),
        optional("tag", Shape::Text(checks::text)),
        optional("digest", Shape::Text(checks::text)),
    ],
    between: nothing,
};

static LIMITS: Record = Record {
    fields: &[
        size("fileBytes"),
        optional("files", Shape::Count(1..=10_000_000)),
        optional("images", Shape::Count(1..=1_000_000)),
        size("manifestBytes"),
        size("blobBytes"),
        optional("signatures", Shape::Count(1..=100_000)),
        optional("imageTimeout", Shape::Text(checks::timeout)),
        optional("decisionTimeout", Shape::Text(checks::timeout)),
    ],
    between: nothing,
};

static RENDER: Record = Record {
    fields: &[
        optional("kustomize", Shape::Text(checks::text)),
        optional("helm", Shape::Text(checks::text)),
        optional("time", Shape::Text(checks::timeout)),
        optional("memory", Shape::Quantity(checks::memory)),
        size("output"),
        optional("isolation", Shape::Word(&["best-effort", "required"])),
    ],
    between: nothing,
};

static FOLDER: Record = Record {
    fields: &[
        required("path", Shape::Text(checks::inside)),
        optional("renderer", Shape::Word(&["kustomize", "helm"])),
        optional("release", Shape::Text(checks::label)),
        optional("namespace", Shape::Text(checks::label)),
        optional("values", Shape::List(&Shape::Text(checks::text), 0)),
        optional("kubeVersion", Shape::Text(checks::text)),
        optional("apiVersions", Shape::List(&Shape::Text(checks::text), 0)),
    ],
    between: nothing,
};

static PROXY: Record = Record {
    fields: &[
        optional("https", Shape::Text(checks::proxy)),
        optional("noProxy", Shape::List(&Shape::Text(checks::text), 0)),
    ],
    between: nothing,
};

static TUF: Record = Record {
    fields: &[
        optional("mirror", Shape::Text(checks::service)),
        optional("root", Shape::Text(checks::text)),
        optional("caFile", Shape::Text(checks::text)),
        optional("interval", Shape::Text(checks::interval)),
    ],
    between: tuf_root_needs_a_mirror,
};

const fn size(name: &'static str) -> Field {
    optional(name, Shape::Quantity(checks::size))
}

fn gates_and_registries_are_distinct(root: &Node, path: &Path, found: &mut Found<'_>) {
    registries_are_distinct(root, path, found);
    telling::notifications_are_distinct(root, found);
    let Some(list) = root.get("gates") else { return };
    let gates = list.items().unwrap_or(&[]);
    if gates.len() > MAX_GATES {
        let message = format!("there are {} gates, {MAX_GATES} are allowed", gates.len());
        found.report(list.place, message, "run a second daemon for some of them");
    }
    distinct(gates, &["name"], "give each gate a name of its own", found);
    let help = "give each gate a folder of its own: one would undo what the other did";
    distinct(gates, &["target", "directory", "path"], help, found);
}

/// Reports a text that stands twice at the same route of several nodes.
fn distinct(nodes: &[Node], route: &[&str], help: &str, found: &mut Found<'_>) {
    let mut seen = BTreeMap::new();
    for node in nodes {
        let value = route.iter().try_fold(node, |node, step| node.get(step));
        let Some((value, text)) = value.and_then(|value| Some((value, value.as_str()?))) else { continue };
        if let Some(line) = seen.insert(text, value.place.line) {
            let message = format!("`{}: {text}` stands in line {line} already", route.join("."));
            found.report(value.place, message, help);
        }
    }
}

fn registries_are_distinct(root: &Node, _: &Path, found: &mut Found<'_>) {
    let mut seen: BTreeMap<Host, usize> = BTreeMap::new();
    for (key, _) in root.get("registries").and_then(Node::entries).into_iter().flatten() {
        // What is no host is told where keys are checked.
        let Ok(host) = Host::parse(&key.text) else { continue };
        if let Some(line) = seen.insert(host, key.place.line) {
            let message = format!("`{}` is the registry of line {line}", key.text);
            found.report(key.place, message, "write what holds for a registry in one place");
        }
    }
}

fn auth_fits_the_transport(source: &Node, path: &Path, found: &mut Found<'_>) {
    let Some(Ok(transport)) = source.get("git").and_then(Node::as_str).map(checks::transport) else { return };
    for (key, _) in source.get("auth").and_then(Node::entries).into_iter().flatten() {
        let fits = match (key.text.as_str(), transport) {
            ("username", Transport::Http | Transport::Https | Transport::Ssh)
            | ("passwordFile", Transport::Http | Transport::Https)
            | ("caFile", Transport::Https)
            | ("sshKeyFile" | "knownHostsFile", Transport::Ssh) => true,
            ("username" | "passwordFile" | "caFile" | "sshKeyFile" | "knownHostsFile", _) => false,
            // Unknown, and told as such.
            _ => true,
        };
        if !fits {
            let message = format!("`{}` means nothing for this repository", path.field("auth").field(&key.text));
            let help = "passwords and roots are for `https://`, keys and known hosts for `ssh://`; leave it out";
            found.report(key.place, message, help);
        }
    }
}

fn one_target(target: &Node, path: &Path, found: &mut Found<'_>) {
    let kinds = ["kubernetes", "directory", "git"];
    match kinds.iter().filter(|kind| target.get(kind).is_some()).count() {
        1 => {}
        0 => found.report(target.place, format!("`{path}` names no target"), "write `directory` or `kubernetes`"),
        _ => found.report(target.place, format!("`{path}` names more than one target"), "write a gate for each"),
    }
}

fn insecure_needs_no_roots(registry: &Node, path: &Path, found: &mut Found<'_>) {
    let insecure = registry.get("insecure").is_some_and(|node| node.to_json() == true);
    if let (true, Some(roots)) = (insecure, registry.get("caFile")) {
        let message = format!("`{path}` has both `insecure: true` and `caFile`");
        found.report(roots.place, message, "keep `caFile` for HTTPS with roots of your own, `insecure` for plain HTTP");
    }
}

fn tuf_root_needs_a_mirror(tuf: &Node, path: &Path, found: &mut Found<'_>) {
    if let (Some(root), None) = (tuf.get("root"), tuf.get("mirror")) {
        let message = format!("`{path}` has `root` and no `mirror`");
        found.report(root.place, message, "name the mirror of the repository that this root is of");
    }
}

fn field_rule_is_one(field: &Node, path: &Path, found: &mut Found<'_>) {
    let text = |name: &str| field.get(name).and_then(Node::as_str);
    let (Some(group), Some(kind), Some(route)) = (text("group"), text("kind"), text("path")) else { return };
    let Some(place) = field.get("path").map(|node| node.place) else { return };
    let Some(action) = text("action").and_then(action) else { return };
    let help = "write a path such as `spec.runtime.image` or `spec.items[].image`";
    let in_parts = field.get("split").and_then(|split| split.get("repository")).and_then(Node::as_str);
    let keys = |repository: &str| discovery::SplitKeys {
        registry: None,
        repository: repository.to_owned(),
        name: None,
        tag: None,
        digest: None,
    };
    let answer = FieldRule::new(group, kind, route, action).and_then(|rule| match in_parts {
        Some(repository) => rule.in_parts(keys(repository)).map(drop),
        None => Ok(()),
    });
    found.accept(place, &path.field("path"), answer.map_err(|why| Complaint::new(why, help)));
}

/// The action that a word names.
pub(super) fn action(word: &str) -> Option<discovery::site::Action> {
    match word {
        "pin" => Some(discovery::site::Action::Pin),
        "verify" => Some(discovery::site::Action::Verify),
        "ignore" => Some(discovery::site::Action::Ignore),
        _ => None,
    }
}
