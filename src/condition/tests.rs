//! What conditions mean, what they refuse, and that none of them runs away.

use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::constant(1_770_000_000, 0);

fn holds_of(text: &str, predicate: &Value) -> Result<bool, Failure> {
    let expression = Expression::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let statement = json!({"predicateType": "t", "predicate": predicate});
    let image = json!({"name": "registry.example.com/team/app", "digest": "sha256:00"});
    let scope = Scope { predicate, statement: &statement, image: &image, now: NOW };
    expression.holds(&scope, &mut Meter::full())
}

fn predicate() -> Value {
    json!({
        "builder": {"id": "https://github.com/acme"}, "n": 7, "f": 7.5, "big": u64::MAX, "t": true, "nothing": null,
        "list": [1, 2, 3], "texts": ["b", "a"], "empty": [], "when": "2026-02-01T00:00:00Z",
        "items": [{"id": "a", "v": 1}, {"id": "b"}],
    })
}

#[test]
fn expressions_mean_what_cel_says() {
    let table = [
        ("true", true),
        ("!true", false),
        ("predicate.n == 7", true),
        ("predicate.n == 7.0 && predicate.f > 7 && predicate.f < 8", true),
        ("predicate.n == 7u", true),
        ("predicate.big > 9223372036854775807", true),
        ("predicate.n == '7'", false),
        ("predicate.n != '7'", true),
        ("predicate['n'] == 7 && predicate.list[0] == 1", true),
        ("predicate.nothing == null", true),
        ("has(predicate.builder.id) && !has(predicate.builder.name)", true),
        ("predicate.builder.id.startsWith('https://github.com/')", true),
        ("predicate.builder.id.endsWith(\"acme\") && predicate.builder.id.contains('hub')", true),
        ("predicate.builder.id.matches('^https://github\\\\.com/[a-z]+$')", true),
        ("predicate.builder.id.matches(r'^https://github\\.com/[a-z]+$')", true),
        ("predicate.builder.id.matches('gitlab')", false),
        ("2 in predicate.list && !(4 in predicate.list)", true),
        ("'id' in predicate.builder", true),
        ("'a' in predicate.texts", true),
        ("predicate.list.all(x, x > 0)", true),
        ("predicate.list.exists(x, x > 2)", true),
        ("predicate.list.exists_one(x, x > 2)", true),
        ("predicate.list.filter(x, x > 1) == [2, 3]", true),
        ("predicate.list.map(x, x * 2) == [2, 4, 6]", true),
        ("predicate.list.map(x, x > 1, x + 1) == [3, 4]", true),
        ("predicate.list.all(x, predicate.list.exists(y, x + y == 4))", true),
        ("predicate.builder.all(k, k == 'id')", true),
        ("size(predicate.list) == 3 && predicate.texts.size() == 2", true),
        ("predicate.empty.all(x, false)", true),
        ("predicate.empty.exists(x, true)", false),
        ("predicate.t ? true : predicate.gone", true),
        ("false && predicate.gone", false),
        ("predicate.gone || true", true),
        ("predicate.items.exists(i, i.v == 1)", true),
        ("{'a': 1}.a == 1 && {'a': [1]} == {'a': [1]}", true),
        ("1 + 2 * 3 == 7 && 7 / 2 == 3 && 7 % 2 == 1 && -(1) == 0 - 1", true),
        ("'a' + 'b' == 'ab' && [1] + [2] == [1, 2]", true),
        ("timestamp(predicate.when) < now", true),
        ("now - timestamp(predicate.when) < duration('72h')", true),
        ("timestamp('2026-02-01T00:00:00Z') + duration('1h') == timestamp('2026-02-01T01:00:00Z')", true),
        ("int('7') == 7 && double('1.5') == 1.5 && string(7) == '7' && int(7.9) == 7", true),
        ("'A,b'.lowerAscii().split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'", true),
        ("' x '.trim().upperAscii().replace('X', 'yy') == 'yy'", true),
        ("image.name == 'registry.example.com/team/app' && statement.predicateType == 't'", true),
        ("1 < 2 == true", true),
        ("9007199254740993 == 9007199254740992.0", false),
    ];
    for (text, expected) in table {
        assert_eq!(holds_of(text, &predicate()), Ok(expected), "{text}");
    }
}

