//! BYSETPOS: the nth times of each period.

use super::super::DAY_US;
use super::super::civil::Date;
use super::days::DayRule;
use super::times::Times;

/// Which times of a period count, from 1; negative from its end. Ascending, each once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Positions(pub(super) Box<[i16]>);

impl Positions {
    /// The first local time that is at least `at`.
    pub(super) fn next(&self, days: &DayRule, times: &Times, at: i64) -> Option<i64> {
        let mut day = at.div_euclid(DAY_US);
        // The period around `at` may have begun before it.
        day = days.period(day, Date::from_day(day)).0;
        loop {
            day = days.next(day)?;
            let period = days.period(day, Date::from_day(day));
            let found = self.of_period(days, times, period);
            if let Some(found) = found.into_iter().find(|found| *found >= at) {
                return Some(found);
            }
            day = period.1;
        }
    }

    /// The last local time that is at most `at`.
    pub(super) fn previous(&self, days: &DayRule, times: &Times, at: i64) -> Option<i64> {
        let mut day = at.div_euclid(DAY_US);
        day = days.period(day, Date::from_day(day)).1 - 1;
        loop {
            day = days.previous(day)?;
            let period = days.period(day, Date::from_day(day));
            let found = self.of_period(days, times, period);
            if let Some(found) = found.into_iter().rev().find(|found| *found <= at) {
                return Some(found);
            }
            day = period.0 - 1;
        }
    }

    /// How many local times lie in `from..until`.
    pub(super) fn count(&self, days: &DayRule, times: &Times, from: i64, until: i64) -> u64 {
        let mut count = 0;
        let mut day = from.div_euclid(DAY_US);
        day = days.period(day, Date::from_day(day)).0;
        while let Some(found) = days.next(day).filter(|day| day * DAY_US < until) {
            let period = days.period(found, Date::from_day(found));
            let found = self.of_period(days, times, period);
            count += found.into_iter().filter(|found| (from..until).contains(found)).count() as u64;
            day = period.1;
        }
        count
    }

    /// The times of a period that count, ascending.
    fn of_period(&self, days: &DayRule, times: &Times, (start, end): (i64, i64)) -> Vec<i64> {
        let mut matching = Vec::new();
        let mut day = start;
        while let Some(found) = days.next(day).filter(|found| *found < end) {
            matching.push(found);
            day = found + 1;
        }
        let of_day = times.count(0, 0, DAY_US) as i64;
        let all = matching.len() as i64 * of_day;
        let mut found: Vec<i64> = self
            .0
            .iter()
            .map(|position| match i64::from(*position) {
                position @ 1.. => position - 1,
                position => all + position,
            })
            .filter(|index| (0..all).contains(index))
            .filter_map(|index| {
                let day = matching[(index / of_day) as usize];
                Some(day * DAY_US + nth(times, index % of_day)?)
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The time of day that is the `n`th from 0: hours, minutes and seconds are independent.
fn nth(times: &Times, n: i64) -> Option<i64> {
    let mut at = 0;
    let (minutes, seconds) = (times.minutes.count_ones(), times.seconds.count_ones());
    let parts = [
        (u64::from(times.hours), i64::from(minutes * seconds), super::super::HOUR_US),
        (times.minutes, i64::from(seconds), super::super::MINUTE_US),
        (times.seconds, 1, super::super::SECOND_US),
    ];
    let mut rest = n;
    for (mut set, size, unit) in parts {
        for _ in 0..rest / size {
            set &= set.wrapping_sub(1);
        }
        rest %= size;
        at += (set != 0).then(|| i64::from(set.trailing_zeros()))? * unit;
    }
    Some(at)
}
