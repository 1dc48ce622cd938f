//! The estimate of true time, by statistics; the promise about it is [`crate::engine`]'s bound.
//!
//! Everything is kept on the raw monotonic clock: the estimate is true time less raw clock, and its
//! rate. What anybody does to the system clock is therefore no event here, and holding over an
//! outage is just a long step of the filters.
//!
//! All sources feed one bank of Kalman filters ([`bank`]); a measurement's variance is learned from
//! its round trip ([`delays`]), so a source counts, sample by sample, by what it is worth. Each
//! source has a constant bias of its own in the state, so that servers which differ for ever
//! (asymmetric paths) are not taken for noise, and one that comes or goes moves nothing. A
//! measurement that no variance explains is either a change of our own clock, then the next source
//! sees it too, or a change of that source's path: with several sources it is held back until the
//! next one has spoken.

mod account;
mod bank;
mod consensus;
mod delays;
mod recall;

use core::ops::RangeInclusive;

use timeball_timebase::{Interval, MonoTime, Span};

use crate::sample::Sample;
use account::{Account, Recent};
use bank::{Bank, BankEstimate};
use consensus::{Consensus, Opinion};
use delays::Delays;
use recall::Recalled;
pub use recall::{RememberedBias, RememberedPath};

/// Standard deviation of a frequency that nothing is known of.
const FREQUENCY_SD_UNKNOWN: f64 = 1e-4;
/// What temperature and age change of a frequency from one run to the next.
const FREQUENCY_SD_REMEMBERED: f64 = 2e-6;
/// Innovations beyond this many standard deviations are surprises.
const SURPRISE: f64 = 5.0;
/// Standard deviation of a phase that is learned anew, in half widths of what it is learned from.
const RELEARN_DOUBT: f64 = 5.0;
/// How asymmetric a path is likely to be, as a share of its smallest round trip.
const ASYMMETRY_SD: f64 = 0.05;
/// How far a server is likely to be off, as a share of its own root dispersion.
const DISPERSION_SD: f64 = 0.25;
/// The time in which a bias becomes as uncertain as it was at first.
const BIAS_MEMORY_S: f64 = 1e6;
/// Samples of a source until its noise is known.
const SETTLED_SAMPLES_MIN: usize = 8;
/// The part of the variance of a usual measurement that is common to all of a source, as its least
/// delay and the asymmetry of its queues are never known exactly.
const SHARED_NOISE: f64 = 0.01;
/// Error of readings that no precision tells of, in seconds.
const READING_SD_MIN: f64 = 1e-7;

/// What is known at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// True time less raw clock.
    pub(crate) offset: Span,
    /// Standard error of the offset, in seconds.
    pub(crate) offset_sd: f64,
    /// How much faster true time runs than the raw clock, in seconds per second.
    pub(crate) frequency: f64,
    /// Standard error of the frequency.
    pub(crate) frequency_sd: f64,
    /// Power spectral density of the frequency's random walk, 1/s.
    pub(crate) wander: f64,
}

/// What came of a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Taken {
    /// It moved the estimate.
    Used {
        /// Whether our own clock turned out to be another than it was taken for.
        surprised: bool,
        /// By how much its rate seems to have changed meanwhile, where chance alone hardly explains
        /// this one; else zero.
        rate_change: f64,
    },
    /// It contradicts what the others say and waits for one of them to confirm it.
    HeldBack,
}

/// The estimator.
#[derive(Clone, Debug)]
pub(crate) struct Estimator {
    bank: Bank,
    consensus: Consensus,
    /// Where phase zero lies, as true time less raw clock, and the time the bank is at.
    anchor: Option<(Span, MonoTime)>,
    sources: Vec<SourceMemory>,
    /// The latest innovations, newest last.
    latest: Vec<Recent>,
    held: Option<Held>,
    surprised_before: bool,
}

