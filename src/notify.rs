//! Telling people: what changed at a gate goes to chats, webhooks, alerting and the commit, by those who were named.
//!
//! Nothing here can hold up a decision: a message is put into a queue of bounded length and forgotten. One task for each
//! channel sends, tries again with longer and longer waits, and gives up in the end, which the log says.

pub mod message;
mod outbox;
mod payload;
mod post;

pub use message::{Message, Outcome, Trouble};
pub use outbox::Outbox;
pub use post::Poster;

use std::path::PathBuf;

/// Who is told, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name, for logs.
    pub name: String,
    /// The gates that it is told of; all of them where none is named.
    pub gates: Vec<String>,
    /// Who.
    pub service: Service,
}

/// The services that are spoken to. Secrets stand in files, which are read each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// A webhook that takes Slack's form.
    Slack {
        /// The file with the URL.
        url_file: PathBuf,
    },
    /// A webhook that takes signed `CloudEvents`.
    CloudEvents {
        /// Where.
        url: String,
        /// The file with the secret.
        secret_file: PathBuf,
    },
    /// An Alertmanager.
    Alertmanager {
        /// Where.
        url: String,
        /// The user.
        username: Option<String>,
        /// The file with the password.
        password_file: Option<PathBuf>,
    },
    /// The commit, at a forge.
    Status(Status),
}

/// A commit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whose API it is.
    pub forge: Forge,
    /// The API's address, no slash at its end.
    pub api: String,
    /// The repository.
    pub repository: String,
    /// The file with the token.
    pub token_file: PathBuf,
    /// Where a reader finds more.
    pub link: Option<String>,
}

/// Whose API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forge {
    /// GitHub's.
    GitHub,
    /// GitLab's.
    GitLab,
    /// Gitea's and Forgejo's.
    Gitea,
}

impl Service {
    /// Whether it shows the last word on each revision, not what changed.
    #[must_use]
    pub fn is_status(&self) -> bool {
        match self {
            Self::Status(_) => true,
            Self::Slack { .. } | Self::CloudEvents { .. } | Self::Alertmanager { .. } => false,
        }
    }
}
