//! Push events: which services send them, and how each signs. Only signatures by HMAC with SHA-256 count.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Shortest secret in bytes: 128 bits.
const MIN_SECRET: usize = 16;
/// Longest secret in bytes.
const MAX_SECRET: usize = 4096;
/// How GitLab's signing tokens begin.
const TOKEN: &str = "whsec_";
/// How far, in seconds, the time of a signed request may be from ours.
const TOLERANCE: i64 = 300;
/// Signatures that are looked at in one header.
const MAX_SIGNATURES: usize = 8;

/// Who sends push events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// `X-Hub-Signature-256: sha256=HEX`.
    Github,
    /// `webhook-signature: v1,BASE64` over identifier, time and body (a signing token, not the older secret token).
    Gitlab,
    /// `X-Gitea-Signature: HEX`.
    Gitea,
    /// `X-Forgejo-Signature: HEX`.
    Forgejo,
    /// `X-Hub-Signature: sha256=HEX`.
    Bitbucket,
    /// `X-Signature: sha256=HEX`.
    Generic,
}

/// What a service signs with.
pub struct Secret(hmac::Key);

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 6] = [Self::Github, Self::Gitlab, Self::Gitea, Self::Forgejo, Self::Bitbucket, Self::Generic];
    /// Their names, in the same order.
    pub const NAMES: [&'static str; 6] = ["github", "gitlab", "gitea", "forgejo", "bitbucket", "generic"];

    /// The provider of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).and_then(|at| Self::ALL.get(at).copied())
    }
}

