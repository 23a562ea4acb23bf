//! Azure Key Vault: `azurekms://VAULT.vault.azure.net/KEY[/VERSION]`. Without a version, the newest.
//!
//! Written after <https://learn.microsoft.com/en-us/rest/api/keyvault/keys/get-key/get-key> and
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::super::web::Reach;
use super::{AzureOptions, address, ask, element, is_plain, pem, secret, spki};

/// The version of the service's interface.
const VERSION: &str = "7.4";
/// What the names of vaults end with: where tokens for vaults may go.
const VAULTS: [&str; 5] = [
    ".vault.azure.net",
    ".managedhsm.azure.net",
    ".vault.azure.cn",
    ".vault.usgovcloudapi.net",
    ".vault.microsoftazure.de",
];

#[derive(Deserialize)]
struct Answer {
    key: Jwk,
}

/// A JSON web key (RFC 7517), as far as it is public.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

pub(super) async fn key(reference: &str, options: &AzureOptions, reach: &Reach) -> Result<Vec<u8>, String> {
    let (vault, path) = parts(reference, options)?;
    let token = token(options, &vault, reach).await?;
    let (service, naming) = address(options.endpoint.as_ref(), || format!("https://{vault}"));
    let url = format!("{service}/keys/{path}?api-version={VERSION}");
    let answer: Answer = ask("Key Vault", reach.client(naming)?.get(url).bearer_auth(token)).await?;
    Ok(pem(&public(&answer.key)?))
}

/// The vault's host and the key's path in it.
fn parts(reference: &str, options: &AzureOptions) -> Result<(String, String), String> {
    let help = "a reference is written `azurekms://VAULT.vault.azure.net/KEY` or `…/KEY/VERSION`";
    let parts: Vec<&str> = reference.split('/').collect();
    let (vault, names) = parts.split_first().ok_or(help)?;
    if !matches!(names.len(), 1 | 2) || !names.iter().all(|name| is_plain(name)) || !is_plain(vault) {
        return Err(help.to_owned());
    }
    if options.endpoint.is_none() && !VAULTS.iter().any(|end| vault.ends_with(end)) {
        return Err(format!(
            "`{vault}` is no host of Key Vault, so that no token goes there; set `kms.azure.endpoint`"
        ));
    }
    Ok(((*vault).to_owned(), names.join("/")))
}

async fn token(options: &AzureOptions, vault: &str, reach: &Reach) -> Result<String, String> {
    let AzureOptions { token_file, tenant_id, client_id, client_secret_file, federated_token_file, .. } = options;
    if let Some(file) = token_file {
        return secret(file);
    }
    let (Some(tenant), Some(client)) = (tenant_id, client_id) else {
        return Err("neither `kms.azure.tokenFile` nor `kms.azure.tenantId` and `clientId` are set".to_owned());
    };
    let proof = match (client_secret_file, federated_token_file) {
        (Some(file), _) => vec![("client_secret", secret(file)?)],
        (None, Some(file)) => vec![
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ("client_assertion", secret(file)?),
        ],
        (None, None) => {
            return Err("`kms.azure` needs `clientSecretFile` or `federatedTokenFile`".to_owned());
        }
    };
    let own = || format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token");
    let (url, naming) = address(options.token_endpoint.as_ref(), own);
    let domain = vault.split_once('.').map_or("vault.azure.net", |(_, domain)| domain);
    let body = grant(client, &format!("https://{domain}/.default"), &proof);
    let request =
        reach.client(naming)?.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let token: Token = ask("Microsoft's token service", request).await?;
    Ok(token.access_token)
}

