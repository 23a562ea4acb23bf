//! The configuration as valid: the types that the rest of the program knows, paths resolved.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use super::checks::{self, Transport};
use super::kubernetes;
use super::written::{self, Written};
use super::{
    AuthSettings, DriftSettings, FolderSettings, GateSettings, HookSettings, IsolationSetting, LimitSettings,
    MirrorSettings, Mode, ObjectDrift, ProxySettings, PullSecret, RegistrySettings, RenderSettings, Settings,
    SourceSettings, TargetSettings, TufSettings, quantity,
};
use super::{schema, telling};
use crate::discovery::{self, FieldRule};
use crate::fields::Complaint;
use crate::image::Host;
use crate::push::Provider;
use crate::snapshot::Renderer;

/// How often a branch is looked at, where nothing is said.
const INTERVAL: Duration = Duration::from_secs(30);

pub(super) fn settings(written: Written, folder: &Path) -> Result<Settings, Complaint> {
    let Written {
        listen,
        state_dir,
        gates,
        registries,
        discovery,
        limits,
        proxy,
        leader_election,
        render,
        notifications,
        offline,
        tuf,
        kms,
    } = written;
    let wrong = |_| Complaint::new(format!("`{listen}` is no address"), "write `127.0.0.1:8080`");
    Ok(Settings {
        listen: listen.parse().map_err(wrong)?,
        state_dir: folder.join(state_dir),
        gates: gates.into_iter().map(|written| gate(written, folder)).collect::<Result<_, _>>()?,
        registries: self::registries(registries, folder)?,
        discovery: self::discovery(discovery)?,
        limits: self::limits(&limits)?,
        proxy: ProxySettings { https: proxy.https, no_proxy: proxy.no_proxy },
        leader_election,
        render: self::render(render, folder)?,
        notifications: notifications
            .into_iter()
            .map(|written| telling::notification(written, folder))
            .collect::<Result<_, _>>()?,
        offline,
        tuf: self::tuf(tuf, folder)?,
        kms: kms.into_settings(folder)?,
    })
}

fn tuf(written: written::Tuf, folder: &Path) -> Result<TufSettings, Complaint> {
    let written::Tuf { mirror, root, ca_file, interval } = written;
    let default = TufSettings::default();
    Ok(TufSettings {
        mirror,
        root: root.map(|path| folder.join(path)),
        ca_file: ca_file.map(|path| folder.join(path)),
        interval: interval.as_deref().map_or(Ok(default.interval), quantity::duration)?,
    })
}

/// The registries by their host, paths resolved.
pub(super) fn registries(
    written: BTreeMap<String, written::Registry>,
    folder: &Path,
) -> Result<BTreeMap<Host, RegistrySettings>, Complaint> {
    let mut registries = BTreeMap::new();
    for (name, written) in written {
        let host = host(&name)?;
        if registries.insert(host, registry(written, folder)?).is_some() {
            return Err(Complaint::new(format!("registry `{name}` stands twice"), "write it once"));
        }
    }
    Ok(registries)
}

fn host(text: &str) -> Result<Host, Complaint> {
    Host::parse(text).map_err(|error| Complaint::new(error.to_string(), "write `host[:port]`"))
}

fn registry(written: written::Registry, folder: &Path) -> Result<RegistrySettings, Complaint> {
    let written::Registry { mirrors, insecure, ca_file, concurrency, auth_realms, pull_secret } = written;
    let default = RegistrySettings::default();
    Ok(RegistrySettings {
        mirrors: mirrors.into_iter().map(mirror).collect::<Result<_, _>>()?,
        insecure,
        ca_file: ca_file.map(|path| folder.join(path)),
        concurrency: concurrency.and_then(NonZeroUsize::new).unwrap_or(default.concurrency),
        auth_realms: auth_realms.iter().map(|name| host(name)).collect::<Result<_, _>>()?,
        pull_secret: pull_secret.map(|written::PullSecret { namespace, name }| PullSecret { namespace, name }),
    })
}

fn mirror(written: written::Mirror) -> Result<MirrorSettings, Complaint> {
    let (location, resolve_tags) = match written {
        written::Mirror::Plain(location) => (location, false),
        written::Mirror::Full(written::FullMirror { location, resolve_tags }) => (location, resolve_tags),
    };
    let (host, path) = checks::split_mirror(&location)?;
    Ok(MirrorSettings { host, path, resolve_tags })
}

fn gate(written: written::Gate, folder: &Path) -> Result<GateSettings, Complaint> {
    let written::Gate { name, source, policies, target, namespace, mode, drift, render, hook, suspend, statuses } =
        written;
    Ok(GateSettings {
        name,
        source: self::source(source, folder)?,
        policies: policies.into_iter().map(|path| folder.join(path)).collect(),
        target: self::target(target, folder)?,
        namespace,
        mode: match mode {
            written::Mode::Enforce => Mode::Enforce,
            written::Mode::Audit => Mode::Audit,
        },
        drift: self::drift(&drift)?,
        render: render.into_iter().map(rendered_folder).collect(),
        hook: hook.map(|written| self::hook(written, folder)).transpose()?,
        suspend,
        statuses: statuses.map(|written| telling::statuses(written, folder)).transpose()?,
    })
}

fn hook(written: written::Hook, folder: &Path) -> Result<HookSettings, Complaint> {
    let written::Hook { provider, secret_file } = written;
    let wrong = || Complaint::new(format!("`{provider}` sends no push events that are known here"), "write `generic`");
    Ok(HookSettings {
        provider: Provider::of_name(&provider).ok_or_else(wrong)?,
        secret_file: folder.join(secret_file),
    })
}

