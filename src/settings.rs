//! The configuration: as written, then as valid, with all problems at once and their places. It reads its own file and
//! nothing else; the environment is an argument, and the files that it names are read by those who need them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::discovery;
use crate::fields::{self, Found, Record, Shape};
use crate::image::Host;
use crate::manifest::{self, Node};
use crate::push::Provider;
use crate::reason::{ErrorCode, Place, Problem};
use crate::snapshot::{File, Renderer};

use telling::{NotificationSettings, StatusSettings};

mod checks;
mod environment;
pub mod kms;
mod kubernetes;
mod layers;
pub mod quantity;
mod schema;
pub mod telling;
mod tenant;
mod valid;
mod written;

pub use kubernetes::{ForeignImages, KubernetesSettings, ObjectSelector, PruneSettings};
pub use tenant::{AccountSettings, TenantSettings};

/// The daemon's configuration; every path in it is resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where health, metrics, status page and API are served.
    pub listen: SocketAddr,
    /// Where pins, evidence and the decision log are kept.
    pub state_dir: PathBuf,
    /// The gates, at least one, with distinct names.
    pub gates: Vec<GateSettings>,
    /// What holds for single registries.
    pub registries: BTreeMap<Host, RegistrySettings>,
    /// Which fields name images, beyond the known kinds.
    pub discovery: discovery::Rules,
    /// How much is read and waited for.
    pub limits: LimitSettings,
    /// The proxy.
    pub proxy: ProxySettings,
    /// Whether several replicas share the gates by leases; none: where we run in a cluster.
    pub leader_election: Option<bool>,
    /// The renderers of this machine.
    pub render: RenderSettings,
    /// Who is told what changed.
    pub notifications: Vec<NotificationSettings>,
    /// Whether no connection is opened but to what registries, source and target need.
    pub offline: bool,
    /// How the default trust root is kept up to date.
    pub tuf: TufSettings,
    /// How key services are asked.
    pub kms: kms::KmsSettings,
}

/// The renderers of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderSettings {
    /// `kustomize`, or a `kubectl`; that of the PATH where none.
    pub kustomize: Option<PathBuf>,
    /// `helm`; that of the PATH where none.
    pub helm: Option<PathBuf>,
    /// Time of one build.
    pub time: Duration,
    /// Memory of one build, in bytes.
    pub memory: usize,
    /// Bytes that one build may print.
    pub output: usize,
    /// Whether nothing is built where the network cannot be cut.
    pub isolation: IsolationSetting,
}

/// Whether a network that cannot be cut is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationSetting {
    /// It is, and told.
    BestEffort,
    /// Nothing is built then.
    Required,
}

/// What is rendered how: one folder of a gate's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderSettings {
    /// The folder inside the repository.
    pub path: String,
    /// What builds it; what it holds says so, where none.
    pub renderer: Option<Renderer>,
    /// The name of a chart's release.
    pub release: Option<String>,
    /// The namespace of the release.
    pub namespace: Option<String>,
    /// Files of values, relative to the folder.
    pub values: Vec<String>,
    /// The version of Kubernetes that templates see.
    pub kube_version: Option<String>,
    /// The versions of the API that templates see besides Helm's own.
    pub api_versions: Vec<String>,
}

/// How trust roots are kept up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TufSettings {
    /// The mirror of the default root; the sigstore organisation's own, where none.
    pub mirror: Option<String>,
    /// The file with the TUF root of the default root; the public-good one, where none.
    pub root: Option<PathBuf>,
    /// The file with further roots for the mirrors.
    pub ca_file: Option<PathBuf>,
    /// How often mirrors are asked.
    pub interval: Duration,
}

/// One source, one policy set, one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateSettings {
    /// Its name: a DNS label.
    pub name: String,
    /// Where manifests come from.
    pub source: SourceSettings,
    /// The policy files, at least one.
    pub policies: Vec<PathBuf>,
    /// Where manifests go.
    pub target: TargetSettings,
    /// The namespace of objects that name none.
    pub namespace: Option<String>,
    /// Whether it writes.
    pub mode: Mode,
    /// What is done about drift.
    pub drift: DriftSettings,
    /// What is rendered how, beyond what the folders themselves say.
    pub render: Vec<FolderSettings>,
    /// The push events that it listens to.
    pub hook: Option<HookSettings>,
    /// Whether it rests.
    pub suspend: bool,
    /// Where its decisions stand beside the commit.
    pub statuses: Option<StatusSettings>,
}

