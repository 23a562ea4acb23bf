//! Image references, as distribution/reference reads them (REF-01 … REF-13).
//!
//! Two deliberate deviations, both stricter: a host in upper case without a dot (`LOCALDOMAIN/x`) is refused, because
//! readers disagree on what it names, and so is a name of 64 hexadecimal digits, whatever host stands before it.

use std::fmt;

use super::Digest;

/// The name that `docker.io` and `index.docker.io` share.
const DOCKER_HUB: &str = "docker.io";
/// Longest accepted reference in bytes: a name of 255, a tag of 128, a digest of 71, and a host in front.
const MAX_REFERENCE: usize = 1024;
/// Longest repository path in bytes (REF-05).
const MAX_PATH: usize = 255;
/// Longest tag in bytes (REF-05).
const MAX_TAG: usize = 128;

/// A registry host with its port, in lower case: `docker.io`, `localhost:5000`, `[::1]:5000`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

/// A repository: host and path, canonical (`docker.io/library/nginx`). The only key that policies, caches and reports use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: Host,
    path: String,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// An image reference: what was written, and what it means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    written: String,
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// Why a string is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing was written.
    #[error("the reference is empty")]
    Empty,
    /// Longer than any reference may be.
    #[error("the reference is longer than {MAX_REFERENCE} bytes")]
    TooLong,
    /// A character that no reference contains, white space included; nothing is trimmed or decoded.
    #[error("the reference contains {0:?}, which no reference may contain")]
    Character(char),
    /// A URL scheme in front.
    #[error("a reference has no URL scheme such as `https://`")]
    Scheme,
    /// The first component is no host.
    #[error("`{0}` is no registry host: write it in lower case, with an optional port from 1 to 65535")]
    Host(String),
    /// The path is not what repositories are called.
    #[error(
        "`{0}` is no repository path: lower-case letters and digits, joined by `.`, `_`, `__` or `-`, between slashes"
    )]
    Path(String),
    /// The path is too long.
    #[error("the repository path is longer than {MAX_PATH} bytes")]
    PathTooLong,
    /// A name that reads as an image identifier.
    #[error("a name of 64 hexadecimal digits is an image identifier, not a reference")]
    Identifier,
    /// The part behind the colon is no tag.
    #[error("`{0}` is no tag: letters, digits, `_`, `.`, `-`, at most {MAX_TAG}, not beginning with `.` or `-`")]
    Tag(String),
    /// The part behind the `@` is no digest.
    #[error("`{0}` is no digest that can be checked: `sha256:` and 64 lower-case hexadecimal digits")]
    Digest(String),
}

impl Host {
    /// A host as it stands in a reference or a configuration: `name[:port]`, `index.docker.io` being `docker.io`.
    ///
    /// # Errors
    /// When it is no host name, IPv4 address or bracketed IPv6 address, or its port is not from 1 to 65535.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let wrong = || ReferenceError::Host(text.to_owned());
        let (name, port) = split_port(text).ok_or_else(wrong)?;
        if port.is_some_and(|port| !is_port(port)) || !(is_domain(name) || is_ipv6(name)) {
            return Err(wrong());
        }
        let host = text.to_ascii_lowercase();
        Ok(Self(if host == "index.docker.io" { DOCKER_HUB.to_owned() } else { host }))
    }

    /// The host as text, port included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is Docker Hub.
    #[must_use]
    pub fn is_docker_hub(&self) -> bool {
        self.0 == DOCKER_HUB
    }

    /// Whether this is loopback *as written*: `localhost`, a dotted-quad `127.x.x.x`, `[::1]`; never by looking it up.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let Some((name, _)) = split_port(&self.0) else { return false };
        name == "localhost"
            || name == "[::1]"
            || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }
}

impl Repository {
    /// A repository from a host and a path in canonical form.
    ///
    /// # Errors
    /// When the path is no repository path.
    pub fn new(host: Host, path: &str) -> Result<Self, ReferenceError> {
        check_path(path)?;
        let path =
            if host.is_docker_hub() && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        Ok(Self { host, path })
    }

