//! What the story says, and how to play on. Pure text.

use std::net::SocketAddr;
use std::path::Path;

use super::world::{GATE, Running, World};
use crate::http::status::GateStatus;
use crate::report::text::printable;

/// What the texts tell of.
pub(super) struct Guide<'a> {
    pub(super) world: &'a World,
    /// How the reader calls this program.
    pub(super) program: &'a str,
    /// Where the daemon listens.
    pub(super) address: SocketAddr,
}

impl Guide<'_> {
    pub(super) fn opening(&self) -> String {
        let dir = printable(&self.world.dir().display().to_string());
        let registry = self.world.registry().as_str();
        format!(
            "A small world in `{dir}`: a Git repository of manifests, a registry at {registry} with signed and\n\
             unsigned images, a key pair, a policy, and the daemon that watches. All of it is on this machine.\n\n"
        )
    }

    pub(super) fn good(&self, commit: &str) -> String {
        format!(
            "1. A good revision is committed: {}. Every image in it is signed with the policy's key.\n\n",
            short(commit)
        )
    }

    pub(super) fn applied(&self, running: &Running) -> String {
        let mut text =
            "\n   It passed, and it is what runs now. Every image is pinned to the digest that was verified:\n"
                .to_owned();
        for (name, content) in &running.files {
            for (at, line) in (1..).zip(content.lines()).filter(|(_, line)| line.contains("image:")) {
                text.push_str(&format!(
                    "     {}:{at}: {}\n",
                    printable(&self.path(&format!("out/{name}"))),
                    printable(line.trim())
                ));
            }
        }
        text.push('\n');
        text
    }

    pub(super) fn bad(&self, commit: &str) -> String {
        format!(
            "2. A bad revision is committed: {}. It has an image that nobody signed, and more carts.\n\n",
            short(commit)
        )
    }

    pub(super) fn unchanged(&self, applied: &str) -> String {
        let out = printable(&self.path("out"));
        format!(
            "\n   It was refused as a whole: the change to the carts waits too. What runs is unchanged: `{out}` still is\n   \
             revision {}, byte for byte.\n\n",
            short(applied)
        )
    }

    pub(super) fn farewell(&self) -> String {
        format!(
            "The story came true. Leave `--once` away, and everything stays up to play with:\n  {} demo\n",
            self.quoted(self.program)
        )
    }

    pub(super) fn went_wrong(&self) -> String {
        format!(
            "The story did not come true. The daemon's log, `{}`, says more.\n",
            printable(&self.path("sealgate.log"))
        )
    }

    /// What is told before a new decision.
    pub(super) fn news(&self, status: &GateStatus) -> String {
        let id = |revision: &Option<String>| revision.as_deref().map_or("none", short).to_owned();
        format!("\nRevision {} is decided on; revision {} runs.\n\n", id(&status.observed), id(&status.applied))
    }

    pub(super) fn play_on(&self) -> String {
        let address = self.address;
        let registry = self.world.registry().as_str();
        let signed = self.world.signed();
        let program = self.quoted(self.program);
        let at = |name: &str| self.quoted(&self.path(name));
        let (manifests, web, out) = (at("manifests"), at("manifests/web.yaml"), at("out"));
        let (policy, config, key, public) =
            (at("policy.yaml"), at("sealgate.yaml"), at("keys/demo.key"), at("keys/demo.pub"));
        let (images, log) = (at("images"), at("sealgate.log"));
        let rows = [
            (manifests.as_str(), "the Git repository that the daemon watches"),
            (&out, "what runs: a link to the files of the revision that passed last"),
            (&policy, "which images may run, and who must have signed them"),
            (&config, "the daemon's configuration"),
            (&key, "signs; the policy names its public half"),
            (&images, "the images, as OCI layouts; the registry serves them"),
            (&log, "what the daemon logs"),
            (&format!("http://{address}/"), "the status page"),
            (&format!("http://{address}/metrics"), "the metrics"),
            (&format!("http://{address}/api/v1/gates/{GATE}"), "the report on the newest revision"),
        ];
        let width = rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or_default();
        let places: String = rows.iter().map(|(what, which)| format!("  {what:width$}  {which}\n")).collect();
        format!(
            "Everything stays up until Ctrl-C, and the folder after it. What is where:\n\
             {places}\n\
             Mend the revision: shop/web:1.0 is signed. Name it, with its digest if you like, and commit:\n  \
               sed -i 's|shop/web:.*|shop/web:1.0@{signed}|' {web}\n  \
               git -C {manifests} commit -am 'Use the signed image'\n\
             The new decision is shown here, and {out} changes. shop/web:1.2 is signed too, with a key that the policy\n\
             does not name: try it, then add that key to the policy.\n\n\
             Ask without a commit, and look at one image:\n  \
               {program} check --policy {policy} {manifests}\n  \
               {program} pin --policy {policy} {manifests}\n  \
               {program} verify --key {public} {registry}/shop/web:1.0\n\
             cosign says the same of these signatures:\n  \
               cosign verify --key {public} --insecure-ignore-tlog=true {registry}/shop/web:1.0\n\n"
        )
    }

    /// A path in the world's folder, as the reader would write it.
    fn path(&self, name: &str) -> String {
        self.world.dir().join(Path::new(name)).display().to_string()
    }

    /// A word as a shell takes it.
    fn quoted(&self, word: &str) -> String {
        let plain = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '=' | ':' | ',' | '@' | '%')
        };
        if !word.is_empty() && word.chars().all(plain) {
            return word.to_owned();
        }
        format!("'{}'", printable(word).replace('\'', r"'\''"))
    }
}

/// Text set in under the paragraph that it belongs to.
pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("   {line}\n") }).collect()
}

/// A commit as people write it.
fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
