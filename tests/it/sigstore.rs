//! What a private sigstore issued, held against the real cosigns: they verify it, refuse it where they should, and ours
//! says the same.

use std::path::PathBuf;

use crate::support::process::Done;
use crate::support::sigstore::{ISSUER, SUBJECT, Witness, cosign2, cosign3, sigstore, text};
use crate::support::world::{World, policy, push};

/// Signs as `SUBJECT` with cosign 3.
fn sign(witness: Witness, image: &str) {
    let (config, root, token) = (sigstore().config(witness), sigstore().root(), sigstore().token(SUBJECT));
    let arguments = ["sign", "--signing-config", text(&config), "--trusted-root", text(&root), "-y"];
    cosign3(&[&arguments[..], &["--identity-token", &token, image]].concat()).exits(0);
}

fn verify3(root: &PathBuf, who: [&str; 2], image: &str) -> Done {
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
