//! The local API: what schedules there are, and what became of them.

use crate::Scheduler;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

impl Scheduler {
    /// `GET /v1/schedules` and `GET /v1/schedules/{namespace}/{name}/history?limit=N` (the newest
    /// `N` records; all without).
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/schedules", get(schedules))
            .route("/v1/schedules/{namespace}/{name}/history", get(history))
            .with_state(self.clone())
    }
}

async fn schedules(State(scheduler): State<Scheduler>) -> Response {
    // Next instants may take a while to find, and the history waits for a thread.
    match tokio::task::spawn_blocking(move || scheduler.schedules()).await {
        Ok(schedules) => Json(schedules).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Deserialize)]
struct HistoryQuery {
    limit: Option<usize>,
}

async fn history(
    State(scheduler): State<Scheduler>,
    Path((namespace, name)): Path<(String, String)>,
    Query(HistoryQuery { limit }): Query<HistoryQuery>,
) -> Response {
    let found = tokio::task::spawn_blocking(move || scheduler.history(&namespace, &name)).await;
    match found {
        Ok(Some(mut history)) => {
            history.outcomes.truncate(limit.unwrap_or(usize::MAX));
            Json(history).into_response()
        }
        Ok(None) => (StatusCode::NOT_FOUND, "no such schedule\n").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
