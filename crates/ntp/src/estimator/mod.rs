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

mod bank;
mod delays;

use timeball_timebase::{Interval, MonoTime, Span};

use crate::sample::Sample;
use bank::{Bank, BankEstimate};
use delays::Delays;

/// Sources beyond this many are measured and vote, but are not combined: the cost grows with the
/// cube.
pub(crate) const COMBINED_MAX: usize = 16;

/// Standard deviation of a frequency that nothing is known of.
const FREQUENCY_SD_UNKNOWN: f64 = 1e-4;
/// What temperature and age change of a frequency from one run to the next.
const FREQUENCY_SD_REMEMBERED: f64 = 2e-6;
/// Innovations beyond this many standard deviations are surprises.
const SURPRISE: f64 = 5.0;
/// Beyond this they are too strange for promises to rely on the clock being what it was.
const STRANGE: f64 = 3.0;
/// Beyond this the first measurements of a source tell of its bias.
const NEWCOMER_SURPRISE: f64 = 3.0;
/// Three in a row of one sign beyond this are one, too.
const SURPRISE_IN_A_ROW: f64 = 2.2;
/// Samples of a source before its surprises count: until then its noise is not known.
const SURPRISE_SAMPLES_MIN: usize = 8;
/// Standard deviation of a phase that is learned anew, in half widths of what it is learned from.
const RELEARN_DOUBT: f64 = 5.0;
/// The largest change of frequency that one surprise suggests; a second in a row suggests more.
const FREQUENCY_CHANGE: f64 = 2e-5;
const FREQUENCY_CHANGE_MAX: f64 = 5e-4;
/// How asymmetric a path is likely to be, as a share of its smallest round trip.
const ASYMMETRY_SD: f64 = 0.05;
/// How far a server is likely to be off, as a share of its own root dispersion.
const DISPERSION_SD: f64 = 0.25;
/// The time in which a bias becomes as uncertain as it was at first.
const BIAS_MEMORY_S: f64 = 1e6;
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
        /// Weight of the measurement against what was known before it, 0 to 1.
        gain: f64,
        /// Whether our own clock turned out to be another than it was taken for.
        surprised: bool,
        /// By how much its rate seems to have changed since the measurement before, where chance
        /// alone hardly explains this one; else zero.
        rate_change: f64,
    },
    /// It contradicts what the others say and waits for one of them to confirm it.
    HeldBack,
}

/// Who was found to be the cause of an innovation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Account {
    /// Nobody in particular.
    Noise,
    /// Nobody else is there to be asked, and noise it hardly is.
    Strange,
    /// The path to the source, or the source.
    Path,
    /// Our own clock.
    Clock,
    /// Another source is to be heard first.
    HoldBack,
}

/// The estimator.
#[derive(Clone, Debug)]
pub(crate) struct Estimator {
    bank: Bank,
    /// Where phase zero lies, as true time less raw clock, and the time the bank is at.
    anchor: Option<(Span, MonoTime)>,
    sources: Vec<SourceMemory>,
    /// The latest normalized innovations, newest last.
    latest: Vec<(usize, f64)>,
    held: Option<Held>,
    surprised_before: bool,
}

#[derive(Clone, Debug, Default)]
struct SourceMemory {
    delays: Delays,
    /// Its last measurement, and the time between that and the one before.
    last: Option<(MonoTime, f64)>,
    /// Variance of its bias at first; zero until enrolled.
    bias_variance: f64,
    /// The square of the largest bias it can have by its own word and round trip, s².
    bias_variance_max: f64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    source: usize,
    innovation: f64,
}

