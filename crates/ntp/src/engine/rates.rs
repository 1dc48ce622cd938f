//! The rates that the oscillator can have: what promises age by.
//!
//! See `docs/decisions/0020-a-voted-interval-of-the-rate.md` for what is assumed and what follows.

mod interval;
mod path;

use core::ops::RangeInclusive;
use std::collections::VecDeque;

use timeball_timebase::{Frequency, Interval, MonoTime, Span};

use super::interval::{Ageing, Learned, SIGMAS, TimedInterval, Walk};
use super::witnesses::{Said, Witness};
use crate::sample::{RATE_TOLERANCE, Sample};
use interval::{Changes, RateInterval, of_all_pairs};
use path::PathRates;

/// Oscillators do not jump by more.
pub(super) const RATE_JUMP: f64 = 2e-5;
/// A rate of which no more than that is known may turn out to be any.
const RATE_KNOWN: f64 = 2e-4;
/// What temperature and age change of a rate from one run to the next, standard deviation.
const REMEMBERED_SD: f64 = 2e-6;
/// Past promises of majorities that are kept.
const HULLS_MAX: usize = 16;
/// How long past promises are asked.
const MEMORY: Span = Span::from_minutes(8 * 60);
/// For how long after a sleep what was known before it is remembered.
const KEPT_FOR: Span = Span::from_minutes(4 * 60);

/// All that is known of the oscillator's rate.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    allowance: f64,
    /// How fast the rate walks at random, as learned last: power spectral density, 1/s.
    wander: f64,
    /// What majorities promised, oldest first.
    hulls: VecDeque<TimedInterval>,
    paths: Vec<PathRates>,
    /// What was known when the raw clock stood still last, and when it went on.
    kept: Option<(RateInterval, MonoTime)>,
    /// What is known, and since when.
    known: (RateInterval, MonoTime),
}

impl Rates {
    /// Begins with the rate as remembered, with its standard error, if at all.
    pub(super) fn new(
        at: MonoTime,
        sources: usize,
        allowance: Frequency,
        remembered: Option<(f64, f64)>,
    ) -> Self {
        let allowance = allowance.abs().as_ratio_f64();
        let kept = remembered.map(|(rate, sd)| {
            let half = allowance + SIGMAS * sd.hypot(REMEMBERED_SD);
            (RateInterval::around(rate, half), at)
        });
        Self {
            allowance,
            wander: 0.0,
            hulls: VecDeque::new(),
            paths: vec![PathRates::default(); sources],
            kept,
            known: (kept.map_or(RateInterval::UNKNOWN, |(kept, _)| kept), at),
        }
    }

    /// How promises age, as learned last: by the rate of then, to which its walk since comes.
    pub(super) fn learned(&self) -> Learned {
        let (known, at) = self.known;
        let walk = Walk { wander: self.wander, lasted: known.walked };
        Learned { ageing: known.ageing(), walk, at }
    }

    /// How a promise of `from` has aged by `at`: by the mean rate in between.
    ///
    /// The rate was measured as its mean over a time T that ended g ago; from that to the one of
    /// now it has walked for T/3 + g. To the mean over the last a, as long as that is within g, it
    /// has for 2a/3 less; for no more if a reaches into T; for a/3 at most if it reaches beyond.
    pub(super) fn ageing(&self, from: MonoTime, at: MonoTime) -> Ageing {
        let (known, since) = self.known;
        let (age, later) = ((at - from).abs(), (at - since).max(Span::ZERO));
        let walked = known.walked + later - age.min(later) * 2 / 3;
        known.later(walked.max(age / 3) - known.walked, self.wander).ageing()
    }

    /// The offsets of true time that agree with a measurement, whose margin holds for ordinary
    /// oscillators; during the exchange ours may be worse.
    ///
    /// The upper end is what true time was ahead of the raw clock at most when the request left,
    /// the lower end at least when the answer came, and both are carried to the middle in between.
    pub(super) fn interval_of(&self, sample: &Sample) -> Interval {
        let interval = sample.interval();
        let RateInterval { lowest, highest, .. } = self.interval(sample.at);
        let rate = highest.max(-lowest) / (2.0 * RATE_TOLERANCE.as_ratio_f64());
        let dispersion = sample.dispersion.as_seconds_f64() * (rate - 1.0).max(0.0);
        let wider = Span::from_seconds_f64(dispersion).unwrap_or(Span::MAX);
        Interval { earliest: interval.earliest - wider, latest: interval.latest + wider }
    }

