//! Reading ISO 8601 repeating intervals.

use super::duration::{Duration, US_MAX};
use super::error::ParseError;
use super::interval::{Repeat, Train};
use super::moment::{Moment, in_years, parse_date, timestamp};
use super::pattern::Pattern;
use super::{APART_US, DAY_US, Parsed, When, Zone};

/// Whether a word begins a repeating interval.
pub(super) fn begins(word: &str) -> bool {
    let Some(rest) = word.strip_prefix('R') else { return false };
    rest.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit()).starts_with('/')
}

/// Parses `Rn/START/DURATION`, `Rn/START/END` or `Rn/DURATION/END`.
pub(super) fn parse(text: &str, at: usize, zone: &Zone) -> Result<Parsed, ParseError> {
    // Either is the decimal sign of ISO 8601.
    let text = &text.replace(',', ".");
    let parts: Vec<&str> = text.split('/').collect();
    let [repeats, first, second] = parts[..] else {
        let message = "a repeating interval has three parts: Rn/START/DURATION, Rn/START/END or \
            Rn/DURATION/END";
        return Err(ParseError::new(at, message));
    };
    let first_at = at + repeats.len() + 1;
    let second_at = first_at + first.len() + 1;
    let count = count(&repeats[1..], at + 1)?;
    if first.starts_with('P') {
        let duration = Duration::parse(first, first_at)?;
        let end = moment(second, second_at)?;
        let Some(count) = count.filter(|_| duration.is_exact()) else {
            let message = "an interval that is given by its end needs a number, as R5, and a \
                duration in hours, minutes and seconds; write its start instead";
            return Err(ParseError::new(at, message));
        };
        let start = end.instant(zone).saturating_sub(count.saturating_mul(duration.time));
        return train(in_years(start, first_at)?, duration, Some(count), first_at);
    }
    let start = moment(first, first_at)?;
    if !second.starts_with('P') {
        let end = moment(second, second_at)?;
        let start = in_years(start.instant(zone), first_at)?;
        let duration = Duration { months: 0, days: 0, time: end.instant(zone) - start };
        return train(start, duration, count, second_at);
    }
    let duration = Duration::parse(second, second_at)?;
    if duration.is_exact() {
        let start = in_years(start.instant(zone), first_at)?;
        return train(start, duration, count, second_at);
    }
    let start = in_years(start.in_zone(zone), first_at)?;
    let Duration { months, days, time } = duration;
    let shown = timestamp(start).to_string();
    let canonical = format!("{}/{}/{duration}", shown_count(count), shown.trim_end_matches('Z'));
    let count = count.unwrap_or(i64::MAX);
    let repeat = Repeat { start, months, rest: days * DAY_US + time, count };
    let when = When::Local(Pattern::Repeat(repeat));
    Ok(Parsed { when, wildcard: time != 0, canonical })
}

fn train(
    start: i64,
    duration: Duration,
    count: Option<i64>,
    at: usize,
) -> Result<Parsed, ParseError> {
    if duration.time < APART_US {
        let message = "the intervals are too short: instants are at least 1 ms apart";
        return Err(ParseError::new(at, message).suggest("PT0.001S"));
    }
    // Given by its end, it was not measured yet.
    if duration.time > US_MAX {
        return Err(ParseError::new(at, "the intervals are longer than 100 years"));
    }
    let canonical = format!("{}/{}/{duration}", shown_count(count), timestamp(start));
    let train = Train { start, period: duration.time, count: count.unwrap_or(i64::MAX) };
    Ok(Parsed { when: When::Train(train), wildcard: true, canonical })
}

/// Where an interval begins or ends: a date with a time, in the extended or the basic form, or a
/// date alone for its midnight.
fn moment(text: &str, at: usize) -> Result<Moment, ParseError> {
    let is_digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    match text.split_once('T') {
        None if is_digits(text) => Moment::parse_basic(text, at),
        None => {
            let day = parse_date(text).map_err(|error| ParseError { position: at, ..error })?;
            Ok(Moment { local: day * DAY_US, offset: None })
        }
        Some((date, _)) if is_digits(date) => Moment::parse_basic(text, at),
        Some(_) => Moment::parse(text, at),
    }
}

/// How many intervals; `None` for no end.
fn count(text: &str, at: usize) -> Result<Option<i64>, ParseError> {
    if matches!(text, "" | "-1") {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(count @ 1..) => Ok(Some(i64::from(count))),
        _ => {
            let message = format!("`R{text}` repeats nothing; expected R, or R1 to R4294967295");
            Err(ParseError::new(at, message))
        }
    }
}

fn shown_count(count: Option<i64>) -> String {
    count.map_or_else(|| "R".to_owned(), |count| format!("R{count}"))
}
