//! systemd's calendar events (systemd.time(7)): `Mon..Fri *-*-* 09:00:00.25/0.5`.

use super::calendar::Calendar;
use super::component::{Component, DateTime, Part};
use super::days::{Days, Relative};
use super::error::ParseError;
use super::pattern::Pattern;
use super::second::Seconds;
use super::years::Years;
use super::{APART_US, Parsed, When, Zone, spacing_error};
use core::fmt;

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SHORTHANDS: [(&str, &str); 12] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
    ("anually", "*-01-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("semi-annually", "*-01,07-01 00:00:00"),
    ("biannually", "*-01,07-01 00:00:00"),
];

/// A parsed calendar event; printing it gives systemd's normalized form without the zone.
struct Event {
    /// Bit n is weekday n, 0 for Monday; all where the event names none.
    weekdays: u8,
    date_time: DateTime,
}

/// Parses the words of a calendar event.
pub(super) fn parse(
    words: &[(usize, &str)],
    length: usize,
    zone: &Zone,
) -> Result<Parsed, ParseError> {
    let words = without_zone(words, zone)?;
    let (_, first) = words[0];
    let shorthand = SHORTHANDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(first));
    if let Some((_, event)) = shorthand {
        if let Some((extra, _)) = words.get(1) {
            return Err(ParseError::new(*extra, format!("nothing follows `{first}`")));
        }
        let event = Event::parse(&super::words(event), event.len())?;
        return event.compile();
    }
    Event::parse(words, length)?.compile()
}

/// Takes the zone away, which has to be the schedule's own: the core cannot look another one up.
fn without_zone<'w>(
    words: &'w [(usize, &'w str)],
    zone: &Zone,
) -> Result<&'w [(usize, &'w str)], ParseError> {
    let Some(((at, last), rest)) = words.split_last() else { return Ok(words) };
    let utc = |name: &str| matches!(name, "UTC" | "Etc/UTC");
    let same = *last == zone.name() || utc(last) && utc(zone.name());
    if same && !rest.is_empty() {
        return Ok(rest);
    }
    let named = last.contains('/') && last.starts_with(|c: char| c.is_ascii_alphabetic());
    if utc(last) || named {
        let message = format!(
            "the zone `{last}` is not the schedule's, which is `{}`; give it as `timeZone`",
            zone.name()
        );
        return Err(ParseError::new(*at, message));
    }
    Ok(words)
}

impl Event {
    fn parse(words: &[(usize, &str)], length: usize) -> Result<Self, ParseError> {
        let mut rest = words;
        let mut event = Self { weekdays: 0x7f, date_time: DateTime::midnight_of_every_day() };
        let letter = |word: &str| word.starts_with(|c: char| c.is_ascii_alphabetic());
        if let Some(((at, word), tail)) = rest.split_first().filter(|((_, word), _)| letter(word)) {
            event.weekdays = weekdays(word, *at)?;
            rest = tail;
        }
        let dated = |word: &str| word.contains(['-', '~']) && !word.contains(':');
        if let Some(((at, word), tail)) = rest.split_first().filter(|((_, word), _)| dated(word)) {
            event.date_time.parse_date(word, *at)?;
            rest = tail;
        }
        if let Some(((at, word), tail)) =
            rest.split_first().filter(|(word, _)| word.1.contains(':'))
        {
            event.date_time.parse_time(word, *at)?;
            rest = tail;
        }
        match rest.first() {
            None => Ok(event),
            Some((at, word)) => {
                let message = format!(
                    "found `{word}`; expected weekdays, a date as *-*-*, and a time as *:*:*, in \
                     this order"
                );
                let at = (*at).min(length);
                let names: Vec<&str> = SHORTHANDS.iter().map(|(name, _)| *name).collect();
                Err(ParseError::new(at, message).suggest_near(word, &names))
            }
        }
    }

