//! Secrets of the cluster that we run in, by the names that the configuration gives; never by a manifest's.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;

/// The key of a pull secret's data.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
/// A secret is one small object.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The docker configuration inside a pull secret of the type `kubernetes.io/dockerconfigjson`.
///
/// # Errors
/// Why it cannot be read.
pub async fn docker_config(namespace: &str, name: &str) -> Result<Vec<u8>, String> {
    entry(namespace, name, DOCKER_CONFIG).await
}

/// One entry of a secret.
///
/// # Errors
/// Why it cannot be read.
pub async fn entry(namespace: &str, name: &str, entry: &str) -> Result<Vec<u8>, String> {
    let read = async {
        let client =
            kube::Client::try_default().await.map_err(|error| format!("there is no cluster to ask: {error}"))?;
        let secrets: kube::Api<Secret> = kube::Api::namespaced(client, namespace);
        secrets.get(name).await.map_err(|error| error.to_string())
    };
    let timed_out = |_| format!("the cluster gave no answer within {} s", TIMEOUT.as_secs());
    let secret = tokio::time::timeout(TIMEOUT, read).await.map_err(timed_out)??;
    let data = secret.data.and_then(|mut data| data.remove(entry));
    data.map(|bytes| bytes.0).ok_or_else(|| format!("it has no `{entry}`"))
}
