//! `@every PERIOD` and `@every PERIOD/PHASE`: instants counted from 1970, the same on every
//! replica.

use super::error::ParseError;
use super::{APART_US, DAY_US, HOUR_US, MAX_US, MILLISECOND_US, MIN_US, MINUTE_US, SECOND_US};
use core::fmt;

/// The longest period, about 100 years.
const PERIOD_US_MAX: i64 = 36_525 * DAY_US;
/// Units, the longest first; a printed duration uses them in this order.
const UNITS: [(&str, i64); 6] = [
    ("d", DAY_US),
    ("h", HOUR_US),
    ("m", MINUTE_US),
    ("s", SECOND_US),
    ("ms", MILLISECOND_US),
    ("us", 1),
];

/// A fixed period in absolute time: instants `phase + n · period` after 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Every {
    /// Microseconds, at least [`APART_US`].
    period: i64,
    /// Microseconds, at least zero and less than the period.
    phase: i64,
}

impl Every {
    /// Parses what follows `@every`; `text` begins at octet `at` of the expression.
    pub(super) fn parse(text: &str, at: usize) -> Result<Self, ParseError> {
        let (period_text, phase_text) = match text.split_once('/') {
            Some((period, phase)) => (period, Some(phase)),
            None => (text, None),
        };
        let period = duration(period_text, at)?;
        if period < APART_US {
            let message = "the period is too short: instants are at least 1 ms apart";
            return Err(ParseError::new(at, message).suggest("@every 1ms"));
        }
        if period > PERIOD_US_MAX {
            return Err(ParseError::new(at, "the period is too long: at most 36525d are possible"));
        }
        let phase_at = at + period_text.len() + 1;
        let phase = phase_text.map_or(Ok(0), |text| duration(text, phase_at))?;
        if phase >= period {
            let message = "the phase is not shorter than the period";
            let equal = Self { period, phase: phase % period };
            return Err(ParseError::new(phase_at, message).suggest(equal.to_string()));
        }
        Ok(Self { period, phase })
    }

    /// Period and phase, in microseconds.
    pub(super) fn parts(self) -> (i64, i64) {
        (self.period, self.phase)
    }

    /// The first instant that is at least `at`.
    pub(super) fn next(self, at: i64) -> Option<i64> {
        let late = (at - self.phase).rem_euclid(self.period);
        let next = if late == 0 { at } else { at + (self.period - late) };
        (next <= MAX_US).then_some(next)
    }

    /// The last instant that is at most `at`.
    pub(super) fn previous(self, at: i64) -> Option<i64> {
        let previous = at - (at - self.phase).rem_euclid(self.period);
        (previous >= MIN_US).then_some(previous)
    }

    /// How many instants lie in `from..=until`.
    pub(super) fn count(self, from: i64, until: i64) -> u64 {
        match (self.next(from), self.previous(until)) {
            (Some(first), Some(last)) if first <= last => ((last - first) / self.period) as u64 + 1,
            _ => 0,
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("@every ")?;
        write_duration(f, self.period)?;
        if self.phase != 0 {
            f.write_str("/")?;
            write_duration(f, self.phase)?;
        }
        Ok(())
    }
}

fn write_duration(f: &mut fmt::Formatter<'_>, mut us: i64) -> fmt::Result {
    for (unit, length) in UNITS {
        if us >= length {
            write!(f, "{}{unit}", us / length)?;
            us %= length;
        }
    }
    Ok(())
}

/// Parses `1h30m`, `10ms`, `0.5s`; microseconds.
fn duration(text: &str, at: usize) -> Result<i64, ParseError> {
    let expected = "expected a duration such as 10ms, 1.5s or 1h30m (units d h m s ms us)";
    let (mut total, mut rest) = (0_i64, text);
    while !rest.is_empty() || rest.len() == text.len() {
        let position = at + text.len() - rest.len();
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err(ParseError::new(position, format!("a number is missing; {expected}")));
        }
        let unit_at = position + digits;
        let Some((_, length)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let error = if unit.is_empty() {
                let message = format!("the unit is missing after {number}; {expected}");
                ParseError::new(unit_at, message).suggest(format!("{number}s"))
            } else {
                let names = UNITS.map(|(name, _)| name);
                let message = format!("`{unit}` is no unit; {expected}");
                ParseError::new(unit_at, message).suggest_near(unit, &names)
            };
            return Err(error);
        };
        let part = multiple(number, *length).ok_or_else(|| {
            let message = format!("`{number}{unit}` is no whole number of microseconds below 2262");
            ParseError::new(position, message)
        })?;
        total = total.checked_add(part).filter(|total| *total < MAX_US).ok_or_else(|| {
            ParseError::new(position, "the duration is too long: at most 36525d are possible")
        })?;
        rest = tail;
    }
    Ok(total)
}

/// A decimal number times `length`; `None` where that is no whole number, or too large.
fn multiple(number: &str, length: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let scale = 10_i64.pow(fraction.len() as u32);
    let part = fraction.parse::<i64>().ok()? as i128 * i128::from(length);
    if part % i128::from(scale) != 0 {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(length)?;
    whole.checked_add(i64::try_from(part / i128::from(scale)).ok()?)
}
