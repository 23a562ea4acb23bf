//! The configuration files of docker and podman: `auths`, `credHelpers`, `credsStore`.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::{Credentials, Secret};
use crate::image::Host;

/// Largest file that is read, in bytes: pull secrets have at most 1 MiB.
const MAX_FILE: u64 = 1 << 20;
/// What docker calls Docker Hub in its files and towards its helpers.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A file as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: Option<Secret>,
    #[serde(default)]
    username: Option<Secret>,
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default)]
    identitytoken: Option<Secret>,
}

/// Where a file says that credentials are.
pub(super) enum Source {
    /// In the file itself.
    Entry(Credentials),
    /// With a helper, under this server's name.
    Helper { name: String, server: String },
}

/// Reads a file; `None` where there is none.
pub(super) async fn read(place: &Path) -> Result<Option<ConfigFile>, String> {
    let named =
        |message: &dyn std::fmt::Display| format!("cannot read the credentials in `{}`: {message}", place.display());
    let file = match tokio::fs::File::open(place).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(&error)),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).await.map_err(|error| named(&error))?;
    ConfigFile::parse(&bytes).map(Some).map_err(|message| named(&message))
}

impl ConfigFile {
    /// Reads a file's bytes. The error shows none of them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if u64::try_from(bytes.len()).map_or(true, |length| length > MAX_FILE) {
            return Err(format!("it has more than {MAX_FILE} bytes"));
        }
        serde_json::from_slice(bytes)
            .map_err(|error| format!("it is no configuration file (line {}, column {})", error.line(), error.column()))
    }

    /// The places to look for credentials, in the order in which docker does: a helper of the host's own, the common
    /// helper, the entries.
    pub(super) fn sources(&self, host: &Host, path: &str) -> Vec<Source> {
        let mut sources = Vec::new();
        let own = self
            .cred_helpers
            .iter()
            .find(|(key, _)| key_host(key).is_some_and(|(of, rest)| of == *host && rest.is_empty()));
        if let Some((key, name)) = own {
            sources.push(Source::Helper { name: name.clone(), server: key.clone() });
        } else if let Some(name) = self.creds_store.as_ref().filter(|name| !name.is_empty()) {
            let server = if host.is_docker_hub() { HUB_KEY } else { host.as_str() };
            sources.push(Source::Helper { name: name.clone(), server: server.to_owned() });
        }
        sources.extend(self.entry(host, path).map(Source::Entry));
        sources
    }

    /// The entry for a path at a host: the one that names the longest part of the path.
    pub(super) fn entry(&self, host: &Host, path: &str) -> Option<Credentials> {
        let mut best: Option<(usize, Credentials)> = None;
        for (key, entry) in &self.auths {
            let Some((of, rest)) = key_host(key) else { continue };
            let covers = rest.is_empty()
                || path == rest
                || path.strip_prefix(rest.as_str()).is_some_and(|tail| tail.starts_with('/'));
            if of != *host || !covers || best.as_ref().is_some_and(|(length, _)| *length > rest.len()) {
                continue;
            }
            if let Some(credentials) = entry.credentials() {
                best = Some((rest.len(), credentials));
            }
        }
        best.map(|(_, credentials)| credentials)
    }
}

impl Entry {
    fn credentials(&self) -> Option<Credentials> {
        let given = |secret: &Option<Secret>| {
            secret.as_ref().map(|secret| secret.expose().to_owned()).filter(|text| !text.is_empty())
        };
        if let Some(token) = given(&self.identitytoken) {
            return Some(Credentials::identity(token));
        }
        if let Some(auth) = given(&self.auth) {
            let auth = Zeroizing::new(auth);
            let pair = Zeroizing::new(STANDARD.decode(auth.trim()).ok()?);
            let (username, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
            return Some(Credentials::basic(username.to_owned(), password.trim_end_matches('\0').to_owned()));
        }
        Some(Credentials::basic(given(&self.username)?, given(&self.password)?))
    }
}

/// The host and the path of a key: `host[:port][/path]`, or docker's older `https://host/v1/`.
fn key_host(key: &str) -> Option<(Host, String)> {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = match path.trim_end_matches('/') {
        "v1" | "v2" => "",
        other => other,
    };
    Some((Host::parse(host).ok()?, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str, host: &str, path: &str) -> Option<String> {
        let credentials = ConfigFile::parse(text.as_bytes()).unwrap().entry(&Host::parse(host).unwrap(), path)?;
        if let Some(token) = credentials.refresh_token() {
            return Some(format!("token {token}"));
        }
        let header = credentials.basic_header().unwrap();
        let encoded = header.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        Some(String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap())
    }

    #[test]
    fn entries_belong_to_their_host_port_and_path() {
        let text = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "reg.example.com": {"username": "plain", "password": "p:w"},
            "reg.example.com/team": {"auth": "dGVhbTpwdw=="},
            "https://old.example.com/v2/": {"auth": "b2xkOnB3"},
            "azure.example.com": {"auth": "MDA6", "identitytoken": "refresh"},
            "empty.example.com": {},
            "broken.example.com": {"auth": "!!!"}}}"#;
        let table = [
            ("docker.io", "library/nginx", Some("hub:pw")),
            ("reg.example.com", "other/app", Some("plain:p:w")),
            ("reg.example.com", "team/app", Some("team:pw")),
            ("reg.example.com", "team", Some("team:pw")),
            ("reg.example.com", "team-evil/app", Some("plain:p:w")),
            ("reg.example.com:444", "team/app", None),
            ("evil.reg.example.com", "team/app", None),
            ("old.example.com", "x", Some("old:pw")),
            ("azure.example.com", "x", Some("token refresh")),
            ("empty.example.com", "x", None),
            ("broken.example.com", "x", None),
        ];
        for (host, path, expected) in table {
            assert_eq!(user(text, host, path).as_deref(), expected, "{host}/{path}");
        }
    }

    #[test]
    fn a_helper_of_the_host_comes_before_the_common_one_and_both_before_entries() {
        let text =
            r#"{"auths": {"a.example": {"auth": "YTpi"}}, "credHelpers": {"a.example": "own"}, "credsStore": "all"}"#;
        let file = ConfigFile::parse(text.as_bytes()).unwrap();
        let names = |host: &str| {
            let sources = file.sources(&Host::parse(host).unwrap(), "x");
            let name = |source: Source| match source {
                Source::Entry(_) => "entry".to_owned(),
                Source::Helper { name, server } => format!("{name} {server}"),
            };
            sources.into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names("a.example"), ["own a.example", "entry"]);
        assert_eq!(names("b.example"), ["all b.example"]);
        assert_eq!(names("docker.io"), ["all https://index.docker.io/v1/"]);
    }

    #[test]
    fn a_broken_file_is_an_error_that_shows_nothing_of_it() {
        for text in ["", "canary", r#"{"auths": {"a": {"auth": ["canary"]}}}"#, r#"{"auths": "canary"}"#] {
            let message = ConfigFile::parse(text.as_bytes()).err().unwrap();
            assert!(!message.contains("canary"), "{message}");
        }
    }
}
