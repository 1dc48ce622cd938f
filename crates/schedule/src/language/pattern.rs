//! Patterns of local times, whatever the zone.
//!
//! Local times are counted in microseconds from 1970-01-01T00:00 on the wall.

use super::calendar::Calendar;

/// A set of local times.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Pattern {
    /// Fields of date and time.
    Calendar(Calendar),
}

impl Pattern {
    /// The first matching local time that is at least `at`.
    pub(super) fn next(&self, at: i64) -> Option<i64> {
        match self {
            Self::Calendar(calendar) => calendar.next(at),
        }
    }

    /// The last matching local time that is at most `at`.
    pub(super) fn previous(&self, at: i64) -> Option<i64> {
        match self {
            Self::Calendar(calendar) => calendar.previous(at),
        }
    }

    /// How many matching local times lie in `from..until`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        match self {
            Self::Calendar(calendar) => calendar.count(from, until),
        }
    }
}
