//! in-toto statements: what a signature is for, what it is about, and what it says.
//!
//! The type and the subjects are read first, for they decide whether anybody wants the rest; the predicate is read only
//! behind the signature, from the very bytes that were signed (DSSE-03).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::candidate::{Annotation, Claim, Miss, Subject, escaped, shown};
use super::json::{self, Members};

/// The statement's type, as `cosign sign` writes it.
pub(super) const V1: &str = "https://in-toto.io/Statement/v1";
/// The statement's type, as `cosign attest` writes it.
pub(super) const V0_1: &str = "https://in-toto.io/Statement/v0.1";
/// The predicate type that makes a statement a signature.
pub(super) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// Most subjects of a statement, and digests of a subject (DSSE-07).
const MAX_SUBJECTS: usize = 1024;
const MAX_DIGESTS: usize = 32;

/// What was signed, by the format and the statement's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// cosign's simple signing: the image.
    Image,
    /// A statement.
    Statement {
        /// The statement's own type.
        kind: String,
        /// The type of what it says.
        predicate_type: String,
    },
}

/// What a statement says that it is; the rest is read only once this fits.
#[derive(Deserialize)]
struct Heading {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    _kind: IgnoredAny,
    #[serde(rename = "predicateType")]
    _predicate_type: IgnoredAny,
    #[serde(rename = "predicate")]
    _predicate: Option<IgnoredAny>,
    subject: Vec<StatementSubject>,
}

/// A resource descriptor of in-toto; what it says beside digest and annotations is bound to nothing.
#[derive(Deserialize)]
struct StatementSubject {
    #[serde(default)]
    digest: Members<String>,
    #[serde(default)]
    annotations: Members<Annotation>,
}

/// What a statement is for, and what it is about; a broken claim matters only to those who want its purpose.
///
/// # Errors
/// When it does not even say what it is.
pub(super) fn read(payload: &[u8]) -> Result<(Purpose, Result<Claim, Miss>), Miss> {
    let Heading { kind, predicate_type } = json::read(payload).map_err(|error| broken(&error))?;
    let claim = json::read(payload)
        .map_err(|error| broken(&error))
        .and_then(|statement: Statement| Ok(Claim { subjects: subjects(statement.subject)?, reference: None }));
    Ok((Purpose::Statement { kind, predicate_type }, claim))
}

/// The whole statement as data, with its predicate.
///
/// # Errors
/// When two readers could disagree on it, or it is larger than what is worth reading.
pub(super) fn whole(payload: &[u8]) -> Result<Value, Miss> {
    json::value(payload).map_err(|error| broken(&error))
}

fn broken(error: &str) -> Miss {
    Miss::malformed(format!("the statement cannot be read: {}", escaped(error)))
}

fn subjects(described: Vec<StatementSubject>) -> Result<Vec<Subject>, Miss> {
    if described.len() > MAX_SUBJECTS {
        return Err(Miss::malformed(format!("a statement has at most {MAX_SUBJECTS} subjects")));
    }
    let mut subjects = Vec::new();
    for StatementSubject { digest, annotations } in described {
        if digest.len() > MAX_DIGESTS {
            return Err(Miss::malformed(format!("a subject has at most {MAX_DIGESTS} digests")));
        }
        // A subject that is named by another kind of digest is about something else than a manifest.
        let Some(hex) = digest.get("sha256") else { continue };
        let digest = format!("sha256:{hex}")
            .parse()
            .map_err(|_| Miss::malformed(format!("a subject's digest is {}, which is no SHA-256", shown(hex))))?;
        subjects.push(Subject { digest, annotations: annotations.into_map() });
    }
    if subjects.is_empty() {
        return Err(Miss::malformed("the statement is about nothing that has a SHA-256 digest"));
    }
    Ok(subjects)
}
