//! A report as one comment on a pull request, found again by its marker and written over.
//!
//! What comes from outside stands only in code spans that it cannot leave: no link, no mention, no markup, no marker.

use std::fmt::Write as _;

use super::text::printable;
use super::{Error, Image, ReasonEntry, Report, SiteEntry, Summary};

/// Longest page in bytes: forges take some 65,000 characters.
const MAX_PAGE: usize = 60_000;
/// Longest text of one code span in characters.
const MAX_SPAN: usize = 400;
/// Places told of one image.
const MAX_SITES: usize = 10;

/// The page, with its marker on the first line.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut page = format!("{}\n{}", marker(report), head(report));
    let failed = report.images.iter().filter(|image| image.verdict != Some("verified"));
    let entries: Vec<String> = report.errors.iter().map(error).chain(failed.map(image)).collect();
    let mut told = 0_usize;
    for entry in &entries {
        if page.len().saturating_add(entry.len()) > MAX_PAGE {
            break;
        }
        page.push_str(entry);
        told = told.saturating_add(1);
    }
    let left = entries.len().saturating_sub(told);
    if left > 0 {
        let _ = writeln!(page, "\n… and {left} more: the whole report is `--output json`");
    }
    page.push_str(&verified(report, MAX_PAGE.saturating_sub(page.len())));
    page
}

/// The line by which the comment of the same gate is found again.
#[must_use]
pub fn marker(report: &Report) -> String {
    // A gate's name is letters, digits and `-`; whatever else is asked to be one ends no comment.
    let plain = |gate: &&String| gate.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !gate.contains("--");
    report
        .gate
        .as_ref()
        .filter(plain)
        .map_or_else(|| "<!-- sealgate:check -->".to_owned(), |gate| format!("<!-- sealgate:gate={gate} -->"))
}

fn head(report: &Report) -> String {
    let Summary { images, verified, refused, undecided } = report.summary;
    let (sign, word) = match report.decision {
        Some("pass") => ("✅", "pass"),
        Some("refuse") => ("❌", "refuse"),
        Some("undecided") => ("⏳", "undecided"),
        Some(_) | None => ("❌", "no decision"),
    };
    let noun = if images == 1 { "image" } else { "images" };
    let mut text = format!("## {sign} Sealgate: {word}\n\n");
    let _ = write!(text, "{images} {noun}: {verified} verified, {refused} refused, {undecided} undecided");
    match report.errors.len() {
        0 => text.push('\n'),
        1 => text.push_str(", 1 error\n"),
        count => {
            let _ = writeln!(text, ", {count} errors");
        }
    }
    if let Some(base) = &report.base {
        let _ = writeln!(text, "\nCompared with a base, {}.", code(&base.sentence()));
    }
    text
}

fn error(error: &Error) -> String {
    let place = match (&error.file, error.line, error.column) {
        (Some(file), Some(line), Some(column)) => format!(" {}", code(&format!("{file}:{line}:{column}"))),
        (Some(file), _, _) => format!(" {}", code(file)),
        (None, _, _) => String::new(),
    };
    let mut text = format!("\n### error{place}\n\n- **{}**: {}\n", error.code, code(&error.message));
    help(&mut text, &error.help);
    text
}

fn image(image: &Image) -> String {
    let verdict = match image.verdict {
        Some("undecided") => "undecided",
        Some(_) => "refused",
        None => "unclassified",
    };
    let mut text = format!("\n### {verdict}: {}\n\n", code(&image.reference));
    for site in image.sites.iter().take(MAX_SITES) {
        let _ = writeln!(text, "- at {}", code(&place(site)));
    }
    let left = image.sites.len().saturating_sub(MAX_SITES);
    if left > 0 {
        let _ = writeln!(text, "- … and {left} more places");
    }
    for ReasonEntry { code: reason, rule, message, help: what_helps } in &image.reasons {
        let rule = rule.as_ref().map(|rule| format!(", rule {}", code(rule))).unwrap_or_default();
        let _ = writeln!(text, "- **{reason}**{rule}: {}", code(message));
        help(&mut text, what_helps);
    }
    text
}

fn help(text: &mut String, help: &str) {
    if !help.is_empty() {
        let _ = writeln!(text, "  - help: {}", code(help));
    }
}

fn place(site: &SiteEntry) -> String {
    let object = &site.object;
    let name = object.name.as_deref().unwrap_or("(unnamed)");
    let name = object.namespace.as_ref().map_or_else(|| name.to_owned(), |space| format!("{space}/{name}"));
    format!("{}:{}:{} {} {name} {}", site.file, site.line, site.column, object.kind, site.path)
}

