//! The parts of RRULE: `FREQ=MONTHLY;BYDAY=-1FR`.

use super::super::error::ParseError;
use super::super::moment::{Moment, basic};
use super::Frequency;

const FREQUENCIES: [(&str, Frequency); 7] = [
    ("YEARLY", Frequency::Yearly),
    ("MONTHLY", Frequency::Monthly),
    ("WEEKLY", Frequency::Weekly),
    ("DAILY", Frequency::Daily),
    ("HOURLY", Frequency::Hourly),
    ("MINUTELY", Frequency::Minutely),
    ("SECONDLY", Frequency::Secondly),
];
const WEEKDAYS: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];
const NAMES: [&str; 14] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "WKST",
    "BYMONTH",
    "BYWEEKNO",
    "BYYEARDAY",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSECOND",
    "BYSETPOS",
];
/// Most elements of one list.
const LISTED_MAX: usize = 60;
const INTERVAL_MAX: i64 = 1_000_000;

/// The parts as they are written.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) frequency: Frequency,
    pub(super) interval: i64,
    pub(super) count: Option<u64>,
    pub(super) until: Option<Moment>,
    pub(super) week_start: u32,
    pub(super) months: u16,
    pub(super) week_numbers: Box<[i16]>,
    pub(super) year_days: Box<[i16]>,
    pub(super) month_days: u32,
    pub(super) month_days_from_end: u32,
    pub(super) weekdays: u8,
    pub(super) nth_weekdays: Box<[(i16, u8)]>,
    pub(super) hours: u32,
    pub(super) minutes: u64,
    pub(super) seconds: u64,
    pub(super) positions: Box<[i16]>,
    /// The parts but UNTIL, as they are printed.
    printed: Vec<(&'static str, String)>,
}

impl Parts {
    /// Parses what follows `RRULE:`.
    pub(super) fn parse(text: &str, at: usize) -> Result<Self, ParseError> {
        let mut parts = Self {
            frequency: Frequency::Yearly,
            interval: 1,
            count: None,
            until: None,
            week_start: 1,
            months: 0,
            week_numbers: Box::default(),
            year_days: Box::default(),
            month_days: 0,
            month_days_from_end: 0,
            weekdays: 0,
            nth_weekdays: Box::default(),
            hours: 0,
            minutes: 0,
            seconds: 0,
            positions: Box::default(),
            printed: Vec::new(),
        };
        let mut position = at;
        for part in text.split(';') {
            if !part.is_empty() {
                parts.take(part, position)?;
            }
            position += part.len() + 1;
        }
        parts.check(at)?;
        Ok(parts)
    }

    /// The parts in one order, with UNTIL as this local time.
    pub(super) fn canonical(&self, until: Option<i64>) -> String {
        let mut printed: Vec<String> = Vec::new();
        for name in NAMES {
            match (name, until) {
                ("UNTIL", Some(until)) => printed.push(format!("UNTIL={}", basic(until))),
                _ => {
                    let part = self.printed.iter().find(|(known, _)| *known == name);
                    printed.extend(part.map(|(name, value)| format!("{name}={value}")));
                }
            }
        }
        printed.join(";")
    }

    fn take(&mut self, part: &str, at: usize) -> Result<(), ParseError> {
        let upper = part.to_ascii_uppercase();
        let (name, value) = upper.split_once('=').unwrap_or((&upper, ""));
        let known = NAMES.iter().find(|known| **known == name).copied().ok_or_else(|| {
            let message = format!("`{name}` is no part of a rule; expected {}", NAMES.join(", "));
            ParseError::new(at, message).suggest_near(name, &NAMES)
        })?;
        if self.printed.iter().any(|(given, _)| *given == known) {
            return Err(ParseError::new(at, format!("{known} is given twice")));
        }
        let reader = Reader { name: known, at: at + part.len() - value.len() };
        let mut printed = None;
        match known {
            "FREQ" => {
                let found = FREQUENCIES.iter().find(|(name, _)| *name == value);
                let names = FREQUENCIES.map(|(name, _)| name);
                self.frequency = found.map(|(_, frequency)| *frequency).ok_or_else(|| {
                    reader.refused(value, &names.join(", ")).suggest_near(value, &names)
                })?;
            }
            "INTERVAL" => self.interval = reader.number(value, 1, INTERVAL_MAX)?,
            "COUNT" => self.count = Some(reader.number(value, 1, i64::from(u32::MAX))? as u64),
            "UNTIL" => {
                let moment = Moment::parse_basic(value, reader.at)?;
                if !value.contains('T') {
                    let message = "UNTIL needs a time, as DTSTART has one";
                    let whole_day = format!("UNTIL={value}T235959");
                    return Err(ParseError::new(reader.at, message).suggest(whole_day));
                }
                self.until = Some(moment);
            }
            "WKST" => self.week_start = u32::from(reader.weekday(value)?),
            "BYDAY" => printed = Some(self.take_days(reader, value)?),
            _ => printed = Some(self.take_list(reader, value)?),
        }
        self.printed.push((known, printed.unwrap_or_else(|| value.to_owned())));
        Ok(())
    }

