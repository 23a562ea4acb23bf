//! From settings to edges: the one place where configuration becomes clients, sources and targets.

pub mod trusting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::image::Host;
use crate::manifest;
use crate::notify::{self, Channel, Outbox, Poster, Service, Status};
use crate::outcome::Observer;
use crate::pipeline::judge::Bounds;
use crate::policy::PolicySet;
use crate::push::Secret;
use crate::reason::{ErrorCode, Problem};
use crate::registry::{self, Access, Client, Credentials, HostOptions, Mirror, MirrorTags};
use crate::render;
use crate::settings::telling::{Forge, NotificationSettings, Recipient, StatusSettings};
use crate::settings::{
    AccountSettings, FolderSettings, ForeignImages, GateSettings, HookSettings, IsolationSetting, KubernetesSettings,
    LimitSettings, MirrorSettings, ObjectDrift, ObjectSelector, ProxySettings, PruneSettings, PullSecret,
    RegistrySettings, RenderSettings, Settings, SourceSettings, TargetSettings,
};
use crate::source::{self, Auth, Git, GitOptions};
use crate::store::Store;
use crate::target::Delivery;
use crate::target::directory::Directory;
use crate::target::kubernetes::{self, Account, Cluster, Kubernetes, Reach};
use crate::trust;

/// The time for one conversation with a Git server.
const GIT_TIMEOUT: Duration = Duration::from_mins(2);
/// Images judged at once by a gate. The registries' own bounds on concurrency hold besides.
const JOBS: usize = 16;

/// What a registry client is built from, besides the hosts that may be asked.
#[derive(Debug, Clone, Default)]
pub struct RegistryPlan {
    /// Settings of single hosts.
    pub hosts: BTreeMap<Host, HostOptions>,
    /// Bounds.
    pub limits: registry::Limits,
    /// The proxy.
    pub proxy: Option<registry::Proxy>,
    /// Files with credentials.
    pub credentials: Vec<PathBuf>,
}

impl RegistryPlan {
    /// A client that may ask these hosts, and spends at most this time on an image.
    ///
    /// # Errors
    /// When a root certificate cannot be used.
    pub fn client(&self, allowed: Access, timeout: Duration, observer: Arc<dyn Observer>) -> Result<Client, Problem> {
        let options = registry::Options {
            hosts: self.hosts.clone(),
            limits: self.limits.clone(),
            proxy: self.proxy.clone(),
            docker_config: self.credentials.clone(),
            timeout,
            ..registry::Options::new(allowed)
        };
        Client::new(options, observer)
    }
}

/// What a gate tells renderers.
#[must_use]
pub fn rendering(machine: &RenderSettings, gate: &GateSettings) -> render::Plan {
    let RenderSettings { kustomize, helm, time, memory, output, isolation } = machine.clone();
    let folder = |settings: &FolderSettings| {
        let FolderSettings { path, renderer, release, namespace, values, kube_version, api_versions } =
            settings.clone();
        let values = values.into_iter().map(render::Values::InSource).collect();
        render::FolderPlan {
            path,
            renderer,
            helm: render::HelmOptions { release, namespace, values, kube_version, api_versions },
        }
    };
    render::Plan {
        programs: render::Programs { kustomize, helm },
        limits: render::Limits { time, memory, output },
        isolation: match isolation {
            IsolationSetting::BestEffort => render::Isolation::BestEffort,
            IsolationSetting::Required => render::Isolation::Required,
        },
        renderer: None,
        helm: render::HelmOptions { namespace: gate.namespace.clone(), ..render::HelmOptions::default() },
        folders: gate.render.iter().map(folder).collect(),
        extent: render::Extent::Whole,
    }
}

