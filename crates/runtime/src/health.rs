//! `/healthz` (the process works) and `/readyz` (its clock may be relied on).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use timeball_api::health::Health;
pub use timeball_api::health::Readiness;
use timeball_api::routes;
use timeball_timebase::{ClockState, MonoTime, Now, Span, SyncState};

use crate::cells::ClockCell;
use crate::clocks::{raw_clock, read_clocks};

/// A loop that has not run for this long does not work.
const SILENCE_MAX: Span = Span::from_secs(10);

/// The sign of life of a loop; clones share it.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<AtomicI64>);

impl Heartbeat {
    /// Makes a heartbeat that beats now.
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(raw_clock().as_nanos())))
    }

    /// Says that the loop runs at `at`, by the raw clock; to be called every few seconds.
    pub fn beat(&self, at: MonoTime) {
        self.0.store(at.as_nanos(), Ordering::Relaxed);
    }

    /// How long ago the loop ran last, at `now`; at least zero.
    pub fn silence(&self, now: MonoTime) -> Span {
        (now - MonoTime::from_nanos(self.0.load(Ordering::Relaxed))).max(Span::ZERO)
    }

    /// Whether the loop works at `now`: it ran in the last ten seconds.
    pub fn is_well(&self, now: MonoTime) -> bool {
        self.silence(now) <= SILENCE_MAX
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

/// The routes `/healthz` and `/readyz`.
///
/// `/healthz` answers 200 while the loop behind `heartbeat` has run in the last ten seconds, else
/// 503. `/readyz` answers 200 while the clock is usable and that loop looks after it, else 503;
/// with `?max_error_ms=N` (a positive number) only while the system clock is also certainly within
/// N milliseconds of true time. Both say in JSON how it stands and, if not well, why.
pub fn router(heartbeat: Heartbeat, clock: Arc<ClockCell>) -> Router {
    Router::new()
        .route(routes::HEALTHZ, get(healthz).with_state(heartbeat.clone()))
        .route(routes::READYZ, get(readyz).with_state((heartbeat, clock)))
}

/// Judges a clock state at `now`, with a limit on the system clock's error if one is asked for.
pub fn readiness(state: &ClockState, now: Now, limit: Option<Span>) -> Readiness {
    let reading = state.reading(now);
    let max_error = reading.error_of(now.system);
    let because = |reason: &str, message: String| Readiness {
        ready: false,
        reason: Some(reason.to_owned()),
        message: Some(message),
        max_error_ns: max_error.map(Span::as_nanos),
    };
    let Some(error) = max_error.filter(|_| state.is_usable()) else {
        return match state.state {
            SyncState::Acquiring => because(
                "ClockAcquiring",
                "sources have answered, but too few measurements are in yet".to_owned(),
            ),
            _ => because(
                "ClockUnsynchronized",
                "no majority of time sources vouches for the clock, or what they say is refused: the \
                 error is unknown"
                    .to_owned(),
            ),
        };
    };
    match limit {
        Some(limit) if error > limit => {
            let (error, limit) = (Magnitude(error), Magnitude(limit));
            let message =
                format!("the clock may be {error} off, and {limit} is the limit asked for");
            because("ErrorTooLarge", message)
        }
        _ => Readiness {
            ready: true,
            reason: None,
            message: None,
            max_error_ns: Some(error.as_nanos()),
        },
    }
}

/// What becomes of a clock's readiness when nobody has looked after it for so long: somebody may
/// have set it since.
fn unwatched(silence: Span, otherwise: Readiness) -> Readiness {
    let silence = Magnitude(silence);
    Readiness {
        ready: false,
        reason: Some("TimeLoopSilent".to_owned()),
        message: Some(format!("the time loop has not run for {silence}: it hangs, or has ended")),
        ..otherwise
    }
}

/// A span that cannot be negative, shown without its sign.
struct Magnitude(Span);

impl std::fmt::Display for Magnitude {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_string().trim_start_matches('+'))
    }
}

async fn healthz(State(heartbeat): State<Heartbeat>) -> Response {
    let now = raw_clock();
    let (healthy, silence) = (heartbeat.is_well(now), heartbeat.silence(now));
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Health { healthy, silence_ns: silence.as_nanos() })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadyQuery {
    max_error_ms: Option<f64>,
}

