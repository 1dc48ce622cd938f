//! What one source's round trips tell of the oscillator's rate.
//!
//! Every answer puts true time between two ends: the measured offset plus and minus half the round
//! trip, which are the truth plus the way up and the truth less the way back. As long as the
//! shortest way up stays what it is, the upper ends of the two promptest answers of two stretches
//! of time differ by what true time gained on the raw clock in between; so do the lower ends, as
//! long as the shortest way back stays. Nothing is assumed about how long either way is. A route
//! that changes in one direction spoils one of the two differences only, and the hull of both
//! holds the true one; so it does if both ways become longer, or both shorter. Only a source whose
//! ways change against each other at once is wrong here, and then the vote on the rates takes it
//! for what it is to us: false.

use std::collections::VecDeque;

use timeball_timebase::{Frequency, MonoTime, Span};

use super::{Changes, RateInterval};
use crate::sample::Sample;

/// Answers in the shortest stretch: the promptest of fewer tells little.
const STRETCH_ANSWERS: u32 = 8;
/// Stretches of one level that are kept before the oldest two become one of the next level.
const STRETCHES_OF_LEVEL: usize = 3;
/// What the oscillator and the paths were longer ago is not asked any more.
const MEMORY: Span = Span::from_minutes(8 * 60);
/// Both ways' promptest answers of two stretches are later than the shortest possible by this many
/// mean queues over their number with a probability of e^-16.
const QUEUES: f64 = 16.0;

/// The stretches of one source, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct PathRates {
    filling: Option<Stretch>,
    full: VecDeque<Stretch>,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    interval: RateInterval,
    at: MonoTime,
}

/// The promptest answers of a stretch of time.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// The smallest upper and the largest lower end.
    upper: End,
    lower: End,
    ended: MonoTime,
    answers: u32,
    delay_least: Span,
    delay_sum: Span,
    level: u8,
}

/// One end of what one answer tells.
#[derive(Clone, Copy, Debug)]
struct End {
    at: MonoTime,
    offset: Span,
    /// How wrong the server may be by its own word, and reading the clocks.
    doubt: Span,
}

impl PathRates {
    /// Takes an answer; `drift` is about the oscillator's rate. Returns whether there is more to be
    /// told than before.
    pub(super) fn note(&mut self, sample: &Sample, drift: Frequency) -> bool {
        let new = Stretch::of(sample);
        let filling = match self.filling.take() {
            // Answers may overtake each other; the order of stretches is kept.
            Some(filling) => filling.and(&new, drift),
            None => new,
        };
        if filling.answers < STRETCH_ANSWERS {
            self.filling = Some(filling);
            return false;
        }
        self.full.push_back(filling);
        self.merge(drift);
        true
    }

    /// True time is counted anew, this much further on.
    pub(super) fn shift_truth(&mut self, by: Span) {
        for stretch in self.full.iter_mut().chain(&mut self.filling) {
            stretch.upper.offset += by;
            stretch.lower.offset += by;
        }
    }