    fn take_days(&mut self, reader: Reader, value: &str) -> Result<String, ParseError> {
        let mut nth = Vec::new();
        reader.check_length(value)?;
        for text in value.split(',') {
            let Some(split) =
                text.len().checked_sub(2).filter(|split| text.is_char_boundary(*split))
            else {
                return Err(reader.refused(text, "weekdays as MO, 2TU or -1FR"));
            };
            let (number, weekday) = text.split_at(split);
            let weekday = reader.weekday(weekday)?;
            if number.is_empty() {
                self.weekdays |= 1 << weekday;
            } else {
                nth.push((reader.number(number, -53, 53)? as i16, weekday));
            }
        }
        nth.sort_unstable();
        nth.dedup();
        let mut shown: Vec<String> =
            nth.iter().map(|(n, day)| format!("{n}{}", WEEKDAYS[usize::from(*day)])).collect();
        let plain = (0..7).filter(|day| self.weekdays >> day & 1 != 0);
        shown.extend(plain.map(|day| WEEKDAYS[day].to_owned()));
        self.nth_weekdays = nth.into();
        Ok(shown.join(","))
    }

    fn take_list(&mut self, reader: Reader, value: &str) -> Result<String, ParseError> {
        let (least, largest) = match reader.name {
            "BYMONTH" => (1, 12),
            "BYWEEKNO" => (-53, 53),
            "BYMONTHDAY" => (-31, 31),
            "BYHOUR" => (0, 23),
            "BYMINUTE" | "BYSECOND" => (0, 59),
            _ => (-366, 366),
        };
        reader.check_length(value)?;
        let mut numbers: Vec<i16> = value
            .split(',')
            .map(|text| Ok(reader.number(text, least, largest)? as i16))
            .collect::<Result<_, ParseError>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        let bits = numbers.iter().filter(|n| **n >= 0).fold(0_u64, |bits, n| bits | 1 << (n % 64));
        let shown: Vec<String> = numbers.iter().map(i16::to_string).collect();
        match reader.name {
            "BYMONTH" => self.months = bits as u16,
            "BYMONTHDAY" => {
                self.month_days = bits as u32;
                let negative = numbers.iter().filter(|n| **n < 0);
                self.month_days_from_end = negative.fold(0, |bits, n| bits | 1 << -n);
            }
            "BYHOUR" => self.hours = bits as u32,
            "BYMINUTE" => self.minutes = bits,
            "BYSECOND" => self.seconds = bits,
            "BYWEEKNO" => self.week_numbers = numbers.into(),
            "BYYEARDAY" => self.year_days = numbers.into(),
            _ => self.positions = numbers.into(),
        }
        Ok(shown.join(","))
    }

    /// Refuses what RFC 5545 section 3.3.10 does, and what is not built.
    fn check(&self, at: usize) -> Result<(), ParseError> {
        use Frequency::{Daily, Monthly, Yearly};
        let given = |name| self.printed.iter().any(|(known, _)| *known == name);
        let frequency = self.frequency;
        let message = if !given("FREQ") {
            "FREQ is missing; expected FREQ=DAILY or another"
        } else if given("COUNT") && given("UNTIL") {
            "COUNT and UNTIL exclude each other"
        } else if given("BYWEEKNO") && frequency != Yearly {
            "BYWEEKNO goes with FREQ=YEARLY only"
        } else if given("BYYEARDAY") && !matches!(frequency, Yearly) && frequency <= Daily {
            "BYYEARDAY does not go with FREQ=MONTHLY, WEEKLY or DAILY"
        } else if given("BYMONTHDAY") && frequency == Frequency::Weekly {
            "BYMONTHDAY does not go with FREQ=WEEKLY"
        } else if !self.nth_weekdays.is_empty() && !matches!(frequency, Yearly | Monthly) {
            "a number before a weekday goes with FREQ=MONTHLY and YEARLY only"
        } else if !self.nth_weekdays.is_empty() && given("BYWEEKNO") {
            "a number before a weekday does not go with BYWEEKNO"
        } else if given("BYSETPOS") && !self.printed.iter().any(|(name, _)| is_by(name)) {
            "BYSETPOS needs another BY part to choose from"
        } else {
            return Ok(());
        };
        Err(ParseError::new(at, message))
    }
}

fn is_by(name: &str) -> bool {
    name.starts_with("BY") && name != "BYSETPOS"
}

/// Reads the value of one part.
#[derive(Clone, Copy)]
struct Reader {
    name: &'static str,
    at: usize,
}

impl Reader {
    fn check_length(self, list: &str) -> Result<(), ParseError> {
        if list.split(',').count() <= LISTED_MAX {
            return Ok(());
        }
        let message = format!("{} lists more than {LISTED_MAX} elements", self.name);
        Err(ParseError::new(self.at, message))
    }

    fn number(self, text: &str, least: i64, largest: i64) -> Result<i64, ParseError> {
        let digits = text.trim_start_matches(['-', '+']);
        let sound = text.len() - digits.len() <= 1
            && (1..=10).contains(&digits.len())
            && digits.bytes().all(|c| c.is_ascii_digit());
        let number = text.parse::<i64>().ok().filter(|_| sound);
        let number = number.filter(|number| (least..=largest).contains(number));
        // Where they count from either end there is no 0.
        number.filter(|number| *number != 0 || least >= 0).ok_or_else(|| {
            let zero = if least < 0 { ", without 0" } else { "" };
            self.refused(text, &format!("{least} to {largest}{zero}"))
        })
    }

    fn weekday(self, text: &str) -> Result<u8, ParseError> {
        let found = WEEKDAYS.iter().position(|name| *name == text);
        found.map(|index| index as u8).ok_or_else(|| self.refused(text, &WEEKDAYS.join(", ")))
    }

    fn refused(self, text: &str, expected: &str) -> ParseError {
        let found = if text.is_empty() { "nothing" } else { text };
        ParseError::new(self.at, format!("found `{found}` in {}; expected {expected}", self.name))
    }
}