#[derive(Clone, Debug, Default)]
struct SourceMemory {
    delays: Delays,
    /// Its last measurement, and the time between that and the one before.
    last: Option<(MonoTime, f64)>,
    /// The offset that this measured.
    measured: Span,
    /// Variance of its bias at first; zero until enrolled.
    bias_variance: f64,
    /// Variance of what a measurement with its median round trip tells, s²; zero before the first.
    usual_variance: f64,
    /// The square of the largest bias it can have by its own word and round trip, s².
    bias_variance_max: f64,
    /// What was remembered of its bias.
    recalled: Option<Recalled>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    source: usize,
    innovation: f64,
}

impl SourceMemory {
    /// Variance of its bias where nothing is known but an interval that certainly holds the truth.
    ///
    /// It is what it was at first, or more, where its last measurement lies outside by more: a
    /// route has changed in one direction since. Were its bias taken to be as small as before, each
    /// of its measurements would be taken for a change of our clock. What lies outside by more than
    /// it can be off was measured before the clock stood still, or is a lie.
    fn bias_variance_within(&self, truth: Interval, at: MonoTime, frequency: f64) -> f64 {
        let Some((last, _)) = self.last else { return self.bias_variance };
        let moved = seconds((at - last).as_seconds_f64() * frequency);
        let outside = (self.measured + moved - truth.centre()).abs() - truth.half_width();
        let shown = outside.max(Span::ZERO).as_seconds_f64().powi(2);
        let is_possible = shown <= self.bias_variance_max;
        if is_possible { self.bias_variance.max(shown) } else { self.bias_variance }
    }
}

impl Estimator {
    /// Begins knowing the frequency (true time against raw clock) and its standard error as
    /// remembered, if at all.
    pub(crate) fn new(sources: usize, frequency: Option<(f64, f64)>) -> Self {
        let (frequency, sd) = match frequency {
            Some((frequency, error)) => (frequency, FREQUENCY_SD_REMEMBERED.hypot(error)),
            None => (0.0, FREQUENCY_SD_UNKNOWN),
        };
        Self {
            bank: Bank::new(sources, frequency, sd),
            consensus: Consensus::new(sources),
            anchor: None,
            sources: vec![SourceMemory::default(); sources],
            latest: Vec::new(),
            held: None,
            surprised_before: false,
        }
    }

    /// Takes a measurement of a source that is believed; `None` for one that it was not
    /// made for.
    pub(crate) fn update(&mut self, source: usize, sample: &Sample) -> Option<Taken> {
        let memory = self.sources.get(source)?;
        let (anchor, at) = *self.anchor.get_or_insert((sample.offset, sample.at));
        let first = self.sources.iter().all(|memory| memory.last.is_none());
        let since_own = memory.last.map(|(last, _)| (sample.at - last).as_seconds_f64());
        let dt = (sample.at - at).as_seconds_f64();
        if dt > 0.0 {
            let walks: Vec<f64> =
                self.sources.iter().map(|memory| memory.bias_variance / BIAS_MEMORY_S).collect();
            self.bank.advance(dt, &walks);
            self.anchor = Some((anchor, sample.at));
        }
        // Answers may overtake each other: an older measurement is carried to where the bank is.
        let carried = if dt < 0.0 { -dt * self.bank.estimate().frequency } else { 0.0 };
        let measured = (sample.offset - anchor).as_seconds_f64() + carried;
        self.enrol(source, sample, first.then_some(measured));
        self.sources[source].measured = sample.offset;
        self.sources[source].bias_variance_max = sample.error_margin().as_seconds_f64().powi(2);
        let (expected, variance) = self.bank.predict(source);
        let noise = self.sources[source].delays.measure(
            sample.delay.as_seconds_f64(),
            measured - expected,
            variance,
            reading_sd(sample),
        );
        self.sources[source].usual_variance = noise.usual_variance;
        let innovation = measured - noise.shift - expected;
        let normalized = innovation / (variance + noise.variance + noise.doubt.powi(2)).sqrt();
        let elapsed = since_own.unwrap_or(dt).max(0.1);
        self.sources[source].last = Some((sample.at, elapsed));
        let account = self.account_for(source, innovation, normalized, elapsed, sample.at);
        let (surprised, rate_change) = match account {
            Account::HoldBack => return Some(Taken::HeldBack),
            Account::Clock(rate_change) => (true, rate_change),
            Account::Strange(rate_change) => (false, rate_change),
            Account::Noise | Account::Path => (false, 0.0),
        };
        self.bank.update(source, measured - noise.shift, noise.variance);
        let walked = self.sources[source].bias_variance * elapsed / BIAS_MEMORY_S;
        if self.consensus.note(source, noise.variance, walked) {
            self.conclude();
        }
        Some(Taken::Used { surprised, rate_change })
    }

