//! What a private sigstore issued, held against the real cosigns: they verify it, refuse it where they should, and ours
//! says the same.

use std::path::Path;

use crate::support::process::Done;
use crate::support::sigstore::{ISSUER, SUBJECT, Witness, cosign2, cosign3, sigstore, text};
use crate::support::world::{World, policy, push};

/// Signs as `SUBJECT` with cosign 3.
fn sign(witness: Witness, image: &str) {
    let (config, root, token) = (sigstore().config(witness), sigstore().root(), sigstore().token(SUBJECT));
    let arguments = ["sign", "--signing-config", text(&config), "--trusted-root", text(&root), "-y"];
    cosign3(&[&arguments[..], &["--identity-token", &token, image]].concat()).exits(0);
}

fn verify3(root: &Path, who: [&str; 2], image: &str) -> Done {
    let who = ["--certificate-identity", who[0], "--certificate-oidc-issuer", who[1]];
    cosign3(&[&["verify", "--trusted-root", text(root)], &who[..], &[image]].concat())
}

fn world() -> World {
    let world = World::new();
    std::fs::copy(sigstore().root(), world.path("root.json")).unwrap();
    let identity = format!("{{issuer: '{ISSUER}', subject: '{SUBJECT}'}}");
    world.write(
        "policy.yaml",
        &policy(&format!("{{name: acme, keyless: {{identities: [{identity}]}}, trustRoot: {{file: root.json}}}}")),
    );
    world
}

#[test]
fn what_the_private_sigstore_issues_is_true_to_cosign_and_to_us() {
    let world = world();
    let other = Witness::Nothing;
    for (witness, counts) in [(Witness::RekorV1, true), (Witness::RekorV2, true), (Witness::Tsa, false), (other, false)]
    {
        let image = push(&format!("app/private-{witness:?}").to_lowercase()).by_digest();
        sign(witness, &image);
        assert_eq!(verify3(&sigstore().root(), [SUBJECT, ISSUER], &image).code == 0, counts, "cosign: {witness:?}");
        assert_eq!(world.verify(&image).code == 0, counts, "{witness:?}: {:?}", world.verify(&image));
        // Another subject, another issuer, and another sigstore.
        assert_ne!(verify3(&sigstore().root(), [ISSUER, ISSUER], &image).code, 0);
        assert_ne!(verify3(&sigstore().root(), [SUBJECT, SUBJECT], &image).code, 0);
        assert_ne!(verify3(&sigstore().path("empty.json"), [SUBJECT, ISSUER], &image).code, 0);
    }
}

#[test]
fn the_old_format_of_the_private_sigstore_is_true_to_cosign_and_to_us() {
    let (world, url, token) = (world(), &sigstore().url, sigstore().token(SUBJECT));
    let stamp = format!("{url}/api/v1/timestamp");
    let who = ["--certificate-identity", SUBJECT, "--certificate-oidc-issuer", ISSUER];
    let cases: [(&str, &[&str], bool); 4] = [
        ("logged", &[], true),
        ("logged-and-stamped", &["--timestamp-server-url", &stamp], true),
        ("stamped", &["--tlog-upload=false", "--timestamp-server-url", &stamp], false),
        ("bare", &["--tlog-upload=false"], false),
    ];
    for (name, more, counts) in cases {
        let image = push(&format!("app/private-{name}")).by_digest();
        let sign = ["sign", "--fulcio-url", url, "--rekor-url", url, "--oidc-issuer", url, "--identity-token", &token];
        cosign2(&[&sign[..], more, &["-y", &image]].concat(), &[]).exits(0);
        let verified = cosign2(&[&["verify"][..], &who, &["--rekor-url", url, &image]].concat(), &[]);
        assert_eq!(verified.code == 0, counts, "{name}: {verified:?}");
        assert_eq!(world.verify(&image).code == 0, counts, "{name}: {:?}", world.verify(&image));
    }
}

/// The text of a run with `--explain`, as lines without what draws the tree.
fn explained(world: &World, image: &str, code: i32) -> Vec<String> {
    let done = world.run(&["verify", image, "--policy", "policy.yaml", "--explain"]).exits(code);
    done.stdout.lines().map(|line| line.trim_start_matches(['│', '├', '└', '─', ' ']).to_owned()).collect()
}

#[test]
fn explain_tells_signer_and_first_failed_check_under_every_authority() {
    let world = world();
    let image = push("app/explained").by_digest();
    sign(Witness::RekorV1, &image);
    sign(Witness::Tsa, &image);
    let with_key = std::fs::read_to_string(world.path("policy.yaml")).unwrap().replace(
        "authorities: [",
        "threshold: 2, authorities: [{name: ci, key: {file: ci.pub}}, {name: other, keyless: {identities: [{issuer: \
         'https://other.example.com', subjectRegExp: '.*'}]}, trustRoot: {file: root.json}}, ",
    );
    world.write("policy.yaml", &with_key);
    let lines = explained(&world, &image, 1);
    let below = |authority: &str| {
        let from = lines.iter().position(|line| line.starts_with(&format!("authority `{authority}`"))).unwrap();
        lines[from + 1..from + 3].to_vec()
    };
    let signer = format!("{ISSUER} {SUBJECT}");
    assert!(lines.iter().any(|line| line.contains("rule `first-party`") && line.contains("2 of 3")), "{lines:#?}");
    // No key made them; another issuer was asked for; one was logged, the other was not.
    assert!(below("ci").iter().all(|line| line.contains(&signer) && line.contains("fails at `key`")), "{lines:#?}");
    let fails = |authority: &str, check: &str| {
        let told = format!("fails at `{check}`");
        below(authority).iter().filter(|line| line.contains(&told) && line.contains(&signer)).count()
    };
    assert_eq!((fails("other", "identity"), fails("other", "log")), (1, 1), "{lines:#?}");
    assert_eq!((fails("acme", "log"), below("acme").iter().filter(|line| line.contains(" counts: ")).count()), (1, 1));
    assert!(below("other").iter().any(|line| line.contains(ISSUER) && line.contains("https://other.example.com")));
}

#[test]
fn explain_tells_that_nothing_was_found_and_wants_text() {
    let world = world();
    let image = push("app/explained-bare").by_digest();
    let lines = explained(&world, &image, 1);
    assert!(lines.iter().any(|line| line.contains("nothing was found")), "{lines:#?}");
    world.run(&["verify", &image, "--policy", "policy.yaml", "--explain", "--output", "json"]).exits(2);
}