#[test]
fn what_has_no_answer_is_a_failure() {
    for text in [
        "predicate.gone",
        "predicate.gone == 1",
        "predicate.n",
        "'text'",
        "predicate.n.x == 1",
        "has(predicate.n.x)",
        "predicate.list[3] == 1",
        "predicate.list['a'] == 1",
        "predicate.list[-1] == 1",
        "predicate.n < 'a'",
        "predicate.n + predicate.f == 14.5",
        "9223372036854775807 + 1 > 0",
        "1 / 0 == 1",
        "predicate.n.matches('a')",
        "predicate.n in predicate.f",
        "predicate.gone && true",
        "false || predicate.gone",
        "predicate.items.all(i, i.v == 1)",
        "predicate.n.all(x, true)",
        "predicate.list.filter(x, 1) == []",
        "predicate.n ? true : true",
        "timestamp('x' + 'y') < now",
        "timestamp(predicate.n) < now",
        "duration('x') < duration('1h')",
        "size(predicate.n) == 1",
        "int('x') == 1",
        "!predicate.n",
        "severity('harmless') < 3",
        "packages(predicate).all(p, true)",
        "vulnerabilities(predicate).all(v, true)",
        "sourceOf(predicate) == ''",
    ] {
        let outcome = holds_of(text, &predicate());
        assert!(matches!(outcome, Err(Failure::Wrong(_))), "{text}: {outcome:?}");
    }
}

#[test]
fn a_slip_of_the_pen_is_told_when_the_policy_is_loaded() {
    let table: [(&str, Option<(usize, usize)>); 22] = [
        ("", Some((1, 1))),
        ("predicate.", Some((1, 11))),
        ("predicate ==", None),
        ("predicat.x == 1", Some((1, 1))),
        ("true &&\n  predicat.x", Some((2, 3))),
        ("x == 1", Some((1, 1))),
        ("predicate.list.all(x, y)", Some((1, 23))),
        ("predicate.list.all(x)", None),
        ("predicate.list.all(predicate.x, true)", None),
        ("predicate.a.beginsWith('x')", None),
        ("startsWith(predicate.a, 'x')", None),
        ("size() == 1", None),
        ("predicate.a.matches(predicate.b)", None),
        ("predicate.a.matches('[')", None),
        ("predicate.a.matches('(a{100}){100}')", None),
        ("has(predicate)", None),
        ("b'x' == b'x'", None),
        ("timestamp('tomorrow') < now", None),
        ("Type{a: 1} == 1", None),
        ("{1: 2} == {1: 2}", None),
        ("predicate.?a == 1", None),
        ("[1].all(a, [1].all(b, [1].all(c, [1].all(d, true))))", None),
    ];
    for (text, place) in table {
        let error = Expression::compile(text).expect_err(text);
        assert!(!error.message.is_empty());
        if place.is_some() {
            assert_eq!(error.place, place, "{text}: {error}");
        }
    }
}

/// On the smallest stack that anything here runs on.
#[test]
fn no_expression_overflows_the_stack_or_is_too_long() {
    let run = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
        let chains = [
            "1+".repeat(400) + "1 == 1",
            "1+".repeat(4000) + "1 == 1",
            "predicate".to_owned() + &".a".repeat(400) + " == 1",
            "!".repeat(400) + "true",
            "!".repeat(500) + "true",
            "-".repeat(500) + "1 == 1",
            "(".repeat(500) + "true" + &")".repeat(500),
            "[".repeat(500) + &"]".repeat(500) + " == 1",
            "true ? ".repeat(400),
            "true ? true : ".repeat(250) + "true",
            "true || ".repeat(250) + "true",
            "size(".repeat(300) + "1" + &")".repeat(300),
            "{'a':".repeat(300) + "1" + &"}".repeat(300),
            "a".repeat(100_000),
            "'".to_owned() + &"a".repeat(100_000) + "'",
            "\u{0}\u{1}\u{ffff}".repeat(100),
            "`".repeat(500),
            "\"\\".repeat(300),
        ];
        for text in chains {
            if let Ok(expression) = Expression::compile(&text) {
                let null = Value::Null;
                let scope = Scope { predicate: &null, statement: &null, image: &null, now: NOW };
                let _outcome = expression.holds(&scope, &mut Meter::full());
            }
        }
    });
    run.unwrap().join().unwrap();
}

