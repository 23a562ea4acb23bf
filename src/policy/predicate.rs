//! Predicate types: a URI, or one of the short names that cosign gives to some.

use crate::fields::{Complaint, one_of};

/// Longest predicate type, in bytes.
const MAX_TYPE: usize = 1024;

/// cosign's short names and what its versions 2 and 3 write for them.
const SHORT: [(&str, &str); 10] = [
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("link", "https://in-toto.io/Link/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
];

/// The URI that is meant.
///
/// # Errors
/// When it is neither a short name nor a URI.
pub(super) fn uri(text: &str) -> Result<String, Complaint> {
    if let Some((_, uri)) = SHORT.iter().find(|(name, _)| *name == text) {
        return Ok((*uri).to_owned());
    }
    let names: Vec<&str> = SHORT.iter().map(|(name, _)| *name).collect();
    let help = format!("write the URI whole, as statements have it, or one of {}", one_of(&names));
    let plain = text.len() <= MAX_TYPE && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if plain && url::Url::parse(text).is_ok() {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(80).collect();
    Err(Complaint::new(format!("`{}` is no predicate type", shown.escape_debug()), help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_a_short_name_or_a_whole_uri() {
        let table = [
            ("vuln", Some("https://cosign.sigstore.dev/attestation/vuln/v1")),
            ("spdxjson", Some("https://spdx.dev/Document")),
            ("https://slsa.dev/provenance/v1", Some("https://slsa.dev/provenance/v1")),
            ("https://slsa.dev/provenance/v1/", Some("https://slsa.dev/provenance/v1/")),
            ("urn:acme:review", Some("urn:acme:review")),
            ("Vuln", None),
            ("slsa", None),
            ("", None),
            ("slsa.dev/provenance/v1", None),
            ("https://slsa.dev/ provenance", None),
        ];
        for (text, expected) in table {
            assert_eq!(uri(text).ok().as_deref(), expected, "{text}");
        }
    }
}
