//! Two kinds of instant: of a clock that only counts, and of the world's time.

use crate::Span;
use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};

macro_rules! instant_arithmetic {
    ($name:ident) => {
        impl Add<Span> for $name {
            type Output = Self;
            /// The instant `span` later; saturates.
            fn add(self, span: Span) -> Self {
                Self(self.0.saturating_add(span.as_nanos()))
            }
        }
        impl AddAssign<Span> for $name {
            fn add_assign(&mut self, span: Span) {
                *self = *self + span;
            }
        }
        impl Sub<Span> for $name {
            type Output = Self;
            /// The instant `span` earlier; saturates.
            fn sub(self, span: Span) -> Self {
                Self(self.0.saturating_sub(span.as_nanos()))
            }
        }
        impl SubAssign<Span> for $name {
            fn sub_assign(&mut self, span: Span) {
                *self = *self - span;
            }
        }
        impl Sub for $name {
            type Output = Span;
            /// How much later this instant is than `other`; saturates.
            fn sub(self, other: Self) -> Span {
                Span::from_nanos(self.0.saturating_sub(other.0))
            }
        }
    };
}

/// A reading of this machine's raw monotonic clock, in nanoseconds from an arbitrary origin.
///
/// It is never set and never slewed, so differences of it are honest (in the oscillator's own
/// rate).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MonoTime(i64);

impl MonoTime {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);
    /// An instant that never comes.
    pub const MAX: Self = Self(i64::MAX);

    /// Makes the instant `nanos` nanoseconds after the clock's origin.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }
}

instant_arithmetic!(MonoTime);

/// An instant of civil time: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Covers the years 1678 to 2262; instants before 1970 are negative. Whether a reading is *right*
/// is another matter: see [`crate::Reading`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);
    /// The latest instant, in 2262.
    pub const MAX: Self = Self(i64::MAX);
    /// The earliest instant, in 1677.
    pub const MIN: Self = Self(i64::MIN);

    /// Makes the instant `nanos` nanoseconds after 1970-01-01T00:00:00Z.
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Makes the instant `secs` seconds and `nanos` nanoseconds after 1970-01-01T00:00:00Z, as the
    /// fields of a `timespec`; saturates.
    pub const fn from_unix(secs: i64, nanos: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub const fn as_unix_nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, cut towards the past.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Nanoseconds within the second, 0 to 999,999,999.
    pub const fn subsec_nanos(self) -> u32 {
        self.0.rem_euclid(1_000_000_000) as u32
    }
}

instant_arithmetic!(Timestamp);

impl fmt::Display for Timestamp {
    /// Writes the instant in RFC 3339 form in UTC, with as many groups of three decimals as needed:
    /// `2026-11-21T12:00:00.250Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.unix_seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let nanos = self.subsec_nanos();
        match (nanos, nanos % 1_000_000, nanos % 1_000) {
            (0, _, _) => write!(f, "Z"),
            (_, 0, _) => write!(f, ".{:03}Z", nanos / 1_000_000),
            (_, _, 0) => write!(f, ".{:06}Z", nanos / 1_000),
            _ => write!(f, ".{nanos:09}Z"),
        }
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01.
///
/// The year is taken to begin in March, so that the leap day is the last of its year and months
/// follow the regular pattern of 153 days in five.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const DAYS_TO_1970_FROM_MARCH_0000: i64 = 719_468;
    const DAYS_PER_400_YEARS: i64 = 146_097;
    let shifted = days + DAYS_TO_1970_FROM_MARCH_0000;
    let cycle = shifted.div_euclid(DAYS_PER_400_YEARS);
    let of_cycle = shifted.rem_euclid(DAYS_PER_400_YEARS);
    let leap_days_before = of_cycle / 1_460 - of_cycle / 36_524 + of_cycle / 146_096;
    let year_of_cycle = (of_cycle - leap_days_before) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (cycle * 400 + year_of_cycle + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn instants_and_spans_add_up() {
        let t = Timestamp::from_unix(1_795_000_000, 250_000_000);
        assert_eq!((t + Span::from_millis(750)) - t, Span::from_millis(750));
        assert_eq!(t.subsec_nanos(), 250_000_000);
        assert_eq!((Timestamp::UNIX_EPOCH - Span::NANOSECOND).subsec_nanos(), 999_999_999);
        assert_eq!((Timestamp::UNIX_EPOCH - Span::NANOSECOND).unix_seconds(), -1);
        assert_eq!(Timestamp::MAX - Timestamp::MIN, Span::MAX);
        assert_eq!(MonoTime::MAX + Span::MAX, MonoTime::MAX);
    }

    #[test]
    fn a_timestamp_is_shown_as_rfc_3339() {
        for (seconds, nanos, shown) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 0, "1969-12-31T23:59:59Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (4_107_542_400, 1, "2100-03-01T00:00:00.000000001Z"),
            (1_795_000_000, 250_000_000, "2026-11-18T11:06:40.250Z"),
            (2_085_978_496, 1_000, "2036-02-07T06:28:16.000001Z"),
        ] {
            assert_eq!(format!("{}", Timestamp::from_unix(seconds, nanos)), shown);
        }
    }
}
