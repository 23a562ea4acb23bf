//! The bytes of one scalar with another value, in the style in which it is written. It only proposes: whether the
//! result reads as it should is for the caller to prove.

use std::borrow::Cow;

use super::tree::Style;

/// What is wanted of a scalar: from one text to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'c> {
    pub(super) old: &'c str,
    pub(super) new: &'c str,
}

/// The scalar's bytes with the new text; none where that cannot be written without touching more.
pub(super) fn scalar(raw: &str, style: Style, change: Change<'_>) -> Option<String> {
    match style {
        Style::Plain => (raw == change.old).then(|| change.new.to_owned()),
        Style::SingleQuoted => single_quoted(raw, change),
        Style::DoubleQuoted => double_quoted(raw, change),
        Style::Literal => block(raw, change),
        Style::Folded => (!change.old.trim_end().contains('\n')).then(|| block(raw, change)).flatten(),
    }
}

fn single_quoted(raw: &str, change: Change<'_>) -> Option<String> {
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    (raw == quote(change.old)).then(|| quote(change.new))
}

/// Of a single line any escapes may be written anew; of a longer text only what our own escaping would give.
fn double_quoted(raw: &str, change: Change<'_>) -> Option<String> {
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner == change.old && !change.new.contains(['"', '\\', '\n']) {
        return Some(format!("\"{}\"", change.new));
    }
    let single = !change.old.contains('\n') && !raw.contains('\n');
    (single || raw == quote(change.old)).then(|| quote(change.new))
}

/// Line by line: each line of the text is the end of a line of the file, behind its indentation.
fn block(raw: &str, change: Change<'_>) -> Option<String> {
    let (old, new) = (change.old.trim_end_matches('\n'), change.new.trim_end_matches('\n'));
    if old.split('\n').count() != new.split('\n').count() {
        return None;
    }
    let mut lines = raw.split('\n');
    let mut written: Vec<Cow<'_, str>> = Vec::new();
    for (old, new) in old.split('\n').zip(new.split('\n')) {
        let line = lines.next()?;
        let (body, end) = line.strip_suffix('\r').map_or((line, ""), |body| (body, "\r"));
        let indent = body.strip_suffix(old)?;
        if !indent.bytes().all(|b| b == b' ') {
            return None;
        }
        written.push(if old == new { line.into() } else { format!("{indent}{new}{end}").into() });
    }
    written.extend(lines.map(Cow::from));
    Some(written.join("\n"))
}