impl Estimator {
    /// Begins knowing the frequency (true time against raw clock) and its standard error as
    /// remembered, if at all.
    pub(crate) fn new(sources: usize, frequency: Option<(f64, f64)>) -> Self {
        let sources = sources.min(COMBINED_MAX);
        let (frequency, sd) = match frequency {
            Some((frequency, error)) => (frequency, FREQUENCY_SD_REMEMBERED.hypot(error)),
            None => (0.0, FREQUENCY_SD_UNKNOWN),
        };
        Self {
            bank: Bank::new(sources, frequency, sd),
            anchor: None,
            sources: vec![SourceMemory::default(); sources],
            latest: Vec::new(),
            held: None,
            surprised_before: false,
        }
    }

    /// Takes a measurement of a source that is believed; `None` for one beyond [`COMBINED_MAX`].
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
        self.sources[source].bias_variance_max = sample.error_margin().as_seconds_f64().powi(2);
        let (expected, variance) = self.bank.predict(source);
        let noise = self.sources[source].delays.measure(
            sample.delay.as_seconds_f64(),
            measured - expected,
            variance,
            reading_sd(sample),
        );
        let innovation = measured - noise.shift - expected;
        let normalized = innovation / (variance + noise.variance + noise.doubt.powi(2)).sqrt();
        let elapsed = since_own.unwrap_or(dt).max(0.1);
        self.sources[source].last = Some((sample.at, elapsed));
        let account = self.account_for(source, innovation, normalized, elapsed, sample.at);
        let (surprised, doubted) = match account {
            Account::HoldBack => return Some(Taken::HeldBack),
            Account::Clock => (true, true),
            Account::Strange => (false, true),
            Account::Noise | Account::Path => (false, false),
        };
        let (_, variance) = self.bank.predict(source);
        self.bank.update(source, measured - noise.shift, noise.variance);
        let gain = variance / (variance + noise.variance);
        let rate_change = if doubted { innovation.abs() / elapsed } else { 0.0 };
        Some(Taken::Used { gain, surprised, rate_change })
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
            offset: anchor + seconds(phase + dt * frequency),
            offset_sd: variance.max(0.0).sqrt(),
            frequency,
            frequency_sd: (frequency_variance + wander * age).max(0.0).sqrt(),
            wander,
        })
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
    /// by more than it can be wrong by.
    pub(crate) fn restrain(&mut self, at: MonoTime, truth: Interval) {
        let Some(estimate) = self.estimate_at(at) else { return };
        let outside = (truth.earliest - estimate.offset).max(estimate.offset - truth.latest);
        let half = truth.half_width().as_seconds_f64();
        // It may well be outside where the interval is narrower than what measurements tell.
        let lost = outside.as_seconds_f64() > SURPRISE * estimate.offset_sd
            || estimate.offset_sd > 4.0 * half;
        if outside > Span::ZERO && lost {
            self.relearn(at, truth);
        }
    }

    /// Learns phase and biases anew from an interval that certainly holds the truth: what misled
    /// the estimate (a liar that was believed for a while, an error of several paths at once) is
    /// in the biases, too. The frequency is kept.
    pub(crate) fn relearn(&mut self, at: MonoTime, truth: Interval) {
        let (Some(estimate), Some((anchor, bank_at))) = (self.estimate_at(at), self.anchor) else {
            return;
        };
        let half = truth.half_width().as_seconds_f64();
        let moved = (at - bank_at).as_seconds_f64() * estimate.frequency;
        let phase = (truth.centre() - anchor).as_seconds_f64() - moved;
        // Hardly a weight: the interval's centre is not to be found again in the biases.
        self.bank.set_phase(phase, (RELEARN_DOUBT * half).powi(2));
        for (source, memory) in self.sources.iter().enumerate() {
            self.bank.set_bias(source, memory.bias_variance);
        }
        self.held = None;
        self.latest.clear();
    }

    /// Whether these sources' biases lean to one side by more than chance explains: then it is the
    /// estimate that is off.
    pub(crate) fn is_skewed(&self, sources: &[usize]) -> bool {
        let normalized = |&source: &usize| {
            let memory = self.sources.get(source).filter(|memory| memory.bias_variance > 0.0)?;
            Some(self.bank.bias(source) / memory.bias_variance.sqrt())
        };
        let biases: Vec<f64> = sources.iter().filter_map(normalized).collect();
        let sum: f64 = biases.iter().sum();
        sum.abs() > SURPRISE * (biases.len() as f64).sqrt()
    }

    /// Forgets what belongs to a source's path and server: it has another address now.
    pub(crate) fn forget_source(&mut self, source: usize) {
        if let Some(memory) = self.sources.get_mut(source) {
            *memory = SourceMemory::default();
        }
        self.held = self.held.filter(|held| held.source != source);
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
        if let Some(measured) = first_of_all {
            let half = sample.error_margin().as_seconds_f64();
            self.bank.set_phase_by(source, measured, half * half);
        }
    }

    /// Finds who is to blame for an innovation that is too large, and makes that more uncertain.
    fn account_for(
        &mut self,
        source: usize,
        innovation: f64,
        normalized: f64,
        elapsed: f64,
        at: MonoTime,
    ) -> Account {
        self.latest.push((source, normalized));
        if self.latest.len() > 3 {
            self.latest.remove(0);
        }
        let alone = !self.others_are_fresh(source, at);
        let settled = self.sources[source].delays.count() > SURPRISE_SAMPLES_MIN;
        let surprised = normalized.abs() > SURPRISE && settled;
        if let Some(held) = self.held.take() {
            let agrees = innovation * held.innovation > 0.0 && normalized.abs() > SURPRISE_IN_A_ROW;
            if held.source == source || agrees {
                if held.source == source {
                    self.blame_the_path(source, innovation);
                }
                return self.blame_the_clock(innovation, elapsed);
            }
            self.blame_the_path(held.source, held.innovation);
        }
        if !settled && !alone && normalized.abs() > NEWCOMER_SURPRISE {
            // Whoever comes to a settled company is measured by it, and does not move it.
            self.blame_the_path(source, innovation);
            return Account::Path;
        }
        if surprised && !alone {
            self.held = Some(Held { source, innovation });
            return Account::HoldBack;
        }
        if surprised {
            return self.blame_the_clock(innovation, elapsed);
        }
        if settled && self.three_in_a_row() {
            let of_one_source = self.latest.iter().all(|(of, _)| *of == source);
            if of_one_source && !alone {
                self.blame_the_path(source, innovation);
                self.latest.clear();
                return Account::Path;
            }
            return self.blame_the_clock(innovation, elapsed);
        }
        self.surprised_before = false;
        if settled && alone && normalized.abs() > STRANGE {
            Account::Strange
        } else {
            Account::Noise
        }
    }

    fn blame_the_clock(&mut self, innovation: f64, elapsed: f64) -> Account {
        let limit = if self.surprised_before { FREQUENCY_CHANGE_MAX } else { FREQUENCY_CHANGE };
        let change = (innovation.abs() / elapsed).min(limit);
        self.bank.widen(innovation * innovation, change * change);
        self.latest.clear();
        self.surprised_before = true;
        Account::Clock
    }

    fn blame_the_path(&mut self, source: usize, innovation: f64) {
        let limit = self.sources[source].bias_variance_max;
        self.bank.widen_bias(source, innovation * innovation, limit);
    }

    fn three_in_a_row(&self) -> bool {
        self.latest.len() == 3
            && (self.latest.iter().all(|(_, n)| *n > SURPRISE_IN_A_ROW)
                || self.latest.iter().all(|(_, n)| *n < -SURPRISE_IN_A_ROW))
    }

    fn others_are_fresh(&self, source: usize, at: MonoTime) -> bool {
        const GRACE_S: f64 = 10.0;
        self.sources.iter().enumerate().any(|(other, memory)| {
            other != source
                && memory.delays.count() > SURPRISE_SAMPLES_MIN
                && memory.last.is_some_and(|(last, interval)| {
                    (at - last).as_seconds_f64() < 2.0 * interval + GRACE_S
                })
        })
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
