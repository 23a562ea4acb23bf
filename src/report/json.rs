//! A report as JSON, in the contract's shape.

use super::Report;

/// The report, indented, with a newline at its end.
#[must_use]
pub fn render(report: &Report) -> String {
    // A report holds strings, numbers and lists only, so that this cannot fail; were it to, nothing reads as a pass.
    serde_json::to_string_pretty(report).map_or_else(|_| "null\n".to_owned(), |text| text + "\n")
}
