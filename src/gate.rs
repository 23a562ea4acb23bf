//! The only place where a release is approved: every verdict on one side, one decision on the other.

pub mod release;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::discovery::site::{Action, Form, Layer, Site};
use crate::discovery::{self, Rules};
use crate::image::{Digest, ImageRef, PinnedImage, Repository};
use crate::manifest::pin::{Edit, Pinned};
use crate::manifest::tree::Document;
use crate::manifest::{self, Limits};
use crate::reason::{ErrorCode, Finding, Problem, Reason};
use crate::snapshot::{File, Revision};
use crate::verify::verdict::{Candidate, Verdict};

use release::{ApprovedRelease, ReleaseFile, ReleaseObject};

/// One file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadFile {
    /// The file.
    pub file: File,
    /// Its documents.
    pub documents: Arc<Vec<Document>>,
}

/// One image reference as written, with its verdict and every site where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The reference as written.
    pub reference: String,
    /// What it means; none where it is no reference.
    pub image: Option<ImageRef>,
    /// What it was resolved to; none where nothing was resolved.
    pub resolved: Option<PinnedImage>,
    /// The rules that hold for it, by name.
    pub rules: Vec<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// What was looked at to prove it.
    pub candidates: Vec<Candidate>,
    /// Where it stands. Empty for an image typed on the command line.
    pub sites: Vec<Site>,
}

/// Everything that a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The gate.
    pub gate: &'a str,
    /// The revision.
    pub revision: &'a Revision,
    /// The folder of the source that the gate looks at; what a target writes is relative to it.
    pub root: &'a str,
    /// Every file, read.
    pub files: &'a [ReadFile],
    /// Every image, judged.
    pub judged: &'a [Judged],
    /// Everything that could not be read.
    pub problems: &'a [Problem],
    /// How the sites were found.
    pub finding: Finder<'a>,
}

/// How sites are found in documents.
#[derive(Debug, Clone, Copy)]
pub struct Finder<'a> {
    /// The user's rules.
    pub rules: &'a Rules,
    /// The namespace of objects that name none.
    pub namespace: Option<&'a str>,
    /// The bounds of reading.
    pub limits: &'a Limits,
}

/// The decision on a revision.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Every image verified: the release may be applied.
    Pass(Box<ApprovedRelease>),
    /// At least one image refused, or something that cannot be read, or that cannot be pinned without touching more.
    Refuse(Vec<Problem>),
    /// None refused, at least one undecided.
    Undecided,
}

/// Decides on a revision.
#[must_use]
pub fn decide(case: &Case<'_>) -> Decision {
    if !case.problems.is_empty() || case.judged.iter().any(|judged| matches!(judged.verdict, Verdict::Refused(_))) {
        return Decision::Refuse(Vec::new());
    }
    if !case.judged.iter().all(|judged| matches!(judged.verdict, Verdict::Verified(_))) {
        return Decision::Undecided;
    }
    match approve(case) {
        Ok(release) => Decision::Pass(Box::new(release)),
        Err(problems) => Decision::Refuse(problems),
    }
}

/// Refuses, whatever its signatures say, an image that stands where no digest can be written and none is.
#[must_use]
pub fn unpinnable(sites: &[Site]) -> Option<Finding> {
    let site = sites.iter().find(|site| {
        let has_digest = site.image.as_ref().is_ok_and(|image| image.digest().is_some());
        let said_by_user = site.layer == Layer::Rule;
        !has_digest
            && match site.action {
                Action::Verify => !said_by_user,
                Action::Pin => matches!(site.form, Form::Fixed | Form::Text),
                Action::Ignore | Action::Unclassified => false,
            }
    })?;
    let place = format!("{}:{} ({})", site.file, site.place, site.path);
    Some(Finding::new(Reason::NotPinnable, format!("no digest can be written into {place}, and none stands there")))
}

/// Pins every file and checks, on what was pinned, that nothing but verified digests is left in it.
fn approve(case: &Case<'_>) -> Result<ApprovedRelease, Vec<Problem>> {
    let verified = Verified::of(case.judged);
    let mut problems = Vec::new();
    let mut files = Vec::with_capacity(case.files.len());
    let mut objects = Vec::new();
    for read in case.files {
        match pin_file(case, read, &verified) {
            Ok((file, found)) => {
                files.push(file);
                objects.extend(found);
            }
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(ApprovedRelease::new(case.gate.to_owned(), case.revision.clone(), files, objects, verified.resolved))
}

/// Everything that keeps verified images from being pinned, where nothing else of their files is looked at.
#[must_use]
pub fn unpinned(files: &[ReadFile], judged: &[Judged], limits: &Limits) -> Vec<Problem> {
    let verified = Verified::of(judged);
    let mut problems = Vec::new();
    for read in files {
        let edits = verified.edits(&read.file.path);
        if !edits.is_empty() {
            problems.extend(manifest::pin(&read.file, &read.documents, &edits, limits).err());
        }
    }
    problems
}

/// What was verified, by reference as written and by name.
struct Verified<'a> {
    sites: BTreeMap<&'a str, Vec<&'a Site>>,
    pins: BTreeMap<&'a str, &'a PinnedImage>,
    images: BTreeSet<(&'a Repository, &'a Digest)>,
    resolved: BTreeMap<String, Digest>,
}

impl<'a> Verified<'a> {
    fn of(judged: &'a [Judged]) -> Self {
        let mut this =
            Self { sites: BTreeMap::new(), pins: BTreeMap::new(), images: BTreeSet::new(), resolved: BTreeMap::new() };
        for judged in judged {
            let Verdict::Verified(verified) = &judged.verdict else { continue };
            let image = verified.image();
            this.pins.insert(&judged.reference, image);
            this.images.insert((&image.repository, &image.digest));
            if let Some(reference) = &judged.image {
                this.resolved.insert(reference.canonical(), image.digest);
            }
            for site in &judged.sites {
                this.sites.entry(&site.file).or_default().push(site);
            }
        }
        this
    }

    /// The scalars of a file that get a digest.
    fn edits(&self, file: &str) -> Vec<Edit<'a>> {
        let sites = self.sites.get(file).into_iter().flatten().filter(|site| site.action == Action::Pin);
        sites
            .filter_map(|site| {
                let image = site.image.as_ref().ok()?;
                let text = pinned_text(site, image, &self.pins.get(site.written.as_str())?.digest)?;
                Some(Edit { site, text })
            })
            .collect()
    }

    /// Whether what stands at a site of a *pinned* document was verified.
    fn covers(&self, site: &Site) -> bool {
        let Ok(image) = &site.image else { return false };
        if let Some(digest) = image.digest() {
            self.images.contains(&(image.repository(), digest))
        } else {
            let left_as_is = site.action == Action::Verify && site.layer == Layer::Rule;
            left_as_is && self.pins.contains_key(site.written.as_str())
        }
    }
}

