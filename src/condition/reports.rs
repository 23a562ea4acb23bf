//! What scans, bills of materials and provenance say, under one form whoever wrote them.
//!
//! A form that is not known is an error, and so is an entry without what is asked of it: nothing is skipped in silence.

use super::functions::time;
use super::value::{List, Text, Value};
use super::{Failure, Meter};

/// How deep components of a bill of materials may lie in each other.
const MAX_DEPTH: usize = 16;

/// The member at the end of a way.
fn at<'a>(value: &Value<'a>, way: &[&str]) -> Option<Value<'a>> {
    way.iter().try_fold(value.clone(), |value, name| value.member(name))
}

fn text<'a>(value: &Value<'a>, way: &[&str]) -> Option<Text<'a>> {
    match at(value, way) {
        Some(Value::Text(text)) if !text.as_str().is_empty() => Some(text),
        Some(_) | None => None,
    }
}

/// A list that may be absent or null, but nothing else.
fn list<'a>(value: &Value<'a>, name: &str) -> Result<List<'a>, Failure> {
    match value.member(name) {
        Some(Value::List(list)) => Ok(list),
        None | Some(Value::Null) => Ok(List::Json(&[])),
        Some(other) => Err(Failure::wrong(format!("`{name}` is {}, not a list", other.kind()))),
    }
}

/// The findings of a scan in cosign's vulnerability predicate, as `{id, severity, package}`: by Trivy
/// (`scanner.result.Results`) or Grype (`scanner.result.matches`).
pub(super) fn vulnerabilities<'a>(predicate: &Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    let result = at(predicate, &["scanner", "result"]).ok_or_else(|| Failure::wrong("there is no `scanner.result`"))?;
    let mut found = Vec::new();
    if result.member("matches").is_some() {
        for one in list(&result, "matches")?.iter() {
            let id = text(&one, &["vulnerability", "id"]);
            let severity = text(&one, &["vulnerability", "severity"]);
            found.push(finding(id, severity, text(&one, &["artifact", "name"]), meter)?);
        }
    } else if result.member("Results").is_some() || result.member("SchemaVersion").is_some() {
        for target in list(&result, "Results")?.iter() {
            meter.spend(2)?;
            for one in list(&target, "Vulnerabilities")?.iter() {
                let (id, severity) = (text(&one, &["VulnerabilityID"]), text(&one, &["Severity"]));
                found.push(finding(id, severity, text(&one, &["PkgName"]), meter)?);
            }
        }
    } else {
        return Err(Failure::wrong("`scanner.result` is neither Trivy's nor Grype's report"));
    }
    Ok(Value::list(found))
}

fn finding<'a>(
    id: Option<Text<'a>>,
    severity: Option<Text<'a>>,
    package: Option<Text<'a>>,
    meter: &mut Meter,
) -> Result<Value<'a>, Failure> {
    meter.spend(8)?;
    let id = id.ok_or_else(|| Failure::wrong("a vulnerability has no identifier"))?;
    let severity = severity.unwrap_or(Text::Borrowed("unknown"));
    let package = package.unwrap_or(Text::Borrowed(""));
    let name = |name| Text::Borrowed(name);
    Ok(Value::map(vec![
        (name("id"), Value::Text(id)),
        (name("severity"), Value::Text(severity)),
        (name("package"), Value::Text(package)),
    ]))
}

/// The rank of a severity: negligible 0, low 1, medium 2, high 3, critical 4; unknown 5, since it may be anything.
pub(super) fn severity(name: &str) -> Result<i64, Failure> {
    match name.to_ascii_lowercase().as_str() {
        "negligible" => Ok(0),
        "low" => Ok(1),
        "medium" => Ok(2),
        "high" => Ok(3),
        "critical" => Ok(4),
        "unknown" => Ok(5),
        _ => Err(Failure::wrong("a severity has a name that is not known")),
    }
}

/// When the scanner's database was made: `scanner.db.lastUpdate`, or what Grype says in its report.
pub(super) fn database_time<'a>(predicate: &Value<'a>) -> Result<Value<'a>, Failure> {
    let ways: [&[&str]; 3] = [
        &["scanner", "db", "lastUpdate"],
        &["scanner", "result", "descriptor", "db", "built"],
        &["scanner", "result", "descriptor", "db", "status", "built"],
    ];
    let written = ways.iter().find_map(|way| text(predicate, way));
    let written = written.ok_or_else(|| Failure::wrong("the scan does not say when its database was made"))?;
    time(written.as_str(), &mut Meter::full())
}