/// What a token is asked for with.
fn grant(client: &str, scope: &str, proof: &[(&str, String)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    form.append_pair("client_id", client).append_pair("scope", scope);
    form.extend_pairs(proof).finish()
}

/// The SPKI of a JSON web key (RFC 7518, section 6; RFC 5480, section 2; RFC 3279, section 2.3.1).
fn public(key: &Jwk) -> Result<Vec<u8>, String> {
    let part = |text: &Option<String>| {
        let text = text.as_deref().ok_or("the key lacks a part")?;
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| "a part of the key is no base64".to_owned())
    };
    match (key.kty.as_str(), key.crv.as_deref()) {
        ("EC" | "EC-HSM", Some(curve)) => {
            let (oid, length): (&[u8], usize) = match curve {
                "P-256" => (&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], 32),
                "P-384" => (&[6, 5, 0x2b, 0x81, 4, 0, 0x22], 48),
                "P-521" => (&[6, 5, 0x2b, 0x81, 4, 0, 0x23], 66),
                other => return Err(format!("the curve `{}` is not supported", other.escape_debug())),
            };
            let (x, y) = (part(&key.x)?, part(&key.y)?);
            if x.len() > length || y.len() > length {
                return Err("the key's point is too long".to_owned());
            }
            let padded = |number: &[u8]| [vec![0; length.saturating_sub(number.len())], number.to_vec()].concat();
            let point = [vec![4], padded(&x), padded(&y)].concat();
            let kind = [&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], oid].concat();
            Ok(spki(&element(0x30, &kind), &point))
        }
        ("RSA" | "RSA-HSM", _) => {
            let number = |bytes: Vec<u8>| {
                let number: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
                let sign: &[u8] = if number.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
                element(2, &[sign, &number].concat())
            };
            let key = element(0x30, &[number(part(&key.n)?), number(part(&key.e)?)].concat());
            let kind = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
            Ok(spki(&element(0x30, &kind), &key))
        }
        (other, _) => Err(format!("a key of type `{}` is not supported", other.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use p256::elliptic_curve::sec1::ToSec1Point as _;
    use p256::pkcs8::DecodePublicKey as _;
    use serde_json::json;

    use super::*;
    use crate::signer::{Algorithm, PublicKey};

    fn read(key: serde_json::Value) -> Result<PublicKey, String> {
        let key = serde_json::from_value(key).unwrap();
        PublicKey::from_pem(&pem(&public(&key)?)).map_err(|error| error.to_string())
    }

    #[test]
    fn web_keys_become_the_keys_that_they_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/signatures/sig-cosign2-p256/key.pub");
        let known = PublicKey::from_pem(&std::fs::read(path).unwrap()).unwrap();
        let point = p256::PublicKey::from_public_key_der(known.spki()).unwrap().to_sec1_point(false);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (part(&point.as_bytes()[1..33]), part(&point.as_bytes()[33..]));
        // The sample answer of the page above has this form.
        let key = |kty: &str, crv: &str| json!({"kid": "https://v/keys/k/1", "kty": kty, "key_ops": ["verify"], "crv": crv, "x": x, "y": y});
        assert_eq!(read(key("EC", "P-256")), Ok(known.clone()));
        assert_eq!(read(key("EC-HSM", "P-256")), Ok(known));
        let rsa = json!({"kty": "RSA", "n": part(&[&[0x80], [0xff; 255].as_slice()].concat()), "e": "AQAB"});
        assert_eq!(read(rsa).unwrap().algorithm(), Algorithm::Rsa);
        for bad in [key("EC", "P-256K"), key("EC", "P-384"), key("oct", "P-256"), json!({"kty": "RSA", "e": "AQAB"})] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_go_to_vaults_alone() {
        let none = AzureOptions::default();
        let set = AzureOptions { endpoint: Some("https://vault.example.com".to_owned()), ..AzureOptions::default() };
        let good = "acme.vault.azure.net/release/0123";
        assert_eq!(parts(good, &none), Ok(("acme.vault.azure.net".to_owned(), "release/0123".to_owned())));
        for bad in [
            "evil.example.com/key",
            "vault.azure.net.evil.example.com/key",
            "acme.vault.azure.net",
            "acme.vault.azure.net/a/b/c",
            "acme.vault.azure.net/../x",
            "",
        ] {
            assert!(parts(bad, &none).is_err(), "{bad}");
        }
        assert!(parts("acme/key", &set).is_ok());
    }
}
