//! What must hold between the fields of a policy.

use std::collections::BTreeMap;

use crate::fields::{Found, Path};
use crate::manifest::tree::Node;
use crate::policy::exception;
use crate::signer::claim::Claim;

pub(super) fn rules_have_distinct_names(spec: &Node, path: &Path, found: &mut Found<'_>) {
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

pub(super) fn rule_demands_or_allows(rule: &Node, path: &Path, found: &mut Found<'_>) {
    let demand = rule.get("signatures").or_else(|| rule.get("attestations"));
    let allowed = rule.get("allowUnsigned").filter(|node| node.to_json() == true);
    match (demand, allowed, rule.get("allowUnsigned")) {
        (Some(_), Some(allowed), _) => {
            let message = format!("`allowUnsigned` stands beside `signatures` or `attestations` (in `{path}`)");
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

pub(super) fn enough_authorities(signatures: &Node, path: &Path, found: &mut Found<'_>) {
    let authorities = signatures.get("authorities");
    distinct_names(authorities, "authority", &path.field("authorities"), found);
    if let Some(authorities) = authorities.and_then(Node::items) {
        within_threshold(signatures, authorities.len(), path, found);
    }
}

/// Reports a threshold that so many authorities cannot reach.
pub(super) fn within_threshold(asking: &Node, count: usize, path: &Path, found: &mut Found<'_>) {
    let Some(threshold) = asking.get("threshold") else { return };
    let asked = threshold.to_json().as_u64().and_then(|asked| usize::try_from(asked).ok());
    if asked.is_some_and(|asked| asked > count && count > 0) {
        let message = format!("`{}` is above the number of authorities, which is {count}", path.field("threshold"));
        found.report(threshold.place, message, "lower it, or name more authorities: each counts once");
    }
}

/// Exactly one kind of signer, and a trust root exactly where something is checked against it.
pub(super) fn authority_has_one_signer(authority: &Node, path: &Path, found: &mut Found<'_>) {
    let kinds = ["key", "keyless", "notation", "contentTrust"];
    match kinds.iter().filter(|kind| authority.get(kind).is_some()).count() {
        0 => {
            let message = format!("missing field `key` or `keyless` in `{path}`");
            found.report(authority.place, message, "write `key: {file: …}` or `keyless: {identities: […]}`");
        }
        1 => {}
        _ => {
            let message = format!("`{path}` names more than one kind of signer");
            found.report(authority.place, message, "keep one; further signers are authorities of their own");
        }
    }
    root_where_it_counts(authority, path, found);
}

fn root_where_it_counts(authority: &Node, path: &Path, found: &mut Found<'_>) {
    let log = authority.get("transparencyLog");
    let required = log.and_then(Node::as_str) == Some("require");
    if let (Some(log), Some(_)) = (log.filter(|node| node.as_str() == Some("ignore")), authority.get("keyless")) {
        let message = format!("`{}` beside `keyless` is not supported yet", path.field("transparencyLog"));
        found.report(log.place, message, "leave it out: certificates always need a transparency log");
    }
    if let (None, Some(root)) = (authority.get("keyless"), authority.get("trustRoot"))
        && authority.get("key").is_some()
        && !required
    {
        found.report(
            root.place,
            format!("`{}` has no effect: nothing is checked against it", path.field("trustRoot")),
            "add `transparencyLog: require`, or leave it out: keys alone need no trust root",
        );
    }
}

pub(super) fn root_has_one_source(root: &Node, path: &Path, found: &mut Found<'_>) {
    let help = "write `file: …` or `tuf: {mirror: …}`, or leave `trustRoot` out for the default root";
    match (root.get("file"), root.get("tuf")) {
        (Some(_), None) | (None, Some(_)) => {}
        (None, None) => found.report(root.place, format!("`{path}` names no trust root"), help),
        (Some(_), Some(tuf)) => found.report(tuf.place, format!("`{path}` names more than one trust root"), help),
    }
}

/// An issuer and a subject, each in one way: half an identity would be anybody's.
pub(super) fn identity_is_whole(identity: &Node, path: &Path, found: &mut Found<'_>) {
    for (exact, pattern) in [("issuer", "issuerRegExp"), ("subject", "subjectRegExp")] {
        match (identity.get(exact), identity.get(pattern)) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => {
                let message = format!("missing field `{exact}` or `{pattern}` in `{path}`");
                found.report(identity.place, message, "an identity is an issuer and a subject of the same certificate");
            }
            (Some(_), Some(node)) => {
                let message = format!("`{}` stands beside `{exact}`", path.field(pattern));
                found.report(node.place, message, "keep one of them; further identities are entries of their own");
            }
        }
    }
}

/// At least one claim, each in one way.
pub(super) fn claims_are_single(claims: &Node, path: &Path, found: &mut Found<'_>) {
    if claims.entries().is_some_and(<[_]>::is_empty) {
        found.report(claims.place, format!("`{path}` names no claim"), "name one, or leave it out");
    }
    for claim in Claim::ALL {
        if let (Some(_), Some(node)) = (claims.get(claim.name()), claims.get(claim.pattern_name())) {
            let message = format!("`{}` stands beside `{claim}`", path.field(claim.pattern_name()));
            found.report(node.place, message, "keep one of them; further identities are entries of their own");
        }
    }
}

pub(super) fn key_is_whole(key: &Node, path: &Path, found: &mut Found<'_>) {
    key_has_one_source(key, path, found);
    let time = |name: &str| Some((key.get(name)?, exception::instant(key.get(name)?.as_str()?).ok()?));
    if let (Some((_, from)), Some((node, until))) = (time("validFrom"), time("validUntil"))
        && until <= from
    {
        let message =
            format!("`{}` does not lie after `validFrom`, so that the key never counts", path.field("validUntil"));
        found.report(node.place, message, "write a later time");
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
