//! What was seen, as a policy and a configuration: pure text, in which nothing from outside can leave its quotes or its
//! comment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crate::image::ImageRef;
use crate::report::text::printable;

/// Longest line of a comment in characters.
const MAX_HINT: usize = 300;
/// Hints told of one image.
const MAX_HINTS: usize = 5;

/// A signature that was verified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proof {
    /// By the key in this file.
    Key(String),
    /// By a certificate of the trust root.
    Identity {
        /// Who vouched.
        issuer: String,
        /// For whom.
        subject: String,
    },
}

/// What was seen of one image.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) image: ImageRef,
    pub(super) proofs: BTreeSet<Proof>,
    /// What may be so.
    pub(super) hints: BTreeSet<String>,
}

/// A rule that was proven for all that these repositories were seen with.
#[derive(Debug, Clone)]
struct Rule {
    repositories: Vec<String>,
    proofs: BTreeSet<Proof>,
}

/// What is written.
#[derive(Debug)]
pub(super) struct Proposal {
    rules: Vec<Rule>,
    covered: Vec<ImageRef>,
    left: Vec<Seen>,
    root: String,
}

/// Where manifests come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) git: String,
    pub(super) branch: Option<String>,
    pub(super) path: Option<String>,
    pub(super) is_repository: bool,
}

impl Seen {
    pub(super) fn new(image: &ImageRef) -> Self {
        Self { image: image.clone(), proofs: BTreeSet::new(), hints: BTreeSet::new() }
    }

    pub(super) fn not_asked(image: &ImageRef) -> Self {
        let mut seen = Self::new(image);
        seen.hints
            .insert(format!("nobody was asked: name its registry with `--registry {}`", image.repository().host()));
        seen
    }
}

impl Proposal {
    /// One rule for each set of proofs that all images of a repository have.
    pub(super) fn new(seen: &[Seen], root: &str) -> Self {
        let mut repositories = BTreeMap::<String, Vec<&Seen>>::new();
        for one in seen {
            repositories.entry(one.image.repository().to_string()).or_default().push(one);
        }
        let mut rules = BTreeMap::<BTreeSet<Proof>, Vec<String>>::new();
        let mut proposal = Self { rules: Vec::new(), covered: Vec::new(), left: Vec::new(), root: root.to_owned() };
        for (repository, images) in repositories {
            let mut common: Option<BTreeSet<Proof>> = None;
            for image in &images {
                common = Some(common.map_or_else(|| image.proofs.clone(), |common| &common & &image.proofs));
            }
            match common.filter(|common| !common.is_empty()) {
                Some(common) => {
                    rules.entry(common).or_default().push(repository);
                    proposal.covered.extend(images.iter().map(|seen| seen.image.clone()));
                }
                None => proposal.left.extend(images.into_iter().cloned()),
            }
        }
        proposal.rules = rules.into_iter().map(|(proofs, repositories)| Rule { repositories, proofs }).collect();
        proposal
    }

    /// The images that pass.
    pub(super) fn covered(&self) -> Vec<ImageRef> {
        self.covered.clone()
    }

    /// Whether a rule rests on the trust root.
    pub(super) fn needs_root(&self) -> bool {
        self.rules.iter().any(|rule| rule.proofs.iter().any(|proof| matches!(proof, Proof::Identity { .. })))
    }

    /// The policy's text.
    pub(super) fn policy(&self) -> String {
        let mut text = String::from(
            "# Proposed by `sealgate init`. Each rule was proven with what the registries held then; read it before you trust it:\n\
             # it says who signs today, not who should. An image that no rule names is refused.\n\
             apiVersion: sealgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: proposed}\nspec:\n",
        );
        let hosts: BTreeSet<String> = self.covered.iter().map(|image| image.repository().host().to_string()).collect();
        if !hosts.is_empty() {
            let hosts: Vec<String> = hosts.iter().map(|host| quoted(host)).collect();
            let _ = writeln!(text, "  registries: [{}]", hosts.join(", "));
        }
        text.push_str("  rules:\n");
        for (number, rule) in self.rules.iter().enumerate() {
            rule.write(number.saturating_add(1), &self.root, &mut text);
        }
        if self.rules.is_empty() {
            text.push_str(
                "  # Nothing could be proven. A policy needs a rule: this one names a host that cannot exist.\n\
                 \x20 - name: nothing-yet\n    images: [\"registry.invalid/nothing\"]\n    allowUnsigned: true\n",
            );
        }
        if !self.left.is_empty() {
            text.push_str("  # Not proven; these images are refused until a rule names them:\n");
        }
        for seen in &self.left {
            seen.write(&mut text);
        }
        text
    }

    /// What a person is told.
    pub(super) fn summary(&self, dir: &Path) -> String {
        let mut text = format!(
            "wrote {}: {} of {} images pass; {} rules\n",
            printable(&dir.join("policy.yaml").display().to_string()),
            self.covered.len(),
            self.covered.len().saturating_add(self.left.len()),
            self.rules.len()
        );
        for seen in &self.left {
            let _ = writeln!(text, "not proven: {}", printable(seen.image.written()));
        }
        let config = dir.join("sealgate.yaml").display().to_string();
        let _ = writeln!(
            text,
            "wrote {}: one gate, in audit mode; next: sealgate run --config {} --once",
            printable(&config),
            printable(&config)
        );
        text
    }
}

