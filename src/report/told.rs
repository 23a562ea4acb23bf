//! What is told to code scanning and as annotations: one entry for each reason at each place, and for each error.
//!
//! Only a verified image has none; whatever else stands in the report is told, so that silence always means a pass.

use super::{Error, Image, ReasonEntry, Report, SiteEntry};
use crate::reason::Reason;

/// How reports name the standard input.
pub(super) const STDIN: &str = "-";

/// How much an entry weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// A refused image, or an error.
    Error,
    /// An undecided image.
    Warning,
    /// A value that looks like an image and that the configuration lets stand.
    Note,
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told<'a> {
    pub(super) code: &'static str,
    pub(super) level: Level,
    pub(super) rule: Option<String>,
    pub(super) message: String,
    pub(super) help: String,
    pub(super) about: About<'a>,
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum About<'a> {
    /// An image, at a place unless it was typed on the command line.
    Image(&'a Image, Option<&'a SiteEntry>),
    /// No image.
    Error(&'a Error),
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot<'a> {
    pub(super) file: &'a str,
    pub(super) line: Option<usize>,
    pub(super) column: Option<usize>,
}

/// Everything that a report has to tell: errors first, then the images in their order.
pub(super) fn told(report: &Report) -> Vec<Told<'_>> {
    let errors = report.errors.iter().map(Told::of_error);
    errors.chain(report.images.iter().flat_map(of_image)).collect()
}

fn of_image(image: &Image) -> Vec<Told<'_>> {
    let Some(level) = level(image) else {
        return Vec::new();
    };
    let places: Vec<Option<&SiteEntry>> =
        if image.sites.is_empty() { vec![None] } else { image.sites.iter().map(Some).collect() };
    let reasons = reasons(image);
    let at =
        |place| reasons.iter().map(move |reason| Told::of_reason(level, reason.clone(), About::Image(image, place)));
    places.into_iter().flat_map(at).collect()
}

fn level(image: &Image) -> Option<Level> {
    match image.verdict {
        Some("verified") => None,
        Some("undecided") => Some(Level::Warning),
        Some(_) => Some(Level::Error),
        None => Some(Level::Note),
    }
}

/// The image's reasons; never none.
fn reasons(image: &Image) -> Vec<ReasonEntry> {
    let entry = |code: Reason, message: &str| {
        vec![ReasonEntry { code, rule: None, message: message.to_owned(), help: code.help().to_owned() }]
    };
    match image.verdict {
        None => entry(Reason::UnclassifiedField, "it looks like an image, and no rule says what the field is"),
        Some(_) if image.reasons.is_empty() => entry(Reason::InternalError, "the verdict has no reason"),
        Some(_) => image.reasons.clone(),
    }
}

impl<'a> Told<'a> {
    fn of_reason(level: Level, reason: ReasonEntry, about: About<'a>) -> Self {
        let ReasonEntry { code, rule, message, help } = reason;
        Self { code: code.code(), level, rule, message, help, about }
    }

    fn of_error(error: &'a Error) -> Self {
        let (message, help) = (error.message.clone(), error.help.clone());
        Self { code: error.code.code(), level: Level::Error, rule: None, message, help, about: About::Error(error) }
    }

    /// Where it is.
    pub(super) fn spot(&self) -> Option<Spot<'a>> {
        match self.about {
            About::Image(_, site) => {
                site.map(|site| Spot { file: &site.file, line: Some(site.line), column: Some(site.column) })
            }
            About::Error(error) => {
                error.file.as_deref().map(|file| Spot { file, line: error.line, column: error.column })
            }
        }
    }

    /// What it is about, why, and on a second line what to do.
    pub(super) fn text(&self) -> String {
        let subject = match self.about {
            About::Image(image, _) => format!("{}: ", image.reference),
            About::Error(_) => String::new(),
        };
        let rule = self.rule.as_ref().map(|rule| format!(" (rule `{rule}`)")).unwrap_or_default();
        let first = super::text::printable(&format!("{subject}{}{rule}", self.message));
        if self.help.is_empty() { first } else { format!("{first}\nhelp: {}", super::text::printable(&self.help)) }
    }
}

/// Reports for the tests of the renderings.
#[cfg(test)]
pub(super) mod samples {
    use crate::discovery::site::{Action, Object};
    use crate::reason::{ErrorCode, Reason};
    use crate::report::{Error, Image, ReasonEntry, Report, SiteEntry, Summary};

    /// Tries every trick: commands, quotes, markup, line ends, links, placeholders, escapes.
    pub(in crate::report) const HOSTILE: &str = "x\r\n::error::y\n##[error]z %0A::stop-commands::t <b a='\"'>&]]> [l](http://e) {0} \u{1b}[31m\0\u{202e}\u{fffe}";

