//! What a world writes down while it runs.

/// One value a tick, the first one a tick after the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    tick_s: i64,
    values: Vec<f64>,
}

impl Series {
    pub(crate) fn new(tick_s: i64) -> Self {
        Self { tick_s, values: Vec::new() }
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// All of them.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Those from this second on.
    pub fn from_s(&self, second: i64) -> &[f64] {
        let first = usize::try_from(second / self.tick_s).unwrap_or(0);
        self.values.get(first..).unwrap_or_default()
    }

    /// Root mean square from this second on.
    pub fn rms_from(&self, second: i64) -> f64 {
        let late = self.from_s(second);
        (late.iter().map(|value| value * value).sum::<f64>() / late.len().max(1) as f64).sqrt()
    }

    /// Largest absolute value from this second on.
    pub fn max_from(&self, second: i64) -> f64 {
        self.from_s(second).iter().fold(0.0, |max, value| value.abs().max(max))
    }

    /// Median of the absolute values from this second on.
    pub fn median_from(&self, second: i64) -> f64 {
        median(self.from_s(second).iter().map(|value| value.abs()).collect())
    }

    /// The first second after `start_s` from which on the absolute value stays within `limit` for
    /// `hold_s` seconds.
    pub fn settled_after(&self, start_s: i64, limit: f64, hold_s: i64) -> Option<i64> {
        let hold = hold_s / self.tick_s;
        let mut quiet = 0;
        for (tick, value) in (0_i64..).zip(self.from_s(start_s)) {
            quiet = if value.abs() <= limit { quiet + 1 } else { 0 };
            if quiet == hold {
                return Some((tick + 1 - hold) * self.tick_s);
            }
        }
        None
    }
}

/// The middle value; zero of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Everything that is written down. In seconds, a tick apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// System clock less true time.
    pub clock_errors: Series,
    /// Published estimate less true time; zero while there is none.
    pub estimate_errors: Series,
    /// Published half width of the bound; infinite while unknown.
    pub half_widths: Series,
    /// Half the length of all that true time can be by what is published; infinite while unknown.
    pub half_lengths: Series,
    /// Half width that somebody could promise who knows the oscillator ([`crate::Exchange`] tells
    /// how); infinite while a majority has not answered.
    pub floors: Series,
    /// The same of somebody who must allow for the rate changing by the engine's drift allowance.
    pub allowing_floors: Series,
    /// The system clock's rate error against true time, as a ratio.
    pub rate_errors: Series,
    /// What the raw clock counted more than true time since the start.
    pub raw_errors: Series,
}

impl Records {
    pub(crate) fn new(tick_s: i64) -> Self {
        let series = || Series::new(tick_s);
        Self {
            clock_errors: series(),
            estimate_errors: series(),
            half_widths: series(),
            half_lengths: series(),
            floors: series(),
            allowing_floors: series(),
            rate_errors: series(),
            raw_errors: series(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_begin_where_they_are_told_to() {
        let mut series = Series::new(2);
        [9.0, -3.0, 4.0, 0.0].into_iter().for_each(|value| series.push(value));
        assert_eq!(series.rms_from(2), (25.0_f64 / 3.0).sqrt());
        assert_eq!(series.max_from(2), 4.0);
        assert_eq!(series.median_from(2), 3.0);
        assert_eq!(series.max_from(100), 0.0);
        assert_eq!(series.settled_after(0, 4.0, 4), Some(2));
        assert_eq!(series.settled_after(0, 4.0, 100), None);
    }
}
