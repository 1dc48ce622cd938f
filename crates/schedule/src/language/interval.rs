//! ISO 8601 repeating intervals: `R/2026-01-01T00:00:00Z/PT0.010S`, `R5/2026-01-01T09:00/P1M`.
//!
//! The instants are where the intervals begin; `R5` are five of them. A span of time is counted
//! from the first; days, weeks, months and years are counted on the calendar of the schedule's
//! zone, from the first, so that the 31st is followed by the last of February and the 31st again.

use super::civil::{Date, days_in_month, is_leap};
use super::{DAY_US, MAX_US};

/// Instants a fixed span of time apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Train {
    pub(super) start: i64,
    /// Microseconds, at least a millisecond.
    pub(super) period: i64,
    /// How many there are at most.
    pub(super) count: i64,
}

/// Local times that are so many months and days apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Repeat {
    /// On the wall.
    pub(super) start: i64,
    pub(super) months: i64,
    /// Microseconds.
    pub(super) rest: i64,
    /// How many there are at most.
    pub(super) count: i64,
}

impl Train {
    /// The number of the first instant that is at least `at`.
    fn index(&self, at: i64) -> i64 {
        let after = i128::from(at) - i128::from(self.start);
        let index = (after + i128::from(self.period) - 1).div_euclid(i128::from(self.period));
        index.clamp(0, i128::from(self.count)) as i64
    }

    fn nth(&self, index: i64) -> Option<i64> {
        let at = index.checked_mul(self.period)?.checked_add(self.start)?;
        (index < self.count && at <= MAX_US).then_some(at)
    }

    /// The first instant that is at least `at`.
    pub(super) fn next(&self, at: i64) -> Option<i64> {
        self.nth(self.index(at))
    }

    /// The last instant that is at most `at`.
    pub(super) fn previous(&self, at: i64) -> Option<i64> {
        self.index(at.min(MAX_US) + 1).checked_sub(1).filter(|n| *n >= 0).and_then(|n| self.nth(n))
    }

    /// How many instants lie in `from..=until`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        (self.index(until.min(MAX_US) + 1) - self.index(from)).max(0) as u64
    }

    /// The first instant, the distance in microseconds, and how many there are if they end.
    pub(super) fn parts(&self) -> (i64, i64, Option<i64>) {
        (self.start, self.period, Some(self.count).filter(|count| *count != i64::MAX))
    }
}

impl Repeat {
    /// The number of the first local time that is at least `at`.
    fn index(&self, at: i64) -> i64 {
        // A month has at least 28 days, so this many are enough to reach it.
        let shortest = self.months * 28 * DAY_US + self.rest;
        let enough = at.saturating_sub(self.start).max(0) / shortest + 1;
        let (mut low, mut high) = (0, enough.min(self.count));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.nth(middle) < at { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn nth(&self, index: i64) -> i64 {
        let (day, time) = (self.start.div_euclid(DAY_US), self.start.rem_euclid(DAY_US));
        let date = Date::from_day(day);
        let month = date.year * 12 + i64::from(date.month) - 1 + index * self.months;
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) as u32 + 1);
        let day = date.day.min(days_in_month(is_leap(year), month));
        Date { year, month, day }.to_day() * DAY_US + time + index * self.rest
    }

    /// The first local time that is at least `at`.
    pub(super) fn next(&self, at: i64) -> Option<i64> {
        let index = self.index(at);
        (index < self.count).then(|| self.nth(index))
    }

    /// The last local time that is at most `at`.
    pub(super) fn previous(&self, at: i64) -> Option<i64> {
        let index = self.index(at + 1);
        (index > 0).then(|| self.nth(index - 1))
    }

    /// How many local times lie in `from..until`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        (self.index(until) - self.index(from)).max(0) as u64
    }

    /// The first local time, months and microseconds between two, and how many if they end.
    pub(super) fn parts(&self) -> (i64, i64, i64, Option<i64>) {
        let Self { start, months, rest, count } = *self;
        (start, months, rest, Some(count).filter(|count| *count != i64::MAX))
    }
}
