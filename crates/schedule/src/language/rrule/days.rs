//! Which days a recurrence rule names.

use super::super::civil::{Date, days_in_month, is_leap, weekday};
use super::super::steps::step;
use super::super::years::{YEAR_MAX, YEAR_MIN};
use super::Frequency;

/// What a day has to match; an empty part asks for nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct DayRule {
    pub(super) frequency: Frequency,
    /// Every how many periods.
    pub(super) interval: i64,
    /// The day of DTSTART, from 1970.
    pub(super) start: i64,
    /// WKST: 0 for Sunday.
    pub(super) week_start: u32,
    /// Bit n is month n.
    pub(super) months: u16,
    pub(super) week_numbers: Box<[i16]>,
    pub(super) year_days: Box<[i16]>,
    /// Bit n is day n of the month.
    pub(super) month_days: u32,
    /// Bit n is the nth last day of the month, from 1.
    pub(super) month_days_from_end: u32,
    /// Bit n is weekday n, 0 for Sunday.
    pub(super) weekdays: u8,
    /// The nth weekday of the month or the year; negative from its end.
    pub(super) nth_weekdays: Box<[(i16, u8)]>,
}

/// The first and the last day that are visited.
pub(super) const fn range() -> (i64, i64) {
    let first = Date { year: YEAR_MIN, month: 1, day: 1 };
    let last = Date { year: YEAR_MAX, month: 12, day: 31 };
    (first.to_day(), last.to_day())
}

impl DayRule {
    /// The first matching day that is at least `day`.
    pub(super) fn next(&self, mut day: i64) -> Option<i64> {
        let (first, last) = range();
        day = day.max(first);
        while day <= last {
            step();
            let date = Date::from_day(day);
            if self.months != 0 && self.months >> date.month & 1 == 0 {
                day += i64::from(days_in_month(is_leap(date.year), date.month) - date.day) + 1;
            } else if let Some((_, end)) = self.outside(day, date) {
                day = end;
            } else if self.matches(day, date) {
                return Some(day);
            } else {
                day += 1;
            }
        }
        None
    }

    /// The last matching day that is at most `day`.
    pub(super) fn previous(&self, mut day: i64) -> Option<i64> {
        let (first, last) = range();
        day = day.min(last);
        while day >= first {
            step();
            let date = Date::from_day(day);
            if self.months != 0 && self.months >> date.month & 1 == 0 {
                day -= i64::from(date.day);
            } else if let Some((start, _)) = self.outside(day, date) {
                day = start - 1;
            } else if self.matches(day, date) {
                return Some(day);
            } else {
                day -= 1;
            }
        }
        None
    }

    /// The period that contains a day: its first day, and the first of the next.
    pub(super) fn period(&self, day: i64, date: Date) -> (i64, i64) {
        let first_of = |year, month| Date { year, month, day: 1 }.to_day();
        match self.frequency {
            Frequency::Yearly => (first_of(date.year, 1), first_of(date.year + 1, 1)),
            Frequency::Monthly => {
                let start = day - i64::from(date.day) + 1;
                (start, start + i64::from(days_in_month(is_leap(date.year), date.month)))
            }
            Frequency::Weekly => {
                let start = day - self.days_into_week(day);
                (start, start + 7)
            }
            _ => (day, day + 1),
        }
    }

    /// Where the day's period is one that INTERVAL leaves out: its first day, and the first of the
    /// next period that may count.
    fn outside(&self, day: i64, date: Date) -> Option<(i64, i64)> {
        if self.interval == 1 || self.frequency > Frequency::Daily {
            return None;
        }
        let start = Date::from_day(self.start);
        let periods = match self.frequency {
            Frequency::Yearly => date.year - start.year,
            Frequency::Monthly => {
                (date.year - start.year) * 12 + i64::from(date.month) - i64::from(start.month)
            }
            Frequency::Weekly => {
                let week = |day| (day - self.days_into_week(day)).div_euclid(7);
                week(day) - week(self.start)
            }
            _ => day - self.start,
        };
        let into = periods.rem_euclid(self.interval);
        (into != 0).then(|| self.period(day, date))
    }

    fn days_into_week(&self, day: i64) -> i64 {
        i64::from((weekday(day) + 7 - self.week_start) % 7)
    }

    fn matches(&self, day: i64, date: Date) -> bool {
        let month_length = days_in_month(is_leap(date.year), date.month);
        let from_end = month_length - date.day + 1;
        let of_month =
            self.month_days >> date.day & 1 != 0 || self.month_days_from_end >> from_end & 1 != 0;
        let any_month_day = self.month_days == 0 && self.month_days_from_end == 0;
        (any_month_day || of_month)
            && self.matches_weekday(day, date, month_length)
            && self.matches_year_day(day, date)
            && self.matches_week_number(day)
    }

    fn matches_weekday(&self, day: i64, date: Date, month_length: u32) -> bool {
        if self.weekdays == 0 && self.nth_weekdays.is_empty() {
            return true;
        }
        let weekday = weekday(day) as u8;
        if self.weekdays >> weekday & 1 != 0 {
            return true;
        }
        // Counted within the month where months are named, else within the year.
        let of_month = self.frequency == Frequency::Monthly || self.months != 0;
        let (number, length) = match of_month {
            true => (i64::from(date.day), i64::from(month_length)),
            false => (day - first_day(date.year) + 1, year_length(date.year)),
        };
        let (nth, nth_last) = ((number - 1) / 7 + 1, -((length - number) / 7) - 1);
        self.nth_weekdays.iter().any(|(n, of_week)| {
            *of_week == weekday && (i64::from(*n) == nth || i64::from(*n) == nth_last)
        })
    }

    fn matches_year_day(&self, day: i64, date: Date) -> bool {
        let number = day - first_day(date.year) + 1;
        let from_end = number - year_length(date.year) - 1;
        let is = |n: &i16| i64::from(*n) == number || i64::from(*n) == from_end;
        self.year_days.is_empty() || self.year_days.iter().any(is)
    }

    /// Weeks belong to the year that has most of their days, as in ISO 8601.
    fn matches_week_number(&self, day: i64) -> bool {
        if self.week_numbers.is_empty() {
            return true;
        }
        let middle = day - self.days_into_week(day) + 3;
        let year = Date::from_day(middle).year;
        let of_year = middle - first_day(year);
        let number = of_year / 7 + 1;
        let weeks = (year_length(year) - 1 - of_year) / 7 + number;
        let is = |n: &i16| i64::from(*n) == number || i64::from(*n) == number - weeks - 1;
        self.week_numbers.iter().any(is)
    }
}

fn first_day(year: i64) -> i64 {
    Date { year, month: 1, day: 1 }.to_day()
}

fn year_length(year: i64) -> i64 {
    365 + i64::from(is_leap(year))
}