    /// A rate, or where it is wrong by more than `jump` the middle of what the rate can be.
    pub(super) fn credible(&self, at: MonoTime, rate: f64, jump: f64) -> f64 {
        let possible = self.possible(at, jump);
        if possible.contains(&rate) {
            return rate;
        }
        let (lowest, highest) = possible.into_inner();
        lowest / 2.0 + highest / 2.0
    }

    /// What the rate can be, should it have changed by `jump` unnoticed.
    pub(super) fn possible(&self, at: MonoTime, jump: f64) -> RangeInclusive<f64> {
        let RateInterval { lowest, highest, .. } = self.interval(at).widened(jump);
        lowest..=highest
    }

    /// Takes an answer of a source.
    pub(super) fn note_sample(&mut self, source: usize, sample: &Sample) {
        let drift = self.learned().ageing.drift;
        let changes = self.changes();
        if let Some(path) = self.paths.get_mut(source) {
            path.note(sample, drift);
            path.conclude(sample.at, drift, changes);
        }
    }

    /// Forgets what belongs to a source's path.
    pub(super) fn forget_source(&mut self, source: usize) {
        if let Some(path) = self.paths.get_mut(source) {
            *path = PathRates::default();
        }
    }

    /// True time is counted anew, this much further on: a leap second. Rates stay what they were.
    pub(super) fn shift_truth(&mut self, by: Span) {
        self.hulls.iter_mut().for_each(|hull| hull.shift(by));
        self.paths.iter_mut().for_each(|path| path.shift_truth(by));
    }

    /// The raw clock stood still, or may have: offsets of before and after do not compare.
    pub(super) fn interrupt(&mut self, at: MonoTime) {
        // An oscillator that was cold or off begins with another rate.
        self.begin_anew(at, self.allowance);
    }

    /// The oscillator seems to have changed its rate by more than it is allowed to, and by no more
    /// than `change`: what is measured from now on does not compare with what was before.
    pub(super) fn doubt(&mut self, at: MonoTime, change: f64) {
        self.begin_anew(at, change);
    }

    fn begin_anew(&mut self, at: MonoTime, change: f64) {
        let kept = RateInterval { walked: Span::ZERO, ..self.interval(at).widened(change) };
        self.kept = Some((kept, at));
        self.hulls.clear();
        self.paths.fill(PathRates::default());
        self.conclude(at, &[]);
    }

    /// Takes what a majority promises, and finds what is known now: the rates that agree with what
    /// majorities promised before, and those that so many of the servers agree on that they cannot
    /// all be wrong.
    pub(super) fn note_hull(&mut self, hull: TimedInterval, wander: f64, witnesses: &[Witness]) {
        self.remember(hull);
        self.wander = wander;
        self.conclude(hull.at, witnesses);
    }

    fn changes(&self) -> Changes {
        Changes { allowance: self.allowance, wander: self.wander }
    }

    fn interval(&self, at: MonoTime) -> RateInterval {
        let (interval, since) = self.known;
        interval.later(at - since, self.wander)
    }

    fn conclude(&mut self, at: MonoTime, witnesses: &[Witness]) {
        let changes = self.changes();
        let by_hulls = self.by_credible_hulls(at, changes);
        let by_vote = self.by_vote(at, witnesses);
        let kept = self.kept.filter(|(_, since)| at - *since < KEPT_FOR);
        let kept = kept.map(|(interval, since)| interval.later(at - since, self.wander));
        // The surest first, what was known once later: what contradicts it is no longer so.
        let others = [by_vote, kept, Some(RateInterval::UNKNOWN)].into_iter().flatten();
        let known = others.fold(by_hulls, |known, more| known.intersection(&more).unwrap_or(known));
        self.known = (known, at);
    }

    /// What follows from past promises, unless they make the rate jump by more than any
    /// oscillator's does: then one of them was false, and none is relied on. Two that are near in
    /// time would tell any rate.
    fn by_credible_hulls(&mut self, at: MonoTime, changes: Changes) -> RateInterval {
        let former = self.interval(at);
        let is_known = former.highest - former.lowest < RATE_KNOWN;
        let former = former.widened(RATE_JUMP);
        let told = self.by_hulls(changes);
        if !is_known || told.intersection(&former).is_some() {
            return told;
        }
        self.hulls.drain(..self.hulls.len().saturating_sub(1));
        self.paths.fill(PathRates::default());
        self.kept = Some((RateInterval { walked: Span::ZERO, ..former }, at));
        RateInterval::POSSIBLE
    }