impl Rule {
    fn write(&self, number: usize, root: &str, text: &mut String) {
        let images: Vec<String> = self.repositories.iter().map(|name| quoted(name)).collect();
        let _ = writeln!(text, "  - name: signed-{number}\n    images: [{}]", images.join(", "));
        let _ = writeln!(text, "    signatures:\n      threshold: {}\n      authorities:", self.proofs.len());
        for (at, proof) in self.proofs.iter().enumerate() {
            let at = at.saturating_add(1);
            match proof {
                Proof::Key(file) => {
                    let _ = writeln!(text, "      - name: key-{at}\n        key: {{file: {}}}", quoted(file));
                }
                Proof::Identity { issuer, subject } => {
                    let _ = writeln!(text, "      - name: identity-{at}\n        keyless:\n          identities:");
                    let _ = writeln!(
                        text,
                        "          - issuer: {}\n            subject: {}",
                        quoted(issuer),
                        quoted(subject)
                    );
                    let _ = writeln!(text, "        trustRoot: {{file: {}}}", quoted(root));
                }
            }
        }
    }
}

impl Seen {
    fn write(&self, text: &mut String) {
        let _ = writeln!(text, "  # - {}", comment(self.image.written()));
        for proof in &self.proofs {
            let who = match proof {
                Proof::Key(file) => format!("the key {file}"),
                Proof::Identity { issuer, subject } => format!("{subject}, for whom {issuer} vouched"),
            };
            let _ = writeln!(text, "  #   proven, but not for every image of its repository: {}", comment(&who));
        }
        for hint in self.hints.iter().take(MAX_HINTS) {
            let _ = writeln!(text, "  #   {}", comment(hint));
        }
        let left = self.hints.len().saturating_sub(MAX_HINTS);
        if left > 0 {
            let _ = writeln!(text, "  #   … and {left} more");
        }
    }
}

/// The configuration's text.
pub(super) fn configuration(source: &Source) -> String {
    let Source { git, branch, path, is_repository } = source;
    let mut gate = format!("git: {}", quoted(git));
    if let Some(branch) = branch {
        let _ = write!(gate, ", branch: {}", quoted(branch));
    }
    if let Some(path) = path {
        let _ = write!(gate, ", path: {}", quoted(path));
    }
    let note = if *is_repository {
        "# The clone on this machine; name the server that others push to: `https://…` or `ssh://…`."
    } else {
        "# This folder is in no Git repository: name the one that holds the manifests."
    };
    format!(
        "# Proposed by `sealgate init`; `config/sealgate.yaml` of the project has every field.\n\
         listen: 127.0.0.1:8080\nstateDir: state\ngates:\n- name: first\n  {note}\n  source: {{{gate}}}\n  policies: [policy.yaml]\n  \
         target: {{directory: {{path: out}}}}\n  mode: audit   # decides and reports, and writes nothing\n"
    )
}

/// A double-quoted scalar: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn comment(text: &str) -> String {
    printable(text).chars().take(MAX_HINT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(reference: &str, proofs: &[Proof]) -> Seen {
        let mut seen = Seen::new(&ImageRef::parse(reference).unwrap());
        seen.proofs.extend(proofs.iter().cloned());
        seen
    }

    fn key(name: &str) -> Proof {
        Proof::Key(name.to_owned())
    }

    #[test]
    fn a_rule_asks_for_all_that_every_image_of_a_repository_had() {
        let ci = [key("ci.pub"), key("release.pub")];
        let proposal = Proposal::new(
            &[
                seen("a.io/both:1", &ci),
                seen("a.io/both:2", &ci),
                seen("a.io/some:1", &ci),
                seen("a.io/some:2", &ci[..1]),
                seen("a.io/mixed:1", &ci),
                seen("a.io/mixed:2", &[]),
                seen("a.io/none:1", &[]),
            ],
            "root.json",
        );
        let text = proposal.policy();
        assert!(text.contains("images: [\"a.io/both\"]\n    signatures:\n      threshold: 2"), "{text}");
        assert!(text.contains("images: [\"a.io/some\"]\n    signatures:\n      threshold: 1"), "{text}");
        assert!(!text.contains("allowUnsigned"), "{text}");
        let left: Vec<&str> = proposal.left.iter().map(|seen| seen.image.written()).collect();
        assert_eq!(left, ["a.io/mixed:1", "a.io/mixed:2", "a.io/none:1"]);
        assert_eq!(proposal.covered().len(), 4);
    }

    #[test]
    fn hostile_names_stay_in_their_quotes_and_comments() {
        let hostile = "x\"]\n    allowUnsigned: true # \u{1b}[31m";
        let mut open = seen("a.io/open:1", &[]);
        open.hints.insert(hostile.to_owned());
        let proof = Proof::Identity { issuer: hostile.to_owned(), subject: hostile.to_owned() };
        let text = Proposal::new(&[open, seen("a.io/app:1", &[proof])], "root.json").policy();
        assert!(text.lines().all(|line| line.trim() != "allowUnsigned: true"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}
