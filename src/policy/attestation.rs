//! A demand for an attestation, as `serde_yaml` builds it.

pub(super) mod age;
pub(super) mod helpers;

use std::num::NonZeroUsize;

use jiff::Timestamp;
use serde::Deserialize;

use super::keys::Keys;
use super::requirement::{Attestation, Condition, Signatures};
use super::written::{WrittenAuthority, WrittenSignatures};
use super::{exception, predicate};
use crate::condition::Expression;
use crate::fields::Complaint;

/// Most conditions of one entry.
pub(super) const MAX_CONDITIONS: usize = 64;

/// An entry of `attestations`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenAttestation {
    predicate_type: String,
    threshold: Option<NonZeroUsize>,
    authorities: Option<Vec<WrittenAuthority>>,
    max_age: Option<String>,
    #[serde(default)]
    conditions: Vec<WrittenCondition>,
    slsa: Option<helpers::Slsa>,
    vulnerabilities: Option<helpers::Vulnerabilities>,
    sbom: Option<helpers::Sbom>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCondition {
    expression: String,
    message: String,
}

/// Compiles an expression.
///
/// # Errors
/// Why it does not compile.
pub(super) fn expression(text: &str) -> Result<Expression, Complaint> {
    Expression::compile(text).map_err(|error| {
        let at = error.place.map(|(line, column)| format!(" at {line}:{column} of it")).unwrap_or_default();
        let help = "write one expression in CEL that is true or false; see the documentation of policies";
        Complaint::new(format!("the expression does not compile: {}{at}", error.message), help)
    })
}

impl WrittenAttestation {
    /// The demand; without authorities of its own, by those of the rule.
    ///
    /// # Errors
    /// When the first reader would have complained.
    pub(super) fn into_attestation(
        self,
        list: (usize, usize),
        inherited: Option<&Signatures>,
        keys: &Keys,
    ) -> Result<Attestation, Complaint> {
        let predicate_type = predicate::uri(&self.predicate_type)?;
        let conditions = self.conditions(&predicate_type)?;
        let max_age = self.max_age.as_deref().map(age::parse).transpose()?;
        let ends = self.ends()?;
        let by = match (self.authorities, inherited) {
            (Some(authorities), _) => {
                WrittenSignatures { threshold: self.threshold, authorities }.into_signatures(list, keys)?
            }
            (None, Some(inherited)) => {
                let threshold = self.threshold.unwrap_or(NonZeroUsize::MIN);
                Signatures { threshold, authorities: inherited.authorities.clone() }
            }
            (None, None) => return Err(Complaint::new("an attestation has no authorities", "name some")),
        };
        if by.authorities.is_empty() || by.threshold.get() > by.authorities.len() {
            return Err(Complaint::new("the threshold is above the number of authorities", "lower it"));
        }
        Ok(Attestation { predicate_type, by, max_age, conditions, ends })
    }

    /// The conditions as they are written, and those that the short fields mean.
    fn conditions(&self, kind: &str) -> Result<Vec<Condition>, Complaint> {
        let written = self.conditions.iter().map(|one| (one.expression.clone(), one.message.clone()));
        let mut worded: Vec<helpers::Worded> = written.collect();
        worded.extend(self.slsa.iter().flat_map(|slsa| slsa.worded(kind)));
        if let Some(vulnerabilities) = &self.vulnerabilities {
            worded.extend(vulnerabilities.worded()?);
        }
        worded.extend(self.sbom.iter().flat_map(helpers::Sbom::worded));
        let condition = |(text, message): helpers::Worded| Ok(Condition { expression: expression(&text)?, message });
        worded.into_iter().map(condition).collect()
    }

    /// The days on which something that is allowed no longer is.
    fn ends(&self) -> Result<Vec<Timestamp>, Complaint> {
        let allowed = self.vulnerabilities.iter().flat_map(|vulnerabilities| &vulnerabilities.allow);
        allowed.map(|allowed| exception::day(&allowed.expires)).collect()
    }
}
