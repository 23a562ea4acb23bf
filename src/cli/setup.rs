//! What `check`, `pin` and `verify` share: the policy in one of three ways, the registries, the bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::assembly::{self, RegistryPlan, trusting, trusting::TrustPlan};
use crate::discovery;
use crate::gate::Finder;
use crate::image::Host;
use crate::manifest;
use crate::outcome::{Observer, Unobserved};
use crate::pipeline::judge::{Bounds, Judge};
use crate::policy::PolicySet;
use crate::reason::{ErrorCode, Problem};
use crate::registry::{Access, Client, default_credential_files};
use crate::render;
use crate::settings::{self, GateSettings, LimitSettings, Settings};
use crate::signer::PublicKey;
use crate::source;
use crate::trust::roots::Asking;
use crate::trust::{self, Trust};

use super::keyless::Keyless;
use super::output::Form;
use super::{Environment, block_on};

/// Images judged at once, where nothing is said.
const JOBS: usize = 16;

/// Options of every command that verifies.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// A policy file (repeatable)
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// A public key in PEM (repeatable: any of them)
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// A signed annotation that must be there (with --key or an identity; repeatable)
    #[arg(short = 'a', long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    #[command(flatten)]
    keyless: Keyless,
    /// The daemon's configuration: says what the daemon would say (with --gate)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The gate of the configuration
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
    /// A file whose top-level key is `registries:`
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// A registry that may be asked besides those that the policy names (repeatable)
    #[arg(long, value_name = "HOST")]
    registry: Vec<String>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    pub(super) output: Form,
    /// The namespace of objects that name none
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Files and folders to leave out (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Images verified at once
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Time for one image with all its retries, such as 30s [default: 30s]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Connect to nothing but the images' registries
    #[arg(long)]
    offline: bool,
}

/// Everything needed to judge.
pub(super) struct Setup {
    pub(super) policies: PolicySet,
    pub(super) client: Client,
    pub(super) rules: discovery::Rules,
    pub(super) namespace: Option<String>,
    pub(super) exclude: Vec<String>,
    pub(super) limits: LimitSettings,
    /// What renderers are told.
    pub(super) rendering: render::Plan,
    /// The gate whose word is asked for.
    pub(super) gate: Option<GateSettings>,
    /// The files on which verdicts rest, besides those that policies name.
    pub(super) judged_by: Vec<PathBuf>,
    bounds: Bounds,
    observer: Arc<dyn Observer>,
}

/// Where the policy comes from.
enum Way {
    Policy,
    Signers,
    Gate { config: PathBuf, gate: String },
}

/// What the configuration adds.
struct Background {
    policies: PolicySet,
    hosts: RegistryPlan,
    access: Access,
    rules: discovery::Rules,
    namespace: Option<String>,
    exclude: Vec<String>,
    limits: LimitSettings,
    rendering: render::Plan,
    gate: Option<GateSettings>,
}

impl Common {
    /// Reads everything that the options name. `typed` are the hosts of images on the command line.
    ///
    /// # Errors
    /// Every problem of options and files.
    pub(super) fn setup(
        &self,
        environment: &Environment,
        typed: &BTreeSet<Host>,
        observer: Arc<dyn Observer>,
    ) -> Result<Setup, Vec<Problem>> {
        let background = match self.way()? {
            Way::Policy => Self::tool(load(&self.policy, &tool_trust(environment, self.offline)?)?, environment),
            Way::Signers => {
                let mut background = Self::tool(self.signer_policy(environment)?, environment);
                background.access.hosts.extend(Host::parse("docker.io"));
                background
            }
            Way::Gate { config, gate } => self.configured(&config, &gate, environment)?,
        };
        let Background { policies, mut hosts, mut access, rules, namespace, mut exclude, limits, rendering, gate } =
            background;
        access.hosts.extend(typed.iter().cloned());
        for name in &self.registry {
            access.hosts.insert(Host::parse(name).map_err(|error| usage(format!("--registry: {error}")))?);
        }
        if let Some(path) = &self.registry_config {
            hosts.hosts.extend(assembly::hosts(&settings::load_registries(path)?)?);
        }
        exclude.extend(self.exclude.iter().cloned());
        let image_timeout = match &self.timeout {
            Some(text) => {
                settings::quantity::duration(text).map_err(|wrong| usage(format!("--timeout: {}", wrong.message)))?
            }
            None => Duration::from_secs(30),
        };
        // No limit on all images together: a person can interrupt, and a pipeline has its own.
        let bounds = Bounds {
            jobs: self.jobs.unwrap_or(JOBS).clamp(1, 256),
            image_timeout,
            decision_timeout: Duration::from_hours(24),
        };
        let client = hosts.client(access, image_timeout, Arc::clone(&observer)).map_err(|problem| vec![problem])?;
        let namespace = self.namespace.clone().or(namespace);
        let judged_by = self.judged_by(gate.as_ref());
        Ok(Setup { policies, client, rules, namespace, exclude, limits, rendering, gate, judged_by, bounds, observer })
    }