fn source(written: written::Source, folder: &Path) -> Result<SourceSettings, Complaint> {
    let written::Source { git, branch, path, interval, exclude, allow_rewrite, auth } = written;
    let at = |path: String| folder.join(path);
    Ok(SourceSettings {
        url: location(git, folder)?,
        branch: branch.unwrap_or_else(|| "main".to_owned()),
        path: path.map(|path| plain(&path)).unwrap_or_default(),
        interval: interval.as_deref().map_or(Ok(INTERVAL), quantity::duration)?,
        exclude,
        allow_rewrite,
        auth: AuthSettings {
            username: auth.username,
            password_file: auth.password_file.map(at),
            ca_file: auth.ca_file.map(at),
            ssh_key_file: auth.ssh_key_file.map(at),
            known_hosts_file: auth.known_hosts_file.map(at),
        },
    })
}

/// The URL as it is; the path of a local repository resolved.
fn location(git: String, folder: &Path) -> Result<String, Complaint> {
    if checks::transport(&git)? != Transport::Local || git.contains("://") {
        return Ok(git);
    }
    let odd = |_| Complaint::new("the configuration's folder has a name that is no text", "rename it");
    folder.join(git).into_os_string().into_string().map_err(odd)
}

/// A path inside a repository without what means nothing in it.
fn plain(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

fn target(written: written::Target, folder: &Path) -> Result<TargetSettings, Complaint> {
    match (written.kubernetes, written.directory) {
        (Some(cluster), None) => Ok(TargetSettings::Kubernetes(Box::new(kubernetes::valid(cluster, folder)?))),
        (None, Some(written::Directory { path })) => Ok(TargetSettings::Directory { path: folder.join(path) }),
        (None, None) | (Some(_), Some(_)) => Err(Complaint::new("a gate has exactly one target", "name one")),
    }
}

fn drift(written: &written::Drift) -> Result<DriftSettings, Complaint> {
    let objects = match written.objects.as_deref() {
        None | Some("correct") => ObjectDrift::Correct,
        Some("report") => ObjectDrift::Report,
        Some("off" | "false") => ObjectDrift::Off,
        Some(other) => return Err(Complaint::new(format!("`{other}` is no way to meet drift"), "write `correct`")),
    };
    let tags = match written.tags.as_deref() {
        None | Some("off" | "false") => None,
        Some(interval) => Some(quantity::duration(interval)?),
    };
    Ok(DriftSettings { objects, tags })
}

fn discovery(written: written::Discovery) -> Result<discovery::Rules, Complaint> {
    let rule = |written::Field { group, kind, path, action, reason, split }: written::Field| {
        let wrong = |why: String| Complaint::new(why, "write a path such as `spec.runtime.image`");
        let action = schema::action(&action).ok_or_else(|| wrong(format!("`{action}` is no action")))?;
        let rule = FieldRule::new(&group, &kind, &path, action).map_err(wrong)?;
        let rule = match split {
            Some(written::Split { registry, repository, name, tag, digest }) => {
                rule.in_parts(discovery::SplitKeys { registry, repository, name, tag, digest }).map_err(wrong)?
            }
            None => rule,
        };
        Ok(match reason {
            Some(reason) => rule.because(&reason),
            None => rule,
        })
    };
    Ok(discovery::Rules {
        fields: written.fields.into_iter().map(rule).collect::<Result<_, _>>()?,
        unclassified: match written.unclassified {
            written::Unclassified::Refuse => discovery::Unclassified::Refuse,
            written::Unclassified::Warn => discovery::Unclassified::Warn,
            written::Unclassified::Ignore => discovery::Unclassified::Ignore,
        },
    })
}

fn render(written: written::Render, folder: &Path) -> Result<RenderSettings, Complaint> {
    let written::Render { kustomize, helm, time, memory, output, isolation } = written;
    Ok(RenderSettings {
        kustomize: kustomize.map(|path| folder.join(path)),
        helm: helm.map(|path| folder.join(path)),
        time: quantity::duration(&time)?,
        memory: quantity::size(&memory)?,
        output: quantity::size(&output)?,
        isolation: match isolation {
            written::Isolation::BestEffort => IsolationSetting::BestEffort,
            written::Isolation::Required => IsolationSetting::Required,
        },
    })
}

fn rendered_folder(written: written::Folder) -> FolderSettings {
    let written::Folder { path, renderer, release, namespace, values, kube_version, api_versions } = written;
    let renderer = renderer.map(|renderer| match renderer {
        written::Renderer::Kustomize => Renderer::Kustomize,
        written::Renderer::Helm => Renderer::Helm,
    });
    FolderSettings { path: plain(&path), renderer, release, namespace, values, kube_version, api_versions }
}

fn limits(written: &written::Limits) -> Result<LimitSettings, Complaint> {
    Ok(LimitSettings {
        file_bytes: quantity::size(&written.file_bytes)?,
        files: written.files,
        images: written.images,
        manifest_bytes: quantity::size(&written.manifest_bytes)?,
        blob_bytes: quantity::size(&written.blob_bytes)?,
        signatures: written.signatures,
        image_timeout: quantity::duration(&written.image_timeout)?,
        decision_timeout: quantity::duration(&written.decision_timeout)?,
    })
}
