//! Components of systemd's dates and times: `*`, or lists of `FIRST[..LAST][/STEP]`.

use super::SECOND_US;
use super::error::ParseError;
use super::second::Steps;
use core::fmt;

/// Most elements of one list.
const LISTED_MAX: usize = 60;

/// The components of a date and a time.
#[derive(Debug)]
pub(super) struct DateTime {
    pub(super) year: Component,
    pub(super) month: Component,
    pub(super) day: Component,
    /// Whether days count from the month's end, the last as 1.
    pub(super) from_end: bool,
    pub(super) hour: Component,
    pub(super) minute: Component,
    pub(super) second: Component,
    /// Where the seconds are written, as an octet position.
    pub(super) second_at: usize,
}

/// One component; seconds are in microseconds.
#[derive(Debug)]
pub(super) struct Component {
    kind: Kind,
    /// Empty for `*`; sorted, each once.
    elements: Vec<Element>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Element {
    first: i64,
    /// The last value that is reached, if that is not the end of the component.
    last: Option<i64>,
    /// Zero where there is none.
    step: i64,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    least: i64,
    /// For seconds the last microsecond of the minute.
    largest: i64,
    unit: i64,
    /// Whether steps go down, toward the least value.
    descending: bool,
}

const fn kind(name: &'static str, least: i64, largest: i64) -> Kind {
    Kind { name, least, largest, unit: 1, descending: false }
}

const YEAR: Kind = kind("year", 1970, 2199);
const MONTH: Kind = kind("month", 1, 12);
const DAY: Kind = kind("day", 1, 31);
const HOUR: Kind = kind("hour", 0, 23);
const MINUTE: Kind = kind("minute", 0, 59);
/// Not more than every month has.
const DAY_FROM_END: Kind = Kind { descending: true, ..kind("day", 1, 28) };
const SECOND: Kind = Kind { unit: SECOND_US, ..kind("second", 0, 60 * SECOND_US - 1) };

impl DateTime {
    /// What is meant where neither date nor time is written.
    pub(super) fn midnight_of_every_day() -> Self {
        Self {
            year: Component::any(YEAR),
            month: Component::any(MONTH),
            day: Component::any(DAY),
            from_end: false,
            hour: Component::zero(HOUR),
            minute: Component::zero(MINUTE),
            second: Component::zero(SECOND),
            second_at: 0,
        }
    }

    /// Reads `[YEAR-]MONTH-DAY` or `[YEAR-]MONTH~DAY`.
    pub(super) fn parse_date(&mut self, text: &str, at: usize) -> Result<(), ParseError> {
        let split = text.rfind(['-', '~']).expect("the caller found one of them");
        let (before, day) = (&text[..split], &text[split + 1..]);
        self.from_end = text.as_bytes()[split] == b'~' && day != "*";
        let kind = if self.from_end { DAY_FROM_END } else { DAY };
        self.day = Component::parse(kind, day, at + split + 1)?;
        let (year, month) = match before.split_once('-') {
            Some((year, month)) => (Some(year), month),
            None => (None, before),
        };
        if let Some(extra) = month.find(['-', '~']) {
            let position = at + split - month.len() + extra;
            let message = "a date is YEAR-MONTH-DAY, MONTH-DAY, or with `~` before the day";
            return Err(ParseError::new(position, message));
        }
        self.month = Component::parse(MONTH, month, at + split - month.len())?;
        if let Some(year) = year {
            self.year = Component::parse(YEAR, year, at)?;
        }
        Ok(())
    }

    /// Reads `HOUR:MINUTE[:SECOND]`.
    pub(super) fn parse_time(&mut self, text: &str, at: usize) -> Result<(), ParseError> {
        let parts: Vec<&str> = text.split(':').collect();
        let (hour, minute, second) = match parts[..] {
            [hour, minute] => (hour, minute, None),
            [hour, minute, second] => (hour, minute, Some(second)),
            _ => {
                let message = "a time is HOUR:MINUTE or HOUR:MINUTE:SECOND";
                return Err(ParseError::new(at, message));
            }
        };
        self.hour = Component::parse(HOUR, hour, at)?;
        let minute_at = at + hour.len() + 1;
        self.minute = Component::parse(MINUTE, minute, minute_at)?;
        if let Some(second) = second {
            self.second_at = minute_at + minute.len() + 1;
            self.second = Component::parse(SECOND, second, self.second_at)?;
        }
        Ok(())
    }
}

impl Component {
    fn any(kind: Kind) -> Self {
        Self { kind, elements: Vec::new() }
    }

    fn zero(kind: Kind) -> Self {
        Self { kind, elements: vec![Element { first: 0, last: None, step: 0 }] }
    }

    /// Whether it is `*`.
    pub(super) fn is_any(&self) -> bool {
        self.elements.is_empty()
    }

    /// The values as a bitmap; not for years and seconds.
    pub(super) fn bits(&self) -> u64 {
        let mut bits = 0;
        for Steps { first, step, last } in self.progressions() {
            let mut value = first;
            while value <= last {
                bits |= 1 << value;
                value += step;
            }
        }
        bits
    }

    /// The values as a bitmap where they count down, so that a range begins with its largest.
    pub(super) fn bits_from_last(&self) -> u64 {
        if self.is_any() {
            return self.bits();
        }
        let mut bits = 0;
        for Element { first, last, step } in &self.elements {
            let (mut value, least) = match (last, step) {
                (Some(last), _) => (*last, *first),
                (None, 0) => (*first, *first),
                (None, _) => (*first, 1),
            };
            while value >= least {
                bits |= 1 << value;
                value -= (*step).max(1);
            }
        }
        bits
    }