    pub(in crate::report) fn report(decision: Option<&'static str>, images: Vec<Image>, errors: Vec<Error>) -> Report {
        let count = |wanted: &str| images.iter().filter(|image| image.verdict == Some(wanted)).count();
        let (verified, refused, undecided) = (count("verified"), count("refused"), count("undecided"));
        let summary = Summary { images: verified + refused + undecided, verified, refused, undecided };
        Report {
            schema: crate::report::SCHEMA,
            gate: None,
            mode: None,
            revision: None,
            decision,
            policies: Vec::new(),
            base: None,
            images,
            errors,
            summary,
            rendered: Vec::new(),
            ignored: Vec::new(),
            health: None,
        }
    }

    pub(in crate::report) fn image(reference: &str, verdict: Option<&'static str>, reasons: &[Reason]) -> Image {
        let entry = |code: &Reason| ReasonEntry {
            code: *code,
            rule: Some("base".to_owned()),
            message: format!("because of {reference}"),
            help: code.help().to_owned(),
        };
        Image {
            reference: reference.to_owned(),
            name: None,
            digest: None,
            resolved_by: None,
            pinned: None,
            verdict,
            basis: None,
            rules: Vec::new(),
            reasons: reasons.iter().map(entry).collect(),
            candidates: Vec::new(),
            sites: Vec::new(),
        }
    }

    pub(in crate::report) fn site(file: &str, document: usize, path: &str) -> SiteEntry {
        SiteEntry {
            file: file.to_owned(),
            document,
            line: 17,
            column: 16,
            path: path.to_owned(),
            action: Action::Pin,
            object: Object {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                namespace: Some("shop".to_owned()),
                name: Some(format!("web{document}")),
            },
            reason: None,
        }
    }

    pub(in crate::report) fn at(mut image: Image, sites: &[SiteEntry]) -> Image {
        image.sites = sites.to_vec();
        image
    }

    pub(in crate::report) fn error(file: Option<&str>, place: Option<(usize, usize)>, message: &str) -> Error {
        Error {
            code: ErrorCode::YamlInvalid,
            file: file.map(str::to_owned),
            line: place.map(|place| place.0),
            column: place.map(|place| place.1),
            message: message.to_owned(),
            help: String::new(),
        }
    }

    /// One of each kind, with two reasons and two places where there can be.
    pub(in crate::report) fn mixed() -> Report {
        let places = [site("app.yaml", 0, "spec.image"), site("app.yaml", 1, "spec.image")];
        let refused = image("nginx:1.27", Some("refused"), &[Reason::NoSignature, Reason::NoMatchingRule]);
        report(
            Some("refuse"),
            vec![
                at(image("good:1", Some("verified"), &[]), &places),
                at(refused, &places),
                at(image("slow:1", Some("undecided"), &[Reason::TimedOut]), &[site("-", 0, "spec.image")]),
                at(image("odd:1", None, &[]), &[site("./a b/ü:%.yaml", 0, "spec.odd")]),
                image("typed:1", Some("refused"), &[Reason::ImageNotFound]),
            ],
            vec![error(Some("bad.yaml"), Some((3, 7)), "no YAML"), error(None, None, "no file")],
        )
    }

    /// Everything that comes from outside is hostile.
    pub(in crate::report) fn hostile() -> Report {
        let mut refused = at(image(HOSTILE, Some("refused"), &[Reason::Malformed]), &[site(HOSTILE, 0, HOSTILE)]);
        for reason in &mut refused.reasons {
            reason.rule = Some(HOSTILE.to_owned());
            reason.help = HOSTILE.to_owned();
        }
        let mut failed = error(Some(HOSTILE), Some((1, 1)), HOSTILE);
        failed.help = HOSTILE.to_owned();
        report(Some("refuse"), vec![refused, image(HOSTILE, Some("undecided"), &[Reason::TimedOut])], vec![failed])
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{error, image, mixed, report};
    use super::*;

    #[test]
    fn each_reason_is_told_at_each_place_and_a_verified_image_not_at_all() {
        let report = mixed();
        let entries: Vec<_> = told(&report).iter().map(|told| (told.code, told.level)).collect();
        let expected = [
            ("yaml-invalid", Level::Error),
            ("yaml-invalid", Level::Error),
            ("no-signature", Level::Error),
            ("no-matching-rule", Level::Error),
            ("no-signature", Level::Error),
            ("no-matching-rule", Level::Error),
            ("timed-out", Level::Warning),
            ("unclassified-field", Level::Note),
            ("image-not-found", Level::Error),
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn an_image_that_did_not_pass_is_never_silent() {
        for (verdict, level) in [("refused", Level::Error), ("undecided", Level::Warning), ("other", Level::Error)] {
            let report = report(None, vec![image("a", Some(verdict), &[])], Vec::new());
            let told = told(&report);
            assert_eq!(
                told.iter().map(|told| (told.code, told.level)).collect::<Vec<_>>(),
                [("internal-error", level)]
            );
        }
    }

    #[test]
    fn a_text_has_one_line_end_at_most() {
        let mut failed = error(None, None, "a\nb");
        failed.help = "c\r\nd".to_owned();
        let report = report(None, Vec::new(), vec![failed]);
        assert_eq!(told(&report)[0].text(), "a\\nb\nhelp: c\\r\\nd");
    }
}
