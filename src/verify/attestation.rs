//! What is asked of a signature before who made it: that it is one of the image, or an attestation of the wanted type.
//!
//! A signature is never an attestation and an attestation never a signature, but where a rule asks for cosign's sign
//! predicate by its own URI.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use super::attempt::About;
use super::candidate::{Claim, MAX_SIGNED, Miss, Reading, Signed, escaped, escaped_to, shown, too_large};
use super::statement::{self, Purpose};
use super::verdict::Check;
use crate::condition::{Meter, Scope};
use crate::policy::requirement::{Attestation, Condition};
use crate::reason::Reason;

/// How much of a condition's own message a report repeats, in characters.
const SAID: usize = 1024;

/// The signature, if it is one of what is wanted, with what it is about.
pub(super) fn wanted<'r>(
    reading: &'r Reading,
    attestation: Option<&Attestation>,
) -> Result<(&'r Signed, &'r Claim), Miss> {
    let signed = match (&reading.signed, attestation) {
        (Ok(signed), _) => signed,
        (Err(miss), None) => return Err(miss.clone()),
        (Err(miss), Some(_)) => return Err(as_attestation(miss)),
    };
    match attestation {
        None => is_signature(signed, reading)?,
        Some(attestation) => is_of_type(signed, attestation)?,
    }
    Ok((signed, signed.claim.as_ref().map_err(Miss::clone)?))
}

/// What is no signature is no attestation either.
fn as_attestation(miss: &Miss) -> Miss {
    if miss.reason == Reason::NoSignature { Miss::no_attestation(miss.message.clone()) } else { miss.clone() }
}

fn is_signature(signed: &Signed, reading: &Reading) -> Result<(), Miss> {
    let Purpose::Statement { kind, predicate_type } = &signed.purpose else { return Ok(()) };
    if predicate_type != statement::SIGN {
        let (found, expected) = (shown(predicate_type), statement::SIGN);
        return Err(Miss::no_signature(format!(
            "an attestation of type {found} is no signature; expected {expected:?}"
        )));
    }
    if kind != statement::V1 {
        let (found, expected) = (shown(kind), statement::V1);
        return Err(Miss::no_signature(format!("its statement is of type {found}; expected {expected:?}")));
    }
    if signed.message.len() > MAX_SIGNED {
        return Err(too_large(signed.message.len(), reading.kind));
    }
    Ok(())
}

fn is_of_type(signed: &Signed, attestation: &Attestation) -> Result<(), Miss> {
    let expected = &attestation.predicate_type;
    match &signed.purpose {
        Purpose::Image => {
            Err(Miss::no_attestation(format!("a signature is no attestation; expected one of type {expected:?}")))
        }
        Purpose::Statement { predicate_type, .. } if predicate_type != expected => {
            let found = shown(predicate_type);
            Err(Miss::no_attestation(format!("an attestation of type {found}; expected {expected:?}")))
        }
        Purpose::Statement { kind, .. } if kind != statement::V1 && kind != statement::V0_1 => {
            let (found, one, other) = (shown(kind), statement::V1, statement::V0_1);
            Err(Miss::no_attestation(format!("its statement is of type {found}; expected {one:?} or {other:?}")))
        }
        Purpose::Statement { .. } => Ok(()),
    }
}

/// What an attestation says, once it is proved who says it.
pub(super) fn fulfils(
    reading: &Reading,
    signed: &Signed,
    (attestation, times): (&Attestation, &[Timestamp]),
    about: &About<'_>,
) -> Result<(), Miss> {
    let statement = reading.statement(signed)?;
    // The reader of headings and the reader of everything saw the same, or nothing counts.
    let seen = statement.get("predicateType").and_then(Value::as_str);
    if seen != Some(&attestation.predicate_type) {
        let message = "two readers of the statement see different types".to_owned();
        return Err(Miss { check: Check::Form, reason: Reason::Malformed, message });
    }
    let predicate = statement.get("predicate").unwrap_or(&Value::Null);
    if let Some(most) = attestation.max_age {
        age::young(&attestation.predicate_type, predicate, times, (most, about.now))?;
    }
    let image = image(about);
    let scope = Scope { predicate, statement, image: &image, now: about.now };
    hold(&attestation.conditions, &scope)
}

/// The image as conditions see it.
fn image(about: &About<'_>) -> Value {
    let About { digest, pinned, repository, .. } = about;
    json!({
        "name": repository.to_string(),
        "registry": repository.host().to_string(),
        "repository": repository.path(),
        "digest": digest.to_string(),
        "pinned": pinned.to_string(),
    })
}

/// All conditions hold; what they cost is paid out of one purse.
fn hold(conditions: &[Condition], scope: &Scope<'_>) -> Result<(), Miss> {
    let mut meter = Meter::full();
    for Condition { expression, message } in conditions {
        let why = match expression.holds(scope, &mut meter) {
            Ok(true) => continue,
            Ok(false) => "it is not true".to_owned(),
            Err(failure) => failure.to_string(),
        };
        let (said, text, why) = (escaped_to(message, SAID), escaped(expression.text()), escaped(&why));
        let message = format!("{said} (`{text}`: {why})");
        return Err(Miss { check: Check::Condition, reason: Reason::ConditionFailed, message });
    }
    Ok(())
}
