//! Patterns on canonical names: `host[:port]/path` for images, one label for namespaces.
//!
//! `*` stays within one segment (in a host it stops at `.` and `:` too); `**` crosses slashes.

use serde::Deserialize;

use super::wildcard::{Glob, IN_HOST, IN_PATH};
use crate::fields::Complaint;
use crate::image::{Host, Repository};

/// Longest accepted pattern in bytes: a host of 253, a port and a path of 255.
const MAX_PATTERN: usize = 515;
/// Longest accepted namespace pattern in bytes: a DNS label.
const MAX_NAMESPACE: usize = 63;

/// A pattern on the names of images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern {
    glob: Glob,
    host: HostPattern,
}

/// What a pattern says about the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// Exactly this one.
    Named(Host),
    /// Any that fits.
    Wildcard,
}

/// A pattern on the names of namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct NamespacePattern(Glob);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it names no host, or can match no image.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        check_characters(text, MAX_PATTERN)?;
        if text == "**" {
            return Ok(Self::everything());
        }
        let (host, path) = split_host(text)?;
        check_path(text, path)?;
        if host == "**" {
            // Any host, at any depth: `**/nginx`.
            return Ok(Self {
                glob: Glob::everything().then("/", &IN_PATH).then(path, &IN_PATH),
                host: HostPattern::Wildcard,
            });
        }
        if let Some(host) = check_host(host)? {
            let path = hub_path(&host, path)?;
            let glob = Glob::empty().then(host.as_str(), &IN_HOST).then("/", &IN_PATH).then(&path, &IN_PATH);
            return Ok(Self { glob, host: HostPattern::Named(host) });
        }
        let glob = Glob::empty().then(&host.to_ascii_lowercase(), &IN_HOST).then("/", &IN_PATH).then(path, &IN_PATH);
        Ok(Self { glob, host: HostPattern::Wildcard })
    }

    /// The pattern of all images.
    pub(super) fn everything() -> Self {
        Self { glob: Glob::everything(), host: HostPattern::Wildcard }
    }

    /// Whether it matches this repository.
    pub(super) fn matches(&self, repository: &Repository) -> bool {
        self.glob.matches(&repository.to_string())
    }

    /// What it says about the host.
    pub(super) fn host(&self) -> &HostPattern {
        &self.host
    }

    /// The host, where it names one.
    pub(super) fn named_host(&self) -> Option<&Host> {
        match &self.host {
            HostPattern::Named(host) => Some(host),
            HostPattern::Wildcard => None,
        }
    }
}

impl NamespacePattern {
    /// Reads a pattern on namespaces.
    ///
    /// # Errors
    /// When no namespace can match it.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        let help = "write a namespace, or a pattern with `*` such as `prod-*`";
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'*');
        if text.is_empty() || text.len() > MAX_NAMESPACE || text.contains("**") || !text.bytes().all(fits) {
            return Err(Complaint::new(format!("`{text}` is no pattern for namespaces"), help));
        }
        Ok(Self(Glob::empty().then(text, &IN_PATH)))
    }

    /// Whether it matches this namespace.
    pub(super) fn matches(&self, namespace: &str) -> bool {
        self.0.matches(namespace)
    }
}

/// What no pattern contains, whatever its host.
fn check_characters(text: &str, longest: usize) -> Result<(), Complaint> {
    if text.is_empty() {
        return Err(Complaint::new("the pattern is empty", EXAMPLE));
    }
    if text.len() > longest {
        return Err(Complaint::new(format!("the pattern is longer than {longest} bytes"), EXAMPLE));
    }
    if text.contains("://") {
        return Err(Complaint::new(format!("`{text}` has a URL scheme, which no image name has"), EXAMPLE));
    }
    if text.contains('@') {
        return Err(Complaint::new(format!("`{text}` has a digest; patterns are about names"), "leave the digest out"));
    }
    if text.contains("***") {
        return Err(Complaint::new(format!("`{text}` has three stars in a row"), EXAMPLE));
    }
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '*' | '[' | ']');
    match text.chars().find(|c| !known(*c)) {
        Some(odd) => Err(Complaint::new(format!("`{text}` contains {odd:?}, which no pattern may contain"), EXAMPLE)),
        None => Ok(()),
    }
}

