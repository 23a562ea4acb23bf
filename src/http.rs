//! Health, metrics, status page, API and push events. No request changes anything; a signed push event makes a gate
//! look at its source.

mod decisions;
mod events;
mod guard;
pub mod hooks;
mod page;
mod pages;
pub mod status;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::outcome::Observer;
use crate::report::history::{Asked, Kept};

use status::{GateStatus, Statuses};

/// The content type of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Nothing that we serve takes long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// No request but a push event has a body.
const MAX_BODY: usize = 1024;
/// How long answers under way may take to end once we are leaving.
const FAREWELL: Duration = Duration::from_secs(2);

/// Questions that the decision log answers at once; more wait.
const READERS: usize = 4;

/// Long answers that are written at once; more wait. However many ask, gates get their share of the machine.
const WRITERS: usize = 1;

/// Gives all metrics as text.
pub type Scrape = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;
/// Answers from the decision log; may read files.
pub type Archive = Arc<dyn Fn(&Asked) -> Result<Vec<Kept>, String> + Send + Sync>;

/// Where what is served comes from.
#[derive(Clone)]
pub struct Sources {
    /// The metrics.
    pub metrics: Scrape,
    /// Where the gates stand.
    pub gates: watch::Receiver<Statuses>,
    /// The decision log.
    pub archive: Archive,
    /// Whether all gates were ready once.
    pub ready: Arc<AtomicBool>,
    /// The push events that gates listen to.
    pub hooks: hooks::Book,
    /// Hears what comes in.
    pub observer: Arc<dyn Observer>,
}

#[derive(Clone)]
struct Pages {
    metrics: Scrape,
    gates: watch::Receiver<Statuses>,
    archive: Archive,
    ready: Arc<AtomicBool>,
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    rendered: Arc<tokio::sync::Mutex<pages::Rendered>>,
    stop: CancellationToken,
}

impl Pages {
    fn new(sources: Sources, stop: CancellationToken) -> Self {
        let Sources { metrics, gates, archive, ready, hooks: _, observer: _ } = sources;
        Self {
            metrics,
            archive,
            ready,
            readers: Arc::new(Semaphore::new(READERS)),
            writers: Arc::new(Semaphore::new(WRITERS)),
            followers: Arc::new(Semaphore::new(events::MOST)),
            rendered: Arc::new(tokio::sync::Mutex::new(pages::Rendered::new(gates.clone()))),
            gates,
            stop,
        }
    }

    /// Writes a long answer, away from the gates' own threads.
    async fn write(&self, work: impl FnOnce() -> Response + Send + 'static) -> Response {
        let failed = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response();
        let permit = match Arc::clone(&self.writers).acquire_owned().await {
            Ok(permit) => permit,
            Err(error) => return failed(error.to_string()),
        };
        let written = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        written.await.unwrap_or_else(|error| failed(error.to_string()))
    }

    /// Asks the decision log.
    async fn ask(&self, asked: Asked) -> Result<Vec<Kept>, Response> {
        let failed = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response();
        let permit = Arc::clone(&self.readers).acquire_owned().await.map_err(|error| failed(error.to_string()))?;
        let archive = Arc::clone(&self.archive);
        let read = move || {
            let _permit = permit;
            archive(&asked)
        };
        let answer = tokio::task::spawn_blocking(read).await.map_err(|error| failed(error.to_string()))?;
        answer.map_err(failed)
    }
}

/// Serves until `shutdown` resolves.
pub async fn serve(listener: TcpListener, sources: Sources, shutdown: impl Future<Output = ()> + Send + 'static) {
    let stop = CancellationToken::new();
    let router = router(sources, &stop);
    let leaving = stop.clone();
    let asked = async move {
        shutdown.await;
        leaving.cancel();
    };
    let served = axum::serve(guard::Guard::new(listener), router).with_graceful_shutdown(asked);
    // Whoever reads slowly does not hold up the end.
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::error!(error = %error, "the HTTP server failed");
            }
        }
        () = patience => {}
    }
}

fn router(sources: Sources, stop: &CancellationToken) -> Router {
    let desk = hooks::Desk::new(Arc::clone(&sources.hooks), Arc::clone(&sources.observer));
    let pages = Router::new()
        .route("/", get(pages::status))
        .route("/gates/{name}/decisions/{revision}", get(pages::decision))
        .route("/events", get(events::follow))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .route("/api/v1/gates", get(all_gates))
        .route("/api/v1/gates/{name}", get(one_gate))
        .route("/api/v1/gates/{name}/decisions", get(decisions::list))
        .route("/api/v1/gates/{name}/decisions/{revision}", get(decisions::one))
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT))
        .with_state(Pages::new(sources, stop.clone()));
    let Some(desk) = desk else { return pages };
    let hooks = Router::new()
        .route("/hooks/{gate}", post(hooks::receive))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, hooks::TIMEOUT))
        .with_state(desk);
    pages.merge(hooks)
}

/// Ready once every gate that does not rest has loaded its policies and its source, and from then on: a gate that a new
/// configuration brings is told on the status page.
async fn readyz(State(pages): State<Pages>) -> Response {
    if pages.ready.load(Ordering::Relaxed) {
        return "ready\n".into_response();
    }
    let waiting: Vec<String> = {
        let gates = pages.gates.borrow();
        gates.values().filter(|gate| !gate.ready && !gate.suspended).map(|gate| gate.name.clone()).collect()
    };
    if waiting.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", waiting.join(", "))).into_response()
}

async fn metrics_page(State(pages): State<Pages>) -> Response {
    let metrics = Arc::clone(&pages.metrics);
    let work = move || match metrics() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    };
    pages.write(work).await
}

async fn all_gates(State(pages): State<Pages>) -> Response {
    let gates: Vec<GateStatus> = pages.gates.borrow().values().cloned().collect();
    pages.write(move || axum::Json(json!({ "gates": gates })).into_response()).await
}

/// The report on the newest revision, with where the gate stands beside it under `status`.
async fn one_gate(State(pages): State<Pages>, Path(name): Path<String>) -> Response {
    let gate = pages.gates.borrow().get(&name).cloned();
    let Some(gate) = gate else {
        return (StatusCode::NOT_FOUND, axum::Json(json!({ "error": "no such gate" }))).into_response();
    };
    pages.write(move || gate_answer(&gate)).await
}

fn gate_answer(gate: &GateStatus) -> Response {
    let answer = match &gate.report {
        Some(report) => serde_json::to_value(report.as_ref()),
        None => Ok(
            json!({ "schema": crate::report::SCHEMA, "gate": gate.name, "decision": null, "images": [], "errors": [] }),
        ),
    };
    match (answer, serde_json::to_value(gate)) {
        (Ok(mut answer), Ok(status)) => {
            if let Some(fields) = answer.as_object_mut() {
                fields.insert("status".to_owned(), status);
            }
            axum::Json(answer).into_response()
        }
        (Err(error), _) | (_, Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
