//! Reading instants: RFC 3339, or `@` and Unix seconds.

use thiserror::Error;
use timeball_timebase::{Span, Timestamp};

const DECIMALS_MAX: usize = 9;

/// Why a text is no instant, or no limit.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InstantError {
    /// Something else stands at this place (1 is the first character).
    #[error("character {position}: expected {what}")]
    Expected {
        /// What should stand there.
        what: &'static str,
        /// Counted from 1.
        position: usize,
    },
    /// A part is out of its range.
    #[error("the {part} is {value}, and can be {least} to {most}")]
    OutOfRange {
        /// Which part.
        part: &'static str,
        /// Its value.
        value: i64,
        /// The smallest that is possible.
        least: i64,
        /// The largest that is possible.
        most: i64,
    },
    /// There are more than nine decimals.
    #[error("more than nine decimals, and the clock counts whole nanoseconds")]
    TooFine,
    /// 23:59:60 is an instant of UTC, but no clock of Linux ever reads it.
    #[error("a leap second (:60), which the system clock never reads; use :59 or the next :00")]
    LeapSecond,
    /// The clock cannot read it.
    #[error("not within 1970 to 2262, where the system clock can be")]
    BeyondClock,
}

/// Reads an instant: `2026-11-21T12:00:00.25Z`, `2026-11-21T13:00:00+01:00` or `@1795262400.25`.
///
/// At most nine decimals; `t`, `z` and a space for the `T` are taken too, as RFC 3339 has it.
pub fn parse_instant(text: &[u8]) -> Result<Timestamp, InstantError> {
    let mut reader = Reader { text, at: 0 };
    let (seconds, nanos) =
        if reader.skip(b"@") { reader.unix_seconds()? } else { reader.rfc_3339()? };
    reader.end()?;
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    match i64::try_from(nanos) {
        Ok(nanos) if nanos >= 0 => Ok(Timestamp::from_unix_nanos(nanos)),
        _ => Err(InstantError::BeyondClock),
    }
}

/// Reads the latest instant of a start: an instant, or `+` and a span after `at`, which is a whole
/// number with its unit (`ns`, `us`, `ms`, `s`, `m`, `h`).
pub fn parse_limit(text: &[u8], at: Timestamp) -> Result<Timestamp, InstantError> {
    let mut reader = Reader { text, at: 0 };
    if !reader.skip(b"+") {
        return parse_instant(text);
    }
    reader.span().map(|span| at + span)
}

