//! Intervals of rates, and how far an oscillator's rate may move.

use timeball_timebase::{Frequency, Interval, Span};

use crate::engine::interval::{Ageing, Walk};

/// Faster or slower than this is no oscillator, but a raw clock that jumped or stood still.
const RATE_MAX: f64 = 0.01;
/// What a bad oscillator does, of which nothing is known.
const RATE_UNKNOWN: f64 = 500e-6;

/// An interval of rates of true time against the raw clock, as ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RateInterval {
    pub(super) lowest: f64,
    pub(super) highest: f64,
    /// For how long the rate has walked at random by what both ends allow for.
    pub(super) walked: Span,
}

/// How far an oscillator's rate moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changes {
    /// It stays this near to what it was on average over any of the last hours.
    pub(super) allowance: f64,
    /// Besides, it walks at random: power spectral density, 1/s.
    pub(super) wander: f64,
}

impl Changes {
    /// What the rate can be now whose mean over `span`, which ended `age` ago, was in `mean`.
    ///
    /// What is allowed for is no noise: it may all be used up on the side that the walk goes to.
    pub(super) fn since(&self, mean: RateInterval, age: Span, span: Span) -> RateInterval {
        let walked = age.max(Span::ZERO) + span / 3;
        let walk = Walk { wander: self.wander, lasted: Span::ZERO };
        let by = self.allowance + walk.further(walked);
        RateInterval { walked, ..mean.widened(by) }
    }
}

impl RateInterval {
    pub(super) const POSSIBLE: Self = Self::new(-RATE_MAX, RATE_MAX);
    pub(super) const UNKNOWN: Self = Self::new(-RATE_UNKNOWN, RATE_UNKNOWN);

    pub(super) const fn new(lowest: f64, highest: f64) -> Self {
        Self { lowest, highest, walked: Span::ZERO }
    }

    pub(super) fn around(centre: f64, half: f64) -> Self {
        Self::new(centre - half, centre + half)
    }

    pub(super) fn intersection(&self, other: &Self) -> Option<Self> {
        let low = if other.lowest > self.lowest { other } else { self };
        let high = if other.highest < self.highest { other } else { self };
        (low.lowest <= high.highest).then(|| Self {
            lowest: low.lowest,
            highest: high.highest,
            walked: low.walked.min(high.walked),
        })
    }

    /// Whether all of the other is in it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        self.lowest <= other.lowest && other.highest <= self.highest
    }

    /// The smallest that holds both.
    pub(super) fn hull(&self, other: &Self) -> Self {
        let low = if other.lowest < self.lowest { other } else { self };
        let high = if other.highest > self.highest { other } else { self };
        let walked = low.walked.min(high.walked);
        Self { lowest: low.lowest, highest: high.highest, walked }
    }

    pub(super) fn widened(&self, by: f64) -> Self {
        Self { lowest: self.lowest - by, highest: self.highest + by, ..*self }
    }

    /// The same after the rate has walked on.
    pub(super) fn later(&self, by: Span, wander: f64) -> Self {
        let walk = Walk { wander, lasted: self.walked };
        let by = by.max(Span::ZERO);
        Self { walked: self.walked + by, ..self.widened(walk.further(by)) }
    }

    /// How a promise ages by it.
    pub(super) fn ageing(&self) -> Ageing {
        let middle = self.lowest / 2.0 + self.highest / 2.0;
        let drift = Frequency::from_ratio_f64(middle).unwrap_or_default();
        let growth = self.highest - drift.as_ratio_f64();
        // What rounding took.
        let growth = Frequency::from_ratio_f64(growth).unwrap_or_default();
        Ageing { drift, growth: growth + Frequency::from_femto(1) }
    }

    /// As a nanosecond for each 10^-15, which the vote is held on.
    pub(super) fn as_interval(&self) -> Interval {
        let span = |ratio: f64| {
            Span::from_nanos(Frequency::from_ratio_f64(ratio).unwrap_or_default().as_femto())
        };
        Interval { earliest: span(self.lowest), latest: span(self.highest) }
    }

    pub(super) fn from_interval(interval: Interval, walked: Span) -> Self {
        let ratio = |span: Span| Frequency::from_femto(span.as_nanos()).as_ratio_f64();
        Self { lowest: ratio(interval.earliest), highest: ratio(interval.latest), walked }
    }
}

/// What all pairs of so many pieces of knowledge, oldest first, tell together, and how many of the
/// oldest contradict what the newer ones tell: those count no more. Each pair is asked what it
/// tells beside what is known so far, and may leave out what all of that lies in.
pub(super) fn of_all_pairs(
    count: usize,
    told_by: impl Fn(usize, usize, &RateInterval) -> Option<RateInterval>,
) -> (RateInterval, usize) {
    let mut known = RateInterval::POSSIBLE;
    for older in (0..count.saturating_sub(1)).rev() {
        for newer in older + 1..count {
            let Some(told) = told_by(older, newer, &known) else { continue };
            let Some(both) = known.intersection(&told) else { return (known, older + 1) };
            known = both;
        }
    }
    (known, 0)
}
