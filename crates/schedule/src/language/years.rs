//! Which years match.

use super::phrase::and;
use super::second::Steps;

/// The years that a search visits; they cover every `Timestamp` in every zone.
pub(super) const YEAR_MIN: i64 = 1677;
pub(super) const YEAR_MAX: i64 = 2263;
const WORDS: usize = ((YEAR_MAX - YEAR_MIN) / 64 + 1) as usize;

/// A set of years; most expressions name all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Years(Option<Box<[u64; WORDS]>>);

impl Years {
    /// The union of progressions of years.
    pub(super) fn new(parts: &[Steps]) -> Self {
        let mut words = [0; WORDS];
        for part in parts {
            let mut year = part.first;
            while year <= part.last {
                if let Some(bit) = bit(year) {
                    words[bit / 64] |= 1 << (bit % 64);
                }
                year += part.step;
            }
        }
        Self(Some(Box::new(words)))
    }

    /// Whether the year matches.
    pub(super) fn has(&self, year: i64) -> bool {
        let Some(words) = &self.0 else { return true };
        bit(year).is_some_and(|bit| words[bit / 64] >> (bit % 64) & 1 != 0)
    }

    /// The years as `2027, 2030 to 2032`, if not all are meant; at most ten, then their number.
    pub(super) fn shown(&self) -> Option<String> {
        const SHOWN: usize = 10;
        self.0.as_ref()?;
        let years: Vec<i64> = (YEAR_MIN..=YEAR_MAX).filter(|year| self.has(*year)).collect();
        let mut parts: Vec<String> = Vec::new();
        for run in years.chunk_by(|a, b| a + 1 == *b) {
            match run {
                [first, _, .., last] => parts.push(format!("{first} to {last}")),
                few => parts.extend(few.iter().map(i64::to_string)),
            }
        }
        if parts.len() > SHOWN {
            let (first, last) = (years[0], years[years.len() - 1]);
            return Some(format!("{} years from {first} to {last}", years.len()));
        }
        Some(and(&parts))
    }
}

fn bit(year: i64) -> Option<usize> {
    (YEAR_MIN..=YEAR_MAX).contains(&year).then(|| (year - YEAR_MIN) as usize)
}
