//! One field of a cron expression: a list of values, ranges and steps.

use super::error::ParseError;
use super::second::Steps;
use super::{MINUTE_US, SECOND_US};
use core::fmt;

/// Most elements of one list; every minute of an hour can be listed.
const LISTED_MAX: usize = 60;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Which field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        }
    }

    /// The least and the largest value; seconds in microseconds.
    const fn range(self) -> (i64, i64) {
        match self {
            Self::Second => (0, 59 * SECOND_US),
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 6),
        }
    }

    /// How much one is: seconds are held in microseconds.
    const fn unit(self) -> i64 {
        if matches!(self, Self::Second) { SECOND_US } else { 1 }
    }

    /// Names of values, the first for the least one.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }
}

/// What differs between dialects in the fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grammar {
    /// Whether seconds may have fractions.
    pub(super) fractions: bool,
    /// Whether `5/10` means from 5 to the end in steps of 10.
    pub(super) step_after_number: bool,
    /// Whether a step may be longer than the field.
    pub(super) oversize_step: bool,
    /// Whether 7 is Sunday, as 0 is.
    pub(super) seventh_day: bool,
    /// Whether `?` is another way to write `*`.
    pub(super) question_mark: bool,
}

/// A parsed field; printing it gives its canonical form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Field {
    kind: Kind,
    elements: Vec<Element>,
}

/// One element of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Element {
    base: Base,
    step: Option<i64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Base {
    All,
    One(i64),
    Range(i64, i64),
}

impl Field {
    /// Parses a field that begins at octet `at` of the expression.
    pub(super) fn parse(
        kind: Kind,
        text: &str,
        at: usize,
        grammar: Grammar,
    ) -> Result<Self, ParseError> {
        let mut elements = Vec::new();
        let mut position = at;
        for part in text.split(',') {
            if elements.len() == LISTED_MAX {
                let message =
                    format!("the {} field lists more than {LISTED_MAX} elements", kind.name());
                return Err(ParseError::new(position, message));
            }
            elements.push(Reader { kind, grammar, at: position }.element(part)?);
            position += part.len() + 1;
        }
        Ok(Self { kind, elements })
    }

    /// Whether the field is written with `*` first: Vixie's rule for "any day" and "wildcard".
    pub(super) fn begins_with_star(&self) -> bool {
        self.elements.first().is_some_and(|element| element.base == Base::All)
    }

    /// Whether the field has an element `*` without a step, and so restricts nothing.
    pub(super) fn has_plain_star(&self) -> bool {
        self.elements
            .iter()
            .any(|element| element.base == Base::All && element.step.is_none_or(|step| step == 1))
    }

    /// The values as a bitmap; for fields other than seconds.
    pub(super) fn bits(&self) -> u64 {
        let mut bits = 0;
        for steps in self.progressions() {
            let mut value = steps.first;
            while value <= steps.last {
                // Day 7 of the week is day 0.
                let bit = if self.kind == Kind::DayOfWeek { value % 7 } else { value };
                bits |= 1 << bit;
                value += steps.step;
            }
        }
        bits
    }

    /// The values as arithmetic progressions.
    pub(super) fn progressions(&self) -> Vec<Steps> {
        self.elements.iter().map(|element| element.progression(self.kind)).collect()
    }
}

impl Element {
    fn progression(&self, kind: Kind) -> Steps {
        let (least, largest) = kind.range();
        // A fraction may follow the 59th second.
        let end = if kind == Kind::Second { MINUTE_US - 1 } else { largest };
        let (first, last) = match self.base {
            Base::All if self.step.is_none() => (least, largest),
            Base::All => (least, end),
            Base::One(value) if self.step.is_none() => (value, value),
            Base::One(value) => (value, end.max(value)),
            Base::Range(from, to) => (from, to),
        };
        Steps { first, step: self.step.unwrap_or(kind.unit()), last }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |f: &mut fmt::Formatter<'_>, value: i64| {
            let (whole, fraction) = (value / self.kind.unit(), value % self.kind.unit());
            write!(f, "{whole}")?;
            if fraction != 0 {
                write!(f, ".{}", format!("{fraction:06}").trim_end_matches('0'))?;
            }
            Ok(())
        };
        for (index, element) in self.elements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match element.base {
                Base::All => f.write_str("*")?,
                Base::One(one) => value(f, one)?,
                Base::Range(from, to) => {
                    value(f, from)?;
                    f.write_str("-")?;
                    value(f, to)?;
                }
            }
            if let Some(step) = element.step {
                f.write_str("/")?;
                value(f, step)?;
            }
        }
        Ok(())
    }
}

