//! Where a Git source lives: its URL, parsed once.
//!
//! The parts that decide who may see credentials (scheme, host, port) are compared here and nowhere else.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// A Git URL of a kind that is supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A repository on this machine.
    Local(PathBuf),
    /// A server, with the URL as libgit2 takes it.
    Server {
        /// Who answers.
        origin: Origin,
        /// The user in the URL.
        user: Option<String>,
        /// The URL as it is given to libgit2; it never holds a password.
        url: String,
    },
}

/// Who credentials are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// How it is spoken to.
    pub(super) scheme: Scheme,
    /// The host in lower case, an IPv6 address without brackets.
    pub(super) host: String,
    /// The port, the scheme's own where none was written.
    pub(super) port: u16,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// Secure shell.
    Ssh,
}

impl Address {
    /// Reads a path, a `file://`, `http://`, `https://` or `ssh://` URL, or the short form `user@host:path` of the last.
    ///
    /// # Errors
    /// What is wrong with it, never repeating a password that stands in it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err("a Git URL is not empty and has no control characters".to_owned());
        }
        if text.contains("://") {
            return parse_url(text);
        }
        match text.split_once(':') {
            Some((host, path)) if !host.contains('/') => parse_short(text, host, path),
            Some(_) | None => Ok(Self::Local(PathBuf::from(text))),
        }
    }
}

fn parse_url(text: &str) -> Result<Address, String> {
    // The text is not repeated: it could hold a password.
    let url = Url::parse(text).map_err(|error| format!("this is no Git URL: {error}"))?;
    if url.password().is_some() {
        return Err("a password in a Git URL ends up in logs and process lists: use `auth.passwordFile`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a Git URL has no `?` or `#`".to_owned());
    }
    let scheme = match url.scheme() {
        "file" => {
            let path = url.to_file_path().map_err(|()| "a `file://` URL names an absolute path".to_owned())?;
            return Ok(Address::Local(path));
        }
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        "ssh" => Scheme::Ssh,
        other => {
            return Err(format!("`{other}://` is not supported for Git: use a path, https://, ssh:// or http://"));
        }
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("a Git URL names a host")?;
    let origin = Origin::new(scheme, host, url.port());
    let user = Some(url.username()).filter(|user| !user.is_empty()).map(str::to_owned);
    Ok(Address::Server { origin, user, url: text.to_owned() })
}

/// `[user@]host:path`, as `ssh` has it; no port can be written in it.
fn parse_short(text: &str, host: &str, path: &str) -> Result<Address, String> {
    let (user, host) = match host.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, host),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || path.is_empty() || path.starts_with(':') || !host.chars().all(plain) || host.starts_with('-')
    {
        return Err(format!("`{text}` is neither a path nor `user@host:path`"));
    }
    let origin = Origin::new(Scheme::Ssh, host, None);
    Ok(Address::Server { origin, user, url: text.to_owned() })
}

impl Origin {
    fn new(scheme: Scheme, host: &str, port: Option<u16>) -> Self {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { scheme, host: host.to_ascii_lowercase(), port: port.unwrap_or(scheme.port()) }
    }

    /// Whether this URL, as libgit2 asks about it, is of this origin.
    pub(super) fn is_of(&self, url: &str) -> bool {
        match Address::parse(url) {
            Ok(Address::Server { origin, user: _, url: _ }) => origin == *self,
            Ok(Address::Local(_)) | Err(_) => false,
        }
    }
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Ssh => 22,
        }
    }
}

/// The address for a reader, without the user.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(out, "{}", path.display()),
            Self::Server { origin: _, user: None, url } => out.write_str(url),
            Self::Server { origin: _, user: Some(user), url } => {
                out.write_str(&url.replacen(&format!("{user}@"), "", 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Option<(Scheme, String, u16)> {
        match Address::parse(text) {
            Ok(Address::Server { origin, .. }) => Some((origin.scheme, origin.host, origin.port)),
            Ok(Address::Local(_)) | Err(_) => None,
        }
    }

    #[test]
    fn servers_are_told_by_scheme_host_and_port() {
        let some = |scheme, host: &str, port| Some((scheme, host.to_owned(), port));
        for (text, expected) in [
            ("https://Git.Example.com/a.git", some(Scheme::Https, "git.example.com", 443)),
            ("https://bot@git.example.com:8443/a", some(Scheme::Https, "git.example.com", 8443)),
            ("http://[::1]:80/a", some(Scheme::Http, "::1", 80)),
            ("ssh://git@host:2222/a", some(Scheme::Ssh, "host", 2222)),
            ("git@github.com:acme/a.git", some(Scheme::Ssh, "github.com", 22)),
            ("host:a", some(Scheme::Ssh, "host", 22)),
            ("/srv/a", None),
            ("./a:b", None),
            ("file:///srv/a", None),
        ] {
            assert_eq!(origin(text), expected, "{text}");
        }
    }

    #[test]
    fn other_kinds_and_passwords_are_refused_without_repeating_them() {
        for text in
            ["", "git://h/a", "ext::sh -c x", "https://u:hunter2@h/a", "https://", "-oX=y:a", "ftp://h/a", "a\nb"]
        {
            let message = Address::parse(text).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn an_origin_is_only_its_own() {
        let Ok(Address::Server { origin, .. }) = Address::parse("https://git.example.com/a") else { panic!() };
        assert!(origin.is_of("https://git.example.com:443/other"));
        for other in [
            "http://git.example.com/a",
            "https://git.example.com:444/a",
            "https://evil.test/a",
            "/a",
            "git@git.example.com:a",
        ] {
            assert!(!origin.is_of(other), "{other}");
        }
    }
}