const EXAMPLE: &str =
    "write `host[:port]/path`, with `*` within one segment and `**` across, such as `registry.example.com/team/**`";

/// Splits the host off, or says how the pattern would read with one.
fn split_host(text: &str) -> Result<(&str, &str), Complaint> {
    let Some((first, rest)) = text.split_once('/') else {
        let (name, port) = text.split_once(':').unwrap_or((text, ""));
        let port = port.bytes().all(|b| b.is_ascii_digit() || b == b'*');
        return Err(if port && (name.contains('.') || name == "localhost" || name.starts_with('[')) {
            Complaint::new(format!("`{text}` names a host and no repository"), format!("write `{text}/**`"))
        } else {
            without_host(text, &format!("docker.io/library/{name}"))
        });
    };
    if first_is_host(first) {
        return Ok((first, rest));
    }
    Err(without_host(text, &format!("docker.io/{text}")))
}

fn without_host(text: &str, proposal: &str) -> Complaint {
    Complaint::new(format!("pattern `{text}` has no host"), format!("write `{proposal}`, if that is what you mean"))
}

/// Whether an image's first component can be a host that this matches. One without `.` and `:` is `localhost`.
fn first_is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first.starts_with("**") || Glob::empty().then(first, &IN_HOST).matches("localhost")
}

/// The host, where the pattern names one; none where it is a wildcard.
fn check_host(text: &str) -> Result<Option<Host>, Complaint> {
    if text.get(1..).is_some_and(|rest| rest.contains("**")) {
        let help = "put `**` only at the beginning of a host, as in `**.example.com`: at its end it would let in hosts \
                    of other people";
        return Err(Complaint::new(format!("`**` inside the host `{text}`"), help));
    }
    // Whatever a wildcard stands for, the rest must be a host: try it with a digit, which fits in names and ports.
    let host = Host::parse(&text.replace("**", "1").replace('*', "1"))
        .map_err(|_| Complaint::new(format!("`{text}` is no registry host, and no pattern for one"), EXAMPLE))?;
    Ok(if text.contains('*') { None } else { Some(host) })
}

fn check_path(text: &str, path: &str) -> Result<(), Complaint> {
    if path.contains(':') {
        let help = "leave the tag out; a rule holds for all tags of a repository";
        return Err(Complaint::new(format!("`{text}` has a tag; patterns are about names"), help));
    }
    if let Some(upper) = path.chars().find(char::is_ascii_uppercase) {
        let message = format!("`{text}` has {upper:?} in its path, where all names are in lower case");
        return Err(Complaint::new(message, "write the path in lower case"));
    }
    let fits = |b: u8| !matches!(b, b'[' | b']');
    let segment = |segment: &str| {
        !segment.is_empty()
            && segment.bytes().all(fits)
            && !segment.starts_with(['.', '-', '_'])
            && !segment.ends_with(['.', '-', '_'])
    };
    if path.split('/').all(segment) {
        return Ok(());
    }
    Err(Complaint::new(format!("`{path}` is no path that a repository can have"), EXAMPLE))
}

/// On Docker Hub every name has two parts: `nginx` is `library/nginx`, and a lone `*` would match nothing.
fn hub_path(host: &Host, path: &str) -> Result<String, Complaint> {
    if !path.contains('*') {
        return Repository::new(host.clone(), path)
            .map(|repository| repository.path().to_owned())
            .map_err(|error| Complaint::new(error.to_string(), EXAMPLE));
    }
    if host.is_docker_hub() && !path.contains('/') && !path.contains("**") {
        let message = format!("`docker.io/{path}` matches nothing: names on Docker Hub have two parts");
        return Err(Complaint::new(message, format!("write `docker.io/library/{path}`")));
    }
    Ok(path.to_owned())
}

