//! The lines between documents, before anything is parsed. Kubernetes' clients cut a file at these lines without reading
//! YAML, and drop what else stands on or behind them; so nothing else may stand there.

use crate::reason::{ErrorCode, Place, Problem};

/// Refuses text on the line of a `---`, and text between a `...` and the next `---`.
pub(super) fn checked(text: &str) -> Result<(), Problem> {
    let marked = |marker: &str| text.starts_with(marker) || text.contains(&format!("\n{marker}"));
    if !marked("---") && !marked("...") {
        return Ok(());
    }
    let mut ended = false;
    for (number, line) in text.split('\n').enumerate() {
        if let Some(rest) = line.strip_prefix("---") {
            if !is_bare(rest) {
                return Err(refused(number, "text on the line of a `---`", "write the document below its `---`"));
            }
            ended = false;
        } else if line.strip_prefix("...").is_some_and(is_bare) {
            ended = true;
        } else if ended && !is_bare(line) && !line.trim_start().starts_with('#') {
            return Err(refused(number, "text after a `...`", "write a `---` before it, or remove it"));
        }
    }
    Ok(())
}

/// White space, perhaps with a comment behind it.
fn is_bare(rest: &str) -> bool {
    let text = rest.trim();
    text.is_empty() || (text.starts_with('#') && rest.starts_with([' ', '\t']))
}

fn refused(number: usize, what: &str, help: &str) -> Problem {
    Problem::new(ErrorCode::YamlInvalid, format!("{what}, which some readers drop"))
        .at(Place { line: number.saturating_add(1), column: 1 })
        .with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_stands_between_documents() {
        let good = [
            "",
            "a: 1\n",
            "---\na: 1\n--- # c\r\nb: 2\n...\n",
            "a: |\n  ---x\n",
            "a: 1\n...\n# c\n\n---\nb: 1\n",
            "a: 1\r\n...\r\n",
        ];
        for text in good {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
        let bad = [
            ("a: 1\n---b: 2\n", 2),
            ("--- {a: 1}\n", 1),
            ("a: 1\n--- |\n  x\n", 2),
            ("a: 1\n...\nb: 2\n", 3),
            ("---#c\n", 1),
        ];
        for (text, line) in bad {
            assert_eq!(checked(text).unwrap_err().place, Some(Place { line, column: 1 }), "{text}");
        }
    }
}