    /// The weight against all that is known, 0 to 1, of a usual measurement of this source after
    /// such an `interval` between its measurements; `None` for one that it was not made for.
    ///
    /// If those of `company` are asked as often, what is known is refreshed in between by as much
    /// as their measurements are worth beside its own.
    pub(crate) fn weight_after(
        &self,
        source: usize,
        interval: Span,
        company: &[usize],
    ) -> Option<f64> {
        let usual = |source: usize| Some(self.sources.get(source)?.usual_variance);
        let own = usual(source)?;
        let others = company.iter().filter(|&&other| other != source);
        let others_worth = others.filter_map(|&other| usual(other)).filter(|v| *v > 0.0);
        let share = 1.0 / (1.0 + others_worth.map(|variance| own / variance).sum::<f64>());
        Some(self.bank.weight_after(source, interval.as_seconds_f64() * share, own))
    }

    /// What is known, carried to `at`; `None` before the first measurement.
    pub(crate) fn estimate_at(&self, at: MonoTime) -> Option<Estimate> {
        let (anchor, bank_at) = self.anchor?;
        let BankEstimate {
            phase,
            frequency,
            phase_variance,
            covariance,
            frequency_variance,
            wander,
        } = self.bank.estimate();
        let dt = (at - bank_at).as_seconds_f64();
        let age = dt.max(0.0);
        let variance = phase_variance
            + 2.0 * dt * covariance
            + dt * dt * frequency_variance
            + wander * age * age * age / 3.0;
        Some(Estimate {
            offset: anchor + seconds(phase + self.consensus.shift() + dt * frequency),
            offset_sd: variance.max(0.0).sqrt(),
            frequency,
            frequency_sd: (frequency_variance + wander * age).max(0.0).sqrt(),
            wander,
        })
    }

    /// Standard error, in seconds, of what is known of the clock but for what the sources' biases
    /// have in common, as of the last measurement; `None` before the first.
    pub(crate) fn tracking_sd(&self) -> Option<f64> {
        let known = |source: &usize| self.sources[*source].bias_variance > 0.0;
        let known = (0..self.sources.len()).filter(known);
        self.bank.tracking_variance(known).map(f64::sqrt)
    }

    /// Where true time may be by the estimate alone.
    pub(crate) fn credible_at(&self, at: MonoTime) -> Option<Interval> {
        let estimate = self.estimate_at(at)?;
        Some(Interval::around(estimate.offset, seconds(SURPRISE * estimate.offset_sd)))
    }

    /// The raw clock lost time (it stands still in suspend): true time is that much further on.
    pub(crate) fn shift(&mut self, by: Span) {
        self.bank.shift(by.as_seconds_f64());
    }

    /// Brings the estimate back into an interval that certainly holds the truth, if it has left it
    /// by more than it can be wrong by; `rates` are those that the raw clock can have.
    pub(crate) fn restrain(&mut self, at: MonoTime, truth: Interval, rates: RangeInclusive<f64>) {
        let Some(estimate) = self.estimate_at(at) else { return };
        let outside = (truth.earliest - estimate.offset).max(estimate.offset - truth.latest);
        let half = truth.half_width().as_seconds_f64();
        // It may well be outside where the interval is narrower than what measurements tell.
        let lost = outside.as_seconds_f64() > SURPRISE * estimate.offset_sd
            || estimate.offset_sd > 4.0 * half;
        if outside > Span::ZERO && lost {
            self.relearn(at, truth, rates);
        }
    }

