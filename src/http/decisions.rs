//! `/api/v1/gates/NAME/decisions`: what the decision log answers about a gate.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use crate::report::history::{Asked, Kept, Reports};

use super::Pages;

/// Decisions in one answer, where nothing is said, and at most.
const LIMITS: (usize, usize) = (50, 500);
/// Characters that a revision is named by at least: as many as Git asks for.
const MIN_REVISION: usize = 4;

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
    before: Option<u64>,
}

/// The decisions on a gate, the newest first, without their reports.
pub(super) async fn list(State(pages): State<Pages>, Path(name): Path<String>, Query(page): Query<Page>) -> Response {
    let limit = page.limit.unwrap_or(LIMITS.0).clamp(1, LIMITS.1);
    let asked = Asked { gate: Some(name), before: page.before, limit, ..Asked::default() };
    match pages.ask(asked).await {
        Ok(entries) => {
            let told: Vec<_> = entries.into_iter().map(|kept| kept.told).collect();
            axum::Json(json!({ "decisions": told })).into_response()
        }
        Err(answer) => answer,
    }
}

/// What happened to one revision: every entry, and the report of the newest decision.
pub(super) async fn one(State(pages): State<Pages>, Path((name, revision)): Path<(String, String)>) -> Response {
    match of_revision(&pages, name, revision).await {
        Ok((entries, newest)) => {
            let entries: Vec<_> = entries.into_iter().map(|kept| kept.told).collect();
            axum::Json(json!({ "decisions": entries, "report": newest.report })).into_response()
        }
        Err(answer) => answer,
    }
}

/// The entries about a revision, and the newest decision among them with its report.
pub(super) async fn of_revision(pages: &Pages, gate: String, revision: String) -> Result<(Vec<Kept>, Kept), Response> {
    if revision.len() < MIN_REVISION {
        return Err(none());
    }
    let asked = Asked { gate: Some(gate), revision: Some(revision), limit: LIMITS.1, ..Asked::default() };
    let newest = Asked { limit: 1, decisions_only: true, reports: Reports::With, ..asked.clone() };
    let newest = pages.ask(newest).await?.into_iter().next().ok_or_else(none)?;
    // A beginning may stand for several commits: the newest one is meant.
    let entries = pages.ask(Asked { revision: Some(newest.told.revision.clone()), ..asked }).await?;
    Ok((entries, newest))
}

fn none() -> Response {
    let text = json!({ "error": "no decision on this revision is kept" });
    (StatusCode::NOT_FOUND, axum::Json(text)).into_response()
}
