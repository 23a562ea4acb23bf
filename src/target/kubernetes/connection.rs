//! The one place that speaks to an API server: bounded in size and time, retried by kind of fault.
//!
//! It logs no answer: an answer may hold a secret.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use super::fault::{Fault, Kind, Mends};
use super::seat::Fence;
use crate::reason::{ErrorCode, Problem};

/// How a cluster is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
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
/// A watch may be silent for this long: the server ends it before, or sends a bookmark.
const WATCH_TIMEOUT: Duration = Duration::from_mins(5);
/// A request, its answer included, may take this long.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// An answer is an object of at most some 3 MiB with its managed fields, or a list of kinds.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Why a write did not leave.
const FENCED: &str = "this replica holds the gate's lease no more; whoever holds it goes on";
/// How often one request is tried.
const ATTEMPTS: u32 = 5;
/// The first wait between two tries; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// A service account that requests are made as, with the right to do so (`impersonate`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A connection to an API server.
#[derive(Clone)]
pub(super) struct Connection {
    client: kube::Client,
    /// For watches, which may be silent for longer.
    watcher: kube::Client,
    /// The namespace of objects that name none, where the kubeconfig's context names one.
    namespace: Option<String>,
    /// What must be open for a write to leave, where several replicas share the work.
    fence: Option<Arc<Fence>>,
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
        Self::open_as(cluster, None).await
    }

    /// The same, as an account.
    ///
    /// # Errors
    /// When there are no credentials, or they cannot be used.
    pub(super) async fn open_as(cluster: &Cluster, account: Option<&Account>) -> Result<Self, Problem> {
        let (mut config, namespace) = config(cluster).await?;
        if let Some(Account { namespace, name }) = account {
            // The server itself adds the groups of a service account; those of our own credentials must not stay.
            config.auth_info.impersonate = Some(format!("system:serviceaccount:{namespace}:{name}"));
            config.auth_info.impersonate_groups = None;
            config.auth_info.impersonate_uid = None;
            config.auth_info.impersonate_user_extra = None;
        }
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        config.write_timeout = Some(READ_TIMEOUT);
        // Otherwise the time that a pooled connection was idle counts against the next request's.
        config.reset_reader_on_write = true;
        config.headers.push((USER_AGENT, HeaderValue::from_static(concat!("sealgate/", env!("CARGO_PKG_VERSION")))));
        // LIB-18: fifteen tries, and waits as long as the server likes.
        config.default_retry = false;
        let client = client(config.clone())?;
        config.read_timeout = Some(WATCH_TIMEOUT);
        Ok(Self { client, watcher: self::client(config)?, namespace, fence: None })
    }

    /// Lets writes leave only while this fence is open.
    pub(super) fn fence(&mut self, fence: Arc<Fence>) {
        self.fence = Some(fence);
    }

    /// The client, for watches that end soon.
    pub(super) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The client for watches that last.
    pub(super) fn watcher(&self) -> kube::Client {
        self.watcher.clone()
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
            match self.once(request.clone(), REQUEST_TIMEOUT).await {
                Err(fault)
                    if fault.kind.mends() == Mends::Soon && fault.kind != Kind::Stale && fault.message != FENCED =>
                {
                    tokio::time::sleep(fault.retry_after.unwrap_or(wait)).await;
                    wait = wait.saturating_mul(2);
                }
                done => return done,
            }
        }
        self.once(request, REQUEST_TIMEOUT).await
    }

    /// Sends a request once, for whoever knows when to ask again; the answer may take this long.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn ask(&self, request: Request<Vec<u8>>, patience: Duration) -> Result<Answer, Fault> {
        self.once(request.map(Bytes::from), patience).await
    }

    async fn once(&self, request: Request<Bytes>, patience: Duration) -> Result<Answer, Fault> {
        match tokio::time::timeout(patience, self.exchange(request)).await {
            Ok(done) => done,
            Err(_) => Err(Fault::unreachable(format!("no whole answer within {} ms", patience.as_millis()))),
        }
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Answer, Fault> {
        // The last moment before the request leaves, at each try anew.
        if is_write(&request) && self.fence.as_ref().is_some_and(|fence| !fence.is_open()) {
            return Err(Fault::unreachable(FENCED));
        }
        let mut request = request.map(Body::from);
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let response = self.client.send(request).await.map_err(|error| refused(&error))?;
        let code = response.status().as_u16();
        let created = code == 201;
        let retry_after = retry_after(&response);
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| broken_off(code, error.as_ref()))?
            .to_bytes();
        if !(200..300).contains(&code) {
            return Err(Fault::read(code, &body, retry_after));
        }
        // The error of the reader may quote the text, and the text may be a secret.
        let body = serde_json::from_slice(&body).map_err(|_| Fault::garbled(code, "the answer is no JSON"))?;
        Ok(Answer { created, body })
    }
}

