//! What the estimator is fed with, and what it has to forget.

use core::ops::RangeInclusive;

use timeball_timebase::{MonoTime, Now, Span};

use super::Engine;
use super::interval::{Hull, TimedInterval};
use super::rates::RATE_JUMP;
use super::report::Selection;
use super::selection::{Outcome, witnesses};
use super::source::Source;
use crate::estimator::{Estimate, Taken};
use crate::sample::Sample;

/// A change of the rate is seen as if it were as old as the last measurement. Within the last
/// quarter of that time it is not seen yet, so it is no more than this many times as large.
const SEEN_LATE: f64 = 4.0;
/// A rate is certainly another where it is so many standard deviations off.
const SURE_SIGMAS: f64 = 5.0;

impl Engine {
    /// Takes what a source measured; `None` where it was heard and tells nothing new yet.
    pub(super) fn take_sample(&mut self, now: Now, index: usize, sample: Option<Sample>) {
        let polling_interval = self.sources[index].polling.interval();
        if let Some(sample) = sample {
            let interval = self.rates.interval_of(&sample);
            self.suspect_pause(index, &sample, interval);
            let estimated = self.credible_at(sample.at);
            let credible = estimated.is_none_or(|estimated| estimated.overlaps(&interval));
            let source = &mut self.sources[index];
            let new = TimedInterval { at: sample.at, interval };
            let known_at = source.promise.map_or(new.at, |promise| promise.at);
            let ageing = self.rates.ageing(known_at, new.at);
            source.promise = Some(TimedInterval::joined(source.promise, new, ageing));
            source.keep(sample, credible);
            self.rates.note_sample(index, &sample);
            self.note_identity(index);
        }
        self.counters.received += 1;
        self.note_heard(now.raw, index, polling_interval);
    }

    /// Tells the other sources for how long they have not been heard while others were.
    fn note_heard(&mut self, at: MonoTime, index: usize, interval: Span) {
        if self.heard_at.is_none() {
            // Until now there was no network, perhaps: were the first to be heard believed because
            // the others did not answer then, it could be a liar.
            let silent = |source: &&mut Source| source.polling.reach() == 0;
            self.sources.iter_mut().filter(silent).for_each(|source| source.begin_anew(at));
        }
        let elapsed = self.heard_at.map_or(Span::ZERO, |heard_at| at - heard_at);
        self.heard_at = Some(at);
        for (_, other) in self.sources.iter_mut().enumerate().filter(|(i, _)| *i != index) {
            other.other_was_heard(elapsed.min(interval * 2));
        }
    }

    /// Hands samples of true sources to the estimator, oldest first. Returns how many rounds of
    /// measurements that were: the samples of the source that had most.
    pub(super) fn feed_estimator(&mut self, at: MonoTime) -> u32 {
        let is_confirmed = matches!(self.verdict.outcome, Outcome::Witness | Outcome::Remnant(_));
        if self.hull.is_none() || (self.may_have_paused() && !is_confirmed) {
            return 0;
        }
        let mut samples: Vec<(usize, Sample)> = Vec::new();
        let mut rounds = 0;
        for (i, source) in self.sources.iter_mut().enumerate() {
            match source.selection {
                Selection::Chief | Selection::Combined => {
                    rounds = rounds.max(source.backlog.len() as u32);
                    samples.extend(source.backlog.drain(..).map(|sample| (i, sample)));
                }
                // It may prove true yet, once others have spoken.
                Selection::NoMajority | Selection::Unreachable => {}
                _ => {
                    if !source.backlog.is_empty() {
                        source.polling.rest();
                    }
                    source.backlog.clear();
                }
            }
        }
        samples.sort_by_key(|(_, sample)| sample.at);
        let mut surprised = false;
        let mut rate_change: f64 = 0.0;
        for (i, sample) in &samples {
            let expected = self.estimator.estimate_at(sample.at);
            let taken = self.estimator.update(*i, sample);
            let source = &mut self.sources[*i];
            if let Some(Taken::Used { surprised: clock, rate_change: change }) = taken {
                surprised |= clock;
                // Beyond that it is a path, or a clock that was never known.
                if change <= RATE_JUMP {
                    rate_change = rate_change.max(change);
                }
            }
            if let Some(expected) = expected {
                let error = (sample.offset - expected.offset).abs();
                source.jitter += (error - source.jitter) / 8;
            }
        }
        self.adapt_polling(at, samples.iter().map(|(i, _)| *i));
        if surprised {
            self.sources.iter_mut().for_each(|source| source.polling.hasten(at));
        }
        let rate_change = rate_change.max(self.rate_beyond_promises(at));
        if rate_change > 0.0 {
            self.doubt_the_rate(at, rate_change);
        }
        rounds
    }

