//! A report as it was kept: read back from its JSON by whoever shows decisions of the past.
//!
//! It is read leniently, since another version may have written it: what is missing is empty, what is unknown is left
//! out. Nothing is ever decided on it.

pub mod text;

use serde::Deserialize;
use serde_json::Value;

use super::Summary;

/// A report, read back.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The gate.
    pub gate: Option<String>,
    /// The gate's mode.
    pub mode: Option<String>,
    /// The commit.
    pub revision: Option<String>,
    /// `pass`, `refuse` or `undecided`.
    pub decision: Option<String>,
    /// The policies that were in force.
    pub policies: Vec<Policy>,
    /// Every image.
    pub images: Vec<Image>,
    /// Everything that is no image and kept the revision from passing.
    pub errors: Vec<Error>,
    /// The counts.
    pub summary: Summary,
}

/// A policy that was in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The digest of its text and keys.
    pub digest: String,
}

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Image {
    /// As written.
    pub reference: String,
    /// The full name.
    pub name: Option<String>,
    /// What it was resolved to.
    pub digest: Option<String>,
    /// The reference with its digest.
    pub pinned: Option<String>,
    /// `verified`, `refused` or `undecided`.
    pub verdict: Option<String>,
    /// What a verified image rests on.
    pub basis: Option<String>,
    /// The rules that hold for it.
    pub rules: Vec<String>,
    /// Why it did not pass.
    pub reasons: Vec<ReasonEntry>,
    /// What was looked at to prove it.
    pub candidates: Vec<Candidate>,
    /// Where it stands.
    pub sites: Vec<Site>,
}

/// Why an image did not pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReasonEntry {
    /// The reason's code.
    pub code: String,
    /// The rule.
    pub rule: Option<String>,
    /// What was expected and found.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Something that could have proved the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Candidate {
    /// What it is.
    pub kind: String,
    /// Its digest.
    pub digest: String,
    /// Who signed it.
    pub signer: Option<String>,
    /// The first check that it failed.
    pub failed: Option<String>,
    /// What was expected and found.
    pub message: String,
}

/// Where an image stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Site {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The path in the document.
    pub path: String,
    /// The object.
    pub object: Object,
}

/// The object in which an image stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Object {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// An error that is about no image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Error {
    /// The error's code.
    pub code: String,
    /// The file.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The column, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(value: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(value)
    }
}

impl Image {
    /// Who signed it, as far as a signature counted; else who signed what did not count.
    #[must_use]
    pub fn signers(&self) -> Vec<&str> {
        let counted = |counts: bool| {
            let candidates = self.candidates.iter().filter(move |candidate| candidate.failed.is_none() == counts);
            let mut signers: Vec<&str> = candidates.filter_map(|candidate| candidate.signer.as_deref()).collect();
            signers.sort_unstable();
            signers.dedup();
            signers
        };
        let proven = counted(true);
        if proven.is_empty() { counted(false) } else { proven }
    }

    /// Whether a text means this image: its name, its reference, its digest, or a part of one of them.
    #[must_use]
    pub fn is_meant_by(&self, text: &str) -> bool {
        let known = [Some(&self.reference), self.name.as_ref(), self.digest.as_ref(), self.pinned.as_ref()];
        known.into_iter().flatten().any(|known| known.contains(text))
    }
}

impl Site {
    /// The object, as `Kind namespace/name`.
    #[must_use]
    pub fn owner(&self) -> String {
        let Object { kind, namespace, name } = &self.object;
        let name = name.as_deref().unwrap_or("(unnamed)");
        match namespace {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_another_version_wrote_is_read_as_far_as_it_goes() {
        let value = json!({"schema": "sealgate.dev/report/v9", "decision": "pass", "new": {"field": 1},
            "images": [{"reference": "a/b:1", "digest": "sha256:00", "candidates": [
                {"kind": "k", "signer": "key b", "failed": "key"}, {"kind": "k", "signer": "key a", "failed": null}]}]});
        let report = Report::read(&value).unwrap();
        assert_eq!(report.decision.as_deref(), Some("pass"));
        assert_eq!(report.images[0].signers(), ["key a"]);
        for (text, meant) in [("a/b", true), ("sha256:00", true), ("c", false)] {
            assert_eq!(report.images[0].is_meant_by(text), meant, "{text}");
        }
        assert!(Report::read(&json!([1])).is_err());
    }
}
