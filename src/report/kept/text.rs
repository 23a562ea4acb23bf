//! A kept decision for a person: what was decided, when, on what, and of each image why.

use std::fmt::Write as _;

use super::{Error, Image, Report};
use crate::report::history::{Event, Kept, Told};
use crate::report::text::printable;

/// Sites shown of one image.
const MAX_SITES: usize = 10;
/// Candidates shown of one image.
const MAX_CANDIDATES: usize = 10;

/// One line of a list of decisions.
#[must_use]
pub fn line(told: &Told) -> String {
    let summary = &told.summary;
    let what = match told.event {
        Event::Decided => format!(
            "{:9}  {} images: {} verified, {} refused, {} undecided",
            told.decision.as_deref().unwrap_or("none"),
            summary.images,
            summary.verified,
            summary.refused,
            summary.undecided
        ),
        Event::Applied => "applied".to_owned(),
    };
    let same = told.same_as.map(|number| format!("  (report as in {number})")).unwrap_or_default();
    let revision = told.revision.get(..12).unwrap_or(&told.revision);
    printable(&format!("{:>6}  {}  {}  {revision}  {what}{same}", told.sequence, told.time, told.gate))
}

/// A decision with its report; only images that this text means, where there is one.
#[must_use]
pub fn explain(kept: &Kept, image: Option<&str>) -> String {
    let mut text = format!("{}\n", line(&kept.told));
    let report = kept.report.as_ref().map(Report::read);
    match report {
        Some(Ok(report)) => {
            for policy in &report.policies {
                row(&mut text, 0, &format!("policy {} {}", policy.name, policy.digest));
            }
            text.push('\n');
            for error in &report.errors {
                failure(&mut text, error);
            }
            let meant = |found: &&Image| image.is_none_or(|wanted| found.is_meant_by(wanted));
            report.images.iter().filter(meant).for_each(|image| one(&mut text, image));
        }
        Some(Err(error)) => row(&mut text, 0, &format!("the report cannot be read: {error}")),
        None => row(&mut text, 0, "no report is kept with this entry"),
    }
    text
}

/// A line, set in; nothing in it that a terminal would obey.
fn row(text: &mut String, depth: usize, line: &str) {
    let _ = writeln!(text, "{:indent$}{}", "", printable(line), indent = depth.saturating_mul(2));
}

fn failure(text: &mut String, error: &Error) {
    let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
    let file = error.file.as_ref().map(|file| format!(" {file}{line}")).unwrap_or_default();
    row(text, 0, &format!("error{file} {}: {}", error.code, error.message));
    help(text, &error.help);
}

fn one(text: &mut String, image: &Image) {
    let name = image.pinned.as_deref().unwrap_or(&image.reference);
    let basis = image.basis.as_ref().map(|basis| format!(" ({basis})")).unwrap_or_default();
    row(text, 0, &format!("{} {name}{basis}", image.verdict.as_deref().unwrap_or("unclassified")));
    for site in image.sites.iter().take(MAX_SITES) {
        row(text, 1, &format!("{}:{}:{} {} {}", site.file, site.line, site.column, site.owner(), site.path));
    }
    left(text, image.sites.len(), MAX_SITES, "places");
    if !image.rules.is_empty() {
        row(text, 1, &format!("rules: {}", image.rules.join(", ")));
    }
    for reason in &image.reasons {
        let rule = reason.rule.as_ref().map(|rule| format!(" (rule `{rule}`)")).unwrap_or_default();
        row(text, 1, &format!("{}{rule}: {}", reason.code, reason.message));
    }
    for candidate in image.candidates.iter().take(MAX_CANDIDATES) {
        let signer = candidate.signer.as_ref().map(|signer| format!(" by {signer}")).unwrap_or_default();
        let fate = match &candidate.failed {
            Some(check) => format!("failed {check}: {}", candidate.message),
            None => "counts".to_owned(),
        };
        row(text, 1, &format!("- {} {}{signer}: {fate}", candidate.kind, candidate.digest));
    }
    left(text, image.candidates.len(), MAX_CANDIDATES, "candidates");
    let mut helps: Vec<&str> = image.reasons.iter().map(|reason| reason.help.as_str()).collect();
    helps.dedup();
    for advice in helps {
        help(text, advice);
    }
    text.push('\n');
}

fn help(text: &mut String, help: &str) {
    if !help.is_empty() {
        row(text, 1, &format!("help: {help}"));
    }
}

fn left(text: &mut String, count: usize, shown: usize, what: &str) {
    let left = count.saturating_sub(shown);
    if left > 0 {
        row(text, 1, &format!("… and {left} more {what}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::Summary;

    #[test]
    fn an_explanation_names_reason_rule_help_and_nothing_that_a_terminal_obeys() {
        let image = |reference: &str| {
            json!({"reference": reference, "verdict": "refused", "rules": ["all"], "reasons":
                [{"code": "no-signature", "rule": "all", "message": "none \u{1b}[31m", "help": "sign it"}]})
        };
        let told = Told {
            sequence: 3,
            time: "2026-01-02T03:04:05Z".to_owned(),
            gate: "production".to_owned(),
            event: Event::Decided,
            mode: "enforce".to_owned(),
            revision: "0123456789abcdef".to_owned(),
            decision: Some("refuse".to_owned()),
            summary: Summary { images: 2, refused: 2, ..Summary::default() },
            same_as: Some(2),
            hash: "00".to_owned(),
        };
        let kept = Kept { told, report: Some(json!({"images": [image("a:1"), image("b:1")]})) };
        let text = explain(&kept, Some("b:"));
        for expected in
            ["refused b:1", "no-signature (rule `all`)", "help: sign it", "(report as in 2)", "0123456789ab"]
        {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains("a:1") && !text.contains('\u{1b}'));
    }
}
