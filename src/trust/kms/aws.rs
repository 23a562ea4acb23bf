//! AWS KMS: `awskms:///KEY`, where KEY is a key's ARN, an alias' ARN, `alias/NAME` or a key's number, as cosign writes it.
//!
//! Written after <https://docs.aws.amazon.com/kms/latest/APIReference/API_GetPublicKey.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html> and
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;

use super::super::web::Reach;
use super::{AwsOptions, address, ask, pem, secret};
use crate::image::Digest;

/// What we call ourselves where a role is taken on.
const SESSION: &str = "sealgate";

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "PublicKey")]
    public_key: String,
    #[serde(rename = "KeyUsage")]
    key_usage: String,
}

/// The credentials of a request.
struct Credentials {
    id: String,
    secret: String,
    token: Option<String>,
}

/// What a role is taken on with, as JSON has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    assume_role_with_web_identity_response: Response,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    assume_role_with_web_identity_result: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    credentials: Temporary,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Temporary {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

pub(super) async fn key(reference: &str, options: &AwsOptions, reach: &Reach) -> Result<Vec<u8>, String> {
    let (id, region) = parts(reference, options)?;
    let credentials = credentials(options, &region, reach).await?;
    let (service, naming) = address(options.endpoint.as_ref(), || format!("https://kms.{region}.{}", domain(&region)));
    let url = url::Url::parse(&format!("{service}/")).map_err(|error| format!("`{service}` is no URL: {error}"))?;
    let body = json!({"KeyId": id}).to_string();
    let mut request = reach.client(naming)?.post(url.clone());
    let host = host(&url);
    let headers = [
        ("content-type", "application/x-amz-json-1.1".to_owned()),
        ("host", host),
        ("x-amz-date", date(now())),
        ("x-amz-target", "TrentService.GetPublicKey".to_owned()),
    ];
    let signed = Signed { region: &region, service: "kms", path: url.path(), headers: &headers, body: body.as_bytes() };
    for (name, value) in signed.sign(&credentials) {
        request = request.header(name, value);
    }
    read(&ask("AWS KMS", request.body(body)).await?)
}

fn read(answer: &Answer) -> Result<Vec<u8>, String> {
    if answer.key_usage != "SIGN_VERIFY" {
        return Err(format!("the key is for `{}`, not for signing", answer.key_usage.escape_debug()));
    }
    let der = STANDARD.decode(&answer.public_key).map_err(|error| format!("the key is no base64: {error}"))?;
    Ok(pem(&der))
}

/// The key's name for the service, and its region.
fn parts(reference: &str, options: &AwsOptions) -> Result<(String, String), String> {
    let help =
        "a reference is written `awskms:///KEY`; where a host stands before KEY, it must be that of `kms.aws.endpoint`";
    let (host, id) = reference.split_once('/').ok_or(help)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '/');
    if id.is_empty() || id.len() > 2048 || !id.chars().all(fits) {
        return Err(help.to_owned());
    }
    let endpoint = options.endpoint.as_ref().and_then(|url| url::Url::parse(url).ok());
    if !host.is_empty() && endpoint.is_none_or(|url| self::host(&url) != host) {
        return Err(help.to_owned());
    }
    let named = id.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2));
    let region =
        named.or(options.region.as_deref()).ok_or("the reference names no region, and `kms.aws.region` is not set")?;
    if region.is_empty() || !region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(format!("`{}` is no region", region.escape_debug()));
    }
    Ok((id.to_owned(), region.to_owned()))
}

fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// Host and port as the header has them.
fn host(url: &url::Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

async fn credentials(options: &AwsOptions, region: &str, reach: &Reach) -> Result<Credentials, String> {
    match (&options.credentials_file, &options.role_arn, &options.web_identity_token_file) {
        (Some(file), _, _) => {
            let profile = options.profile.as_deref().unwrap_or("default");
            let none = || format!("`{}` has no credentials for the profile `{profile}`", file.display());
            profiled(&secret(file)?, profile).ok_or_else(none)
        }
        (None, Some(role), Some(file)) => {
            let own = || format!("https://sts.{region}.{}", domain(region));
            let (url, naming) = address(options.sts_endpoint.as_ref(), own);
            let body = assumption(role, &secret(file)?);
            let request = reach.client(naming)?.post(format!("{url}/")).header("accept", "application/json");
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
            let assumed: Assumed = ask("AWS STS", request).await?;
            let Outcome { credentials } =
                assumed.assume_role_with_web_identity_response.assume_role_with_web_identity_result;
            let Temporary { access_key_id: id, secret_access_key: secret, session_token } = credentials;
            Ok(Credentials { id, secret, token: Some(session_token) })
        }
        _ => Err("neither `kms.aws.credentialsFile` nor `roleArn` and `webIdentityTokenFile` are set".to_owned()),
    }
}

/// What a role is taken on with.
fn assumption(role: &str, token: &str) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", "AssumeRoleWithWebIdentity").append_pair("Version", "2011-06-15");
    form.append_pair("RoleArn", role).append_pair("RoleSessionName", SESSION);
    form.append_pair("WebIdentityToken", token).finish()
}

