//! Reads as much of a file as can be read, beside what is wrong with it: for files of our own, all of whose problems are
//! told at once. Never for manifests: what has a problem is not used.

use super::build;
use super::parse::{self, Limits};
use super::text::Text;
use super::tree::Document;
use crate::reason::Problem;
use crate::snapshot::File;

/// The documents of a file and the problems of reading it. Where there is a problem, the documents serve for finding
/// further ones and for nothing else.
#[must_use]
pub fn survey(file: &File, limits: &Limits) -> (Vec<Document>, Vec<Problem>) {
    match parse::read(file, limits) {
        Ok(documents) => (documents, Vec::new()),
        Err(problems) => (remains(file, limits), problems),
    }
}

/// What can be read of a file that has problems; nothing, where it is too large or no text.
fn remains(file: &File, limits: &Limits) -> Vec<Document> {
    if file.bytes.len() > limits.file_bytes {
        return Vec::new();
    }
    match Text::new(&file.bytes) {
        Ok(text) => build::remains(&file.path, &text, limits),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_a_duplicate_is_still_read() {
        let file = File { path: "a.yaml".into(), bytes: "a: 1\na: 2\nb: 3\n---\nc: 4\n".into() };
        let (documents, problems) = survey(&file, &Limits::default());
        assert_eq!(problems.len(), 1);
        let values: Vec<_> = documents.iter().map(|document| document.root.to_json()).collect();
        assert_eq!(values, [serde_json::json!({"a": 1, "b": 3}), serde_json::json!({"c": 4})]);
    }
}