/// Reads a span: a whole number with its unit (`ns`, `us`, `ms`, `s`, `m`, `h`).
pub(crate) fn parse_span(text: &[u8]) -> Result<Span, InstantError> {
    Reader { text, at: 0 }.span()
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn span(&mut self) -> Result<Span, InstantError> {
        let count = self.digits(1..=18, "a whole number")?;
        let units: [(&[u8], i64); 6] = [
            (b"ns", 1),
            (b"us", 1_000),
            (b"ms", 1_000_000),
            (b"s", 1_000_000_000),
            (b"m", 60_000_000_000),
            (b"h", 3_600_000_000_000),
        ];
        for (name, nanos) in units {
            if &self.text[self.at..] == name {
                return Ok(Span::from_nanos(count.saturating_mul(nanos)));
            }
        }
        Err(self.expected("a unit: ns, us, ms, s, m or h"))
    }

    fn unix_seconds(&mut self) -> Result<(i64, i64), InstantError> {
        let seconds = self.digits(1..=12, "seconds since 1970 in digits")?;
        Ok((seconds, self.fraction()?))
    }

    fn rfc_3339(&mut self) -> Result<(i64, i64), InstantError> {
        let year = self.digits(4..=4, "a year of four digits, or `@` and Unix seconds")?;
        self.mark(b"-", "`-` and the month")?;
        let month = self.two_digits("month", 1, 12)?;
        self.mark(b"-", "`-` and the day")?;
        let day = self.two_digits("day", 1, days_in_month(year, month))?;
        self.mark(b"Tt ", "`T` and the time of day")?;
        let hour = self.two_digits("hour", 0, 23)?;
        self.mark(b":", "`:` and the minute")?;
        let minute = self.two_digits("minute", 0, 59)?;
        self.mark(b":", "`:` and the second")?;
        let second = self.two_digits("second", 0, 60)?;
        if second == 60 {
            return Err(InstantError::LeapSecond);
        }
        let nanos = self.fraction()?;
        let of_day = hour * 3_600 + minute * 60 + second - self.offset()?;
        Ok((days_from_civil(year, month, day) * 86_400 + of_day, nanos))
    }

    /// The zone's offset in seconds, positive to the east of Greenwich.
    fn offset(&mut self) -> Result<i64, InstantError> {
        if self.skip(b"Zz") {
            return Ok(0);
        }
        let is_west = self.text.get(self.at) == Some(&b'-');
        self.mark(b"+-", "the offset: `Z`, `+01:00` or `-05:00`")?;
        let hour = self.two_digits("offset's hour", 0, 23)?;
        self.mark(b":", "`:` and the offset's minute")?;
        let seconds = hour * 3_600 + self.two_digits("offset's minute", 0, 59)? * 60;
        Ok(if is_west { -seconds } else { seconds })
    }

    /// A fraction of a second in nanoseconds; 0 where there is none.
    fn fraction(&mut self) -> Result<i64, InstantError> {
        if !self.skip(b".") {
            return Ok(0);
        }
        let start = self.at;
        let mut nanos = 0;
        while let Some(digit) = self.digit() {
            if self.at - start > DECIMALS_MAX {
                return Err(InstantError::TooFine);
            }
            nanos = nanos * 10 + digit;
        }
        let decimals = self.at - start;
        if decimals == 0 {
            return Err(self.expected("decimals after the point"));
        }
        Ok((decimals..DECIMALS_MAX).fold(nanos, |nanos, _| nanos * 10))
    }

    fn two_digits(
        &mut self,
        part: &'static str,
        least: i64,
        most: i64,
    ) -> Result<i64, InstantError> {
        let value = self.digits(2..=2, "two digits")?;
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(InstantError::OutOfRange { part, value, least, most })
    }

    fn digits(
        &mut self,
        count: core::ops::RangeInclusive<usize>,
        what: &'static str,
    ) -> Result<i64, InstantError> {
        let start = self.at;
        let mut value: i64 = 0;
        while self.at - start < *count.end() {
            let Some(digit) = self.digit() else { break };
            value = value * 10 + digit;
        }
        if count.contains(&(self.at - start)) { Ok(value) } else { Err(self.expected(what)) }
    }

    fn digit(&mut self) -> Option<i64> {
        let octet = *self.text.get(self.at).filter(|octet| octet.is_ascii_digit())?;
        self.at += 1;
        Some(i64::from(octet - b'0'))
    }

    fn mark(&mut self, marks: &[u8], what: &'static str) -> Result<(), InstantError> {
        if self.skip(marks) { Ok(()) } else { Err(self.expected(what)) }
    }

    /// Goes past one of the marks, if one stands here.
    fn skip(&mut self, marks: &[u8]) -> bool {
        let found = self.text.get(self.at).is_some_and(|octet| marks.contains(octet));
        self.at += usize::from(found);
        found
    }

    fn end(&self) -> Result<(), InstantError> {
        if self.at == self.text.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn expected(&self, what: &'static str) -> InstantError {
        InstantError::Expected { what, position: self.at + 1 }
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, years 0 to 9999.
///
/// The year is taken to begin in March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_TO_1970_FROM_MARCH_0000: i64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970_FROM_MARCH_0000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    fn shown(text: &str) -> std::string::String {
        match parse_instant(text.as_bytes()) {
            Ok(instant) => instant.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn instants_are_read_in_both_forms() {
        for (text, expected) in [
            ("2026-11-21T12:00:00.250Z", "2026-11-21T12:00:00.250Z"),
            ("2026-11-21 12:00:00z", "2026-11-21T12:00:00Z"),
            ("2026-11-21t13:30:00.000000001+01:30", "2026-11-21T12:00:00.000000001Z"),
            ("2026-12-31T23:00:00-05:00", "2027-01-01T04:00:00Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z"),
            ("@1795000000.25", "2026-11-18T11:06:40.250Z"),
            ("@0", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_said_with_its_place() {
        for (text, expected) in [
            ("", "character 1: expected a year of four digits, or `@` and Unix seconds"),
            ("12:00", "character 3: expected a year of four digits, or `@` and Unix seconds"),
            ("2026-11-21", "character 11: expected `T` and the time of day"),
            ("2026-11-21T12:00:00", "character 20: expected the offset: `Z`, `+01:00` or `-05:00`"),
            ("2026-11-21T12:00:00.Z", "character 21: expected decimals after the point"),
            ("2026-11-21T12:00:00Z ", "character 21: expected the end"),
            ("2026-13-21T12:00:00Z", "the month is 13, and can be 1 to 12"),
            ("2026-02-29T12:00:00Z", "the day is 29, and can be 1 to 28"),
            ("2026-11-21T24:00:00Z", "the hour is 24, and can be 0 to 23"),
            (
                "2016-12-31T23:59:60Z",
                "a leap second (:60), which the system clock never reads; \
                 use :59 or the next :00",
            ),
            ("1969-12-31T23:59:59Z", "not within 1970 to 2262, where the system clock can be"),
            ("2262-04-12T00:00:00Z", "not within 1970 to 2262, where the system clock can be"),
            ("@-5", "character 2: expected seconds since 1970 in digits"),
            ("@5.0000000001", "more than nine decimals, and the clock counts whole nanoseconds"),
            ("@999999999999", "not within 1970 to 2262, where the system clock can be"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn every_day_is_the_one_that_timebase_shows() {
        for day in (0..=106_750).step_by(17) {
            let instant = Timestamp::from_unix(day * 86_400 + 3_661, 5);
            assert_eq!(parse_instant(format!("{instant}").as_bytes()), Ok(instant));
        }
    }

    #[test]
    fn a_limit_is_an_instant_or_a_span_after_the_instant() {
        let at = Timestamp::from_unix(1_795_000_000, 0);
        assert_eq!(parse_limit(b"+500ms", at), Ok(at + Span::from_millis(500)));
        assert_eq!(parse_limit(b"+0ns", at), Ok(at));
        assert_eq!(parse_limit(b"+999999999999999999h", at), Ok(Timestamp::MAX));
        assert_eq!(parse_limit(b"@1795000001", at), Ok(at + Span::from_secs(1)));
        let unit = InstantError::Expected { what: "a unit: ns, us, ms, s, m or h", position: 4 };
        assert_eq!(parse_limit(b"+50", at), Err(unit));
        assert!(parse_limit(b"500ms", at).is_err());
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        let alphabet = b"@+-0129:.TZz m";
        let mut seed = 1_u64;
        let mut text = [0_u8; 24];
        for _ in 0..200_000 {
            for octet in &mut text {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *octet = alphabet[(seed >> 33) as usize % alphabet.len()];
            }
            let length = (seed >> 40) as usize % text.len();
            let _ = parse_instant(&text[..length]);
            let _ = parse_limit(&text[..length], Timestamp::UNIX_EPOCH);
        }
    }
}
