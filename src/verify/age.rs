//! How old an attestation is: by the time of signing that a log or a timestamp proves, else by its own word.
//!
//! Of several proven times the earliest counts, so that nothing becomes younger by a second timestamp.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::candidate::{Miss, shown};
use super::verdict::Check;
use crate::reason::Reason;

/// Where predicates say when they were made, by the beginning of their type.
const OWN_TIMES: [(&str, &str); 7] = [
    ("https://slsa.dev/provenance/v1", "/runDetails/metadata/finishedOn"),
    ("https://slsa.dev/provenance/v0.", "/metadata/buildFinishedOn"),
    ("https://cosign.sigstore.dev/attestation/vuln/v1", "/metadata/scanFinishedOn"),
    ("https://cosign.sigstore.dev/attestation/v1", "/Timestamp"),
    ("https://spdx.dev/Document", "/creationInfo/created"),
    ("https://cyclonedx.org/bom", "/metadata/timestamp"),
    ("https://openvex.dev/ns", "/timestamp"),
];

/// Whether an attestation is no older than it may be.
pub(super) fn young(
    kind: &str,
    predicate: &Value,
    proven: &[Timestamp],
    (most, now): (SignedDuration, Timestamp),
) -> Result<(), Miss> {
    let time = match proven.iter().min() {
        Some(time) => *time,
        None => own(kind, predicate)?,
    };
    if time > now {
        return Err(expired(format!("made at {time}, which lies in the future")));
    }
    let age = now.duration_since(time);
    if age > most {
        return Err(expired(format!(
            "made at {time}, {}s ago; at most {}s are allowed",
            age.as_secs(),
            most.as_secs()
        )));
    }
    Ok(())
}

fn own(kind: &str, predicate: &Value) -> Result<Timestamp, Miss> {
    let Some((_, way)) = OWN_TIMES.iter().find(|(begin, _)| kind.starts_with(begin)) else {
        return Err(expired(format!("no time of signing is proven, and predicates of type {kind} have no known one")));
    };
    let missing = || expired(format!("no time of signing is proven, and the predicate has none at `{way}`"));
    let written = predicate.pointer(way).and_then(Value::as_str).ok_or_else(missing)?;
    let usable = written.parse().ok().filter(|_| written.len() <= 64);
    usable.ok_or_else(|| expired(format!("the predicate's time {} is none", shown(written))))
}

fn expired(message: String) -> Miss {
    Miss { check: Check::Age, reason: Reason::AttestationExpired, message }
}