/// What the daemon asks registries with.
///
/// # Errors
/// Every file and pull secret that cannot be read.
pub async fn registries(settings: &Settings, credentials: Vec<PathBuf>) -> Result<RegistryPlan, Vec<Problem>> {
    let LimitSettings { manifest_bytes, blob_bytes, signatures, .. } = settings.limits;
    let limits = registry::Limits { manifest_bytes, blob_bytes, signatures, ..registry::Limits::default() };
    let ProxySettings { https, no_proxy } = settings.proxy.clone();
    let proxy = https.map(|url| registry::Proxy { url, no_proxy });
    let mut hosts = hosts(&settings.registries)?;
    let mut problems = Vec::new();
    for (host, options) in &mut hosts {
        let secret = settings.registries.get(host).and_then(|settings| settings.pull_secret.as_ref());
        match pull_secret(host, secret).await {
            Ok(found) => options.credentials = found,
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(RegistryPlan { hosts, limits, proxy, credentials }) } else { Err(problems) }
}

/// The credentials for a host that a pull secret holds.
async fn pull_secret(host: &Host, secret: Option<&PullSecret>) -> Result<Option<Credentials>, Problem> {
    let Some(PullSecret { namespace, name }) = secret else { return Ok(None) };
    let wrong = |why: String| {
        let message = format!("failed to read the pull secret `{namespace}/{name}` of `{host}`: {why}");
        Problem::new(ErrorCode::ConfigInvalid, message)
            .with_help("check its name and type, and that our service account may get it")
    };
    let config = trust::secret::docker_config(namespace, name).await.map_err(wrong)?;
    let found = Credentials::from_docker_config(&config, host)?;
    found.map(Some).ok_or_else(|| wrong("it holds nothing for this registry".to_owned()))
}

/// The hosts that a configuration names, with their settings.
///
/// # Errors
/// Every file that cannot be read.
pub fn hosts(settings: &BTreeMap<Host, RegistrySettings>) -> Result<BTreeMap<Host, HostOptions>, Vec<Problem>> {
    let mut hosts = BTreeMap::new();
    let mut problems = Vec::new();
    for (host, settings) in settings {
        match host_options(settings) {
            Ok(options) => {
                hosts.insert(host.clone(), options);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(hosts) } else { Err(problems) }
}

fn host_options(settings: &RegistrySettings) -> Result<HostOptions, Problem> {
    let RegistrySettings { mirrors, insecure, ca_file, concurrency, auth_realms, pull_secret: _ } = settings;
    let ca = ca_file.as_ref().map(|path| certificates(path));
    Ok(HostOptions {
        mirrors: mirrors.iter().map(mirror).collect(),
        insecure: *insecure,
        ca: ca.transpose()?,
        concurrency: concurrency.get(),
        auth_realms: auth_realms.clone(),
        credentials: None,
    })
}

/// The bytes of a file with further roots.
fn certificates(path: &std::path::Path) -> Result<Vec<u8>, Problem> {
    trust::file::certificates(path).map_err(|why| {
        Problem::new(ErrorCode::ConfigInvalid, format!("failed to read the roots: {why}"))
            .in_file(path.display().to_string())
            .with_help("check `caFile`, and that this user may read it")
    })
}

fn mirror(settings: &MirrorSettings) -> Mirror {
    let MirrorSettings { host, path, resolve_tags } = settings;
    let tags = if *resolve_tags { MirrorTags::Resolve } else { MirrorTags::Ignore };
    Mirror { host: host.clone(), prefix: path.clone().unwrap_or_default(), tags }
}

/// The hosts that the daemon may ask for these policies, besides those with settings of their own.
#[must_use]
pub fn access(policies: &PolicySet) -> Access {
    Access { hosts: policies.hosts(), any_loopback: false }
}

/// The names of all configured registries, for metrics.
#[must_use]
pub fn registry_names(settings: &Settings, policies: &[&PolicySet]) -> BTreeSet<String> {
    let configured = settings.registries.keys().cloned();
    let named = policies.iter().flat_map(|policies| policies.hosts());
    configured.chain(named).map(|host| host.to_string()).collect()
}

/// The bounds of reading manifests.
#[must_use]
pub fn manifest_limits(limits: &LimitSettings) -> manifest::Limits {
    manifest::Limits { file_bytes: limits.file_bytes, ..manifest::Limits::default() }
}

/// The bounds of judging.
#[must_use]
pub fn bounds(limits: &LimitSettings) -> Bounds {
    Bounds { jobs: JOBS, image_timeout: limits.image_timeout, decision_timeout: limits.decision_timeout }
}

/// A gate's source.
///
/// # Errors
/// When the settings cannot be meant so.
pub fn source(gate: &GateSettings, limits: &LimitSettings, store: &Store) -> Result<Git, Problem> {
    let SourceSettings { url, branch, path, interval: _, exclude, allow_rewrite, auth } = gate.source.clone();
    Git::new(GitOptions {
        url,
        branch,
        path,
        exclude,
        auth: Auth {
            username: auth.username,
            password_file: auth.password_file,
            ca_file: auth.ca_file,
            ssh_key_file: auth.ssh_key_file,
            known_hosts_file: auth.known_hosts_file,
        },
        allow_rewrite,
        limits: source::Limits { file_bytes: limits.file_bytes, files: limits.files, ..source::Limits::default() },
        timeout: GIT_TIMEOUT,
        cache: store.source_cache(&gate.name),
    })
}

/// The cluster that a gate writes to and the namespace of its inventory there, where it writes to one.
#[must_use]
pub fn cluster(gate: &GateSettings) -> Option<(Cluster, String)> {
    match &gate.target {
        TargetSettings::Directory { .. } => None,
        TargetSettings::Kubernetes(cluster) => {
            let kubernetes::Options { cluster, inventory_namespace, .. } = cluster_options(gate, cluster);
            Some((cluster, inventory_namespace))
        }
    }
}

/// Who is told what changes, and by whom.
///
/// # Errors
/// Every channel whose roots cannot be used.
pub fn outbox(settings: &Settings) -> Result<Outbox, Vec<Problem>> {
    let proxy = settings.proxy.https.as_deref().map(|url| (url, settings.proxy.no_proxy.as_slice()));
    let mut channels = Vec::new();
    let mut problems = Vec::new();
    let statuses = settings.gates.iter().filter_map(|gate| gate.statuses.as_ref().map(|status| (gate, status)));
    let described =
        settings.notifications.iter().map(notified).chain(statuses.map(|(gate, status)| shown(gate, status)));
    for (channel, ca) in described {
        let roots = ca.as_ref().map(|path| trust::file::certificates(path)).transpose();
        match roots.and_then(|roots| Poster::new(roots.as_deref(), proxy)) {
            Ok(poster) => channels.push((channel, poster)),
            Err(why) => {
                let message = format!("failed to prepare the notification `{}`: {why}", channel.name);
                problems.push(Problem::new(ErrorCode::ConfigInvalid, message).with_help("check its `caFile`"));
            }
        }
    }
    if problems.is_empty() { Ok(Outbox::start(channels)) } else { Err(problems) }
}

fn notified(settings: &NotificationSettings) -> (Channel, Option<PathBuf>) {
    let NotificationSettings { name, gates, to, ca_file } = settings.clone();
    let service = match to {
        Recipient::Slack { url_file } => Service::Slack { url_file },
        Recipient::Webhook { url, secret_file } => Service::CloudEvents { url, secret_file },
        Recipient::Alertmanager { url, username, password_file } => {
            Service::Alertmanager { url, username, password_file }
        }
    };
    (Channel { name, gates, service }, ca_file)
}

fn shown(gate: &GateSettings, settings: &StatusSettings) -> (Channel, Option<PathBuf>) {
    let StatusSettings { forge, api, repository, token_file, link, ca_file } = settings.clone();
    let forge = match forge {
        Forge::GitHub => notify::Forge::GitHub,
        Forge::GitLab => notify::Forge::GitLab,
        Forge::Gitea => notify::Forge::Gitea,
    };
    let service = Service::Status(Status { forge, api, repository, token_file, link });
    (Channel { name: format!("status of {}", gate.name), gates: vec![gate.name.clone()], service }, ca_file)
}

/// What is wrong with the secret of a gate's push events; nothing, where it listens to none.
#[must_use]
pub fn hook_secret(gate: &GateSettings) -> Option<Problem> {
    let HookSettings { provider, secret_file } = gate.hook.as_ref()?;
    let read = std::fs::read(secret_file).map_err(|error| error.to_string());
    let why = read.and_then(|bytes| Secret::read(*provider, &bytes).map_err(str::to_owned)).err()?;
    let message = format!("failed to read the secret of push events to `{}`: {why}", gate.name);
    Some(
        Problem::new(ErrorCode::ConfigInvalid, message).in_file(secret_file.display().to_string()).with_help(
            "write at least 16 random bytes into `hook.secretFile`; for GitLab, the webhook's signing token",
        ),
    )
}

/// A gate's target.
///
/// # Errors
/// When it cannot be used.
pub async fn target(gate: &GateSettings) -> Result<Delivery, Problem> {
    match &gate.target {
        TargetSettings::Directory { path } => Ok(Delivery::Directory(Directory::new(path)?)),
        TargetSettings::Kubernetes(cluster) => {
            Ok(Delivery::Kubernetes(Box::new(Kubernetes::connect(cluster_options(gate, cluster)).await?)))
        }
    }
}

/// How a gate uses its cluster.
fn cluster_options(gate: &GateSettings, cluster: &KubernetesSettings) -> kubernetes::Options {
    let KubernetesSettings {
        context,
        tenant,
        events,
        inventory_namespace,
        prune: PruneSettings { enabled, empty, namespaces, definitions, keep },
        force,
        force_objects,
        recreate,
        foreign_images,
        health,
    } = cluster.clone();
    kubernetes::Options {
        cluster: Cluster { kubeconfig: tenant.kubeconfig, context },
        account: tenant.service_account.map(|AccountSettings { namespace, name }| Account { namespace, name }),
        events: events.unwrap_or_else(kubernetes::in_cluster),
        reach: Reach { namespaces: tenant.namespaces, kinds: tenant.kinds },
        namespace: gate.namespace.clone(),
        inventory_namespace,
        prune: kubernetes::Pruning { enabled, empty, namespaces, definitions, keep: selectors(keep) },
        force,
        forced: selectors(force_objects),
        recreated: selectors(recreate),
        foreign_images: match foreign_images {
            ForeignImages::Refuse => kubernetes::ForeignImages::Refuse,
            ForeignImages::Report => kubernetes::ForeignImages::Report,
        },
        health,
        correct: gate.drift.objects == ObjectDrift::Correct,
        watch: gate.drift.objects != ObjectDrift::Off,
        ..kubernetes::Options::new(&gate.name)
    }
}

fn selectors(written: Vec<ObjectSelector>) -> Vec<kubernetes::Selector> {
    let selector =
        |ObjectSelector { group, kind, namespace, name }| kubernetes::Selector { group, kind, namespace, name };
    written.into_iter().map(selector).collect()
}
