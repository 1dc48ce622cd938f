//! Which times of a day a recurrence rule names.

use super::super::steps::step;
use super::super::{DAY_US, HOUR_US, MINUTE_US, SECOND_US};

/// Most classes of days that are kept; see [`Every::counts`].
const CLASSES_MAX: i64 = 1_024;

/// Times of day: hours, minutes and seconds that match, and every how many of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Times {
    /// Bit n is hour n.
    pub(super) hours: u32,
    /// Bit n is minute n.
    pub(super) minutes: u64,
    /// Bit n is second n.
    pub(super) seconds: u64,
    /// Only every nth hour, minute or second from the start, for the frequencies below a day.
    every: Option<Every>,
}

/// Every nth unit, counted from the start.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Every {
    /// Microseconds: an hour, a minute or a second.
    unit: i64,
    interval: i64,
    /// The unit of DTSTART, from 1970.
    start: i64,
    /// How many times a day has, by the day's number modulo the number of classes; empty where
    /// there are too many.
    counts: Box<[u32]>,
}

impl Times {
    /// Times without an interval.
    pub(super) fn new(hours: u32, minutes: u64, seconds: u64) -> Self {
        Self { hours, minutes, seconds, every: None }
    }

    /// Only those in every nth unit from the one of `start`; `false` where no time of day can ever
    /// be in one.
    pub(super) fn every(&mut self, unit: i64, interval: i64, start: i64) -> bool {
        if interval == 1 {
            return true;
        }
        let of_day = DAY_US / unit;
        let start = start.div_euclid(unit);
        let shared = gcd(interval, of_day);
        let mut at = 0;
        let mut reachable = false;
        while let Some(time) = self.plain_next(at) {
            reachable |= (time / unit - start).rem_euclid(shared) == 0;
            at = (time / unit + 1) * unit;
            if reachable || at >= DAY_US {
                break;
            }
        }
        self.every = Some(Every { unit, interval, start, counts: Box::default() });
        // After so many days the same units come again.
        let classes = interval / shared;
        if reachable && classes <= CLASSES_MAX {
            let counts = (0..classes).map(|day| self.walk(day, 0, DAY_US) as u32).collect();
            if let Some(every) = &mut self.every {
                every.counts = counts;
            }
        }
        reachable
    }

    /// The first time of a day that is at least `at`, in microseconds.
    pub(super) fn next(&self, day: i64, at: i64) -> Option<i64> {
        let mut at = at;
        loop {
            step();
            let time = self.plain_next(at)?;
            let Some(every) = &self.every else { return Some(time) };
            let into = every.into(day, time);
            if into == 0 {
                return Some(time);
            }
            at = (time / every.unit + every.interval - into) * every.unit;
            if at >= DAY_US {
                return None;
            }
        }
    }

    /// The last time of a day that is at most `at`.
    pub(super) fn previous(&self, day: i64, at: i64) -> Option<i64> {
        let mut at = at;
        loop {
            step();
            let time = self.plain_previous(at)?;
            let Some(every) = &self.every else { return Some(time) };
            let into = every.into(day, time);
            if into == 0 {
                return Some(time);
            }
            at = (time / every.unit - into + 1) * every.unit - 1;
            if at < 0 {
                return None;
            }
        }
    }

    /// How many times of a day lie in `from..until`.
    pub(super) fn count(&self, day: i64, from: i64, until: i64) -> u64 {
        match &self.every {
            None => self.plain_below(until) - self.plain_below(from),
            Some(every) if from == 0 && until == DAY_US && !every.counts.is_empty() => {
                u64::from(every.counts[day.rem_euclid(every.counts.len() as i64) as usize])
            }
            Some(_) => self.walk(day, from, until),
        }
    }

    fn walk(&self, day: i64, from: i64, until: i64) -> u64 {
        let (mut at, mut count) = (from, 0);
        while let Some(time) = self.next(day, at).filter(|time| *time < until) {
            count += 1;
            at = time + 1;
        }
        count
    }

    fn plain_next(&self, at: i64) -> Option<i64> {
        // A part of a second is over.
        let at = (at + SECOND_US - 1) / SECOND_US * SECOND_US;
        let (hour, minute) = (at / HOUR_US, at / MINUTE_US % 60);
        let second = at / SECOND_US % 60;
        if hour < 24 && self.hours >> hour & 1 != 0 {
            if self.minutes >> minute & 1 != 0
                && let Some(second) = lowest(self.seconds & (u64::MAX << second))
            {
                return Some(hour * HOUR_US + minute * MINUTE_US + second * SECOND_US);
            }
            if let Some(minute) = lowest(self.minutes & (u64::MAX << minute << 1)) {
                return Some(hour * HOUR_US + minute * MINUTE_US + self.first_second());
            }
        }
        let later = if hour < 24 { u64::from(self.hours) & (u64::MAX << hour << 1) } else { 0 };
        let hour = lowest(later)?;
        let minute = lowest(self.minutes)?;
        Some(hour * HOUR_US + minute * MINUTE_US + self.first_second())
    }

    fn first_second(&self) -> i64 {
        lowest(self.seconds).unwrap_or(0) * SECOND_US
    }

    fn plain_previous(&self, at: i64) -> Option<i64> {
        let (hour, minute, second) = (at / HOUR_US, at / MINUTE_US % 60, at / SECOND_US % 60);
        let last_second = highest(self.seconds).unwrap_or(0) * SECOND_US;
        if self.hours >> hour & 1 != 0 {
            if self.minutes >> minute & 1 != 0
                && let Some(second) = highest(self.seconds & !(u64::MAX << second << 1))
            {
                return Some(hour * HOUR_US + minute * MINUTE_US + second * SECOND_US);
            }
            if let Some(minute) = highest(self.minutes & !(u64::MAX << minute)) {
                return Some(hour * HOUR_US + minute * MINUTE_US + last_second);
            }
        }
        let hour = highest(u64::from(self.hours) & !(u64::MAX << hour))?;
        let minute = highest(self.minutes)?;
        Some(hour * HOUR_US + minute * MINUTE_US + last_second)
    }

    /// How many times of day are less than `at`.
    fn plain_below(&self, at: i64) -> u64 {
        let of_minute = u64::from(self.seconds.count_ones());
        let of_hour = u64::from(self.minutes.count_ones()) * of_minute;
        if at >= DAY_US {
            return u64::from(self.hours.count_ones()) * of_hour;
        }
        let (hour, minute) = (at / HOUR_US, at / MINUTE_US % 60);
        let second = (at % MINUTE_US + SECOND_US - 1) / SECOND_US;
        let below = |set: u64, n: i64| u64::from((set & !(u64::MAX << n)).count_ones());
        let mut count = below(u64::from(self.hours), hour) * of_hour;
        if self.hours >> hour & 1 != 0 {
            count += below(self.minutes, minute) * of_minute;
            if self.minutes >> minute & 1 != 0 {
                count += below(self.seconds, second);
            }
        }
        count
    }
}

impl Every {
    /// How many units a time is behind the last one that counts.
    fn into(&self, day: i64, time: i64) -> i64 {
        (day * (DAY_US / self.unit) + time / self.unit - self.start).rem_euclid(self.interval)
    }
}

fn lowest(set: u64) -> Option<i64> {
    (set != 0).then(|| i64::from(set.trailing_zeros()))
}

fn highest(set: u64) -> Option<i64> {
    (set != 0).then(|| i64::from(63 - set.leading_zeros()))
}

const fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
