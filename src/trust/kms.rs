//! Public keys that a key management service holds, by the references that cosign knows: `awskms://`, `gcpkms://`,
//! `azurekms://`, `hashivault://`. Only public keys are asked for; each is kept for a while.
//!
//! A reference never says where credentials go: a host in it counts only where the configuration or the service itself
//! names that host.

mod aws;
mod azure;
mod gcp;
mod vault;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::file;
use super::web::{Naming, Reach, chain};

/// Longest answer of a service, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// Time for one key, with all that it takes.
const FETCH: Duration = Duration::from_secs(30);

/// How key services are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KmsOptions {
    /// How long a key is used before it is asked for again.
    pub interval: Duration,
    /// Amazon's.
    pub aws: AwsOptions,
    /// Google's.
    pub gcp: GcpOptions,
    /// Microsoft's.
    pub azure: AzureOptions,
    /// Vault, and what speaks as it does.
    pub vault: VaultOptions,
}

/// How AWS KMS is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsOptions {
    /// Where, in place of the region's own endpoint.
    pub endpoint: Option<String>,
    /// The region of references that name none.
    pub region: Option<String>,
    /// A file with credentials as the `aws` tool keeps them.
    pub credentials_file: Option<PathBuf>,
    /// The profile in it.
    pub profile: Option<String>,
    /// The role that a web identity takes on.
    pub role_arn: Option<String>,
    /// The file with that identity's token.
    pub web_identity_token_file: Option<PathBuf>,
    /// Where roles are taken on, in place of the region's own endpoint.
    pub sts_endpoint: Option<String>,
}

/// How Google Cloud KMS is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcpOptions {
    /// Where, in place of the public endpoint.
    pub endpoint: Option<String>,
    /// A file with an access token.
    pub token_file: Option<PathBuf>,
    /// A file with the key of a service account.
    pub credentials_file: Option<PathBuf>,
    /// Where tokens are given, in place of the public endpoint.
    pub token_endpoint: Option<String>,
}

/// How Azure Key Vault is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AzureOptions {
    /// Where, in place of the vault that a reference names.
    pub endpoint: Option<String>,
    /// A file with an access token.
    pub token_file: Option<PathBuf>,
    /// The tenant of the application.
    pub tenant_id: Option<String>,
    /// The application.
    pub client_id: Option<String>,
    /// The file with its secret.
    pub client_secret_file: Option<PathBuf>,
    /// The file with a token that vouches for it.
    pub federated_token_file: Option<PathBuf>,
    /// Where tokens are given, in place of the public endpoint.
    pub token_endpoint: Option<String>,
}

/// How Vault is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VaultOptions {
    /// Where.
    pub address: Option<String>,
    /// The file with the token.
    pub token_file: Option<PathBuf>,
    /// The namespace.
    pub namespace: Option<String>,
    /// Where the transit engine is mounted.
    pub mount: Option<String>,
}

/// The services, and the keys that they gave.
pub struct Kms {
    options: KmsOptions,
    reach: Reach,
    kept: Mutex<BTreeMap<String, (Instant, Vec<u8>)>>,
}

impl Kms {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(options: KmsOptions, reach: Reach) -> Self {
        Self { options, reach, kept: Mutex::default() }
    }

    /// The public key of a reference, in PEM.
    ///
    /// # Errors
    /// Why it could not be had. No secret is in the message.
    pub(super) async fn key(&self, reference: &str) -> Result<Vec<u8>, String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(reference).cloned();
        if let Some((_, key)) = kept.filter(|(since, _)| since.elapsed() < self.options.interval) {
            return Ok(key);
        }
        let late = |_| format!("the service took more than {} s", FETCH.as_secs());
        let key = tokio::time::timeout(FETCH, self.ask(reference)).await.map_err(late)??;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(reference.to_owned(), (Instant::now(), key.clone()));
        Ok(key)
    }

    async fn ask(&self, reference: &str) -> Result<Vec<u8>, String> {
        let KmsOptions { aws, gcp, azure, vault, interval: _ } = &self.options;
        match reference.split_once("://") {
            Some(("awskms", rest)) => aws::key(rest, aws, &self.reach).await,
            Some(("gcpkms", rest)) => gcp::key(rest, gcp, &self.reach).await,
            Some(("azurekms", rest)) => azure::key(rest, azure, &self.reach).await,
            Some(("hashivault", rest)) => vault::key(rest, vault, &self.reach).await,
            _ => Err("there is no such key service".to_owned()),
        }
    }
}

