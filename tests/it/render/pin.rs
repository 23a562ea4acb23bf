//! `pin` on a kustomization: its `images` say the digests that were verified.

use std::path::PathBuf;
use std::process::Command;

use super::bin;
use crate::support::process::{self, Done};
use crate::support::world::{World, good, pod, unsigned};

struct Place {
    world: World,
    bin: tempfile::TempDir,
}

impl Place {
    fn new(kustomization: &str, manifest: &str) -> Self {
        let place = Self { world: World::new(), bin: bin(Some(("TEST_KUSTOMIZE", "kustomize"))) };
        place.world.write("m/kustomization.yaml", kustomization);
        place.world.write("m/web.yaml", manifest);
        place
    }

    fn command(&self, mode: &str) -> Command {
        let mut command = self.world.command(&["pin", "--policy", "policy.yaml", "m", mode]);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.bin.path().display()));
        command
    }

    #[track_caller]
    fn pin(&self, mode: &str) -> Done {
        process::run(&mut self.command(mode))
    }

    fn kustomization(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.world.path("m/kustomization.yaml")
    }
}

/// The name and the digest of an image.
fn parts() -> (String, String) {
    let image = good();
    let name = image.tagged().rsplit_once(':').unwrap().0.to_owned();
    let digest = image.pinned().rsplit_once('@').unwrap().1.to_owned();
    (name, digest)
}

#[test]
fn an_entry_gets_the_digest_and_every_other_byte_stays() {
    let (name, digest) = parts();
    let tag = good().tagged().rsplit_once(':').unwrap().1.to_owned();
    let text = format!(
        "# top\nresources: [web.yaml]   # here\nimages:\n- name: web # why\n  newName: {name}\n  newTag: \"{tag}\" # so\nnamePrefix: x-\n"
    );
    let place = Place::new(&text, &pod("a", "web:latest"));
    place.pin("--check").exits(4);
    assert_eq!(place.kustomization(), text);
    let diff = place.pin("--diff").exits(0).stdout;
    assert!(diff.contains(&format!("\n+  digest: {digest}\n")), "{diff}");
    assert_eq!(place.kustomization(), text);
    place.pin("--write").exits(0);
    let expected = text.replace("# so\n", &format!("# so\n  digest: {digest}\n"));
    assert_eq!(place.kustomization(), expected);
    for mode in ["--check", "--write"] {
        place.pin(mode).exits(0);
        assert_eq!(place.kustomization(), expected, "{mode}");
    }
    assert_eq!(std::fs::read_to_string(place.world.path("m/web.yaml")).unwrap(), pod("a", "web:latest"));
}

#[test]
fn images_are_added_where_there_are_none() {
    let (name, digest) = parts();
    let tag = good().tagged().rsplit_once(':').unwrap().1.to_owned();
    let text = "resources:\r\n- web.yaml\r\n# the end\r\n";
    let place = Place::new(text, &pod("a", &good().tagged()));
    place.pin("--write").exits(0);
    let pinned = place.kustomization();
    let added = pinned.strip_prefix(text).unwrap_or_else(|| panic!("{pinned}"));
    assert!(added.starts_with(&format!("images:\r\n- name: {name}\r\n  newTag: ")), "{added}");
    assert!(added.contains(&tag) && added.ends_with(&format!("  digest: {digest}\r\n")), "{added}");
    place.pin("--check").exits(0);
}

#[test]
fn nothing_changes_without_a_pass_or_where_images_do_not_reach() {
    let text = "resources: [web.yaml]\n";
    let place = Place::new(text, &pod("a", &unsigned().tagged()));
    place.pin("--write").exits(1);
    assert_eq!(place.kustomization(), text);
    // kustomize does not look into ephemeral containers.
    let manifest =
        pod("a", &good().pinned()) + &format!("  ephemeralContainers: [{{name: b, image: '{}'}}]\n", good().tagged());
    let place = Place::new(text, &manifest);
    for mode in ["--write", "--diff"] {
        let done = place.pin(mode).exits(2);
        assert!(format!("{}{}", done.stdout, done.stderr).contains("Pod a"), "{done:?}");
        assert_eq!(place.kustomization(), text);
    }
}
