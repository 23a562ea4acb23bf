//! What the story says, and how to play on. Pure text.

use std::fmt::Write as _;
use std::net::SocketAddr;

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

    pub(super) fn good(commit: &str) -> String {
        format!(
            "1. A good revision is committed: {}. Every image in it is signed with the policy's key.\n\n",
            short(commit)
        )
    }

    pub(super) fn applied(&self, running: &Running) -> String {
        let mut lines = String::new();
        for (name, content) in &running.files {
            let file = printable(&self.path(&format!("out/{name}")));
            for (at, line) in (1..).zip(content.lines()).filter(|(_, line)| line.contains("image:")) {
                let _ = writeln!(lines, "     {file}:{at}: {}", printable(line.trim()));
            }
        }
        format!(
            "\n   It passed, and it is what runs now, every image pinned to the digest that was verified:\n{lines}\n"
        )
    }

    pub(super) fn bad(commit: &str) -> String {
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
            "The story came true. Leave out `--once`, and everything stays up to play with:\n  {} demo\n",
            quoted(self.program)
        )
    }

    pub(super) fn went_wrong(&self) -> String {
        format!(
            "The story did not come true. The daemon's log, `{}`, says more.\n",
            printable(&self.path("sealgate.log"))
        )
    }

    /// What is told before a new decision.
    pub(super) fn news(status: &GateStatus) -> String {
        let id = |revision: &Option<String>| revision.as_deref().map_or("none", short).to_owned();
        format!("\nRevision {} is decided on; revision {} runs.\n\n", id(&status.observed), id(&status.applied))
    }

    /// How to play on, once the story is told.
    pub(super) fn play_on(&self) -> String {
        format!(
            "Everything stays up until Ctrl-C, and the folder after it.\n\n{}\n{}\n",
            self.places(),
            self.commands()
        )
    }

    /// What is where.
    fn places(&self) -> String {
        let address = self.address;
        let rows = [
            (self.at("manifests"), "the Git repository that the daemon watches"),
            (self.at("out"), "what runs: a link to the files of the revision that passed last"),
            (self.at("policy.yaml"), "which images may run, and who must have signed them"),
            (self.at("sealgate.yaml"), "the daemon's configuration"),
            (self.at("keys/demo.key"), "the signer's private key; the policy names its public half"),
            (self.at("images"), "the images, as OCI layouts, which the registry serves"),
            (self.at("sealgate.log"), "what the daemon logs"),
            (format!("http://{address}/"), "the status page"),
            (format!("http://{address}/metrics"), "the metrics"),
            (format!("http://{address}/api/v1/gates/{GATE}"), "the report on the newest revision"),
        ];
        let width = rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or_default();
        let lines: Vec<String> = rows.iter().map(|(what, which)| format!("  {what:width$}  {which}\n")).collect();
        lines.concat()
    }

    /// What to type.
    fn commands(&self) -> String {
        let (program, signed) = (quoted(self.program), self.world.signed());
        let image = format!("{}/shop/web:1.0", self.world.registry().as_str());
        let (manifests, web, policy) = (self.at("manifests"), self.at("manifests/web.yaml"), self.at("policy.yaml"));
        let public = self.at("keys/demo.pub");
        format!(
            "Mend the revision: name the signed image, with its digest if you like, and commit. The new decision is\n\
             shown here.\n  \
               sed -i 's|shop/web:.*|shop/web:1.0@{signed}|' {web}\n  \
               git -C {manifests} commit -am 'Use the signed image'\n\
             shop/web:1.2 is signed too, with a key that the policy does not name: try it, then add the key to {policy}.\n\
             (To sign 1.1, as the report advises, takes a registry that can be written to. This one only reads.)\n\n\
             Ask without a commit, or about one image:\n  \
               {program} check --policy {policy} {manifests}\n  \
               {program} pin --policy {policy} {manifests}\n  \
               {program} verify --key {public} {image}\n\
             cosign says the same of these signatures:\n  \
               cosign verify --key {public} --insecure-ignore-tlog=true {image}\n"
        )
    }

    /// A path in the world's folder.
    fn path(&self, name: &str) -> String {
        self.world.dir().join(name).display().to_string()
    }

    /// The same, as a shell takes it.
    fn at(&self, name: &str) -> String {
        quoted(&self.path(name))
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", printable(word).replace('\'', r"'\''"))
}

/// Text set in under the paragraph that it belongs to.
pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("   {line}\n") }).collect()
}

/// A commit as people write it.
fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_each_word_as_it_is_meant() {
        let table = [("a/b-1.0", "a/b-1.0"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''"), ("$x", "'$x'")];
        for (word, expected) in table {
            assert_eq!(quoted(word), expected);
        }
    }
}
