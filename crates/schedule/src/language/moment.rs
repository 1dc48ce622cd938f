//! Reading dates with times: RFC 3339, ISO 8601, and the basic form of RFC 5545.

use super::civil::{Date, days_in_month, is_leap};
use super::error::ParseError;
use super::{DAY_US, HOUR_US, MAX_US, MIN_US, MINUTE_US, SECOND_US, Zone};
use timeball_timebase::{Span, Timestamp};

/// The years that can be written.
const YEARS: core::ops::Range<i64> = 1700..2262;

/// A date with a time of day, and its offset from UTC where it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// On the wall, microseconds from 1970.
    pub(super) local: i64,
    /// Local time less UTC, microseconds.
    pub(super) offset: Option<i64>,
}

impl Moment {
    /// Parses `2027-01-01T00:00[:00[.250]]`, with `Z` or `+01:00` behind it or not.
    pub(super) fn parse(text: &str, at: usize) -> Result<Self, ParseError> {
        let refused = || {
            let message = format!(
                "`{text}` is no date with a time; expected one as 2027-01-01T00:00:00.250Z"
            );
            ParseError::new(at, message)
        };
        let (date, time) = text.split_once('T').ok_or_else(refused)?;
        let mut date = date.splitn(3, '-').map(digits);
        let (Some(year), Some(month), Some(day)) =
            (date.next().flatten(), date.next().flatten(), date.next().flatten())
        else {
            return Err(refused());
        };
        let (time, offset) = split_offset(time).ok_or_else(refused)?;
        let mut parts = time.splitn(3, ':');
        let (hour, minute) = (parts.next().and_then(digits), parts.next().and_then(digits));
        let (Some(hour), Some(minute)) = (hour, minute) else { return Err(refused()) };
        let second = parts.next().map_or(Some(0), microseconds).ok_or_else(refused)?;
        let offset = offset.map(|text| parse_offset(text).ok_or_else(refused)).transpose()?;
        let local = local([year, month, day, hour, minute], second, text, at)?;
        Ok(Self { local, offset })
    }

    /// Parses `20270101T000000`, with `Z` behind it or not, or `20270101` for its midnight.
    pub(super) fn parse_basic(text: &str, at: usize) -> Result<Self, ParseError> {
        let (body, offset) = match text.strip_suffix('Z') {
            Some(body) => (body, Some(0)),
            None => (text, None),
        };
        let (date, time) = body.split_once('T').unwrap_or((body, "000000"));
        let part = |text: &str, range| digits(text.get(range)?);
        let fields = || {
            let whole = date.len() == 8 && time.len() == 6 && date.is_ascii() && time.is_ascii();
            let date = [part(date, 0..4)?, part(date, 4..6)?, part(date, 6..8)?];
            let time = [part(time, 0..2)?, part(time, 2..4)?, part(time, 4..6)?];
            whole.then_some((date, time))
        };
        let Some(([year, month, day], [hour, minute, second])) = fields() else {
            let message = format!("`{text}` is no date with a time; expected 20270101T090000");
            return Err(ParseError::new(at, message));
        };
        let local = local([year, month, day, hour, minute], second * SECOND_US, text, at)?;
        Ok(Self { local, offset })
    }

    /// The time on the wall of a zone.
    pub(super) fn in_zone(self, zone: &Zone) -> i64 {
        let Some(offset) = self.offset else { return self.local };
        let at = self.local - offset;
        at + i64::from(zone.offset_s_at(timestamp(at))) * SECOND_US
    }

    /// The instant; one without an offset is by the zone's clocks: the first of two, or the jump
    /// where there is none.
    pub(super) fn instant(self, zone: &Zone) -> i64 {
        if let Some(offset) = self.offset {
            return self.local - offset;
        }
        let mut fallback = self.local;
        for (index, stretch) in zone.stretches().iter().enumerate() {
            let end = zone.stretches().get(index + 1).map_or(MAX_US, |next| next.start_us);
            let at = self.local - stretch.offset_us;
            if at < end {
                // Before the stretch begins means that the time was skipped.
                return at.max(stretch.start_us);
            }
            fallback = at;
        }
        fallback
    }
}

/// Parses `2027-01-01` to a day counted from 1970-01-01.
pub(super) fn parse_date(text: &str) -> Result<i64, ParseError> {
    let mut parts = text.splitn(3, '-').map(digits);
    let (Some(year), Some(month), Some(day)) =
        (parts.next().flatten(), parts.next().flatten(), parts.next().flatten())
    else {
        let message = format!("`{text}` is no date; expected one as 2026-12-25");
        return Err(ParseError::new(0, message));
    };
    Ok(local([year, month, day, 0, 0], 0, text, 0)?.div_euclid(DAY_US))
}

/// The time, unless an offset or a count led it to a year that could not be read again.
pub(super) fn in_years(us: i64, at: usize) -> Result<i64, ParseError> {
    let first = |year| Date { year, month: 1, day: 1 }.to_day() * DAY_US;
    if (first(YEARS.start)..first(YEARS.end)).contains(&us) {
        return Ok(us);
    }
    let shown = timestamp(us);
    let message = format!("this comes to {shown}, which is out of range; expected 1700 to 2261");
    Err(ParseError::new(at, message))
}

/// The timestamp of a number of microseconds.
pub(super) fn timestamp(us: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Span::from_micros(us.clamp(MIN_US, MAX_US))
}

/// The basic form of a local time in whole seconds: `20270101T090000`.
pub(super) fn basic(local: i64) -> String {
    let shown = timestamp(local).to_string();
    shown.trim_end_matches('Z').chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

fn local(fields: [i64; 5], second: i64, text: &str, at: usize) -> Result<i64, ParseError> {
    let [year, month, day, hour, minute] = fields;
    let exists = (1..=12).contains(&month)
        && day >= 1
        && day <= i64::from(days_in_month(is_leap(year), month as u32))
        && hour < 24
        && minute < 60
        && second < MINUTE_US;
    if !exists {
        return Err(ParseError::new(
            at,
            format!("`{text}` is a date or a time that does not exist"),
        ));
    }
    if !YEARS.contains(&year) {
        let message = format!("the year of `{text}` is out of range; expected 1700 to 2261");
        return Err(ParseError::new(at, message));
    }
    let day = Date { year, month: month as u32, day: day as u32 }.to_day();
    Ok(day * DAY_US + hour * HOUR_US + minute * MINUTE_US + second)
}

/// Up to four decimal digits.
fn digits(text: &str) -> Option<i64> {
    let sound = (1..=4).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|_| sound)
}

/// `SS` or `SS.ffffff`; digits beyond microseconds have to be zeros.
fn microseconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let fraction = fraction.trim_end_matches('0');
    let sound = fraction.len() <= 6 && fraction.bytes().all(|c| c.is_ascii_digit());
    let fraction: i64 = format!("{fraction:0<6}").parse().ok().filter(|_| sound)?;
    Some(digits(whole)? * SECOND_US + fraction)
}

/// The time of day, and what stands behind it.
fn split_offset(time: &str) -> Option<(&str, Option<&str>)> {
    match time.find(['Z', '+', '-']) {
        None => Some((time, None)),
        Some(split) => Some((time.get(..split)?, time.get(split..))),
    }
}

fn parse_offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * HOUR_US + minutes * MINUTE_US))
}