    /// By how much promises have to allow for another rate, as the estimate's certainly is none of
    /// those that they allow for: a change that began below the noise was taken for less than it
    /// was. Zero where it may well be one of them, or none of this oscillator.
    fn rate_beyond_promises(&self, at: MonoTime) -> f64 {
        let Some(estimate) = self.estimator.estimate_at(at) else { return 0.0 };
        let (lowest, highest) = self.rates.possible(at, 0.0).into_inner();
        let beyond = (estimate.frequency - highest).max(lowest - estimate.frequency);
        let is_sure = beyond > SURE_SIGMAS * estimate.frequency_sd && beyond <= RATE_JUMP;
        if is_sure { beyond } else { 0.0 }
    }

    /// Decides anew how often those are asked that were just listened to.
    fn adapt_polling(&mut self, at: MonoTime, heard: impl Iterator<Item = usize>) {
        let used: Vec<usize> =
            (0..self.sources.len()).filter(|&i| self.sources[i].is_used()).collect();
        let estimator = &self.estimator;
        for index in heard {
            let weight_after = |interval| estimator.weight_after(index, interval, &used);
            let weight_after = |interval| weight_after(interval).unwrap_or(1.0);
            self.sources[index].polling.adapt(at, weight_after);
        }
    }

    /// The oscillator seems to have changed its rate by more than promises allow for. Those that
    /// joined what was before with what was after may be wrong: each source's last word is left,
    /// and it ages by what the rate may have become.
    fn doubt_the_rate(&mut self, at: MonoTime, change: f64) {
        self.rates.doubt(at, (SEEN_LATE * change).min(RATE_JUMP));
        for source in &mut self.sources {
            if let Some(sample) = &source.newest {
                let interval = self.rates.interval_of(sample);
                source.promise = Some(TimedInterval { at: sample.at, interval });
            }
        }
        let learned = self.rates.learned();
        self.hull = self.hull.map(|hull| Hull { learned, ..hull });
    }

    /// Learns of the oscillator's rate by what a majority promises.
    pub(super) fn learn_rate(&mut self, at: MonoTime) {
        let Outcome::Majority(interval) = self.verdict.outcome else { return };
        let wander = self.estimator.estimate_at(at).map_or(0.0, |estimate| estimate.wander);
        let witnesses = witnesses(&self.voters(at));
        self.rates.note_hull(TimedInterval { at, interval }, wander, &witnesses);
    }

    /// Forgets what belongs to a source's path and server: it has another address now, of which an
    /// earlier run may have learned something.
    pub(super) fn forget_source(&mut self, at: MonoTime, index: usize) {
        self.estimator.forget_source(index);
        self.rates.forget_source(index);
        self.forget_identity(index);
        self.recall(at, index);
    }

    /// Whether a majority vouches for the promise now.
    pub(super) fn majority_speaks(&self) -> bool {
        matches!(self.verdict.outcome, Outcome::Majority(_))
    }

    /// The estimate, at a rate that is not certainly wrong. While no majority speaks, what misled
    /// the filters just before would be followed for hours; while one does, an oscillator may have
    /// jumped by a little sooner than the interval of its rate tells, but not by more.
    pub(super) fn estimate_at(&self, at: MonoTime) -> Option<Estimate> {
        let estimate = self.estimator.estimate_at(at)?;
        let Some((since, _)) = self.updated else { return Some(estimate) };
        let jump = if self.majority_speaks() { RATE_JUMP } else { 0.0 };
        let frequency = self.rates.credible(at, estimate.frequency, jump);
        let moved = (frequency - estimate.frequency) * (at - since).as_seconds_f64();
        let moved = Span::from_seconds_f64(moved).unwrap_or(Span::ZERO);
        Some(Estimate { offset: estimate.offset + moved, frequency, ..estimate })
    }

    /// The rates that the oscillator can have, which may have jumped unnoticed.
    pub(super) fn possible_rates(&self, at: MonoTime) -> RangeInclusive<f64> {
        self.rates.possible(at, RATE_JUMP)
    }

    /// Frees the estimate from what those sources put into it that a majority has found false since
    /// they were listened to.
    pub(super) fn disown(&mut self, convicts: &[usize]) {
        if convicts.is_empty() {
            return;
        }
        let used: Vec<usize> =
            (0..self.sources.len()).filter(|&i| self.sources[i].is_used()).collect();
        for &convict in convicts {
            self.estimator.disown(convict, &used);
        }
    }
}
