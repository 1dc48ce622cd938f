//! `GET /v1/events`: server-sent events, each with a name and one line of JSON.
//!
//! A stream opens with `event: backlog`, an array of the [`ClockPoint`]s of the last ten minutes,
//! oldest first. Then `event: clock` brings one [`ClockPoint`], `event: status` a
//! [`crate::status::Status`] and
//! `event: schedules` a [`crate::schedules::Schedules`], each once a second.

use serde::{Deserialize, Serialize};

/// A point of the clock's graph.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClockPoint {
    /// System clock, ns since 1970.
    pub system_ns: i64,
    /// True time less system time, ns.
    pub offset_ns: Option<i64>,
    /// Largest error of `offset_ns` at that moment, ns.
    pub bound_ns: Option<i64>,
    /// The least that true time less system time can be, ns, as in the status.
    #[serde(default)]
    pub earliest_offset_ns: Option<i64>,
    /// The most that it can be, ns.
    #[serde(default)]
    pub latest_offset_ns: Option<i64>,
    /// As in the status.
    pub state: String,
}