#[test]
fn what_runs_away_is_stopped_and_never_passes() {
    let numbers: Vec<u32> = (0..20_000).collect();
    let texts: Vec<String> = (0..2_000).map(|number| "x".repeat(1000) + &number.to_string()).collect();
    let predicate = json!({"n": numbers, "t": texts, "s": "a".repeat(1 << 20)});
    let doubling = "'0123456789abcdef'".to_owned();
    let doubling = (0..40).fold(doubling, |text, _| format!("[{text}].map(a, a + a)[0]"));
    for text in [
        "predicate.n.all(a, predicate.n.all(b, a + b >= 0))".to_owned(),
        "predicate.n.all(a, predicate.n == predicate.n)".to_owned(),
        "predicate.n.all(a, predicate.n.all(b, true)) || true".to_owned(),
        "predicate.n.exists(a, predicate.n.all(b, true) && a == 19999)".to_owned(),
        "predicate.t.all(a, predicate.t.all(b, size(a + b) > 0))".to_owned(),
        "predicate.n.all(a, predicate.s.contains('b') == false)".to_owned(),
        "predicate.n.all(a, predicate.s.matches('(a|aa)+b') == false)".to_owned(),
        "predicate.n.map(a, predicate.n.map(b, predicate.s + predicate.s)) != []".to_owned(),
        "predicate.n.all(a, predicate.s.split('') != [])".to_owned(),
        "predicate.n.all(a, predicate.s.replace('a', predicate.s) != '')".to_owned(),
        "predicate.n.all(a, predicate.n.map(x, x) + predicate.n != [])".to_owned(),
    ] {
        assert_eq!(holds_of(&text, &predicate), Err(Failure::Costly), "{text}");
    }
    // Doubling a text again and again: refused when it is compiled, or stopped.
    if let Ok(expression) = Expression::compile(&format!("size({doubling}) > 0")) {
        let scope = Scope { predicate: &predicate, statement: &predicate, image: &predicate, now: NOW };
        assert_eq!(expression.holds(&scope, &mut Meter::full()), Err(Failure::Costly));
    }
    // What was spent is spent: a second condition does not begin anew.
    let mut meter = Meter::full();
    let scope = Scope { predicate: &predicate, statement: &predicate, image: &predicate, now: NOW };
    let costly = Expression::compile("predicate.n.all(a, predicate.n.all(b, true))").unwrap();
    assert_eq!(costly.holds(&scope, &mut meter), Err(Failure::Costly));
    assert_eq!(Expression::compile("true").unwrap().holds(&scope, &mut meter), Err(Failure::Costly));
}

#[test]
fn a_bill_of_materials_of_fifty_thousand_packages_is_within_the_limit() {
    let packages: Vec<Value> = (0..50_000)
        .map(|number| json!({"name": format!("package-{number}"), "versionInfo": "1", "licenseConcluded": "MIT"}))
        .collect();
    let sbom = json!({"spdxVersion": "SPDX-2.3", "packages": packages});
    assert_eq!(holds_of("packages(predicate).all(p, !(p.name in ['log4j-core', 'left-pad']))", &sbom), Ok(true));
    assert_eq!(
        holds_of("packages(predicate).all(p, licenseAllowed(p.license, ['Apache-2.0', 'MIT']))", &sbom),
        Ok(true)
    );
}