    /// A repository as a user writes it, without tag or digest.
    ///
    /// # Errors
    /// As [`ImageRef::parse`]; a tag or a digest is an error too.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let image = ImageRef::parse(text)?;
        match (image.tag, image.digest) {
            (None, None) => Ok(image.repository),
            (Some(_), _) | (None, Some(_)) => Err(ReferenceError::Path(text.to_owned())),
        }
    }

    /// The registry's host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The path below the host, `library/` included on Docker Hub.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Tag {
    /// A tag.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if first && rest && text.len() <= MAX_TAG {
            return Ok(Self(text.to_owned()));
        }
        Err(ReferenceError::Tag(text.to_owned()))
    }

    /// The tag `latest`.
    #[must_use]
    pub fn latest() -> Self {
        Self("latest".to_owned())
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ImageRef {
    /// Reads a reference byte for byte: no trimming, no decoding.
    ///
    /// # Errors
    /// When it is none; the error says which part.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        // The length comes first: the grammar is not for megabytes.
        if text.len() > MAX_REFERENCE {
            return Err(ReferenceError::TooLong);
        }
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(ReferenceError::Character(odd));
        }
        if text.contains("://") {
            return Err(ReferenceError::Scheme);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| ReferenceError::Digest(digest.to_owned()))?))
            }
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        let tag = tag.map(Tag::parse).transpose()?;
        let repository = parse_name(name)?;
        Ok(Self { written: text.to_owned(), repository, tag, digest })
    }

    /// The reference as it was written.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The repository that it names.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, where one was written.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, where one was written. It wins over the tag.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag to ask a registry for: the one written, `latest` where neither tag nor digest was; none beside a digest.
    #[must_use]
    pub fn tag_to_resolve(&self) -> Option<Tag> {
        match (&self.digest, &self.tag) {
            (Some(_), _) => None,
            (None, Some(tag)) => Some(tag.clone()),
            (None, None) => Some(Tag::latest()),
        }
    }

    /// The reference with its digest, everything else as the user spelled it: `nginx:1.27@sha256:…`.
    #[must_use]
    pub fn pinned(&self, digest: &Digest) -> String {
        match self.digest {
            Some(_) => self.written.clone(),
            None => format!("{}@{digest}", self.written),
        }
    }

    /// The canonical form: full name, tag (`latest` only where nothing else was written) and digest.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = self.repository.to_string();
        if let Some(tag) = self.tag.clone().or_else(|| self.tag_to_resolve()) {
            text.push(':');
            text.push_str(tag.as_str());
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

/// Splits a tag off: the last colon behind the last slash.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    let tail = text.rfind('/').map_or(0, |slash| slash.saturating_add(1));
    match text.rfind(':') {
        Some(colon) if colon >= tail => {
            let (name, tag) = text.split_at(colon);
            (name, tag.get(1..))
        }
        _ => (text, None),
    }
}

/// A name without tag and digest, normalised: the host split off or `docker.io`, `library/` added there.
fn parse_name(name: &str) -> Result<Repository, ReferenceError> {
    let (host, path) = match name.split_once('/') {
        Some((first, rest)) if looks_like_host(first) => (Host::parse(first)?, rest),
        Some((first, _)) if first.bytes().any(|b| b.is_ascii_uppercase()) => {
            return Err(ReferenceError::Host(first.to_owned()));
        }
        _ => (Host(DOCKER_HUB.to_owned()), name),
    };
    if path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ReferenceError::Identifier);
    }
    Repository::new(host, path)
}

/// REF-02: what makes a first component a host.
fn looks_like_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

/// Splits `name[:port]`; a bracketed IPv6 address keeps its brackets.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')?.checked_add(1)?;
        let (name, rest) = text.split_at_checked(end)?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((name, Some(port))),
            None if rest.is_empty() => Some((name, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        Some((name, port)) => Some((name, Some(port))),
        None => Some((text, None)),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_domain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn is_ipv6(name: &str) -> bool {
    name.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|inner| inner.parse::<std::net::Ipv6Addr>().ok())
        // An IPv4 address in IPv6 clothes names the same machine twice: refused.
        .is_some_and(|address| address.to_ipv4_mapped().is_none())
}

fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.len() > MAX_PATH {
        return Err(ReferenceError::PathTooLong);
    }
    if path.split('/').all(is_component) {
        return Ok(());
    }
    Err(ReferenceError::Path(path.to_owned()))
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators: Vec<&str> = component
        .split(|c: char| c.is_ascii() && alphanumeric(c.to_string().as_bytes().first().copied().unwrap_or(0)))
        .filter(|run| !run.is_empty())
        .collect();
    let ends = |b: Option<u8>| b.is_some_and(alphanumeric);
    ends(component.bytes().next())
        && ends(component.bytes().last())
        && separators.iter().all(|run| matches!(*run, "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.host, self.path)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests;
