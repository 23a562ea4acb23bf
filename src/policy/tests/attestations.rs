//! What may be asked of attestations, and by whom they must be signed.

use super::*;

/// A rule with signatures by `ci` and this entry under `attestations`.
fn beside(entry: &str) -> String {
    with_rule(&format!("images: [a.io/**]\n{SIGNED}\nattestations: [{{{entry}}}]"))
}

/// A rule with this entry under `attestations` alone.
fn alone(entry: &str) -> String {
    with_rule(&format!("images: [a.io/**]\nattestations: [{{{entry}}}]"))
}

#[track_caller]
fn check(text: &str, expected: Option<&str>) {
    let loaded = load(&[file("p.yaml", text)], &read);
    let told: Vec<String> = loaded.err().into_iter().flatten().map(|problem| problem.message).collect();
    match expected {
        None => assert!(told.is_empty(), "{text}{told:#?}"),
        Some(expected) => assert!(told.len() == 1 && told[0].contains(expected), "{text}{expected}\n{told:#?}"),
    }
}

#[test]
fn a_demand_for_an_attestation_has_a_type_and_authorities() {
    let own = "authorities: [{name: o, key: {file: other.pub}}]";
    check(&beside("predicateType: vuln"), None);
    check(&alone(&format!("predicateType: vuln, {own}")), None);
    check(&alone(&format!("predicateType: 'https://example.com/x', threshold: 1, {own}")), None);
    check(&alone("predicateType: vuln"), Some("whose attestations count"));
    check(&beside("threshold: 1"), Some("missing field `predicateType`"));
    check(&beside("predicateType: Vuln"), Some("no predicate type"));
    check(&beside("predicateType: vuln, threshold: 2"), Some("above the number"));
    check(&alone(&format!("predicateType: vuln, threshold: 2, {own}")), Some("above the number"));
    check(&beside("predicateType: vuln, threshold: 0"), Some("from 1 to"));
    check(&beside("predicateType: vuln, authorities: []"), Some("empty list"));
    check(&beside("predicateType: vuln, authorities: [{name: a, key: {file: missing.pub}}]"), Some("no such file"));
    check(&beside("predicateType: vuln, maxage: 1h"), Some("unknown field `maxage`"));
}

#[test]
fn every_demand_of_a_rule_counts_and_is_waived_by_itself() {
    let spec = rules(&[(
        "r",
        "a.io/**",
        "signatures: {authorities: [{name: ci, key: {file: ci.pub}}]}, attestations: [{predicateType: vuln}, {predicateType: custom, authorities: [{name: o, key: {file: other.pub}}]}]",
    )]);
    let exception = "  exceptions: [{images: [a.io/x], reason: r, owner: team, expires: 2027-01-31}]\n";
    let set = set(&[("p", &format!("{spec}{exception}"))]);
    let vuln = "p/r=attested(https://cosign.sigstore.dev/attestation/vuln/v1)";
    let custom = "p/r=attested(https://cosign.sigstore.dev/attestation/v1)";
    assert_eq!(demanded(&set, "a.io/y", &[], NOW).unwrap(), ["p/r=signed", vuln, custom]);
    assert_eq!(demanded(&set, "a.io/x", &[], NOW).unwrap(), ["p/r=excepted(team)"; 3]);
}

