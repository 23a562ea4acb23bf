//! Pinning, as tables and as properties: only the bytes of the sites change.

use proptest::prelude::*;

use super::*;
use crate::discovery::site::{Action, Form};
use crate::discovery::{FieldRule, Rules, discover};
use crate::image::Digest;

fn file(path: &str, text: &str) -> File {
    File { path: path.into(), bytes: Bytes::copy_from_slice(text.as_bytes()) }
}

fn rules() -> Rules {
    let rule = |path: &str| FieldRule::new("", "ConfigMap", path, Action::Pin).unwrap();
    Rules { fields: vec![rule("data.conf(yaml).image"), rule("data.j(json).image")], ..Rules::default() }
}

/// Pins every site that can be pinned to one digest, as the gate does.
fn pinned(file: &File) -> Result<Pinned, Problem> {
    let documents = read(file, &Limits::default()).map_err(|mut problems| problems.remove(0))?;
    let mut sites = Vec::new();
    for document in &documents {
        sites.append(&mut discover(document, None, &rules()).map_err(|mut problems| problems.remove(0))?);
    }
    let digest = Digest::of(b"image");
    let edits: Vec<Edit<'_>> = sites
        .iter()
        .filter(|site| site.action == Action::Pin)
        .filter_map(|site| Some((site, site.image.as_ref().ok()?)))
        .filter_map(|(site, image)| match &site.form {
            Form::Whole { prefix } => Some(Edit { site, text: format!("{prefix}{}", image.pinned(&digest)) }),
            Form::Tag => Some(Edit { site, text: format!("{}@{digest}", image.tag()?) }),
            Form::Fixed | Form::Text => None,
        })
        .collect();
    pin(file, &documents, &edits, &Limits::default())
}

/// The text with `@D` where the digest goes, and without.
fn check(path: &str, template: &str) {
    let digest = Digest::of(b"image").to_string();
    let input = file(path, &template.replace("@D", ""));
    let expected = template.replace("@D", &format!("@{digest}"));
    let once = pinned(&input).unwrap();
    assert_eq!(std::str::from_utf8(&once.bytes).unwrap(), expected);
    let again = pinned(&File { path: input.path.clone(), bytes: once.bytes.clone() }).unwrap();
    assert_eq!(again.bytes, once.bytes, "a second run changes nothing");
    assert_eq!(again.documents, once.documents);
}

const POD: &str = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n";

#[test]
fn only_the_scalars_bytes_change() {
    let bodies = [
        "  - image: a:1@D\n",
        "  - image: a:1@D   # why\n    name: x",
        "  - {image: a:1@D, name: x}\n",
        "  - {image: 'a:1@D'}\n  - {\"image\":\"b@D\"}\n",
        "  - image: >-\n      a:1@D\n    name: x\n",
        "  - image: |-\n      a:1@D\n\n\n  - image: |-\n        b@D",
        "  - image: &a a:1@D\n  - image: *a\n",
        "  - &c\n    image: a@D\n    name: x\n  - <<: *c\n    name: y\n",
        "  - image: !!str a@D\n",
        "  - ? image\n    : a@D\n",
        "  -   image:    'a:1@D'   \n      env: [ü, \"€\"]\n---\n# end\n...\n",
        "  - image: \"a:1@D\"\r\n    name: x\r\n",
    ];
    for body in bodies {
        check("a.yaml", &format!("{POD}{body}"));
        check("a.yaml", &format!("\u{FEFF}# ü\n---\n---\n{POD}{body}"));
    }
    check("a.json", "{\"apiVersion\":\"v1\",\n\t\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"image\" : \"a:1@D\"}]}}");
    let map = "apiVersion: v1\nkind: ConfigMap\ndata:\n";
    check("a.yaml", &format!("{map}  conf: |\n    # c\n    image: a:1@D # d\n    b: 'c'\n  x: 1\n"));
    check("a.yaml", &format!("{map}  j: '{{\"image\": \"a:1@D\", \"b\": \"it''s\"}}'\n"));
    check("a.yaml", &format!("{map}  j: \"{{\\\"image\\\": \\\"a:1@D\\\"}}\"\n"));
    check(
        "a.yaml",
        "apiVersion: operator.victoriametrics.com/v1\nkind: VMSingle\nspec: {image: {repository: r.io/a, tag: \"v1@D\"}}\n",
    );
    check(
        "a.yaml",
        "apiVersion: cdi.kubevirt.io/v1\nkind: DataVolume\nspec: {source: {registry: {url: 'docker://r.io/a:1@D'}}}\n",
    );
}