    /// Truth in two promises puts the mean rate between them.
    fn by_hulls(&mut self, changes: Changes) -> RateInterval {
        let Some(at) = self.hulls.back().map(|newest| newest.at) else {
            return RateInterval::POSSIBLE;
        };
        let hulls = &self.hulls;
        let (known, contradicted) = of_all_pairs(hulls.len(), |i, j, known| {
            let (past, newer) = (&hulls[i], &hulls[j]);
            let span = newer.at - past.at;
            let span_s = span.as_seconds_f64();
            let gained = |from: Span, to: Span| (to - from).as_seconds_f64() / span_s;
            let mean = RateInterval::new(
                gained(past.interval.latest, newer.interval.earliest),
                gained(past.interval.earliest, newer.interval.latest),
            );
            // However far the rate has walked since: most pairs are too near in time.
            let tells = span_s > 0.0 && !mean.widened(changes.allowance).holds(known);
            tells.then(|| changes.since(mean, at - newer.at, span))
        });
        self.hulls.drain(..contradicted);
        known
    }

    fn by_vote(&self, at: MonoTime, witnesses: &[Witness]) -> Option<RateInterval> {
        let told = |place: usize| self.paths.get(place)?.interval(at, self.wander);
        let rates = witnesses.iter().filter_map(|witness| told(witness.place));
        let walked = rates.map(|rate| rate.walked).min()?;
        let said = Said::by(witnesses, |place| Some(told(place)?.as_interval()));
        said.allowed().map(|hull| RateInterval::from_interval(hull, walked))
    }

