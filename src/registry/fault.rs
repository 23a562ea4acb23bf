//! What a registry's answer means where it is not the wished one. Remote text is shown short and without control
//! characters; a token server's never.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::exchange::{Answer, Broken, Cause};
use crate::artifact::Fault;
use crate::reason::Reason;

/// Longest remote text that is shown, in characters.
const MAX_SHOWN: usize = 256;
/// Longest wait that a registry can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(15);

/// A fault, and whether the same request may be made again within the same call.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) fault: Fault,
    pub(super) again: Again,
}

/// Whether a request may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// No: it would end alike.
    No,
    /// Yes, after a pause.
    Later,
}

/// The error body of the distribution specification.
#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    code: String,
    #[serde(default)]
    message: Option<String>,
}

/// A fault without a wait.
pub(super) fn fault(reason: Reason, message: impl Into<String>) -> Fault {
    Fault { reason, message: message.into(), retry_after: None }
}

impl Trouble {
    /// A trouble that ends the call.
    pub(super) fn last(fault: Fault) -> Self {
        Self { fault, again: Again::No }
    }
}

/// What a broken exchange means. `subject` says what was asked.
pub(super) fn of_broken(subject: &str, broken: &Broken) -> Trouble {
    let (reason, again) = match broken.cause {
        Cause::Connect | Cause::Cut => (Reason::RegistryUnavailable, Again::Later),
        Cause::Tls => (Reason::RegistryUnavailable, Again::No),
        // Time was spent already; whoever called tries again on its own.
        Cause::Slow => (Reason::TimedOut, Again::No),
        Cause::TooLarge => (Reason::LimitExceeded, Again::No),
        Cause::Encoded => (Reason::Malformed, Again::No),
    };
    Trouble { fault: fault(reason, format!("{subject}: {}", broken.message)), again }
}

/// What a status means that is neither success nor an absence.
pub(super) fn of_status(subject: &str, answer: &Answer) -> Trouble {
    let status = answer.status;
    let (reason, again) = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (Reason::RegistryUnauthorized, Again::No),
        StatusCode::TOO_MANY_REQUESTS => (Reason::RateLimited, Again::Later),
        StatusCode::REQUEST_TIMEOUT => (Reason::RegistryUnavailable, Again::Later),
        _ if status.is_server_error() => (Reason::RegistryUnavailable, Again::Later),
        _ => (Reason::RegistryUnavailable, Again::No),
    };
    let message = match shown(&answer.body) {
        Some(text) => format!("{subject}: HTTP {}: {text}", status.as_u16()),
        None => format!("{subject}: HTTP {}", status.as_u16()),
    };
    Trouble { fault: Fault { reason, message, retry_after: retry_after(&answer.headers) }, again }
}

/// Whether a 404 is the registry's own word that it holds no such thing, and not that of some page in between.
///
/// The error body of the specification says so with its code; a body may also be missing (specification, "Error codes"),
/// and then only a registry's own header tells it from anybody else's 404.
pub(super) fn is_absence(answer: &Answer) -> bool {
    if answer.status != StatusCode::NOT_FOUND {
        return false;
    }
    if answer.body.is_empty() {
        return answer.headers.get("docker-distribution-api-version").is_some_and(|value| value == "registry/2.0");
    }
    let absent = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "NOT_FOUND"];
    error_codes(&answer.body)
        .is_some_and(|codes| !codes.is_empty() && codes.iter().all(|code| absent.contains(&code.as_str())))
}

/// Whether an answer to the referrers API says that there is no such API.
pub(super) fn lacks_referrers(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => true,
        StatusCode::BAD_REQUEST => error_codes(&answer.body).is_some_and(|codes| {
            !codes.is_empty() && codes.iter().all(|code| matches!(code.as_str(), "METHOD_UNKNOWN" | "UNSUPPORTED"))
        }),
        _ => false,
    }
}

/// The codes of an error body, where it is one.
fn error_codes(body: &[u8]) -> Option<Vec<String>> {
    let body: ErrorBody = serde_json::from_slice(body).ok()?;
    Some(body.errors.into_iter().map(|entry| entry.code).collect())
}

