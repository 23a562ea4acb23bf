//! A report as workflow commands of GitHub Actions: an annotation for each reason at each place, then one line that
//! sums up. Text from outside stands only behind a command of ours, escaped; it never begins a line.

use std::fmt::Write as _;

use super::text::printable;
use super::told::{Level, STDIN, Spot, Told, told};
use super::{Report, Summary};

/// The annotations, one a line.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut page: String = told(report).iter().map(annotation).collect();
    if let Some(base) = &report.base {
        let _ = writeln!(page, "::notice title=sealgate::{}", escape(&printable(&base.sentence())));
    }
    let _ = writeln!(page, "{}", summary(report));
    page
}

/// Words and numbers of ours alone.
fn summary(report: &Report) -> String {
    let Summary { images, verified, refused, undecided } = report.summary;
    let noun = if images == 1 { "image" } else { "images" };
    let errors = match report.errors.len() {
        0 => String::new(),
        1 => ", 1 error".to_owned(),
        count => format!(", {count} errors"),
    };
    let decision = report.decision.unwrap_or("no decision");
    format!("{decision}: {images} {noun}: {verified} verified, {refused} refused, {undecided} undecided{errors}")
}

fn annotation(told: &Told<'_>) -> String {
    let command = match told.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "notice",
    };
    let (place, prefix) = match told.spot() {
        Some(Spot { file: STDIN, line, column }) => (String::new(), numbers(&[line, column], "standard input")),
        Some(spot) => (place(&spot), String::new()),
        None => (String::new(), String::new()),
    };
    let message = escape(&format!("{prefix}{}", told.text()));
    format!("::{command} {place}title={}::{message}\n", escape_property(told.code))
}

/// The properties that name a place in a file.
fn place(spot: &Spot<'_>) -> String {
    let mut properties = format!("file={},", escape_property(&printable(spot.file)));
    if let Some(line) = spot.line {
        let _ = write!(properties, "line={line},");
    }
    if let Some(column) = spot.column {
        let _ = write!(properties, "col={column},");
    }
    properties
}

/// A place in what is no file of the repository, to stand before a message.
fn numbers(numbers: &[Option<usize>], name: &str) -> String {
    let mut text = name.to_owned();
    for number in numbers.iter().flatten() {
        let _ = write!(text, ":{number}");
    }
    text + ": "
}

/// The per cent sign first, so that nothing is read back as more than it was.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::told::samples::{at, error, hostile, image, mixed, report, site};
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn annotations_name_place_code_and_message() {
        let refused = image("a:1", Some("refused"), &[Reason::Malformed]);
        let undecided = image("a:1", Some("undecided"), &[Reason::TimedOut]);
        let table = [
            (
                report(None, vec![at(refused.clone(), &[site("d/a,b:c.yaml", 0, "x")])], Vec::new()),
                "::error file=d/a%2Cb%3Ac.yaml,line=17,col=16,title=malformed::a:1: because of a:1 (rule `base`)%0Ahelp: ",
            ),
            (report(None, vec![refused], Vec::new()), "::error title=malformed::a:1: because of a:1 (rule `base`)"),
            (
                report(None, vec![at(undecided, &[site("-", 0, "x")])], Vec::new()),
                "::warning title=timed-out::standard input:17:16: a:1: because",
            ),
            (
                report(None, vec![at(image("a:1", None, &[]), &[site("a.yaml", 0, "x")])], Vec::new()),
                "::notice file=a.yaml,line=17,col=16,title=unclassified-field::a:1: ",
            ),
            (
                report(None, Vec::new(), vec![error(Some("100%.yaml"), None, "at 100%")]),
                "::error file=100%25.yaml,title=yaml-invalid::at 100%25\n",
            ),
            (report(None, Vec::new(), vec![error(None, None, "m")]), "::error title=yaml-invalid::m\nno decision: "),
        ];
        for (report, expected) in table {
            let page = render(&report);
            assert!(page.starts_with(expected), "{page}");
        }
    }

    #[test]
    fn the_last_line_sums_up() {
        let page = render(&mixed());
        assert_eq!(page.lines().count(), 10);
        assert_eq!(page.lines().last().unwrap(), "refuse: 4 images: 1 verified, 2 refused, 1 undecided, 2 errors");
    }

    #[test]
    fn hostile_text_begins_no_command() {
        let page = render(&hostile());
        let lines: Vec<&str> = page.split(['\r', '\n']).collect();
        assert_eq!(lines.len(), 5);
        for (line, expected) in lines.iter().zip(["::error file=", "::error file=", "::warning title=", "refuse: ", ""])
        {
            assert!(line.starts_with(expected), "{line}");
            let properties = line.trim_start_matches("::").split("::").next().unwrap();
            assert!(expected == "refuse: " || !properties.contains(':'), "{properties}");
        }
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
    }
}