    /// Finds what is told as of now, by an oscillator that changes its rate no more than so.
    pub(super) fn conclude(&mut self, at: MonoTime, changes: Changes) {
        let mut known = RateInterval::POSSIBLE;
        let mut contradicted = None;
        let mean_queue = self.mean_queue();
        'older: for i in (0..self.full.len().saturating_sub(1)).rev() {
            for j in i + 1..self.full.len() {
                let Some(rate) = self.rate_between(i, j, mean_queue) else { continue };
                let span = self.full[j].ended - self.full[i].ended;
                let rate = rate.widened(changes.since(at - self.full[j].ended, span));
                let Some(both) = known.intersection(&rate) else {
                    contradicted = Some(i);
                    break 'older;
                };
                known = both;
            }
        }
        if let Some(last) = contradicted {
            // The path, the server or the oscillator is another since.
            self.full.drain(..=last);
        }
        self.told = (self.full.len() > 1).then_some(Told { interval: known, at });
    }

    /// The rates that the oscillator can have, if this source's path kept at least one way.
    pub(super) fn interval(&self, at: MonoTime, changes: Changes) -> Option<RateInterval> {
        self.told.map(|told| told.interval.widened(changes.walked(at - told.at)))
    }

    /// `mean_queue` is that of all stretches.
    fn rate_between(&self, i: usize, j: usize, mean_queue: f64) -> Option<RateInterval> {
        let (earlier, later) = (&self.full[i], &self.full[j]);
        let upper = slope(&earlier.upper, &later.upper)?;
        let lower = slope(&earlier.lower, &later.lower)?;
        let span = (later.upper.at - earlier.upper.at).min(later.lower.at - earlier.lower.at);
        let lateness = |stretch: &Stretch| stretch.mean_queue().max(mean_queue);
        let prompt = f64::from(earlier.answers) / lateness(earlier)
            + f64::from(later.answers) / lateness(later);
        let doubts = [earlier.upper, later.upper, earlier.lower, later.lower];
        let doubt: f64 = doubts.iter().map(|end| end.doubt.as_seconds_f64()).sum::<f64>() / 2.0;
        let margin = (QUEUES / prompt + doubt) / span.as_seconds_f64();
        Some(RateInterval { lowest: upper.min(lower), highest: upper.max(lower) }.widened(margin))
    }

    /// Mean queueing delay of both ways together, in seconds.
    fn mean_queue(&self) -> f64 {
        let answers: f64 = self.full.iter().map(|stretch| f64::from(stretch.answers)).sum();
        let queues = |stretch: &Stretch| stretch.mean_queue() * f64::from(stretch.answers);
        self.full.iter().map(queues).sum::<f64>() / answers.max(1.0)
    }

    fn merge(&mut self, drift: Frequency) {
        let mut level = 0;
        loop {
            let first = self.full.iter().position(|stretch| stretch.level == level);
            let count = self.full.iter().filter(|stretch| stretch.level == level).count();
            let Some(first) = first.filter(|_| count > STRETCHES_OF_LEVEL) else { break };
            let (older, newer) = (self.full[first], self.full[first + 1]);
            self.full[first] = Stretch { level: level + 1, ..older.and(&newer, drift) };
            self.full.remove(first + 1);
            level += 1;
        }
        let Some(newest) = self.full.back().map(|stretch| stretch.ended) else { return };
        while self.full.len() > 2 && newest - self.full[0].ended > MEMORY {
            self.full.pop_front();
        }
    }
}

impl Stretch {
    fn of(sample: &Sample) -> Self {
        let half = sample.delay - sample.delay / 2;
        let doubt = sample.error_margin() - half;
        let end = |offset| End { at: sample.at, offset, doubt };
        Self {
            upper: end(sample.offset + half),
            lower: end(sample.offset - half),
            ended: sample.at,
            answers: 1,
            delay_least: sample.delay,
            delay_sum: sample.delay,
            level: 0,
        }
    }

    fn and(&self, later: &Self, drift: Frequency) -> Self {
        let carried = |end: &End, to: &End| end.offset + drift.over(to.at - end.at);
        let is_upper = carried(&self.upper, &later.upper) < later.upper.offset;
        let is_lower = carried(&self.lower, &later.lower) > later.lower.offset;
        Self {
            upper: if is_upper { self.upper } else { later.upper },
            lower: if is_lower { self.lower } else { later.lower },
            ended: self.ended.max(later.ended),
            answers: self.answers.saturating_add(later.answers),
            delay_least: self.delay_least.min(later.delay_least),
            delay_sum: self.delay_sum + later.delay_sum,
            level: self.level.max(later.level),
        }
    }

    fn mean_queue(&self) -> f64 {
        let mean = self.delay_sum / i64::from(self.answers) - self.delay_least;
        mean.max(Span::NANOSECOND).as_seconds_f64()
    }
}

fn slope(earlier: &End, later: &End) -> Option<f64> {
    let span = later.at - earlier.at;
    (span > Span::ZERO)
        .then(|| (later.offset - earlier.offset).as_seconds_f64() / span.as_seconds_f64())
}
