//! The pages: whole documents, rendered here, with nothing from elsewhere in them, and everything from outside escaped.
//! They are readable without their script; with it they follow what happens.

mod gate;

pub(super) use gate::MAX_IMAGES;

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::report::history::{Event, Kept, Told};
use crate::report::kept;
use crate::report::text::printable;

use super::status::GateStatus;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// What a browser may do on our pages: show our style, run our script, ask us. Both are named by their hashes.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// A gate, with its newest decisions.
pub(super) struct Shown {
    pub(super) status: GateStatus,
    pub(super) report: Option<kept::Report>,
    pub(super) history: Vec<Told>,
}

/// The status page.
pub(super) fn status(gates: &[Shown]) -> String {
    let mut body = String::new();
    for shown in gates {
        gate::section(&mut body, shown);
    }
    if gates.is_empty() {
        body.push_str("<p>There is no gate.</p>");
    }
    document("Sealgate", &news(gates), &body)
}

/// The page of one decision.
pub(super) fn decision(entries: &[Told], newest: &Kept) -> String {
    let told = &newest.told;
    let mut body = String::from("<p><a href=\"/\">All gates</a></p><section class=\"page\">");
    let _ = write!(body, "<h2>{} · {}</h2>", badge(told.decision.as_deref().unwrap_or("none")), escape(&told.gate));
    let _ = write!(body, "<dl><dt>Revision</dt><dd><code>{}</code></dd></dl>", escape(&told.revision));
    match newest.report.as_ref().map(kept::Report::read) {
        Some(Ok(report)) => gate::report(&mut body, &report, "decision"),
        Some(Err(_)) | None => body.push_str("<p>The report was not kept.</p>"),
    }
    body.push_str("<h3>What happened</h3>");
    history(&mut body, entries);
    body.push_str("</section>");
    document(&format!("{} · Sealgate", told.gate), "", &body)
}

/// What a screen reader is told when it changes.
fn news(gates: &[Shown]) -> String {
    let states: Vec<String> =
        gates.iter().map(|shown| format!("{}: {}", shown.status.name, gate::state(&shown.status))).collect();
    states.join(", ")
}

fn document(title: &str, news: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{}</title>\
         <noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript><style>{STYLE}</style></head>\
         <body><a class=\"skip\" href=\"#main\">To the gates</a><header><h1>Sealgate</h1>\
         <p id=\"news\" role=\"status\">{}</p></header><main id=\"main\" tabindex=\"-1\">{body}</main>\
         <script>{SCRIPT}</script></body></html>\n",
        escape(title),
        escape(news)
    )
}

/// Entries of the decision log, the newest first.
fn history(page: &mut String, entries: &[Told]) {
    page.push_str("<ol>");
    for told in entries {
        let word = match told.event {
            Event::Decided => told.decision.as_deref().unwrap_or("none"),
            Event::Applied => "applied",
        };
        let link = format!("/gates/{}/decisions/{}", told.gate, told.revision);
        let _ = write!(
            page,
            "<li>{} {} <a href=\"{}\"><code>{}</code></a>",
            badge(word),
            time(&told.time),
            escape(&link),
            escape(short(&told.revision))
        );
        if told.event == Event::Decided {
            let summary = &told.summary;
            let _ = write!(
                page,
                " <span class=\"soft\">{} verified, {} refused, {} undecided</span>",
                summary.verified, summary.refused, summary.undecided
            );
        }
        page.push_str("</li>");
    }
    page.push_str("</ol>");
}

/// A word with a colour; the word alone says it too.
fn badge(word: &str) -> String {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_lowercase());
    let class = if is_plain { word } else { "none" };
    format!("<span class=\"badge {class}\">{}</span>", escape(word))
}

fn time(time: &str) -> String {
    let seconds = time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"));
    let shown = seconds.replace('T', " ").replace('Z', " UTC");
    format!("<time datetime=\"{}\">{}</time> <span class=\"ago\"></span>", escape(&seconds), escape(&shown))
}

/// A commit as people write it.
fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
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
    use serde_json::json;

    use super::*;
    use crate::report::Summary;

    const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}&";

    fn told() -> Told {
        Told {
            sequence: 1,
            time: HOSTILE.to_owned(),
            gate: HOSTILE.to_owned(),
            event: Event::Decided,
            mode: HOSTILE.to_owned(),
            revision: HOSTILE.to_owned(),
            decision: Some(HOSTILE.to_owned()),
            summary: Summary::default(),
            same_as: None,
            hash: HOSTILE.to_owned(),
        }
    }

    /// A report in which every text is hostile.
    fn report() -> serde_json::Value {
        let site = json!({"file": HOSTILE, "line": 1, "column": 1, "path": HOSTILE,
            "object": {"kind": HOSTILE, "namespace": HOSTILE, "name": HOSTILE}});
        let image = |verdict: &str| {
            json!({"reference": HOSTILE, "name": HOSTILE, "digest": HOSTILE, "pinned": HOSTILE, "verdict": verdict,
                "basis": HOSTILE, "rules": [HOSTILE], "sites": [site],
                "reasons": [{"code": HOSTILE, "rule": HOSTILE, "message": HOSTILE, "help": HOSTILE}],
                "candidates": [{"kind": HOSTILE, "digest": HOSTILE, "signer": HOSTILE, "failed": HOSTILE, "message": HOSTILE}]})
        };
        json!({"decision": HOSTILE, "policies": [{"name": HOSTILE, "digest": HOSTILE}],
            "images": [image("verified"), image("refused"), image(HOSTILE)],
            "errors": [{"code": HOSTILE, "file": HOSTILE, "line": 1, "message": HOSTILE, "help": HOSTILE}]})
    }

    #[test]
    fn hostile_texts_are_text_wherever_they_stand() {
        let text = || Some(HOSTILE.to_owned());
        let status = GateStatus {
            name: HOSTILE.to_owned(),
            observed: text(),
            decided_since: text(),
            passed: text(),
            applied: text(),
            applied_since: text(),
            superseded: vec![HOSTILE.to_owned()],
            drift: vec![HOSTILE.to_owned()],
            reconciled: text(),
            ..GateStatus::default()
        };
        let shown = Shown { status, report: kept::Report::read(&report()).ok(), history: vec![told()] };
        let kept = Kept { told: told(), report: Some(report()) };
        for page in [super::status(&[shown]), decision(&[told()], &kept)] {
            assert_eq!(page.matches("<script>").count(), 1, "ours alone");
            assert!(!page.contains("<img") && !page.contains('\u{202e}') && page.contains("&lt;script&gt;"));
        }
    }

    #[test]
    fn style_and_script_are_named_by_the_hash_of_what_stands_in_the_page() {
        let page = super::status(&[]);
        for (tag, source) in [("style", "style-src"), ("script", "script-src")] {
            let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
            let (content, _) = rest.split_once(&format!("</{tag}>")).unwrap();
            let hash = STANDARD.encode(Sha256::digest(content.as_bytes()));
            assert!(POLICY.contains(&format!("{source} 'sha256-{hash}'")), "{tag}");
        }
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("style="));
    }
}
