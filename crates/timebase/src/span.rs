//! A signed length of time.

use core::fmt;
use core::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// A signed length of time in nanoseconds, within about ±292 years.
///
/// Operators saturate at [`Span::MIN`] and [`Span::MAX`]; the `checked_` forms tell.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// One nanosecond, the resolution.
    pub const NANOSECOND: Self = Self(1);
    /// The longest span, about 292 years.
    pub const MAX: Self = Self(i64::MAX);
    /// The most negative span, about −292 years.
    pub const MIN: Self = Self(-i64::MAX);

    /// Makes a span of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        // `i64::MIN` has no negative; leaving it out keeps `abs` and negation exact.
        if nanos == i64::MIN { Self::MIN } else { Self(nanos) }
    }

    /// Makes a span of `micros` microseconds; saturates.
    pub const fn from_micros(micros: i64) -> Self {
        Self::from_nanos(micros.saturating_mul(1_000))
    }

    /// Makes a span of `millis` milliseconds; saturates.
    pub const fn from_millis(millis: i64) -> Self {
        Self::from_nanos(millis.saturating_mul(1_000_000))
    }

    /// Makes a span of `secs` seconds; saturates.
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_nanos(secs.saturating_mul(1_000_000_000))
    }

    /// Makes a span of `minutes` minutes; saturates.
    pub const fn from_minutes(minutes: i64) -> Self {
        Self::from_secs(minutes.saturating_mul(60))
    }

    /// Makes a span of a number of seconds, rounded to the nearest nanosecond.
    ///
    /// Returns `None` for NaN; what is out of range, infinity included, saturates.
    pub fn from_seconds_f64(seconds: f64) -> Option<Self> {
        if seconds.is_nan() {
            return None;
        }
        let nanos = seconds * 1e9;
        let half = if nanos < 0.0 { -0.5 } else { 0.5 };
        // A cast of a float saturates at the integer's limits and cuts towards zero.
        Some(Self::from_nanos((nanos + half) as i64))
    }

    /// The length in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The length in whole microseconds, cut towards zero.
    pub const fn as_micros(self) -> i64 {
        self.0 / 1_000
    }

    /// The length in whole milliseconds, cut towards zero.
    pub const fn as_millis(self) -> i64 {
        self.0 / 1_000_000
    }

    /// The length in seconds; exact to 53 bits.
    pub fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The length without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// Whether the span is shorter than zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The sum, or `None` where it leaves the range.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(i64::MIN) | None => None,
            Some(nanos) => Some(Self(nanos)),
        }
    }

    /// The difference, or `None` where it leaves the range.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self(-other.0))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::from_nanos(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::from_nanos(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Span {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Span {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Mul<i64> for Span {
    type Output = Self;
    fn mul(self, factor: i64) -> Self {
        Self::from_nanos(self.0.saturating_mul(factor))
    }
}

impl Div<i64> for Span {
    type Output = Self;
    /// Divides, cut towards zero; by zero it saturates with the span's sign.
    fn div(self, divisor: i64) -> Self {
        match self.0.checked_div(divisor) {
            Some(nanos) => Self(nanos),
            None if self.0 < 0 => Self::MIN,
            None => Self::MAX,
        }
    }
}

impl fmt::Display for Span {
    /// Writes the span with its sign and three or more significant digits, in the unit a person
    /// would choose: `+12.3 µs`, `-77.0 ms`, `+1.500 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let nanos = self.0.unsigned_abs();
        let (unit, name, digits) = match nanos {
            0..1_000 => return write!(f, "{sign}{nanos} ns"),
            1_000..1_000_000 => (1_000, "µs", 1),
            1_000_000..1_000_000_000 => (1_000_000, "ms", 2),
            _ => (1_000_000_000, "s", 3),
        };
        let whole = nanos / unit;
        let fraction = (nanos % unit) * 10_u64.pow(digits) / unit;
        write!(f, "{sign}{whole}.{fraction:0width$} {name}", width = digits as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn arithmetic_saturates_and_never_panics() {
        assert_eq!(Span::MAX + Span::NANOSECOND, Span::MAX);
        assert_eq!(Span::MIN - Span::NANOSECOND, Span::MIN);
        assert_eq!(-Span::MIN, Span::MAX);
        assert_eq!(Span::from_nanos(i64::MIN), Span::MIN);
        assert_eq!(Span::from_secs(i64::MAX), Span::MAX);
        assert_eq!(Span::MAX * -2, Span::MIN);
        assert_eq!(Span::from_secs(-1) / 0, Span::MIN);
        assert_eq!(Span::MAX.checked_add(Span::NANOSECOND), None);
        assert_eq!(Span::MIN.checked_sub(Span::NANOSECOND), None);
        assert_eq!(Span::MIN.abs(), Span::MAX);
    }

    #[test]
    fn seconds_as_a_float_round_to_the_nearest_nanosecond() {
        assert_eq!(Span::from_seconds_f64(1.5e-9), Some(Span::from_nanos(2)));
        assert_eq!(Span::from_seconds_f64(-0.077), Some(Span::from_millis(-77)));
        assert_eq!(Span::from_seconds_f64(f64::NAN), None);
        assert_eq!(Span::from_seconds_f64(f64::INFINITY), Some(Span::MAX));
        assert_eq!(Span::from_seconds_f64(f64::NEG_INFINITY), Some(Span::MIN));
    }

    #[test]
    fn a_span_is_shown_in_the_unit_a_person_would_choose() {
        for (nanos, shown) in [
            (0, "+0 ns"),
            (-999, "-999 ns"),
            (12_345, "+12.3 µs"),
            (-77_000_000, "-77.00 ms"),
            (1_500_000_000, "+1.500 s"),
        ] {
            assert_eq!(format!("{}", Span::from_nanos(nanos)), shown);
        }
    }
}
