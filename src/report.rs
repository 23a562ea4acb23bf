//! What happened to a revision, as data. Metrics, HTTP, the closing log event and the command line are functions of it.

pub mod base;
pub mod github;
pub mod history;
pub mod json;
pub mod junit;
pub mod kept;
pub mod markdown;
pub mod sarif;
pub mod text;
mod told;

use serde::{Deserialize, Serialize};

use crate::discovery::site::{Action, Layer, Object, Site};
use crate::gate::{Answer, Judged};
use crate::image::Digest;
use crate::outcome::health::Health;
use crate::reason::{ErrorCode, Finding, Problem, Reason};
use crate::snapshot::Rendering;
use crate::verify::verdict::{self, Verdict};

use base::Base;

/// The schema's name.
pub const SCHEMA: &str = "sealgate.dev/report/v1";

/// What happened to a revision, or to what was given on the command line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// The gate; none on the command line.
    pub gate: Option<String>,
    /// The gate's mode; none on the command line.
    pub mode: Option<&'static str>,
    /// The commit; none on the command line.
    pub revision: Option<String>,
    /// `pass`, `refuse` or `undecided`; none where nothing could be decided.
    pub decision: Option<&'static str>,
    /// The policies in force.
    pub policies: Vec<Policy>,
    /// With what the files were compared; none, and no field, where all of them were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Every image, in the order of its reference.
    pub images: Vec<Image>,
    /// Everything that is no image and kept us from passing.
    pub errors: Vec<Error>,
    /// The counts.
    pub summary: Summary,
    /// The folders that a renderer built.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rendered: Vec<Rendering>,
    /// What the user's own rules leave out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<Ignored>,
    /// How the revision fares at the target, where it was applied and the target tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The digest of its text and keys.
    pub digest: Digest,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Image {
    /// As written.
    pub reference: String,
    /// The full name, without tag and digest.
    pub name: Option<String>,
    /// What it was resolved to.
    pub digest: Option<Digest>,
    /// The mirror that said what the tag names; left out where the registry itself did, or the pin was kept.
    #[serde(rename = "resolvedBy", skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    /// The reference with its digest.
    pub pinned: Option<String>,
    /// `verified`, `refused` or `undecided`; none for an unclassified value that the configuration lets stand.
    pub verdict: Option<&'static str>,
    /// What a verified image rests on.
    pub basis: Option<&'static str>,
    /// The rules that hold for it.
    pub rules: Vec<String>,
    /// Why it did not pass.
    pub reasons: Vec<ReasonEntry>,
    /// What was looked at to prove it.
    pub candidates: Vec<Candidate>,
    /// Where it stands.
    pub sites: Vec<SiteEntry>,
}

/// Why an image did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonEntry {
    /// The reason's code.
    pub code: Reason,
    /// The rule.
    pub rule: Option<String>,
    /// What was expected and found.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Something that could have proved the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// What it is.
    pub kind: &'static str,
    /// Its digest.
    pub digest: Digest,
    /// Who signed it.
    pub signer: Option<String>,
    /// The first check that it failed.
    pub failed: Option<&'static str>,
    /// What was expected and found.
    pub message: String,
}

/// Where an image stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SiteEntry {
    /// The file.
    pub file: String,
    /// The document, from 0.
    pub document: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The path in the document.
    pub path: String,
    /// What is done with it.
    pub action: Action,
    /// The object.
    pub object: Object,
    /// Why it is left alone or left as it is, where somebody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A place that the user's own rules leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// What stands there.
    pub reference: String,
    /// Where.
    #[serde(flatten)]
    pub site: SiteEntry,
}

impl Ignored {
    /// What the user's own rules leave out, of these sites.
    #[must_use]
    pub fn of(sites: &[Site]) -> Vec<Self> {
        let ignored = sites.iter().filter(|site| site.action == Action::Ignore && site.layer == Layer::Rule);
        ignored.map(|site| Self { reference: site.written.clone(), site: SiteEntry::from(site) }).collect()
    }
}

/// An error that is about no image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Error {
    /// The error's code.
    pub code: ErrorCode,
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

/// The counts of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Images with a verdict.
    pub images: usize,
    /// How many may run.
    pub verified: usize,
    /// How many must not.
    pub refused: usize,
    /// How many could not be found out about.
    pub undecided: usize,
}

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// The gate.
    pub gate: Option<String>,
    /// The gate's mode.
    pub mode: Option<&'static str>,
    /// The commit.
    pub revision: Option<String>,
    /// The policies in force.
    pub policies: Vec<Policy>,
}

