//! Patterns of local times, whatever the zone.
//!
//! Local times are counted in microseconds from 1970-01-01T00:00 on the wall.

use super::calendar::Calendar;
use super::interval::Repeat;
use super::rrule::Rule;

/// A set of local times.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Pattern {
    /// Fields of date and time.
    Calendar(Calendar),
    /// So many months and days apart.
    Repeat(Repeat),
    /// A recurrence rule.
    Rule(Box<Rule>),
}

impl Pattern {
    /// The first matching local time that is at least `at`.
    pub(super) fn next(&self, at: i64) -> Option<i64> {
        match self {
            Self::Calendar(calendar) => calendar.next(at),
            Self::Repeat(repeat) => repeat.next(at),
            Self::Rule(rule) => rule.next(at),
        }
    }

    /// The last matching local time that is at most `at`.
    pub(super) fn previous(&self, at: i64) -> Option<i64> {
        match self {
            Self::Calendar(calendar) => calendar.previous(at),
            Self::Repeat(repeat) => repeat.previous(at),
            Self::Rule(rule) => rule.previous(at),
        }
    }

    /// How many matching local times lie in `from..until`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        match self {
            Self::Calendar(calendar) => calendar.count(from, until),
            Self::Repeat(repeat) => repeat.count(from, until),
            Self::Rule(rule) => rule.count(from, until),
        }
    }
}
