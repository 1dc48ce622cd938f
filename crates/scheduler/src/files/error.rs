//! What can be wrong with a schedule file.

use crate::zones::ZonesError;
use std::path::PathBuf;
use thiserror::Error;
use timeball_schedule::language::{DayCalendarError, ParseError};

/// Why a file's text is no list of schedules.
#[derive(Debug, Error, PartialEq)]
pub(crate) enum SyntaxError {
    /// It is no YAML or JSON, or a value has the wrong type.
    #[error("line {line}, column {column}: {message}")]
    At { line: u64, column: u64, message: String },
    /// The same, where the place is not known.
    #[error("{0}")]
    Somewhere(String),
    /// A document is of a kind that is not ours.
    #[error(
        "kind is `{kind}`; only `PreciseCronJob` and `Calendar` are understood here{}",
        match kind.as_str() {
            "CronJob" => "; `timeball schedule import` makes schedules of CronJobs",
            _ => "",
        }
    )]
    Kind { kind: String },
    /// There is nothing in it.
    #[error("no schedule and no calendar in it; see docs/schedules.md for the form")]
    Empty,
}

impl SyntaxError {
    /// The same, for a text that has so many lines above it.
    pub(super) fn below(self, lines: u64) -> Self {
        match self {
            Self::At { line, column, message } => Self::At { line: line + lines, column, message },
            other => other,
        }
    }
}

/// Why a schedule of a file cannot be taken.
#[derive(Debug, Error)]
pub(crate) enum DocumentError {
    /// It is of another kind.
    #[error("{field} is `{value}`; only `{expected}` is understood here")]
    Kind { field: &'static str, value: String, expected: &'static str },
    /// A name is not as Kubernetes wants it.
    #[error(
        "{field} `{value}`: a name is lower case letters, digits and `-`, begins and ends with a \
         letter or digit, and has 1 to {octets_max} characters"
    )]
    Name { field: &'static str, value: String, octets_max: usize },
    /// The uid is no UUID.
    #[error(
        "metadata.uid `{value}` is no UUID; leave it out to have one made of namespace and name"
    )]
    Uid { value: String },
    /// The expression.
    #[error("spec.schedule `{expression}`: {source}{}", caret(expression, source.position))]
    Expression { expression: String, source: ParseError },
    /// It would never fire.
    #[error(
        "spec.schedule `{expression}` has no instant at all{}",
        if *on_days { " on the days that spec.include and spec.exclude leave" } else { "" }
    )]
    NeverFires { expression: String, on_days: bool },
    /// A calendar that no file has.
    #[error(
        "{field}: there is no calendar `{name}` in namespace `{namespace}`{}",
        near.as_ref().map_or_else(
            || "; define it (`kind: Calendar`) in a file of this directory".to_owned(),
            |near| format!("; did you mean `{near}`?"),
        )
    )]
    NoCalendar { field: &'static str, name: String, namespace: String, near: Option<String> },
    /// More calendars than a schedule can have.
    #[error("{field} names {count} calendars, at most {most} are possible; join some of them")]
    TooManyCalendars { field: &'static str, count: usize, most: usize },
    /// An entry of a calendar that says nothing, or two things.
    #[error("spec.days[{index}] must have exactly one of: date, from with to, cron, rule")]
    CalendarDays { index: usize },
    /// The days of a calendar.
    #[error("spec.{0}")]
    Calendar(#[from] DayCalendarError),
    /// The zone is not known.
    #[error("spec.timeZone: {0}")]
    Zone(#[from] ZonesError),
    /// A number out of its range.
    #[error("{field} is {value}; it must be {least} to {most}")]
    Range { field: &'static str, value: i64, least: i64, most: i64 },
    /// Two fields that say the same.
    #[error("{first} and {second} are both given; keep one")]
    Both { first: &'static str, second: &'static str },
    /// None or two targets.
    #[error(
        "spec.target has {count} members; it must have exactly one of: exec, http, nats, \
         rabbitmq, kafka"
    )]
    Targets { count: usize },
    /// A combination that makes no sense.
    #[error("{what}; {fix}")]
    Combination { what: &'static str, fix: &'static str },
    /// The same namespace and name, or uid, twice.
    #[error("is already defined in {}; give one of them another name", first.display())]
    Duplicate { first: PathBuf },
    /// The target.
    #[error("spec.target.{0}")]
    Target(#[from] super::target::TargetError),
}

impl DocumentError {
    /// Whether another machine, or the same one tomorrow, might take the document as it is.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Target(error) => error.is_of_this_machine(),
            Self::Zone(ZonesError::NoDatabase { .. }) => true,
            _ => false,
        }
    }

    /// The field that is wrong, as a path.
    pub(super) fn field(&self) -> &str {
        match self {
            Self::Kind { field, .. }
            | Self::Name { field, .. }
            | Self::Range { field, .. }
            | Self::NoCalendar { field, .. }
            | Self::TooManyCalendars { field, .. } => field,
            Self::CalendarDays { .. } | Self::Calendar(_) => "spec",
            Self::Uid { .. } => "metadata.uid",
            Self::Expression { .. } | Self::NeverFires { .. } => "spec.schedule",
            Self::Zone(_) => "spec.timeZone",
            Self::Both { second, .. } => second,
            Self::Targets { .. } | Self::Target(_) => "spec.target",
            Self::Combination { .. } => "spec.clock",
            Self::Duplicate { .. } => "metadata.name",
        }
    }
}

/// Marks the place in an expression by repeating what is left of it from there.
fn caret(expression: &str, position: usize) -> String {
    match expression.get(position..) {
        Some(rest) if !rest.is_empty() && position > 0 => format!(" (at `{rest}`)"),
        _ => String::new(),
    }
}
