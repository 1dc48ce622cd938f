//! What is worth remembering of a source's path from one run to the next, and what is made of it.
//!
//! Of a bias only the difference to those of other sources was measured; what all have in common is
//! as unknown after a restart as before it. So a remembered bias is where a source's own begins, as
//! uncertain as one of which nothing is known, and what ties it to the other remembered ones is how
//! well their differences are known.

use timeball_timebase::Span;

use super::{BIAS_MEMORY_S, Estimator, seconds};
use crate::sample::Sample;

/// Measurements of a source before its path is worth remembering.
const SAMPLES_MIN: usize = 20;

/// What was learned of the path to a source and of what it adds to its measurements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RememberedPath {
    /// The least round trip; at least zero.
    pub delay_min: Span,
    /// By how much the median round trip exceeds it; at least zero.
    pub queue: Span,
    /// How the source's time differs from what others say, where there were others.
    pub bias: Option<RememberedBias>,
}

/// How a source's measurements differ from what others say, on average.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RememberedBias {
    /// Positive where the source is ahead of the estimate.
    pub bias: Span,
    /// Standard error of its difference to the bias of that other source to which it is known best;
    /// at least zero.
    pub error: Span,
}

/// A remembered bias, until the source's first measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recalled {
    bias: f64,
    variance: f64,
    age_s: f64,
}

impl Estimator {
    /// What is worth remembering of a source's path; `None` while too little is known.
    pub(crate) fn remembered_path(&self, source: usize) -> Option<RememberedPath> {
        let delays = &self.sources.get(source)?.delays;
        if delays.count() < SAMPLES_MIN {
            return None;
        }
        let others = (0..self.sources.len())
            .filter(|&other| other != source && self.sources[other].delays.count() >= SAMPLES_MIN);
        let variances = others.map(|other| self.bank.difference_variance(source, other));
        let bias = variances.reduce(f64::min).map(|variance| RememberedBias {
            bias: seconds(self.bank.bias(source) - self.consensus.shift()),
            error: seconds(variance.sqrt()),
        });
        Some(RememberedPath {
            delay_min: seconds(delays.floor()),
            queue: seconds(delays.scale()),
            bias,
        })
    }

    /// Begins with what was remembered of the path to a source, `age` after it was learned. To be
    /// called before its first measurement.
    pub(crate) fn recall(&mut self, source: usize, path: &RememberedPath, age: Span) {
        let Some(memory) = self.sources.get_mut(source) else { return };
        if memory.last.is_some() {
            return;
        }
        memory.delays.recall(path.delay_min.as_seconds_f64(), path.queue.as_seconds_f64());
        memory.recalled = path.bias.map(|known| Recalled {
            bias: known.bias.as_seconds_f64(),
            variance: known.error.as_seconds_f64().powi(2),
            age_s: age.as_seconds_f64().max(0.0),
        });
    }

    /// Sets the bias that a source begins with to what was remembered of it, and ties it to the
    /// others that are remembered; returns it. Zero where nothing is remembered, or what the first
    /// measurement tells cannot be.
    pub(super) fn begin_with_remembered(&mut self, source: usize, sample: &Sample) -> f64 {
        let Some(known) = self.sources[source].recalled else { return 0.0 };
        if known.bias.abs() > sample.error_margin().as_seconds_f64() {
            self.sources[source].recalled = None;
            return 0.0;
        }
        self.bank.expect_bias(source, known.bias);
        let walked = |of: usize, known: Recalled| {
            known.variance + self.sources[of].bias_variance * known.age_s / BIAS_MEMORY_S
        };
        let own = walked(source, known);
        let enrolled = (0..self.sources.len())
            .filter(|&other| other != source && self.sources[other].bias_variance > 0.0);
        let others = enrolled.filter_map(|other| {
            let known = self.sources[other].recalled?;
            Some((other, known.bias, walked(other, known)))
        });
        let best = others.min_by(|a, b| a.2.total_cmp(&b.2));
        if let Some((other, bias, variance)) = best {
            self.bank.relate(source, other, known.bias - bias, own + variance);
        }
        known.bias
    }
}