    /// Keeps promises at ages that are about a geometric series.
    fn remember(&mut self, hull: TimedInterval) {
        self.hulls.retain(|past| hull.at - past.at < MEMORY);
        self.hulls.push_back(hull);
        if self.hulls.len() <= HULLS_MAX {
            return;
        }
        let closeness = |i: usize| {
            let (older, newer) = (self.hulls[i].at, self.hulls[i + 1].at);
            let age = (hull.at - older).as_seconds_f64();
            (newer - older).as_seconds_f64() / age.max(f64::MIN_POSITIVE)
        };
        let pairs = 0..self.hulls.len() - 2;
        let closest = pairs.min_by(|&a, &b| closeness(a).total_cmp(&closeness(b)));
        let Some(older) = closest else { return };
        let width = |i: usize| self.hulls[i].interval.half_width();
        let wider = if width(older) > width(older + 1) { older } else { older + 1 };
        self.hulls.remove(wider);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Frequency = Frequency::from_ppm(1);
    const TRUE_RATE: f64 = 20e-6;

    fn rates(sources: usize) -> Rates {
        Rates::new(at(0), sources, ALLOWANCE, None)
    }

    fn at(second: i64) -> MonoTime {
        MonoTime::ZERO + Span::from_secs(second)
    }

    fn truth(second: i64) -> Span {
        Span::from_seconds_f64(TRUE_RATE * second as f64).unwrap()
    }

    fn hull(second: i64, half_ms: i64) -> TimedInterval {
        let interval = Interval::around(truth(second), Span::from_millis(half_ms));
        TimedInterval { at: at(second), interval }
    }

    /// An answer that was this many microseconds on its way there and back.
    fn answer(second: i64, up_us: i64, down_us: i64) -> Sample {
        Sample {
            at: at(second),
            offset: truth(second) + Span::from_nanos((up_us - down_us) * 500),
            delay: Span::from_micros(up_us + down_us),
            dispersion: Span::from_nanos(100),
            root_delay: Span::ZERO,
            root_dispersion: Span::ZERO,
            scatter: Span::ZERO,
            server_sent: timeball_timebase::Timestamp::UNIX_EPOCH,
        }
    }

    /// Three sources answer, one of which drifts by so much a second, and a majority promises.
    fn hear_three(rates: &mut Rates, minute: i64, drift: Span, half_ms: i64) {
        let second = minute * 60;
        for source in 0..3 {
            let mut sample = answer(second, 3_000 + (minute * 37 + source) % 200, 1_000);
            sample.offset += if source == 1 { drift * second } else { Span::ZERO };
            rates.note_sample(source as usize, &sample);
        }
        rates.note_hull(hull(second, half_ms), 0.0, &[0, 1, 2].map(alone));
    }

    /// A server with one address.
    fn alone(place: usize) -> Witness {
        Witness { server: place, place }
    }

    fn holds(rates: &Rates, second: i64) -> bool {
        let RateInterval { lowest, highest, .. } = rates.interval(at(second));
        (lowest..=highest).contains(&TRUE_RATE)
    }

    fn half_ppm(rates: &Rates, second: i64) -> f64 {
        let RateInterval { lowest, highest, .. } = rates.interval(at(second));
        (highest - lowest) / 2.0 * 1e6
    }

    #[test]
    fn a_promise_that_was_false_does_not_make_the_rate_any() {
        let mut rates = rates(1);
        for second in (0..100).map(|turn| turn * 64) {
            rates.note_hull(hull(second, 1), 0.0, &[]);
        }
        let before = rates.interval(at(6_336));
        // Two seconds later the truth seems to be a millisecond further on than it can be.
        let mut jumped = hull(6_338, 0);
        jumped.shift(Span::from_millis(2));
        rates.note_hull(jumped, 0.0, &[]);
        let after = rates.interval(at(6_338));
        let wider = before.widened(RATE_JUMP + 1e-9);
        assert!(after.lowest >= wider.lowest && after.highest <= wider.highest, "{after:?}");
        assert!(after.lowest < TRUE_RATE && TRUE_RATE < after.highest, "{after:?}");
    }

    #[test]
    fn promises_of_majorities_put_the_rate_between_them_and_the_more_so_the_longer_ago() {
        let mut rates = rates(1);
        assert_eq!(half_ppm(&rates, 0), 500.0);
        let mut former = 500.0;
        for minute in (0..480).step_by(10) {
            rates.note_hull(hull(minute * 60, 1), 0.0, &[]);
            assert!(holds(&rates, minute * 60));
            assert!(half_ppm(&rates, minute * 60) <= former + 0.01, "after {minute} minutes");
            former = half_ppm(&rates, minute * 60);
        }
        // 2 ms over about eight hours, and the allowance.
        assert!((1.06..1.09).contains(&former), "{former}");
        assert!(rates.hulls.len() <= HULLS_MAX);
    }

    #[test]
    fn what_is_known_fades_as_the_oscillator_walks() {
        let mut rates = rates(1);
        (0..100).for_each(|minute| rates.note_hull(hull(minute * 60, 1), 1e-18, &[]));
        let (fresh, stale) = (half_ppm(&rates, 5_940), half_ppm(&rates, 15_940));
        let walked_s = rates.interval(at(5_940)).walked.as_seconds_f64();
        let further = 5e-3 * ((walked_s + 10_000.0).sqrt() - walked_s.sqrt());
        assert!((stale - fresh - further).abs() < 1e-6, "{fresh} {stale} {further}");
        assert!((0.3..0.5).contains(&further), "{further}");
    }

    #[test]
    fn a_promise_ages_by_the_mean_rate_since() {
        let mut rates = rates(1);
        (0..100).for_each(|minute| rates.note_hull(hull(minute * 60, 1), 1e-18, &[]));
        let walked_s = rates.interval(at(5_940)).walked.as_seconds_f64();
        let growth = |from, to| rates.ageing(at(from), at(to)).growth.as_ratio_f64();
        let by = |walked: f64| growth(5_940, 5_940) + 5e-9 * (walked.sqrt() - walked_s.sqrt());
        // One of now, and one from before: the walk since counts by a third.
        assert!((growth(5_940, 8_940) - by(walked_s + 1_000.0)).abs() < 1e-13);
        assert!((growth(5_000, 8_940) - by(walked_s + 1_000.0)).abs() < 1e-13);
        // A later one lacks what is not its own; one of long ago is older than what was measured.
        assert!((growth(8_640, 8_940) - by(walked_s + 2_800.0)).abs() < 1e-13);
        assert!((growth(-14_060, 5_940) - by(20_000.0 / 3.0)).abs() < 1e-13);
    }

    #[test]
    fn a_few_answers_that_are_very_late_do_not_blur_what_the_others_tell() {
        let told = |late_us: i64| {
            let mut rates = rates(1);
            for minute in 0..240 {
                let late_us = if minute % 8 == 3 { late_us } else { 0 };
                let (up, down) = (minute * 37 % 200, minute * 53 % 200 + late_us);
                rates.note_sample(0, &answer(minute * 60, 30_000 + up, 30_000 + down));
                rates.note_hull(hull(minute * 60, 60), 0.0, &[alone(0)]);
            }
            assert!(holds(&rates, 239 * 60));
            half_ppm(&rates, 239 * 60)
        };
        let (calm, spiky) = (told(0), told(20_000));
        assert!(calm < 1.3 && (spiky - calm).abs() < 0.05, "{calm} {spiky}");
    }

    #[test]
    fn a_change_beyond_the_allowance_is_found_out_and_what_was_before_it_forgotten() {
        let mut rates = rates(1);
        (0..100).for_each(|minute| rates.note_hull(hull(minute * 60, 1), 0.0, &[]));
        // From now on true time gains 50 ppm instead of 20.
        for minute in 100..160 {
            let gained = truth(6_000) + Span::from_micros((minute * 60 - 6_000) * 50);
            let interval = Interval::around(gained, Span::from_millis(1));
            rates.note_hull(TimedInterval { at: at(minute * 60), interval }, 0.0, &[]);
        }
        let RateInterval { lowest, highest, .. } = rates.interval(at(160 * 60));
        assert!((lowest..=highest).contains(&50e-6), "{lowest} {highest}");
    }

    #[test]
    fn a_route_that_changes_in_one_direction_moves_no_rate() {
        let mut rates = rates(1);
        for minute in 0..240 {
            let second = minute * 60;
            let up_us = if minute < 120 { 3_000 } else { 9_000 };
            rates.note_sample(0, &answer(second, up_us + minute * 37 % 200, 1_000));
            rates.note_hull(hull(second, 20), 0.0, &[alone(0)]);
            assert!(holds(&rates, second), "after {minute} minutes");
        }
        // Hulls alone would leave 40 ms over four hours.
        assert!(half_ppm(&rates, 14_400) < 1.5, "{}", half_ppm(&rates, 14_400));
    }

    #[test]
    fn a_minority_that_drifts_moves_no_rate() {
        let mut rates = rates(3);
        for minute in 0..240 {
            hear_three(&mut rates, minute, Span::from_micros(10), 20);
            assert!(holds(&rates, minute * 60), "after {minute} minutes");
        }
        assert!(half_ppm(&rates, 14_400) < 1.5, "{}", half_ppm(&rates, 14_400));
    }

    #[test]
    fn what_sources_agree_on_outranks_a_rate_that_is_remembered() {
        let mut rates = Rates::new(at(0), 3, ALLOWANCE, Some((TRUE_RATE + 6e-5, 1e-7)));
        for minute in 0..240 {
            hear_three(&mut rates, minute, Span::ZERO, 500);
            assert!(minute < 40 || holds(&rates, minute * 60), "after {minute} minutes");
        }
    }

    #[test]
    fn after_a_sleep_the_rate_is_known_still_if_less_well() {
        let mut rates = rates(1);
        (0..100).for_each(|minute| rates.note_hull(hull(minute * 60, 1), 0.0, &[]));
        let before = half_ppm(&rates, 6_000);
        rates.interrupt(at(6_000));
        let after = half_ppm(&rates, 6_000);
        assert!((after - before - 1.0).abs() < 0.01, "{before} {after}");
    }

    #[test]
    fn an_exchange_is_worth_what_the_oscillator_may_do_meanwhile() {
        let mut rates = rates(1);
        let sample = Sample { dispersion: Span::from_micros(3), ..answer(0, 50_000, 50_000) };
        let wider = |rates: &Rates| {
            rates.interval_of(&sample).half_width() - sample.interval().half_width()
        };
        // 500 ppm of a tenth of a second, half of it on either side, of which 15 ppm are in it.
        assert!(wider(&rates) > Span::from_micros(22), "{}", wider(&rates));
        (0..100).for_each(|minute| rates.note_hull(hull(minute * 60, 1), 0.0, &[]));
        assert_eq!(wider(&rates), Span::ZERO);
    }
}
