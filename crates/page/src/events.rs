//! `GET /v1/events`: server-sent events (WHATWG HTML section 9.2).
//!
//! A stream opens with the clock's last minutes (`event: backlog`), the status and the schedules,
//! and then brings `event: clock`, `event: status` and `event: schedules` once a second.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::channel::{Channel, Sender};
use timeball_api::routes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::frame::frame;
use crate::sampler::{Hub, MAX_STREAMS};

/// A reader that takes nothing for so long is let go: its place may be wanted.
const STALL_MAX: Duration = Duration::from_secs(30);

/// How soon a browser shall connect anew after the stream broke, milliseconds.
const RETRY_MS: u32 = 2000;

/// The stream's route.
pub(crate) fn router(hub: Arc<Hub>) -> Router {
    Router::new().route(routes::EVENTS, get(stream)).with_state(hub)
}

async fn stream(State(hub): State<Arc<Hub>>) -> Response {
    let Ok(slot) = Arc::clone(&hub.slots).try_acquire_owned() else {
        let reason = format!("{MAX_STREAMS} pages are open already; close one and try again\n");
        let wait = [(header::RETRY_AFTER, "10")];
        return (StatusCode::SERVICE_UNAVAILABLE, wait, reason).into_response();
    };
    let (sender, body) = Channel::new(1);
    tokio::spawn(feed(hub, sender, slot));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::new(body)).into_response()
}

/// Writes one stream until its reader leaves or stalls, or the program ends.
async fn feed(hub: Arc<Hub>, mut sender: Sender<Bytes>, _slot: OwnedSemaphorePermit) {
    let mut ticks = hub.subscribe();
    if ticks.borrow().ended {
        return;
    }
    let mut seen = 0;
    let backlog = hub.points_since(&mut seen);
    let mut text = format!("retry: {RETRY_MS}\n\n{}", frame("backlog", &backlog));
    text.push_str(&hub.views());
    loop {
        let sent = timeout(STALL_MAX, sender.send_data(Bytes::from(text))).await;
        if !matches!(sent, Ok(Ok(()))) || ticks.changed().await.is_err() {
            return;
        }
        let tick = ticks.borrow_and_update().clone();
        if tick.ended {
            return;
        }
        text = hub.points_since(&mut seen).iter().map(|point| frame("clock", point)).collect();
        text.push_str(&tick.views);
    }
}