impl Secret {
    /// Reads a secret as its file holds it; a line end behind it does not count.
    ///
    /// # Errors
    /// What is wrong with it, without telling it.
    pub fn read(provider: Provider, text: &[u8]) -> Result<Self, &'static str> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let key = match provider {
            Provider::Gitlab => {
                let encoded =
                    text.strip_prefix(TOKEN.as_bytes()).ok_or("it is no signing token, which begins with `whsec_`")?;
                Zeroizing::new(STANDARD.decode(encoded).map_err(|_| "the signing token is not base64 behind `whsec_`")?)
            }
            Provider::Github | Provider::Gitea | Provider::Forgejo | Provider::Bitbucket | Provider::Generic => {
                Zeroizing::new(text.to_vec())
            }
        };
        if !(MIN_SECRET..=MAX_SECRET).contains(&key.len()) {
            return Err("it must have 16 to 4096 bytes");
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// Whether this body was signed with the secret. `header` gives the value of a header that stands once; `now` is in
    /// seconds since 1970.
    #[must_use]
    pub fn signed<'a>(
        &self,
        provider: Provider,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
        now: i64,
    ) -> bool {
        let prefixed = |name: &str| header(name).and_then(|value| value.strip_prefix("sha256="));
        let hex = match provider {
            Provider::Github => prefixed("x-hub-signature-256"),
            Provider::Bitbucket => prefixed("x-hub-signature"),
            Provider::Generic => prefixed("x-signature"),
            Provider::Gitea => header("x-gitea-signature"),
            Provider::Forgejo => header("x-forgejo-signature"),
            Provider::Gitlab => return self.signed_with_time(&header, body, now).unwrap_or_default(),
        };
        hex.and_then(|hex| hex::decode(hex).ok()).is_some_and(|tag| hmac::verify(&self.0, body, &tag).is_ok())
    }

    /// The signature of Standard Webhooks: over the identifier, the time and the body.
    fn signed_with_time<'a>(&self, header: &impl Fn(&str) -> Option<&'a str>, body: &[u8], now: i64) -> Option<bool> {
        let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?);
        let age = now.saturating_sub(time.parse().ok()?);
        if !(-TOLERANCE..=TOLERANCE).contains(&age) {
            return None;
        }
        let mut message = format!("{id}.{time}.").into_bytes();
        message.extend_from_slice(body);
        let tags = header("webhook-signature")?.split(' ').take(MAX_SIGNATURES);
        let mut tags = tags.filter_map(|tag| STANDARD.decode(tag.strip_prefix("v1,")?).ok());
        Some(tags.any(|tag| hmac::verify(&self.0, &message, &tag).is_ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of enough bytes";

    fn tag(secret: &[u8], message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
    }

    fn check(provider: Provider, secret: &str, headers: &[(&str, String)], now: i64) -> bool {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        Secret::read(provider, secret.as_bytes()).unwrap().signed(provider, header, b"{}", now)
    }

    #[test]
    fn the_signature_that_github_documents_is_the_one_that_is_checked() {
        // docs.github.com, "Validating webhook deliveries", the test values of that page.
        let secret = Secret::read(Provider::Github, b"It's a Secret to Everybody\n").unwrap();
        let value = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let header = |name: &str| (name == "x-hub-signature-256").then_some(value);
        assert!(secret.signed(Provider::Github, header, b"Hello, World!", 0));
        assert!(!secret.signed(Provider::Github, header, b"Hello, World?", 0));
    }

    #[test]
    fn each_provider_is_checked_by_its_own_header_and_by_sha_256_alone() {
        let hex = hex::encode(tag(SECRET.as_bytes(), b"{}"));
        let table = [
            (Provider::Github, "x-hub-signature-256", format!("sha256={hex}")),
            (Provider::Bitbucket, "x-hub-signature", format!("sha256={hex}")),
            (Provider::Generic, "x-signature", format!("sha256={hex}")),
            (Provider::Gitea, "x-gitea-signature", hex.clone()),
            (Provider::Forgejo, "x-forgejo-signature", hex.clone()),
        ];
        for (provider, header, value) in &table {
            assert!(check(*provider, SECRET, &[(*header, value.clone())], 0), "{provider:?}");
            assert!(!check(*provider, "another secret of 16", &[(*header, value.clone())], 0), "{provider:?}");
            for other in ["", "sha1=0000", "sha256=", &hex[1..], &format!("sha512={hex}"), "sha256=zz"] {
                assert!(!check(*provider, SECRET, &[(*header, other.to_owned())], 0), "{provider:?} {other}");
            }
            for (other, name, _) in &table {
                assert_eq!(
                    check(*provider, SECRET, &[(*name, value.clone())], 0),
                    other == provider,
                    "{provider:?} {name}"
                );
            }
            assert!(!check(*provider, SECRET, &[("x-gitlab-token", SECRET.to_owned())], 0));
        }
    }

    #[test]
    fn gitlab_signs_identifier_time_and_body_and_its_plain_token_counts_for_nothing() {
        let token = format!("{TOKEN}{}", STANDARD.encode(SECRET));
        let value = format!("v1,{}", STANDARD.encode(tag(SECRET.as_bytes(), b"id.1000.{}")));
        let headers = |id: &str, time: &str, signature: &str| {
            [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)]
                .map(|(name, value)| (name, value.to_owned()))
        };
        let table = [
            (headers("id", "1000", &value), 1000, true),
            (headers("id", "1000", &format!("v1,AAAA {value}")), 1299, true),
            (headers("id", "1000", &value), 1301, false),
            (headers("id", "1000", &value), 699, false),
            (headers("id", "1001", &value), 1000, false),
            (headers("di", "1000", &value), 1000, false),
            (headers("id", "1000", &value.replace("v1", "v2")), 1000, false),
        ];
        for (headers, now, expected) in table {
            assert_eq!(check(Provider::Gitlab, &token, &headers, now), expected, "{headers:?} {now}");
        }
        assert!(!check(Provider::Gitlab, &token, &[("x-gitlab-token", token.clone())], 1000));
        assert!(Secret::read(Provider::Gitlab, SECRET.as_bytes()).is_err());
    }

    #[test]
    fn secrets_that_can_be_guessed_are_no_secrets() {
        for text in ["", "short", "\n"] {
            assert!(Secret::read(Provider::Generic, text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_and_providers_go_together() {
        for name in Provider::NAMES {
            assert!(Provider::of_name(name).is_some());
        }
        assert_eq!(Provider::of_name("forgejo"), Some(Provider::Forgejo));
        assert_eq!(Provider::of_name("svn"), None);
    }
}