    /// Learns phase and biases anew from an interval that certainly holds the truth: what misled
    /// the estimate (a liar that was believed for a while, an error of several paths at once) is
    /// in the biases, too. The frequency is kept unless it is none of `rates`, which it can have.
    pub(crate) fn relearn(&mut self, at: MonoTime, truth: Interval, rates: RangeInclusive<f64>) {
        let (Some(estimate), Some((anchor, bank_at))) = (self.estimate_at(at), self.anchor) else {
            return;
        };
        let frequency = if rates.contains(&estimate.frequency) {
            estimate.frequency
        } else {
            let (lowest, highest) = rates.into_inner();
            let centre = lowest / 2.0 + highest / 2.0;
            self.bank.set_frequency(centre, (highest - centre).powi(2));
            centre
        };
        let half = truth.half_width().as_seconds_f64();
        let moved = (at - bank_at).as_seconds_f64() * frequency;
        let phase = (truth.centre() - anchor).as_seconds_f64() - moved;
        // Hardly a weight: the interval's centre is not to be found again in the biases.
        self.bank.set_phase(phase, (RELEARN_DOUBT * half).powi(2));
        for (source, memory) in self.sources.iter().enumerate() {
            let variance = memory.bias_variance_within(truth, at, frequency);
            self.bank.set_bias(source, variance);
        }
        self.consensus.forget(0..self.sources.len());
        self.conclude();
        self.held = None;
        self.latest.clear();
    }

    /// A source that was listened to was found false: what it made of the estimate is taken back,
    /// and where the phase lies is what these `others` say alone. When it is listened to again its
    /// bias is learned anew: what it was while the source lied tells nothing of what it is then.
    pub(crate) fn disown(&mut self, source: usize, others: &[usize]) {
        let Some(memory) = self.sources.get(source) else { return };
        self.bank.set_bias(source, memory.bias_variance);
        let variance = |&other: &usize| {
            let variance = self.sources.get(other)?.bias_variance;
            (variance > 0.0).then_some((other, variance))
        };
        let others: Vec<(usize, f64)> = others.iter().filter_map(variance).collect();
        self.bank.reanchor(&others);
        self.consensus.forget([source].into_iter());
        self.conclude();
        self.held = None;
        self.latest.clear();
    }

    /// Forgets what belongs to a source's path and server: it has another address now.
    pub(crate) fn forget_source(&mut self, source: usize) {
        if let Some(memory) = self.sources.get_mut(source) {
            *memory = SourceMemory::default();
            self.consensus.forget([source].into_iter());
            self.conclude();
        }
        self.held = self.held.filter(|held| held.source != source);
    }

    /// Finds where the truth is among what the sources say. What is remembered of biases from an
    /// earlier run was agreed on then: by that the truth is where the bank has it.
    fn conclude(&mut self) {
        if self.sources.iter().any(|memory| memory.recalled.is_some()) {
            return self.consensus.conclude(Vec::new());
        }
        let settled = |memory: &SourceMemory| memory.delays.count() > SETTLED_SAMPLES_MIN;
        let sources = self.sources.iter().enumerate().filter(|(_, memory)| settled(memory));
        let opinions = sources.filter_map(|(source, memory)| {
            let noise = self.consensus.noise(source)? + memory.usual_variance * SHARED_NOISE;
            Some(Opinion { says: self.bank.bias(source), noise, spread: memory.bias_variance })
        });
        self.consensus.conclude(opinions.collect());
    }

