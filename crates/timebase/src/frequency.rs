//! How much faster one clock runs than another.

use crate::Span;
use core::fmt;
use core::ops::{Add, Neg, Sub};

/// A relative difference of rate, in parts per 10^15 (femtoseconds per second), within ±9,223.
///
/// Positive means that the clock it belongs to gains on the one it is compared with.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Frequency(i64);

const FEMTO_PER_UNIT: i128 = 1_000_000_000_000_000;

impl Frequency {
    /// Equal rates.
    pub const ZERO: Self = Self(0);

    /// Makes a frequency of `femto` parts per 10^15.
    pub const fn from_femto(femto: i64) -> Self {
        if femto == i64::MIN { Self(-i64::MAX) } else { Self(femto) }
    }

    /// Makes a frequency of `ppb` parts per 10^9; saturates.
    pub const fn from_ppb(ppb: i64) -> Self {
        Self::from_femto(ppb.saturating_mul(1_000_000))
    }

    /// Makes a frequency of `ppm` parts per 10^6; saturates.
    pub const fn from_ppm(ppm: i64) -> Self {
        Self::from_femto(ppm.saturating_mul(1_000_000_000))
    }

    /// Makes a frequency of a plain ratio (1e-6 is one part per million), rounded to the nearest
    /// part per 10^15. Returns `None` for NaN; what is out of range saturates.
    pub fn from_ratio_f64(ratio: f64) -> Option<Self> {
        if ratio.is_nan() {
            return None;
        }
        let femto = ratio * 1e15;
        let half = if femto < 0.0 { -0.5 } else { 0.5 };
        Some(Self::from_femto((femto + half) as i64))
    }

    /// The frequency in parts per 10^15.
    pub const fn as_femto(self) -> i64 {
        self.0
    }

    /// The frequency in parts per 10^9; exact to 53 bits.
    pub fn as_ppb_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The frequency as a plain ratio; exact to 53 bits.
    pub fn as_ratio_f64(self) -> f64 {
        self.0 as f64 / 1e15
    }

    /// The frequency without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// What the clock gains in `span`, rounded to the nearest nanosecond, halves away from zero.
    pub fn over(self, span: Span) -> Span {
        let product = i128::from(self.0) * i128::from(span.as_nanos());
        let half = if product < 0 { -FEMTO_PER_UNIT / 2 } else { FEMTO_PER_UNIT / 2 };
        units(product + half).0
    }

    /// What the clock may gain or lose in `span`, rounded away from zero, so that a bound that ages
    /// by it is never too small.
    pub fn over_ceil(self, span: Span) -> Span {
        let product = i128::from(self.0) * i128::from(span.as_nanos());
        let (whole, is_exact) = units(product);
        if is_exact { whole } else { whole + Span::from_nanos(product.signum() as i64) }
    }
}

/// As many nanoseconds as the units of 10^15 that are in `product`, cut towards zero, and whether
/// that is all of it; saturates.
fn units(product: i128) -> (Span, bool) {
    // Promises age by so little at a time that most fit, and to divide 128 bits takes ten times as
    // long.
    if let Ok(product) = i64::try_from(product) {
        let unit = FEMTO_PER_UNIT as i64;
        return (Span::from_nanos(product / unit), product % unit == 0);
    }
    let whole = (product / FEMTO_PER_UNIT).clamp(-i128::from(i64::MAX), i128::from(i64::MAX));
    (Span::from_nanos(whole as i64), product % FEMTO_PER_UNIT == 0)
}

impl Add for Frequency {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::from_femto(self.0.saturating_add(other.0))
    }
}

impl Sub for Frequency {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::from_femto(self.0.saturating_sub(other.0))
    }
}

impl Neg for Frequency {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl fmt::Display for Frequency {
    /// Writes the frequency in parts per million with three decimals: `-12.345 ppm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let milli_ppm = self.0.unsigned_abs() / 1_000_000;
        write!(f, "{sign}{}.{:03} ppm", milli_ppm / 1_000, milli_ppm % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn what_a_clock_gains_is_exact() {
        let hour = Span::from_minutes(60);
        assert_eq!(Frequency::from_ppb(1).over(hour), Span::from_nanos(3_600));
        assert_eq!(Frequency::from_ppm(-500).over(hour), Span::from_millis(-1_800));
        assert_eq!(Frequency::from_femto(1).over(Span::from_secs(1)), Span::ZERO);
        assert_eq!(Frequency::from_femto(1).over_ceil(Span::from_secs(1)), Span::NANOSECOND);
        assert_eq!(Frequency::from_femto(-1).over_ceil(Span::from_secs(1)), -Span::NANOSECOND);
        assert_eq!(Frequency::from_femto(i64::MAX).over(Span::MAX), Span::MAX);
        assert_eq!(Frequency::from_femto(i64::MIN).over(Span::MAX), Span::MIN);
    }

    #[test]
    fn products_of_more_than_64_bits_are_cut_and_rounded_as_the_others() {
        // 2^63 is 9,223 units and a bit.
        for units in [9_222, 9_223, 9_224, 20_000] {
            for (femto, more, nearest) in [(-1, 0, 0), (0, 0, 0), (1, 1, 0)] {
                let rate = Frequency::from_femto(1_000_000_000_000 * units + femto);
                let span = Span::from_micros(1);
                for (rate, sign) in [(rate, 1), (-rate, -1)] {
                    let exact = Span::from_nanos(units * sign);
                    assert_eq!(rate.over_ceil(span), exact + Span::from_nanos(more * sign));
                    assert_eq!(rate.over(span), exact + Span::from_nanos(nearest));
                }
            }
        }
    }

    #[test]
    fn ratios_convert_both_ways() {
        assert_eq!(Frequency::from_ratio_f64(1e-6), Some(Frequency::from_ppm(1)));
        assert_eq!(Frequency::from_ratio_f64(f64::NAN), None);
        assert_eq!(format!("{}", Frequency::from_ppb(-12_345)), "-12.345 ppm");
    }
}