    fn judged_by(&self, gate: Option<&GateSettings>) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.policy.iter().chain(&self.key).chain(&self.config).cloned().collect();
        files.extend(self.registry_config.iter().cloned());
        files.extend(self.keyless.root().map(Path::to_owned));
        files.extend(gate.into_iter().flat_map(|gate| gate.policies.iter().cloned()));
        files
    }

    fn way(&self) -> Result<Way, Vec<Problem>> {
        let by_gate = self.config.is_some() || self.gate.is_some();
        let by_signer = !self.key.is_empty() || self.keyless.is_asked();
        match (self.policy.is_empty(), by_signer, by_gate) {
            (false, false, false) if self.annotations.is_empty() => Ok(Way::Policy),
            (false, false, false) => {
                Err(usage("-a belongs to --key or an identity; a policy has `annotations` of its own"))
            }
            (true, true, false) => Ok(Way::Signers),
            (true, false, true) => match (self.config.clone(), self.gate.clone()) {
                (Some(config), Some(gate)) => Ok(Way::Gate { config, gate }),
                _ => Err(usage("--config and --gate go together")),
            },
            (true, false, false) => Err(usage(
                "say what to verify against: --policy FILE, or --key FILE or --certificate-identity ID, or --config FILE \
                 --gate NAME",
            )),
            _ => Err(usage("--policy, --key or identities, and --config exclude each other")),
        }
    }

    /// cosign's own habits: any of these keys, or this identity, for all images.
    fn signer_policy(&self, environment: &Environment) -> Result<PolicySet, Vec<Problem>> {
        match (self.key.is_empty(), self.keyless.is_asked()) {
            (false, true) => {
                Err(usage("--key and the options for certificates exclude each other; a policy can name both"))
            }
            (true, true) => {
                let (identity, root) = self.keyless.read(&tool_trust(environment, self.offline)?)?;
                Ok(PolicySet::from_identity(identity, root, &self.signed_annotations()?))
            }
            (_, false) => self.key_policy(),
        }
    }

    fn key_policy(&self) -> Result<PolicySet, Vec<Problem>> {
        let mut keys = Vec::new();
        let mut problems = Vec::new();
        for path in &self.key {
            let name = path.display().to_string();
            let key =
                trust::file::beside("", &name).and_then(|pem| PublicKey::from_pem(&pem).map_err(|e| e.to_string()));
            match key {
                Ok(key) => keys.push((name, key)),
                Err(why) => problems.push(
                    Problem::new(ErrorCode::PolicyInvalid, format!("failed to read the key: {why}"))
                        .in_file(name)
                        .with_help("give a public key in PEM, such as cosign.pub"),
                ),
            }
        }
        let annotations = match self.signed_annotations() {
            Ok(annotations) if problems.is_empty() => annotations,
            Ok(_) => return Err(problems),
            Err(more) => {
                problems.extend(more);
                return Err(problems);
            }
        };
        PolicySet::from_keys(keys, &annotations).map_err(|problem| vec![problem])
    }

    fn signed_annotations(&self) -> Result<BTreeMap<String, String>, Vec<Problem>> {
        let mut annotations = BTreeMap::new();
        let mut problems = Vec::new();
        for text in &self.annotations {
            match text.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    annotations.insert(key.to_owned(), value.to_owned());
                }
                _ => problems.extend(usage(format!("-a {text}: write KEY=VALUE"))),
            }
        }
        if problems.is_empty() { Ok(annotations) } else { Err(problems) }
    }

    /// What a gate of the daemon goes by.
    fn configured(
        &self,
        config: &std::path::Path,
        gate: &str,
        environment: &Environment,
    ) -> Result<Background, Vec<Problem>> {
        let settings = settings::load(config, environment)?;
        let reading = assembly::registries(&settings, default_credential_files(environment));
        let hosts = block_on(reading).map_err(|problem| vec![problem])??;
        let trust = trust(&TrustPlan::of(&settings, cache(environment)), self.offline || settings.offline)?;
        let Settings { gates, discovery, limits, render: machine, .. } = settings;
        let Some(found) = gates.iter().find(|found| found.name == gate) else {
            let known: Vec<&str> = gates.iter().map(|gate| gate.name.as_str()).collect();
            return Err(usage(format!("--gate {gate}: the configuration has {}", known.join(", "))));
        };
        let policies = load(&found.policies, &trust)?;
        Ok(Background {
            access: assembly::access(&policies),
            policies,
            hosts,
            rules: discovery,
            namespace: found.namespace.clone(),
            exclude: found.source.exclude.clone(),
            rendering: render::Plan { extent: render::Extent::Part, ..assembly::rendering(&machine, found) },
            limits,
            gate: Some(found.clone()),
        })
    }

    /// A command-line tool may ask what its policy names, and loopback.
    fn tool(policies: PolicySet, environment: &Environment) -> Background {
        Background {
            access: Access { hosts: policies.hosts(), any_loopback: true },
            policies,
            hosts: RegistryPlan { credentials: default_credential_files(environment), ..RegistryPlan::default() },
            rules: discovery::Rules::default(),
            namespace: None,
            exclude: Vec::new(),
            limits: LimitSettings::default(),
            rendering: render::Plan::default(),
            gate: None,
        }
    }
}