    fn enrol(&mut self, source: usize, sample: &Sample, first_of_all: Option<f64>) {
        let memory = &mut self.sources[source];
        if memory.bias_variance > 0.0 {
            return;
        }
        let path = sample.delay + sample.root_delay;
        let sd = ASYMMETRY_SD * path.as_seconds_f64()
            + DISPERSION_SD * sample.root_dispersion.as_seconds_f64()
            + READING_SD_MIN;
        memory.bias_variance = sd * sd;
        self.bank.set_bias(source, sd * sd);
        let bias = self.begin_with_remembered(source, sample);
        if let Some(measured) = first_of_all {
            let half = sample.error_margin().as_seconds_f64();
            self.bank.set_phase_by(source, measured - bias, half * half);
        }
    }
}

fn reading_sd(sample: &Sample) -> f64 {
    // The dispersion is a limit; errors within it are taken as uniform.
    let reading = (sample.dispersion.as_seconds_f64() / 12_f64.sqrt()).max(READING_SD_MIN);
    reading.hypot(sample.scatter.as_seconds_f64())
}

fn seconds(seconds: f64) -> Span {
    Span::from_seconds_f64(seconds).unwrap_or(Span::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::Timestamp;

    fn sample(second: i64, offset: Span) -> Sample {
        Sample {
            at: MonoTime::from_nanos(second * 1_000_000_000),
            offset,
            delay: Span::from_millis(20),
            dispersion: Span::from_micros(1),
            root_delay: Span::ZERO,
            root_dispersion: Span::from_millis(1),
            scatter: Span::ZERO,
            server_sent: Timestamp::from_unix(0, 0),
        }
    }

    #[test]
    fn a_frequency_that_no_clock_of_ours_can_have_is_learned_anew() {
        let mut estimator = Estimator::new(2, Some((0.0, 1e-6)));
        let hear = |estimator: &mut Estimator, second: i64| {
            for source in 0..2 {
                estimator.update(source, &sample(second, Span::ZERO));
            }
            let at = MonoTime::from_nanos(second * 1_000_000_000);
            let truth = Interval::around(Span::ZERO, Span::from_millis(1));
            estimator.restrain(at, truth, -2e-5..=2e-5);
            estimator.estimate_at(at).unwrap()
        };
        for step in 0..20 {
            hear(&mut estimator, step * 64);
        }
        estimator.bank.set_frequency(-3e-3, 1e-14);
        let estimates: Vec<Estimate> = (20..40).map(|i| hear(&mut estimator, i * 64)).collect();
        let last = estimates.last().unwrap();
        assert!(last.frequency.abs() < 1e-6, "{last:?}");
        assert!(last.offset.abs() < Span::from_micros(100), "{last:?}");
    }

    #[test]
    fn a_liar_that_was_believed_moves_the_estimate_neither_for_good_nor_when_it_has_reformed() {
        let mut estimator = Estimator::new(4, None);
        let lie = Span::from_millis(25);
        let hear = |estimator: &mut Estimator, sources: std::ops::Range<usize>, second: i64| {
            for source in sources {
                assert!(estimator.update(source, &sample(second, Span::ZERO)).is_some());
            }
        };
        let offset_at = |estimator: &Estimator, second: i64| {
            let at = MonoTime::from_nanos(second * 1_000_000_000);
            estimator.estimate_at(at).unwrap().offset
        };
        for second in 0..200 {
            if second < 3 {
                assert!(estimator.update(0, &sample(second, lie)).is_some());
            }
            hear(&mut estimator, 1..4, second);
        }
        assert!(offset_at(&estimator, 200).abs() < Span::from_micros(500), "three against one");
        estimator.disown(0, &[1, 2, 3]);
        for second in 200..400 {
            hear(&mut estimator, 1..4, second);
        }
        assert!(offset_at(&estimator, 400).abs() < Span::from_micros(200));
        for second in 400..600 {
            hear(&mut estimator, 0..4, second);
            let offset = offset_at(&estimator, second);
            assert!(offset.abs() < Span::from_micros(200), "{offset} after {second} s");
        }
    }
}
