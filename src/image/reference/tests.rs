//! References as distribution/reference reads them (REF-01 … REF-13).

use super::*;

fn canonical(text: &str) -> Option<String> {
    ImageRef::parse(text).ok().map(|image| image.canonical())
}

#[test]
fn references_are_normalised_as_distribution_reference_does() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let table = [
        ("nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/acme/app:1", "docker.io/acme/app:1"),
        ("registry-1.docker.io/library/nginx", "registry-1.docker.io/library/nginx:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
        ("a.b:5000", "docker.io/library/a.b:5000"),
        ("a.b:5000/x", "a.b:5000/x:latest"),
        ("REG.io/x", "reg.io/x:latest"),
        ("[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo:latest"),
        ("xn--bcher-kva.example/x", "xn--bcher-kva.example/x:latest"),
        ("127.1/x", "127.1/x:latest"),
        ("2130706433:80/x", "2130706433:80/x:latest"),
        ("dock__er/x", "docker.io/dock__er/x:latest"),
        ("a---b/c", "docker.io/a---b/c:latest"),
        ("x/y:Upper_Tag.1-2", "docker.io/x/y:Upper_Tag.1-2"),
    ];
    for (text, expected) in table {
        assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
    }
    assert_eq!(canonical(&format!("x:v1@{digest}")), Some(format!("docker.io/library/x:v1@{digest}")));
    assert_eq!(canonical(&format!("x@{digest}")), Some(format!("docker.io/library/x@{digest}")));
}

#[test]
fn what_is_no_reference_is_refused() {
    let identifier = "1a3f".repeat(16);
    let long_path = format!("a.io/{}", "a".repeat(256));
    let long_tag = format!("x:{}", "a".repeat(129));
    let huge = "a/".repeat(100_000);
    let bad = [
        "",
        " nginx",
        "nginx ",
        "nginx\n",
        "ngi\0nx",
        "nginx\u{1b}[31m",
        "ngi\u{a0}nx",
        "ngi\u{200b}nx",
        "ünicode",
        "https://reg.io/x",
        "dock..er",
        "dock_.er",
        "dock___er",
        "-x",
        "x-/y",
        "a//b",
        "docker/",
        "/x",
        "Upper/x",
        "x/Upper",
        "LOCALDOMAIN/debian",
        "nginx:",
        "nginx:.x",
        "nginx:-x",
        "nginx@sha256:abc",
        "nginx@sha512:00",
        "reg.io:0/x",
        "reg.io:65536/x",
        "reg.io:99999/x",
        "reg.io:/x",
        "[2001:db8::1]",
        "[fe80::1%eth0]/x",
        "[::ffff:10.0.0.1]/x",
        "[::1/x",
        "-reg.io/x",
        "reg..io/x",
        "nginx:a:b",
        "nginx@",
        "%6eginx",
        "user:pw@reg.io/x",
        &identifier,
        &long_path,
        &long_tag,
        &huge,
    ];
    for text in bad {
        assert_eq!(canonical(text), None, "{:?}", text.get(..40).unwrap_or(text));
    }
    assert!(canonical(&format!("a.io/{}", "a".repeat(255))).is_some());
}

#[test]
fn the_canonical_form_is_a_fixed_point() {
    for text in ["nginx", "REG.io/x:1", "index.docker.io/a/b", "[::1]:80/x"] {
        let once = canonical(text).unwrap();
        assert_eq!(canonical(&once), Some(once));
    }
}

#[test]
fn a_pin_keeps_the_spelling_and_the_tag() {
    let digest = Digest::of(b"x");
    let pin = |text: &str| ImageRef::parse(text).unwrap().pinned(&digest);
    assert_eq!(pin("nginx"), format!("nginx@{digest}"));
    assert_eq!(pin("nginx:1.27"), format!("nginx:1.27@{digest}"));
    let already = format!("nginx:1.27@{}", Digest::of(b"y"));
    assert_eq!(pin(&already), already);
}

#[test]
fn loopback_is_a_matter_of_spelling() {
    for (host, expected) in [
        ("localhost", true),
        ("localhost:5000", true),
        ("127.0.0.1", true),
        ("127.8.8.8:80", true),
        ("[::1]:80", true),
        ("127.1", false),
        ("2130706433:80", false),
        ("localhost.evil.test", false),
        ("127.0.0.1.evil.test", false),
        ("[::2]", false),
    ] {
        assert_eq!(Host::parse(host).unwrap().is_loopback(), expected, "{host}");
    }
}
