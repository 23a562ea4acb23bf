//! A report for a person in a hurry: what did not pass, where, why, what to do; then one line that sums up.

use std::fmt::Write as _;

use super::{Candidate, Error, Ignored, Image, Report, SiteEntry, Summary};
use crate::snapshot::{Network, Rendering};

/// Candidates shown of one image; the JSON report has them all.
const MAX_CANDIDATES: usize = 5;
/// Sites shown of one image; the JSON report has them all.
const MAX_SITES: usize = 10;

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// With ANSI escapes.
    Ansi,
    /// Plainly.
    None,
}

/// The report as text.
#[must_use]
pub fn render(report: &Report, colour: Colour) -> String {
    let mut page = Page { text: String::new(), colour };
    for error in &report.errors {
        page.error(error);
    }
    let passed = |image: &&Image| image.verdict == Some("verified");
    for image in report.images.iter().filter(|image| !passed(image)) {
        page.image(image);
    }
    for image in report.images.iter().filter(passed) {
        page.verified(image);
    }
    for ignored in &report.ignored {
        page.ignored(ignored);
    }
    for rendering in &report.rendered {
        page.line(&rendered(rendering));
    }
    page.summary(report);
    page.text
}

/// How a folder became manifests, in a line.
#[must_use]
pub fn rendered(rendering: &Rendering) -> String {
    let Rendering { folder, renderer, network } = rendering;
    let network = match network {
        Network::Cut => "its network cut",
        Network::Open => "its network not cut: the kernel does not permit that here",
    };
    format!("rendered {folder} with {}, {network}", renderer.name())
}

struct Page {
    text: String,
    colour: Colour,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(&printable(text));
        self.text.push('\n');
    }

    /// A line that begins with a coloured word.
    fn headline(&mut self, word: &str, rest: &str) {
        let code = match word {
            "verified" | "pass" => "32",
            "undecided" => "33",
            _ => "31",
        };
        match self.colour {
            Colour::Ansi => {
                let _ = write!(self.text, "\u{1b}[1;{code}m{word}\u{1b}[0m");
            }
            Colour::None => self.text.push_str(word),
        }
        self.line(rest);
    }

    fn error(&mut self, error: &Error) {
        let place = match (&error.file, error.line, error.column) {
            (Some(file), Some(line), Some(column)) => format!(" {file}:{line}:{column}"),
            (Some(file), _, _) => format!(" {file}"),
            (None, _, _) => String::new(),
        };
        self.headline("error", &format!("{place} {}", error.code));
        self.line(&format!("  {}", error.message));
        if !error.help.is_empty() {
            self.line(&format!("  help: {}", error.help));
        }
        self.text.push('\n');
    }

    fn image(&mut self, image: &Image) {
        self.headline(image.verdict.unwrap_or("unclassified"), &format!(" {}", image.reference));
        self.sites(&image.sites);
        for reason in &image.reasons {
            let rule = reason.rule.as_ref().map(|rule| format!(" (rule `{rule}`)")).unwrap_or_default();
            self.line(&format!("  {}{rule}: {}", reason.code, reason.message));
        }
        let failed = image.candidates.iter().filter(|candidate| candidate.failed.is_some());
        for candidate in failed.clone().take(MAX_CANDIDATES) {
            self.candidate(candidate);
        }
        let left = failed.count().saturating_sub(MAX_CANDIDATES);
        if left > 0 {
            self.line(&format!("  … and {left} more candidates"));
        }
        let mut helps: Vec<&str> = image.reasons.iter().map(|reason| reason.help.as_str()).collect();
        helps.dedup();
        for help in &helps {
            self.line(&format!("  help: {help}"));
        }
        self.text.push('\n');
    }

    fn sites(&mut self, sites: &[SiteEntry]) {
        for site in sites.iter().take(MAX_SITES) {
            let object = &site.object;
            let name = object.name.as_deref().unwrap_or("(unnamed)");
            let name = object.namespace.as_ref().map_or_else(|| name.to_owned(), |space| format!("{space}/{name}"));
            let place = format!("{}:{}:{}", site.file, site.line, site.column);
            self.line(&format!("  {place} {} {name} {}", object.kind, site.path));
        }
        let left = sites.len().saturating_sub(MAX_SITES);
        if left > 0 {
            self.line(&format!("  … and {left} more places"));
        }
    }

    fn candidate(&mut self, candidate: &Candidate) {
        let signer = candidate.signer.as_ref().map(|signer| format!(" by {signer}")).unwrap_or_default();
        self.line(&format!("  - {} {}{signer}: {}", candidate.kind, candidate.digest, candidate.message));
    }

    fn verified(&mut self, image: &Image) {
        let basis = match image.basis {
            Some("proof") | None => String::new(),
            Some(basis) => format!(" ({basis})"),
        };
        let name = image.pinned.as_deref().unwrap_or(&image.reference);
        let mirror = image.resolved_by.as_ref().map(|mirror| format!(" (tag resolved by the mirror {mirror})"));
        self.headline("verified", &format!(" {name}{basis}{}", mirror.unwrap_or_default()));
    }

    fn ignored(&mut self, ignored: &Ignored) {
        let SiteEntry { file, line, column, path, reason, .. } = &ignored.site;
        let reason = reason.as_deref().unwrap_or("no reason is given");
        self.line(&format!("ignored {} at {file}:{line}:{column} {path}: {reason}", ignored.reference));
    }

    fn summary(&mut self, report: &Report) {
        let Summary { images, verified, refused, undecided } = report.summary;
        let noun = if images == 1 { "image" } else { "images" };
        let counts = format!("{images} {noun}: {verified} verified, {refused} refused, {undecided} undecided");
        let errors = match report.errors.len() {
            0 => String::new(),
            1 => ", 1 error".to_owned(),
            count => format!(", {count} errors"),
        };
        if let Some(base) = &report.base {
            self.line(&base.sentence());
        }
        self.headline(report.decision.unwrap_or("no decision"), &format!(" · {counts}{errors}"));
    }
}

/// The same text with nothing in it that a terminal would obey or a reader mistake: control and direction characters
/// are written as escapes.
#[must_use]
pub fn printable(text: &str) -> String {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}'..='\u{2029}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut out = text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if odd(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    });
    // What a runner of pipelines would obey: `##[` anywhere, `::` where a line begins.
    if out.contains("##[") {
        out = out.replace("##[", "#\\u{23}[");
    }
    if let Some(rest) = out.trim_start().strip_prefix("::") {
        let indent = out.len().saturating_sub(rest.len()).saturating_sub(2);
        out.replace_range(indent..indent.saturating_add(1), "\\u{3a}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c"), "a\\u{1b}[31mb\\u{202e}c");
        assert_eq!(printable("naïve ✓"), "naïve ✓");
        assert_eq!(printable("  ::stop-commands::x"), "  \\u{3a}:stop-commands::x");
        assert_eq!(printable("a ##[add-mask]x"), "a #\\u{23}[add-mask]x");
    }
}
