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
//!
//! Each way is asked by itself how late its promptest answers may be: the other may be the one
//! whose route has changed, by as much as chance explains even. All that came since some moment is
//! one stretch, beside as many answers before some other moment, whichever two: a long stretch
//! knows the least delay well, and the rate walks on meanwhile.

use core::array;
use std::collections::VecDeque;

use timeball_timebase::{Frequency, MonoTime, Span};

use super::interval::{Changes, RateInterval, of_all_pairs};
use crate::sample::Sample;

/// Answers in the shortest stretch: each of fewer may well be late for a reason of its own.
const STRETCH_ANSWERS: usize = 8;
/// How many of those tell no more of the queue than that they were later than the others: else the
/// few that are late for another reason would be most of what is told.
const LATEST_ANSWERS: usize = 2;
/// Stretches of one level that are kept before the oldest two become one of the next level.
const STRETCHES_OF_LEVEL: usize = 4;
/// What the oscillator and the paths were longer ago is not asked any more.
const MEMORY: Span = Span::from_minutes(8 * 60);
/// The promptest of many answers is later than the shortest possible by this many mean queues over
/// their number with a probability of e^-16.
const QUEUES: f64 = 16.0;
/// What is told is found anew no sooner: some thousand pairs of stretches may have to be asked, and
/// no rate walks far in so short a time.
const TOLD_FOR: Span = Span::from_secs(16);
/// Queues are no shorter than what clocks can tell.
const QUEUE_MIN_S: f64 = 1e-9;
/// The way up, whose ends are the truth plus its delay, and the way back, whose ends are kept with
/// the other sign: of both the least is the promptest.
const SIGNS: [i64; 2] = [1, -1];

/// The stretches of one source, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct PathRates {
    /// Answers that are no stretch yet.
    filling: Vec<Answer>,
    full: VecDeque<Stretch>,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    interval: RateInterval,
    at: MonoTime,
}

/// What one answer tells, by way.
#[derive(Clone, Copy, Debug)]
struct Answer {
    at: MonoTime,
    ends: [Span; 2],
    /// How wrong the server may be by its own word, and reading the clocks.
    doubt: Span,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    ways: [Way; 2],
    answers: u32,
    /// By how many differences the queues were measured.
    measured: u32,
    level: u8,
}

/// One way of a stretch.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// When the promptest answer came, its end and its doubt.
    at: MonoTime,
    end: Span,
    doubt: Span,
    /// Mean queue in seconds, times the differences that it was measured by.
    queues: f64,
}

impl PathRates {
    /// Takes an answer; `drift` is about the oscillator's rate.
    pub(super) fn note(&mut self, sample: &Sample, drift: Frequency) {
        self.filling.push(Answer::of(sample));
        if self.filling.len() >= STRETCH_ANSWERS {
            self.full.extend(Stretch::of(&self.filling, drift));
            self.filling.clear();
            self.merge(drift);
        }
    }

    /// True time is counted anew, this much further on.
    pub(super) fn shift_truth(&mut self, by: Span) {
        let ends =
            self.full.iter_mut().flat_map(|stretch| &mut stretch.ways).map(|way| &mut way.end);
        let signs = SIGNS.iter().cycle();
        ends.zip(signs).for_each(|(end, sign)| *end += by * *sign);
        for answer in &mut self.filling {
            answer.ends.iter_mut().zip(SIGNS).for_each(|(end, sign)| *end += by * sign);
        }
    }

    /// Finds what is told as of now, unless that was just found, by an oscillator that changes its
    /// rate no more than so.
    pub(super) fn conclude(&mut self, at: MonoTime, drift: Frequency, changes: Changes) {
        if self.told.is_some_and(|told| at - told.at < TOLD_FOR) {
            return;
        }
        let newest = Stretch::of(&self.filling, drift);
        let stretches: Vec<Stretch> = self.full.iter().copied().chain(newest).collect();
        // From each on, all that came later.
        let mut since = stretches.clone();
        for i in (1..since.len()).rev() {
            since[i - 1] = since[i - 1].and(&since[i], drift);
        }
        let Some(all) = since.first().copied() else { return };
        let (interval, contradicted) = of_all_pairs(stretches.len(), |older, newer, _| {
            let later = Some(&since[newer]).filter(|later| later.is_whole())?;
            let earlier = stretches[..=older].iter().rev().copied().reduce(|group, before| {
                if group.answers < later.answers { before.and(&group, drift) } else { group }
            });
            rate_between(&earlier?, later, &all, at, changes)
        });
        // The path, the server or the oscillator is another since.
        self.full.drain(..contradicted.min(self.full.len()));
        self.told = (stretches.len() > 1).then_some(Told { interval, at });
    }