    fn compile(self) -> Result<Parsed, ParseError> {
        let DateTime { year, month, day, from_end, hour, minute, second, second_at } =
            &self.date_time;
        let days = match from_end {
            false => Days { of_month: day.bits() as u32, ..Days::default() },
            true => {
                // Counted from 1 for the last day, and steps go toward the end.
                let from_end = (day.bits_from_last() >> 1) as u32;
                let relative = Relative { from_end, ..Relative::default() };
                Days { relative: Some(Box::new(relative)), ..Days::default() }
            }
        };
        // Monday is 0 for systemd, Sunday for everybody else here.
        let of_week = (self.weekdays << 1 | self.weekdays >> 6) & 0x7f;
        let days = Days { of_week, either: false, ..days };
        let seconds = Seconds::new(&second.progressions(), APART_US)
            .map_err(|close| spacing_error(*second_at, close))?;
        let (hours, months) = (hour.bits() as u32, month.bits() as u16);
        let calendar = Calendar::new(seconds, minute.bits(), hours, days, months);
        let years = if year.is_any() { Years::default() } else { Years::new(&year.progressions()) };
        Ok(Parsed {
            when: When::Local(Pattern::Calendar(calendar.in_years(years))),
            wildcard: [hour, minute, second].into_iter().any(Component::is_any),
            canonical: self.to_string(),
        })
    }
}

/// Reads `Mon`, `Mon..Fri`, `Mon-Fri`, `Sat,Mon,Tue..Thu`, with a comma at the end or without.
fn weekdays(text: &str, at: usize) -> Result<u8, ParseError> {
    let list = text.strip_suffix(',').unwrap_or(text);
    let mut days = 0;
    let mut position = at;
    for element in list.split(',') {
        let (from, to) =
            element.split_once("..").or(element.split_once('-')).unwrap_or((element, element));
        let (first, last) = (weekday(from, position)?, weekday(to, position)?);
        if first > last {
            let message = format!("the range {element} of weekdays runs backwards");
            let suggestion = format!("Mon..{},{}..Sun", &to[..3], &from[..3]);
            return Err(ParseError::new(position, message).suggest(suggestion));
        }
        days |= (0x7f >> (6 - last)) & (0x7f << first);
        position += element.len() + 1;
    }
    Ok(days as u8)
}

/// The number of a weekday from Monday as 0.
fn weekday(text: &str, at: usize) -> Result<u32, ParseError> {
    let is = |name: &&str| name.eq_ignore_ascii_case(text) || name[..3].eq_ignore_ascii_case(text);
    let found = WEEKDAYS.iter().position(is).map(|index| index as u32);
    found.ok_or_else(|| {
        let mut known: Vec<&str> = WEEKDAYS.iter().map(|name| &name[..3]).collect();
        known.extend(SHORTHANDS.iter().map(|(name, _)| *name));
        let message = format!("`{text}` is no weekday; expected Mon to Sun, or a word like daily");
        ParseError::new(at, message).suggest_near(text, &known)
    })
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.weekdays != 0x7f {
            self.write_weekdays(f)?;
            f.write_str(" ")?;
        }
        let DateTime { year, month, day, from_end, hour, minute, second, .. } = &self.date_time;
        let before_day = if *from_end { "~" } else { "-" };
        let (year, month, day) = (Part(year, 4), Part(month, 2), Part(day, 2));
        let (hour, minute, second) = (Part(hour, 2), Part(minute, 2), Part(second, 2));
        write!(f, "{year}-{month}{before_day}{day} {hour}:{minute}:{second}")
    }
}

impl Event {
    /// Three or more in a row as a range, from Monday on.
    fn write_weekdays(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |day: usize| day < 7 && self.weekdays >> day & 1 != 0;
        let (mut day, mut separator) = (0, "");
        while day < 7 {
            let length = (day..8).take_while(|day| has(*day)).count();
            match length {
                0 => {
                    day += 1;
                    continue;
                }
                1 | 2 => {
                    write!(f, "{separator}{}", &WEEKDAYS[day][..3])?;
                    day += 1;
                }
                _ => {
                    let (first, last) = (WEEKDAYS[day], WEEKDAYS[day + length - 1]);
                    write!(f, "{separator}{}..{}", &first[..3], &last[..3])?;
                    day += length;
                }
            }
            separator = ",";
        }
        Ok(())
    }
}