/// The scalar with its digest; none where a digest stands there already.
fn pinned_text(site: &Site, image: &ImageRef, digest: &Digest) -> Option<String> {
    if image.digest().is_some() {
        return None;
    }
    match &site.form {
        Form::Whole { prefix } => Some(format!("{prefix}{}", image.pinned(digest))),
        Form::Tag => Some(match image.tag() {
            Some(tag) => format!("{}@{digest}", tag.as_str()),
            None => format!("@{digest}"),
        }),
        Form::Fixed | Form::Text => None,
    }
}

fn pin_file(
    case: &Case<'_>,
    read: &ReadFile,
    verified: &Verified<'_>,
) -> Result<(ReleaseFile, Vec<ReleaseObject>), Vec<Problem>> {
    let edits = verified.edits(&read.file.path);
    let path: Arc<str> = relative(&read.file.path, case.root).into();
    if edits.is_empty() {
        let objects = objects_of(case, &read.documents, verified)?;
        return Ok((ReleaseFile { path, bytes: read.file.bytes.clone() }, objects));
    }
    let Pinned { bytes, documents } =
        manifest::pin(&read.file, &read.documents, &edits, case.finding.limits).map_err(|problem| vec![problem])?;
    let objects = objects_of(case, &documents, verified)?;
    Ok((ReleaseFile { path, bytes }, objects))
}

/// The path below the gate's folder.
fn relative<'a>(path: &'a str, root: &str) -> &'a str {
    let root = root.trim_matches('/');
    match path.strip_prefix(root) {
        Some(rest) if !root.is_empty() && rest.starts_with('/') => rest.trim_start_matches('/'),
        _ => path,
    }
}

/// The objects of a pinned file. Looks for images once more, in what will be applied, and refuses what was not verified.
fn objects_of(
    case: &Case<'_>,
    documents: &[Document],
    verified: &Verified<'_>,
) -> Result<Vec<ReleaseObject>, Vec<Problem>> {
    let mut objects = Vec::new();
    for document in documents {
        let sites = discovery::discover(document, case.finding.namespace, case.finding.rules)?;
        if let Some(site) = sites.iter().find(|site| must_be_verified(site) && !verified.covers(site)) {
            return Err(vec![not_covered(site)]);
        }
        for found in manifest::objects(document, case.finding.namespace)? {
            let mine = sites.iter().filter(|site| site.route.starts_with(&found.route) && may_run(site));
            objects.push(ReleaseObject {
                json: found.node.to_json(),
                file: Arc::clone(&document.file),
                document: document.index,
                place: found.node.place,
                images: mine.map(|site| site.written.clone()).collect(),
                object: found.object,
            });
        }
    }
    Ok(objects)
}

fn must_be_verified(site: &Site) -> bool {
    matches!(site.action, Action::Pin | Action::Verify)
}

/// What a target may find in its answer: what was verified, and what the user's own rules leave out.
fn may_run(site: &Site) -> bool {
    must_be_verified(site) || (site.action == Action::Ignore && site.layer == Layer::Rule)
}

/// A site that only the pinned text has, or whose digest nobody verified: two readings of one file, so nothing passes.
fn not_covered(site: &Site) -> Problem {
    Problem::new(
        ErrorCode::YamlInvalid,
        format!("`{}` stands in the pinned manifest and was not verified", site.written),
    )
    .in_file(site.file.to_string())
    .at(site.place)
    .with_help(
        "write the image into this one object plainly, without aliases or embedded text; and report this as a bug",
    )
}

/// The bytes of an approved release as one stream of documents.
#[must_use]
pub fn joined(release: &ApprovedRelease) -> Bytes {
    let mut text = Vec::new();
    for file in release.files() {
        if !text.is_empty() {
            if !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            text.extend_from_slice(b"---\n");
        }
        text.extend_from_slice(&file.bytes);
    }
    text.into()
}

/// The name of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Every image verified.
    Pass,
    /// At least one refused, or a file that cannot be read.
    Refuse,
    /// None refused, at least one undecided.
    Undecided,
}

impl Answer {
    /// Every answer.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Refuse, Self::Undecided];

    /// The name used in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Refuse => "refuse",
            Self::Undecided => "undecided",
        }
    }
}

impl Decision {
    /// Its name.
    #[must_use]
    pub fn answer(&self) -> Answer {
        match self {
            Self::Pass(_) => Answer::Pass,
            Self::Refuse(_) => Answer::Refuse,
            Self::Undecided => Answer::Undecided,
        }
    }
}
