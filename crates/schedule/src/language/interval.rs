//! ISO 8601 repeating intervals: `R/2026-01-01T00:00:00Z/PT0.010S`, `R5/2026-01-01T09:00/P1M`.
//!
//! The instants are where the intervals begin; `R5` are five of them. A span of time is counted
//! from the first; days, weeks, months and years are counted on the calendar of the schedule's
//! zone, from the first, so that the 31st is followed by the last of February and the 31st again.

use super::civil::{Date, days_in_month, is_leap};
use super::duration::Duration;
use super::error::ParseError;
use super::moment::{Moment, timestamp};
use super::pattern::Pattern;
use super::{APART_US, DAY_US, MAX_US, MIN_US, Parsed, When, Zone};

/// Instants a fixed span of time apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Train {
    start: i64,
    /// Microseconds, at least [`APART_US`].
    period: i64,
    /// How many there are at most.
    count: i64,
}

/// Local times that are so many months and days apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Repeat {
    /// On the wall.
    start: i64,
    months: i64,
    /// Microseconds.
    rest: i64,
    /// How many there are at most.
    count: i64,
}

/// Whether a word begins a repeating interval.
pub(super) fn begins(word: &str) -> bool {
    word.strip_prefix('R')
        .is_some_and(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('/'))
}

/// Parses `Rn/START/DURATION`, `Rn/START/END` or `Rn/DURATION/END`.
pub(super) fn parse(text: &str, at: usize, zone: &Zone) -> Result<Parsed, ParseError> {
    let parts: Vec<&str> = text.split('/').collect();
    let [repeats, first, second] = parts[..] else {
        let message = "a repeating interval has three parts: Rn/START/DURATION, Rn/START/END or \
            Rn/DURATION/END";
        return Err(ParseError::new(at, message));
    };
    let first_at = at + repeats.len() + 1;
    let second_at = first_at + first.len() + 1;
    let count = count(&repeats[1..], at + 1)?;
    if first.starts_with('P') {
        let duration = Duration::parse(first, first_at)?;
        let end = Moment::parse(second, second_at)?;
        let Some(count) = count.filter(|_| duration.is_exact()) else {
            let message = "an interval that is given by its end needs a number, as R5, and a \
                duration in hours, minutes and seconds; write its start instead";
            return Err(ParseError::new(at, message));
        };
        let start = count
            .checked_mul(duration.time)
            .map(|length| end.instant(zone) - length)
            .filter(|start| *start >= MIN_US);
        let Some(start) = start else {
            return Err(ParseError::new(at, "the first interval begins before 1677"));
        };
        return train(start, duration, Some(count), first_at);
    }
    let start = Moment::parse(first, first_at)?;
    if !second.starts_with('P') {
        let end = Moment::parse(second, second_at)?;
        let time = end.instant(zone) - start.instant(zone);
        let duration = Duration { months: 0, days: 0, time };
        return train(start.instant(zone), duration, count, second_at);
    }
    let duration = Duration::parse(second, second_at)?;
    if duration.is_exact() {
        return train(start.instant(zone), duration, count, second_at);
    }
    let start = start.in_zone(zone);
    let Duration { months, days, time } = duration;
    let shown = timestamp(start).to_string();
    let canonical = format!("{}/{}/{duration}", shown_count(count), shown.trim_end_matches('Z'));
    let count = count.unwrap_or(i64::MAX);
    let repeat = Repeat { start, months, rest: days * DAY_US + time, count };
    let when = When::Local(Pattern::Repeat(repeat));
    Ok(Parsed { when, wildcard: time != 0, canonical })
}

fn train(
    start: i64,
    duration: Duration,
    count: Option<i64>,
    at: usize,
) -> Result<Parsed, ParseError> {
    if duration.time < APART_US {
        let message = "the intervals are too short: instants are at least 1 ms apart";
        return Err(ParseError::new(at, message).suggest("PT0.001S"));
    }
    let canonical = format!("{}/{}/{duration}", shown_count(count), timestamp(start));
    let train = Train { start, period: duration.time, count: count.unwrap_or(i64::MAX) };
    Ok(Parsed { when: When::Train(train), wildcard: true, canonical })
}

/// How many intervals; `None` for no end.
fn count(text: &str, at: usize) -> Result<Option<i64>, ParseError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(count @ 1..) => Ok(Some(i64::from(count))),
        _ => {
            let message = format!("`R{text}` repeats nothing; expected R, or R1 to R4294967295");
            Err(ParseError::new(at, message))
        }
    }
}

fn shown_count(count: Option<i64>) -> String {
    count.map_or_else(|| "R".to_owned(), |count| format!("R{count}"))
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