/// Whether a name is one path segment of the characters that services use.
fn is_plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '%' | '~');
    !name.is_empty() && name.len() <= 256 && name.chars().all(fits) && name != "." && name != ".."
}

/// The address of a service: the configured one, which is named, or else its own.
fn address(configured: Option<&String>, own: impl FnOnce() -> String) -> (String, Naming) {
    match configured {
        Some(url) => (url.trim_end_matches('/').to_owned(), Naming::Literal),
        None => (own(), Naming::Derived),
    }
}

/// A secret from a file, without the line's end.
fn secret(path: &std::path::Path) -> Result<String, String> {
    let told = |why: String| format!("failed to read `{}`: {why}", path.display());
    let bytes = file::secret(path).map_err(told)?;
    let text = String::from_utf8(bytes).map_err(|_| told("it is no text".to_owned()))?;
    Ok(text.trim().to_owned())
}

/// Sends a request and reads the answer, bounded; an answer that is no success is told by its status alone.
async fn send(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), String> {
    let mut answer = request.send().await.map_err(|error| chain(&error.without_url()))?;
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| chain(&error.without_url()))? {
        if bytes.len().saturating_add(chunk.len()) > MAX_ANSWER {
            return Err(format!("the answer has more than {MAX_ANSWER} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((status, bytes))
}

/// Sends a request and reads a successful answer.
async fn ask<T: DeserializeOwned>(service: &str, request: RequestBuilder) -> Result<T, String> {
    let (status, bytes) = send(request).await.map_err(|why| format!("failed to ask {service}: {why}"))?;
    if status != StatusCode::OK {
        return Err(format!("{service} answered {status}"));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("the answer of {service} cannot be read: {error}"))
}

/// An SPKI in PEM.
fn pem(spki: &[u8]) -> Vec<u8> {
    let mut text = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    let encoded = STANDARD.encode(spki);
    let mut rest = encoded.as_str();
    while let Some((line, more)) = rest.split_at_checked(64) {
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str("-----END PUBLIC KEY-----\n");
    text.into_bytes()
}

/// An element in DER: its tag, its length, its content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let bytes = length.to_be_bytes();
    let significant: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let head = match (u8::try_from(length), u8::try_from(significant.len())) {
        (Ok(short @ ..=0x7f), _) => vec![tag, short],
        (_, Ok(count)) => [vec![tag, 0x80 | count], significant].concat(),
        (_, Err(_)) => vec![tag],
    };
    [head.as_slice(), content].concat()
}

/// A key in its SPKI: the algorithm's identifier in DER, and the bits.
fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = element(3, &[&[0], key].concat());
    element(0x30, &[algorithm, &bits].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::PublicKey;

    #[test]
    fn a_key_survives_its_way_through_pem() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ci.pub");
        let key = PublicKey::from_pem(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(PublicKey::from_pem(&pem(key.spki())).unwrap(), key);
    }

    #[test]
    fn lengths_are_written_as_der_wants_them() {
        for (length, head) in
            [(0, vec![4, 0]), (127, vec![4, 127]), (128, vec![4, 0x81, 128]), (256, vec![4, 0x82, 1, 0])]
        {
            assert_eq!(element(4, &vec![0; length])[..head.len()], head, "{length}");
        }
    }

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["key", "a-b_c.d", "0"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "..", ".", "a/b", "a?b", "a#b", "a b", "a\nb"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