/// The push events that a gate listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSettings {
    /// Who sends them.
    pub provider: Provider,
    /// The file with the secret that they are signed with.
    pub secret_file: PathBuf,
}

/// A Git source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// The URL, without credentials, or the path of a local repository.
    pub url: String,
    /// The branch.
    pub branch: String,
    /// The folder inside the repository, without slashes at its ends; empty for all of it.
    pub path: String,
    /// How often the branch is looked at.
    pub interval: Duration,
    /// Patterns on paths that are left out.
    pub exclude: Vec<String>,
    /// Whether a head that does not descend from the last one is followed.
    pub allow_rewrite: bool,
    /// Credentials.
    pub auth: AuthSettings,
}

/// How a Git server is met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthSettings {
    /// The user.
    pub username: Option<String>,
    /// The file with the password or token.
    pub password_file: Option<PathBuf>,
    /// The file with further roots.
    pub ca_file: Option<PathBuf>,
    /// The file with the ssh key.
    pub ssh_key_file: Option<PathBuf>,
    /// The file with the known hosts.
    pub known_hosts_file: Option<PathBuf>,
}

/// Where manifests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetSettings {
    /// A cluster.
    Kubernetes(Box<KubernetesSettings>),
    /// A folder.
    Directory {
        /// The link to the applied revision.
        path: PathBuf,
    },
}

/// Whether a gate writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It does everything else.
    Audit,
}

impl Mode {
    /// The name used in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
        }
    }
}

/// What is done about drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriftSettings {
    /// Of objects.
    pub objects: ObjectDrift,
    /// Of tags: how often they are looked at; never, where none.
    pub tags: Option<Duration>,
}

/// What is done about objects that were changed at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectDrift {
    /// They are put right.
    Correct,
    /// They are reported.
    Report,
    /// Nothing.
    Off,
}

/// What holds for one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The mirrors, in the order in which they are tried.
    pub mirrors: Vec<MirrorSettings>,
    /// Whether plain HTTP is allowed.
    pub insecure: bool,
    /// The file with further roots.
    pub ca_file: Option<PathBuf>,
    /// How many requests may be under way at once.
    pub concurrency: NonZeroUsize,
    /// The hosts of token servers beside the registry's own.
    pub auth_realms: Vec<Host>,
    /// The secret that holds credentials, in a cluster.
    pub pull_secret: Option<PullSecret>,
}

/// A mirror of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSettings {
    /// Its host.
    pub host: Host,
    /// The path under which it keeps the origin's repositories.
    pub path: Option<String>,
    /// Whether it may say what a tag is.
    pub resolve_tags: bool,
}

/// A secret with credentials for a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSecret {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How much is read and waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Files of one revision.
    pub files: usize,
    /// Images of one revision.
    pub images: usize,
    /// Bytes of an image manifest.
    pub manifest_bytes: usize,
    /// Bytes of a blob.
    pub blob_bytes: usize,
    /// Payloads and bundles fetched for an image.
    pub signatures: usize,
    /// Time for an image with all its retries.
    pub image_timeout: Duration,
    /// Time for a decision.
    pub decision_timeout: Duration,
}

/// The proxy; the environment's own is not used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// The proxy for HTTPS.
    pub https: Option<String>,
    /// Hosts that are reached without it.
    pub no_proxy: Vec<String>,
}

impl Default for TufSettings {
    fn default() -> Self {
        // The public-good repository renews what ends first within days.
        Self { mirror: None, root: None, ca_file: None, interval: Duration::from_hours(6) }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            file_bytes: 10 << 20,
            files: 50_000,
            images: 5_000,
            manifest_bytes: 4 << 20,
            blob_bytes: 32 << 20,
            signatures: 64,
            image_timeout: Duration::from_mins(2),
            decision_timeout: Duration::from_mins(10),
        }
    }
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            mirrors: Vec::new(),
            insecure: false,
            ca_file: None,
            // Enough to keep a registry busy, and below what public ones call abuse.
            concurrency: NonZeroUsize::MIN.saturating_add(7),
            auth_realms: Vec::new(),
            pull_secret: None,
        }
    }
}

