//! Dates of the proleptic Gregorian calendar as day numbers.

/// Days from 1 March of year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;
const DAYS_PER_400_YEARS: i64 = 146_097;

/// A calendar date.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Date {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: u32,
    /// 1 to 31.
    pub(super) day: u32,
}

impl Date {
    /// The date of a day counted from 1970-01-01.
    ///
    /// Years are taken to begin in March, so that the leap day is the last of its year and months
    /// follow the regular pattern of 153 days in five.
    pub(super) const fn from_day(day: i64) -> Self {
        let shifted = day + DAYS_TO_1970;
        let cycle = shifted.div_euclid(DAYS_PER_400_YEARS);
        let of_cycle = shifted.rem_euclid(DAYS_PER_400_YEARS) as u32;
        let year_of_cycle =
            (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
        let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self { year: cycle * 400 + year_of_cycle as i64 + (month <= 2) as i64, month, day }
    }

    /// The day counted from 1970-01-01.
    pub(super) const fn to_day(self) -> i64 {
        let year = self.year - (self.month <= 2) as i64;
        let cycle = year.div_euclid(400);
        let year_of_cycle = year.rem_euclid(400);
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 } as i64;
        let of_year = (153 * from_march + 2) / 5 + self.day as i64 - 1;
        let of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + of_year;
        cycle * DAYS_PER_400_YEARS + of_cycle - DAYS_TO_1970
    }
}

/// The weekday of a day counted from 1970-01-01: 0 for Sunday to 6 for Saturday.
pub(super) const fn weekday(day: i64) -> u32 {
    // 1970-01-01 was a Thursday.
    (day + 4).rem_euclid(7) as u32
}

/// Whether the year has 366 days.
pub(super) const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// How many days a month has.
pub(super) const fn days_in_month(leap: bool, month: u32) -> u32 {
    match month {
        2 => 28 + leap as u32,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_day_numbers_are_inverse_over_600_years() {
        let first = Date { year: 1670, month: 1, day: 1 };
        let mut date = first;
        let last = Date { year: 2270, month: 1, day: 1 };
        for day in first.to_day()..last.to_day() {
            assert_eq!(date.to_day(), day);
            assert_eq!(Date::from_day(day), date);
            date.day += 1;
            if date.day > days_in_month(is_leap(date.year), date.month) {
                date = Date { year: date.year, month: date.month + 1, day: 1 };
            }
            if date.month > 12 {
                date = Date { year: date.year + 1, month: 1, day: 1 };
            }
        }
    }

    #[test]
    fn weekdays_count_from_sunday() {
        assert_eq!(weekday(0), 4);
        assert_eq!(weekday(-4), 0);
        assert_eq!(weekday(Date { year: 2026, month: 11, day: 21 }.to_day()), 6);
    }
}