impl Setup {
    /// The judge, at this moment.
    pub(super) fn judge(&self) -> Judge<'_, Client> {
        Judge {
            registry: &self.client,
            policies: &self.policies,
            store: None,
            observer: self.observer.as_ref(),
            bounds: self.bounds,
            now: now(),
        }
    }

    /// How sites are found.
    pub(super) fn finder<'a>(&'a self, limits: &'a manifest::Limits) -> Finder<'a> {
        Finder { rules: &self.rules, namespace: self.namespace.as_deref(), limits }
    }

    /// The bounds of reading files.
    pub(super) fn source_limits(&self) -> source::Limits {
        source::Limits { file_bytes: self.limits.file_bytes, files: self.limits.files, ..source::Limits::default() }
    }
}

/// What fetches the keys and roots of policies for a tool that has no configuration.
pub(super) fn tool_trust(environment: &Environment, offline: bool) -> Result<Trust, Vec<Problem>> {
    trust(&TrustPlan { folder: cache(environment), ..TrustPlan::default() }, offline)
}

fn trust(plan: &TrustPlan, offline: bool) -> Result<Trust, Vec<Problem>> {
    let asking = if offline { Asking::Never } else { Asking::WhenNeeded };
    plan.open(asking, Arc::new(Unobserved)).map_err(|problem| vec![problem])
}

/// Where tools keep trust roots: below `XDG_CACHE_HOME`, or `~/.cache`; nowhere, where there is no home.
fn cache(environment: &Environment) -> Option<PathBuf> {
    let folder = |name: &str| environment.get(name).filter(|path| path.starts_with('/')).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("sealgate/tuf"))
}

/// Loads policies with what they name.
pub(super) fn load(paths: &[PathBuf], trust: &Trust) -> Result<PolicySet, Vec<Problem>> {
    block_on(trusting::policies(paths, trust)).map_err(|problem| vec![problem])?
}

/// A problem with what was typed.
pub(super) fn usage(message: impl Into<String>) -> Vec<Problem> {
    vec![Problem::new(ErrorCode::Usage, message).with_help("see `sealgate --help`")]
}

#[expect(clippy::disallowed_methods, reason = "the command line is where time enters")]
fn now() -> Timestamp {
    Timestamp::now()
}
