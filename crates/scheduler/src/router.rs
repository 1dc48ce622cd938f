//! The local API: what schedules there are, what became of them, and what is to be done with them.

use crate::{ControlError, Named, Scheduler};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};
use serde::{Deserialize, Serialize};
use timeball_api::control::{Accepted, Backfill, Change, Refused};
use timeball_api::routes;
use timeball_runtime::token::{self, Caller, Token};

impl Scheduler {
    /// `/v1/schedules…`: bodies and answers are those of [`timeball_api::schedules`] and
    /// [`timeball_api::control`]. Whoever changes something, or asks what the files would change,
    /// has to come over the UNIX socket or to show the token.
    pub fn router(&self, token: Token) -> Router {
        let guarded = Router::new()
            .route(routes::FILE_CHANGES, get(file_changes))
            .route(routes::RELOAD, post(reload))
            .route(routes::PAUSE, post(pause))
            .route(routes::RESUME, post(resume))
            .route(routes::RUN, post(run))
            .route(routes::BACKFILL, post(backfill))
            .layer(middleware::from_fn_with_state(token, token::require));
        Router::new()
            .route(routes::SCHEDULES, get(schedules))
            .route(routes::HISTORY, get(history))
            .merge(guarded)
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
    answer(move || {
        let mut history = scheduler.history(&namespace, &name)?;
        history.outcomes.truncate(limit.unwrap_or(usize::MAX));
        Ok(history)
    })
    .await
}

async fn file_changes(State(scheduler): State<Scheduler>) -> Response {
    answer(move || scheduler.file_changes()).await
}

async fn reload(State(scheduler): State<Scheduler>) -> Response {
    answer(move || scheduler.reload()).await
}

/// Whose schedule, and who wants it.
type Place = (State<Scheduler>, Path<(String, String)>, Extension<Caller>);

async fn pause(place: Place, body: Result<Json<Change>, JsonRejection>) -> Response {
    change(place, body, |scheduler, of, by, Change { why }| scheduler.pause(of, by, &why)).await
}

async fn resume(place: Place, body: Result<Json<Change>, JsonRejection>) -> Response {
    change(place, body, |scheduler, of, by, Change { why }| scheduler.resume(of, by, &why)).await
}

async fn run(place: Place, body: Result<Json<Change>, JsonRejection>) -> Response {
    change(place, body, |scheduler, of, by, Change { why }| scheduler.run(of, by, &why)).await
}

async fn backfill(place: Place, body: Result<Json<Backfill>, JsonRejection>) -> Response {
    change(place, body, |scheduler, of, by, range: Backfill| scheduler.backfill(of, by, &range))
        .await
}

async fn change<B: Send + 'static>(
    place: Place,
    body: Result<Json<B>, JsonRejection>,
    make: impl FnOnce(&Scheduler, &Named<'_>, &str, B) -> Result<Accepted, ControlError>
    + Send
    + 'static,
) -> Response {
    let (State(scheduler), Path((namespace, name)), Extension(Caller(by))) = place;
    match body {
        Ok(Json(body)) => {
            answer(move || {
                make(&scheduler, &Named { namespace: &namespace, name: &name }, &by, body)
            })
            .await
        }
        Err(error) => {
            let reason = "BadRequest".to_owned();
            (error.status(), Json(Refused { reason, message: error.body_text() })).into_response()
        }
    }
}

/// Waits for an answer of the dispatcher on a thread that may wait.
async fn answer<T: Serialize + Send + 'static>(
    ask: impl FnOnce() -> Result<T, ControlError> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(error)) => refuse(&error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refuse(error: &ControlError) -> Response {
    let status = match error {
        ControlError::NoSuchSchedule { .. } => StatusCode::NOT_FOUND,
        ControlError::AlreadyPaused { .. }
        | ControlError::NotPaused
        | ControlError::NothingToRun { .. }
        | ControlError::TooOften { .. } => StatusCode::CONFLICT,
        ControlError::WhyTooLong { .. }
        | ControlError::OutOfRange { .. }
        | ControlError::NotPast { .. }
        | ControlError::TooMany { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        ControlError::NotStored { .. } | ControlError::NoAnswer => StatusCode::SERVICE_UNAVAILABLE,
    };
    let refused = Refused { reason: error.name().to_owned(), message: error.to_string() };
    (status, Json(refused)).into_response()
}
