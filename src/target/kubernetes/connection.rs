//! The one place that speaks to an API server: bounded in size and time, retried by kind of fault.
//!
//! It logs no answer: an answer may hold a secret.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, RETRY_AFTER};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use super::fault::{Fault, Kind, Mends};
use crate::reason::{ErrorCode, Problem};

/// How a cluster is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The kubeconfig file; by default the one that `KUBECONFIG` names, or the home folder's.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context. Without a file and a context the cluster is the one that we run in, and if we run in
    /// none, the kubeconfig's current context.
    pub context: Option<String>,
}

/// A connection may take this long to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server may be silent for this long.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A request, its answer included, may take this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// An answer is an object of at most some 3 MiB with its managed fields, or a list of kinds.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How often one request is tried.
const ATTEMPTS: u32 = 5;
/// The first wait between two tries; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// A connection to an API server.
pub(super) struct Connection {
    client: kube::Client,
    /// The namespace of objects that name none, where the kubeconfig's context names one.
    namespace: Option<String>,
}

/// A request that was fulfilled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    /// Whether the object is new.
    pub(super) created: bool,
    /// The object.
    pub(super) body: Value,
}

impl Connection {
    /// Reads the credentials; speaks to nobody yet.
    ///
    /// # Errors
    /// When there are none, or they cannot be used.
    pub(super) async fn open(cluster: &Cluster) -> Result<Self, Problem> {
        let (mut config, namespace) = config(cluster).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        config.write_timeout = Some(READ_TIMEOUT);
        // Otherwise the time that a pooled connection was idle counts against the next request's.
        config.reset_reader_on_write = true;
        // LIB-18: fifteen tries, and waits as long as the server likes.
        config.default_retry = false;
        let client = kube::Client::try_from(config)
            .map_err(|error| invalid(format!("failed to set up the connection to the cluster: {}", chain(&error))))?;
        Ok(Self { client, namespace })
    }

    /// The client, for watches.
    pub(super) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The namespace of objects that name none.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Sends a request until it is answered, refused for good, or tried often enough.
    ///
    /// # Errors
    /// The last refusal.
    pub(super) async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer, Fault> {
        let request = request.map(Bytes::from);
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            match self.once(request.clone()).await {
                Err(fault) if fault.kind.mends() == Mends::Soon && fault.kind != Kind::Stale => {
                    tokio::time::sleep(fault.retry_after.unwrap_or(wait)).await;
                    wait = wait.saturating_mul(2);
                }
                done => return done,
            }
        }
        self.once(request).await
    }

    /// Sends a request once.
    async fn once(&self, request: Request<Bytes>) -> Result<Answer, Fault> {
        match tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(request)).await {
            Ok(done) => done,
            Err(_) => Err(Fault::unreachable(format!("no whole answer within {} s", REQUEST_TIMEOUT.as_secs()))),
        }
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Answer, Fault> {
        let mut request = request.map(Body::from);
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let response = self.client.send(request).await.map_err(|error| refused(&error))?;
        let code = response.status().as_u16();
        let created = code == 201;
        let retry_after = retry_after(&response);
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| Fault::unreachable(format!("the answer broke off: {}", chain(error.as_ref()))))?
            .to_bytes();
        if !(200..300).contains(&code) {
            return Err(Fault::read(code, &body, retry_after));
        }
        // The error of the reader may quote the text, and the text may be a secret.
        let body = serde_json::from_slice(&body).map_err(|_| Fault::garbled(code, "the answer is no JSON"))?;
        Ok(Answer { created, body })
    }
}

/// The whole chain of an error, on one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

fn retry_after<B>(response: &Response<B>) -> Option<u64> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

fn refused(error: &kube::Error) -> Fault {
    let mut fault = Fault::unreachable(chain(error));
    if matches!(error, kube::Error::Auth(_)) {
        fault.kind = Kind::Unauthorized;
    }
    fault
}

fn invalid(message: String) -> Problem {
    Problem::new(ErrorCode::TargetUnavailable, message)
}

async fn config(cluster: &Cluster) -> Result<(kube::Config, Option<String>), Problem> {
    if cluster.kubeconfig.is_none() && cluster.context.is_none() {
        // The pod's own namespace is no place for what names none: none is given.
        if let Ok(config) = kube::Config::incluster() {
            return Ok((config, None));
        }
    }
    let options = KubeConfigOptions { context: cluster.context.clone(), cluster: None, user: None };
    let config = match &cluster.kubeconfig {
        Some(path) => match Kubeconfig::read_from(path) {
            Ok(file) => kube::Config::from_custom_kubeconfig(file, &options).await,
            Err(error) => Err(error),
        },
        None => kube::Config::from_kubeconfig(&options).await,
    };
    let config = config.map_err(|error| {
        invalid(format!("failed to read the kubeconfig: {}", chain(&error)))
            .with_help("name a kubeconfig and a context that exist, or run inside the cluster")
    })?;
    let namespace = config.default_namespace.clone();
    Ok((config, Some(namespace)))
}
