//! Calendar patterns: which local times an expression names, whatever the zone.
//!
//! Local times are counted in microseconds from 1970-01-01T00:00 on the wall. All fields are
//! bitmaps; a search visits at most the months of one year and skips years by their type, so the
//! number of steps is bounded for every pattern, also for one that never occurs.

use super::civil::{self, Date};
use super::days::Days;
use super::second::Seconds;
use super::steps::step;
use super::years::{YEAR_MAX, YEAR_MIN, Years};
use super::{DAY_US, HOUR_US, MINUTE_US};

/// A pattern of local times.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Calendar {
    pub(super) seconds: Seconds,
    /// Bit n is minute n.
    pub(super) minutes: u64,
    /// Bit n is hour n.
    pub(super) hours: u32,
    /// Bit n is month n, from 1.
    pub(super) months: u16,
    pub(super) days: Days,
    pub(super) years: Years,
    /// Bit n: years of type n (see [`Year::kind`]) have a day that matches.
    year_types: u16,
}

impl Calendar {
    /// Makes a pattern of its fields, for all years; each has at least one value.
    pub(super) fn new(seconds: Seconds, minutes: u64, hours: u32, days: Days, months: u16) -> Self {
        let years = Years::default();
        let mut calendar = Self { seconds, minutes, hours, months, days, years, year_types: 0 };
        for leap in [false, true] {
            for first_weekday in 0..7 {
                let kind = u32::from(leap) * 7 + first_weekday;
                let year = Year { leap, first_weekday };
                if (1..=12).any(|month| calendar.month(year, month) != 0) {
                    calendar.year_types |= 1 << kind;
                }
            }
        }
        calendar
    }

    /// The same pattern in these years only.
    pub(super) fn in_years(self, years: Years) -> Self {
        Self { years, ..self }
    }

    /// The first matching local time that is at least `at`; `None` if there is none before 2264.
    pub(super) fn next(&self, at: i64) -> Option<i64> {
        let today = at.div_euclid(DAY_US);
        let mut day = self.next_day(today)?;
        if day == today {
            if let Some(time) = self.next_time(at.rem_euclid(DAY_US)) {
                return Some(day * DAY_US + time);
            }
            day = self.next_day(today + 1)?;
        }
        Some(day * DAY_US + self.next_time(0).expect("each field has at least one value"))
    }

    /// The last matching local time that is at most `at`; `None` if there is none after 1676.
    pub(super) fn previous(&self, at: i64) -> Option<i64> {
        let today = at.div_euclid(DAY_US);
        let mut day = self.previous_day(today)?;
        if day == today {
            if let Some(time) = self.previous_time(at.rem_euclid(DAY_US)) {
                return Some(day * DAY_US + time);
            }
            day = self.previous_day(today - 1)?;
        }
        let last = self.previous_time(DAY_US - 1).expect("each field has at least one value");
        Some(day * DAY_US + last)
    }

