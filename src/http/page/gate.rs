//! One gate on the status page, and a report on any page.

use std::fmt::Write as _;

use crate::report::kept::{Error, Image, Report, Site};

use super::{Shown, badge, escape, history, short, time};
use crate::http::status::GateStatus;

/// Images shown of one report; the API has them all.
pub(in crate::http) const MAX_IMAGES: usize = 500;
/// Sites and candidates shown of one image.
const MAX_PLACES: usize = 20;
/// Objects shown that drifted.
const MAX_DRIFT: usize = 100;

/// In one word how a gate stands.
pub(super) fn state(status: &GateStatus) -> &'static str {
    match status.state {
        _ if status.suspended => "suspended",
        None if status.standing_by => "standing by",
        state => state.unwrap_or("starting"),
    }
}

/// The section of a gate.
pub(super) fn section(page: &mut String, shown: &Shown) {
    let Shown { status, report, history: entries } = shown;
    let name = escape(&status.name);
    let _ = write!(
        page,
        "<section class=\"gate\" aria-labelledby=\"gate-{name}\"><h2 id=\"gate-{name}\">{name} {}</h2>",
        badge(state(status))
    );
    facts(page, status);
    if !status.errors.is_empty() {
        page.push_str("<h3>What failed</h3><ul>");
        for error in &status.errors {
            let place = error.file.as_deref().unwrap_or_default();
            failure(page, (error.code.code(), place, error.line), &error.message, &error.help);
        }
        page.push_str("</ul>");
    }
    if !status.drift.is_empty() {
        let _ = write!(page, "<h3>What drifted ({})</h3><ul>", status.drift.len());
        for object in status.drift.iter().take(MAX_DRIFT) {
            let _ = write!(page, "<li><code>{}</code></li>", escape(object));
        }
        page.push_str("</ul>");
    }
    if let Some(report) = report {
        self::report(page, report, &status.name);
    }
    if !entries.is_empty() {
        let _ = write!(page, "<details id=\"history-{name}\"><summary>History</summary>");
        history(page, entries);
        let _ = write!(page, "<p><a href=\"/api/v1/gates/{name}/decisions\">All of it, as JSON</a></p></details>");
    }
    page.push_str("</section>\n");
}

fn facts(page: &mut String, status: &GateStatus) {
    let revision = |id: Option<&String>, since: Option<&String>, decision: Option<&str>| {
        let Some(id) = id else { return "<span class=\"soft\">nothing yet</span>".to_owned() };
        let since = since.map(|since| format!(" <span class=\"soft\">since</span> {}", time(since)));
        let decision = decision.map(|decision| format!(" {}", badge(decision)));
        format!("<code>{}</code>{}{}", escape(short(id)), decision.unwrap_or_default(), since.unwrap_or_default())
    };
    let decision = status.report.as_ref().filter(|report| report.revision == status.observed);
    let decision = decision.and_then(|report| report.decision);
    let runs = revision(status.applied.as_ref(), status.applied_since.as_ref(), status.applied_decision);
    let mut rows = vec![
        ("Runs", runs),
        ("Newest", revision(status.observed.as_ref(), status.decided_since.as_ref(), decision)),
        ("Mode", escape(status.mode)),
    ];
    if status.passed != status.applied {
        rows.push(("Passed last", revision(status.passed.as_ref(), None, None)));
    }
    if let Some(seconds) = status.retry_in_seconds {
        rows.push(("Tried again", format!("{seconds} s after the last look")));
    }
    if let Some(looked) = &status.reconciled {
        rows.push(("Last look", time(looked)));
    }
    if let Some(first) = status.superseded.first() {
        let count = status.superseded.len();
        rows.push(("Superseded", format!("{count}, the newest <code>{}</code>", escape(short(first)))));
    }
    page.push_str("<dl>");
    for (name, value) in rows {
        let _ = write!(page, "<dt>{name}</dt><dd>{value}</dd>");
    }
    page.push_str("</dl>");
}

