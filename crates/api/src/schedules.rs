//! `GET /v1/schedules` and `GET /v1/schedules/{namespace}/{name}/history`.

use crate::files::{FileProblem, Reload};
use serde::{Deserialize, Serialize};

/// All schedules, by namespace and name.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Schedules {
    /// The schedules.
    pub schedules: Vec<Schedule>,
    /// Files that could not be taken, and why.
    pub problems: Vec<FileProblem>,
    /// What came of the files when they last changed; `None` if they have not since the start.
    pub reload: Option<Reload>,
}

/// One schedule and how it fares.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Schedule {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// The expression, as written.
    pub schedule: String,
    /// IANA zone.
    pub time_zone: String,
    /// `exec`, `http` or the kind of broker, with the program or address: for eyes. Values of an
    /// address's query, which may be secret, are left out (`?token=…`).
    pub target: String,
    /// Whether fires are suspended, by the schedule's file.
    pub suspended: bool,
    /// Since when the schedule is paused, by whom and why; `None` if it is not.
    pub paused: Option<Pause>,
    /// How often the target has failed since it last succeeded, fires that were asked for aside.
    pub failures: u32,
    /// After how many failures in a row it pauses itself; `None`: never.
    pub pause_on_failure: Option<u32>,
    /// The next instants, ns since 1970, soonest first; at most ten.
    pub next_ns: Vec<i64>,
    /// Names of the calendars whose days alone have instants; empty: all days.
    pub include: Vec<String>,
    /// Names of the calendars whose days have none.
    pub exclude: Vec<String>,
    /// The next instant that the calendars leave out; `None`: none within two years.
    pub left_out: Option<LeftOut>,
    /// The last recorded outcome.
    pub last: Option<Outcome>,
    /// Outcomes of the schedule's instants, counted since the state began.
    pub counts: Counts,
    /// The same of fires that were asked for: runs and backfills.
    pub requested: Counts,
    /// Lateness of fires of this process.
    pub lateness: Lateness,
    /// Runs that have started and not ended.
    pub running: u32,
}

/// An instant that would be one if it were not for its day.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// When, ns since 1970.
    pub at_ns: i64,
    /// The excluded calendar that has its day; `None` where no included calendar has it.
    pub excluded_by: Option<String>,
}

/// Outcomes counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counts {
    /// Done.
    pub fired: u64,
    /// Passed while nobody was there, or too late.
    pub missed: u64,
    /// Not done because a policy said so.
    pub skipped: u64,
    /// Done, and the target failed.
    pub failed: u64,
    /// Claimed, then the process died, and the target cannot tell.
    pub unknown: u64,
}

/// Lateness at release: actual less scheduled, by the clock the schedule follows.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lateness {
    /// Median, ns; `None` before the first fire.
    pub p50_ns: Option<i64>,
    /// 99th percentile, ns.
    pub p99_ns: Option<i64>,
    /// Largest, ns.
    pub max_ns: Option<i64>,
    /// Counts by bucket.
    pub histogram: Vec<LatenessBucket>,
}

/// One bucket of the histogram.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LatenessBucket {
    /// Upper end, ns, inclusive; `None` for the last, which has no end.
    pub upper_ns: Option<i64>,
    /// Fires that were at most this late and later than the bucket before.
    pub count: u64,
}

/// Why a schedule rests until further notice.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pause {
    /// Since when, ns since 1970.
    pub at_ns: i64,
    /// Who paused it: a user of this machine, the page, or `timeball` itself.
    pub by: String,
    /// Why; may be empty.
    pub why: String,
}

/// One instant's outcome, or a run of instants with the same one.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outcome {
    /// `fired`, `missed`, `skipped`, `failed` or `unknown`.
    pub result: String,
    /// Why, as a CamelCase word (`DeadlineExceeded`); empty for `fired`.
    pub reason: String,
    /// What the reason means, as a sentence; empty where there is none.
    pub explanation: String,
    /// What made it happen: `schedule`, `manual` (run now) or `backfill`.
    pub trigger: String,
    /// Details for a person, such as an exit status or an HTTP status.
    pub message: String,
    /// First instant, ns since 1970.
    pub scheduled_ns: i64,
    /// Last instant of the run of equal outcomes; the same as `scheduled_ns` for one.
    pub until_ns: i64,
    /// How many instants.
    pub count: u64,
    /// Actual release less scheduled, ns; `None` where not released, or for a run.
    pub lateness_ns: Option<i64>,
    /// The clock's bound when released, ns; `None` where unknown.
    pub clock_bound_ns: Option<i64>,
    /// How long the target took, ns.
    pub duration_ns: Option<i64>,
    /// Whether the clock's error exceeded the schedule's limit (`onExceeded: Flag`).
    pub clock_exceeded: bool,
}

/// The history of one schedule.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct History {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Newest instant first.
    pub outcomes: Vec<Outcome>,
    /// What people did with the schedule, newest first; the last twenty.
    pub events: Vec<Event>,
}

/// Something that was done with a schedule, by a person or by itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// `paused`, `resumed`, `run` or `backfill`.
    pub kind: String,
    /// When, ns since 1970.
    pub at_ns: i64,
    /// Who: a user of this machine, the page, or `timeball` itself.
    pub by: String,
    /// Why; may be empty.
    pub why: String,
    /// First instant that was asked for, ns since 1970.
    pub from_ns: Option<i64>,
    /// Last instant that was asked for, ns since 1970.
    pub until_ns: Option<i64>,
    /// How many instants were asked for.
    pub count: u64,
}
