//! Credentials: where they come from, and for which repository. They are never shown, and are wiped when dropped.
//!
//! A credential belongs to exactly one `host:port`; who may see it besides is decided where token servers are checked.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::config_file::{ConfigFile, Source};
use super::options::Options;
use crate::image::Host;
use crate::reason::{ErrorCode, Problem};

mod config_file;
mod helper;

/// How long a credential is used before its file is read again: a rotated one is in use within a minute.
const FRESH: Duration = Duration::from_secs(45);
/// Credentials remembered at most.
const MAX_REMEMBERED: usize = 4096;

/// What is given to a registry.
#[derive(Clone)]
pub struct Credentials(Kind);

#[derive(Clone)]
enum Kind {
    /// A name and a password.
    Basic { username: Secret, password: Secret },
    /// A refresh token, good for nothing but a token server.
    Identity { token: Secret },
}

/// A text that is wiped when dropped and shown nowhere.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<String>);

/// Finds the credentials of repositories.
#[derive(Debug)]
pub(super) struct Wallet {
    given: BTreeMap<Host, Credentials>,
    files: Vec<PathBuf>,
    helper_time: Duration,
    remembered: Mutex<HashMap<Asked, Remembered>>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Asked {
    /// A path at a host.
    Path(Host, String),
    /// A helper, about a server.
    Helper(String, String),
}

#[derive(Debug, Clone)]
struct Remembered {
    since: Instant,
    credentials: Option<Arc<Credentials>>,
}

impl Credentials {
    /// A name and a password.
    #[must_use]
    pub fn basic(username: String, password: String) -> Self {
        Self(Kind::Basic { username: Secret::new(username), password: Secret::new(password) })
    }

    /// A refresh token.
    #[must_use]
    pub fn identity(token: String) -> Self {
        Self(Kind::Identity { token: Secret::new(token) })
    }

    /// What a `.dockerconfigjson` holds for a host. Helpers that it names are not run.
    ///
    /// # Errors
    /// When it is no such file.
    pub fn from_docker_config(bytes: &[u8], host: &Host) -> Result<Option<Self>, Problem> {
        let file = ConfigFile::parse(bytes).map_err(|message| {
            Problem::new(ErrorCode::ConfigInvalid, format!("the pull secret of `{}`: {message}", host.as_str()))
        })?;
        Ok(file.entry(host, ""))
    }

    /// The header for a registry or token server that takes a name and a password.
    pub(super) fn basic_header(&self) -> Option<HeaderValue> {
        match &self.0 {
            Kind::Basic { username, password } => {
                let pair = Zeroizing::new(format!("{}:{}", username.expose(), password.expose()));
                let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
                sensitive(&text)
            }
            Kind::Identity { .. } => None,
        }
    }

    /// The refresh token, where it is one.
    pub(super) fn refresh_token(&self) -> Option<&str> {
        match &self.0 {
            Kind::Basic { .. } => None,
            Kind::Identity { token } => Some(token.expose()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Credentials(…)")
    }
}

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A header value that no debug output shows.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Wallet {
    pub(super) fn new(options: &Options) -> Self {
        let given =
            options.hosts.iter().filter_map(|(host, of)| Some((host.clone(), of.credentials.clone()?))).collect();
        Self {
            given,
            files: options.docker_config.clone(),
            helper_time: options.limits.helper,
            remembered: Mutex::new(HashMap::new()),
        }
    }

    /// The credentials for a path at a host; `None` where there are none.
    ///
    /// # Errors
    /// A message, when a file or helper that should know cannot be asked.
    pub(super) async fn find(&self, host: &Host, path: &str) -> Result<Option<Arc<Credentials>>, String> {
        let asked = Asked::Path(host.clone(), path.to_owned());
        if let Some(known) = self.remembered(&asked) {
            return Ok(known.credentials);
        }
        let credentials = match self.given.get(host) {
            Some(given) => Some(Arc::new(given.clone())),
            None => self.search(host, path).await?,
        };
        self.remember(asked, credentials.clone());
        Ok(credentials)
    }

    /// Forgets what was found, because the registry did not take it.
    pub(super) fn forget(&self, host: &Host, path: &str) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|asked, _| match asked {
            Asked::Path(of, part) => of != host || part != path,
            Asked::Helper(..) => false,
        });
    }

