//! Reference clocks: clocks at hand that are read, where a server would be asked.
//!
//! A reading becomes a sample like an answer's. What an answer says of its own error, the settings
//! say of a reference clock; how much its readings scatter nobody says, so that is learned.

use timeball_timebase::{MonoTime, Now, Span, Timestamp};

use super::Engine;
use super::config::ReferenceDevice;
use super::io::{Action, ReferenceError, ReferenceReading, SourceId};
use super::source::{Source, Told};
use crate::association::DELAY_MAX;
use crate::random::Random;
use crate::sample::Sample;

/// A reading for a full second only tells which moment of a second it is, so the rest must be known
/// to less than half a second; the margin is for clocks that are off themselves.
const SECOND_KNOWN: Span = Span::from_millis(400);
/// A clock that tells a date before 2020 is not one that runs.
const EARLIEST: Timestamp = Timestamp::from_unix(1_577_836_800, 0);

impl Source {
    /// Whether it is read, rather than asked over a network.
    pub(super) fn is_reference(&self) -> bool {
        self.config.reference.is_some()
    }

    /// What the clock is ahead of UTC by now, where it counts on through leap seconds as TAI does.
    pub(super) fn ahead(&self) -> Option<Span> {
        match self.config.reference.as_ref()?.device {
            ReferenceDevice::Phc { ahead, .. } if ahead != Span::ZERO => {
                Some(ahead - self.reference.leapt)
            }
            _ => None,
        }
    }

    /// A leap second has come that added `correction` to UTC.
    pub(super) fn follow_leap(&mut self, correction: Span) {
        if self.ahead().is_some() {
            self.reference.leapt += correction;
        }
    }

    /// Whether a reading that comes `now` may be of before the clock was set, by its date alone:
    /// what others write waits until it is read, and a clock that was set back goes through the
    /// same dates again. Only what is written after the first reading since is certainly of after.
    fn may_be_of_before(&mut self, now: MonoTime, set_at: MonoTime) -> bool {
        let device = self.config.reference.as_ref().map(|reference| &reference.device);
        let is_written = device.is_some_and(|d| !matches!(d, ReferenceDevice::Phc { .. }));
        let read_at = self.reference.read_at.replace(now);
        is_written && read_at.unwrap_or(MonoTime::from_nanos(i64::MIN)) < set_at
    }

    /// Asks the shell to read the clock.
    pub(super) fn read_clock(&mut self, now: Now, random: &mut Random) -> Action {
        self.polling.sent(now.raw, random);
        self.sent += 1;
        Action::ReadReference { source: self.id }
    }

    /// Makes a sample of a reading that was taken `at`; `time` is its time with the second known.
    fn measure_reference(
        &mut self,
        now: Now,
        at: MonoTime,
        time: Timestamp,
        reading: &ReferenceReading,
        precision: Span,
    ) -> Option<Sample> {
        let config = self.config.reference.as_ref()?;
        let delay = reading.delay.max(config.delay).max(precision);
        let offset = Span::from_nanos(time.as_unix_nanos().saturating_sub(at.as_nanos()));
        let offset = offset + config.offset;
        let scatter = self.reference.scatter.measure(at, offset);
        // Until it is known, readings may be anywhere in what is promised.
        let unknown = config.error.as_seconds_f64() / 2.0;
        let sample = Sample {
            at,
            offset,
            delay,
            dispersion: precision,
            root_delay: Span::ZERO,
            root_dispersion: config.error,
            scatter: Span::from_seconds_f64(scatter.unwrap_or(unknown)).unwrap_or(config.error),
            server_sent: time,
        };
        let told = Told {
            stratum: 0,
            reference_id: config.reference_id,
            leap: reading.leap,
            root_delay: sample.root_delay,
            root_dispersion: sample.root_dispersion,
            delay: sample.delay,
        };
        self.note_told(now, told, &sample);
        Some(sample)
    }

    /// Counts a reading that was taken, and what made it one.
    fn clock_was_read(&mut self, now: Now) {
        self.polling.answered(now.raw);
        self.fit = true;
        self.received += 1;
        self.missed = Some(Span::ZERO);
        self.reference.error = None;
    }

    /// Counts a reading that was not taken.
    fn reject_reading(&mut self, error: ReferenceError) {
        self.rejected += 1;
        *self.rejections.entry(error.reason()).or_default() += 1;
        self.reference.error = Some(error);
    }
}

impl Engine {
    /// Takes a reading of a reference clock, or why there is none.
    pub(super) fn handle_reading(
        &mut self,
        now: Now,
        id: SourceId,
        result: Result<ReferenceReading, ReferenceError>,
        actions: &mut Vec<Action>,
    ) {
        let index = usize::from(id.0);
        if self.sources.get(index).is_none_or(|source| !source.is_reference()) {
            return;
        }
        match result.and_then(|reading| self.measure_reading(now, index, &reading)) {
            Ok(sample) => {
                // As of a server: too near to a leap second it cannot be told which side it is on.
                let sample = sample.filter(|sample| !self.leap.is_beside(sample));
                self.take_sample(now, index, sample);
            }
            Err(error) => {
                self.sources[index].reject_reading(error);
                self.counters.rejected += 1;
            }
        }
        self.decide_or_ask(now, actions);
    }

    fn measure_reading(
        &mut self,
        now: Now,
        index: usize,
        reading: &ReferenceReading,
    ) -> Result<Option<Sample>, ReferenceError> {
        let set_at = self.system_clock.set_at();
        if self.sources[index].may_be_of_before(now.raw, set_at) {
            return Err(ReferenceError::Old);
        }
        let at = self.system_clock.raw_of(now, reading.system).ok_or(ReferenceError::Old)?;
        let time = if reading.is_pulse {
            self.with_second(at, reading.time).ok_or(ReferenceError::NoSecond)?
        } else {
            reading.time + self.sources[index].reference.leapt
        };
        if time < EARLIEST {
            return Err(ReferenceError::Date);
        }
        if reading.delay > DELAY_MAX {
            return Err(ReferenceError::Malformed);
        }
        let precision = self.config.precision.max(Span::NANOSECOND) + now.apart;
        let source = &mut self.sources[index];
        source.clock_was_read(now);
        source.reference.is_pulse = reading.is_pulse;
        Ok(source.measure_reference(now, at, time, reading, precision))
    }

    /// The time with this fraction of a second that is nearest to what a majority promises; `None`
    /// where that is not known well enough.
    fn with_second(&self, at: MonoTime, time: Timestamp) -> Option<Timestamp> {
        const SECOND: i64 = 1_000_000_000;
        let hull = self.hull_at(at).filter(|hull| hull.half_width() < SECOND_KNOWN)?;
        let expected = Timestamp::from_unix_nanos(at.as_nanos()) + hull.centre();
        let apart = (expected - time).as_nanos();
        let seconds = apart.saturating_add(SECOND / 2).div_euclid(SECOND);
        Some(time + Span::from_secs(seconds))
    }
}