/// What passed, folded away.
fn verified(report: &Report, room: usize) -> String {
    let images: Vec<&Image> = report.images.iter().filter(|image| image.verdict == Some("verified")).collect();
    if images.is_empty() {
        return String::new();
    }
    let mut text = format!("\n<details><summary>{} verified</summary>\n\n", images.len());
    for (at, image) in images.iter().enumerate() {
        let basis = match image.basis {
            Some("unsigned-allowed") => " (unsigned, as the policy allows)",
            Some("exception") => " (by an exception)",
            Some(_) | None => "",
        };
        let line = format!("- {}{basis}\n", code(image.pinned.as_deref().unwrap_or(&image.reference)));
        if text.len().saturating_add(line.len()) > room {
            let _ = writeln!(text, "- … and {} more", images.len().saturating_sub(at));
            break;
        }
        text.push_str(&line);
    }
    text.push_str("\n</details>\n");
    text
}

/// A code span that holds any text: on one line, bounded, and fenced by more backticks than stand in it.
fn code(text: &str) -> String {
    let mut text = printable(text);
    if text.chars().count() > MAX_SPAN {
        text = text.chars().take(MAX_SPAN).chain(['…']).collect();
    }
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let runs = text.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).saturating_add(1));
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::super::told::samples::{at, hostile, image as sample, mixed, report, site};
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn a_span_holds_any_text() {
        for (text, expected) in [
            ("a", "`a`"),
            ("a`b", "``a`b``"),
            ("``a", "``` ``a ```"),
            (" a", "`  a `"),
            ("a\nb", "`a\\nb`"),
            ("", "(empty)"),
            ("<!-- x -->", "`<!-- x -->`"),
        ] {
            assert_eq!(code(text), expected);
        }
        assert!(code(&"x".repeat(10_000)).len() < 500);
    }

    #[test]
    fn the_page_tells_everything_that_did_not_pass_and_folds_the_rest() {
        let page = render(&mixed());
        assert!(page.starts_with("<!-- sealgate:check -->\n## ❌ Sealgate: refuse\n"), "{page}");
        for wanted in [
            "4 images: 1 verified, 2 refused, 1 undecided, 2 errors",
            "### error `bad.yaml:3:7`",
            "### refused: `nginx:1.27`",
            "- **no-signature**, rule `base`: `because of nginx:1.27`",
            "### undecided: `slow:1`",
            "### unclassified: `odd:1`",
            "<details><summary>1 verified</summary>",
        ] {
            assert!(page.contains(wanted), "{wanted}\n{page}");
        }
    }

    #[test]
    fn hostile_text_stays_inside_its_span() {
        let mut hostile = hostile();
        hostile.gate = Some("x --> <script>".to_owned());
        let page = render(&hostile);
        assert_eq!(page.matches("<!--").count(), 1);
        for line in page.lines() {
            // Without its spans, a line holds words of ours alone.
            let mut rest = line;
            let mut plain = String::new();
            while let Some(start) = rest.find('`') {
                plain.push_str(&rest[..start]);
                let run = rest[start..].chars().take_while(|c| *c == '`').count();
                let fence = "`".repeat(run);
                let behind = &rest[start + run..];
                let end = behind.find(&fence).unwrap_or_else(|| panic!("{line}"));
                rest = &behind[end + run..];
            }
            plain.push_str(rest);
            assert!(!plain.contains("http") && !plain.contains("::") && !plain.contains("[l]"), "{line}");
            assert!(!plain.contains("<b") && !line.chars().any(char::is_control), "{line}");
        }
    }

    #[test]
    fn a_page_is_bounded_and_says_what_it_leaves_out() {
        let image = at(sample(&"n".repeat(300), Some("refused"), &[Reason::NoSignature]), &[site("a.yaml", 0, "x")]);
        let page = render(&report(Some("refuse"), vec![image; 1000], Vec::new()));
        assert!(page.len() < 65_000 && page.contains(" more: the whole report"), "{}", page.len());
        let page = render(&report(Some("pass"), vec![sample("good:1", Some("verified"), &[]); 9000], Vec::new()));
        assert!(page.len() < 65_000 && page.contains("more\n\n</details>"), "{}", page.len());
    }

    #[test]
    fn each_gate_has_a_marker_of_its_own() {
        let mut of_gate = mixed();
        of_gate.gate = Some("prod-a".to_owned());
        assert!(render(&of_gate).starts_with("<!-- sealgate:gate=prod-a -->\n"));
    }
}
