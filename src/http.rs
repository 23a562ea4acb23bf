//! Health, metrics, status page and API. It only reads: no request changes anything.

mod page;
pub mod status;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use status::{GateStatus, Statuses};

/// The content type of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Nothing that we serve takes long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// No request has a body.
const MAX_BODY: usize = 1024;

/// Gives all metrics as text.
pub type Scrape = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

#[derive(Clone)]
struct Pages {
    metrics: Scrape,
    gates: watch::Receiver<Statuses>,
}

/// Serves until `shutdown` resolves.
pub async fn serve(
    listener: TcpListener,
    metrics: Scrape,
    gates: watch::Receiver<Statuses>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let served = axum::serve(listener, router(metrics, gates)).with_graceful_shutdown(shutdown).await;
    if let Err(error) = served {
        tracing::error!(error = %error, "the HTTP server failed");
    }
}

fn router(metrics: Scrape, gates: watch::Receiver<Statuses>) -> Router {
    Router::new()
        .route("/", get(status_page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .route("/api/v1/gates", get(all_gates))
        .route("/api/v1/gates/{name}", get(one_gate))
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT))
        .with_state(Pages { metrics, gates })
}

/// Ready once every gate that does not rest has loaded its policies and its source.
async fn readyz(State(pages): State<Pages>) -> Response {
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
    match (pages.metrics)() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn status_page(State(pages): State<Pages>) -> Response {
    let html = page::render(&pages.gates.borrow());
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], Html(html)).into_response()
}

async fn all_gates(State(pages): State<Pages>) -> Response {
    let gates: Vec<GateStatus> = pages.gates.borrow().values().cloned().collect();
    axum::Json(json!({ "gates": gates })).into_response()
}

/// The report on the newest revision, with where the gate stands beside it under `status`.
async fn one_gate(State(pages): State<Pages>, Path(name): Path<String>) -> Response {
    let gate = pages.gates.borrow().get(&name).cloned();
    let Some(gate) = gate else {
        return (StatusCode::NOT_FOUND, axum::Json(json!({ "error": "no such gate" }))).into_response();
    };
    let answer = match &gate.report {
        Some(report) => serde_json::to_value(report.as_ref()),
        None => Ok(
            json!({ "schema": crate::report::SCHEMA, "gate": gate.name, "decision": null, "images": [], "errors": [] }),
        ),
    };
    match (answer, serde_json::to_value(&gate)) {
        (Ok(mut answer), Ok(status)) => {
            if let Some(fields) = answer.as_object_mut() {
                fields.insert("status".to_owned(), status);
            }
            axum::Json(answer).into_response()
        }
        (Err(error), _) | (_, Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
