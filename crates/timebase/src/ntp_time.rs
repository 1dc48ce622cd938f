//! The two number formats of the NTP protocol (RFC 5905 section 6).

use crate::{Span, Timestamp};
use core::fmt;

/// Seconds from 1900-01-01 to 1970-01-01.
const UNIX_FROM_1900_S: i64 = 2_208_988_800;
/// Nanoseconds in one NTP era, 2^32 seconds.
const ERA_S: i64 = 1 << 32;
const NANOS: i64 = 1_000_000_000;

/// The 64-bit NTP timestamp format: 2^-32 seconds since the start of an era that is not said.
///
/// Eras are 2^32 seconds long; era 0 began in 1900, era 1 begins on 2036-02-07. So a value means an
/// instant only beside another: [`NtpTime::nearest_to`] asks for it. There is no conversion
/// without.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct NtpTime(u64);

impl NtpTime {
    /// The value that the protocol uses for "unknown".
    pub const ZERO: Self = Self(0);

    /// Makes a timestamp of its 64 bits: seconds in the upper half, fraction in the lower.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits as they stand in a packet.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Whether this is the value for "unknown".
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Writes an instant in this format, rounded to the nearest 2^-32 s; the era is lost.
    pub fn from_timestamp(at: Timestamp) -> Self {
        let seconds = i128::from(at.unix_seconds()) + i128::from(UNIX_FROM_1900_S);
        let nanos = i128::from(at.subsec_nanos());
        let fraction = ((nanos << 32) + i128::from(NANOS / 2)) / i128::from(NANOS);
        Self(((seconds << 32) + fraction) as u64)
    }

    /// The instant that this value means if it lies within half an era (68 years) of `pivot`,
    /// rounded to the nearest nanosecond; saturates at the ends of [`Timestamp`].
    pub fn nearest_to(self, pivot: Timestamp) -> Timestamp {
        let seconds = (self.0 >> 32) as i64;
        let nanos = (((self.0 & 0xffff_ffff) as i64 * NANOS) + (1 << 31)) >> 32;
        let since_1900 = pivot.unix_seconds() + UNIX_FROM_1900_S;
        let distance = (seconds - since_1900).rem_euclid(ERA_S);
        let distance = if distance >= ERA_S / 2 { distance - ERA_S } else { distance };
        Timestamp::from_unix(pivot.unix_seconds() + distance, nanos)
    }
}

impl fmt::Debug for NtpTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NtpTime({:08x}.{:08x})", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// The 32-bit NTP short format of root delay and root dispersion: unsigned, 2^-16 s (15.26 µs).
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct NtpShort(u32);

impl NtpShort {
    /// Makes a value of its 32 bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The 32 bits as they stand in a packet.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// Writes a span in this format, rounded *up*, so that a distance never becomes smaller by
    /// being sent; a negative span is sent as zero, one over 65,535.99 s as the largest value.
    pub fn from_span_ceil(span: Span) -> Self {
        let nanos = span.as_nanos().max(0) as u128;
        let units = (nanos << 16).div_ceil(NANOS as u128);
        Self(units.min(u128::from(u32::MAX)) as u32)
    }

    /// The span, in nanoseconds rounded up; at least zero.
    pub fn to_span(self) -> Span {
        let nanos = (u64::from(self.0) * NANOS as u64 + 0xffff) >> 16;
        Span::from_nanos(nanos as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_the_format_in_every_era() {
        for seconds in
            [-2_208_988_800, -1, 0, 1_795_000_000, 2_085_978_495, 2_085_978_496, 9_000_000_000]
        {
            for nanos in [0, 1, 250_000_000, 999_999_999] {
                let at = Timestamp::from_unix(seconds, nanos);
                for away_s in [-2_000_000_000, 0, 2_000_000_000] {
                    let pivot = at + Span::from_secs(away_s);
                    assert_eq!(
                        NtpTime::from_timestamp(at).nearest_to(pivot),
                        at,
                        "{at:?} {away_s}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_era_is_the_one_nearest_to_the_pivot() {
        let before = Timestamp::from_unix(2_085_978_495, 0);
        let after = before + Span::from_secs(1);
        assert_eq!(NtpTime::from_timestamp(after).to_bits(), 0);
        assert_eq!(NtpTime::ZERO.nearest_to(before), after);
        assert_eq!(NtpTime::from_timestamp(before).nearest_to(after), before);
        let in_1960 = Timestamp::from_unix(-315_619_200, 0);
        assert_eq!(NtpTime::ZERO.nearest_to(in_1960).unix_seconds(), -2_208_988_800);
    }

    #[test]
    fn a_distance_never_shrinks_by_being_sent() {
        for nanos in [0, 1, 15_258, 15_259, 1_000_000, 16_000_000_000] {
            let span = Span::from_nanos(nanos);
            let sent = NtpShort::from_span_ceil(span).to_span();
            assert!(sent >= span && sent - span <= Span::from_nanos(15_260), "{nanos}");
        }
        assert_eq!(NtpShort::from_span_ceil(Span::MAX).to_bits(), u32::MAX);
        assert_eq!(NtpShort::from_span_ceil(Span::from_secs(-1)).to_bits(), 0);
    }
}
