//! The status page: one self-contained document, everything from outside escaped.

use std::fmt::Write as _;

use crate::report::text::printable;
use crate::report::{Image, Report};

use super::status::{GateStatus, Statuses};

/// Images shown of one gate; the API has them all.
const MAX_IMAGES: usize = 500;

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5"><title>Sealgate</title><style>
:root{color-scheme:light dark;--ok:#1a7f37;--no:#cf222e;--wait:#9a6700;--line:#d0d7de}
@media (prefers-color-scheme:dark){:root{--ok:#3fb950;--no:#f85149;--wait:#d29922;--line:#30363d}}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:0 auto;padding:1rem}
section{border:1px solid var(--line);border-radius:.5rem;padding:1rem;margin:1rem 0}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin:0 0 .5rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}
dd{margin:0;overflow-wrap:anywhere}code{font-size:.9em;overflow-wrap:anywhere}li{margin:.5rem 0}ul{padding-left:1.2rem}
.pass,.verified{color:var(--ok)}.refuse,.refused,.error{color:var(--no)}.undecided{color:var(--wait)}
</style></head><body><main><h1>Sealgate</h1>
"#;

/// The page.
pub(super) fn render(gates: &Statuses) -> String {
    let mut page = HEAD.to_owned();
    for gate in gates.values() {
        section(&mut page, gate);
    }
    page.push_str("</main></body></html>\n");
    page
}

fn section(page: &mut String, gate: &GateStatus) {
    let state = match gate.state {
        _ if gate.suspended => "suspended",
        None if gate.standing_by => "standing by",
        state => state.unwrap_or("starting"),
    };
    let _ = write!(page, "<section><h2>{} · <span class=\"{state}\">{state}</span></h2><dl>", escape(&gate.name));
    let row = |page: &mut String, name: &str, value: Option<&str>| {
        let _ = write!(page, "<dt>{name}</dt><dd><code>{}</code></dd>", escape(value.unwrap_or("none")));
    };
    row(page, "mode", Some(gate.mode));
    if gate.standing_by || gate.leader.is_some() {
        row(page, "works for it", gate.leader.as_deref());
    }
    row(page, "newest revision", gate.observed.as_deref());
    row(page, "last passed", gate.passed.as_deref());
    row(page, "running", gate.applied.as_deref());
    row(page, "running passes now", gate.applied_decision);
    row(page, "last look", gate.reconciled.as_deref());
    page.push_str("</dl>");
    if !gate.errors.is_empty() {
        page.push_str("<h3>Errors</h3><ul>");
        for error in &gate.errors {
            let _ = write!(
                page,
                "<li class=\"error\">{}: {} <em>{}</em></li>",
                error.code.code(),
                escape(&error.message),
                escape(&error.help)
            );
        }
        page.push_str("</ul>");
    }
    if !gate.drift.is_empty() {
        page.push_str("<h3>Drift</h3><ul>");
        for object in &gate.drift {
            let _ = write!(page, "<li>{}</li>", escape(object));
        }
        page.push_str("</ul>");
    }
    if let Some(report) = &gate.report {
        decision(page, report);
    }
    page.push_str("</section>\n");
}

fn decision(page: &mut String, report: &Report) {
    let answer = report.decision.unwrap_or("none");
    let _ = write!(page, "<h3>Decision: <span class=\"{answer}\">{answer}</span></h3><ul>");
    for error in &report.errors {
        let place = error.file.as_deref().unwrap_or_default();
        let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
        let _ = write!(
            page,
            "<li class=\"error\"><code>{}{line}</code> {}: {} <em>{}</em></li>",
            escape(place),
            error.code.code(),
            escape(&error.message),
            escape(&error.help)
        );
    }
    let passed = |image: &&Image| image.verdict == Some("verified");
    let shown = report.images.iter().filter(|image| !passed(image)).chain(report.images.iter().filter(passed));
    for one in shown.take(MAX_IMAGES) {
        image(page, one);
    }
    page.push_str("</ul>");
    if report.images.len() > MAX_IMAGES {
        let _ = write!(page, "<p>… and {} more images</p>", report.images.len().saturating_sub(MAX_IMAGES));
    }
}

fn image(page: &mut String, image: &Image) {
    let verdict = image.verdict.unwrap_or("unclassified");
    let name = image.pinned.as_deref().unwrap_or(&image.reference);
    let _ = write!(page, "<li><strong class=\"{verdict}\">{verdict}</strong> <code>{}</code>", escape(name));
    for site in &image.sites {
        let place = format!("{}:{}:{}", site.file, site.line, site.column);
        let _ = write!(page, "<br><code>{}</code> {}", escape(&place), escape(&site.path));
    }
    for reason in &image.reasons {
        let _ = write!(page, "<br>{}: {} <em>{}</em>", reason.code, escape(&reason.message), escape(&reason.help));
    }
    page.push_str("</li>");
}

/// Text with nothing in it that a browser would obey.
fn escape(text: &str) -> String {
    printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_text() {
        let name = "<script>alert(1)</script>\u{202e}".to_owned();
        let gates = Statuses::from([(name.clone(), GateStatus { name, ..GateStatus::default() })]);
        let page = render(&gates);
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;") && !page.contains('\u{202e}'));
    }
}
