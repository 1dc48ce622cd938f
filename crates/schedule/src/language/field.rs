//! One field of a cron expression: a list of values, ranges, steps and relative days.

use super::days::Relative;
use super::second::Steps;
use super::{MINUTE_US, SECOND_US};
use core::fmt;

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
    Year,
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
            Self::Year => "year",
        }
    }

    /// How much one is: seconds are held in microseconds.
    pub(super) const fn unit(self) -> i64 {
        if matches!(self, Self::Second) { SECOND_US } else { 1 }
    }

    /// Names of values, the first for the least one.
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }
}

/// What a dialect's fields range over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Numbering {
    /// The number of Sunday: 0, or 1 in Quartz.
    pub(super) sunday: i64,
}

impl Numbering {
    /// The least and the largest value of a field; seconds in microseconds.
    pub(super) const fn range(self, kind: Kind) -> (i64, i64) {
        match kind {
            Kind::Second => (0, 59 * SECOND_US),
            Kind::Minute => (0, 59),
            Kind::Hour => (0, 23),
            Kind::DayOfMonth => (1, 31),
            Kind::Month => (1, 12),
            Kind::DayOfWeek => (self.sunday, self.sunday + 6),
            Kind::Year => (1970, 2199),
        }
    }
}

/// A parsed field; printing it gives its canonical form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Field {
    pub(super) kind: Kind,
    pub(super) numbering: Numbering,
    pub(super) elements: Vec<Element>,
}

/// One element of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Element {
    pub(super) base: Base,
    pub(super) step: Option<i64>,
}

/// What a step, if there is one, applies to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Base {
    All,
    /// Quartz's `?`: the other day field decides.
    Unspecified,
    One(i64),
    /// Where the first is larger than the last it goes on from the field's least value.
    Range(i64, i64),
    Relative(RelativeDay),
}

/// A day that is not the same number in every month; weekdays count from Sunday as 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RelativeDay {
    /// `L`, `L-3`: so many days before the last.
    FromEnd(u8),
    /// `15W`: the weekday nearest to a day.
    Nearest(u8),
    /// `LW`, `L-3W`.
    NearestFromEnd(u8),
    /// `5#3`: the third Friday; from 1.
    Nth(u8, u8),
    /// `5#L` or `5L`: the last Friday.
    LastOf(u8),
}

impl Field {
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

    /// Whether the field is `*` and nothing else (OCPS 1.0 section 6.1).
    pub(super) fn is_star(&self) -> bool {
        matches!(self.elements[..], [Element { base: Base::All, step: None }])
    }

    /// Whether the field is `?` and nothing else.
    pub(super) fn is_unspecified(&self) -> bool {
        matches!(self.elements[..], [Element { base: Base::Unspecified, step: None }])
    }

    /// The values as a bitmap; for fields other than seconds and years. Weekdays count from Sunday
    /// as 0, and relative days are not among them.
    pub(super) fn bits(&self) -> u64 {
        let mut bits = 0;
        for steps in self.progressions() {
            let mut value = steps.first;
            while value <= steps.last {
                let of_week = (value - self.numbering.sunday) % 7;
                bits |= 1 << if self.kind == Kind::DayOfWeek { of_week } else { value };
                value += steps.step;
            }
        }
        bits
    }

    /// The values as arithmetic progressions, without relative days.
    pub(super) fn progressions(&self) -> Vec<Steps> {
        self.elements.iter().flat_map(|element| self.progressions_of(element)).collect()
    }

    /// Adds the days that depend on the month.
    pub(super) fn add_relative(&self, days: &mut Relative) {
        for element in &self.elements {
            let Base::Relative(day) = element.base else { continue };
            match day {
                RelativeDay::FromEnd(n) => days.from_end |= 1 << n,
                RelativeDay::Nearest(n) => days.nearest |= 1 << n,
                RelativeDay::NearestFromEnd(n) => days.nearest_from_end |= 1 << n,
                RelativeDay::Nth(weekday, n) => days.nth[usize::from(n) - 1] |= 1 << weekday,
                RelativeDay::LastOf(weekday) => days.last |= 1 << weekday,
            }
        }
    }

    fn progressions_of(&self, element: &Element) -> Vec<Steps> {
        let (least, largest) = self.numbering.range(self.kind);
        let unit = self.kind.unit();
        // A fraction may follow the 59th second.
        let end = if self.kind == Kind::Second { MINUTE_US - 1 } else { largest };
        let step = element.step.unwrap_or(unit);
        let (first, last) = match element.base {
            Base::Relative(_) => return Vec::new(),
            Base::All | Base::Unspecified if element.step.is_none() => (least, largest),
            Base::All | Base::Unspecified => (least, end),
            Base::One(value) if element.step.is_none() => (value, value),
            Base::One(value) => (value, end.max(value)),
            Base::Range(from, to) if from > to => {
                let size = largest - least + unit;
                let values = (0..).map(|n| from + n * step).take_while(|value| *value <= to + size);
                let single = |value| {
                    let value = least + (value - least) % size;
                    Steps { first: value, step: unit, last: value }
                };
                return values.map(single).collect();
            }
            Base::Range(from, to) => (from, to),
        };
        vec![Steps { first, step, last }]
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, element) in self.elements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match element.base {
                Base::All => f.write_str("*")?,
                Base::Unspecified => f.write_str("?")?,
                Base::One(one) => write_value(f, self.kind, one)?,
                Base::Range(from, to) => {
                    write_value(f, self.kind, from)?;
                    f.write_str("-")?;
                    write_value(f, self.kind, to)?;
                }
                Base::Relative(day) => self.write_relative(f, day)?,
            }
            if let Some(step) = element.step {
                f.write_str("/")?;
                write_value(f, self.kind, step)?;
            }
        }
        Ok(())
    }
}

impl Field {
    fn write_relative(&self, f: &mut fmt::Formatter<'_>, day: RelativeDay) -> fmt::Result {
        let sunday = self.numbering.sunday;
        let from_end = |f: &mut fmt::Formatter<'_>, n: u8| match n {
            0 => f.write_str("L"),
            n => write!(f, "L-{n}"),
        };
        match day {
            RelativeDay::FromEnd(n) => from_end(f, n),
            RelativeDay::Nearest(n) => write!(f, "{n}W"),
            RelativeDay::NearestFromEnd(n) => {
                from_end(f, n)?;
                f.write_str("W")
            }
            RelativeDay::Nth(weekday, n) => write!(f, "{}#{n}", i64::from(weekday) + sunday),
            // Quartz knows only this way to write it, and OCPS recommends the other.
            RelativeDay::LastOf(weekday) if sunday == 1 => write!(f, "{}L", weekday + 1),
            RelativeDay::LastOf(weekday) => write!(f, "{weekday}#L"),
        }
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, kind: Kind, value: i64) -> fmt::Result {
    let (whole, fraction) = (value / kind.unit(), value % kind.unit());
    write!(f, "{whole}")?;
    if fraction != 0 {
        write!(f, ".{}", format!("{fraction:06}").trim_end_matches('0'))?;
    }
    Ok(())
}