/// Whether we run in a cluster, with an account of its.
#[must_use]
pub fn in_cluster() -> bool {
    kube::Config::incluster().is_ok()
}

/// Whether a request changes anything.
fn is_write<B>(request: &Request<B>) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    !reads && !request.uri().query().is_some_and(|query| query.contains("dryRun=All"))
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

fn broken_off(code: u16, error: &(dyn std::error::Error + Send + Sync + 'static)) -> Fault {
    if error.is::<LengthLimitError>() {
        return Fault::garbled(code, &format!("the answer is longer than {MAX_ANSWER} bytes"));
    }
    Fault::unreachable(format!("the answer broke off: {}", chain(error)))
}

fn refused(error: &kube::Error) -> Fault {
    let mut fault = Fault::unreachable(chain(error));
    if matches!(error, kube::Error::Auth(_)) {
        fault.kind = Kind::Unauthorized;
    }
    fault
}

fn client(config: kube::Config) -> Result<kube::Client, Problem> {
    kube::Client::try_from(config)
        .map_err(|error| invalid(format!("failed to set up the connection to the cluster: {}", chain(&error))))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::target::kubernetes::kinds::get;

    /// Answers with these, the last one for ever, and counts how often it was asked.
    async fn server(answers: Vec<(u16, String)>) -> (Connection, Arc<AtomicUsize>, tempfile::TempDir) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let router = Router::new().fallback(move || {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let (code, body) = answers.get(number).or(answers.last()).cloned().unwrap();
            async move { (StatusCode::from_u16(code).unwrap(), [("retry-after", "0")], body) }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": url}}],
            "users": [{"name": "a", "user": {}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", "namespace": "shop"}}],
        });
        let path = folder.path().join("config");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        let connection = Connection::open(&Cluster { kubeconfig: Some(path), context: None }).await.unwrap();
        (connection, asked, folder)
    }

    async fn check(answers: &[(u16, &str)], expected: Result<bool, Kind>, times: usize) {
        let owned = answers.iter().map(|(code, body)| (*code, (*body).to_owned())).collect();
        let (connection, asked, _folder) = server(owned).await;
        let answer = connection.send(get("/x").unwrap()).await;
        assert_eq!(answer.map(|it| it.created).map_err(|fault| fault.kind), expected, "{answers:?}");
        assert_eq!(asked.load(Ordering::SeqCst), times, "{answers:?}");
    }

    #[tokio::test]
    async fn only_what_time_mends_is_tried_again() {
        check(&[(503, ""), (429, ""), (502, "<html>"), (201, "{}")], Ok(true), 4).await;
        check(&[(503, "")], Err(Kind::Busy), 5).await;
        check(&[(200, "{}")], Ok(false), 1).await;
        check(&[(200, "<html>")], Err(Kind::Garbled), 1).await;
        check(&[(302, "")], Err(Kind::Garbled), 1).await;
        for (code, kind) in [
            (400, Kind::Invalid),
            (401, Kind::Unauthorized),
            (403, Kind::Forbidden),
            (404, Kind::NotServed),
            (422, Kind::Invalid),
        ] {
            check(&[(code, "")], Err(kind), 1).await;
        }
        let typed = json!({"kind": "Status", "message": "failed to create typed patch object"}).to_string();
        check(&[(500, &typed)], Err(Kind::Invalid), 1).await;
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let long = format!("\"{}\"", "x".repeat(MAX_ANSWER));
        check(&[(200, &long)], Err(Kind::Garbled), 1).await;
    }

    #[tokio::test]
    async fn the_namespace_comes_from_the_context() {
        let (connection, ..) = server(vec![(200, "{}".to_owned())]).await;
        assert_eq!(connection.namespace(), Some("shop"));
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_a_problem() {
        let cluster = Cluster { kubeconfig: Some("/nonexistent/config".into()), context: None };
        assert!(Connection::open(&cluster).await.is_err());
    }
}
