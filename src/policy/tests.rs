//! What a policy may say, what it may not, and which images it speaks of.

mod attestations;
mod keyless;

use std::fmt::Write as _;

use super::*;
use crate::image::Digest;
use crate::policy::material::{Held, Material, RootSource, Unread};
use crate::reason::{ErrorCode, Reason};
use requirement::Demand;

const KEY: &str = include_str!("../../config/ci.pub");
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

fn read(material: &Material) -> Result<Held, Unread> {
    let path = match material {
        Material::File { policy: _, path } => path.as_str(),
        Material::Root(RootSource::Tuf { mirror, .. }) if mirror.contains("down") => {
            return Err(Unread::Unavailable("it is down".to_owned()));
        }
        Material::Root(_) => "trusted_root.json",
        Material::Secret { entry, .. } if entry == "cosign.pub" => "ci.pub",
        Material::Kms(reference) if !reference.starts_with("awskms") => "other.pub",
        Material::Secret { .. } | Material::Kms(_) => return Err(Unread::Unavailable("it is down".to_owned())),
    };
    let bytes = match path {
        "ci.pub" | "same.pub" => Ok(KEY.as_bytes().to_vec()),
        "other.pub" => Ok(OTHER.as_bytes().to_vec()),
        "trusted_root.json" => Ok(sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec()),
        "private.pem" => Ok(b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n".to_vec()),
        _ => Err("no such file".to_owned()),
    };
    bytes.map(Held::for_ever).map_err(Unread::Wrong)
}

fn file(name: &str, text: &str) -> PolicyFile {
    PolicyFile { name: name.to_owned(), text: text.to_owned().into() }
}

fn problems(text: &str) -> Vec<Problem> {
    load(&[file("p.yaml", text)], &read).unwrap_err()
}

/// A policy with this `spec`, which begins in line 4.
fn with_spec(name: &str, spec: &str) -> String {
    format!("apiVersion: sealgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

/// A policy with one rule, whose fields begin in line 6.
fn with_rule(fields: &str) -> String {
    let fields = fields.replace('\n', "\n    ");
    with_spec("p", &format!("  rules:\n  - name: r\n    {}\n", fields.trim_end()))
}

fn set(policies: &[(&str, &str)]) -> PolicySet {
    let files: Vec<PolicyFile> = policies.iter().map(|(name, spec)| file(name, &with_spec(name, spec))).collect();
    load(&files, &read).unwrap()
}

const SIGNED: &str = "signatures: {authorities: [{name: ci, key: {file: ci.pub}}]}";

/// Rules in short: `name images demand [namespaces]`.
fn rules(rules: &[(&str, &str, &str)]) -> String {
    let mut text = "  rules:\n".to_owned();
    for (name, images, rest) in rules {
        writeln!(text, "  - {{name: {name}, images: [\"{images}\"], {rest}}}").unwrap();
    }
    text
}

#[test]
fn the_example_loads() {
    let text = include_str!("../../config/policy.yaml");
    let policies = load(&[file("config/policy.yaml", text)], &read).unwrap();
    assert_eq!(policies.identities()[0].name, "production");
    let hosts: Vec<String> = policies.hosts().iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["ghcr.io", "registry.example.com"]);
}

#[test]
fn a_wrong_policy_is_refused_at_its_place() {
    let good = "images: [a.io/**]\n";
    let rule = |fields: &str| with_rule(&format!("{good}{fields}"));
    let authority = |fields: &str| rule(&format!("signatures:\n  authorities:\n  - name: a\n    {fields}"));
    let exception = |fields: &str| {
        with_spec("p", &format!("{}  exceptions:\n  - {fields}", rules(&[("r", "a.io/**", "allowUnsigned: true")])))
    };
    let date = |day: &str| exception(&format!("{{images: [a.io/x], reason: r, owner: o, expires: {day}}}"));
    let table = [
        (String::new(), 1, 1, "holds no policy"),
        ("# nothing\n---\n".to_owned(), 1, 1, "holds no policy"),
        ("a: [\n".to_owned(), 1, 4, ""),
        ("- a\n".to_owned(), 1, 1, "must be a mapping"),
        ("apiVersion: v1\nkind: ImagePolicy\nmetadata: {name: p}\nspec: {rules: [{name: r, images: [a.io/x], allowUnsigned: true}]}\n".to_owned(), 1, 13, "apiVersion"),
        (with_spec("p", "  registries: [a.io]\n"), 5, 3, "missing field `rules`"),
        (with_spec("p", "  rules: []\n"), 5, 10, "empty list"),
        (with_spec("p", "  rules:\n"), 5, 8, "must be a list"),
        (with_spec("''", &rules(&[("r", "a.io/x", SIGNED)])), 3, 18, "is no name"),
        (with_spec("1", &rules(&[("r", "a.io/x", SIGNED)])), 3, 18, "must be a string"),
        (with_spec("p", &format!("  registries: ['*.io']\n{}", rules(&[("r", "a.io/x", SIGNED)]))), 5, 16, "wildcard"),
        (with_spec("p", &format!("  registries: [acme]\n{}", rules(&[("r", "a.io/x", SIGNED)]))), 5, 16, "no registry host"),
        (with_spec("p", &format!("  registries: []\n{}", rules(&[("r", "a.io/x", SIGNED)]))), 5, 15, "empty list"),
        (with_spec("p", &rules(&[("r", "a.io/x", SIGNED), ("r", "a.io/y", SIGNED)])), 7, 12, "line 6 already"),
        (rule("allowUnsigned: true\nnamespace: [a]"), 9, 5, "unknown field `namespace`"),
        (rule("allowUnsigned: true\nallowUnsigned: true"), 9, 5, ""),
        (rule("allowUnsigned: 'yes'"), 8, 20, "must be `true` or `false`"),
        (rule("allowUnsigned: false"), 6, 5, "has none of"),
        (rule(""), 6, 5, "has none of"),
        (rule("platforms: index"), 6, 5, "has none of"),
        (rule("platforms: all\nallowUnsigned: true"), 8, 16, "cannot be `all`"),
        (rule("platforms: [linux]\nallowUnsigned: true"), 8, 17, "linux"),
        (rule("namespaces: []\nallowUnsigned: true"), 8, 17, "empty list"),
        (rule("namespaces: ['Prod']\nallowUnsigned: true"), 8, 18, "no pattern"),
        (rule("attestations: []"), 8, 19, "empty list"),
        (rule(&format!("allowUnsigned: true\n{SIGNED}")), 8, 20, "beside"),
        (with_rule("images: [nginx]\nallowUnsigned: true"), 7, 14, "no host"),
        (with_rule("images: a.io/x\nallowUnsigned: true"), 7, 13, "must be a list"),
        (with_rule("images: []\nallowUnsigned: true"), 7, 13, "empty list"),
        (with_rule("allowUnsigned: true"), 6, 5, "missing field `images`"),
        (rule("signatures: {threshold: 0, authorities: [{name: a, key: {file: ci.pub}}]}"), 8, 29, "from 1 to"),
        (rule("signatures: {threshold: 2, authorities: [{name: a, key: {file: ci.pub}}]}"), 8, 29, "above the number"),
        (rule("signatures: {threshold: 1.5, authorities: [{name: a, key: {file: ci.pub}}]}"), 8, 29, "from 1 to"),
        (rule("signatures: {threshold: '1', authorities: [{name: a, key: {file: ci.pub}}]}"), 8, 29, "not a string"),
        (rule("signatures: {authorities: []}"), 8, 31, "empty list"),
        (rule("signatures: {}"), 8, 17, "missing field `authorities`"),
        (rule("signatures: {authorities: [{name: a, key: {file: ci.pub}}, {name: a, key: {file: other.pub}}]}"), 8, 71, "already"),
        (rule("signatures: {authorities: [{name: a, key: {file: ci.pub}}, {name: b, key: {file: same.pub}}]}"), 8, 86, "same key"),
        (authority("key: {file: missing.pub}"), 11, 21, "no such file"),
        (authority("key: {file: private.pem}"), 11, 21, "private key"),
        (authority("key: {data: none}"), 11, 21, "cannot use the key"),
        (authority("key: {}"), 11, 14, "names no key"),
        (authority("key: {file: ci.pub, data: x}"), 11, 14, "more than one"),
        (authority("key: {secret: {name: x}}"), 11, 23, "missing field `namespace`"),
        (authority("key: {secret: {namespace: 'A b', name: x}}"), 11, 35, "no name in a cluster"),
        (authority("key: {kms: 'kms://x'}"), 11, 20, "no reference to a key"),
        (authority("key: {file: ci.pub, validFrom: 2026-13-01}"), 11, 40, "is no time"),
        (authority("key: {file: ci.pub, validFrom: 2026-02-01, validUntil: 2026-01-01}"), 11, 64, "never counts"),
        (with_spec("p", &format!("{}  revoked: {{digests: [sha256:12]}}\n", rules(&[("r", "a.io/x", SIGNED)]))), 7, 23, "sha256:12"),
        (with_spec("p", &format!("{}  revoked: {{logIndexes: [-1]}}\n", rules(&[("r", "a.io/x", SIGNED)]))), 7, 26, "whole number"),
        (with_spec("p", &format!("{}  revoked: {{keys: []}}\n", rules(&[("r", "a.io/x", SIGNED)]))), 7, 13, "unknown field `keys`"),
        (authority("source: a.io/x"), 10, 9, "missing field `key` or `keyless`"),
        (authority("notation: {}"), 11, 19, "not supported yet"),
        (authority("contentTrust: {}"), 11, 23, "not supported yet"),
        (authority("key: {file: ci.pub}\n    transparencyLog: maybe"), 12, 26, "cannot be `maybe`"),
        (authority("key: {file: ci.pub}\n    signedReference: digest"), 12, 26, "cannot be"),
        (authority("key: {file: ci.pub}\n    source: signatures"), 12, 17, "no repository"),
        (authority("key: {file: ci.pub}\n    annotations: {build: 1}"), 12, 30, "must be a string"),
        (date("2027-02-30"), 8, 54, "no day"),
        (date("tomorrow"), 8, 54, "no day"),
        (exception("{images: [a.io/x], reason: r, owner: o}"), 8, 5, "missing field `expires`"),
        (exception("{images: [a.io/x], reason: r, expires: 2027-01-31}"), 8, 5, "missing field `owner`"),
        (exception("{images: [a.io/x], owner: o, expires: 2027-01-31}"), 8, 5, "missing field `reason`"),
        (exception("{reason: r, owner: o, expires: 2027-01-31}"), 8, 5, "missing field `images`"),
        (exception("{images: [a.io/x], digests: [sha256:x], reason: r, owner: o, expires: 2027-01-31}"), 8, 34, "digest"),
        (exception("{images: [a.io/x], reason: '', owner: o, expires: 2027-01-31}"), 8, 32, "empty"),
        (with_spec("p", &format!("  rule: []\n{}", rules(&[("r", "a.io/x", SIGNED)]))), 5, 3, "unknown field `rule`"),
    ];
    let mut wrong = Vec::new();
    for (text, line, column, message) in table {
        let problems = problems(&text);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let place = format!("p.yaml:{line}:{column}: ");
        let as_expected = told.len() == 1 && told[0].starts_with(&place) && told[0].contains(message);
        if !as_expected || problems[0].code != ErrorCode::PolicyInvalid {
            wrong.push(format!("{text}expected {place}{message}\nfound {told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn all_problems_of_all_files_are_told_at_once() {
    let first = "apiVersion: sealgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: p}\nspec:\n  rulez: 1\n  rules:\n  - name: r\n    name: s\n    images: [nginx, 'b.io/?']\n    signatures: {threshold: 3, authorities: [{name: a, key: {file: gone.pub}}]}\n";
    let second = with_spec("p", &rules(&[("r", "nginx", "allowUnsigned: true")]));
    let problems = load(&[file("a.yaml", first), file("b.yaml", &second)], &read).unwrap_err();
    let places: Vec<(&str, usize)> =
        problems.iter().map(|problem| (problem.file.as_deref().unwrap(), problem.place.unwrap().line)).collect();
    let expected = [
        ("a.yaml", 5),
        ("a.yaml", 8),
        ("a.yaml", 9),
        ("a.yaml", 9),
        ("a.yaml", 10),
        ("a.yaml", 10),
        ("b.yaml", 3),
        ("b.yaml", 6),
    ];
    assert_eq!(places, expected, "{problems:#?}");
    assert!(problems.iter().all(|problem| !problem.help.is_empty()), "{problems:#?}");
}

#[test]
fn no_policy_at_all_is_an_error() {
    assert_eq!(load(&[], &read).unwrap_err().len(), 1);
}

#[test]
fn one_file_may_hold_several_policies() {
    let one = with_spec("one", &rules(&[("r", "a.io/**", "allowUnsigned: true")]));
    let two = with_spec("two", &rules(&[("r", "a.io/**", SIGNED)]));
    let policies = load(&[file("p.yaml", &format!("---\n{one}---\n---\n{two}"))], &read).unwrap();
    let names: Vec<&str> = policies.identities().iter().map(|id| id.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    let json = serde_json::json!({"apiVersion": "sealgate.dev/v1alpha1", "kind": "ImagePolicy", "metadata": {"name": "j"},
        "spec": {"rules": [{"name": "r", "images": ["a.io/**"], "allowUnsigned": true}]}});
    load(&[file("p.json", &json.to_string())], &read).unwrap();
}

#[test]
fn what_two_readers_read_differently_is_refused() {
    let merged =
        with_spec("p", "  rules:\n  - &r {name: r, images: [a.io/x], allowUnsigned: true}\n  - {<<: *r, name: s}\n");
    assert_eq!(problems(&merged).len(), 1);
    let aliased = with_spec(
        "p",
        "  rules:\n  - {name: r, images: &i [a.io/x], allowUnsigned: true}\n  - {name: s, images: *i, allowUnsigned: true}\n",
    );
    load(&[file("p.yaml", &aliased)], &read).unwrap();
}

#[test]
fn the_digest_covers_text_and_keys() {
    let text = with_spec("p", &rules(&[("r", "a.io/**", SIGNED)]));
    let digest = |text: &str, key: &'static str| {
        let policies = load(&[file("p.yaml", text)], &material::files(|_, _| Ok(key.as_bytes().to_vec()))).unwrap();
        policies.identities()[0].digest
    };
    assert_eq!(digest(&text, KEY), digest(&text, KEY));
    assert_ne!(digest(&text, KEY), digest(&text, OTHER));
    assert_ne!(digest(&text, KEY), digest(&format!("{text}# more\n"), KEY));
}

/// What is demanded of `image` at these sites: `rule=demand`, or the reasons of the refusal. `?` is an unknown namespace.
fn demanded(set: &PolicySet, image: &str, namespaces: &[&str], now: &str) -> Result<Vec<String>, Vec<Reason>> {
    let namespaces: Vec<Option<String>> =
        namespaces.iter().map(|name| (*name != "?").then(|| (*name).to_owned())).collect();
    let matched = set
        .matching(&Repository::parse(image).unwrap(), &namespaces)
        .map_err(|findings| findings.iter().map(|finding| finding.reason).collect::<Vec<_>>())?;
    let demands = matched.demands(&Digest::of(b"image"), now.parse().unwrap());
    let shown = demands.requirements().iter().map(|requirement| {
        let demand = match &requirement.demand {
            Demand::Signatures(_) => "signed".to_owned(),
            Demand::Attestation(attestation) => format!("attested({})", attestation.predicate_type),
            Demand::Unsigned => "unsigned".to_owned(),
            Demand::Excepted(waiver) => format!("excepted({})", waiver.owner),
        };
        format!("{}/{}={demand}", requirement.policy, requirement.rule)
    });
    Ok(shown.collect())
}

const NOW: &str = "2026-11-05T12:00:00Z";

type Row = (&'static str, &'static [&'static str], Result<&'static [&'static str], Reason>);

#[test]
fn every_rule_that_matches_counts_and_at_least_one_must() {
    let a = rules(&[
        ("all", "a.io/**", SIGNED),
        ("prod", "a.io/**", "namespaces: [prod-*], signatures: {authorities: [{name: o, key: {file: other.pub}}]}"),
        ("open", "a.io/open", "allowUnsigned: true"),
        ("dev", "b.io/**", "namespaces: [dev], allowUnsigned: true"),
        ("stage", "b.io/**", "namespaces: [stage], signatures: {authorities: [{name: ci, key: {file: ci.pub}}]}"),
    ]);
    let b = rules(&[("extra", "a.io/x", SIGNED)]);
    let set = set(&[("a", &a), ("b", &b)]);
    let table: [Row; 12] = [
        ("a.io/y", &["dev"], Ok(&["a/all=signed"])),
        ("a.io/y", &["prod-1"], Ok(&["a/all=signed", "a/prod=signed"])),
        ("a.io/y", &["dev", "prod-1"], Ok(&["a/all=signed", "a/prod=signed"])),
        ("a.io/y", &["?"], Ok(&["a/all=signed", "a/prod=signed"])),
        ("a.io/y", &[], Ok(&["a/all=signed", "a/prod=signed"])),
        ("a.io/x", &["dev"], Ok(&["a/all=signed", "b/extra=signed"])),
        ("a.io/open", &["dev"], Ok(&["a/all=signed", "a/open=unsigned"])),
        ("b.io/x", &["dev"], Ok(&["a/dev=unsigned"])),
        ("b.io/x", &["dev", "stage"], Ok(&["a/dev=unsigned", "a/stage=signed"])),
        ("b.io/x", &["dev", "?"], Ok(&["a/dev=unsigned", "a/stage=signed"])),
        ("b.io/x", &["dev", "other"], Err(Reason::NoMatchingRule)),
        ("nginx", &["dev"], Err(Reason::NoMatchingRule)),
    ];
    for (image, namespaces, expected) in table {
        let expected =
            expected.map(|names| names.iter().map(ToString::to_string).collect()).map_err(|reason| vec![reason]);
        assert_eq!(demanded(&set, image, namespaces, NOW), expected, "{image} in {namespaces:?}");
    }
    let matched = set.matching(&Repository::parse("a.io/x").unwrap(), &[]).unwrap();
    assert_eq!(matched.rules(), ["all", "prod", "extra"]);
}

#[test]
fn a_narrowed_permission_does_not_hold_where_the_namespace_is_unknown() {
    let set = set(&[("a", &rules(&[("dev", "b.io/**", "namespaces: ['*'], allowUnsigned: true")]))]);
    assert_eq!(demanded(&set, "b.io/x", &["?"], NOW), Err(vec![Reason::NoMatchingRule]));
    assert_eq!(demanded(&set, "b.io/x", &[], NOW), Err(vec![Reason::NoMatchingRule]));
}

#[test]
fn every_policy_is_asked_whether_it_trusts_the_registry() {
    let a = format!("  registries: [a.io, b.io/team]\n{}", rules(&[("r", "**", SIGNED)]));
    let b = format!("  registries: [b.io]\n{}", rules(&[("r", "c.io/**", SIGNED)]));
    let set = set(&[("a", &a), ("b", &b), ("c", &rules(&[("r", "c.io/**", SIGNED)]))]);
    assert_eq!(demanded(&set, "b.io/team/x", &["n"], NOW), Ok(vec!["a/r=signed".to_owned()]));
    assert_eq!(demanded(&set, "a.io/x", &["n"], NOW), Err(vec![Reason::UntrustedRegistry]));
    assert_eq!(demanded(&set, "b.io/teamx/x", &["n"], NOW), Err(vec![Reason::UntrustedRegistry]));
    assert_eq!(demanded(&set, "c.io/x", &["n"], NOW), Err(vec![Reason::UntrustedRegistry; 2]));
}

fn exception(rest: &str) -> String {
    format!("  - {{images: [\"a.io/**\"], reason: r, {rest}}}\n")
}

#[test]
fn exceptions_waive_within_their_policy_for_all_sites_until_their_day() {
    let digest = Digest::of(b"image");
    let other = Digest::of(b"other");
    let table: [(String, &[&str], &str, bool); 13] = [
        ("owner: o, expires: 2026-11-06".to_owned(), &["nn"], NOW, true),
        ("owner: o, expires: 2026-11-05".to_owned(), &["nn"], NOW, false),
        ("owner: o, expires: 2026-11-06".to_owned(), &["nn"], "2026-11-05T23:59:59.999Z", true),
        ("owner: o, expires: 2026-11-06".to_owned(), &["nn"], "2026-11-06T00:00:00Z", false),
        (format!("owner: o, expires: 2026-11-06, digests: ['{digest}']"), &["nn"], NOW, true),
        (format!("owner: o, expires: 2026-11-06, digests: ['{other}']"), &["nn"], NOW, false),
        ("owner: o, expires: 2026-11-06, namespaces: [nn]".to_owned(), &["nn"], NOW, true),
        ("owner: o, expires: 2026-11-06, namespaces: [nn, mm]".to_owned(), &["nn", "mm"], NOW, true),
        ("owner: o, expires: 2026-11-06, namespaces: [nn]".to_owned(), &["nn", "mm"], NOW, false),
        ("owner: o, expires: 2026-11-06, namespaces: [mm]".to_owned(), &["nn"], NOW, false),
        ("owner: o, expires: 2026-11-06, namespaces: ['*']".to_owned(), &["?"], NOW, false),
        ("owner: o, expires: 2026-11-06, namespaces: ['*']".to_owned(), &[], NOW, false),
        ("owner: o, expires: 2026-11-06".to_owned(), &[], NOW, true),
    ];
    for (rest, namespaces, now, holds) in table {
        let a = format!("{}  exceptions:\n{}", rules(&[("r", "a.io/**", SIGNED)]), exception(&rest));
        let set = set(&[("a", &a), ("b", &rules(&[("s", "a.io/**", SIGNED)]))]);
        let own = if holds { "a/r=excepted(o)" } else { "a/r=signed" };
        let expected = Ok(vec![own.to_owned(), "b/s=signed".to_owned()]);
        assert_eq!(demanded(&set, "a.io/x", namespaces, now), expected, "{rest} in {namespaces:?} at {now}");
    }
}

#[test]
fn exceptions_never_add_up_and_change_no_other_refusal() {
    let both = [
        exception("owner: o, expires: 2027-01-01, namespaces: [nn]"),
        exception("owner: p, expires: 2027-01-01, namespaces: [mm]"),
        exception("owner: q, expires: 2026-01-01"),
    ];
    let a = format!("  registries: [a.io]\n{}  exceptions:\n{}", rules(&[("r", "a.io/**", SIGNED)]), both.concat());
    let set = set(&[("a", &a)]);
    assert_eq!(demanded(&set, "a.io/x", &["nn", "mm"], NOW), Ok(vec!["a/r=signed".to_owned()]));
    assert_eq!(demanded(&set, "a.io/x", &["mm"], NOW), Ok(vec!["a/r=excepted(p)".to_owned()]));
    let refused = demanded(&set, "b.io/x", &["nn"], NOW);
    assert_eq!(refused, Err(vec![Reason::UntrustedRegistry, Reason::NoMatchingRule]));
    let end = |text: &str| Some(text.parse().unwrap());
    assert_eq!(set.next_expiry(NOW.parse().unwrap()), end("2027-01-01T00:00:00Z"));
    assert_eq!(set.next_expiry("2025-01-01T00:00:00Z".parse().unwrap()), end("2026-01-01T00:00:00Z"));
    assert_eq!(set.next_expiry("2027-01-01T00:00:00Z".parse().unwrap()), None);
}

#[test]
fn only_hosts_that_are_written_out_are_named() {
    let a = rules(&[
        ("r", "**", "allowUnsigned: true"),
        ("s", "*.c.io/**", "allowUnsigned: true"),
        ("t", "D.io:5000/x", "signatures: {authorities: [{name: a, key: {file: ci.pub}, source: e.io/s}]}"),
    ]);
    let wild = set(&[("a", &a)]);
    let hosts: Vec<String> = wild.hosts().iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["d.io:5000", "e.io"]);
    assert!(wild.names_loopback());
    assert!(!set(&[("a", &rules(&[("r", "a.io/**", SIGNED)]))]).names_loopback());
}

#[test]
fn keys_of_the_command_line_make_a_policy_for_all_images() {
    let key = |pem: &str| PublicKey::from_pem(pem.as_bytes()).unwrap();
    let none = BTreeMap::new();
    let keys = vec![("ci.pub".to_owned(), key(KEY)), ("other.pub".to_owned(), key(OTHER))];
    let set = PolicySet::from_keys(keys, &none).unwrap();
    assert_eq!(demanded(&set, "nginx", &[], NOW), Ok(vec!["command line/command line=signed".to_owned()]));
    assert!(set.hosts().is_empty());
    assert!(PolicySet::from_keys(Vec::new(), &none).is_err());
    assert!(PolicySet::from_keys(vec![("a".to_owned(), key(KEY)), ("b".to_owned(), key(KEY))], &none).is_err());
}

#[test]
fn what_cannot_be_fetched_is_told_apart_from_what_is_wrong() {
    let code = |key: &str| {
        let rule = format!("signatures: {{authorities: [{{name: ci, key: {{{key}}}}}]}}");
        let text = with_spec("p", &rules(&[("r", "a.io/x", &rule)]));
        load(&[file("p.yaml", &text)], &read).err().map(|problems| problems[0].code)
    };
    assert_eq!(code("kms: 'hashivault://key'"), None);
    assert_eq!(code("secret: {namespace: a, name: b}"), None);
    assert_eq!(code("kms: 'awskms:///alias/key'"), Some(ErrorCode::PolicyUnavailable));
    assert_eq!(code("secret: {namespace: a, name: b, key: down}"), Some(ErrorCode::PolicyUnavailable));
    assert_eq!(code("file: missing.pub"), Some(ErrorCode::PolicyInvalid));
}

#[test]
fn what_one_policy_revokes_is_revoked_for_all() {
    let digest = Digest::of(b"bad");
    let one = format!("{}  revoked: {{digests: ['{digest}'], logIndexes: [7]}}\n", rules(&[("one", "a.io/x", SIGNED)]));
    let other = format!("{}  revoked: {{fingerprints: ['{digest}']}}\n", rules(&[("other", "b.io/x", SIGNED)]));
    let set = set(&[("one", &one), ("other", &other)]);
    for name in ["a.io/x", "b.io/x"] {
        let matched = set.matching(&Repository::parse(name).unwrap(), &[]).unwrap();
        let demands = matched.demands(&Digest::of(b"image"), Timestamp::UNIX_EPOCH);
        let revoked = demands.revoked();
        assert!(revoked.digests.contains(&digest) && revoked.fingerprints.contains(&digest));
        assert!(revoked.log_indexes.contains(&7));
    }
}

#[test]
fn a_key_that_begins_or_ends_is_looked_at_again_then() {
    let rule = "signatures: {authorities: [{name: ci, key: {file: ci.pub, validFrom: 2026-01-01, validUntil: '2026-02-01T12:00:00Z'}}]}";
    let set = set(&[("p", &rules(&[("r", "a.io/x", rule)]))]);
    let next = |now: &str| set.next_expiry(now.parse().unwrap()).map(|time| time.to_string());
    assert_eq!(next("2025-12-01T00:00:00Z").as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(next("2026-01-01T00:00:00Z").as_deref(), Some("2026-02-01T12:00:00Z"));
    assert_eq!(next("2026-02-01T12:00:00Z"), None);
}