    /// The values as arithmetic progressions.
    pub(super) fn progressions(&self) -> Vec<Steps> {
        let Kind { least, largest, unit, .. } = self.kind;
        if self.is_any() {
            // Every whole second, not every microsecond.
            return vec![Steps { first: least, step: unit, last: largest / unit * unit }];
        }
        let steps = |element: &Element| {
            let Element { first, last, step } = *element;
            let end = if step == 0 { first } else { largest };
            let step = if step == 0 { unit } else { step };
            Steps { first, step, last: last.unwrap_or(end) }
        };
        self.elements.iter().map(steps).collect()
    }

    fn parse(kind: Kind, text: &str, at: usize) -> Result<Self, ParseError> {
        if text == "*" {
            return Ok(Self::any(kind));
        }
        let mut elements = Vec::new();
        let mut position = at;
        for part in text.split(',') {
            if elements.len() == LISTED_MAX {
                let message = format!("the {} lists more than {LISTED_MAX} elements", kind.name);
                return Err(ParseError::new(position, message));
            }
            elements.push(kind.element(part, position)?);
            position += part.len() + 1;
        }
        elements.sort();
        elements.dedup();
        Ok(Self { kind, elements })
    }
}

impl Kind {
    fn element(self, text: &str, at: usize) -> Result<Element, ParseError> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (text, None),
        };
        let (from, to) = match range.split_once("..") {
            Some((from, to)) => (from, Some(to)),
            None => (range, None),
        };
        let first = self.value(from, at)?;
        let last = to.map(|to| self.value(to, at + from.len() + 2)).transpose()?;
        let step_at = at + range.len() + 1;
        let step = step.map(|step| self.step(step, step_at, first, last)).transpose()?;
        let Some(last) = last else {
            return Ok(Element { first, last: None, step: step.unwrap_or(0) });
        };
        if first > last {
            let message = format!("the range {range} of the {} runs backwards", self.name);
            return Err(ParseError::new(at, message));
        }
        // The last value that is reached, so that the form is the normalized one.
        let stride = step.unwrap_or(self.unit);
        let reached = first + (last - first) / stride * stride;
        Ok(match reached == first {
            true => Element { first, last: None, step: 0 },
            false => Element { first, last: Some(reached), step: step.unwrap_or(self.unit) },
        })
    }

    fn value(self, text: &str, at: usize) -> Result<i64, ParseError> {
        let value = self.number(text, at)?;
        // Years of two digits are of 1970 to 2069, as systemd takes them.
        let value = match (self.least, value) {
            (1970, 0..70) => value + 2000,
            (1970, 70..100) => value + 1900,
            _ => value,
        };
        if (self.least..=self.largest).contains(&value) {
            return Ok(value);
        }
        let (least, largest) = (self.least / self.unit, self.largest / self.unit);
        let message =
            format!("{text} is out of range for the {}; expected {least} to {largest}", self.name);
        Err(ParseError::new(at, message))
    }

    fn step(self, text: &str, at: usize, first: i64, last: Option<i64>) -> Result<i64, ParseError> {
        let step = self.number(text, at)?;
        let second = if self.descending { first - step } else { first + step };
        let beyond = last.is_none() && !(self.least..=self.largest).contains(&second);
        if step > 0 && !beyond {
            return Ok(step);
        }
        let message = match step {
            0 => format!("the step of the {} is 0; expected a step above 0", self.name),
            _ => format!("a step of {text} leaves only one value of the {}", self.name),
        };
        Err(ParseError::new(at, message))
    }

    /// A number in the component's unit; seconds may have fractions, rounded to a microsecond.
    fn number(self, text: &str, at: usize) -> Result<i64, ParseError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if self.unit == SECOND_US => (whole, Some(fraction)),
            _ => (text, None),
        };
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        if !digits(whole) || whole.len() > 9 || !fraction.is_none_or(digits) {
            let found = if text.is_empty() { "nothing" } else { text };
            let message = format!(
                "found `{found}` in the {}; expected `*`, numbers, ranges as 1..5 and steps as 0/5",
                self.name
            );
            return Err(ParseError::new(at, message));
        }
        let value = whole.parse::<i64>().expect("nine digits are a number") * self.unit;
        let fraction = fraction.map_or(0, |fraction| {
            let seven: String = fraction.chars().chain("0000000".chars()).take(7).collect();
            (seven.parse::<i64>().expect("seven digits are a number") + 5) / 10
        });
        Ok(value + fraction)
    }
}

/// A component as systemd writes it, numbers with at least so many digits.
pub(super) struct Part<'c>(pub(super) &'c Component, pub(super) usize);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Component { kind, elements }, width) = self;
        if elements.is_empty() {
            return f.write_str("*");
        }
        let write = |f: &mut fmt::Formatter<'_>, value: i64, width: usize| {
            write!(f, "{:0width$}", value / kind.unit)?;
            match value % kind.unit {
                0 => Ok(()),
                fraction => write!(f, ".{fraction:06}"),
            }
        };
        for (index, Element { first, last, step }) in elements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write(f, *first, *width)?;
            if let Some(last) = last {
                f.write_str("..")?;
                write(f, *last, *width)?;
            }
            if *step != 0 && !(last.is_some() && *step == kind.unit) {
                f.write_str("/")?;
                write(f, *step, 1)?;
            }
        }
        Ok(())
    }
}