async fn readyz(
    State((heartbeat, clock)): State<(Heartbeat, Arc<ClockCell>)>,
    Query(query): Query<ReadyQuery>,
) -> Response {
    let limit = match query.max_error_ms {
        None => None,
        Some(limit_ms) if limit_ms > 0.0 => Span::from_seconds_f64(limit_ms / 1e3),
        Some(_) => {
            let hint = "max_error_ms is a positive number of milliseconds\n";
            return (StatusCode::BAD_REQUEST, hint).into_response();
        }
    };
    let now = read_clocks();
    let readiness = readiness(&clock.read_at(now.raw), now, limit);
    let readiness = if heartbeat.is_well(now.raw) {
        readiness
    } else {
        unwatched(heartbeat.silence(now.raw), readiness)
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::{Bound, Frequency, Timestamp};

    fn synchronized() -> (ClockState, Now) {
        let as_of = MonoTime::from_nanos(5);
        let half_width = Span::from_millis(2);
        let system = Timestamp::from_unix(1_795_000_000, 0);
        let state = ClockState {
            state: SyncState::Synchronized,
            as_of,
            system,
            offset: Some(Span::from_millis(-3)),
            bound: Some(Bound { as_of, half_width, growth: Frequency::ZERO }),
            ..ClockState::default()
        };
        (state, Now::exact(as_of, system))
    }

    #[test]
    fn readiness_counts_offset_and_bound_together() {
        let (state, now) = synchronized();
        let five = Some(Span::from_millis(5));
        let ready = readiness(&state, now, five);
        assert!(ready.ready);
        assert_eq!(ready.max_error_ns, Some(5_000_000));
        let refused = readiness(&state, now, Some(Span::from_micros(4_999)));
        assert!(!refused.ready);
        assert_eq!(refused.reason.as_deref(), Some("ErrorTooLarge"));
        let message = refused.message.unwrap();
        assert_eq!(message, "the clock may be 5.00 ms off, and 4.99 ms is the limit asked for");
    }

    #[test]
    fn an_unknown_clock_is_never_ready_and_says_why() {
        let (state, now) = synchronized();
        let acquiring = ClockState { state: SyncState::Acquiring, ..state };
        let reason = |state: &ClockState| readiness(state, now, None).reason.unwrap();
        assert_eq!(reason(&acquiring), "ClockAcquiring");
        assert_eq!(reason(&ClockState::default()), "ClockUnsynchronized");
        assert_eq!(readiness(&ClockState::default(), now, None).max_error_ns, None);
    }

    #[test]
    fn a_clock_that_nobody_looks_after_any_more_is_not_ready() {
        let (state, now) = synchronized();
        let cell = ClockCell::new();
        cell.publish(state);
        let ready_after = |seconds| {
            let since = Span::from_secs(seconds);
            let now = Now::exact(now.raw + since, now.system + since);
            readiness(&cell.read_at(now.raw), now, None).ready
        };
        assert!(ready_after(128) && !ready_after(129));
    }

    #[test]
    fn a_heart_that_stops_is_noticed() {
        let heartbeat = Heartbeat::new();
        let start = raw_clock();
        heartbeat.beat(start);
        assert_eq!(heartbeat.silence(start + Span::from_secs(11)), Span::from_secs(11));
        assert!(heartbeat.is_well(start + SILENCE_MAX));
        assert!(!heartbeat.is_well(start + Span::from_secs(11)));
        assert_eq!(heartbeat.silence(start - Span::from_secs(1)), Span::ZERO);
    }

    #[tokio::test]
    async fn a_clock_whose_loop_hangs_is_not_ready_and_the_loop_is_named() {
        let (clock, heartbeat) = (Arc::new(ClockCell::new()), Heartbeat::new());
        let now = read_clocks();
        let (state, _) = synchronized();
        let bound = state.bound.map(|bound| Bound { as_of: now.raw, ..bound });
        clock.publish(ClockState { as_of: now.raw, system: now.system, bound, ..state });
        let answer = async |heartbeat: &Heartbeat| {
            let watched = State((heartbeat.clone(), Arc::clone(&clock)));
            let response = readyz(watched, Query(ReadyQuery { max_error_ms: None })).await;
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap();
            (status, serde_json::from_slice::<Readiness>(&body).unwrap())
        };
        assert_eq!(answer(&heartbeat).await.0, StatusCode::OK);
        heartbeat.beat(now.raw - Span::from_secs(60));
        let (status, readiness) = answer(&heartbeat).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(readiness.reason.as_deref(), Some("TimeLoopSilent"));
        assert!(readiness.max_error_ns.is_some(), "what is promised is still told");
    }
}
