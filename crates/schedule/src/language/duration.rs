//! ISO 8601 durations: `P1M`, `P1DT12H`, `PT0.010S`.

use super::error::ParseError;
use super::{DAY_US, HOUR_US, MINUTE_US, SECOND_US};
use core::fmt;

/// The longest duration, about 100 years.
const MONTHS_MAX: i64 = 1_200;
pub(super) const US_MAX: i64 = 36_525 * DAY_US;

/// A duration; months and days are by the calendar, the rest is a span of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Duration {
    pub(super) months: i64,
    pub(super) days: i64,
    /// Microseconds.
    pub(super) time: i64,
}

impl Duration {
    /// Parses a duration that begins at octet `at`.
    pub(super) fn parse(text: &str, at: usize) -> Result<Self, ParseError> {
        let expected = "expected a duration such as P1D, P1M, PT90M or PT0.010S";
        let refused = |position, what: &str| {
            ParseError::new(position, format!("{what} in the duration `{text}`; {expected}"))
        };
        let Some(mut rest) = text.strip_prefix('P') else {
            return Err(refused(at, "no `P`"));
        };
        let mut duration = Self { months: 0, days: 0, time: 0 };
        // Units come in this order, each at most once.
        let mut of_date = ["Y", "M", "W", "D"].iter();
        let mut of_time = ["H", "M", "S"].iter();
        let mut in_time = false;
        let position = |rest: &str| at + text.len() - rest.len();
        while !rest.is_empty() {
            if !in_time && let Some(after) = rest.strip_prefix('T') {
                (in_time, rest) = (true, after);
                if !rest.is_empty() {
                    continue;
                }
            }
            let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(length);
            let mut units = if in_time { of_time.clone() } else { of_date.clone() };
            let unit = tail.get(..1).and_then(|unit| units.find(|known| **known == unit));
            let (Some(unit), false) = (unit, number.is_empty()) else {
                return Err(refused(position(rest), "no number with a unit"));
            };
            if in_time {
                of_time = units
            } else {
                of_date = units
            }
            let fine = in_time && *unit == "S";
            let value = microseconds(number, fine)
                .ok_or_else(|| refused(position(rest), "no sound number"))?;
            match (in_time, *unit) {
                (false, "Y") => duration.months += value * 12,
                (false, "M") => duration.months += value,
                (false, "W") => duration.days += value * 7,
                (false, _) => duration.days += value,
                (true, "H") => duration.time += value * HOUR_US,
                (true, "M") => duration.time += value * MINUTE_US,
                (true, _) => duration.time += value,
            }
            rest = &tail[1..];
        }
        let Self { months, days, time } = duration;
        if months > MONTHS_MAX || days * DAY_US > US_MAX || time > US_MAX {
            let message = format!("the duration `{text}` is longer than 100 years");
            return Err(ParseError::new(at, message));
        }
        Ok(duration)
    }

    /// Whether it is a span of time, the same whatever the calendar.
    pub(super) const fn is_exact(self) -> bool {
        self.months == 0 && self.days == 0
    }
}

/// A number of up to six digits; with `fine` seconds with a fraction, in microseconds.
fn microseconds(text: &str, fine: bool) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() > 10 {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let fraction = fraction.trim_end_matches('0');
    if !fine {
        return (whole <= 999_999 && fraction.is_empty()).then_some(whole);
    }
    if fraction.len() > 6 {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some(whole * SECOND_US + micros)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { months, days, time } = *self;
        f.write_str("P")?;
        let part = |f: &mut fmt::Formatter<'_>, value: i64, unit: &str| match value {
            0 => Ok(()),
            _ => write!(f, "{value}{unit}"),
        };
        part(f, months / 12, "Y")?;
        part(f, months % 12, "M")?;
        part(f, days, "D")?;
        if time == 0 {
            return Ok(());
        }
        f.write_str("T")?;
        part(f, time / HOUR_US, "H")?;
        part(f, time % HOUR_US / MINUTE_US, "M")?;
        match (time % MINUTE_US / SECOND_US, time % SECOND_US) {
            (0, 0) => Ok(()),
            (seconds, 0) => write!(f, "{seconds}S"),
            (seconds, fraction) => {
                write!(f, "{seconds}.{}S", format!("{fraction:06}").trim_end_matches('0'))
            }
        }
    }
}
