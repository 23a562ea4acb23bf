//! Trusted registries: a host, or a path on it on a segment boundary. No wildcards: this list is what confines.

use std::fmt;

use serde::Deserialize;

use crate::fields::Complaint;
use crate::image::{Host, Repository};

/// A registry, or a part of one, that a policy trusts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Trusted {
    host: Host,
    path: Option<String>,
}

const HELP: &str = "write `host[:port]` or `host[:port]/path`, such as `registry.example.com/team`, without wildcards";

impl Trusted {
    /// Reads an entry of `registries`.
    ///
    /// # Errors
    /// When it is no host, optionally with a path.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        let no = |message: String| Complaint::new(message, HELP);
        if text.contains('*') {
            return Err(no(format!("`{text}` has a wildcard, which trusted registries cannot have")));
        }
        if text.contains("://") {
            return Err(no(format!("`{text}` has a URL scheme")));
        }
        let (first, path) = match text.split_once('/') {
            Some((first, path)) => (first, Some(path)),
            None => (text, None),
        };
        if !is_host(first) {
            let help = format!("write `docker.io/{text}` if it is on Docker Hub; {HELP}");
            return Err(Complaint::new(format!("`{text}` has no registry host"), help));
        }
        let host = Host::parse(first).map_err(|error| no(error.to_string()))?;
        if let Some(path) = path {
            // A repository checks what a path may be; the name itself is not wanted, for Docker Hub would change it.
            Repository::new(host.clone(), path).map_err(|error| no(error.to_string()))?;
        }
        Ok(Self { host, path: path.map(str::to_owned) })
    }

    /// Whether this repository lies in it.
    pub(super) fn holds(&self, repository: &Repository) -> bool {
        let within = |path: &str| {
            repository.path().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        *repository.host() == self.host && self.path.as_deref().is_none_or(within)
    }

    /// The host.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }
}

/// Reads a repository that is written with its host.
///
/// # Errors
/// When it is none, or has a tag, a digest or no host.
pub(super) fn repository(text: &str) -> Result<Repository, Complaint> {
    let help = "write a repository with its host, such as `registry.example.com/signatures/app`";
    let first = text.split('/').next().unwrap_or(text);
    if !is_host(first) || !text.contains('/') {
        return Err(Complaint::new(format!("`{text}` is no repository with a registry host"), help));
    }
    Repository::parse(text).map_err(|error| Complaint::new(error.to_string(), help))
}

/// What makes a first component a host, as in references.
fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

impl TryFrom<String> for Trusted {
    type Error = Complaint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl fmt::Display for Trusted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(out)?;
        self.path.iter().try_for_each(|path| write!(out, "/{path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_ends_at_segment_boundaries() {
        let table = [
            ("ghcr.io/acme", "ghcr.io/acme/app", true),
            ("ghcr.io/acme", "ghcr.io/acme", true),
            ("ghcr.io/acme", "ghcr.io/acme-evil/app", false),
            ("good.io", "good.io/x", true),
            ("good.io", "good.io.evil.com/x", false),
            ("good.io", "good.io:5000/x", false),
            ("good.io:5000", "good.io/x", false),
            ("index.docker.io", "nginx", true),
            ("docker.io/library", "nginx", true),
            ("docker.io/library", "acme/nginx", false),
            ("GOOD.io", "good.io/x", true),
        ];
        for (trusted, name, expected) in table {
            let holds = Trusted::parse(trusted).unwrap().holds(&Repository::parse(name).unwrap());
            assert_eq!(holds, expected, "{trusted} for {name}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in
            ["", "acme", "acme/app", "*.io", "good.io/*", "good.io/", "https://good.io", "good.io/app:1", "a b.io"]
        {
            assert!(Trusted::parse(bad).is_err(), "{bad}");
        }
    }
}