    fn remember(&self, asked: Asked, credentials: Option<Arc<Credentials>>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(asked, Remembered { since: Instant::now(), credentials });
    }

    fn remembered(&self, asked: &Asked) -> Option<Remembered> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(asked).filter(|known| known.since.elapsed() < FRESH).cloned()
    }

    async fn search(&self, host: &Host, path: &str) -> Result<Option<Arc<Credentials>>, String> {
        for place in &self.files {
            let Some(file) = config_file::read(place).await? else { continue };
            for source in file.sources(host, path) {
                let found = match source {
                    Source::Entry(credentials) => Some(Arc::new(credentials)),
                    Source::Helper { name, server } => self.ask_helper(name, server).await?,
                };
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    async fn ask_helper(&self, name: String, server: String) -> Result<Option<Arc<Credentials>>, String> {
        let asked = Asked::Helper(name.clone(), server.clone());
        if let Some(known) = self.remembered(&asked) {
            return Ok(known.credentials);
        }
        let found = helper::get(&name, &server, self.helper_time).await?.map(Arc::new);
        self.remember(asked, found.clone());
        Ok(found)
    }
}

/// The configuration files that docker and podman read, in the order in which they count.
#[must_use]
pub fn default_credential_files(environment: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let folder =
        |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(|value| Path::new(value).to_owned());
    let docker = folder("DOCKER_CONFIG").or_else(|| folder("HOME").map(|home| home.join(".docker")));
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    let candidates = [
        folder("REGISTRY_AUTH_FILE"),
        folder("XDG_RUNTIME_DIR").map(|runtime| runtime.join("containers/auth.json")),
        config.map(|config| config.join("containers/auth.json")),
        docker.map(|docker| docker.join("config.json")),
    ];
    candidates.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_in_debug_output() {
        let credentials = Credentials::basic("canary-user".into(), "canary-password".into());
        let token = Credentials::identity("canary-token".into());
        let header = credentials.basic_header().unwrap();
        let shown = format!("{credentials:?} {token:?} {header:?} {:?}", Secret::new("canary".into()));
        assert!(!shown.contains("canary"), "{shown}");
        assert!(!shown.contains(&STANDARD.encode("canary-user:canary-password")), "{shown}");
        assert!(token.basic_header().is_none());
    }

    #[test]
    fn files_are_looked_for_where_docker_and_podman_do() {
        let files = |pairs: &[(&str, &str)]| {
            let environment = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let files = default_credential_files(&environment);
            files.iter().map(|file| file.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(files(&[]), Vec::<String>::new());
        assert_eq!(files(&[("HOME", "/h")]), ["/h/.config/containers/auth.json", "/h/.docker/config.json"]);
        assert_eq!(
            files(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/r"), ("REGISTRY_AUTH_FILE", "/a")]),
            ["/a", "/r/containers/auth.json", "/h/.config/containers/auth.json", "/d/config.json"]
        );
    }

    #[tokio::test]
    async fn given_credentials_belong_to_their_host_and_port() {
        let host = |text: &str| Host::parse(text).unwrap();
        let mut options = Options::new(super::super::options::Access::default());
        let settings = super::super::options::HostOptions {
            credentials: Some(Credentials::basic("u".into(), "p".into())),
            ..Default::default()
        };
        options.hosts.insert(host("reg.example.com"), settings);
        let wallet = Wallet::new(&options);
        assert!(wallet.find(&host("reg.example.com"), "a/b").await.unwrap().is_some());
        assert!(wallet.find(&host("reg.example.com:444"), "a/b").await.unwrap().is_none());
        assert!(wallet.find(&host("mirror.example.com"), "a/b").await.unwrap().is_none());
    }
}
