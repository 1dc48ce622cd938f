//! Which microseconds of a minute an expression names.

use super::{MINUTE_US, SECOND_US};

/// A set of microseconds within a minute: whole seconds as a bitmap, fractions as progressions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Seconds {
    /// Bit n is second n.
    whole: u64,
    /// Values that no bitmap of seconds can hold.
    steps: Box<[Steps]>,
    /// How many distinct values there are; at least one.
    count: u64,
}

/// An arithmetic progression: `first`, `first + step`, … up to `last`, in microseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Steps {
    pub(super) first: i64,
    /// Above zero.
    pub(super) step: i64,
    pub(super) last: i64,
}

impl Steps {
    /// The first value that is at least `at`.
    fn next(&self, at: i64) -> Option<i64> {
        if at <= self.first {
            return Some(self.first);
        }
        let value = self.first + (at - self.first + self.step - 1) / self.step * self.step;
        (value <= self.last).then_some(value)
    }

    /// The last value that is at most `at`.
    fn previous(&self, at: i64) -> Option<i64> {
        (at >= self.first)
            .then(|| self.first + (at.min(self.last) - self.first) / self.step * self.step)
    }

    /// How many values are less than `at`.
    fn count_below(&self, at: i64) -> i64 {
        if at <= self.first { 0 } else { (at.min(self.last + 1) - self.first - 1) / self.step + 1 }
    }

    fn is_whole(&self) -> bool {
        self.first % SECOND_US == 0 && (self.step % SECOND_US == 0 || self.first == self.last)
    }
}

impl Seconds {
    /// Second 0 only: what an expression without seconds means.
    pub(super) fn zero() -> Self {
        Self { whole: 1, steps: Box::default(), count: 1 }
    }

    /// The union of progressions, of which there is at least one. `Err` gives two neighbours of it
    /// that are less than `apart` from each other (the second may be of the next minute).
    pub(super) fn new(parts: &[Steps], apart: i64) -> Result<Self, (i64, i64)> {
        let mut whole = 0;
        let mut steps = Vec::new();
        for part in parts {
            if part.is_whole() {
                let mut value = part.first;
                while value <= part.last {
                    whole |= 1 << (value / SECOND_US);
                    value += part.step;
                }
            } else if !steps.contains(part) {
                steps.push(*part);
            }
        }
        let mut seconds = Self { whole, steps: steps.into_boxed_slice(), count: 0 };
        seconds.count = seconds.count_spaced(apart)?;
        Ok(seconds)
    }

    /// Counts the values and checks their distances; at most `MINUTE_US / apart + 1` steps.
    fn count_spaced(&self, apart: i64) -> Result<u64, (i64, i64)> {
        if self.steps.is_empty() {
            return Ok(u64::from(self.whole.count_ones()));
        }
        let first = self.next(0).expect("a field has at least one value");
        let (mut last, mut count) = (first, 1);
        while let Some(value) = self.next(last + 1) {
            if value - last < apart {
                return Err((last, value));
            }
            (last, count) = (value, count + 1);
        }
        if first + MINUTE_US - last < apart { Err((last, first)) } else { Ok(count) }
    }

    /// The first value that is at least `at`.
    pub(super) fn next(&self, at: i64) -> Option<i64> {
        let second = (at + SECOND_US - 1) / SECOND_US;
        let rest = if second < 60 { self.whole & (!0 << second) } else { 0 };
        let whole = (rest != 0).then(|| i64::from(rest.trailing_zeros()) * SECOND_US);
        self.steps.iter().filter_map(|steps| steps.next(at)).chain(whole).min()
    }

    /// The last value that is at most `at`, which is within the minute.
    pub(super) fn previous(&self, at: i64) -> Option<i64> {
        let rest = self.whole & (!0 >> (63 - at / SECOND_US));
        let whole = (rest != 0).then(|| i64::from(63 - rest.leading_zeros()) * SECOND_US);
        self.steps.iter().filter_map(|steps| steps.previous(at)).chain(whole).max()
    }

    /// The first values, at most so many.
    pub(super) fn values(&self, most: usize) -> Vec<i64> {
        let mut values = Vec::new();
        let mut from = 0;
        while let (true, Some(value)) = (values.len() < most, self.next(from)) {
            values.push(value);
            from = value + 1;
        }
        values
    }

    /// The progressions that are no whole seconds, and the bitmap of those that are.
    pub(super) fn parts(&self) -> (&[Steps], u64) {
        (&self.steps, self.whole)
    }

    /// How many values there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many values are less than `at`, which is within the minute.
    pub(super) fn count_below(&self, at: i64) -> u64 {
        match (&*self.steps, self.whole) {
            _ if at == 0 => 0,
            ([], whole) => {
                let second = (at + SECOND_US - 1) / SECOND_US;
                u64::from((whole & !(u64::MAX << second)).count_ones())
            }
            ([steps], 0) => steps.count_below(at) as u64,
            // Progressions may share values, so they are walked; a minute has at most 60,000.
            _ => {
                let mut count = 0;
                let mut from = 0;
                while let Some(value) = self.next(from).filter(|value| *value < at) {
                    count += 1;
                    from = value + 1;
                }
                count
            }
        }
    }
}
