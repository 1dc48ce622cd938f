//! `GET /v1/events`: server-sent events. The event's name is the variant, its data the JSON below.

use serde::{Deserialize, Serialize};

/// A point of the clock's graph, sent once a second (`event: clock`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ClockPoint {
    /// System clock, ns since 1970.
    pub system_ns: i64,
    /// True time less system time, ns.
    pub offset_ns: Option<i64>,
    /// Bound of the offset at that moment, ns.
    pub bound_ns: Option<i64>,
    /// As in the status.
    pub state: String,
}
// `event: status` carries `crate::status::Status`, and `event: schedules` carries
// `crate::schedules::Schedules`, each once a second.