    /// How many matching local times lie in `from..until`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        if from >= until {
            return 0;
        }
        let (first, last) = (from.div_euclid(DAY_US), until.div_euclid(DAY_US));
        let daily = u64::from(self.hours.count_ones())
            * u64::from(self.minutes.count_ones())
            * self.seconds.count();
        let before = |day, time| if self.has_day(day) { self.count_times_below(time) } else { 0 };
        // Whole days from the first up to the last, less the first's head, plus the last's head.
        self.count_days(first, last) * daily + before(last, until.rem_euclid(DAY_US))
            - before(first, from.rem_euclid(DAY_US))
    }

    fn month(&self, year: Year, month: u32) -> u32 {
        step();
        if self.months >> month & 1 == 0 {
            return 0;
        }
        let length = civil::days_in_month(year.leap, month);
        self.days.mask(length, (year.first_weekday + year.days_before(month)) % 7)
    }

    /// The matching days of a month of a year.
    fn month_of(&self, number: i64, month: u32) -> u32 {
        if self.years.has(number) { self.month(Year::of(number), month) } else { 0 }
    }

    fn has_day(&self, day: i64) -> bool {
        let date = Date::from_day(day);
        self.month_of(date.year, date.month) >> date.day & 1 != 0
    }

    /// The first matching day that is at least `day`.
    fn next_day(&self, day: i64) -> Option<i64> {
        let date = Date::from_day(day);
        if self.years.has(date.year) {
            let year = Year::of(date.year);
            let rest = self.month(year, date.month) & (u32::MAX << date.day);
            if rest != 0 {
                return Some(day + i64::from(rest.trailing_zeros() - date.day));
            }
            if let Some(found) = self.first_from(date.year, year, date.month + 1) {
                return Some(found);
            }
        }
        (date.year.max(YEAR_MIN - 1) + 1..=YEAR_MAX).find_map(|number| {
            let year = self.candidate(number)?;
            self.first_from(number, year, 1)
        })
    }

    /// The year, if a day of it can match.
    fn candidate(&self, number: i64) -> Option<Year> {
        step();
        let year = Year::of(number);
        (self.year_types >> year.kind() & 1 != 0 && self.years.has(number)).then_some(year)
    }

    /// The first matching day of a year from the first of a month on.
    fn first_from(&self, number: i64, year: Year, month: u32) -> Option<i64> {
        (month..=12).find_map(|month| {
            let days = self.month(year, month);
            let date = Date { year: number, month, day: days.trailing_zeros() };
            (days != 0).then(|| date.to_day())
        })
    }

    /// The last matching day that is at most `day`.
    fn previous_day(&self, day: i64) -> Option<i64> {
        let date = Date::from_day(day);
        if self.years.has(date.year) {
            let year = Year::of(date.year);
            let rest = self.month(year, date.month) & (u32::MAX >> (31 - date.day));
            if rest != 0 {
                return Some(day - i64::from(date.day - (31 - rest.leading_zeros())));
            }
            if let Some(found) = self.last_until(date.year, year, date.month - 1) {
                return Some(found);
            }
        }
        (YEAR_MIN..date.year.min(YEAR_MAX + 1)).rev().find_map(|number| {
            let year = self.candidate(number)?;
            self.last_until(number, year, 12)
        })
    }

    /// The last matching day of a year up to the end of a month.
    fn last_until(&self, number: i64, year: Year, month: u32) -> Option<i64> {
        (1..=month).rev().find_map(|month| {
            let days = self.month(year, month);
            (days != 0)
                .then(|| Date { year: number, month, day: 31 - days.leading_zeros() }.to_day())
        })
    }

    /// How many matching days lie in `from..until`.
    fn count_days(&self, from: i64, until: i64) -> u64 {
        let (first, last) = (Date::from_day(from), Date::from_day(until));
        let head = |date: Date| {
            let days = self.month_of(date.year, date.month);
            u64::from((days & !(u32::MAX << date.day)).count_ones())
        };
        let mut count = 0;
        let (mut number, mut month) = (first.year, first.month);
        while (number, month) != (last.year, last.month) {
            count += u64::from(self.month_of(number, month).count_ones());
            (number, month) = if month == 12 { (number + 1, 1) } else { (number, month + 1) };
        }
        count + head(last) - head(first)
    }

    /// The first matching time of day that is at least `at`.
    fn next_time(&self, at: i64) -> Option<i64> {
        let (hour, minute) = (at / HOUR_US, at / MINUTE_US % 60);
        if self.hours >> hour & 1 != 0 {
            let of_hour = hour * HOUR_US;
            if self.minutes >> minute & 1 != 0
                && let Some(second) = self.seconds.next(at % MINUTE_US)
            {
                return Some(of_hour + minute * MINUTE_US + second);
            }
            let minutes = self.minutes & (u64::MAX << minute << 1);
            if minutes != 0 {
                return Some(of_hour + self.first_of_minutes(minutes));
            }
        }
        let hours = u64::from(self.hours) & (u64::MAX << hour << 1);
        (hours != 0).then(|| {
            i64::from(hours.trailing_zeros()) * HOUR_US + self.first_of_minutes(self.minutes)
        })
    }

    fn first_of_minutes(&self, minutes: u64) -> i64 {
        let second = self.seconds.next(0).expect("each field has at least one value");
        i64::from(minutes.trailing_zeros()) * MINUTE_US + second
    }

    /// The last matching time of day that is at most `at`.
    fn previous_time(&self, at: i64) -> Option<i64> {
        let (hour, minute) = (at / HOUR_US, at / MINUTE_US % 60);
        if self.hours >> hour & 1 != 0 {
            let of_hour = hour * HOUR_US;
            if self.minutes >> minute & 1 != 0
                && let Some(second) = self.seconds.previous(at % MINUTE_US)
            {
                return Some(of_hour + minute * MINUTE_US + second);
            }
            let minutes = self.minutes & !(u64::MAX << minute);
            if minutes != 0 {
                return Some(of_hour + self.last_of_minutes(minutes));
            }
        }
        let hours = u64::from(self.hours) & !(u64::MAX << hour);
        (hours != 0).then(|| {
            i64::from(63 - hours.leading_zeros()) * HOUR_US + self.last_of_minutes(self.minutes)
        })
    }

    fn last_of_minutes(&self, minutes: u64) -> i64 {
        let last = self.seconds.previous(MINUTE_US - 1);
        let second = last.expect("each field has at least one value");
        i64::from(63 - minutes.leading_zeros()) * MINUTE_US + second
    }

    /// How many matching times of day are less than `at`.
    fn count_times_below(&self, at: i64) -> u64 {
        let (hour, minute) = (at / HOUR_US, at / MINUTE_US % 60);
        let hourly = u64::from(self.minutes.count_ones()) * self.seconds.count();
        let mut count = u64::from((self.hours & !(u32::MAX << hour)).count_ones()) * hourly;
        if self.hours >> hour & 1 != 0 {
            let minutes = u64::from((self.minutes & !(u64::MAX << minute)).count_ones());
            count += minutes * self.seconds.count();
            if self.minutes >> minute & 1 != 0 {
                count += self.seconds.count_below(at % MINUTE_US);
            }
        }
        count
    }
}

/// What decides which dates of a year are which weekdays.
#[derive(Clone, Copy)]
struct Year {
    leap: bool,
    /// Weekday of 1 January, 0 for Sunday.
    first_weekday: u32,
}

impl Year {
    fn of(number: i64) -> Self {
        let first = Date { year: number, month: 1, day: 1 }.to_day();
        Self { leap: civil::is_leap(number), first_weekday: civil::weekday(first) }
    }

    /// One of 14 numbers: years with the same one have the same calendar.
    fn kind(self) -> u32 {
        u32::from(self.leap) * 7 + self.first_weekday
    }

    /// Days of the year before the first of a month.
    fn days_before(self, month: u32) -> u32 {
        const BEFORE: [u16; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        u32::from(BEFORE[month as usize - 1]) + u32::from(self.leap && month > 2)
    }
}