impl TryFrom<String> for Pattern {
    type Error = Complaint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for NamespacePattern {
    type Error = Complaint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&Repository::parse(name).unwrap())
    }

    #[test]
    fn one_star_stays_within_a_segment_and_two_cross() {
        let table = [
            ("registry.example.com/team/**", "registry.example.com/team/app", true),
            ("registry.example.com/team/**", "registry.example.com/team/a/b/c", true),
            ("registry.example.com/team/**", "registry.example.com/team", false),
            ("registry.example.com/team/**", "registry.example.com/team-evil/app", false),
            ("registry.example.com/team/*", "registry.example.com/team/app", true),
            ("registry.example.com/team/*", "registry.example.com/team/a/b", false),
            ("registry.example.com/team/app", "registry.example.com/team/app-evil", false),
            ("registry.example.com/team/app*", "registry.example.com/team/app", true),
            ("registry.example.com/*/app", "registry.example.com/a/b/app", false),
            ("registry.example.com/**/app", "registry.example.com/a/b/app", true),
            ("good.io/**", "good.io.evil.com/x", false),
            ("good.io/**", "evil.com/good.io/x", false),
            ("good.io/**", "good.io:5000/x", false),
            ("Good.IO/**", "good.io/x", true),
            ("*.example.com/**", "a.example.com/x", true),
            ("*.example.com/**", "a.b.example.com/x", false),
            ("*.example.com/**", "example.com/x", false),
            ("**.example.com/**", "a.b.example.com/x", true),
            ("**.example.com/**", "evil.com/a.example.com/x", false),
            ("127.0.0.1:*/**", "127.0.0.1:5000/x/y", true),
            ("127.0.0.1:*/**", "127.0.0.1/x", false),
            ("[::1]:*/**", "[::1]:5000/x", true),
            ("*/**", "localhost/x", true),
            ("*/**", "evil.com/x", false),
            ("**", "docker.io/library/nginx", true),
            ("**/nginx", "docker.io/library/nginx", true),
            ("**/nginx", "docker.io/library/evil-nginx", false),
            ("docker.io/nginx", "nginx", true),
            ("index.docker.io/library/nginx", "docker.io/nginx", true),
            ("docker.io/library/*", "nginx", true),
            ("docker.io/**", "acme/app", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn patterns_that_name_no_host_or_match_nothing_are_refused_with_a_proposal() {
        let table = [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx"),
            ("acme/app", "docker.io/acme/app"),
            ("acme*/app", "docker.io/acme*/app"),
            ("*", "docker.io/library/*"),
            ("registry.example.com", "registry.example.com/**"),
            ("docker.io/*", "docker.io/library/*"),
            ("registry.example.com/app:1", "leave the tag out"),
            ("registry.example.com/app@sha256:aa", "leave the digest out"),
            ("https://registry.example.com/app", "host"),
            ("registry.example.com/App", "lower case"),
            ("registry.example.com/a?", "host"),
            ("registry.example.com/{a,b}", "host"),
            ("registry.example.com/[ab]", "host"),
            ("registry.example.com//app", "host"),
            ("registry.example.com/app/", "host"),
            ("registry.example.com/", "host"),
            ("registry.example.com/***", "host"),
            ("good.io**/app", "beginning"),
            ("registry.**/app", "beginning"),
            ("-*.example.com/app", "host"),
            ("example.com:0/app", "host"),
            (" registry.example.com/app", "host"),
            ("", "host"),
        ];
        for (pattern, help) in table {
            let complaint = Pattern::parse(pattern).unwrap_err();
            assert!(complaint.help.contains(help), "{pattern}: {complaint:?}");
        }
        assert!(Pattern::parse(&format!("a.b/{}", "x".repeat(600))).is_err());
    }

    #[test]
    fn hostile_patterns_and_names_end_soon() {
        let stars = "*a".repeat(200);
        let name = format!("registry.example.com/{}", "a".repeat(254));
        assert!(matches(&format!("registry.example.com/{stars}"), &name));
        assert!(!matches(&format!("registry.example.com/{stars}b"), &name));
        assert!(!matches(&format!("registry.example.com/{}b", "**a".repeat(160)), &name));
    }

    #[test]
    fn namespaces_are_matched_whole() {
        let table =
            [("prod-*", "prod-a", true), ("prod-*", "prod", false), ("prod", "prod-a", false), ("*", "x", true)];
        for (pattern, namespace, expected) in table {
            assert_eq!(NamespacePattern::parse(pattern).unwrap().matches(namespace), expected, "{pattern} {namespace}");
        }
        for bad in ["", "**", "Prod", "a/b", "a.b"] {
            assert!(NamespacePattern::parse(bad).is_err(), "{bad}");
        }
    }
}
