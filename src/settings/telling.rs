//! The part of the configuration that says who is told: `notifications`, and a gate's `statuses`.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};

use serde::Deserialize;
use url::{Host, Url};

use super::checks;
use crate::fields::{Complaint, Found, Path, Record, Shape, nothing, optional, required};
use crate::manifest::tree::Node;

/// Most channels of one daemon: each is a task.
const MAX_CHANNELS: usize = 64;

/// Somebody who is told what changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationSettings {
    /// Its name, for logs.
    pub name: String,
    /// The gates that it is told of; all of them where none is named.
    pub gates: Vec<String>,
    /// Who.
    pub to: Recipient,
    /// The file with further roots.
    pub ca_file: Option<PathBuf>,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// A webhook that takes Slack's form.
    Slack {
        /// The file with the URL, which is a secret.
        url_file: PathBuf,
    },
    /// A webhook that takes `CloudEvents`, signed.
    Webhook {
        /// Where.
        url: String,
        /// The file with the secret of the signature.
        secret_file: PathBuf,
    },
    /// An Alertmanager.
    Alertmanager {
        /// Where, without `/api/v2`.
        url: String,
        /// The user, for basic authentication.
        username: Option<String>,
        /// The file with the password.
        password_file: Option<PathBuf>,
    },
}

/// Where a gate's decision stands beside the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSettings {
    /// Whose API it is.
    pub forge: Forge,
    /// The API's address.
    pub api: String,
    /// The repository, as the forge names it.
    pub repository: String,
    /// The file with the token.
    pub token_file: PathBuf,
    /// Where a reader finds more.
    pub link: Option<String>,
    /// The file with further roots.
    pub ca_file: Option<PathBuf>,
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

/// One entry of `notifications`.
pub(super) static NOTIFICATION: Record = Record {
    fields: &[
        required("name", Shape::Text(checks::label)),
        optional("gates", Shape::List(&Shape::Text(checks::label), 1)),
        optional("slack", Shape::Record(&SLACK)),
        optional("webhook", Shape::Record(&WEBHOOK)),
        optional("alertmanager", Shape::Record(&ALERTMANAGER)),
    ],
    between: one_recipient,
};

static SLACK: Record = Record {
    fields: &[required("urlFile", Shape::Text(checks::text)), optional("caFile", Shape::Text(checks::text))],
    between: nothing,
};

static WEBHOOK: Record = Record {
    fields: &[
        required("url", Shape::Text(open)),
        required("secretFile", Shape::Text(checks::text)),
        optional("caFile", Shape::Text(checks::text)),
    ],
    between: nothing,
};

static ALERTMANAGER: Record = Record {
    fields: &[
        required("url", Shape::Text(open)),
        optional("username", Shape::Text(checks::text)),
        optional("passwordFile", Shape::Text(checks::text)),
        optional("caFile", Shape::Text(checks::text)),
    ],
    between: password_is_not_sent_in_the_clear,
};

/// A gate's `statuses`.
pub(super) static STATUSES: Record = Record {
    fields: &[
        optional("github", Shape::Record(&FORGE)),
        optional("gitlab", Shape::Record(&FORGE)),
        optional("gitea", Shape::Record(&SELF_HOSTED)),
    ],
    between: one_forge,
};

static FORGE: Record = Record {
    fields: &[
        optional("api", Shape::Text(private)),
        required("repository", Shape::Text(repository)),
        required("tokenFile", Shape::Text(checks::text)),
        optional("link", Shape::Text(open)),
        optional("caFile", Shape::Text(checks::text)),
    ],
    between: nothing,
};

