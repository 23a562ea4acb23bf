//! What an API server means by its refusals, and which of them time may mend.
//!
//! The HTTP status alone does not say it: a schema error comes as a 500, an object of an unknown kind as a 404 in plain
//! text, and a 409 is a quarrel over fields or only a stale version.

use std::time::Duration;

use serde::Deserialize;

/// The longest wait that a server's `Retry-After` can ask for; a longer one is cut.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
/// The longest text of a server that is passed on, in characters.
const MAX_MESSAGE: usize = 1_000;
/// The most causes of one refusal that are passed on.
pub(super) const MAX_CAUSES: usize = 20;

/// Why a request was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What kind of refusal it is.
    pub(super) kind: Kind,
    /// The HTTP status, or 0 where none came.
    pub(super) code: u16,
    /// What the server said, cut and without control characters.
    pub(super) message: String,
    /// The fields that it named.
    pub(super) causes: Vec<Cause>,
    /// How long it asks us to wait, cut at [`MAX_RETRY_AFTER`].
    pub(super) retry_after: Option<Duration>,
    /// Whether all that it refuses is to change fields that cannot be changed.
    pub(super) over: Over,
}

/// What a refusal is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Fields that cannot be changed once they are set, and nothing else.
    ImmutableFields,
    /// Anything else.
    Else,
}

/// A field that a server names in a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// The field's path; empty where none was named.
    pub(super) field: String,
    /// What is wrong with it.
    pub(super) message: String,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No connection, a broken one, or silence.
    Unreachable,
    /// The server, or a webhook that it asks, cannot answer at present.
    Busy,
    /// What it answered is no answer.
    Garbled,
    /// It does not know us.
    Unauthorized,
    /// We may not do this, or a policy forbids it.
    Forbidden,
    /// The namespace is being deleted.
    Terminating,
    /// A quota is used up.
    Quota,
    /// The object is not there.
    NotFound,
    /// The object's namespace is not there.
    NoNamespace,
    /// No such kind is served, or not yet.
    NotServed,
    /// Another manager owns a field.
    Conflict,
    /// The object changed meanwhile, or is another one than expected.
    Stale,
    /// The object itself is wrong.
    Invalid,
}

/// What may mend a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mends {
    /// Asking again, soon.
    Soon,
    /// Somebody else, in time.
    Later,
    /// Only another revision, or other rights.
    Never,
}

/// A server's `Status` object, as far as it is read.
#[derive(Deserialize)]
struct Status {
    kind: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    causes: Vec<RawCause>,
    #[serde(default)]
    retry_after_seconds: u64,
}

#[derive(Deserialize)]
struct RawCause {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    field: String,
}

impl Kind {
    /// What may mend it.
    pub(super) fn mends(self) -> Mends {
        match self {
            Self::Unreachable | Self::Busy | Self::Stale => Mends::Soon,
            Self::Garbled | Self::Unauthorized | Self::Terminating | Self::Quota => Mends::Later,
            Self::Forbidden | Self::NotFound | Self::NoNamespace | Self::NotServed | Self::Conflict | Self::Invalid => {
                Mends::Never
            }
        }
    }

    /// Whether it says that the cluster, not the object, is at fault.
    pub(super) fn is_of_cluster(self) -> bool {
        match self {
            Self::Unreachable | Self::Busy | Self::Garbled | Self::Unauthorized => true,
            Self::Forbidden
            | Self::Terminating
            | Self::Quota
            | Self::NotFound
            | Self::NoNamespace
            | Self::NotServed
            | Self::Conflict
            | Self::Stale
            | Self::Invalid => false,
        }
    }
}