/// Reads one element of a list.
#[derive(Clone, Copy)]
struct Reader {
    kind: Kind,
    grammar: Grammar,
    at: usize,
}

impl Reader {
    fn element(self, text: &str) -> Result<Element, ParseError> {
        let (base_text, step_text) = match text.split_once('/') {
            Some((base, step)) => (base, Some(step)),
            None => (text, None),
        };
        let base = self.base(base_text)?;
        let Some(step_text) = step_text else {
            self.check_range_of_fractions(base, base_text)?;
            return Ok(Element { base, step: None });
        };
        if matches!(base, Base::One(_)) && !self.grammar.step_after_number {
            let message = "a step follows a range or `*` in this dialect, not a number";
            let end = self.kind.range().1 / self.kind.unit();
            return Err(
                ParseError::new(self.at, message).suggest(format!("{base_text}-{end}/{step_text}"))
            );
        }
        let step = self.step(base, step_text, self.at + base_text.len() + 1)?;
        Ok(Element { base, step: Some(step) })
    }

    fn base(self, text: &str) -> Result<Base, ParseError> {
        match text {
            "*" => return Ok(Base::All),
            "?" if self.grammar.question_mark => {
                if matches!(self.kind, Kind::DayOfMonth | Kind::DayOfWeek) {
                    return Ok(Base::All);
                }
                let message = "`?` is for day of month and day of week only";
                return Err(ParseError::new(self.at, message).suggest("*"));
            }
            "?" => {
                let message = "`?` means nothing in this dialect";
                return Err(ParseError::new(self.at, message).suggest("*"));
            }
            _ => {}
        }
        // A sign would be a range without a beginning; `split_once` finds the first hyphen.
        let Some((from_text, to_text)) = text.split_once('-') else {
            return Ok(Base::One(self.value(text, self.at, false)?));
        };
        let from = self.value(from_text, self.at, false)?;
        let to_at = self.at + from_text.len() + 1;
        let to = self.value(to_text, to_at, true)?;
        if from > to {
            let message =
                format!("the range {text} of the {} field runs backwards", self.kind.name());
            let error = ParseError::new(self.at, message);
            let (least, largest) = self.kind.range();
            return Err(if self.kind == Kind::Second {
                error
            } else if self.kind == Kind::DayOfWeek && to == 0 && self.grammar.seventh_day {
                error.suggest(format!("{from}-7"))
            } else if from == largest {
                error.suggest(format!("{least}-{to},{from}"))
            } else {
                error.suggest(format!("{least}-{to},{from}-{largest}"))
            });
        }
        Ok(Base::Range(from, to))
    }

