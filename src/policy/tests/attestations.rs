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
