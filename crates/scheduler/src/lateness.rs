//! How late fires were: counted in buckets, so that it costs the same after a day as after a
//! minute.

use timeball_api::schedules::{Lateness, LatenessBucket};
use timeball_timebase::Span;

/// Buckets within a doubling: a percentile is exact to 1/16, 6 %.
const STEPS_BITS: u32 = 4;
const STEPS: u64 = 1 << STEPS_BITS;
/// Up to 2^40 ns, 18 minutes; what is later counts as that.
const DOUBLINGS: u32 = 40;
const BUCKETS: usize = (DOUBLINGS as usize) << STEPS_BITS;

/// Upper ends of the buckets that people and Prometheus see, nanoseconds.
pub(crate) const SHOWN_NS: [i64; 18] = [
    1_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    60_000_000_000,
    600_000_000_000,
];

/// A histogram of lateness; early counts as on time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    /// Counts by fine bucket; empty until the first fire.
    fine: Vec<u64>,
    shown: [u64; SHOWN_NS.len() + 1],
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, lateness: Span) {
        let nanos = lateness.as_nanos().max(0).unsigned_abs();
        if self.fine.is_empty() {
            self.fine = vec![0; BUCKETS];
        }
        self.fine[bucket(nanos)] += 1;
        let within = |upper: &i64| nanos <= upper.unsigned_abs();
        let shown = SHOWN_NS.iter().position(within).unwrap_or(SHOWN_NS.len());
        self.shown[shown] += 1;
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(nanos);
        self.max_ns = self.max_ns.max(nanos);
    }

    /// Fires counted.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all lateness, seconds.
    pub(crate) fn sum_s(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Upper ends in seconds, the last infinite, and how many fires lie in each bucket.
    pub(crate) fn buckets_s(&self) -> Vec<(f64, u64)> {
        let ends = SHOWN_NS.iter().map(|ns| *ns as f64 / 1e9).chain([f64::MAX]);
        ends.zip(self.shown).collect()
    }

    /// The lateness that `share` (0 to 1) of the fires did not exceed; `None` before the first.
    pub(crate) fn quantile(&self, share: f64) -> Option<Span> {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let index = self.fine.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let middle = (lower(index) + lower(index + 1)) / 2;
        Some(Span::from_nanos(i64::try_from(middle.min(self.max_ns)).unwrap_or(i64::MAX)))
    }

    /// The form of the API.
    pub(crate) fn report(&self) -> Lateness {
        if self.count == 0 {
            return Lateness::default();
        }
        let uppers = SHOWN_NS.iter().copied().map(Some).chain([None]);
        let buckets = uppers.zip(self.shown);
        Lateness {
            p50_ns: self.quantile(0.5).map(Span::as_nanos),
            p99_ns: self.quantile(0.99).map(Span::as_nanos),
            max_ns: i64::try_from(self.max_ns).ok(),
            histogram: buckets
                .map(|(upper_ns, count)| LatenessBucket { upper_ns, count })
                .collect(),
        }
    }
}

/// The fine bucket of a lateness: which doubling, and which step within it.
fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let doubling = nanos.ilog2();
    let step = (nanos >> (doubling - STEPS_BITS)) & (STEPS - 1);
    let index = (u64::from(doubling - STEPS_BITS + 1) << STEPS_BITS) + step;
    (index as usize).min(BUCKETS - 1)
}

/// The least lateness of a fine bucket.
fn lower(index: usize) -> u64 {
    let (doubling, step) = ((index >> STEPS_BITS) as u32, index as u64 & (STEPS - 1));
    match doubling {
        0 => step,
        _ => (STEPS + step) << (doubling - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lateness_lies_in_its_bucket() {
        for nanos in (0..100_000).chain((0..40).map(|bit| (1 << bit) - 1)) {
            let index = bucket(nanos);
            assert!(lower(index) <= nanos, "{nanos}");
            assert!(nanos < lower(index + 1), "{nanos}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_right_to_a_sixteenth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        assert_eq!(histogram.report(), Lateness::default());
        for micros in 1..=1_000 {
            histogram.add(Span::from_micros(micros));
        }
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (0.001, 1.0)] {
            let found = histogram.quantile(share).unwrap().as_nanos() as f64 / 1_000.0;
            assert!((found / micros - 1.0).abs() < 0.0625, "{share}: {found}");
        }
        histogram.add(Span::from_secs(-1));
        let report = histogram.report();
        assert_eq!(report.max_ns, Some(1_000_000));
        assert_eq!(report.histogram.iter().map(|bucket| bucket.count).sum::<u64>(), 1_001);
        assert_eq!(report.histogram[0], LatenessBucket { upper_ns: Some(1_000), count: 2 });
        assert_eq!(histogram.buckets_s().len(), SHOWN_NS.len() + 1);
    }
}
