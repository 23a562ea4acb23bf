//! `/events`: tells followers that something changed, as server-sent events. What changed they ask for themselves.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::Pages;
use super::status::Statuses;

/// Followers at once; the page of one more is refreshed by hand.
pub(super) const MOST: usize = 128;
/// How often a follower hears something, so that both sides notice when the other is gone.
const PULSE: Duration = Duration::from_secs(15);
/// Between two events: what changes faster is told once.
const PAUSE: Duration = Duration::from_millis(250);

struct Follower {
    gates: watch::Receiver<Statuses>,
    stop: CancellationToken,
    number: u64,
    _slot: OwnedSemaphorePermit,
}

pub(super) async fn follow(State(pages): State<Pages>) -> Response {
    let Ok(slot) = Arc::clone(&pages.followers).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")], "too many followers\n")
            .into_response();
    };
    let mut gates = pages.gates.clone();
    gates.mark_changed();
    let follower = Follower { gates, stop: pages.stop.clone(), number: 0, _slot: slot };
    let body = Body::from_stream(stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<Bytes, Infallible>(event), follower))
    }));
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

impl Follower {
    /// The next event, or a pulse; none once we are leaving.
    async fn next(&mut self) -> Option<Bytes> {
        if self.number > 0 {
            tokio::select! { () = self.stop.cancelled() => return None, () = tokio::time::sleep(PAUSE) => {} }
        }
        let changed = tokio::select! {
            () = self.stop.cancelled() => return None,
            changed = tokio::time::timeout(PULSE, self.gates.changed()) => changed,
        };
        self.number = self.number.saturating_add(1);
        match changed {
            Ok(Ok(())) => {
                self.gates.mark_unchanged();
                Some(Bytes::from(format!("event: gates\nid: {}\ndata: changed\n\n", self.number)))
            }
            Ok(Err(_)) => None,
            Err(_) => Some(Bytes::from_static(b": here\n\n")),
        }
    }
}
