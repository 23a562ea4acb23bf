//! What a report is compared with, and what it therefore leaves out. Whoever reads the report must see that it does.

use serde::Serialize;

/// The commit with which the files were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Base {
    /// As it was named: a branch, a tag, a commit.
    pub reference: String,
    /// The commit: where the history of what is checked left that of the reference.
    pub revision: String,
    /// References that stand where they stood, and were not looked at.
    pub unchanged: usize,
    /// Why everything was looked at all the same; none where only what the change brings was.
    pub everything: Option<String>,
}

impl Base {
    /// One sentence for a reader; what it names comes from outside.
    #[must_use]
    pub fn sentence(&self) -> String {
        let commit: String = self.revision.chars().take(12).collect();
        let since = format!("since {} ({commit})", self.reference);
        match &self.everything {
            Some(why) => format!("{since}: everything was looked at: {why}"),
            None if self.unchanged == 1 => format!("{since}: 1 image unchanged and not looked at"),
            None => format!("{since}: {} images unchanged and not looked at", self.unchanged),
        }
    }
}
