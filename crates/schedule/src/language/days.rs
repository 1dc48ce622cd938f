//! Which days of a month match: numbers, weekdays, days counted from the month's end.

/// Which days of a month match.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Days {
    /// Bit n is day n of the month, from 1.
    pub(super) of_month: u32,
    /// Bit n is weekday n, 0 for Sunday.
    pub(super) of_week: u8,
    /// Whether a day matches that either names, not only one that both name.
    pub(super) either: bool,
    /// Days that depend on the month; few expressions have them.
    pub(super) relative: Option<Box<Relative>>,
}

/// Days that are not the same number in every month.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Relative {
    /// Bit n is the day n days before the last.
    pub(super) from_end: u32,
    /// Bit n is the weekday (Monday to Friday) of the month that is nearest to day n, from 1.
    pub(super) nearest: u32,
    /// Bit n is the weekday of the month that is nearest to the day n days before the last.
    pub(super) nearest_from_end: u32,
    /// Element n has a bit for each weekday whose (n + 1)th in the month matches.
    pub(super) nth: [u8; 5],
    /// A bit for each weekday whose last in the month matches.
    pub(super) last: u8,
}

impl Days {
    /// The matching days of a month, bit n for day n.
    pub(super) fn mask(&self, length: u32, first_weekday: u32) -> u32 {
        let all = ((1_u64 << (length + 1)) - 2) as u32;
        let (mut of_month, mut of_week) = (self.of_month, weekdays(self.of_week, first_weekday));
        if let Some(relative) = &self.relative {
            of_month |= relative.of_month(length, first_weekday);
            of_week |= relative.of_week(length, first_weekday);
        }
        all & if self.either { of_month | of_week } else { of_month & of_week }
    }
}

impl Relative {
    /// Whether it names a day at all.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn of_month(&self, length: u32, first_weekday: u32) -> u32 {
        let mut days = 0;
        for before_last in bits(self.from_end).take_while(|n| *n < length) {
            days |= 1 << (length - before_last);
        }
        for day in bits(self.nearest).take_while(|n| *n <= length) {
            days |= 1 << nearest_weekday(day, length, first_weekday);
        }
        for before_last in bits(self.nearest_from_end).take_while(|n| *n < length) {
            days |= 1 << nearest_weekday(length - before_last, length, first_weekday);
        }
        days
    }

    fn of_week(&self, length: u32, first_weekday: u32) -> u32 {
        let mut days = 0;
        for (week, weekdays_of_it) in self.nth.iter().enumerate() {
            let seven_days = 0xfe << (7 * week);
            days |= (u64::from(weekdays(*weekdays_of_it, first_weekday)) & seven_days) as u32;
        }
        let last_seven = 0x7f_u64 << (length - 6);
        days | (u64::from(weekdays(self.last, first_weekday)) & last_seven) as u32
    }
}

/// The days of the longest month that are one of the weekdays, bit n for day n.
fn weekdays(week: u8, first_weekday: u32) -> u32 {
    let week = u64::from(week);
    // Bit n of `turned` is the day n days after the first.
    let turned = ((week >> first_weekday) | (week << (7 - first_weekday))) & 0x7f;
    ((turned * 0b1_0000001_0000001_0000001_0000001) << 1) as u32
}

/// Monday to Friday nearest to a day, without leaving the month.
fn nearest_weekday(day: u32, length: u32, first_weekday: u32) -> u32 {
    match (first_weekday + day - 1) % 7 {
        0 if day == length => day - 2,
        0 => day + 1,
        6 if day == 1 => day + 2,
        6 => day - 1,
        _ => day,
    }
}

/// The numbers of the bits that are set, ascending.
pub(super) fn bits(mut set: u32) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros())?;
        set &= set - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// November 2026: 30 days, the first a Sunday.
    fn november(relative: Relative) -> Vec<u32> {
        let days = Days { either: true, relative: Some(Box::new(relative)), ..Days::default() };
        bits(days.mask(30, 0)).collect()
    }

    #[test]
    fn days_are_counted_from_the_end_of_the_month() {
        let relative = Relative { from_end: 1 | 1 << 2 | 1 << 30, ..Relative::default() };
        assert_eq!(november(relative), [28, 30]);
    }

    #[test]
    fn the_nearest_weekday_stays_within_the_month() {
        let nearest = |day: u32| november(Relative { nearest: 1 << day, ..Relative::default() });
        assert_eq!(nearest(1), [2], "the first is a Sunday");
        assert_eq!(nearest(14), [13], "the 14th is a Saturday");
        assert_eq!(nearest(16), [16]);
        assert_eq!(nearest(31), []);
        // The first is a Saturday; the last of 30 days a Sunday.
        assert_eq!(nearest_weekday(1, 30, 6), 3);
        assert_eq!(nearest_weekday(30, 30, 6), 28);
        let last = Relative { nearest_from_end: 1, ..Relative::default() };
        assert_eq!(november(last), [30]);
    }

    #[test]
    fn weekdays_are_counted_within_the_month() {
        let mut nth = [0; 5];
        nth[4] = 0b11;
        nth[1] = 1 << 5;
        assert_eq!(november(Relative { nth, ..Relative::default() }), [13, 29, 30]);
        assert_eq!(november(Relative { last: 0b1000011, ..Relative::default() }), [28, 29, 30]);
    }
}