/// Loads the configuration: defaults, then the file, then the environment.
///
/// # Errors
/// Every problem of file and environment.
pub fn load(path: &Path, environment: &BTreeMap<String, String>) -> Result<Settings, Vec<Problem>> {
    let file = read(path).map_err(|problem| vec![problem])?;
    parse(&file, path, environment)
}

/// Loads a file whose only key is `registries`.
///
/// # Errors
/// Every problem of the file.
pub fn load_registries(path: &Path) -> Result<BTreeMap<Host, RegistrySettings>, Vec<Problem>> {
    let file = read(path).map_err(|problem| vec![problem])?;
    let root = checked(&file, &schema::REGISTRY_CONFIG)?;
    let disagreement = |message: String| disagreement(&file.path, message);
    let written: written::RegistryConfig = layers::alone(&root).map_err(|error| disagreement(error.to_string()))?;
    valid::registries(written.registries, folder(path)).map_err(|complaint| disagreement(complaint.message))
}

/// Reads a configuration from a file in memory; `path` says whose folder relative paths are relative to.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &File, path: &Path, environment: &BTreeMap<String, String>) -> Result<Settings, Vec<Problem>> {
    let overrides = environment::overrides(environment, &schema::SETTINGS);
    let root = checked(file, &schema::SETTINGS);
    let (root, overrides) = match (root, overrides) {
        (Ok(root), Ok(overrides)) => (root, overrides),
        (root, overrides) => {
            let mut problems = root.err().unwrap_or_default();
            problems.extend(overrides.err().unwrap_or_default());
            return Err(problems);
        }
    };
    let disagreement = |message: String| disagreement(&file.path, message);
    let written = layers::join(&root, &overrides).map_err(|error| disagreement(error.to_string()))?;
    let mut settings = valid::settings(written, folder(path)).map_err(|complaint| disagreement(complaint.message))?;
    if let Some(layer) = overrides.iter().find(|layer| layer.path == "stateDir") {
        // A path in the environment is relative to where the daemon was started.
        settings.state_dir = PathBuf::from(&layer.text);
    }
    Ok(settings)
}

/// The fields of a configuration, as a table for readers.
#[must_use]
pub fn fields_table() -> String {
    fields::describe::table(&Shape::Record(&schema::SETTINGS))
}

/// Longest configuration file in bytes.
const MAX_FILE: usize = 1 << 20;

fn read(path: &Path) -> Result<File, Problem> {
    use std::io::Read;
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let bound = u64::try_from(MAX_FILE).unwrap_or(u64::MAX).saturating_add(1);
    let opened = std::fs::metadata(path).and_then(|about| {
        if about.is_file() { std::fs::File::open(path) } else { Err(std::io::Error::other("it is no regular file")) }
    });
    match opened.and_then(|file| file.take(bound).read_to_end(&mut bytes)) {
        Ok(_) => Ok(File { path: name.into(), bytes: bytes.into() }),
        Err(why) => {
            let problem = Problem::new(ErrorCode::ConfigInvalid, format!("failed to read the configuration: {why}"));
            Err(problem.in_file(name).with_help("check the path, and that this user may read it"))
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The file's one document, with every field known and every value possible.
fn checked(file: &File, record: &'static Record) -> Result<Node, Vec<Problem>> {
    let limits = manifest::Limits { file_bytes: MAX_FILE, documents: 16, depth: 32, ..manifest::Limits::default() };
    let mut found = Found::new(&file.path, ErrorCode::ConfigInvalid);
    let (documents, problems) = manifest::survey(file, &limits);
    let unread = !problems.is_empty();
    found.take(problems);
    for document in documents.iter().skip(1) {
        found.report(document.root.place, "the file has a second document", "write one document");
    }
    let Some(document) = documents.into_iter().next() else {
        if !unread {
            found.report(Place { line: 1, column: 1 }, "the file is empty", "see `config/sealgate.yaml`");
        }
        return Err(found.into_problems());
    };
    fields::check(&document.root, &Shape::Record(record), &fields::Path::default(), &mut found);
    if found.is_empty() { Ok(document.root) } else { Err(found.into_problems()) }
}

/// What the first reading let through and the second did not: a mistake of ours, and no reason to go on.
fn disagreement(file: &str, message: String) -> Vec<Problem> {
    let help = "write the value as the documentation shows it";
    vec![Problem::new(ErrorCode::ConfigInvalid, message).in_file(file).with_help(help)]
}

#[cfg(test)]
mod tests;
