//! Judges what was published against the truth.

use timeball_timebase::{ClockState, Now, Span, Timestamp};

/// A published bound that did not hold the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Violation {
    /// Seconds after the start.
    pub at_s: f64,
    /// Estimate less truth.
    pub error: Span,
    /// What was promised.
    pub half_width: Span,
}

/// True time against a published state: `None` if nothing was promised or the promise holds.
pub(crate) fn check_bound(
    state: &ClockState,
    now: Now,
    truth: Timestamp,
    at_s: f64,
) -> Option<Violation> {
    let reading = state.reading(now);
    let half_width = reading.half_width?;
    let error = reading.estimate - truth;
    (error.abs() > half_width).then_some(Violation { at_s, error, half_width })
}

/// One error a second, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    values: Vec<f64>,
}

impl Errors {
    pub(crate) fn push(&mut self, error: f64) {
        self.values.push(error);
    }

    /// All of them, the first one second after the start.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Root mean square from this second on.
    pub fn rms_from(&self, second: usize) -> f64 {
        let late = self.values.get(second..).unwrap_or_default();
        (late.iter().map(|e| e * e).sum::<f64>() / late.len().max(1) as f64).sqrt()
    }

    /// Largest absolute value from this second on.
    pub fn max_from(&self, second: usize) -> f64 {
        self.values.iter().skip(second).fold(0.0, |max, e| e.abs().max(max))
    }

    /// Median of the absolute values from this second on.
    pub fn median_from(&self, second: usize) -> f64 {
        let mut late: Vec<f64> = self.values.iter().skip(second).map(|e| e.abs()).collect();
        late.sort_by(f64::total_cmp);
        late.get(late.len() / 2).copied().unwrap_or(0.0)
    }

    /// The first second after which the absolute value stays within `limit` for `hold` seconds.
    pub fn settled(&self, limit: f64, hold: usize) -> Option<usize> {
        let mut quiet = 0;
        for (second, error) in self.values.iter().enumerate() {
            quiet = if error.abs() <= limit { quiet + 1 } else { 0 };
            if quiet == hold {
                return Some(second + 1 - hold);
            }
        }
        None
    }
}