#[test]
fn scans_and_bills_are_read_in_the_forms_of_their_writers() {
    let trivy = json!({"scanner": {"db": {"lastUpdate": "2026-02-01T00:00:00Z"}, "result": {"SchemaVersion": 2, "Results": [
        {"Target": "os"}, {"Target": "app", "Vulnerabilities": null},
        {"Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "zlib", "Severity": "HIGH"}, {"VulnerabilityID": "CVE-2"}]},
    ]}}});
    let grype = json!({"scanner": {"result": {"descriptor": {"db": {"built": "2026-02-01T00:00:00Z"}}, "matches": [
        {"vulnerability": {"id": "CVE-1", "severity": "High"}, "artifact": {"name": "zlib"}},
        {"vulnerability": {"id": "CVE-2", "severity": "Unknown"}},
    ]}}});
    for scan in [&trivy, &grype] {
        for text in [
            "vulnerabilities(predicate).map(v, v.id) == ['CVE-1', 'CVE-2']",
            "vulnerabilities(predicate).map(v, severity(v.severity)) == [3, 5]",
            "vulnerabilities(predicate)[0].package == 'zlib'",
            "databaseTime(predicate) == timestamp('2026-02-01T00:00:00Z')",
        ] {
            assert_eq!(holds_of(text, scan), Ok(true), "{text} {scan}");
        }
    }
    let clean = json!({"scanner": {"result": {"SchemaVersion": 2}}});
    assert_eq!(holds_of("vulnerabilities(predicate) == []", &clean), Ok(true));
    for broken in [
        json!({"scanner": {"result": null}}),
        json!({"scanner": {"result": {}}}),
        json!({"scanner": {"result": {"Results": {"a": 1}}}}),
        json!({"scanner": {"result": {"Results": [{"Vulnerabilities": [{"Severity": "LOW"}]}]}}}),
        json!({"scanner": {"result": {"matches": "none"}}}),
        json!({"scanner": {"result": {"matches": [{}]}}}),
    ] {
        assert!(holds_of("vulnerabilities(predicate).all(v, true)", &broken).is_err(), "{broken}");
    }
    let spdx = json!({"spdxVersion": "SPDX-2.3", "packages": [
        {"name": "a", "versionInfo": "1.0", "licenseConcluded": "NOASSERTION", "licenseDeclared": "MIT",
            "externalRefs": [{"referenceType": "cpe23Type", "referenceLocator": "x"}, {"referenceType": "purl", "referenceLocator": "pkg:npm/a@1.0"}]},
        {"name": "b"},
    ]});
    let cyclonedx = json!({"bomFormat": "CycloneDX", "components": [
        {"name": "a", "version": "1.0", "purl": "pkg:npm/a@1.0", "licenses": [{"license": {"id": "MIT"}}],
            "components": [{"name": "b"}]},
    ]});
    for bill in [&spdx, &cyclonedx] {
        for text in [
            "packages(predicate).map(p, p.name) == ['a', 'b']",
            "packages(predicate).map(p, p.license) == ['MIT', 'NOASSERTION']",
            "packages(predicate)[0].purl == 'pkg:npm/a@1.0' && packages(predicate)[0].version == '1.0'",
        ] {
            assert_eq!(holds_of(text, bill), Ok(true), "{text} {bill}");
        }
    }
    let two = json!({"bomFormat": "CycloneDX", "components": [{"name": "a", "licenses": [{"license": {"name": "MIT"}}, {"expression": "BSD-3-Clause OR X"}]}]});
    assert_eq!(holds_of("licenseAllowed(packages(predicate)[0].license, ['MIT', 'X'])", &two), Ok(true));
    assert_eq!(holds_of("licenseAllowed(packages(predicate)[0].license, ['MIT'])", &two), Ok(false));
}

#[test]
fn every_function_is_documented() {
    let page = include_str!("../../docs/policy.md");
    for function in functions::Function::ALL {
        let usage = function.usage();
        assert!(page.contains(&format!("`{usage}`")), "{usage}");
    }
}

#[test]
fn the_source_of_provenance_is_its_repository() {
    let v1 = |parameters: Value| json!({"buildDefinition": {"externalParameters": parameters}});
    let app = "https://github.com/acme/app";
    let table = [
        (v1(json!({"workflow": {"repository": app}})), app),
        (v1(json!({"source": {"uri": format!("git+{app}@refs/heads/feature/x@y")}})), app),
        (v1(json!({"source": format!("{app}.git")})), app),
        (v1(json!({"configSource": {"uri": format!("{app}.git#refs/heads/main")}})), app),
        (json!({"invocation": {"configSource": {"uri": format!("git+{app}@refs/tags/v1")}}}), app),
        (
            json!({"invocation": {"configSource": {"uri": "git+ssh://git@example.com/app@v1"}}}),
            "ssh://git@example.com/app",
        ),
    ];
    for (predicate, expected) in table {
        assert_eq!(holds_of(&format!("sourceOf(predicate) == '{expected}'"), &predicate), Ok(true), "{predicate}");
    }
}
