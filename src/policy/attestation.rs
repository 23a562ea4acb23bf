//! A demand for an attestation, as `serde_yaml` builds it.

use std::num::NonZeroUsize;

use serde::Deserialize;

use super::keys::Keys;
use super::predicate;
use super::requirement::{Attestation, Signatures};
use super::written::{WrittenAuthority, WrittenSignatures};
use crate::fields::Complaint;

/// An entry of `attestations`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenAttestation {
    predicate_type: String,
    threshold: Option<NonZeroUsize>,
    authorities: Option<Vec<WrittenAuthority>>,
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
        let Self { predicate_type, threshold, authorities } = self;
        let by = match (authorities, inherited) {
            (Some(authorities), _) => WrittenSignatures { threshold, authorities }.into_signatures(list, keys)?,
            (None, Some(inherited)) => {
                let threshold = threshold.unwrap_or(NonZeroUsize::MIN);
                Signatures { threshold, authorities: inherited.authorities.clone() }
            }
            (None, None) => return Err(Complaint::new("an attestation has no authorities", "name some")),
        };
        if by.authorities.is_empty() || by.threshold.get() > by.authorities.len() {
            return Err(Complaint::new("the threshold is above the number of authorities", "lower it"));
        }
        Ok(Attestation { predicate_type: predicate::uri(&predicate_type)?, by })
    }
}
