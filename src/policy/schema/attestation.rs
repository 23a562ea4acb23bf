//! The fields of a demand for an attestation.

use super::{AUTHORITY, MAX_THRESHOLD, between, text};
use crate::condition::Expression;
use crate::fields::{Complaint, Found, Path, Record, Shape, nothing, optional, required};
use crate::manifest::tree::Node;
use crate::policy::attestation::{self, age, helpers};
use crate::policy::{exception, predicate};

/// An entry of `attestations`.
pub(super) static ATTESTATION: Record = Record {
    fields: &[
        required("predicateType", Shape::Text(predicate_type)),
        optional("threshold", Shape::Count(1..=MAX_THRESHOLD)),
        optional("authorities", Shape::List(&Shape::Record(&AUTHORITY), 1)),
        optional("maxAge", Shape::Text(max_age)),
        optional("conditions", Shape::List(&Shape::Record(&CONDITION), 1)),
        optional("slsa", Shape::Record(&SLSA)),
        optional("vulnerabilities", Shape::Record(&VULNERABILITIES)),
        optional("sbom", Shape::Record(&SBOM)),
    ],
    between: attestation_is_whole,
};

static CONDITION: Record = Record {
    fields: &[required("expression", Shape::Text(expression)), required("message", Shape::Text(text))],
    between: nothing,
};

static SLSA: Record = Record {
    fields: &[
        optional("builder", Shape::Text(text)),
        optional("builderRegExp", Shape::Text(pattern)),
        optional("source", Shape::Text(source)),
        optional("sourceRegExp", Shape::Text(pattern)),
        optional("buildType", Shape::Text(text)),
        optional("buildTypeRegExp", Shape::Text(pattern)),
    ],
    between: slsa_says_one_of_each,
};

static VULNERABILITIES: Record = Record {
    fields: &[
        optional("maxSeverity", Shape::Word(&helpers::SEVERITIES)),
        optional("allow", Shape::List(&Shape::Record(&ALLOWED), 1)),
        optional("scanner", Shape::Text(text)),
        optional("maxDatabaseAge", Shape::Text(max_age)),
    ],
    between: allowed_beside_a_severity,
};

static ALLOWED: Record = Record {
    fields: &[
        required("id", Shape::Text(identifier)),
        required("expires", Shape::Text(day)),
        optional("reason", Shape::Text(text)),
    ],
    between: nothing,
};

static SBOM: Record = Record {
    fields: &[
        optional("present", Shape::Flag),
        optional("denyPackages", Shape::List(&Shape::Text(identifier), 1)),
        optional("allowLicenses", Shape::List(&Shape::Text(identifier), 1)),
    ],
    between: sbom_asks_for_something,
};

/// Every demand for an attestation has authorities: its own, or the rule's.
pub(super) fn have_authorities(rule: &Node, path: &Path, found: &mut Found<'_>) {
    let inherited = rule.get("signatures").and_then(|node| node.get("authorities")).and_then(Node::items);
    let entries = rule.get("attestations").and_then(Node::items);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let path = path.field("attestations").item(index);
        match (entry.get("authorities"), inherited) {
            (Some(_), _) => {}
            (None, Some(inherited)) => between::within_threshold(entry, inherited.len(), &path, found),
            (None, None) => {
                let message = format!("`{path}` says nowhere whose attestations count");
                let help = "name its own `authorities`, or give the rule some under `signatures`";
                found.report(entry.place, message, help);
            }
        }
    }
}

fn attestation_is_whole(entry: &Node, path: &Path, found: &mut Found<'_>) {
    between::enough_authorities(entry, path, found);
    let Some(kind) = entry.get("predicateType").and_then(Node::as_str).and_then(|text| predicate::uri(text).ok())
    else {
        return;
    };
    fits(entry, "slsa", helpers::is_provenance(&kind), "`slsaprovenance1` or `slsaprovenance02`", found);
    fits(entry, "vulnerabilities", helpers::is_scan(&kind), "`vuln`", found);
    fits(entry, "sbom", helpers::is_bill(&kind), "`spdxjson` or `cyclonedx`", found);
    let conditions = entry.get("conditions").and_then(Node::items).map_or(0, <[Node]>::len);
    if conditions > attestation::MAX_CONDITIONS {
        let message = format!("`{}` has more than {}", path.field("conditions"), attestation::MAX_CONDITIONS);
        found.report(entry.place, message, "join some with `&&`");
    }
}

/// Reports a short field beside a type that it says nothing about.
fn fits(entry: &Node, field: &str, fits: bool, types: &str, found: &mut Found<'_>) {
    if let Some(node) = entry.get(field).filter(|_| !fits) {
        found.report(node.place, format!("`{field}` says nothing about this type"), format!("ask it of {types}"));
    }
}

fn slsa_says_one_of_each(slsa: &Node, path: &Path, found: &mut Found<'_>) {
    asks_for_something(slsa, path, found);
    for (exact, pattern) in [("builder", "builderRegExp"), ("source", "sourceRegExp"), ("buildType", "buildTypeRegExp")]
    {
        if let (Some(_), Some(node)) = (slsa.get(exact), slsa.get(pattern)) {
            let message = format!("`{}` stands beside `{exact}`", path.field(pattern));
            found.report(node.place, message, "keep one of them");
        }
    }
}

fn allowed_beside_a_severity(asked: &Node, path: &Path, found: &mut Found<'_>) {
    asks_for_something(asked, path, found);
    if let (Some(node), None) = (asked.get("allow"), asked.get("maxSeverity")) {
        let message = format!("`{}` has no effect without `maxSeverity`", path.field("allow"));
        found.report(node.place, message, "say which severities pass, or leave it out");
    }
}

fn sbom_asks_for_something(asked: &Node, path: &Path, found: &mut Found<'_>) {
    asks_for_something(asked, path, found);
    if let Some(node) = asked.get("present").filter(|node| node.to_json() == false) {
        found.report(node.place, format!("`{}` asks for nothing", path.field("present")), "leave it out");
    }
}

fn asks_for_something(asked: &Node, path: &Path, found: &mut Found<'_>) {
    if asked.entries().is_some_and(<[_]>::is_empty) {
        found.report(asked.place, format!("`{path}` asks for nothing"), "name a field, or leave it out");
    }
}

fn predicate_type(text: &str) -> Result<(), Complaint> {
    predicate::uri(text).map(drop)
}

fn max_age(text: &str) -> Result<(), Complaint> {
    age::parse(text).map(drop)
}

fn expression(text: &str) -> Result<(), Complaint> {
    attestation::expression(text).map(drop)
}

fn pattern(text: &str) -> Result<(), Complaint> {
    Expression::compile(&helpers::matches("image.name", text)).map(drop).map_err(|error| {
        let help = "a pattern always takes the whole text; write it as in Rust's `regex` or RE2";
        Complaint::new(error.message, help)
    })
}

fn source(text: &str) -> Result<(), Complaint> {
    helpers::source(text)
}

fn identifier(text: &str) -> Result<(), Complaint> {
    helpers::identifier(text)
}

fn day(text: &str) -> Result<(), Complaint> {
    exception::day(text).map(drop)
}