impl Fault {
    /// A fault without an answer.
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self::of(Kind::Unreachable, 0, &message.into())
    }

    /// An answer that cannot be read.
    pub(super) fn garbled(code: u16, message: &str) -> Self {
        Self::of(Kind::Garbled, code, message)
    }

    /// A request that cannot be made.
    pub(super) fn unsendable(error: &dyn std::error::Error) -> Self {
        Self::of(Kind::Invalid, 0, &error.to_string())
    }

    /// Reads a refusal: the status, the body, and the `Retry-After` header in seconds.
    pub(super) fn read(code: u16, body: &[u8], retry_after: Option<u64>) -> Self {
        let status = serde_json::from_slice::<Status>(body).ok().filter(|it| it.kind.as_deref() == Some("Status"));
        let Some(status) = status else {
            let text = String::from_utf8_lossy(body);
            let mut fault = Self::of(kind_of_plain(code), code, text.trim());
            fault.retry_after = wait(retry_after);
            return fault;
        };
        let details = status.details.unwrap_or_default();
        let asked = retry_after.or((details.retry_after_seconds > 0).then_some(details.retry_after_seconds));
        let mut fault =
            Self::of(kind_of_status(code, &status.reason, &status.message, &details), code, &status.message);
        fault.retry_after = wait(asked);
        if fault.kind == Kind::Invalid && are_immutable(&details.causes) {
            fault.over = Over::ImmutableFields;
        }
        fault.causes = details
            .causes
            .iter()
            .take(MAX_CAUSES)
            .map(|cause| Cause { field: clean(&cause.field), message: clean(&cause.message) })
            .collect();
        fault
    }

    fn of(kind: Kind, code: u16, message: &str) -> Self {
        Self { kind, code, message: clean(message), causes: Vec::new(), retry_after: None, over: Over::Else }
    }
}

