//! Short fields for what people ask of provenance, scans and bills of materials. Each means a condition, in the very
//! words that the documentation gives for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::json;

use super::age;
use crate::fields::Complaint;
use crate::policy::exception;

/// The severities, mildest first; their order is their rank in `severity(…)`.
pub(in crate::policy) const SEVERITIES: [&str; 5] = ["negligible", "low", "medium", "high", "critical"];
/// Longest identifier, in bytes.
const MAX_IDENTIFIER: usize = 512;
/// The provenance whose fields lie under `buildDefinition` and `runDetails`.
const PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";

/// An expression with what it says when it does not hold.
pub(super) type Worded = (String, String);

/// What is asked of provenance.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Slsa {
    builder: Option<String>,
    #[serde(rename = "builderRegExp")]
    builder_pattern: Option<String>,
    source: Option<String>,
    #[serde(rename = "sourceRegExp")]
    source_pattern: Option<String>,
    build_type: Option<String>,
    #[serde(rename = "buildTypeRegExp")]
    build_type_pattern: Option<String>,
}

/// What is asked of a scan.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Vulnerabilities {
    max_severity: Option<String>,
    #[serde(default)]
    pub(super) allow: Vec<Allowed>,
    scanner: Option<String>,
    max_database_age: Option<String>,
}

/// A vulnerability that is allowed for a while.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Allowed {
    id: String,
    pub(super) expires: String,
    #[serde(rename = "reason")]
    _reason: Option<String>,
}

/// What is asked of a bill of materials.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Sbom {
    present: Option<bool>,
    #[serde(default)]
    deny_packages: Vec<String>,
    allow_licenses: Option<Vec<String>>,
}

/// Whether a type is SLSA provenance.
pub(in crate::policy) fn is_provenance(kind: &str) -> bool {
    [PROVENANCE_V1, "https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v0.1"].contains(&kind)
}

/// Whether a type is cosign's vulnerability scan.
pub(in crate::policy) fn is_scan(kind: &str) -> bool {
    kind == "https://cosign.sigstore.dev/attestation/vuln/v1"
}

/// Whether a type is a bill of materials that can be read.
pub(in crate::policy) fn is_bill(kind: &str) -> bool {
    ["https://spdx.dev/Document", "https://cyclonedx.org/bom"]
        .iter()
        .any(|known| kind.strip_prefix(known).is_some_and(|version| version.is_empty() || version.starts_with("/v")))
}

/// `value.matches(…)` of the whole text.
pub(in crate::policy) fn matches(value: &str, pattern: &str) -> String {
    format!("{value}.matches({})", json!(format!("^(?:{pattern})$")))
}

/// A source is a repository, as `sourceOf` gives it.
pub(in crate::policy) fn source(text: &str) -> Result<(), Complaint> {
    let plain = !text.starts_with("git+") && text.strip_suffix(".git").is_none() && !text.ends_with('/');
    let path = text.split_once("://").map(|(_, rest)| rest);
    if plain && path.is_some_and(|path| path.contains('/') && !path.contains(['#', '?'])) && !text.contains("@refs/") {
        return Ok(());
    }
    let shown: String = text.chars().take(80).collect();
    Err(Complaint::new(
        format!("`{}` is no repository's address", shown.escape_debug()),
        "write it without `git+`, `.git` and `@ref`, as `https://github.com/acme/app`",
    ))
}

/// A package, a licence or a vulnerability, as it is compared: whole.
pub(in crate::policy) fn identifier(text: &str) -> Result<(), Complaint> {
    if !text.trim().is_empty() && text.trim() == text && text.len() <= MAX_IDENTIFIER && !text.contains(['*', '\n']) {
        return Ok(());
    }
    let shown: String = text.chars().take(80).collect();
    Err(Complaint::new(
        format!("`{}` names nothing", shown.escape_debug()),
        "write one name whole; there are no wildcards",
    ))
}

impl Slsa {
    pub(super) fn worded(&self, kind: &str) -> Vec<Worded> {
        let (builder, build_type) = if kind == PROVENANCE_V1 {
            ("predicate.runDetails.builder.id", "predicate.buildDefinition.buildType")
        } else {
            ("predicate.builder.id", "predicate.buildType")
        };
        let asked = [
            ("builder", builder, &self.builder, &self.builder_pattern),
            ("source", "sourceOf(predicate)", &self.source, &self.source_pattern),
            ("build type", build_type, &self.build_type, &self.build_type_pattern),
        ];
        let mut worded = Vec::new();
        for (what, value, exact, pattern) in asked {
            if let Some(exact) = exact {
                worded.push((format!("{value} == {}", json!(exact)), format!("the {what} is not {exact}")));
            }
            if let Some(pattern) = pattern {
                worded.push((matches(value, pattern), format!("the {what} does not match {pattern}")));
            }
        }
        worded
    }
}

impl Vulnerabilities {
    pub(super) fn worded(&self) -> Result<Vec<Worded>, Complaint> {
        let mut worded = Vec::new();
        if let Some(most) = &self.max_severity {
            let rank = SEVERITIES.iter().position(|name| name == most);
            let rank = rank.ok_or_else(|| Complaint::new(format!("`{most}` is no severity"), ""))?;
            let mut passes = format!("severity(v.severity) <= {rank}");
            for (expires, ids) in self.by_expiry() {
                let until = exception::day(expires)?;
                let (ids, until) = (json!(ids), json!(until.to_string()));
                let _written = write!(passes, " || v.id in {ids} && now < timestamp({until})");
            }
            let message = format!("a vulnerability is more severe than {most}, and not allowed");
            worded.push((format!("vulnerabilities(predicate).all(v, {passes})"), message));
        }
        if let Some(scanner) = &self.scanner {
            let (exact, versioned) = (json!(scanner), json!(format!("{scanner}@")));
            let uri = "predicate.scanner.uri";
            worded.push((
                format!("{uri} == {exact} || {uri}.startsWith({versioned})"),
                format!("the scanner is not {scanner}"),
            ));
        }
        if let Some(age) = &self.max_database_age {
            let seconds = age::parse(age)?.as_secs();
            let time = "databaseTime(predicate)";
            worded.push((
                format!("{time} <= now && now - {time} <= duration(\"{seconds}s\")"),
                format!("the scanner's database is older than {age}"),
            ));
        }
        Ok(worded)
    }

    /// The allowed identifiers by the day on which they no longer are, so that each day is written once.
    fn by_expiry(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut days = BTreeMap::<&str, Vec<&str>>::new();
        for Allowed { id, expires, .. } in &self.allow {
            days.entry(expires).or_default().push(id);
        }
        days
    }
}

impl Sbom {
    pub(super) fn worded(&self) -> Vec<Worded> {
        let mut worded = Vec::new();
        if self.present.is_some() {
            worded.push((
                "size(packages(predicate)) > 0".to_owned(),
                "the bill of materials lists no package".to_owned(),
            ));
        }
        if !self.deny_packages.is_empty() {
            let names = r#"[p.name, p.name + "@" + p.version, p.purl, p.purl.split("?")[0].split("@")[0]]"#;
            worded.push((
                format!("packages(predicate).all(p, {names}.all(n, !(n in {})))", json!(self.deny_packages)),
                "the image holds a package that is denied".to_owned(),
            ));
        }
        if let Some(licenses) = &self.allow_licenses {
            worded.push((
                format!("packages(predicate).all(p, licenseAllowed(p.license, {}))", json!(licenses)),
                "the image holds a package under a licence that is not allowed".to_owned(),
            ));
        }
        worded
    }
}
