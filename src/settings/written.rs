//! The configuration as `config` hands it over: every field, in the types of the file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::kubernetes;
use super::telling::{Notification, Statuses};

/// The configuration file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Written {
    pub(super) listen: String,
    pub(super) state_dir: String,
    pub(super) gates: Vec<Gate>,
    #[serde(default)]
    pub(super) registries: BTreeMap<String, Registry>,
    pub(super) discovery: Discovery,
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) proxy: Proxy,
    pub(super) leader_election: Option<bool>,
    pub(super) render: Render,
    #[serde(default)]
    pub(super) notifications: Vec<Notification>,
    #[serde(default)]
    pub(super) offline: bool,
    #[serde(default)]
    pub(super) tuf: Tuf,
    #[serde(default)]
    pub(super) kms: super::kms::Written,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Render {
    pub(super) kustomize: Option<String>,
    pub(super) helm: Option<String>,
    pub(super) time: String,
    pub(super) memory: String,
    pub(super) output: String,
    pub(super) isolation: Isolation,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Isolation {
    BestEffort,
    Required,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Folder {
    pub(super) path: String,
    pub(super) renderer: Option<Renderer>,
    pub(super) release: Option<String>,
    pub(super) namespace: Option<String>,
    #[serde(default)]
    pub(super) values: Vec<String>,
    pub(super) kube_version: Option<String>,
    #[serde(default)]
    pub(super) api_versions: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Renderer {
    Kustomize,
    Helm,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Tuf {
    pub(super) mirror: Option<String>,
    pub(super) root: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) interval: Option<String>,
}

/// A file of registries alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryConfig {
    pub(super) registries: BTreeMap<String, Registry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Gate {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) policies: Vec<String>,
    pub(super) target: Target,
    pub(super) namespace: Option<String>,
    #[serde(default)]
    pub(super) mode: Mode,
    #[serde(default)]
    pub(super) drift: Drift,
    pub(super) hook: Option<Hook>,
    #[serde(default)]
    pub(super) render: Vec<Folder>,
    #[serde(default)]
    pub(super) suspend: bool,
    pub(super) statuses: Option<Statuses>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Hook {
    pub(super) provider: String,
    pub(super) secret_file: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Source {
    pub(super) git: String,
    pub(super) branch: Option<String>,
    pub(super) path: Option<String>,
    pub(super) interval: Option<String>,
    #[serde(default)]
    pub(super) exclude: Vec<String>,
    #[serde(default)]
    pub(super) allow_rewrite: bool,
    #[serde(default)]
    pub(super) auth: Auth,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) username: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) ssh_key_file: Option<String>,
    pub(super) known_hosts_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Target {
    pub(super) kubernetes: Option<kubernetes::Written>,
    pub(super) directory: Option<Directory>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Directory {
    pub(super) path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    #[default]
    Enforce,
    Audit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drift {
    /// `off`, written bare, is `false` to YAML 1.1, here and below.
    pub(super) objects: Option<String>,
    pub(super) tags: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Registry {
    #[serde(default)]
    pub(super) mirrors: Vec<Mirror>,
    #[serde(default)]
    pub(super) insecure: bool,
    pub(super) ca_file: Option<String>,
    pub(super) concurrency: Option<usize>,
    #[serde(default)]
    pub(super) auth_realms: Vec<String>,
    pub(super) pull_secret: Option<PullSecret>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Mirror {
    Plain(String),
    Full(FullMirror),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FullMirror {
    pub(super) location: String,
    #[serde(default)]
    pub(super) resolve_tags: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PullSecret {
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Discovery {
    #[serde(default)]
    pub(super) fields: Vec<Field>,
    pub(super) unclassified: Unclassified,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Field {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) path: String,
    pub(super) action: String,
    pub(super) reason: Option<String>,
    pub(super) split: Option<Split>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Split {
    pub(super) registry: Option<String>,
    pub(super) repository: String,
    pub(super) name: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) digest: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Unclassified {
    Refuse,
    Warn,
    Ignore,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) file_bytes: String,
    pub(super) files: usize,
    pub(super) images: usize,
    pub(super) manifest_bytes: String,
    pub(super) blob_bytes: String,
    pub(super) signatures: usize,
    pub(super) image_timeout: String,
    pub(super) decision_timeout: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Proxy {
    pub(super) https: Option<String>,
    #[serde(default)]
    pub(super) no_proxy: Vec<String>,
}