    /// One value, a number or a name. Sunday ends a range as day 7, so that `FRI-SUN` is one.
    fn value(self, text: &str, at: usize, ends_range: bool) -> Result<i64, ParseError> {
        let (least, largest) = self.kind.range();
        let names = self.kind.names();
        if let Some(index) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            let sunday = ends_range && self.kind == Kind::DayOfWeek && index == 0;
            return Ok(if sunday && self.grammar.seventh_day { 7 } else { least + index as i64 });
        }
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.not_a_value(text, at));
        }
        let value = self.number(text, at)?;
        let seventh = self.kind == Kind::DayOfWeek && self.grammar.seventh_day && value == 7;
        let limit = if self.kind == Kind::Second { MINUTE_US - 1 } else { largest };
        if seventh || (least..=limit).contains(&value) {
            return Ok(value);
        }
        let top =
            if self.kind == Kind::DayOfWeek && self.grammar.seventh_day { 7 } else { largest };
        let message = format!(
            "{text} is out of range for the {} field; expected {} to {}",
            self.kind.name(),
            least,
            top / self.kind.unit()
        );
        Err(ParseError::new(at, message))
    }

    fn not_a_value(self, text: &str, at: usize) -> ParseError {
        let (least, largest) = self.kind.range();
        let (unit, names) = (self.kind.unit(), self.kind.names());
        let found = if text.is_empty() { "nothing" } else { text };
        let or_name = match names {
            [first, .., last] => format!(" or {first} to {last}"),
            _ => String::new(),
        };
        let message = format!(
            "found `{found}` in the {} field; expected `*` or a number from {} to {}{or_name}",
            self.kind.name(),
            least / unit,
            largest / unit
        );
        ParseError::new(at, message).suggest_near(text, names)
    }

    /// A number in the field's unit; seconds may have fractions.
    fn number(self, text: &str, at: usize) -> Result<i64, ParseError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let bad = |offset: usize, message: String| ParseError::new(at + offset, message);
        if let Some(offset) = whole.find(|c: char| !c.is_ascii_digit()) {
            let found = &whole[offset..];
            let expected = if found.starts_with('~') {
                "no random value (set `jitterMilliseconds` for that)"
            } else {
                "a number"
            };
            let message =
                format!("found `{found}` in the {} field; expected {expected}", self.kind.name());
            return Err(bad(offset, message));
        }
        // More digits than these are out of range in any field, and could overflow.
        let value = whole.get(..9).unwrap_or(whole).parse::<i64>().map_err(|_| {
            bad(0, format!("a number is missing in the {} field", self.kind.name()))
        })?;
        let value = if whole.len() > 9 { i64::from(u32::MAX) } else { value };
        let Some(fraction) = fraction else { return Ok(value * self.kind.unit()) };
        if self.kind != Kind::Second || !self.grammar.fractions {
            let message = format!("the {} field takes whole numbers only", self.kind.name());
            return Err(bad(whole.len(), message));
        }
        if fraction.is_empty() || !fraction.bytes().all(|octet| octet.is_ascii_digit()) {
            let message = format!("found `{fraction}` after the point; expected digits");
            return Err(bad(whole.len() + 1, message));
        }
        if fraction.trim_end_matches('0').len() > 6 {
            let message = "the resolution is a microsecond: at most 6 digits after the point";
            return Err(bad(whole.len() + 7, message.to_owned()));
        }
        let digits = format!("{:0<6}", fraction.trim_end_matches('0'));
        Ok(value * SECOND_US + digits.parse::<i64>().expect("six digits are a number"))
    }

    fn step(self, base: Base, text: &str, at: usize) -> Result<i64, ParseError> {
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            let found = if text.is_empty() { "nothing" } else { text };
            let message = format!("found `{found}` after `/`; expected a step above 0");
            return Err(ParseError::new(at, message));
        }
        let step = self.number(text, at)?;
        if step == 0 {
            let message = format!("the step of the {} field is 0", self.kind.name());
            let error = ParseError::new(at, format!("{message}; expected a step above 0"));
            return Err(if self.kind == Kind::Second && self.grammar.fractions {
                error.suggest("*/0.001")
            } else {
                error
            });
        }
        let (least, largest) = self.kind.range();
        let span = match base {
            Base::Range(from, to) => to - from,
            Base::One(_) | Base::All => largest - least,
        };
        let span = if self.kind == Kind::Second { span.max(MINUTE_US - 1) } else { span };
        if step > span.max(1) && !self.grammar.oversize_step {
            let message = format!(
                "a step of {text} leaves only one value of the {} field; expected at most {}",
                self.kind.name(),
                span / self.kind.unit()
            );
            let error = ParseError::new(at, message);
            let milliseconds = self.kind == Kind::Second && self.grammar.fractions;
            return Err(if milliseconds && step < 1_000 * SECOND_US {
                let digits = format!("{:03}", step / SECOND_US);
                error.suggest(format!("*/0.{}", digits.trim_end_matches('0')))
            } else {
                error
            });
        }
        Ok(step)
    }

    /// `0.2-0.8` would be one value where people expect many.
    fn check_range_of_fractions(self, base: Base, text: &str) -> Result<(), ParseError> {
        match base {
            Base::Range(from, to) if from % self.kind.unit() != 0 || to % self.kind.unit() != 0 => {
                let message = format!("the range {text} between fractions needs a step");
                Err(ParseError::new(self.at, message).suggest(format!("{text}/0.1")))
            }
            _ => Ok(()),
        }
    }
}