impl Report {
    /// Builds the report.
    #[must_use]
    pub fn new(
        subject: Subject,
        judged: &[Judged],
        noted: &[Site],
        problems: &[Problem],
        decision: Option<Answer>,
    ) -> Self {
        let mut images: Vec<Image> = judged.iter().map(Image::judged).collect();
        images.extend(noted.iter().map(Image::noted));
        Self {
            schema: SCHEMA,
            gate: subject.gate,
            mode: subject.mode,
            revision: subject.revision,
            decision: decision.map(Answer::name),
            policies: subject.policies,
            base: None,
            images,
            errors: problems.iter().map(Error::from).collect(),
            summary: Summary::of(judged),
            rendered: Vec::new(),
            ignored: Vec::new(),
            health: None,
        }
    }
}

impl Report {
    /// The same report, with how the revision fares at the target.
    #[must_use]
    pub fn with_health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// The same report, refused after all: the images are these now.
    #[must_use]
    pub fn refused(mut self, judged: &[Judged]) -> Self {
        self.images = judged.iter().map(Image::judged).collect();
        self.summary = Summary::of(judged);
        self.decision = Some(Answer::Refuse.name());
        self
    }
}

impl Summary {
    fn of(judged: &[Judged]) -> Self {
        let mut summary = Self { images: judged.len(), ..Self::default() };
        for judged in judged {
            let count = match judged.verdict {
                Verdict::Verified(_) => &mut summary.verified,
                Verdict::Refused(_) => &mut summary.refused,
                Verdict::Undecided(_) => &mut summary.undecided,
            };
            *count = count.saturating_add(1);
        }
        summary
    }
}

impl Image {
    fn judged(judged: &Judged) -> Self {
        let basis = match &judged.verdict {
            Verdict::Verified(image) => Some(image.basis().name()),
            Verdict::Refused(_) | Verdict::Undecided(_) => None,
        };
        Self {
            reference: judged.reference.clone(),
            name: judged.image.as_ref().map(|image| image.repository().to_string()),
            digest: judged.resolved.as_ref().map(|pinned| pinned.digest),
            resolved_by: judged
                .resolved
                .as_ref()
                .and_then(|pinned| pinned.resolved_by.as_ref())
                .map(ToString::to_string),
            pinned: pinned(judged),
            verdict: Some(judged.verdict.name()),
            basis,
            rules: judged.rules.clone(),
            reasons: judged.verdict.findings().iter().map(ReasonEntry::from).collect(),
            candidates: judged.candidates.iter().map(Candidate::from).collect(),
            sites: judged.sites.iter().map(SiteEntry::from).collect(),
        }
    }

    /// A value that looks like an image and that the configuration lets stand.
    fn noted(site: &Site) -> Self {
        Self {
            reference: site.written.clone(),
            name: site.image.as_ref().ok().map(|image| image.repository().to_string()),
            digest: None,
            resolved_by: None,
            pinned: None,
            verdict: None,
            basis: None,
            rules: Vec::new(),
            reasons: Vec::new(),
            candidates: Vec::new(),
            sites: vec![SiteEntry::from(site)],
        }
    }
}

/// The pinned reference; none where nothing was resolved, or where a site keeps its tag by the user's own word.
fn pinned(judged: &Judged) -> Option<String> {
    let image = judged.image.as_ref()?;
    let resolved = judged.resolved.as_ref()?;
    let kept_as_tag = image.digest().is_none() && judged.sites.iter().any(|site| site.action == Action::Verify);
    (!kept_as_tag).then(|| image.pinned(&resolved.digest))
}

impl From<&Finding> for ReasonEntry {
    fn from(finding: &Finding) -> Self {
        let Finding { reason, rule, message, help } = finding.clone();
        Self { code: reason, rule, message, help }
    }
}

impl From<&verdict::Candidate> for Candidate {
    fn from(candidate: &verdict::Candidate) -> Self {
        let verdict::Candidate { kind, digest, signer, failed, message } = candidate.clone();
        Self { kind: kind.name(), digest, signer, failed: failed.map(verdict::Check::name), message }
    }
}

impl From<&Site> for SiteEntry {
    fn from(site: &Site) -> Self {
        let (file, place) = match &site.origin {
            Some(origin) => (&origin.file, origin.place),
            None => (&site.file, site.place),
        };
        Self {
            file: file.to_string(),
            document: site.document,
            line: place.line,
            column: place.column,
            path: site.path.clone(),
            action: site.action,
            object: site.object.as_ref().clone(),
            reason: site.reason.as_deref().map(str::to_owned),
        }
    }
}

impl From<&Problem> for Error {
    fn from(problem: &Problem) -> Self {
        let Problem { code, file, place, message, help } = problem.clone();
        Self { code, file, line: place.map(|place| place.line), column: place.map(|place| place.column), message, help }
    }
}
