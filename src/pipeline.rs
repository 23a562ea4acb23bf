//! One revision, from files to report: parse, discover, resolve, judge, decide.
//!
//! Everything it needs is handed in. What it cannot find out becomes `undecided` here, and nowhere else.

pub mod judge;
pub mod reading;

use std::time::Duration;

use crate::discovery::Unclassified;
use crate::discovery::site::{Action, Site};
use crate::gate::{self, Answer, Case, Decision, Finder, Judged};
use crate::policy::PolicySet;
use crate::reason::{ErrorCode, Finding, Problem, Reason};
use crate::registry::Registry;
use crate::report::{Ignored, Policy, Report, Subject};
use crate::snapshot::Snapshot;
use crate::verify::verdict::Verdict;

use judge::{Entry, Judge, Judging, Pins};
use reading::Reading;

/// What is decided about, besides its files.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The gate; none on the command line.
    pub gate: Option<&'a str>,
    /// The gate's mode; none on the command line.
    pub mode: Option<&'static str>,
    /// The folder of the source that the gate looks at.
    pub root: &'a str,
    /// How sites are found.
    pub finder: Finder<'a>,
    /// At most so many distinct images.
    pub images: usize,
}

/// What was decided, and all that led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// The report.
    pub report: Report,
    /// The digests that the references were resolved to, old and new.
    pub pins: Pins,
    /// Every image.
    pub judged: Vec<Judged>,
    /// The longest time that a registry asked us to wait.
    pub retry_after: Option<Duration>,
    /// Until the last reference was resolved.
    pub resolving: Duration,
}

/// Decides on a snapshot that was read, under the policies in force.
pub async fn decide<R: Registry>(
    snapshot: &Snapshot,
    reading: &Reading,
    judge: &Judge<'_, R>,
    scope: &Scope<'_>,
    pins: &Pins,
) -> Decided {
    let mut problems = reading.problems.clone();
    let (entries, noted) = entries(&reading.sites, scope.finder.rules.unclassified);
    problems.extend(too_many(entries.len(), scope.images));
    let judging = if problems.iter().any(|problem| problem.code == ErrorCode::LimitExceeded) {
        judge::Judging::default()
    } else {
        judge.judge(entries, pins).await
    };
    let case = Case {
        gate: scope.gate.unwrap_or_default(),
        revision: &snapshot.revision,
        root: scope.root,
        files: &reading.files,
        judged: &judging.judged,
        problems: &problems,
        finding: scope.finder,
    };
    let decision = gate::decide(&case);
    if let Decision::Refuse(found) = &decision {
        problems.extend(found.iter().cloned());
    }
    let subject = Subject {
        gate: scope.gate.map(str::to_owned),
        mode: scope.mode,
        revision: scope.gate.map(|_| snapshot.revision.id.clone()),
        policies: policies(judge.policies),
    };
    // On the command line an input that cannot be read is bad usage, and nothing is decided about the rest.
    let answer = (scope.gate.is_some() || problems.is_empty()).then(|| decision.answer());
    let mut report = Report::new(subject, &judging.judged, &noted, &problems, answer);
    report.ignored = Ignored::of(&reading.sites);
    let Judging { judged, pins, retry_after, resolving } = judging;
    Decided { decision, report, pins, judged, retry_after, resolving }
}

/// Judges what a change brings: these sites alone. Nothing is approved, since nothing else is looked at.
pub async fn change<R: Registry>(reading: &Reading, judge: &Judge<'_, R>, scope: &Scope<'_>) -> Report {
    let mut problems = reading.problems.clone();
    let (entries, noted) = entries(&reading.sites, scope.finder.rules.unclassified);
    problems.extend(too_many(entries.len(), scope.images));
    let judged = if problems.iter().any(|problem| problem.code == ErrorCode::LimitExceeded) {
        Vec::new()
    } else {
        judge.judge(entries, &Pins::new()).await.judged
    };
    problems.extend(gate::unpinned(&reading.files, &judged, scope.finder.limits));
    let subject = Subject { policies: policies(judge.policies), ..Subject::default() };
    let answer = problems.is_empty().then(|| answer(&judged));
    Report::new(subject, &judged, &noted, &problems, answer)
}

fn answer(judged: &[Judged]) -> Answer {
    let any = |wanted: fn(&Verdict) -> bool| judged.iter().any(|judged| wanted(&judged.verdict));
    if any(|verdict| matches!(verdict, Verdict::Refused(_))) {
        Answer::Refuse
    } else if any(|verdict| matches!(verdict, Verdict::Undecided(_))) {
        Answer::Undecided
    } else {
        Answer::Pass
    }
}

/// Judges references that stand in no file.
pub async fn verify<R: Registry>(entries: Vec<Entry>, judge: &Judge<'_, R>) -> Report {
    let judging = judge.judge(entries, &Pins::new()).await;
    let answer = answer(&judging.judged);
    let subject = Subject { policies: policies(judge.policies), ..Subject::default() };
    Report::new(subject, &judging.judged, &[], &[], Some(answer))
}

/// The policies in force, as reports name them.
#[must_use]
pub fn policies(set: &PolicySet) -> Vec<Policy> {
    set.identities().iter().map(|id| Policy { name: id.name.clone(), digest: id.digest }).collect()
}

fn too_many(count: usize, limit: usize) -> Option<Problem> {
    (count > limit).then(|| {
        Problem::new(ErrorCode::LimitExceeded, format!("{count} different images, and at most {limit} are allowed"))
            .with_help("raise `limits.images`, or split the path over several gates")
    })
}

/// One entry for each reference as written, and apart from them what looks like an image and may stand.
fn entries(sites: &[Site], unclassified: Unclassified) -> (Vec<Entry>, Vec<Site>) {
    let mut entries = std::collections::BTreeMap::<(&str, bool), Entry>::new();
    let mut noted = Vec::new();
    for site in sites {
        let guessed = match (site.action, unclassified) {
            (Action::Ignore, _) | (Action::Unclassified, Unclassified::Ignore) => continue,
            (Action::Unclassified, Unclassified::Warn) => {
                noted.push(site.clone());
                continue;
            }
            (Action::Unclassified, Unclassified::Refuse) => true,
            (Action::Pin | Action::Verify, _) => false,
        };
        let entry = entries.entry((&site.written, guessed)).or_insert_with(|| Entry {
            reference: site.written.clone(),
            image: site.image.clone(),
            sites: Vec::new(),
            refused: guessed.then(|| unclassified_finding(site)),
        });
        entry.sites.push(site.clone());
    }
    (entries.into_values().collect(), noted)
}

fn unclassified_finding(site: &Site) -> Finding {
    let message = format!("`{}` looks like an image, and no rule says what the field `{}` is", site.written, site.path);
    let help = format!("say what it is, under `discovery.fields`: {}", crate::discovery::settling_line(site));
    Finding::new(Reason::UnclassifiedField, message).with_help(help)
}
