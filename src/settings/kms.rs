//! Key management services: where they are asked, and with what credentials, which are always in files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{checks, quantity};
use crate::fields::{Complaint, Record, Shape, nothing, optional};

/// How long a key is used before it is asked for again, where nothing is said.
const INTERVAL: Duration = Duration::from_mins(10);

/// How key services are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsSettings {
    /// How long a key is used before it is asked for again.
    pub interval: Duration,
    /// The file with further roots for the services.
    pub ca_file: Option<PathBuf>,
    /// AWS KMS.
    pub aws: AwsSettings,
    /// Google Cloud KMS.
    pub gcp: GcpSettings,
    /// Azure Key Vault.
    pub azure: AzureSettings,
    /// `HashiCorp` Vault.
    pub hashivault: VaultSettings,
}

impl Default for KmsSettings {
    fn default() -> Self {
        Self {
            interval: INTERVAL,
            ca_file: None,
            aws: AwsSettings::default(),
            gcp: GcpSettings::default(),
            azure: AzureSettings::default(),
            hashivault: VaultSettings::default(),
        }
    }
}

/// AWS KMS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsSettings {
    /// Where, in place of the region's own endpoint.
    pub endpoint: Option<String>,
    /// The region of references that name none.
    pub region: Option<String>,
    /// A file with credentials as the `aws` tool keeps them.
    pub credentials_file: Option<PathBuf>,
    /// The profile in it.
    pub profile: Option<String>,
    /// The role that a web identity takes on.
    pub role_arn: Option<String>,
    /// The file with that identity's token.
    pub web_identity_token_file: Option<PathBuf>,
    /// Where roles are taken on, in place of the region's own endpoint.
    pub sts_endpoint: Option<String>,
}

/// Google Cloud KMS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcpSettings {
    /// Where, in place of the public endpoint.
    pub endpoint: Option<String>,
    /// A file with an access token.
    pub token_file: Option<PathBuf>,
    /// A file with the key of a service account.
    pub credentials_file: Option<PathBuf>,
    /// Where tokens are given, in place of the public endpoint.
    pub token_endpoint: Option<String>,
}

/// Azure Key Vault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AzureSettings {
    /// Where, in place of the vault that a reference names.
    pub endpoint: Option<String>,
    /// A file with an access token.
    pub token_file: Option<PathBuf>,
    /// The tenant of the application.
    pub tenant_id: Option<String>,
    /// The application.
    pub client_id: Option<String>,
    /// The file with its secret.
    pub client_secret_file: Option<PathBuf>,
    /// The file with a token that vouches for it.
    pub federated_token_file: Option<PathBuf>,
    /// Where tokens are given, in place of the public endpoint.
    pub token_endpoint: Option<String>,
}

/// `HashiCorp` Vault, and what speaks as it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultSettings {
    /// Where.
    pub address: Option<String>,
    /// The file with the token.
    pub token_file: Option<PathBuf>,
    /// The namespace.
    pub namespace: Option<String>,
    /// Where the transit engine is mounted.
    pub mount: Option<String>,
}

pub(super) static KMS: Record = Record {
    fields: &[
        optional("interval", Shape::Text(checks::interval)),
        optional("caFile", Shape::Text(checks::text)),
        optional("aws", Shape::Record(&AWS)),
        optional("gcp", Shape::Record(&GCP)),
        optional("azure", Shape::Record(&AZURE)),
        optional("hashivault", Shape::Record(&VAULT)),
    ],
    between: nothing,
};

static AWS: Record = Record {
    fields: &[
        optional("endpoint", Shape::Text(checks::service)),
        optional("region", Shape::Text(checks::label)),
        optional("credentialsFile", Shape::Text(checks::text)),
        optional("profile", Shape::Text(checks::text)),
        optional("roleArn", Shape::Text(checks::text)),
        optional("webIdentityTokenFile", Shape::Text(checks::text)),
        optional("stsEndpoint", Shape::Text(checks::service)),
    ],
    between: nothing,
};

static GCP: Record = Record {
    fields: &[
        optional("endpoint", Shape::Text(checks::service)),
        optional("tokenFile", Shape::Text(checks::text)),
        optional("credentialsFile", Shape::Text(checks::text)),
        optional("tokenEndpoint", Shape::Text(checks::service)),
    ],
    between: nothing,
};

static AZURE: Record = Record {
    fields: &[
        optional("endpoint", Shape::Text(checks::service)),
        optional("tokenFile", Shape::Text(checks::text)),
        optional("tenantId", Shape::Text(checks::label)),
        optional("clientId", Shape::Text(checks::text)),
        optional("clientSecretFile", Shape::Text(checks::text)),
        optional("federatedTokenFile", Shape::Text(checks::text)),
        optional("tokenEndpoint", Shape::Text(checks::service)),
    ],
    between: nothing,
};

static VAULT: Record = Record {
    fields: &[
        optional("address", Shape::Text(checks::service)),
        optional("tokenFile", Shape::Text(checks::text)),
        optional("namespace", Shape::Text(checks::text)),
        optional("mount", Shape::Text(checks::mount)),
    ],
    between: nothing,
};

/// As `config` hands it over.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Written {
    interval: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    aws: AwsSettings,
    #[serde(default)]
    gcp: GcpSettings,
    #[serde(default)]
    azure: AzureSettings,
    #[serde(default)]
    hashivault: VaultSettings,
}

impl Written {
    /// With paths resolved.
    pub(super) fn into_settings(self, folder: &Path) -> Result<KmsSettings, Complaint> {
        let Self { interval, mut ca_file, mut aws, mut gcp, mut azure, mut hashivault } = self;
        let files = [
            &mut ca_file,
            &mut aws.credentials_file,
            &mut aws.web_identity_token_file,
            &mut gcp.token_file,
            &mut gcp.credentials_file,
            &mut azure.token_file,
            &mut azure.client_secret_file,
            &mut azure.federated_token_file,
            &mut hashivault.token_file,
        ];
        for file in files.into_iter().flatten() {
            *file = folder.join(&file);
        }
        let interval = interval.as_deref().map_or(Ok(INTERVAL), quantity::duration)?;
        Ok(KmsSettings { interval, ca_file, aws, gcp, azure, hashivault })
    }
}
