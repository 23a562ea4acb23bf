//! What each service is sent. Text from outside is escaped for where it stands, and bounded.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::message::{Message, Outcome, Trouble};
use super::{Forge, Service, Status};
use crate::report::text::printable;

/// Longest piece of text from outside in characters.
const MAX_TEXT: usize = 300;
/// How long an alert stands that nobody refreshes.
const ALERT_LASTS: SignedDuration = SignedDuration::from_mins(10);

/// A request that is ready to go, but for the secrets in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// The request that tells a service; `secret` is what its file holds. None where there is nothing to say to it.
pub(super) fn request(service: &Service, message: &Message, secret: &str, now: Timestamp) -> Option<Request> {
    match service {
        Service::Slack { .. } => Some(Request::json(secret.to_owned(), "application/json", &slack(message))),
        Service::CloudEvents { url, .. } => Some(cloud_event(url, message, secret)),
        Service::Alertmanager { url, username, .. } => Some(alerts(url, username.as_deref(), secret, message, now)),
        Service::Status(status) => status_request(status, message, secret),
    }
}

impl Request {
    fn json(url: String, content: &str, body: &Value) -> Self {
        let headers = vec![("content-type", content.to_owned())];
        Self { url, headers, body: body.to_string().into_bytes() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Slack's incoming webhooks: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
fn slack(message: &Message) -> Value {
    let sign = match message.outcome {
        Outcome::Pass => ":white_check_mark:",
        Outcome::Refuse => ":no_entry:",
        Outcome::Undecided => ":hourglass_flowing_sand:",
        Outcome::Error => ":warning:",
    };
    let (gate, short) = (span(&message.gate), span(&message.short()));
    let mut lines = vec![format!("{sign} *Sealgate* {gate} {short} {}", message.summary())];
    for Trouble { image, code, message, help } in &message.troubles {
        let image = image.as_ref().map(|image| format!("{} ", span(image))).unwrap_or_default();
        lines.push(format!("• {image}*{code}*: {}", span(message)));
        if !help.is_empty() {
            lines.push(format!("   help: {}", span(help)));
        }
    }
    if message.more > 0 {
        lines.push(format!("… and {} more", message.more));
    }
    json!({"text": lines.join("\n"), "unfurl_links": false, "unfurl_media": false})
}

/// A code span that text cannot leave: chats take no longer fence, so that backticks become quotes.
fn span(text: &str) -> String {
    let text = short(text).replace('`', "'").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("`{}`", if text.is_empty() { "-" } else { &text })
}

fn short(text: &str) -> String {
    let text = printable(text);
    if text.chars().count() <= MAX_TEXT {
        return text;
    }
    text.chars().take(MAX_TEXT).chain(['…']).collect()
}

/// `CloudEvents` 1.0 in structured mode, signed over its bytes:
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
fn cloud_event(url: &str, message: &Message, secret: &str) -> Request {
    let kind = match message.outcome {
        Outcome::Pass => "dev.sealgate.gate.passed",
        Outcome::Refuse => "dev.sealgate.gate.refused",
        Outcome::Undecided => "dev.sealgate.gate.undecided",
        Outcome::Error => "dev.sealgate.gate.failed",
    };
    let [images, verified, refused, undecided] = message.counts;
    let revision = message.revision.as_deref();
    let mut event = json!({
        "specversion": "1.0",
        // The same on each attempt, so that who listens can drop what came twice.
        "id": format!("{}/{}/{}", revision.unwrap_or("-"), message.outcome.name(), message.time.as_millisecond()),
        "source": format!("/gates/{}", message.gate),
        "type": kind,
        "time": message.time.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "gate": message.gate,
            "mode": message.mode,
            "revision": revision,
            "state": message.outcome.name(),
            "previous": message.previous.map(Outcome::name),
            "summary": {"images": images, "verified": verified, "refused": refused, "undecided": undecided},
            "troubles": message.troubles,
            "more": message.more,
        },
    });
    if let (Some(revision), Some(event)) = (revision, event.as_object_mut()) {
        event.insert("subject".to_owned(), revision.into());
    }
    let request = Request::json(url.to_owned(), "application/cloudevents+json; charset=utf-8", &event);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hex::encode(hmac::sign(&key, &request.body));
    request.with("sealgate-signature-256", format!("sha256={signature}"))
}

/// Alertmanager's API v2: <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>. Every state is told
/// each time: one that stands, and those that do not (any more) as ended, which is no news where they never were.
fn alerts(url: &str, username: Option<&str>, password: &str, message: &Message, now: Timestamp) -> Request {
    let states = [Outcome::Refuse, Outcome::Undecided, Outcome::Error];
    let alerts: Vec<Value> = states.into_iter().map(|state| alert(state, message, now)).collect();
    let url = format!("{}/api/v2/alerts", url.trim_end_matches('/'));
    let request = Request::json(url, "application/json", &Value::Array(alerts));
    match username {
        Some(username) => {
            let login = STANDARD.encode(format!("{username}:{password}"));
            request.with("authorization", format!("Basic {login}"))
        }
        None => request,
    }
}

fn alert(state: Outcome, message: &Message, now: Timestamp) -> Value {
    let stands = state == message.outcome;
    let ends = if stands { now.checked_add(ALERT_LASTS).unwrap_or(now) } else { now };
    let severity = if state == Outcome::Undecided { "warning" } else { "critical" };
    let mut alert = json!({
        "labels": {"alertname": "SealgateGateDoesNotPass", "gate": message.gate, "state": state.name(), "severity": severity},
        "endsAt": ends.to_string(),
    });
    if let (true, Some(alert)) = (stands, alert.as_object_mut()) {
        let trouble = |trouble: &Trouble| {
            let image = trouble.image.as_ref().map(|image| format!("{image}: ")).unwrap_or_default();
            short(&format!("{image}{}: {}", trouble.code, trouble.message))
        };
        let description: Vec<String> = message.troubles.iter().map(trouble).collect();
        alert.insert("startsAt".to_owned(), message.time.to_string().into());
        alert.insert(
            "annotations".to_owned(),
            json!({
                "summary": format!("{} {}", message.short(), message.summary()),
                "description": description.join("\n"),
                "revision": message.revision.clone().unwrap_or_default(),
            }),
        );
    }
    alert
}

/// A commit status:
/// <https://docs.github.com/en/rest/commits/statuses>, <https://docs.gitlab.com/api/commits/>,
/// <https://docs.gitea.com/api/next/> (`repoCreateStatus`).
fn status_request(status: &Status, message: &Message, token: &str) -> Option<Request> {
    let revision = message.revision.as_ref()?;
    let Status { forge, api, repository, token_file: _, link } = status;
    let state = match (forge, message.outcome) {
        (_, Outcome::Pass) => "success",
        (Forge::GitHub | Forge::Gitea, Outcome::Refuse) => "failure",
        (_, Outcome::Undecided) => "pending",
        (Forge::GitHub | Forge::Gitea, Outcome::Error) => "error",
        (Forge::GitLab, Outcome::Refuse | Outcome::Error) => "failed",
    };
    let context = format!("sealgate/{}", message.gate);
    // GitHub takes 140 characters; this is made of our own words and numbers.
    let description: String = message.summary().chars().take(140).collect();
    let mut body = json!({"state": state, "description": description});
    if let Some(body) = body.as_object_mut() {
        let name = if *forge == Forge::GitLab { "name" } else { "context" };
        body.insert(name.to_owned(), context.into());
        if let Some(link) = link {
            body.insert("target_url".to_owned(), link.clone().into());
        }
    }
    let url = match forge {
        Forge::GitHub | Forge::Gitea => format!("{api}/repos/{repository}/statuses/{revision}"),
        Forge::GitLab => format!("{api}/projects/{}/statuses/{revision}", repository.replace('/', "%2F")),
    };
    let request = Request::json(url, "application/json", &body);
    Some(match forge {
        Forge::GitHub => request
            .with("authorization", format!("Bearer {token}"))
            .with("accept", "application/vnd.github+json")
            .with("x-github-api-version", "2022-11-28"),
        Forge::GitLab => request.with("private-token", token),
        Forge::Gitea => request.with("authorization", format!("token {token}")),
    })
}

#[cfg(test)]
mod tests;
