//! Reading the parts of a field: values and steps, by a dialect's grammar.

use super::error::ParseError;
use super::field::{Base, Kind, Numbering};
use super::{MINUTE_US, SECOND_US};

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
    /// Whether `SUN` may end a range of weekdays.
    pub(super) sunday_ends_range: bool,
    /// What `?` means.
    pub(super) question_mark: QuestionMark,
    /// Whether `22-2` goes on from the field's least value.
    pub(super) wrapping: bool,
    /// Whether `1,,2` means `1,2`.
    pub(super) empty_elements: bool,
    /// How `L`, `W` and `#` are written, if at all.
    pub(super) relative: Option<Style>,
    /// What `H` means.
    pub(super) seed: Seed,
    /// The number of Sunday.
    pub(super) numbering: Numbering,
}

impl Grammar {
    /// Numbers, names, `*`, lists, ranges and steps, from which the dialects differ.
    pub(super) const PLAIN: Self = Self {
        fractions: false,
        step_after_number: true,
        oversize_step: true,
        seventh_day: true,
        sunday_ends_range: false,
        question_mark: QuestionMark::Refused,
        wrapping: false,
        empty_elements: false,
        relative: None,
        seed: Seed::NotInDialect,
        numbering: Numbering { sunday: 0 },
    };
}

/// What `?` means in a dialect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum QuestionMark {
    /// Nothing.
    Refused,
    /// The same as `*`, in the day fields.
    Star,
    /// That the other day field decides.
    OtherDay,
}

/// How a dialect writes days that are not the same number in every month.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Style {
    /// `L`, `L-3`, `15W`, `LW`, `L-3W`, `6L`, `6#3`; a plain `L` of the week is Saturday.
    Quartz,
    /// `L`, `15W` alone in its field, `5L` or `5#L`, `5#3` (OCPS 1.3).
    Ocps,
    /// All of these but the plain `L` of the week.
    Open,
}

/// What `H` means in an expression.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Seed {
    /// The dialect has no `H`.
    NotInDialect,
    /// The dialect has it, and no seed was given.
    Missing,
    /// What chooses.
    Given(u64),
}

/// Reads one element of a list.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    pub(super) kind: Kind,
    pub(super) grammar: Grammar,
    pub(super) at: usize,
}

impl Reader {
    /// The least and the largest value of the field.
    pub(super) fn range(self) -> (i64, i64) {
        self.grammar.numbering.range(self.kind)
    }

    /// One value, a number or a name. Sunday ends a range as day 7, so that `FRI-SUN` is one.
    pub(super) fn value(self, text: &str, at: usize, ends_range: bool) -> Result<i64, ParseError> {
        let (least, largest) = self.range();
        let names = self.kind.names();
        if let Some(index) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            let sunday = ends_range && self.kind == Kind::DayOfWeek && index == 0;
            let seventh = sunday && self.grammar.sunday_ends_range;
            return Ok(if seventh { 7 } else { least + index as i64 });
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
        let (least, largest) = self.range();
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

    pub(super) fn step(self, base: Base, text: &str, at: usize) -> Result<i64, ParseError> {
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
        let (least, largest) = self.range();
        let span = match base {
            Base::Range(from, to) if from <= to => to - from,
            _ => largest - least,
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
            } else if base == Base::All {
                // A cron without this check takes `*/60` for that one value.
                error.suggest((least / self.kind.unit()).to_string())
            } else {
                error
            });
        }
        Ok(step)
    }
}
