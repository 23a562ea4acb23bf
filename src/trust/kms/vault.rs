//! `HashiCorp` Vault's transit engine, and what speaks as it does: `hashivault://KEY`. The newest version of the key.
//!
//! Written after <https://developer.hashicorp.com/vault/api-docs/secret/transit#read-key>.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::super::web::{Naming, Reach};
use super::{VaultOptions, ask, is_plain, pem, secret, spki};

/// The algorithm identifier of Ed25519 in DER (RFC 8410, section 3).
const ED25519: [u8; 7] = [0x30, 5, 6, 3, 0x2b, 0x65, 0x70];

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    latest_version: u64,
    keys: BTreeMap<String, Version>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    public_key: String,
}

pub(super) async fn key(name: &str, options: &VaultOptions, reach: &Reach) -> Result<Vec<u8>, String> {
    let VaultOptions { address, token_file, namespace, mount } = options;
    if !is_plain(name) {
        return Err("a reference is written `hashivault://KEY`".to_owned());
    }
    let Some(address) = address else { return Err("`kms.hashivault.address` is not set".to_owned()) };
    let Some(token) = token_file else { return Err("`kms.hashivault.tokenFile` is not set".to_owned()) };
    let mount = mount.as_deref().unwrap_or("transit");
    let url = format!("{}/v1/{mount}/keys/{name}", address.trim_end_matches('/'));
    let mut request = reach.client(Naming::Literal)?.get(url).header("X-Vault-Token", secret(token)?);
    if let Some(namespace) = namespace {
        request = request.header("X-Vault-Namespace", namespace);
    }
    newest(ask("Vault", request).await?)
}

fn newest(Answer { data }: Answer) -> Result<Vec<u8>, String> {
    let Data { latest_version, keys, kind } = data;
    let Some(Version { public_key }) = keys.get(&latest_version.to_string()) else {
        return Err(format!("Vault's answer lacks version {latest_version} of the key"));
    };
    if public_key.is_empty() {
        return Err(format!("a key of type `{}` has no public half", kind.escape_debug()));
    }
    if kind == "ed25519" {
        let raw = STANDARD.decode(public_key).map_err(|error| format!("the key is no base64: {error}"))?;
        return Ok(pem(&spki(&ED25519, &raw)));
    }
    Ok(public_key.clone().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::{Algorithm, PublicKey};

    fn read(json: &str) -> Result<Vec<u8>, String> {
        newest(serde_json::from_str(json).unwrap())
    }

    /// The sample answer of the page above, with a key that signs.
    #[test]
    fn the_newest_version_counts() {
        let ed25519 = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let json = |latest: u64, key: &str, kind: &str| {
            let old = r#"{"public_key": "old"}"#;
            let key = serde_json::json!({"creation_time": "2026-01-01T00:00:00Z", "name": kind, "public_key": key});
            format!(
                r#"{{"data": {{"type": "{kind}", "deletion_allowed": false, "exportable": false, "keys": {{"1": {old}, "2": {key}}}, "latest_version": {latest}, "name": "foo", "supports_signing": true}}}}"#
            )
        };
        let key = PublicKey::from_pem(&read(&json(2, ed25519, "ed25519")).unwrap()).unwrap();
        assert_eq!(key.algorithm(), Algorithm::Ed25519);
        assert_eq!(key.spki()[12..], STANDARD.decode(ed25519).unwrap());
        assert_eq!(read(&json(2, "PEM", "ecdsa-p256")).unwrap(), b"PEM");
        for bad in [json(3, "PEM", "ecdsa-p256"), json(2, "", "aes256-gcm96"), json(2, "!", "ed25519")] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
