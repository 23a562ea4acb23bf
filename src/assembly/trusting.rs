//! From settings to whom policies believe: policies loaded with the keys and roots that they name.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::outcome::Observer;
use crate::policy::material::{Held, Material, Unread};
use crate::policy::{self, PolicyFile, PolicySet};
use crate::reason::{ErrorCode, Problem};
use crate::settings::kms::{AwsSettings, AzureSettings, GcpSettings, KmsSettings, VaultSettings};
use crate::settings::{ProxySettings, Settings, TufSettings};
use crate::trust::kms::{AwsOptions, AzureOptions, GcpOptions, Kms, KmsOptions, VaultOptions};
use crate::trust::roots::{Asking, RootOptions, Roots};
use crate::trust::web::Reach;
use crate::trust::{self, Trust};

/// How whom policies believe is found out.
#[derive(Debug, Clone, Default)]
pub struct TrustPlan {
    /// How roots are kept up to date.
    pub tuf: TufSettings,
    /// The proxy.
    pub proxy: ProxySettings,
    /// How key services are asked.
    pub kms: KmsSettings,
    /// Where roots are kept.
    pub folder: Option<PathBuf>,
}

impl TrustPlan {
    /// What the configuration says, with roots kept in this folder.
    #[must_use]
    pub fn of(settings: &Settings, folder: Option<PathBuf>) -> Self {
        let Settings { tuf, proxy, kms, .. } = settings.clone();
        Self { tuf, proxy, kms, folder }
    }

    /// What fetches keys and roots.
    ///
    /// # Errors
    /// When a file of the configuration cannot be read.
    pub fn open(&self, asking: Asking, observer: Arc<dyn Observer>) -> Result<Trust, Problem> {
        let TufSettings { mirror, root, ca_file, interval } = self.tuf.clone();
        let initial = root.map(|path| {
            trust::file::root(&path).map_err(|why| {
                Problem::new(ErrorCode::ConfigInvalid, format!("failed to read the TUF root: {why}"))
                    .in_file(path.display().to_string())
                    .with_help("check `tuf.root`, and that this user may read it")
            })
        });
        let ProxySettings { https, no_proxy } = self.proxy.clone();
        let reach = Reach {
            proxy: https.map(|url| (url, no_proxy)),
            roots: ca_file.map(|path| super::certificates(&path)).transpose()?,
        };
        let services = Reach {
            roots: self.kms.ca_file.as_ref().map(|path| super::certificates(path)).transpose()?,
            ..reach.clone()
        };
        let kms = Kms::new(key_services(self.kms.clone()), services);
        let folder = self.folder.clone();
        let options = RootOptions { folder, mirror, initial: initial.transpose()?, interval, asking, reach };
        Ok(Trust::new(Roots::new(options, observer), kms))
    }
}

fn key_services(settings: KmsSettings) -> KmsOptions {
    let KmsSettings { interval, ca_file: _, aws, gcp, azure, hashivault } = settings;
    let AwsSettings { endpoint, region, credentials_file, profile, role_arn, web_identity_token_file, sts_endpoint } =
        aws;
    let aws =
        AwsOptions { endpoint, region, credentials_file, profile, role_arn, web_identity_token_file, sts_endpoint };
    let GcpSettings { endpoint, token_file, credentials_file, token_endpoint } = gcp;
    let gcp = GcpOptions { endpoint, token_file, credentials_file, token_endpoint };
    let AzureSettings {
        endpoint,
        token_file,
        tenant_id,
        client_id,
        client_secret_file,
        federated_token_file,
        token_endpoint,
    } = azure;
    let azure = AzureOptions {
        endpoint,
        token_file,
        tenant_id,
        client_id,
        client_secret_file,
        federated_token_file,
        token_endpoint,
    };
    let VaultSettings { address, token_file, namespace, mount } = hashivault;
    KmsOptions { interval, aws, gcp, azure, vault: VaultOptions { address, token_file, namespace, mount } }
}

/// Loads policy files with the keys and roots that they name.
///
/// # Errors
/// Every problem of every file.
pub async fn policies(paths: &[PathBuf], trust: &Trust) -> Result<PolicySet, Vec<Problem>> {
    let paths = paths.to_vec();
    let read = tokio::task::spawn_blocking(move || {
        let read = read(&paths);
        let wanted = read.wanted();
        (read, wanted)
    });
    let (read, wanted) = read.await.map_err(|error| unloaded(&error))?;
    let mut held = BTreeMap::new();
    for material in wanted {
        let answer = trust.fetch(&material).await;
        held.insert(material, answer);
    }
    tokio::task::spawn_blocking(move || read.load(&held)).await.map_err(|error| unloaded(&error))?
}

fn unloaded(error: &tokio::task::JoinError) -> Vec<Problem> {
    vec![Problem::new(ErrorCode::PolicyUnavailable, format!("failed to load the policies: {error}"))]
}

/// Policy files, and those that cannot be read.
struct Files {
    files: Vec<PolicyFile>,
    problems: Vec<Problem>,
}

fn read(paths: &[PathBuf]) -> Files {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        match trust::file::policy(path) {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    Files { files, problems }
}

/// What a policy names, as far as it was fetched.
type Fetched = BTreeMap<Material, Result<Held, Unread>>;

impl Files {
    /// What the policies name that is no file.
    fn wanted(&self) -> BTreeSet<Material> {
        let wanted = RefCell::new(BTreeSet::new());
        let note = |material: &Material| match material {
            Material::File { policy, path } => file(policy, path),
            Material::Root(_) | Material::Secret { .. } | Material::Kms(_) => {
                wanted.borrow_mut().insert(material.clone());
                Err(Unread::Unavailable(String::new()))
            }
        };
        // What is wrong with the files is told when they are loaded with what they name.
        let _ = policy::load(&self.files, &note);
        wanted.into_inner()
    }

    fn load(self, fetched: &Fetched) -> Result<PolicySet, Vec<Problem>> {
        let Self { files, mut problems } = self;
        let read = |material: &Material| match material {
            Material::File { policy, path } => file(policy, path),
            Material::Root(_) | Material::Secret { .. } | Material::Kms(_) => {
                let changed = || Err(Unread::Unavailable("the policy changed while it was read".to_owned()));
                fetched.get(material).cloned().unwrap_or_else(changed)
            }
        };
        match policy::load(&files, &read) {
            Ok(set) if problems.is_empty() => Ok(set),
            Ok(_) => Err(problems),
            // Without any file left, "no policy" would only hide why.
            Err(_) if files.is_empty() && !problems.is_empty() => Err(problems),
            Err(found) => {
                problems.extend(found);
                Err(problems)
            }
        }
    }
}

fn file(policy: &str, path: &str) -> Result<Held, Unread> {
    trust::file::beside(policy, path).map(Held::for_ever).map_err(Unread::Wrong)
}