static SELF_HOSTED: Record = Record {
    fields: &[
        required("api", Shape::Text(private)),
        required("repository", Shape::Text(repository)),
        required("tokenFile", Shape::Text(checks::text)),
        optional("link", Shape::Text(open)),
        optional("caFile", Shape::Text(checks::text)),
    ],
    between: nothing,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notification {
    name: String,
    #[serde(default)]
    gates: Vec<String>,
    slack: Option<Slack>,
    webhook: Option<Webhook>,
    alertmanager: Option<Alertmanager>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Slack {
    url_file: String,
    ca_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Webhook {
    url: String,
    secret_file: String,
    ca_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Alertmanager {
    url: String,
    username: Option<String>,
    password_file: Option<String>,
    ca_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statuses {
    github: Option<WrittenForge>,
    gitlab: Option<WrittenForge>,
    gitea: Option<WrittenForge>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenForge {
    api: Option<String>,
    repository: String,
    token_file: String,
    link: Option<String>,
    ca_file: Option<String>,
}

/// A notification as valid, its paths resolved.
pub(super) fn notification(written: Notification, folder: &FilePath) -> Result<NotificationSettings, Complaint> {
    let Notification { name, gates, slack, webhook, alertmanager } = written;
    let at = |path: String| folder.join(path);
    let (to, ca_file) = match (slack, webhook, alertmanager) {
        (Some(Slack { url_file, ca_file }), None, None) => (Recipient::Slack { url_file: at(url_file) }, ca_file),
        (None, Some(Webhook { url, secret_file, ca_file }), None) => {
            (Recipient::Webhook { url, secret_file: at(secret_file) }, ca_file)
        }
        (None, None, Some(Alertmanager { url, username, password_file, ca_file })) => {
            (Recipient::Alertmanager { url, username, password_file: password_file.map(at) }, ca_file)
        }
        _ => return Err(Complaint::new("a notification has exactly one recipient", "name one")),
    };
    Ok(NotificationSettings { name, gates, to, ca_file: ca_file.map(at) })
}

/// A gate's statuses as valid, paths resolved.
pub(super) fn statuses(written: Statuses, folder: &FilePath) -> Result<StatusSettings, Complaint> {
    let (forge, written) = match (written.github, written.gitlab, written.gitea) {
        (Some(written), None, None) => (Forge::GitHub, written),
        (None, Some(written), None) => (Forge::GitLab, written),
        (None, None, Some(written)) => (Forge::Gitea, written),
        _ => return Err(Complaint::new("statuses go to exactly one forge", "name one")),
    };
    let WrittenForge { api, repository, token_file, link, ca_file } = written;
    let api = match (api, forge) {
        (Some(api), _) => api,
        (None, Forge::GitHub) => "https://api.github.com".to_owned(),
        (None, Forge::GitLab) => "https://gitlab.com/api/v4".to_owned(),
        (None, Forge::Gitea) => return Err(Complaint::new("`api` is missing", "write `https://host/api/v1`")),
    };
    let api = api.trim_end_matches('/').to_owned();
    let (token_file, ca_file) = (folder.join(token_file), ca_file.map(|path| folder.join(path)));
    Ok(StatusSettings { forge, api, repository, token_file, link, ca_file })
}

/// What must hold between notifications and gates.
pub(super) fn notifications_are_distinct(root: &Node, found: &mut Found<'_>) {
    let Some(list) = root.get("notifications") else { return };
    let items = list.items().unwrap_or(&[]);
    if items.len() > MAX_CHANNELS {
        let message = format!("there are {} notifications, {MAX_CHANNELS} are allowed", items.len());
        found.report(list.place, message, "let one webhook hand them on");
    }
    let gates = root.get("gates").and_then(Node::items).unwrap_or(&[]);
    let gates: BTreeSet<&str> = gates.iter().filter_map(|gate| gate.get("name").and_then(Node::as_str)).collect();
    let mut names = BTreeSet::new();
    for item in items {
        if let Some(name) = item.get("name")
            && !names.insert(name.as_str())
        {
            found.report(name.place, "another notification has this name", "give each a name of its own");
        }
        for gate in item.get("gates").and_then(Node::items).unwrap_or(&[]) {
            if gate.as_str().is_some_and(|name| !gates.contains(name)) {
                found.report(gate.place, "there is no such gate", "write the name of one under `gates`");
            }
        }
    }
}

fn one_recipient(notification: &Node, path: &Path, found: &mut Found<'_>) {
    one_of(notification, &["slack", "webhook", "alertmanager"], path, found);
}

fn one_forge(statuses: &Node, path: &Path, found: &mut Found<'_>) {
    one_of(statuses, &["github", "gitlab", "gitea"], path, found);
}

fn one_of(node: &Node, names: &[&str], path: &Path, found: &mut Found<'_>) {
    if names.iter().filter(|name| node.get(name).is_some()).count() != 1 {
        let message = format!("`{path}` must have exactly one of {}", names.join(", "));
        found.report(node.place, message, "write one of them");
    }
}

fn password_is_not_sent_in_the_clear(node: &Node, path: &Path, found: &mut Found<'_>) {
    let (Some(url), Some(password)) = (node.get("url").and_then(Node::as_str), node.get("passwordFile")) else {
        return;
    };
    if private(url).is_err() {
        let message = format!("`{path}` sends a password without TLS");
        found.report(password.place, message, "write an `https://` URL, or leave the password out");
    }
}

/// A URL of a service, without secrets in it.
fn open(text: &str) -> Result<(), Complaint> {
    url(text).map(drop)
}

/// As [`open`], where secrets are sent: over TLS, but on this machine.
fn private(text: &str) -> Result<(), Complaint> {
    let parsed = url(text)?;
    let here = match parsed.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if parsed.scheme() == "https" || here {
        return Ok(());
    }
    Err(Complaint::new("a secret is sent there, and the URL has no TLS", "write an `https://` URL"))
}

fn url(text: &str) -> Result<Url, Complaint> {
    let help = "write `https://host[:port]/path`";
    checks::text(text)?;
    // The URL is not repeated: it may carry a secret.
    let parsed = Url::parse(text).map_err(|error| Complaint::new(format!("this is no URL: {error}"), help))?;
    if parsed.password().is_some() || !parsed.username().is_empty() || parsed.query().is_some() {
        return Err(Complaint::new("the URL carries credentials or a query, which belong into a file", help));
    }
    let web = matches!(parsed.scheme(), "http" | "https");
    if !web || parsed.fragment().is_some() || text.contains('\\') || parsed.host_str().is_none_or(str::is_empty) {
        return Err(Complaint::new("this is no address of a web service", help));
    }
    Ok(parsed)
}

/// A repository as forges name it: `owner/name`, on GitLab with groups between.
fn repository(text: &str) -> Result<(), Complaint> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let parts: Vec<&str> = text.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && part.bytes().all(fits) && !part.starts_with('.');
    if text.len() <= 512 && (2..=20).contains(&parts.len()) && parts.iter().all(plain) {
        return Ok(());
    }
    Err(Complaint::new(format!("`{}` is no repository", text.escape_debug()), "write `owner/name`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_tls_or_stay_on_this_machine_and_never_stand_in_a_url() {
        for (text, is_open, is_private) in [
            ("https://a.example.com/x", true, true),
            ("http://a.example.com:9093", true, false),
            ("http://127.0.0.1:3000/api/v1", true, true),
            ("http://localhost:3000", true, true),
            ("http://localhost.example.com", true, false),
            ("https://u:p@a.example.com", false, false),
            ("https://a.example.com/?token=x", false, false),
            ("ftp://a.example.com", false, false),
            ("https:///x", true, true),
            ("a.example.com", false, false),
        ] {
            assert_eq!((open(text).is_ok(), private(text).is_ok()), (is_open, is_private), "{text}");
        }
    }

    #[test]
    fn repositories_cannot_leave_their_place_in_a_url() {
        for (text, fits) in [
            ("acme/app", true),
            ("g/s/app.x", true),
            ("app", false),
            ("../x", false),
            ("a/..", false),
            ("a/b?c", false),
            ("a//b", false),
        ] {
            assert_eq!(repository(text).is_ok(), fits, "{text}");
        }
    }
}
