//! Reading `DTSTART:… RRULE:… RDATE:… EXDATE:…`, separated by spaces or lines.

use super::super::civil::{Date, weekday};
use super::super::error::ParseError;
use super::super::moment::{Moment, basic, in_years};
use super::super::{DAY_US, HOUR_US, MINUTE_US, SECOND_US, Zone};
use super::days::DayRule;
use super::parts::Parts;
use super::set_position::Positions;
use super::times::Times;
use super::{Frequency, Rule};

/// Most dates of RDATE, and of EXDATE.
const DATES_MAX: usize = 60;
const EXAMPLE: &str = "DTSTART:20270101T090000 RRULE:FREQ=DAILY";

/// Whether a word begins a recurrence rule.
pub(in super::super) fn begins(word: &str) -> bool {
    ["DTSTART", "RRULE:", "FREQ=", "RDATE", "EXDATE"]
        .iter()
        .any(|name| word.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)))
}

/// Parses a recurrence rule, and gives its canonical form; `end` is the length of the expression.
pub(in super::super) fn parse(
    words: &[(usize, &str)],
    end: usize,
    zone: &Zone,
) -> Result<(Rule, String), ParseError> {
    let mut start = None;
    let mut parts = None;
    let mut dates = Dates::default();
    let (mut start_has_time, mut excluded_day) = (false, None);
    for &(at, word) in words {
        let (head, value) = match word.split_once(':') {
            Some((head, value)) => (head.to_ascii_uppercase(), value),
            None => ("RRULE".to_owned(), word),
        };
        let value_at = at + word.len() - value.len();
        let (name, parameters) = head.split_once(';').unwrap_or((&head, ""));
        match name {
            "DTSTART" if start.is_none() => {
                start = Some(date_time(value, value_at, parameters, (at, word), zone)?);
                start_has_time = value.contains('T');
            }
            "RRULE" if parts.is_none() && parameters.is_empty() => {
                parts = Some((Parts::parse(value, value_at)?, value_at));
            }
            "RDATE" | "EXDATE" => {
                let list = if name == "RDATE" { &mut dates.added } else { &mut dates.excluded };
                let mut position = value_at;
                for text in value.split(',') {
                    if name == "EXDATE" && !text.contains('T') {
                        excluded_day = excluded_day.or(Some((position, text)));
                    }
                    list.push(date_time(text, position, parameters, (at, word), zone)?);
                    position += text.len() + 1;
                }
                if list.len() > DATES_MAX {
                    let message = format!("{name} lists more than {DATES_MAX} dates");
                    return Err(ParseError::new(at, message));
                }
            }
            "DTSTART" | "RRULE" => {
                return Err(ParseError::new(at, format!("only one {name} is possible")));
            }
            _ => {
                let message =
                    format!("`{name}` is not known; expected DTSTART, RRULE, RDATE and EXDATE");
                return Err(ParseError::new(at, message).suggest(EXAMPLE));
            }
        }
    }
    let Some(start) = start else {
        let message = "DTSTART is missing: without it every replica would begin at its own now";
        return Err(ParseError::new(0, message).suggest(EXAMPLE));
    };
    let Some((parts, parts_at)) = parts else {
        return Err(ParseError::new(end, "RRULE is missing").suggest(EXAMPLE));
    };
    if let Some((position, text)) = excluded_day.filter(|_| start_has_time) {
        // It would be the midnight of that day, which is hardly ever an instant.
        let message =
            "EXDATE needs a time, as DTSTART has one: it leaves out an instant, not a day";
        let time = &basic(start)["20270101".len()..];
        return Err(ParseError::new(position, message).suggest(format!("{text}{time}")));
    }
    for list in [&mut dates.added, &mut dates.excluded] {
        list.sort_unstable();
        list.dedup();
    }
    compile(parts, parts_at, start, &dates, zone)
}

/// RDATE and EXDATE.
#[derive(Default)]
struct Dates {
    added: Vec<i64>,
    excluded: Vec<i64>,
}

/// A date with a time on the wall of the zone.
fn date_time(
    text: &str,
    at: usize,
    parameters: &str,
    (word_at, word): (usize, &str),
    zone: &Zone,
) -> Result<i64, ParseError> {
    let moment = Moment::parse_basic(text, at)?;
    for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
        let own = || {
            parameter
                .strip_prefix("TZID=")
                .is_some_and(|name| name.eq_ignore_ascii_case(zone.name()))
        };
        if !matches!(parameter, "VALUE=DATE" | "VALUE=DATE-TIME") && !own() {
            let message = format!(
                "`{parameter}` in `{word}` is not possible: the schedule's zone is `{}`; give the \
                 zone as `timeZone`",
                zone.name()
            );
            return Err(ParseError::new(word_at, message));
        }
    }
    let utc = zone.stretches().iter().all(|stretch| stretch.offset_us == 0);
    if moment.offset.is_some() && !utc {
        let message = format!(
            "`{text}` is in UTC, so the rule would follow UTC's clock and not that of `{}`; write \
             the local time, or give `timeZone: Etc/UTC`",
            zone.name()
        );
        return Err(ParseError::new(at, message));
    }
    Ok(moment.local)
}

