//! Sending: one request, to the host that was configured, without redirects, within its time.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;

use super::payload::Request;
use super::{Service, message::Message, payload};

/// Time for one request, from the connection to the answer's head.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest secret in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Trying again may help, after this time at least.
    Later(String, Option<Duration>),
    /// It does not.
    Never(String),
}

/// Sends what a channel is told.
#[derive(Debug, Clone)]
pub struct Poster {
    client: reqwest::Client,
}

impl Poster {
    /// A sender with further roots, through a proxy where one is given.
    ///
    /// # Errors
    /// When the roots or the proxy cannot be used.
    pub fn new(ca: Option<&[u8]>, proxy: Option<(&str, &[String])>) -> Result<Self, String> {
        let told = |error: reqwest::Error| chain(&error);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sealgate/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .dns_resolver(Arc::new(Resolver));
        if let Some(pem) = ca {
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem).map_err(told)?);
        }
        if let Some((url, exceptions)) = proxy {
            let exceptions = reqwest::NoProxy::from_string(&exceptions.join(","));
            builder = builder.proxy(reqwest::Proxy::https(url).map_err(told)?.no_proxy(exceptions));
        }
        Ok(Self { client: builder.build().map_err(told)? })
    }

    /// Tells a service once.
    pub(super) async fn tell(&self, service: &Service, message: &Message) -> Result<(), Refused> {
        let file = service.secret_file().map(Path::to_owned);
        let secret = tokio::task::spawn_blocking(move || file.map_or_else(|| Ok(String::new()), |file| secret(&file)));
        let secret = secret.await.map_err(|error| error.to_string()).and_then(|secret| secret);
        // A secret that is not mounted yet may come.
        let secret = secret.map_err(|why| Refused::Later(format!("failed to read its secret: {why}"), None))?;
        match payload::request(service, message, &secret, now()) {
            Some(request) => self.send(request).await,
            None => Ok(()),
        }
    }

    async fn send(&self, request: Request) -> Result<(), Refused> {
        let Request { url, headers, body } = request;
        // Neither the URL nor a header is told: both may be secrets.
        let url = url::Url::parse(&url).map_err(|error| Refused::Never(format!("its URL is none: {error}")))?;
        let mut outgoing = self.client.post(url).body(body);
        for (name, value) in headers {
            outgoing = outgoing.header(name, value);
        }
        let answer = outgoing.send().await.map_err(|error| Refused::Later(chain(&error.without_url()), None))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let why = format!("it answered {}", status.as_u16());
        if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
            let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(Refused::Later(why, asked.map(Duration::from_secs)));
        }
        Err(Refused::Never(why))
    }
}

impl Service {
    fn secret_file(&self) -> Option<&Path> {
        match self {
            Self::Slack { url_file } => Some(url_file),
            Self::CloudEvents { secret_file, .. } => Some(secret_file),
            Self::Alertmanager { password_file, .. } => password_file.as_deref(),
            Self::Status(status) => Some(&status.token_file),
        }
    }
}

/// A secret on one line; what ends the line is no part of it.
fn secret(path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    if !std::fs::metadata(path).map_err(told)?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(told)?;
    file.take(MAX_SECRET).read_to_string(&mut text).map_err(told)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("it must hold one line".to_owned());
    }
    Ok(text.to_owned())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A resolver under which no name leads to link-local addresses, where clouds answer with credentials. An address that
/// is configured literally is not looked up, and so is not held back.
#[derive(Debug, Clone, Copy)]
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let fine: Vec<SocketAddr> = found.filter(|address| !is_local_service(address.ip())).collect();
            if fine.is_empty() {
                return Err("the host leads to a link-local address, which must be configured literally".into());
            }
            let addresses: Addrs = Box::new(fine.into_iter());
            Ok(addresses)
        })
    }
}

/// Link-local addresses, and those of clouds' metadata beside them, in any of their spellings.
fn is_local_service(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_local_service_v4(v4),
        IpAddr::V6(v6) => {
            let [first, ..] = v6.segments();
            let aws = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
            (first & 0xffc0) == 0xfe80 || v6 == aws || v6.to_ipv4().is_some_and(is_local_service_v4)
        }
    }
}

fn is_local_service_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || [[100, 100, 100, 200], [168, 63, 129, 16]].contains(&address.octets())
}

#[expect(clippy::disallowed_methods, reason = "alerts say until when they stand")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_to_the_metadata_of_a_cloud() {
        for text in ["169.254.169.254", "100.100.100.200", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254"] {
            assert!(is_local_service(text.parse().unwrap()), "{text}");
        }
        for text in ["127.0.0.1", "10.0.0.1", "1.1.1.1", "fd00::1", "::1"] {
            assert!(!is_local_service(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_secret_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (text, expected) in
            [("abc\n", Some("abc")), ("abc\r\n", Some("abc")), ("a b", Some("a b")), ("", None), ("a\nb", None)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(secret(&path).ok().as_deref(), expected, "{text:?}");
        }
        assert!(secret(folder.path()).is_err());
    }
}
