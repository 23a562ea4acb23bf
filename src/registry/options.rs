//! What a registry client is told: which hosts, how to reach them, and how much of what they send is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::credentials::Credentials;
use crate::image::Host;
use crate::image::reference::ReferenceError;

/// Everything that a [`super::Client`] is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Settings of single hosts. A host that stands here may be asked.
    pub hosts: BTreeMap<Host, HostOptions>,
    /// Which other hosts may be asked.
    pub allowed: Access,
    /// How much is taken, and how long it may last.
    pub limits: Limits,
    /// The proxy for HTTPS; the environment's is never read.
    pub proxy: Option<Proxy>,
    /// Docker and podman configuration files with credentials, the first that knows a host counting.
    pub docker_config: Vec<PathBuf>,
    /// The time for one call with all its retries. A `Retry-After` beyond what is left of it ends the call at once.
    pub timeout: Duration,
}

/// Settings of one host.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Mirrors, asked in this order and before the host itself.
    pub mirrors: Vec<Mirror>,
    /// Whether plain HTTP is allowed where the port speaks no TLS.
    pub insecure: bool,
    /// Additional roots, in PEM.
    pub ca: Option<Vec<u8>>,
    /// Requests in flight at most.
    pub concurrency: usize,
    /// Hosts, besides this one, that may issue its tokens and see its credentials.
    pub auth_realms: Vec<Host>,
    /// Credentials that come before those of configuration files.
    pub credentials: Option<Credentials>,
}

/// Another place that holds copies of a host's repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Its host.
    pub host: Host,
    /// What stands before the repository's path there; may be empty.
    pub prefix: String,
    /// Whether it may say what a tag names.
    pub tags: MirrorTags,
}

/// Whether a mirror may say what a tag names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorTags {
    /// It is asked by digest only.
    Ignore,
    /// Its tags are believed (`resolveTags: true`).
    Resolve,
}

/// Which hosts may be asked: those that configuration and policy name literally.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The hosts.
    pub hosts: BTreeSet<Host>,
    /// Whether every loopback host, as written, is one of them.
    pub any_loopback: bool,
}

/// A proxy for HTTPS. Its URL may hold credentials, so it has no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its URL.
    pub url: String,
    /// Hosts, domains and networks that it is not used for.
    pub no_proxy: Vec<String>,
}

/// How much is taken from a registry, and how long it may last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one manifest, index or list of referrers.
    pub manifest_bytes: usize,
    /// Bytes of one bundle or envelope.
    pub blob_bytes: usize,
    /// Bytes of one simple-signing payload.
    pub payload_bytes: usize,
    /// Bytes of all blobs for one lookup together.
    pub evidence_bytes: usize,
    /// Payloads and bundles fetched for one lookup.
    pub signatures: usize,
    /// Manifests that an index may list.
    pub leaves: usize,
    /// Bytes of manifests and blobs kept in memory.
    pub cache_bytes: usize,
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// For one request.
    pub request: Duration,
    /// For a credential helper.
    pub helper: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// The first pause between attempts; each further one is up to twice as long.
    pub backoff: Duration,
}

impl Options {
    /// Options that allow these hosts, everything else as it is by default.
    #[must_use]
    pub fn new(allowed: Access) -> Self {
        Self {
            hosts: BTreeMap::new(),
            allowed,
            limits: Limits::default(),
            proxy: None,
            docker_config: Vec::new(),
            timeout: Duration::from_secs(30),
        }
    }

    /// Whether a host may be asked.
    pub(super) fn allow(&self, host: &Host) -> bool {
        self.allowed.hosts.contains(host)
            || self.hosts.contains_key(host)
            || self.hosts.values().flat_map(|options| &options.mirrors).any(|mirror| mirror.host == *host)
            || (self.allowed.any_loopback && host.is_loopback())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Proxy").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            mirrors: Vec::new(),
            insecure: false,
            ca: None,
            concurrency: 8,
            auth_realms: Vec::new(),
            credentials: None,
        }
    }
}

impl Mirror {
    /// A mirror as it is written: `host[:port][/prefix]`.
    ///
    /// # Errors
    /// When its first component is no host, or the rest no repository path.
    pub fn parse(text: &str, tags: MirrorTags) -> Result<Self, ReferenceError> {
        let (host, prefix) = text.split_once('/').unwrap_or((text, ""));
        let host = Host::parse(host)?;
        if !prefix.is_empty() {
            crate::image::Repository::new(host.clone(), prefix)?;
        }
        Ok(Self { host, prefix: prefix.to_owned(), tags })
    }

    /// The path at the mirror of a repository's `path`.
    pub(super) fn path(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 << 20,
            blob_bytes: 32 << 20,
            payload_bytes: 64 << 10,
            evidence_bytes: 64 << 20,
            signatures: 64,
            leaves: 512,
            cache_bytes: 64 << 20,
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            request: Duration::from_mins(1),
            helper: Duration::from_secs(10),
            retries: 4,
            backoff: Duration::from_millis(200),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_a_host_and_a_prefix() {
        let mirror = |text| Mirror::parse(text, MirrorTags::Ignore);
        assert_eq!(mirror("mirror.example.com").unwrap().path("team/app"), "team/app");
        assert_eq!(mirror("mirror.example.com:5000/proxy/hub").unwrap().path("team/app"), "proxy/hub/team/app");
        for bad in ["", "https://mirror.example.com", "mirror.example.com/", "mirror.example.com/Up", "/x", "a b"] {
            assert!(mirror(bad).is_err() || bad.ends_with('/'), "{bad}");
        }
    }

    #[test]
    fn only_named_hosts_are_allowed() {
        let host = |text: &str| Host::parse(text).unwrap();
        let mut options = Options::new(Access { hosts: BTreeSet::from([host("a.example")]), any_loopback: false });
        let mirrors = vec![Mirror::parse("m.example/x", MirrorTags::Ignore).unwrap()];
        options.hosts.insert(host("b.example"), HostOptions { mirrors, ..HostOptions::default() });
        for (name, allowed) in [
            ("a.example", true),
            ("b.example", true),
            ("m.example", true),
            ("a.example:444", false),
            ("c.example", false),
            ("localhost:5000", false),
        ] {
            assert_eq!(options.allow(&host(name)), allowed, "{name}");
        }
        options.allowed.any_loopback = true;
        assert!(options.allow(&host("localhost:5000")));
        assert!(!options.allow(&host("c.example")));
    }
}