#[test]
fn conditions_ages_and_short_fields_are_understood_or_refused_at_load() {
    let of = |kind: &str, rest: &str| beside(&format!("predicateType: {kind}, {rest}"));
    let expression = |text: &str| of("vuln", &format!("conditions: [{{expression: {text:?}, message: m}}]"));
    let table = [
        (of("vuln", "maxAge: 168h"), None),
        (of("vuln", "maxAge: soon"), Some("no age")),
        (of("vuln", "maxAge: 0s"), Some("no age")),
        (of("vuln", "maxAge: 3"), Some("must be a string")),
        (expression("predicate.a == 1 && now > timestamp('2026-01-01T00:00:00Z')"), None),
        (expression("predicate.a =="), Some("does not compile")),
        (expression("predicat.a == 1"), Some("no variable `predicat`")),
        (expression("predicate.a.beginsWith('x')"), Some("no function `beginsWith`")),
        (of("vuln", "conditions: []"), Some("empty list")),
        (of("vuln", "conditions: [{expression: 'true'}]"), Some("missing field `message`")),
        (of("vuln", "conditions: [{message: m}]"), Some("missing field `expression`")),
        (of("slsaprovenance1", "slsa: {builder: b, source: 'https://github.com/acme/app', buildType: t}"), None),
        (of("slsaprovenance", "slsa: {builderRegExp: 'a|b', sourceRegExp: 's.*', buildTypeRegExp: t}"), None),
        (of("slsaprovenance1", "slsa: {}"), Some("asks for nothing")),
        (of("slsaprovenance1", "slsa: {builder: b, builderRegExp: b}"), Some("stands beside `builder`")),
        (of("slsaprovenance1", "slsa: {source: 'git+https://github.com/acme/app'}"), Some("no repository's address")),
        (of("slsaprovenance1", "slsa: {source: 'github.com/acme/app'}"), Some("no repository's address")),
        (of("slsaprovenance1", "slsa: {builderRegExp: '['}"), Some("no usable regular expression")),
        (of("vuln", "slsa: {builder: b}"), Some("says nothing about this type")),
        (
            of(
                "vuln",
                "vulnerabilities: {maxSeverity: medium, allow: [{id: CVE-1, expires: 2027-01-31}], scanner: s, maxDatabaseAge: 48h}",
            ),
            None,
        ),
        (of("vuln", "vulnerabilities: {maxSeverity: bad}"), Some("cannot be `bad`")),
        (of("vuln", "vulnerabilities: {}"), Some("asks for nothing")),
        (
            of("vuln", "vulnerabilities: {allow: [{id: CVE-1, expires: 2027-01-31}]}"),
            Some("no effect without `maxSeverity`"),
        ),
        (of("vuln", "vulnerabilities: {maxSeverity: low, allow: [{id: CVE-1}]}"), Some("missing field `expires`")),
        (of("vuln", "vulnerabilities: {maxSeverity: low, allow: [{id: CVE-1, expires: never}]}"), Some("no day")),
        (
            of("vuln", "vulnerabilities: {maxSeverity: low, allow: [{id: 'CVE-*', expires: 2027-01-31}]}"),
            Some("no wildcards"),
        ),
        (of("spdxjson", "vulnerabilities: {maxSeverity: low}"), Some("says nothing about this type")),
        (of("spdxjson", "sbom: {present: true, denyPackages: [a, 'pkg:npm/b@1'], allowLicenses: [MIT]}"), None),
        (of("'https://cyclonedx.org/bom/v1.6'", "sbom: {present: true}"), None),
        (of("spdxjson", "sbom: {present: false}"), Some("asks for nothing")),
        (of("spdxjson", "sbom: {denyPackages: ['log4j*']}"), Some("no wildcards")),
        (of("custom", "sbom: {present: true}"), Some("says nothing about this type")),
    ];
    for (text, expected) in table {
        let loaded = load(&[file("p.yaml", &text)], &read);
        let told: Vec<Problem> = loaded.err().into_iter().flatten().collect();
        let fits = |problem: &Problem, expected: &str| {
            (problem.message.contains(expected) || problem.help.contains(expected)) && problem.place.is_some()
        };
        match expected {
            None => assert!(told.is_empty(), "{text}{told:#?}"),
            Some(expected) => assert!(told.len() == 1 && fits(&told[0], expected), "{text}{expected}\n{told:#?}"),
        }
    }
}

#[test]
fn what_is_allowed_for_a_while_ends_on_its_day() {
    let text =
        beside("predicateType: vuln, vulnerabilities: {maxSeverity: low, allow: [{id: CVE-1, expires: 2027-01-31}]}");
    let policies = load(&[file("p.yaml", &text)], &read).unwrap();
    let end = policies.next_expiry(NOW.parse().unwrap()).unwrap();
    assert_eq!(end.to_string(), "2027-01-31T00:00:00Z");
}