/// The credentials of a profile in a file as the `aws` tool keeps it.
fn profiled(text: &str, profile: &str) -> Option<Credentials> {
    let mut within = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            within = name.trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| within) {
            let value = Some(value.trim().to_owned());
            match name.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Credentials { id: id?, secret: secret?, token })
}

/// A POST without a query, to be signed (Signature Version 4).
struct Signed<'a> {
    region: &'a str,
    service: &'a str,
    path: &'a str,
    /// In lower case, in order; `x-amz-date` is among them.
    headers: &'a [(&'static str, String)],
    body: &'a [u8],
}

impl Signed<'_> {
    /// The headers of the signed request, but for the host, which the connection adds.
    fn sign(&self, credentials: &Credentials) -> Vec<(&'static str, String)> {
        let mut headers = self.headers.to_vec();
        headers.extend(credentials.token.as_ref().map(|token| ("x-amz-security-token", token.clone())));
        headers.sort();
        let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let lines = lines.concat();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let hash = Digest::of(self.body).hex();
        let canonical = format!("POST\n{}\n\n{lines}\n{names}\n{hash}", self.path);
        let at = headers.iter().find(|(name, _)| *name == "x-amz-date").map(|(_, at)| at.clone()).unwrap_or_default();
        let day = at.get(..8).unwrap_or_default().to_owned();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let message = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", Digest::of(canonical.as_bytes()).hex());
        let mut key = format!("AWS4{}", credentials.secret).into_bytes();
        for part in [day.as_str(), self.region, self.service, "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        let signature = hex::encode(mac(&key, message.as_bytes()));
        let credential = format!("{}/{scope}", credentials.id);
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        headers.retain(|(name, _)| *name != "host");
        headers.push(("authorization", authorization));
        headers
    }
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[expect(clippy::disallowed_methods, reason = "a request is signed for now")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `post-vanilla` of the test suite for Signature Version 4 that AWS publishes.
    #[test]
    fn requests_are_signed_as_the_published_vector_says() {
        let headers = [("host", "example.amazonaws.com".to_owned()), ("x-amz-date", "20150830T123600Z".to_owned())];
        let credentials = Credentials {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        };
        let request = Signed { region: "us-east-1", service: "service", path: "/", headers: &headers, body: b"" };
        let signed = request.sign(&credentials);
        let authorization = &signed.iter().find(|(name, _)| *name == "authorization").unwrap().1;
        let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
            SignedHeaders=host;x-amz-date, \
            Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        assert_eq!(authorization, expected);
        assert_eq!(date("2015-08-30T12:36:00Z".parse().unwrap()), "20150830T123600Z");
    }

    #[test]
    fn a_reference_names_a_key_and_no_foreign_host() {
        let arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let region = AwsOptions { region: Some("us-east-2".to_owned()), ..AwsOptions::default() };
        let local = AwsOptions { endpoint: Some("http://127.0.0.1:4566".to_owned()), ..region.clone() };
        let cases = [
            (format!("/{arn}"), AwsOptions::default(), Some("eu-west-1")),
            ("/alias/release".to_owned(), region.clone(), Some("us-east-2")),
            ("/alias/release".to_owned(), AwsOptions::default(), None),
            ("127.0.0.1:4566/alias/release".to_owned(), local, Some("us-east-2")),
            ("evil.example.com/alias/release".to_owned(), region.clone(), None),
            ("/".to_owned(), region.clone(), None),
            ("/a b".to_owned(), region, None),
            ("/arn:aws:kms:e/vil.example.com#:1:key/2".to_owned(), AwsOptions::default(), None),
        ];
        for (reference, options, expected) in cases {
            let found = parts(&reference, &options).ok().map(|(_, region)| region);
            assert_eq!(found.as_deref(), expected, "{reference}");
        }
    }

    #[test]
    fn a_profile_is_found_among_others() {
        let text = "[other]\naws_access_key_id = A\naws_secret_access_key=B\n\n[default]\n# comment\naws_access_key_id=C\naws_secret_access_key = D\naws_session_token = E\n";
        let found = profiled(text, "default").unwrap();
        assert_eq!((found.id.as_str(), found.secret.as_str(), found.token.as_deref()), ("C", "D", Some("E")));
        assert_eq!(profiled(text, "other").unwrap().token, None);
        assert!(profiled(text, "none").is_none() && profiled("", "default").is_none());
    }

    #[test]
    fn only_keys_that_sign_are_taken() {
        let answer = |usage: &str, key: &str| Answer { public_key: key.to_owned(), key_usage: usage.to_owned() };
        assert!(read(&answer("SIGN_VERIFY", "AAAA")).is_ok());
        assert!(read(&answer("ENCRYPT_DECRYPT", "AAAA")).is_err() && read(&answer("SIGN_VERIFY", "!")).is_err());
    }
}
