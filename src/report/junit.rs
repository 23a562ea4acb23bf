//! A report as `JUnit` XML: one case for each image at each place, and for each error. Well-formed whatever an image is
//! called.

use std::fmt::Write as _;

use super::text::printable;
use super::{Error, Image, Report, SiteEntry};

/// The class of a case that stands in no file.
const NO_FILE: &str = "sealgate";

/// The report as one test suite.
#[must_use]
pub fn render(report: &Report) -> String {
    let cases: Vec<Case> =
        report.errors.iter().map(Case::of_error).chain(report.images.iter().flat_map(of_image)).collect();
    let count = |wanted: &str| cases.iter().filter(|case| case.outcome.element() == Some(wanted)).count();
    let mut page = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let _ = writeln!(
        page,
        "  <testsuite name=\"sealgate\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
        cases.len(),
        count("failure"),
        count("error"),
        count("skipped")
    );
    if let Some(base) = &report.base {
        let sentence = escape(&base.sentence());
        let _ = writeln!(page, "    <properties><property name=\"base\" value=\"{sentence}\"/></properties>");
    }
    for case in &cases {
        case.write(&mut page);
    }
    page.push_str("  </testsuite>\n</testsuites>\n");
    page
}

struct Case {
    class: String,
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Failure(Why),
    Error(Why),
    Skipped(&'static str),
}

/// Why a case did not pass.
struct Why {
    code: &'static str,
    message: String,
    /// All of it, each entry a line.
    lines: Vec<String>,
}

fn of_image(image: &Image) -> Vec<Case> {
    if image.sites.is_empty() {
        return vec![Case::of_image(image, None)];
    }
    image.sites.iter().map(|site| Case::of_image(image, Some(site))).collect()
}

impl Case {
    fn of_image(image: &Image, site: Option<&SiteEntry>) -> Self {
        let outcome = match image.verdict {
            Some("verified") => Outcome::Passed,
            Some("undecided") => Outcome::Error(Why::of_image(image, site)),
            Some(_) => Outcome::Failure(Why::of_image(image, site)),
            None => Outcome::Skipped("it looks like an image, and no rule says what the field is"),
        };
        let class = site.map_or(NO_FILE, |site| &site.file).to_owned();
        Self { class, name: name(image, site), outcome }
    }

    fn of_error(error: &Error) -> Self {
        let place = match (error.line, error.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            (Some(line), None) => format!(":{line}"),
            (None, _) => String::new(),
        };
        let mut lines = vec![error.message.clone()];
        if !error.help.is_empty() {
            lines.push(format!("help: {}", error.help));
        }
        let why = Why { code: error.code.code(), message: error.message.clone(), lines };
        Self {
            class: error.file.clone().unwrap_or_else(|| NO_FILE.to_owned()),
            name: format!("{}{place}", error.code),
            outcome: Outcome::Error(why),
        }
    }

    fn write(&self, page: &mut String) {
        let (class, name) = (escape(&self.class), escape(&self.name));
        let _ = write!(page, "    <testcase classname=\"{class}\" name=\"{name}\"");
        match (&self.outcome, self.outcome.element()) {
            (Outcome::Failure(why) | Outcome::Error(why), Some(element)) => {
                let message = escape(&why.message);
                let _ = writeln!(page, ">\n      <{element} type=\"{}\" message=\"{message}\">", why.code);
                for line in &why.lines {
                    let _ = writeln!(page, "{}", escape(line));
                }
                let _ = writeln!(page, "      </{element}>\n    </testcase>");
            }
            (Outcome::Skipped(message), _) => {
                let _ = writeln!(page, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escape(message));
            }
            (Outcome::Passed | Outcome::Failure(_) | Outcome::Error(_), _) => page.push_str("/>\n"),
        }
    }
}

impl Outcome {
    fn element(&self) -> Option<&'static str> {
        match self {
            Self::Passed => None,
            Self::Failure(_) => Some("failure"),
            Self::Error(_) => Some("error"),
            Self::Skipped(_) => Some("skipped"),
        }
    }
}

