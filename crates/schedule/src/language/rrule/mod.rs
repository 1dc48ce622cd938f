//! Recurrence rules of RFC 5545 section 3.3.10, with DTSTART, RDATE and EXDATE.
//!
//! A rule is a set of local times: days that match, times within them. Days are visited one by
//! one and skipped by months and periods, from the start to 2263 at most, so the number of steps is
//! bounded for every rule; the last local time is found when the rule is parsed, so that a rule
//! which is over costs nothing.

mod days;
mod parse;
mod parts;
mod set_position;
mod times;
mod words;

pub(super) use parse::{begins, parse};

use super::DAY_US;
use super::civil::Date;
use days::DayRule;
use set_position::Positions;
use times::Times;

/// How often the periods of a rule are.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Frequency {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
    Secondly,
}

/// A compiled rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rule {
    days: DayRule,
    times: Times,
    positions: Option<Positions>,
    /// DTSTART: the least local time, microseconds.
    start: i64,
    /// The last local time; before the start where there is none.
    end: i64,
    /// Whether neither UNTIL nor COUNT ends it.
    is_open: bool,
    /// EXDATE: local times that the rule has and that are left out, ascending.
    excluded: Box<[i64]>,
    /// RDATE: local times that the rule has not, ascending.
    added: Box<[i64]>,
    /// How often, for people.
    frequency: Frequency,
    interval: i64,
}

impl Rule {
    /// The first local time that is at least `at`.
    pub(super) fn next(&self, at: i64) -> Option<i64> {
        let added = self.added.get(below(&self.added, at)).copied();
        [self.rule_next(at), added].into_iter().flatten().min()
    }

    /// The last local time that is at most `at`.
    pub(super) fn previous(&self, at: i64) -> Option<i64> {
        let passed = below(&self.added, at.saturating_add(1));
        let added = passed.checked_sub(1).map(|index| self.added[index]);
        self.rule_previous(at).max(added)
    }

    /// How many local times lie in `from..until`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        let added = below(&self.added, until).saturating_sub(below(&self.added, from)) as u64;
        let (from, until) = (from.max(self.start), until.min(self.end + 1));
        if from >= until {
            return added;
        }
        let excluded = below(&self.excluded, until) - below(&self.excluded, from);
        self.raw_count(from, until) - excluded as u64 + added
    }

    /// As `next`, of the rule without RDATE.
    fn rule_next(&self, at: i64) -> Option<i64> {
        let mut at = at;
        loop {
            let found = self.raw_next(at).filter(|found| *found <= self.end)?;
            if self.excluded.binary_search(&found).is_err() {
                return Some(found);
            }
            at = found + 1;
        }
    }

    /// As `previous`, of the rule without RDATE.
    fn rule_previous(&self, at: i64) -> Option<i64> {
        let mut at = at.min(self.end);
        loop {
            let found = self.raw_previous(at)?;
            if self.excluded.binary_search(&found).is_err() {
                return Some(found);
            }
            at = found - 1;
        }
    }

    /// Whether its periods are shorter than a day.
    pub(super) fn is_below_a_day(&self) -> bool {
        self.frequency > Frequency::Daily
    }

    /// Adds RDATE and leaves EXDATE out, both ascending; a date in both is left out.
    fn adjust(&mut self, added: &[i64], excluded: &[i64]) {
        let is_own = |at: i64| at <= self.end && self.raw_next(at) == Some(at);
        let is_new = |at: &i64| !is_own(*at) && excluded.binary_search(at).is_err();
        let added = added.iter().copied().filter(is_new).collect();
        let excluded = excluded.iter().copied().filter(|at| is_own(*at)).collect();
        (self.added, self.excluded) = (added, excluded);
    }

    /// Sets the end: by UNTIL, by COUNT, or where the rule has its last local time.
    fn close(&mut self, until: Option<i64>, count: Option<u64>) {
        let (_, last_day) = days::range();
        self.end = until.unwrap_or(i64::MAX).min((last_day + 1) * DAY_US - 1);
        self.end = self.raw_previous(self.end).unwrap_or(self.start - 1);
        if let Some(count) = count
            && let Some(last) = self.nth(count)
        {
            self.end = last;
        }
    }

    /// The local time that is the `n`th from the start, from 1, if there are so many.
    fn nth(&self, n: u64) -> Option<i64> {
        let mut rest = n;
        let mut day = self.start.div_euclid(DAY_US);
        let end_day = self.end.div_euclid(DAY_US);
        while day <= end_day {
            day = self.days.next(day)?;
            let from = self.start.max(day * DAY_US);
            // Positions are found for a whole period at once.
            let next_day = match &self.positions {
                Some(_) => self.days.period(day, Date::from_day(day)).1,
                None => day + 1,
            };
            let of_days = self.raw_count(from, next_day * DAY_US);
            if of_days >= rest {
                let mut at = self.raw_next(from)?;
                for _ in 1..rest {
                    at = self.raw_next(at + 1)?;
                }
                return (at <= self.end).then_some(at);
            }
            rest -= of_days;
            day = next_day;
        }
        None
    }

    fn raw_next(&self, at: i64) -> Option<i64> {
        let at = at.max(self.start);
        if at > self.end {
            return None;
        }
        if let Some(positions) = &self.positions {
            return positions.next(&self.days, &self.times, at);
        }
        let mut from = at;
        loop {
            let day = self.days.next(from.div_euclid(DAY_US))?;
            let time = (from - day * DAY_US).max(0);
            if let Some(time) = self.times.next(day, time) {
                return Some(day * DAY_US + time);
            }
            from = (day + 1) * DAY_US;
        }
    }

    fn raw_previous(&self, at: i64) -> Option<i64> {
        let found = match &self.positions {
            Some(positions) => positions.previous(&self.days, &self.times, at),
            None => self.plain_previous(at),
        };
        found.filter(|found| *found >= self.start)
    }

    fn plain_previous(&self, at: i64) -> Option<i64> {
        let mut until = at;
        while until >= self.start {
            let day = self.days.previous(until.div_euclid(DAY_US))?;
            let time = (until - day * DAY_US).min(DAY_US - 1);
            if let Some(time) = self.times.previous(day, time) {
                return Some(day * DAY_US + time);
            }
            until = day * DAY_US - 1;
        }
        None
    }

    /// How many of the rule's times lie in `from..until`, both within start and end.
    fn raw_count(&self, from: i64, until: i64) -> u64 {
        if let Some(positions) = &self.positions {
            return positions.count(&self.days, &self.times, from, until);
        }
        let mut count = 0;
        let mut day = from.div_euclid(DAY_US);
        while let Some(found) = self.days.next(day).filter(|day| day * DAY_US < until) {
            let begin = found * DAY_US;
            let (first, last) = ((from - begin).max(0), (until - begin).min(DAY_US));
            count += self.times.count(found, first, last);
            day = found + 1;
        }
        count
    }
}

/// How many of the ascending times are less than `at`.
fn below(times: &[i64], at: i64) -> usize {
    times.partition_point(|time| *time < at)
}