fn wait(seconds: Option<u64>) -> Option<Duration> {
    seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// A server's text may hold what a manifest's author wrote: it is cut, and loses what could steer a terminal.
pub(super) fn clean(text: &str) -> String {
    let mut short: String =
        text.chars().take(MAX_MESSAGE).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.chars().nth(MAX_MESSAGE).is_some() {
        short.push('…');
    }
    short
}

/// An answer that is no `Status` comes from the server's router or from something in between.
fn kind_of_plain(code: u16) -> Kind {
    match code {
        404 => Kind::NotServed,
        401 => Kind::Unauthorized,
        403 => Kind::Forbidden,
        400 | 413 | 415 | 422 => Kind::Invalid,
        429 | 500.. => Kind::Busy,
        _ => Kind::Garbled,
    }
}

fn kind_of_status(code: u16, reason: &str, message: &str, details: &Details) -> Kind {
    let has_cause = |name: &str| details.causes.iter().any(|cause| cause.reason == name);
    match code {
        401 => Kind::Unauthorized,
        403 if has_cause("NamespaceTerminating") => Kind::Terminating,
        403 if message.contains("exceeded quota") => Kind::Quota,
        403 => Kind::Forbidden,
        404 if details.kind == "namespaces" => Kind::NoNamespace,
        404 if reason == "NotFound" && details.kind.is_empty() => Kind::NotServed,
        404 => Kind::NotFound,
        409 if has_cause("FieldManagerConflict") => Kind::Conflict,
        409 | 410 => Kind::Stale,
        500 if is_schema_error(message) => Kind::Invalid,
        429 | 500.. => Kind::Busy,
        _ => Kind::Invalid,
    }
}

/// LIB-19: a body that does not fit the schema is answered with 500 and no reason.
fn is_schema_error(message: &str) -> bool {
    message.contains("failed to create typed patch object") || message.contains("field not declared in schema")
}

/// How servers say that a field cannot be changed. The texts are looked for before they are cut: some quote whole objects.
const IMMUTABLE: [&str; 4] = [
    "is immutable",
    "updates to statefulset spec for fields other than",
    "may not change once set",
    "updates to parameters are forbidden",
];

fn are_immutable(causes: &[RawCause]) -> bool {
    let says = |cause: &RawCause| IMMUTABLE.iter().any(|text| cause.message.contains(text));
    !causes.is_empty() && causes.iter().all(says)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kind(code: u16, body: &Value) -> Kind {
        Fault::read(code, body.to_string().as_bytes(), None).kind
    }

    fn status(reason: &str, message: &str, details: &Value) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "details": details})
    }

    #[test]
    fn answers_are_told_apart() {
        let typed = "failed to create typed patch object (a/b; apps/v1, Kind=Deployment): .spec.x: field not declared in schema";
        let conflict = json!({"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\"", "field": ".spec.replicas"}]});
        let terminating =
            json!({"causes": [{"reason": "NamespaceTerminating", "message": "namespace x is being terminated"}]});
        let table = [
            (
                404,
                status("NotFound", "namespaces \"x\" not found", &json!({"name": "x", "kind": "namespaces"})),
                Kind::NoNamespace,
            ),
            (
                404,
                status("NotFound", "configmaps \"x\" not found", &json!({"name": "x", "kind": "configmaps"})),
                Kind::NotFound,
            ),
            (404, status("NotFound", "the server could not find the requested resource", &json!({})), Kind::NotServed),
            (403, status("Forbidden", "…", &terminating), Kind::Terminating),
            (403, status("Forbidden", "exceeded quota: q, requested: pods=1", &json!({})), Kind::Quota),
            (403, status("Forbidden", "User \"x\" cannot patch", &json!({})), Kind::Forbidden),
            (401, status("Unauthorized", "Unauthorized", &json!(null)), Kind::Unauthorized),
            (500, status("", typed, &json!(null)), Kind::Invalid),
            (500, status("InternalError", "failed calling webhook \"x\"", &json!({})), Kind::Busy),
            (500, status("", "etcdserver: request timed out", &json!(null)), Kind::Busy),
            (503, status("ServiceUnavailable", "", &json!(null)), Kind::Busy),
            (504, status("Timeout", "", &json!(null)), Kind::Busy),
            (429, status("TooManyRequests", "", &json!({"retryAfterSeconds": 1})), Kind::Busy),
            (409, status("Conflict", "Apply failed with 1 conflict", &conflict), Kind::Conflict),
            (409, status("Conflict", "the object has been modified", &json!({})), Kind::Stale),
            (
                422,
                status(
                    "Invalid",
                    "spec.selector: field is immutable",
                    &json!({"causes": [{"field": "spec.selector"}]}),
                ),
                Kind::Invalid,
            ),
            (400, status("", "admission webhook \"x\" denied the request", &json!(null)), Kind::Invalid),
            (413, status("RequestEntityTooLarge", "", &json!(null)), Kind::Invalid),
        ];
        for (code, body, expected) in table {
            assert_eq!(kind(code, &body), expected, "{code} {body}");
        }
    }

    #[test]
    fn only_a_refusal_of_immutable_fields_alone_is_one() {
        let long = format!("Invalid value: {}: field is immutable", "x".repeat(5_000));
        let over = |code: u16, messages: &[&str]| {
            let causes: Vec<Value> = messages.iter().map(|it| json!({"message": it, "field": "spec.x"})).collect();
            Fault::read(code, status("Invalid", "", &json!({ "causes": causes })).to_string().as_bytes(), None).over
        };
        assert_eq!(over(422, &[&long]), Over::ImmutableFields);
        assert_eq!(over(422, &["field is immutable", "may not change once set"]), Over::ImmutableFields);
        assert_eq!(over(422, &["field is immutable", "must be positive"]), Over::Else);
        assert_eq!(over(422, &[]), Over::Else);
        assert_eq!(over(503, &["field is immutable"]), Over::Else);
    }

    #[test]
    fn answers_that_are_no_status_are_read_by_their_code() {
        let table = [
            (404, "404 page not found\n", Kind::NotServed),
            (502, "<html>Bad Gateway</html>", Kind::Busy),
            (429, "", Kind::Busy),
            (401, "", Kind::Unauthorized),
            (302, "", Kind::Garbled),
            (404, "{\"kind\": \"ConfigMap\"}", Kind::NotServed),
        ];
        for (code, body, expected) in table {
            assert_eq!(Fault::read(code, body.as_bytes(), None).kind, expected, "{code} {body:?}");
        }
    }

    #[test]
    fn the_wait_that_is_asked_for_is_cut() {
        let body = status("TooManyRequests", "", &json!({"retryAfterSeconds": 7})).to_string();
        let read = |header| Fault::read(429, body.as_bytes(), header).retry_after;
        assert_eq!(read(None), Some(Duration::from_secs(7)));
        assert_eq!(read(Some(2)), Some(Duration::from_secs(2)));
        assert_eq!(read(Some(86_400)), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn a_servers_text_cannot_steer_a_terminal_nor_fill_a_log() {
        let fault = Fault::read(500, format!("\u{1b}[2J{}", "x".repeat(5_000)).as_bytes(), None);
        assert!(!fault.message.chars().any(char::is_control));
        assert_eq!(fault.message.chars().count(), MAX_MESSAGE + 1);
    }
}