impl Why {
    fn of_image(image: &Image, site: Option<&SiteEntry>) -> Self {
        let mut lines = Vec::new();
        if let Some(SiteEntry { file, line, column, object, .. }) = site {
            let name = object.name.as_deref().unwrap_or("(unnamed)");
            lines.push(format!("{file}:{line}:{column} {} {name}", object.kind));
        }
        for reason in &image.reasons {
            let rule = reason.rule.as_ref().map(|rule| format!(" (rule `{rule}`)")).unwrap_or_default();
            lines.push(format!("{}{rule}: {}", reason.code, reason.message));
            lines.push(format!("help: {}", reason.help));
        }
        let first = image.reasons.first();
        let message = first.map_or_else(|| "no reason was given".to_owned(), |first| first.message.clone());
        Self { code: first.map_or("internal-error", |first| first.code.code()), message, lines }
    }
}

/// The reference and its path, and of a later document its number too: two objects in one file often say the same.
fn name(image: &Image, site: Option<&SiteEntry>) -> String {
    match site {
        None => image.reference.clone(),
        Some(site) if site.document == 0 => format!("{} {}", image.reference, site.path),
        Some(site) => format!("{} {} (document {})", image.reference, site.path, site.document),
    }
}

/// Text for an attribute or an element. Control characters are written as escapes, and what else XML 1.0 forbids is
/// replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::told::samples::{HOSTILE, hostile, image, mixed, report};
    use super::*;

    #[test]
    fn cases_are_counted_by_what_became_of_them() {
        let page = render(&mixed());
        assert!(page.contains("<testsuite name=\"sealgate\" tests=\"9\" failures=\"3\" errors=\"3\" skipped=\"1\">"));
        for (element, count) in
            [("<testsuite ", 1), ("<testcase ", 9), ("<failure ", 3), ("<error ", 3), ("<skipped ", 1)]
        {
            assert_eq!(page.matches(element).count(), count, "{element}");
        }
    }

    #[test]
    fn cases_are_named_by_file_reference_and_path() {
        let page = render(&mixed());
        let names = [
            "<testcase classname=\"bad.yaml\" name=\"yaml-invalid:3:7\">",
            "<testcase classname=\"sealgate\" name=\"yaml-invalid\">",
            "<testcase classname=\"app.yaml\" name=\"good:1 spec.image\"/>",
            "<testcase classname=\"app.yaml\" name=\"nginx:1.27 spec.image\">",
            "<testcase classname=\"app.yaml\" name=\"nginx:1.27 spec.image (document 1)\">",
            "<testcase classname=\"-\" name=\"slow:1 spec.image\">",
            "<testcase classname=\"sealgate\" name=\"typed:1\">",
        ];
        for name in names {
            assert_eq!(page.matches(name).count(), 1, "{name}\n{page}");
        }
    }

    #[test]
    fn a_refusal_without_a_reason_still_fails() {
        let page = render(&report(Some("refuse"), vec![image("a", Some("refused"), &[])], Vec::new()));
        assert!(page.contains("<failure type=\"internal-error\""));
    }

    #[test]
    fn hostile_text_stays_text() {
        let table = [
            ("a<b>&\"'", "a&lt;b&gt;&amp;&quot;&apos;"),
            ("]]>", "]]&gt;"),
            ("\0\u{b}\u{1b}\u{7f}\u{85}", "\\u{0}\\u{b}\\u{1b}\\u{7f}\\u{85}"),
            ("a\r\n\tb", "a\\r\\n\\tb"),
            ("\u{fffe}\u{ffff}\u{10ffff}é", "\u{fffd}\u{fffd}\u{10ffff}é"),
        ];
        for (text, expected) in table {
            assert_eq!(escape(text), expected);
        }
        let page = render(&hostile());
        assert!(page.contains(&escape(HOSTILE)));
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
        assert_eq!(page.matches('<').count(), page.matches('>').count());
        assert_eq!(page.matches("<testcase ").count(), 3);
    }
}
