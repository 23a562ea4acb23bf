//! The fields of a policy file: what may stand where, and what must hold between fields.

use std::collections::BTreeMap;

use super::exception;
use super::glob::{NamespacePattern, Pattern};
use super::trusted::{self, Trusted};
use crate::fields::{Complaint, Found, Path, Record, Shape, nothing, optional, required};
use crate::image::{Digest, Platform};
use crate::manifest::tree::Node;

/// Longest name of a policy, rule or authority, in characters: it is read in reports.
const MAX_NAME: usize = 253;
/// Longest text of another kind, in bytes.
const MAX_TEXT: usize = 4096;
/// Most signatures that a rule can ask for.
const MAX_THRESHOLD: u64 = 1000;

/// One document of a policy file.
pub(super) static POLICY: Shape = Shape::Record(&Record {
    fields: &[
        required("apiVersion", Shape::Word(&["sealgate.dev/v1alpha1"])),
        required("kind", Shape::Word(&["ImagePolicy"])),
        required(
            "metadata",
            Shape::Record(&Record { fields: &[required("name", Shape::Text(name))], between: nothing }),
        ),
        required("spec", Shape::Record(&SPEC)),
    ],
    between: nothing,
});

static SPEC: Record = Record {
    fields: &[
        optional("registries", Shape::List(&Shape::Text(registry), 1)),
        required("rules", Shape::List(&Shape::Record(&RULE), 1)),
        optional("exceptions", Shape::List(&Shape::Record(&EXCEPTION), 0)),
    ],
    between: rules_have_distinct_names,
};

static RULE: Record = Record {
    fields: &[
        required("name", Shape::Text(name)),
        required("images", Shape::List(&Shape::Text(pattern), 1)),
        optional("namespaces", Shape::List(&Shape::Text(namespace), 1)),
        optional(
            "platforms",
            Shape::OneOrList(&Shape::Word(&["index", "all-leaves"]), &Shape::List(&Shape::Text(platform), 1)),
        ),
        optional("allowUnsigned", Shape::Flag),
        optional("signatures", Shape::Record(&SIGNATURES)),
        optional("attestations", Shape::Later("demand `signatures` until attestations can be verified")),
    ],
    between: rule_demands_or_allows,
};

static SIGNATURES: Record = Record {
    fields: &[
        optional("threshold", Shape::Count(1..=MAX_THRESHOLD)),
        required("authorities", Shape::List(&Shape::Record(&AUTHORITY), 1)),
    ],
    between: enough_authorities,
};

static AUTHORITY: Record = Record {
    fields: &[
        required("name", Shape::Text(name)),
        optional("key", Shape::Record(&KEY)),
        optional("annotations", Shape::Table(annotation, &Shape::Text(text))),
        optional("transparencyLog", Shape::Text(transparency_log)),
        optional("signedReference", Shape::Word(&["ignore", "repository"])),
        optional("source", Shape::Text(source)),
        optional("keyless", Shape::Later(KEY_HELP)),
        optional("notation", Shape::Later(KEY_HELP)),
        optional("contentTrust", Shape::Later(KEY_HELP)),
        optional("trustRoot", Shape::Later("leave it out: keys need no trust root")),
    ],
    between: authority_has_a_key,
};

static KEY: Record = Record {
    fields: &[
        optional("file", Shape::Text(text)),
        optional("data", Shape::Text(text)),
        optional("secret", Shape::Later("mount the secret and name its file under `key.file`")),
        optional(
            "kms",
            Shape::Later("save the public key to a file (`cosign public-key --key …`) and name it under `key.file`"),
        ),
    ],
    between: key_has_one_source,
};

static EXCEPTION: Record = Record {
    fields: &[
        required("images", Shape::List(&Shape::Text(pattern), 1)),
        optional("namespaces", Shape::List(&Shape::Text(namespace), 1)),
        optional("digests", Shape::List(&Shape::Text(digest), 1)),
        required("reason", Shape::Text(text)),
        required("owner", Shape::Text(text)),
        required("expires", Shape::Text(day)),
    ],
    between: nothing,
};

const KEY_HELP: &str = "use a public key (`key: {file: …}`) until then";

fn name(text: &str) -> Result<(), Complaint> {
    let fits = !text.trim().is_empty() && text.trim() == text && text.chars().count() <= MAX_NAME;
    if fits && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let help = format!("write 1 to {MAX_NAME} characters on one line, with no space at either end");
    Err(Complaint::new(format!("`{}` is no name", text.escape_debug()), help))
}

fn text(text: &str) -> Result<(), Complaint> {
    if text.trim().is_empty() {
        return Err(Complaint::new("the text is empty", "write something"));
    }
    if text.len() > MAX_TEXT.saturating_mul(16) {
        return Err(Complaint::new(
            format!("the text is longer than {} bytes", MAX_TEXT.saturating_mul(16)),
            "shorten it",
        ));
    }
    Ok(())
}

fn annotation(key: &str) -> Result<(), Complaint> {
    if key.is_empty() || key.len() > MAX_TEXT {
        return Err(Complaint::new("an annotation's name cannot be empty or this long", "write `name: value`"));
    }
    Ok(())
}

