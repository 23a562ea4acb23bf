//! Serves the pages. The status page is rendered once for each change, whoever asks for it and however often.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;

use crate::report::Report;
use crate::report::history::Asked;
use crate::report::kept;

use super::page::{self, Shown};
use super::status::{GateStatus, Statuses};
use super::{Pages, decisions};

/// Entries of the decision log shown of one gate.
const SHOWN: usize = 20;

/// The status page as it was rendered last.
pub(super) struct Rendered {
    gates: watch::Receiver<Statuses>,
    page: Option<Bytes>,
}

impl Rendered {
    pub(super) fn new(gates: watch::Receiver<Statuses>) -> Self {
        Self { gates, page: None }
    }
}

/// The status page.
pub(super) async fn status(State(pages): State<Pages>) -> Response {
    let mut rendered = pages.rendered.lock().await;
    let is_new = rendered.gates.has_changed().unwrap_or_default();
    if let Some(page) = rendered.page.clone().filter(|_| !is_new) {
        return html(page);
    }
    let statuses: Vec<GateStatus> = rendered.gates.borrow_and_update().values().cloned().collect();
    match render(&pages, statuses).await {
        Ok(page) => {
            rendered.page = Some(page.clone());
            html(page)
        }
        Err(answer) => {
            rendered.page = None;
            answer
        }
    }
}

async fn render(pages: &Pages, statuses: Vec<GateStatus>) -> Result<Bytes, Response> {
    let mut gates = Vec::with_capacity(statuses.len());
    for status in statuses {
        let asked = Asked { gate: Some(status.name.clone()), limit: SHOWN, ..Asked::default() };
        let history = pages.ask(asked).await?.into_iter().map(|kept| kept.told).collect();
        gates.push((status, history));
    }
    let work = move || {
        let show = |(status, history): (GateStatus, _)| {
            let report = status.report.as_deref().map(read);
            Shown { status, report, history }
        };
        let shown: Vec<Shown> = gates.into_iter().map(show).collect();
        Bytes::from(page::status(&shown))
    };
    let failed = |error: tokio::task::JoinError| {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to render the page: {error}\n")).into_response()
    };
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// The report as pages show it: of a large one only as much as they show, so that none takes long.
fn read(report: &Report) -> kept::Report {
    let mut report = report.clone();
    let (mut verified, mut others) = (0_usize, 0_usize);
    report.images.retain(|image| {
        let count = if image.verdict == Some("verified") { &mut verified } else { &mut others };
        *count = count.saturating_add(1);
        *count <= page::MAX_IMAGES
    });
    let value = serde_json::to_value(report).and_then(|value| kept::Report::read(&value));
    value.unwrap_or_else(|error| {
        tracing::error!(error = %error, "the report cannot be shown");
        kept::Report::default()
    })
}

/// The page of a decision.
pub(super) async fn decision(State(pages): State<Pages>, Path((name, revision)): Path<(String, String)>) -> Response {
    match decisions::of_revision(&pages, name, revision).await {
        Ok((entries, newest)) => {
            let entries: Vec<_> = entries.into_iter().map(|kept| kept.told).collect();
            html(Bytes::from(page::decision(&entries, &newest)))
        }
        Err(answer) => answer,
    }
}

fn html(page: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, page).into_response()
}