fn compile(
    parts: Parts,
    at: usize,
    start: i64,
    dates: &Dates,
    zone: &Zone,
) -> Result<(Rule, String), ParseError> {
    let frequency = parts.frequency;
    let until = parts.until.map(|moment| in_years(moment.in_zone(zone), at)).transpose()?;
    if until.is_some_and(|until| until < start) {
        return Err(ParseError::new(at, "UNTIL is before DTSTART"));
    }
    if start % SECOND_US != 0 {
        return Err(ParseError::new(at, "DTSTART has a fraction of a second"));
    }
    if dates.added.first().is_some_and(|first| *first < start) {
        return Err(ParseError::new(at, "RDATE is before DTSTART, which is the first date"));
    }
    let mut canonical = format!("DTSTART:{} RRULE:{}", basic(start), parts.canonical(until));
    for (name, list) in [("RDATE", &dates.added), ("EXDATE", &dates.excluded)] {
        if !list.is_empty() {
            let list: Vec<String> = list.iter().map(|at| basic(*at)).collect();
            canonical.push_str(&format!(" {name}:{}", list.join(",")));
        }
    }
    let (days, mut times) = (day_rule(&parts, start), times(&parts, start));
    let unit = match frequency {
        Frequency::Hourly => Some(HOUR_US),
        Frequency::Minutely => Some(MINUTE_US),
        Frequency::Secondly => Some(SECOND_US),
        _ => None,
    };
    // Periods below a day all have the same times in them, so positions choose once.
    let below_a_day = unit.is_some() && !parts.positions.is_empty();
    let chosen = !below_a_day || choose(&parts, &mut times, at)?;
    let reachable = chosen && unit.is_none_or(|unit| times.every(unit, parts.interval, start));
    let positions =
        (!parts.positions.is_empty() && unit.is_none()).then(|| Positions(parts.positions.clone()));
    let mut rule = Rule {
        days,
        times,
        positions,
        start,
        end: if reachable { i64::MAX } else { start - 1 },
        is_open: until.is_none() && parts.count.is_none(),
        excluded: Box::default(),
        added: Box::default(),
        frequency,
        interval: parts.interval,
    };
    if reachable {
        rule.close(until, parts.count);
    }
    rule.adjust(&dates.added, &dates.excluded);
    Ok((rule, canonical))
}

/// Keeps the times of an hour, a minute or a second that BYSETPOS chooses; `false` where it chooses
/// none.
fn choose(parts: &Parts, times: &mut Times, at: usize) -> Result<bool, ParseError> {
    let bits = |set: u64| (0..60).filter(move |bit| set >> bit & 1 != 0);
    let hourly = parts.frequency == Frequency::Hourly;
    // A shorter period is within one minute, or is one second.
    let minutes = if hourly { times.minutes } else { 1 };
    let seconds = if parts.frequency == Frequency::Secondly { 1 } else { times.seconds };
    let all: Vec<(u32, u32)> = bits(minutes)
        .flat_map(|minute| bits(seconds).map(move |second| (minute, second)))
        .collect();
    let index = |position: &i16| match usize::from(position.unsigned_abs()) {
        n if *position > 0 => Some(n - 1),
        n => all.len().checked_sub(n),
    };
    let positions = parts.positions.iter();
    let chosen: Vec<(u32, u32)> =
        positions.filter_map(|position| all.get(index(position)?).copied()).collect();
    let (minutes, seconds) =
        chosen.iter().fold((0, 0), |(m, s), (minute, second)| (m | 1 << minute, s | 1 << second));
    let kept = all.iter().filter(|(m, s)| minutes >> m & seconds >> s & 1_u64 != 0);
    if kept.clone().any(|time| !chosen.contains(time)) {
        let message = "these positions have other seconds in each minute; write a rule for each";
        return Err(ParseError::new(at, message));
    }
    if hourly {
        times.minutes = minutes;
    }
    if parts.frequency != Frequency::Secondly {
        times.seconds = seconds;
    }
    Ok(!chosen.is_empty())
}

/// The rule's days; what it leaves open is taken from DTSTART (RFC 5545 section 3.3.10).
fn day_rule(parts: &Parts, start: i64) -> DayRule {
    let start_day = start.div_euclid(DAY_US);
    let date = Date::from_day(start_day);
    let mut days = DayRule {
        frequency: parts.frequency,
        interval: parts.interval,
        start: start_day,
        week_start: parts.week_start,
        months: parts.months,
        week_numbers: parts.week_numbers.clone(),
        year_days: parts.year_days.clone(),
        month_days: parts.month_days,
        month_days_from_end: parts.month_days_from_end,
        weekdays: parts.weekdays,
        nth_weekdays: parts.nth_weekdays.clone(),
    };
    let open = days.week_numbers.is_empty()
        && days.year_days.is_empty()
        && days.month_days == 0
        && days.month_days_from_end == 0
        && days.weekdays == 0
        && days.nth_weekdays.is_empty();
    match parts.frequency {
        Frequency::Yearly if open => {
            if days.months == 0 {
                days.months = 1 << date.month;
            }
            days.month_days = 1 << date.day;
        }
        Frequency::Monthly if open => days.month_days = 1 << date.day,
        Frequency::Weekly if open => days.weekdays = 1 << weekday(start_day),
        _ => {}
    }
    days
}

fn times(parts: &Parts, start: i64) -> Times {
    let time = start.rem_euclid(DAY_US);
    let of_start = |listed: u64, unit: Frequency, all: u64, value: i64| match listed {
        0 if parts.frequency < unit => 1 << value,
        0 => all,
        listed => listed,
    };
    let hour = time / HOUR_US;
    let hours = of_start(u64::from(parts.hours), Frequency::Hourly, (1 << 24) - 1, hour) as u32;
    let sixty = (1 << 60) - 1;
    let minutes = of_start(parts.minutes, Frequency::Minutely, sixty, time / MINUTE_US % 60);
    let seconds = of_start(parts.seconds, Frequency::Secondly, sixty, time / SECOND_US % 60);
    Times::new(hours, minutes, seconds)
}
