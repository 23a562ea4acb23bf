//! Whose certificates count, and against which root.

use super::*;

#[test]
fn whose_certificates_count_is_written_out_or_refused() {
    let authority =
        |fields: &str| with_rule(&format!("images: [a.io/**]\nsignatures:\n  authorities:\n  - name: a\n    {fields}"));
    let keyless = |identity: &str, rest: &str| authority(&format!("keyless: {{identities: [{identity}]}}{rest}"));
    let root = "\n    trustRoot: {file: trusted_root.json}";
    let whole = "{issuer: i, subject: s}";
    let table = [
        (keyless(whole, root), None),
        (keyless("{issuerRegExp: i.*, subjectRegExp: 's|t'}", root), None),
        (keyless(whole, &format!("{root}\n    transparencyLog: require")), None),
        (authority(&format!("key: {{file: ci.pub}}{root}\n    transparencyLog: require")), None),
        (keyless(whole, ""), None),
        (authority("key: {file: ci.pub}\n    transparencyLog: require"), None),
        (keyless(whole, "\n    trustRoot: {tuf: {mirror: 'https://tuf.a.io'}}"), None),
        (keyless(whole, "\n    trustRoot: {tuf: {mirror: 'https://tuf.a.io/x', root: ci.pub}}"), None),
        (
            keyless(whole, "\n    trustRoot: {tuf: {mirror: 'https://down.a.io'}}"),
            Some("failed to fetch the trust root of"),
        ),
        (keyless(whole, "\n    trustRoot: {tuf: {mirror: 'https://a.io', root: no.json}}"), Some("no such file")),
        (keyless(whole, "\n    trustRoot: {tuf: {mirror: 'ftp://a.io'}}"), Some("is no `https` URL")),
        (keyless(whole, "\n    trustRoot: {tuf: {mirror: a.io}}"), Some("is no URL")),
        (keyless(whole, "\n    trustRoot: {tuf: {mirror: 'https://u:p@a.io'}}"), Some("more than host and path")),
        (keyless(whole, "\n    trustRoot: {tuf: {root: ci.pub}}"), Some("missing field `mirror`")),
        (
            keyless(whole, "\n    trustRoot: {file: trusted_root.json, tuf: {mirror: 'https://a.io'}}"),
            Some("more than one trust root"),
        ),
        (authority(&format!("key: {{file: ci.pub}}{root}")), Some("has no effect")),
        (authority(&format!("key: {{file: ci.pub}}{root}\n    transparencyLog: ignore")), Some("has no effect")),
        (keyless(whole, &format!("{root}\n    transparencyLog: ignore")), Some("is not supported yet")),
        (keyless(whole, &format!("{root}\n    key: {{file: ci.pub}}")), Some("more than one kind of signer")),
        (keyless(whole, "\n    trustRoot: {file: ci.pub}"), Some("no usable trusted root")),
        (keyless(whole, "\n    trustRoot: {file: missing.json}"), Some("cannot read the trust root")),
        (keyless(whole, "\n    trustRoot: {}"), Some("names no trust root")),
        (authority(&format!("keyless: {{identities: []}}{root}")), Some("empty list")),
        (authority(&format!("keyless: {{}}{root}")), Some("missing field `identities`")),
        (
            keyless(
                "{issuer: i, subject: s, claims: {buildTrigger: push, sourceRepositoryRefRegExp: 'refs/tags/.+'}}",
                root,
            ),
            None,
        ),
        (keyless("{issuer: i, subject: s, claims: {}}", root), Some("names no claim")),
        (keyless("{issuer: i, subject: s, claims: {buildTriger: push}}", root), Some("unknown field `buildTriger`")),
        (keyless("{issuer: i, subject: s, claims: {buildTrigger: 1}}", root), Some("must be a string")),
        (
            keyless("{issuer: i, subject: s, claims: {buildTriggerRegExp: '('}}", root),
            Some("no usable regular expression"),
        ),
        (
            keyless("{issuer: i, subject: s, claims: {buildTrigger: a, buildTriggerRegExp: a}}", root),
            Some("stands beside `buildTrigger`"),
        ),
        (keyless("{issuer: i}", root), Some("missing field `subject` or `subjectRegExp`")),
        (keyless("{subject: s}", root), Some("missing field `issuer` or `issuerRegExp`")),
        (keyless("{issuer: i, issuerRegExp: i, subject: s}", root), Some("stands beside `issuer`")),
        (keyless("{issuer: i, subject: s, subjectRegExp: s}", root), Some("stands beside `subject`")),
        (keyless("{issuer: '', subject: s}", root), Some("it is empty")),
        (keyless("{issuer: i, subjectRegExp: ''}", root), Some("it is empty")),
        (keyless("{issuer: i, subjectRegExp: 'a)|(?:b'}", root), Some("no usable regular expression")),
        (keyless("{issuer: i, subjectRegexp: s, subject: s}", root), Some("unknown field `subjectRegexp`")),
        (keyless("{issuer: 1, subject: s}", root), Some("must be a string")),
    ];
    for (text, expected) in table {
        let loaded = load(&[file("p.yaml", &text)], &read);
        let told: Vec<String> = loaded.err().into_iter().flatten().map(|problem| problem.message).collect();
        match expected {
            None => assert!(told.is_empty(), "{text}{told:#?}"),
            Some(expected) => assert!(told.len() == 1 && told[0].contains(expected), "{text}{expected}\n{told:#?}"),
        }
    }
}