#[test]
fn escapes_are_written_anew_only_inside_the_scalar() {
    let once = pinned(&file("a.yaml", &format!("{POD}  - image: \"\\x61:1\" # c\n"))).unwrap();
    let digest = Digest::of(b"image");
    assert_eq!(once.bytes, format!("{POD}  - image: \"a:1@{digest}\" # c\n"));
}

#[test]
fn what_cannot_be_pinned_without_touching_more_is_refused() {
    let texts = [
        format!("{POD}  - image: !!binary YToxCg==\n  - image: !!binary YTox\n"),
        format!("{POD}  - image: &a a:1\n    name: *a\n"),
        format!("{POD}  - image: &a a:1\n    env: [{{name: x, value: *a}}]\n"),
    ];
    for text in texts {
        assert_eq!(pinned(&file("a.yaml", &text)).unwrap_err().code, ErrorCode::YamlInvalid, "{text}");
    }
}

#[test]
fn two_pins_for_one_scalar_are_refused() {
    let file = file("a.yaml", &format!("{POD}  - image: &a a:1\n  - image: *a\n"));
    let documents = read(&file, &Limits::default()).unwrap();
    let sites = discover(&documents[0], None, &Rules::default()).unwrap();
    let edits: Vec<Edit<'_>> =
        sites.iter().enumerate().map(|(n, site)| Edit { site, text: format!("a:{n}") }).collect();
    assert!(pin(&file, &documents, &edits, &Limits::default()).is_err());
}

fn scalar() -> impl Strategy<Value = String> {
    let name = "[a-z]{1,8}(/[a-z0-9]{1,5})?(:[a-z0-9]{1,4})?";
    prop_oneof![
        name.prop_map(|name| name),
        name.prop_map(|name| format!("'{name}'")),
        name.prop_map(|name| format!("\"{name}\"")),
        name.prop_map(|name| format!("&x {name}")),
        name.prop_map(|name| format!("|-\n      {name}")),
        name.prop_map(|name| format!(">-\n       {name}")),
    ]
}

fn manifest() -> impl Strategy<Value = String> {
    let other = prop_oneof![
        Just("    name: 'ü #'\n"),
        Just("    args: [\"a\\tb\", 1.50, on]\n"),
        Just("    # image: z\n"),
        Just("    text: |\n      image: z\n\n       more  \n"),
        Just(""),
    ];
    let container = (scalar(), other).prop_map(|(image, other)| format!("  - image: {image}\n{other}"));
    let pod = proptest::collection::vec(container, 1..4).prop_map(|containers| format!("{POD}{}", containers.concat()));
    (proptest::collection::vec(pod, 1..4), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(pods, crlf, marked, ended)| {
            let text = pods.join("---\n");
            let text = if ended { text } else { text.trim_end().to_owned() };
            let text = if crlf { text.replace('\n', "\r\n") } else { text };
            if marked { format!("\u{FEFF}{text}") } else { text }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn taking_the_digests_out_again_gives_the_old_bytes(text in manifest()) {
        let input = file("a.yaml", &text);
        // Some of the drawn plain words are no strings (`on`, `null`); a document with one is refused, not pinned.
        prop_assume!(pinned(&input).is_ok());
        let once = pinned(&input).unwrap();
        let digest = format!("@{}", Digest::of(b"image"));
        let result = std::str::from_utf8(&once.bytes).unwrap();
        prop_assert_eq!(result.replace(&digest, ""), text);
        let before: Vec<String> = read(&input, &Limits::default()).unwrap().iter().map(|d| d.root.to_json().to_string()).collect();
        let after: Vec<String> = once.documents.iter().map(|d| d.root.to_json().to_string().replace(&digest, "")).collect();
        prop_assert_eq!(before, after);
        let again = pinned(&File { path: input.path.clone(), bytes: once.bytes.clone() }).unwrap();
        prop_assert_eq!(again.bytes, once.bytes);
    }

    #[test]
    fn no_bytes_bring_us_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for path in ["a.yaml", "a.json"] {
            let _ = pinned(&File { path: path.into(), bytes: bytes.clone().into() });
        }
    }

    #[test]
    fn no_text_of_yaml_characters_brings_us_down(text in "[a-z0-9 \\-:\\[\\]{},&*!|>'\"\n\r\t#?%@~<.\\\\]{0,120}") {
        let _ = pinned(&file("a.yaml", &text));
        let _ = pinned(&file("a.yaml", &format!("apiVersion: v1\nkind: Pod\nspec: {text}")));
    }
}