/// The packages of a bill of materials, as `{name, version, purl, license}`: SPDX in JSON, or `CycloneDX` in JSON with the
/// components inside components. What has no licence has `NOASSERTION`.
pub(super) fn packages<'a>(predicate: &Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    let mut found = Vec::new();
    if predicate.member("spdxVersion").is_some() {
        for one in list(predicate, "packages")?.iter() {
            let usable = |text: &Text<'a>| !matches!(text.as_str(), "NOASSERTION" | "NONE");
            let license = text(&one, &["licenseConcluded"]).filter(usable);
            let license = license.or_else(|| text(&one, &["licenseDeclared"]).filter(usable));
            let purl = spdx_purl(&one, meter)?;
            found.push(package(&one, "versionInfo", purl, license, meter)?);
        }
    } else if predicate.member("bomFormat").is_some() {
        components(predicate, MAX_DEPTH, &mut found, meter)?;
    } else {
        return Err(Failure::wrong("the bill of materials is neither SPDX nor CycloneDX in JSON"));
    }
    Ok(Value::list(found))
}

fn spdx_purl<'a>(package: &Value<'a>, meter: &mut Meter) -> Result<Option<Text<'a>>, Failure> {
    for reference in list(package, "externalRefs")?.iter() {
        meter.spend(2)?;
        if text(&reference, &["referenceType"]).is_some_and(|kind| kind.as_str() == "purl") {
            return Ok(text(&reference, &["referenceLocator"]));
        }
    }
    Ok(None)
}

fn components<'a>(
    holder: &Value<'a>,
    depth: usize,
    found: &mut Vec<Value<'a>>,
    meter: &mut Meter,
) -> Result<(), Failure> {
    let deeper = depth.checked_sub(1).ok_or_else(|| Failure::wrong("components lie too deep in each other"))?;
    for one in list(holder, "components")?.iter() {
        let license = cyclonedx_license(&one, meter)?;
        found.push(package(&one, "version", text(&one, &["purl"]), license, meter)?);
        components(&one, deeper, found, meter)?;
    }
    Ok(())
}

/// All licences of a component must be allowed, so that they become one expression.
fn cyclonedx_license<'a>(component: &Value<'a>, meter: &mut Meter) -> Result<Option<Text<'a>>, Failure> {
    let mut parts = Vec::new();
    for one in list(component, "licenses")?.iter() {
        meter.spend(4)?;
        let named = text(&one, &["license", "id"]).or_else(|| text(&one, &["license", "name"]));
        let written = named.or_else(|| text(&one, &["expression"]));
        parts.push(written.ok_or_else(|| Failure::wrong("a licence of a component has no name"))?);
    }
    if let [only] = parts.as_slice() {
        return Ok(Some(only.clone()));
    }
    let whole: Vec<String> = parts.iter().map(|part| format!("({})", part.as_str())).collect();
    let whole = whole.join(" AND ");
    meter.spend_text(whole.len())?;
    Ok((!parts.is_empty()).then(|| Text::Made(whole.into())))
}

fn package<'a>(
    one: &Value<'a>,
    version: &str,
    purl: Option<Text<'a>>,
    license: Option<Text<'a>>,
    meter: &mut Meter,
) -> Result<Value<'a>, Failure> {
    meter.spend(12)?;
    let name = text(one, &["name"]).ok_or_else(|| Failure::wrong("a package has no name"))?;
    let or = |text: Option<Text<'a>>, otherwise| Value::Text(text.unwrap_or(Text::Borrowed(otherwise)));
    let key = |key| Text::Borrowed(key);
    Ok(Value::map(vec![
        (key("name"), Value::Text(name)),
        (key("version"), or(text(one, &[version]), "")),
        (key("purl"), or(purl, "")),
        (key("license"), or(license, "NOASSERTION")),
    ]))
}

/// The repository that provenance names as the source, without `git+` before it and `@REF` or `.git` behind it.
pub(super) fn source_of<'a>(predicate: &Value<'a>) -> Result<Value<'a>, Failure> {
    let ways: [&[&str]; 6] = [
        &["buildDefinition", "externalParameters", "workflow", "repository"],
        &["buildDefinition", "externalParameters", "source", "uri"],
        &["buildDefinition", "externalParameters", "source"],
        &["buildDefinition", "externalParameters", "configSource", "uri"],
        &["invocation", "configSource", "uri"],
        &["recipe", "definedInMaterial", "uri"],
    ];
    let written = ways.iter().find_map(|way| text(predicate, way));
    let written = written.ok_or_else(|| Failure::wrong("the provenance does not say where its source is"))?;
    let url = written.as_str();
    let url = url.strip_prefix("git+").unwrap_or(url);
    // A reference has slashes of its own; any other mark stands behind the last slash, for an address may hold an `@` too.
    let behind = || url.rfind('/').and_then(|slash| url.get(slash..)?.find('@').map(|at| slash.saturating_add(at)));
    let cut = url.find("@refs/").or_else(behind);
    let url = cut.and_then(|cut| url.get(..cut)).unwrap_or(url);
    let url = url.split('#').next().unwrap_or(url);
    Ok(Value::text(url.strip_suffix(".git").unwrap_or(url)))
}
