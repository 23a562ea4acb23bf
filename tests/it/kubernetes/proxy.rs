//! Stands between a daemon and the API server: counts what is asked, holds a write back at a chosen moment.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;
use tokio::sync::Notify;

/// An object is at most some 3 MiB.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// A proxy of its own for one daemon.
pub(crate) struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    client: kube::Client,
    /// Each request: its method, its path and query.
    seen: Mutex<Vec<String>>,
    writes: AtomicUsize,
    trap: Mutex<Option<Trap>>,
    sprung: Notify,
}

/// Holds a write, for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trap {
    /// Which write, counted from 1.
    pub(crate) write: usize,
    /// Whether the server sees it.
    pub(crate) moment: Moment,
}

/// When a write is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The server does not see it.
    Before,
    /// The server did it, and its answer is lost.
    After,
}

impl Proxy {
    pub(crate) async fn start(client: kube::Client) -> Self {
        let shared = Arc::new(Shared {
            client,
            seen: Mutex::default(),
            writes: AtomicUsize::new(0),
            trap: Mutex::default(),
            sprung: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// Writes a kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    /// Sets a trap, and counts writes anew.
    pub(crate) fn set(&self, trap: Option<Trap>) {
        self.shared.writes.store(0, Ordering::SeqCst);
        *self.shared.trap.lock().unwrap() = trap;
    }

    /// Waits until a write is held.
    pub(crate) async fn sprung(&self) {
        self.shared.sprung.notified().await;
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The writes so far, dry runs left out.
    pub(crate) fn written(&self) -> Vec<String> {
        self.seen().into_iter().filter(|request| is_write(request)).collect()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }
}

fn is_write(request: &str) -> bool {
    !request.starts_with("GET ") && !request.contains("dryRun=All")
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let line = format!("{} {}", parts.method, parts.uri);
    shared.seen.lock().unwrap().push(line.clone());
    let held = is_write(&line).then(|| {
        let number = shared.writes.fetch_add(1, Ordering::SeqCst) + 1;
        let trap = *shared.trap.lock().unwrap();
        trap.filter(|trap| trap.write == number).map(|trap| trap.moment)
    });
    let held = held.flatten();
    if held == Some(Moment::Before) {
        shared.sprung.notify_one();
        pending::<()>().await;
    }
    parts.headers.remove("host");
    let body = to_bytes(body, MAX_BODY).await.unwrap();
    let request = http::Request::from_parts(parts, kube::client::Body::from(body));
    let answer = match shared.client.send(request).await {
        Ok(answer) => answer,
        Err(error) => {
            let text = error.to_string();
            return Response::builder().status(502).body(Body::from(text)).unwrap();
        }
    };
    if held == Some(Moment::After) {
        shared.sprung.notify_one();
        pending::<()>().await;
    }
    answer.map(Body::new)
}