fn transparency_log(word: &str) -> Result<(), Complaint> {
    match word {
        "ignore" => Ok(()),
        "require" => {
            let message = "`transparencyLog: require` is not supported yet";
            Err(Complaint::new(message, "leave it out: for keys the default is `ignore`"))
        }
        other => Err(Complaint::new(format!("`{other}` is not known here"), "write `ignore`, or leave it out")),
    }
}

fn registry(text: &str) -> Result<(), Complaint> {
    Trusted::parse(text).map(drop)
}

fn pattern(text: &str) -> Result<(), Complaint> {
    Pattern::parse(text).map(drop)
}

fn namespace(text: &str) -> Result<(), Complaint> {
    NamespacePattern::parse(text).map(drop)
}

fn source(text: &str) -> Result<(), Complaint> {
    trusted::repository(text).map(drop)
}

fn day(text: &str) -> Result<(), Complaint> {
    exception::day(text).map(drop)
}

fn platform(text: &str) -> Result<(), Complaint> {
    let wrong = |error: crate::image::platform::PlatformError| {
        Complaint::new(format!("`{text}`: {error}"), "write `linux/amd64`")
    };
    text.parse::<Platform>().map(drop).map_err(wrong)
}

fn digest(text: &str) -> Result<(), Complaint> {
    let help = "copy the digest whole, as `crane digest IMAGE` or the report prints it";
    text.parse::<Digest>().map(drop).map_err(|error| Complaint::new(format!("`{text}`: {error}"), help))
}

fn rules_have_distinct_names(spec: &Node, path: &Path, found: &mut Found<'_>) {
    distinct_names(spec.get("rules"), "rule", &path.field("rules"), found);
}

/// Reports names that stand twice in a list of mappings: a report could not say which is meant.
fn distinct_names(list: Option<&Node>, what: &str, path: &Path, found: &mut Found<'_>) {
    let mut seen = BTreeMap::new();
    let named = list.and_then(Node::items).into_iter().flatten().enumerate();
    for (index, node) in named.map(|(index, item)| (index, item.get("name"))) {
        let Some((node, name)) = node.and_then(|node| Some((node, node.as_str()?))) else { continue };
        if let Some(line) = seen.insert(name, node.place.line) {
            let message = format!("{what} `{name}` stands in line {line} already (in `{}`)", path.item(index));
            found.report(node.place, message, format!("give each {what} a name of its own"));
        }
    }
}

fn rule_demands_or_allows(rule: &Node, path: &Path, found: &mut Found<'_>) {
    let demand = rule.get("signatures").or_else(|| rule.get("attestations"));
    let allowed = rule.get("allowUnsigned").filter(|node| node.to_json() == true);
    match (demand, allowed, rule.get("allowUnsigned")) {
        (Some(_), Some(allowed), _) => {
            let message = format!("`allowUnsigned` stands beside `signatures` (in `{path}`)");
            found.report(allowed.place, message, "keep one of them: a rule either demands or allows");
        }
        (None, None, wrong) if wrong.is_none_or(|node| node.to_json() == false) => {
            let message = format!("the rule has none of `signatures`, `attestations`, `allowUnsigned` (in `{path}`)");
            found.report(rule.place, message, "say who must have signed, or write `allowUnsigned: true`");
        }
        // What stands there is told as ill-typed.
        (Some(_), None, _) | (None, Some(_) | None, _) => {}
    }
}

fn enough_authorities(signatures: &Node, path: &Path, found: &mut Found<'_>) {
    let authorities = signatures.get("authorities");
    distinct_names(authorities, "authority", &path.field("authorities"), found);
    let Some(count) = authorities.and_then(Node::items).map(<[Node]>::len) else { return };
    let Some(threshold) = signatures.get("threshold") else { return };
    let asked = threshold.to_json().as_u64().and_then(|asked| usize::try_from(asked).ok());
    if asked.is_some_and(|asked| asked > count && count > 0) {
        let message = format!("`{}` is above the number of authorities, which is {count}", path.field("threshold"));
        found.report(threshold.place, message, "lower it, or name more authorities: each counts once");
    }
}

fn authority_has_a_key(authority: &Node, path: &Path, found: &mut Found<'_>) {
    let kinds = ["key", "keyless", "notation", "contentTrust"];
    if !kinds.iter().any(|kind| authority.get(kind).is_some()) {
        found.report(authority.place, format!("missing field `key` in `{path}`"), "write `key: {file: …}`");
    }
}

fn key_has_one_source(key: &Node, path: &Path, found: &mut Found<'_>) {
    let sources = ["file", "data", "secret", "kms"];
    match sources.iter().filter(|source| key.get(source).is_some()).count() {
        1 => {}
        0 => found.report(key.place, format!("`{path}` names no key"), "write `file: …` or `data: |`"),
        _ => found.report(
            key.place,
            format!("`{path}` names more than one key"),
            "keep one; further keys are authorities of their own",
        ),
    }
}
