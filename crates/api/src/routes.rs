//! The paths of the local API. Routers and the OpenAPI document (`docs/schemas/openapi.json`) take
//! them from here, so that neither has one that the other lacks.

/// [`crate::status::Status`].
pub const STATUS: &str = "/v1/status";
/// [`crate::schedules::Schedules`].
pub const SCHEDULES: &str = "/v1/schedules";
/// [`crate::files::FileChanges`] that are not in force.
pub const FILE_CHANGES: &str = "/v1/schedules/changes";
/// Takes the files up now.
pub const RELOAD: &str = "/v1/schedules/reload";
/// [`crate::schedules::History`].
pub const HISTORY: &str = "/v1/schedules/{namespace}/{name}/history";
/// Pauses a schedule.
pub const PAUSE: &str = "/v1/schedules/{namespace}/{name}/pause";
/// Ends a pause.
pub const RESUME: &str = "/v1/schedules/{namespace}/{name}/resume";
/// Runs a schedule's target now.
pub const RUN: &str = "/v1/schedules/{namespace}/{name}/run";
/// Runs instants that have passed.
pub const BACKFILL: &str = "/v1/schedules/{namespace}/{name}/backfill";
/// The stream of [`crate::events`].
pub const EVENTS: &str = "/v1/events";
/// Numbers for Prometheus.
pub const METRICS: &str = "/metrics";
/// [`crate::health::Health`].
pub const HEALTHZ: &str = "/healthz";
/// [`crate::health::Readiness`].
pub const READYZ: &str = "/readyz";
/// The OpenAPI document itself.
pub const OPENAPI: &str = "/openapi.json";

/// Whether a route asks for the token, or the UNIX socket: whatever changes something, and the
/// changes of files, whose values may be secret.
pub fn is_guarded(method: &str, path: &str) -> bool {
    method == "post" || path == FILE_CHANGES
}

/// All of them, each with its one method in lower case; HEAD goes with `get`.
pub const ALL: [(&str, &str); 14] = [
    ("get", STATUS),
    ("get", SCHEDULES),
    ("get", FILE_CHANGES),
    ("post", RELOAD),
    ("get", HISTORY),
    ("post", PAUSE),
    ("post", RESUME),
    ("post", RUN),
    ("post", BACKFILL),
    ("get", EVENTS),
    ("get", METRICS),
    ("get", HEALTHZ),
    ("get", READYZ),
    ("get", OPENAPI),
];
