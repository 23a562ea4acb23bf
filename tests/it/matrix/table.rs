//! The page that shows the matrix.

use std::collections::BTreeMap;

use super::cell::{Cell, Form, Log, Maker, Signer};
use crate::support::sigstore::Witness;

/// What both said of a cell: ours, and the cosign's that writes that form. Ours is none where no policy can ask so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub ours: Option<bool>,
    pub cosign: bool,
}

/// The answers by what was asked.
pub type Answers = BTreeMap<(Log, Cell), Answer>;

const BEGIN: &str = include_str!("intro.md");

/// The whole page.
pub fn page(answers: &Answers) -> String {
    let mut page = BEGIN.to_owned();
    for log in Log::ALL {
        page.push_str(match log {
            Log::Required => "\n## With a log: `transparencyLog: require`, `keyless`; `cosign verify`\n\n",
            Log::Ignored => "\n## Without: `transparencyLog: ignore`; `cosign verify --insecure-ignore-tlog`\n\n",
        });
        page.push_str("| signer | kept as |");
        page.extend(Witness::ALL.iter().map(|witness| format!(" {} |", witness.name())));
        page.push_str("\n|---|---|---|---|---|---|\n");
        for signer in Signer::ALL {
            for form in Form::ALL {
                page.push_str(&format!("| {} | {} |", signer.name(), form.name()));
                for witness in Witness::ALL {
                    let cell = Cell { signer, form, witness };
                    page.push_str(&format!(" {} |", shown(log, cell, answers[&(log, cell)])));
                }
                page.push('\n');
            }
        }
    }
    page.push_str("\n## Why they differ\n\n");
    for why in Why::ALL {
        page.push_str(&format!("{}. {}\n", why.number(), why.text()));
    }
    page
}

fn shown(log: Log, cell: Cell, answer: Answer) -> String {
    let word = |yes: bool| if yes { "yes" } else { "no" };
    let ours = answer.ours.map_or("–", word);
    let forged = if cell.maker() == Maker::Forged { " forged" } else { "" };
    let why = why(log, cell, answer).map(|why| format!(" ({})", why.number())).unwrap_or_default();
    format!("{ours} / {}{why}{forged}", word(answer.cosign))
}
/// Why we and cosign say different things of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// cosign cannot verify its own bundles by the larger curves.
    Curves,
    /// No policy asks for a certificate without a log.
    Keyless,
    /// No log entry with a P-521 key is read.
    P521,
    /// No entry of Rekor v2 with an RSA key is read.
    Rsa,
    /// cosign refuses the entry that it wrote.
    Ed25519,
}

impl Why {
    const ALL: [Self; 5] = [Self::Curves, Self::Keyless, Self::P521, Self::Rsa, Self::Ed25519];

    fn number(self) -> usize {
        1 + Self::ALL.iter().position(|one| *one == self).unwrap()
    }

    fn text(self) -> &'static str {
        match self {
            Self::Curves => {
                "Bundles by P-384 and P-521 keys: cosign 3 hashes with SHA-384 and SHA-512 when it signs, and with \
                 SHA-256 when it verifies, so that it refuses what it wrote; where Rekor v1 is asked it does not even \
                 finish signing. We take the hash that is as long as the curve."
            }
            Self::Keyless => {
                "`keyless` without a log is an error when the policy is loaded: without one nothing but the signer's \
                 own word, or one timestamp, says that the certificate was used in its ten minutes of life."
            }
            Self::P521 => {
                "The crate that reads log entries knows no P-521 keys, so that `transparencyLog: require` refuses \
                 them (`transparency-log-invalid`)."
            }
            Self::Rsa => {
                "The crate that reads log entries knows no entry of Rekor v2 by an RSA key, so that \
                 `transparencyLog: require` refuses them (`transparency-log-invalid`)."
            }
            Self::Ed25519 => {
                "cosign 2 sends the log a SHA-256 with a pure Ed25519 signature; its own reader of entries refuses that \
                 afterwards (it wants SHA-512), and a real Rekor v1 would have: the tests' log takes everything. The \
                 entry is about this signature, this key and these bytes, which is what we ask."
            }
        }
    }
}

/// Why the two differ; none where they do not.
///
/// # Panics
/// Where nobody has explained the difference yet.
pub fn why(log: Log, cell: Cell, answer: Answer) -> Option<Why> {
    if answer.ours == Some(answer.cosign) {
        return None;
    }
    let Cell { signer, form, witness } = cell;
    Some(match (log, signer, form.is_bundle(), witness) {
        (Log::Ignored, Signer::Keyless, _, _) if answer.ours.is_none() => Why::Keyless,
        (_, Signer::P384 | Signer::P521, true, _) if answer.ours == Some(true) => Why::Curves,
        (Log::Required, Signer::P521, false, Witness::RekorV1) if answer.cosign => Why::P521,
        (Log::Required, Signer::Rsa, true, Witness::RekorV2) if answer.cosign => Why::Rsa,
        (Log::Required, Signer::Ed25519, false, Witness::RekorV1) if !answer.cosign => Why::Ed25519,
        _ => panic!("nobody explained {log:?} {cell:?}: {answer:?}"),
    })
}