    /// The rates that the oscillator can have, if this source's path kept at least one way.
    pub(super) fn interval(&self, at: MonoTime, wander: f64) -> Option<RateInterval> {
        self.told.map(|told| told.interval.later(at - told.at, wander))
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
        let Some(newest) = self.full.back().map(Stretch::at) else { return };
        while self.full.len() > 2 && newest - self.full[0].at() > MEMORY {
            self.full.pop_front();
        }
    }
}

/// What the promptest answers of two stretches tell of the rate; `all` is what is known of queues.
fn rate_between(
    earlier: &Stretch,
    later: &Stretch,
    all: &Stretch,
    at: MonoTime,
    changes: Changes,
) -> Option<RateInterval> {
    let mut told: Option<RateInterval> = None;
    for (way, sign) in SIGNS.iter().enumerate() {
        let (from, to) = (&earlier.ways[way], &later.ways[way]);
        let span = to.at - from.at;
        if span <= Span::ZERO {
            return None;
        }
        let gained = (to.end - from.end).as_seconds_f64() * *sign as f64;
        let doubt = (from.doubt + to.doubt).as_seconds_f64();
        let late = [earlier, later].map(|stretch| stretch.late(way, all) + doubt);
        // Who was late at first seems to gain less on the way up, and more on the way back.
        let (gains_less, gains_more) = if *sign > 0 { (0, 1) } else { (1, 0) };
        let span_s = span.as_seconds_f64();
        let mean = RateInterval::new(
            (gained - late[gains_more]) / span_s,
            (gained + late[gains_less]) / span_s,
        );
        let now = changes.since(mean, at - to.at, span);
        told = Some(told.map_or(now, |other| other.hull(&now)));
    }
    told
}

impl Answer {
    fn of(sample: &Sample) -> Self {
        let half = sample.delay - sample.delay / 2;
        let doubt = sample.error_margin() - half;
        let ends = SIGNS.map(|sign| sample.offset * sign + half);
        Self { at: sample.at, ends, doubt }
    }
}

impl Stretch {
    /// `None` of no answers.
    fn of(answers: &[Answer], drift: Frequency) -> Option<Self> {
        let last = answers.iter().map(|answer| answer.at).max()?;
        let told_by = answers.len().saturating_sub(LATEST_ANSWERS).max(1);
        let way = |way: usize| -> Option<Way> {
            let carried =
                |answer: &Answer| answer.ends[way] + drift.over(last - answer.at) * SIGNS[way];
            let mut order: Vec<(Span, &Answer)> =
                answers.iter().map(|answer| (carried(answer), answer)).collect();
            order.sort_by_key(|(end, _)| *end);
            let (least, promptest) = *order.first()?;
            let late = |i: usize| (order[i].0 - least).as_seconds_f64();
            // The rest were at least as late as the last of those.
            let rest = (answers.len() - told_by) as f64 * late(told_by - 1);
            let queues = (0..told_by).map(late).sum::<f64>() + rest;
            Some(Way { at: promptest.at, end: promptest.ends[way], doubt: promptest.doubt, queues })
        };
        Some(Self {
            ways: [way(0)?, way(1)?],
            answers: answers.len() as u32,
            measured: told_by as u32 - 1,
            level: 0,
        })
    }

    fn and(&self, later: &Self, drift: Frequency) -> Self {
        Self {
            ways: array::from_fn(|i| {
                let (older, newer) = (&self.ways[i], &later.ways[i]);
                let carried = older.end + drift.over(newer.at - older.at) * SIGNS[i];
                let promptest = if carried < newer.end { older } else { newer };
                Way { queues: older.queues + newer.queues, ..*promptest }
            }),
            answers: self.answers.saturating_add(later.answers),
            measured: self.measured.saturating_add(later.measured),
            level: self.level.max(later.level),
        }
    }

    fn is_whole(&self) -> bool {
        self.answers as usize >= STRETCH_ANSWERS
    }

    fn at(&self) -> MonoTime {
        self.ways[0].at.max(self.ways[1].at)
    }

    /// How late its promptest answer may be, in seconds.
    fn late(&self, way: usize, all: &Self) -> f64 {
        let mean = |stretch: &Self| stretch.ways[way].queues / f64::from(stretch.measured.max(1));
        let queue = mean(self).max(mean(all)).max(QUEUE_MIN_S);
        // What is known of a mean by so few.
        let measured = f64::from(all.measured.max(1));
        let queues = measured * (QUEUES / measured).exp_m1();
        queues * queue / f64::from(self.answers)
    }
}