/// The first error of an error body, fit to be shown.
fn shown(body: &[u8]) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(body).ok()?;
    let first = body.errors.into_iter().next()?;
    let text = match first.message {
        Some(message) if !message.is_empty() => format!("{}: {message}", first.code),
        Some(_) | None => first.code,
    };
    Some(sanitised(&text))
}

/// Remote text without anything that steers a terminal, and not too long.
pub(super) fn sanitised(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().take(MAX_SHOWN).map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// How long a registry asks us to wait: seconds or an HTTP date, never more than [`MAX_RETRY_AFTER`].
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(now()).unwrap_or_default()
    };
    Some(asked.min(MAX_RETRY_AFTER))
}

#[expect(clippy::disallowed_methods, reason = "a Retry-After date is meaningless without the clock")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use reqwest::header::HeaderValue;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_status_means_one_reason() {
        let table = [
            (401, Reason::RegistryUnauthorized, Again::No),
            (403, Reason::RegistryUnauthorized, Again::No),
            (404, Reason::RegistryUnavailable, Again::No),
            (400, Reason::RegistryUnavailable, Again::No),
            (418, Reason::RegistryUnavailable, Again::No),
            (408, Reason::RegistryUnavailable, Again::Later),
            (429, Reason::RateLimited, Again::Later),
            (500, Reason::RegistryUnavailable, Again::Later),
            (502, Reason::RegistryUnavailable, Again::Later),
            (503, Reason::RegistryUnavailable, Again::Later),
        ];
        for (status, reason, again) in table {
            for body in ["", "<html>", "{}", r#"{"errors":[{"code":"DENIED","message":"no"}]}"#] {
                let trouble = of_status("x", &answer(status, body));
                assert_eq!((trouble.fault.reason, trouble.again), (reason, again), "{status} {body}");
            }
        }
    }

    #[test]
    fn only_the_registrys_own_404_is_an_absence() {
        let table = [
            (404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"m","detail":{}}]}"#, true),
            (404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, true),
            (404, r#"{"errors":[{"code":"NOT_FOUND","message":"artifact not found"}]}"#, true),
            (404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"},{"code":"TOOMANYREQUESTS"}]}"#, false),
            (404, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#, false),
            (404, r#"{"errors":[]}"#, false),
            (404, r#"{"message":"not found"}"#, false),
            (404, "404 page not found", false),
            (404, "<html>not here</html>", false),
            (404, "", false),
            (403, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#, false),
            (429, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#, false),
            (200, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#, false),
        ];
        for (status, body, absence) in table {
            assert_eq!(is_absence(&answer(status, body)), absence, "{status} {body}");
        }
        let mut empty = answer(404, "");
        empty.headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
        assert!(is_absence(&empty));
    }

    #[test]
    fn a_missing_referrers_api_is_told_from_an_error() {
        let unsupported = r#"{"errors":[{"code":"METHOD_UNKNOWN"}]}"#;
        let table = [(404, "404 page not found", true), (405, "", true), (501, "", true), (400, unsupported, true)];
        let faults = [(400, "", false), (401, "", false), (403, "", false), (429, "", false), (500, "", false)];
        for (status, body, lacks) in table.into_iter().chain(faults) {
            assert_eq!(lacks_referrers(&answer(status, body)), lacks, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("1000000000"), Some(MAX_RETRY_AFTER));
        assert_eq!(read("99999999999999999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(read("Thu, 01 Jan 2099 00:00:00 GMT"), Some(MAX_RETRY_AFTER));
        assert_eq!(read("Thu, 01 Jan 1998 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn remote_text_cannot_steer_a_terminal() {
        assert_eq!(sanitised("a\x1b[31m\nb\u{202e}c"), "a\u{fffd}[31m\u{fffd}b\u{fffd}c");
        assert_eq!(sanitised(&"x".repeat(10_000)).len(), MAX_SHOWN);
    }
}
