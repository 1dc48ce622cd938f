//! `Calendar`: days that schedules include or exclude, in a file of the schedules directory (docs:
//! docs/schedules.md). Unknown fields are refused by name.

use crate::cron_job::Metadata;
use serde::{Deserialize, Serialize};

/// The resource's kind; group and version are those of `PreciseCronJob`.
pub const KIND: &str = "Calendar";

/// A named set of days.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Calendar {
    /// `timeball.dev/v1alpha1`.
    pub api_version: String,
    /// `Calendar`.
    pub kind: String,
    /// Name and namespace; schedules of the same namespace can use it.
    pub metadata: Metadata,
    /// The days.
    pub spec: CalendarSpec,
}

/// The days of a calendar.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalendarSpec {
    /// IANA name of the zone whose days they are; that of the schedule which uses it where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// A day is in the calendar that is in any of these; at most 1,000.
    pub days: Vec<CalendarDays>,
}

/// Some days: `date`, `from` with `to`, `cron` or `rule`, and only one of them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalendarDays {
    /// One date: `2026-12-25`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The first date of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last date of several, included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Day of month, month and day of week, as in dialect `vixie`: `* * SAT,SUN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// A recurrence rule of days (RFC 5545): `DTSTART:20260101 RRULE:FREQ=YEARLY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}
