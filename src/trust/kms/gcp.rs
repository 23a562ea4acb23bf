//! Google Cloud KMS: `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V`, as cosign writes it
//! (`…/versions/V` too). The version must be named: what counts does not change behind the policy's back.
//!
//! Written after <https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions/getPublicKey>
//! and <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::pkcs8::der::Document;
use serde::Deserialize;
use serde_json::json;

use super::super::web::Reach;
use super::{GcpOptions, address, ask, is_plain, secret};

/// What a token is asked for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
/// How long a token is asked for, in seconds.
const LIFE: i64 = 600;

#[derive(Deserialize)]
struct Answer {
    pem: String,
    name: String,
}

#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

pub(super) async fn key(reference: &str, options: &GcpOptions, reach: &Reach) -> Result<Vec<u8>, String> {
    let name = name(reference)?;
    let token = token(options, reach).await?;
    let (service, naming) = address(options.endpoint.as_ref(), || "https://cloudkms.googleapis.com".to_owned());
    let request = reach.client(naming)?.get(format!("{service}/v1/{name}/publicKey")).bearer_auth(token);
    let answer: Answer = ask("Cloud KMS", request).await?;
    if answer.name != name {
        return Err(format!("Cloud KMS answered with another key, `{}`", answer.name.escape_debug()));
    }
    Ok(answer.pem.into_bytes())
}

/// The resource's name.
fn name(reference: &str) -> Result<String, String> {
    let parts: Vec<&str> = reference.split('/').collect();
    let help = "a reference is written `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V`";
    let ["projects", project, "locations", location, "keyRings", ring, "cryptoKeys", key, versions, version] =
        parts.as_slice()
    else {
        return Err(help.to_owned());
    };
    let all = [project, location, ring, key, version];
    if !matches!(*versions, "cryptoKeyVersions" | "versions") || !all.iter().all(|part| is_plain(part)) {
        return Err(help.to_owned());
    }
    Ok(format!("projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{version}"))
}

async fn token(options: &GcpOptions, reach: &Reach) -> Result<String, String> {
    match (&options.token_file, &options.credentials_file) {
        (Some(file), _) => secret(file),
        (None, Some(file)) => {
            let broken = |error| format!("`{}` is no key of a service account: {error}", file.display());
            let account: Account = serde_json::from_str(&secret(file)?).map_err(|error| broken(error.to_string()))?;
            let own = || "https://oauth2.googleapis.com/token".to_owned();
            let (url, naming) = address(options.token_endpoint.as_ref(), own);
            let assertion = assertion(&account, &url, now()).map_err(broken)?;
            let grant = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(grant).finish();
            let form = "application/x-www-form-urlencoded";
            let request = reach.client(naming)?.post(url).header("content-type", form).body(body);
            let token: Token = ask("Google's token service", request).await?;
            Ok(token.access_token)
        }
        (None, None) => Err("neither `kms.gcp.tokenFile` nor `kms.gcp.credentialsFile` is set".to_owned()),
    }
}

/// A JSON web token (RFC 7523) by which the account asks for an access token.
fn assertion(account: &Account, audience: &str, now: i64) -> Result<String, String> {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "RS256", "typ": "JWT", "kid": account.private_key_id}));
    let end = now.saturating_add(LIFE);
    let email = &account.client_email;
    let claims = part(json!({"iss": email, "scope": SCOPE, "aud": audience, "iat": now, "exp": end}));
    let message = format!("{header}.{claims}");
    let (_, der) = Document::from_pem(&account.private_key).map_err(|_| "its key is no PEM".to_owned())?;
    let pair = RsaKeyPair::from_pkcs8(der.as_bytes()).map_err(|_| "its key is no RSA key".to_owned())?;
    let mut signature = vec![0; pair.public_modulus_len()];
    let signed = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature);
    signed.map_err(|_| "its key cannot sign".to_owned())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[expect(clippy::disallowed_methods, reason = "a token is asked for now")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_one_version() {
        let whole = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
        assert_eq!(name(whole).unwrap(), whole);
        assert_eq!(name(&whole.replace("cryptoKeyVersions", "versions")).unwrap(), whole);
        let others = [
            "",
            "projects/p",
            "projects/p/locations/global/keyRings/r/cryptoKeys/k",
            "projects/../locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
            "projects/p/locations/global/keyRings/r/cryptoKeys/k?x/cryptoKeyVersions/1",
        ];
        for bad in others {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