/// A report: first what did not pass, then every image.
pub(super) fn report(page: &mut String, report: &Report, id: &str) {
    let is_verified = |image: &&Image| image.verdict.as_deref() == Some("verified");
    // The report may hold fewer images than it counts.
    let counted = report.summary.refused.saturating_add(report.summary.undecided);
    let others = report.images.iter().filter(|image| !is_verified(image)).count().max(counted);
    if others > 0 || !report.errors.is_empty() {
        page.push_str("<h3>What did not pass</h3><ul>");
        for Error { code, file, line, message, help, .. } in &report.errors {
            failure(page, (code, file.as_deref().unwrap_or_default(), *line), message, help);
        }
        report.images.iter().filter(|image| !is_verified(image)).take(MAX_IMAGES).for_each(|one| image(page, one));
        page.push_str("</ul>");
        left(page, others, MAX_IMAGES);
    }
    let verified: Vec<&Image> = report.images.iter().filter(is_verified).collect();
    let count = verified.len().max(report.summary.verified);
    if !verified.is_empty() {
        let _ =
            write!(page, "<details id=\"images-{}\"><summary>Verified images ({})</summary><ul>", escape(id), count);
        verified.iter().take(MAX_IMAGES).for_each(|one| image(page, one));
        page.push_str("</ul>");
        left(page, count, MAX_IMAGES);
        page.push_str("</details>");
    }
    for policy in &report.policies {
        let digest = policy.digest.get(..19).unwrap_or(&policy.digest);
        let _ = write!(page, "<p class=\"soft\">Policy {} <code>{}…</code></p>", escape(&policy.name), escape(digest));
    }
}

fn failure(page: &mut String, about: (&str, &str, Option<usize>), message: &str, help: &str) {
    let (code, file, line) = about;
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    let _ = write!(page, "<li>{} <strong>{}</strong> ", badge("error"), escape(code));
    if !file.is_empty() {
        let _ = write!(page, "<code>{}{line}</code>", escape(file));
    }
    let _ = write!(page, "<p>{}</p>", escape(message));
    advice(page, help);
    page.push_str("</li>");
}

fn advice(page: &mut String, help: &str) {
    if !help.is_empty() {
        let _ = write!(page, "<p><strong>What helps:</strong> {}</p>", escape(help));
    }
}

fn image(page: &mut String, image: &Image) {
    let verdict = image.verdict.as_deref().unwrap_or("unclassified");
    let name = image.pinned.as_deref().unwrap_or(&image.reference);
    let _ = write!(page, "<li>{} <code>{}</code>", badge(verdict), escape(name));
    if let Some(basis) = image.basis.as_deref().filter(|basis| *basis != "proof") {
        let _ = write!(page, " <strong>{}</strong>", escape(basis));
    }
    for reason in &image.reasons {
        let rule = reason.rule.as_ref().map(|rule| format!(" (rule {})", escape(rule))).unwrap_or_default();
        let _ = write!(page, "<p><strong>{}</strong>{rule}: {}</p>", escape(&reason.code), escape(&reason.message));
        advice(page, &reason.help);
    }
    let signers = image.signers();
    if !signers.is_empty() {
        let _ = write!(page, "<p class=\"soft\">Signed by <code>{}</code></p>", escape(&signers.join(", ")));
    }
    if !image.rules.is_empty() {
        let _ = write!(page, "<p class=\"soft\">Rules: {}</p>", escape(&image.rules.join(", ")));
    }
    for site in image.sites.iter().take(MAX_PLACES) {
        let Site { file, line, column, path, .. } = site;
        let (place, object) = (escape(&format!("{file}:{line}:{column}")), escape(&site.owner()));
        let _ = write!(page, "<p><code>{place}</code> {object} <span class=\"soft\">{}</span></p>", escape(path));
    }
    left(page, image.sites.len(), MAX_PLACES);
    page.push_str("</li>");
}

fn left(page: &mut String, count: usize, shown: usize) {
    let left = count.saturating_sub(shown);
    if left > 0 {
        let _ = write!(page, "<p class=\"soft\">… and {left} more; the API has them all</p>");
    }
}
