//! The client's oscillator and the two clocks that count it.

use timeball_ntp::engine::{AdjustError, KernelClock, KernelStatus};
use timeball_timebase::{Frequency, Leap, MonoTime, Now, Span, Timestamp};

use crate::noise::Noise;

/// Nanoseconds of the raw clock when the world begins: it has been running for a while.
const RAW_START: i64 = 86_400_000_000_000;
/// What the kernel adds to its own `maxerror`, and where it gives up.
const KERNEL_GROWTH: Frequency = Frequency::from_ppm(500);
/// How fast `adjtime` slews.
pub(crate) const SLEW_RATE: f64 = 500e-6;
const KERNEL_ERROR_MAX: Span = Span::from_secs(16);

/// How an oscillator misbehaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Oscillator {
    /// Rate error at the start, as a ratio; positive when it gains.
    pub frequency: f64,
    /// Standard deviation of the rate's random walk, per square root of a second.
    pub wander: f64,
    /// Amplitude of the rate's daily (or other) swing, and its period in seconds.
    pub temperature: (f64, f64),
    /// At each of these seconds the rate changes by this ratio.
    pub frequency_steps: Vec<(f64, f64)>,
}

impl Default for Oscillator {
    /// Gains 10 ppm and wanders by 1 ppb per square root of a second.
    fn default() -> Self {
        Self { frequency: 1e-5, wander: 1e-9, temperature: (0.0, 1.0), frequency_steps: Vec::new() }
    }
}

impl Oscillator {
    /// The default one with another wander.
    pub fn wandering(wander: f64) -> Self {
        Self { wander, ..Self::default() }
    }
}

/// A write to the kernel's clock that fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RefusedWrite {
    /// How many writes come before it.
    pub index: u64,
    /// How it fails.
    pub error: AdjustError,
}

/// Raw and system clock of the client, driven by true time.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    oscillator: Oscillator,
    noise: Noise,
    /// True nanoseconds since the start that the clocks stand at.
    at: i64,
    /// When the rate was looked at last.
    rate_at: i64,
    /// Nanoseconds counted since the start, with their fraction.
    raw: f64,
    system: f64,
    epoch: Timestamp,
    walk: f64,
    rate: f64,
    kernel: KernelClock,
    written_at: i64,
    /// Nanoseconds by which somebody else's slew still sets the system clock forward.
    slewing: f64,
    /// Leap second that the kernel is to make at its next midnight.
    armed: Leap,
    /// Whether it has made that which it is still armed with.
    has_leapt: bool,
    /// Every write is refused while this is set.
    pub(crate) refuses: bool,
    refused_write: Option<RefusedWrite>,
    writes: u64,
}

impl Clocks {
    /// Clocks at the start of a world; the system clock is `offset` ahead of `epoch`.
    pub(crate) fn new(
        oscillator: Oscillator,
        noise: Noise,
        epoch: Timestamp,
        offset: Span,
    ) -> Self {
        let mut clocks = Self {
            oscillator,
            noise,
            at: 0,
            rate_at: 0,
            raw: 0.0,
            system: offset.as_nanos() as f64,
            epoch,
            walk: 0.0,
            rate: 0.0,
            kernel: KernelClock::default(),
            written_at: 0,
            slewing: 0.0,
            armed: Leap::None,
            has_leapt: false,
            refuses: false,
            refused_write: None,
            writes: 0,
        };
        clocks.rate = clocks.rate_now();
        clocks
    }

    /// The same whose kernel refuses one write.
    pub(crate) fn refusing(mut self, refused_write: Option<RefusedWrite>) -> Self {
        self.refused_write = refused_write;
        self
    }

    /// How long ago the kernel was told last what is true of its clock.
    pub(crate) fn kernel_age(&self) -> Span {
        Span::from_nanos(self.at - self.written_at)
    }

    /// Runs on to a true time at the rate of now.
    pub(crate) fn advance(&mut self, to: i64) {
        let elapsed = (to - self.at) as f64;
        let raw = elapsed * (1.0 + self.rate);
        let before = self.now().system;
        self.raw += raw;
        let slewed = self.slewing.clamp(-SLEW_RATE * raw, SLEW_RATE * raw);
        self.slewing -= slewed;
        self.system += raw * (1.0 + self.kernel.frequency.as_ratio_f64()) + slewed;
        self.at = to;
        self.leap(before);
    }

    /// Makes the armed leap second if the system clock has come to it since it read `before`, as
    /// the kernel does: once, until it is armed anew.
    fn leap(&mut self, before: Timestamp) {
        let (early, by) = match self.armed {
            Leap::None => return,
            Leap::Insert => (Span::ZERO, Span::from_secs(-1)),
            Leap::Delete => (Span::from_secs(1), Span::from_secs(1)),
        };
        let day = |at: Timestamp| (at + early).unix_seconds().div_euclid(86_400);
        if day(self.now().system) > day(before) {
            self.set(by);
            self.armed = Leap::None;
            self.has_leapt = true;
            self.kernel.tai_offset_s += if by.is_negative() { 1 } else { -1 };
        }
    }

    /// Lets the rate become what it is by now. Between two calls it is constant, so they come every
    /// tick.
    pub(crate) fn tick(&mut self) {
        let elapsed_s = (self.at - self.rate_at) as f64 / 1e9;
        self.rate_at = self.at;
        self.walk += self.oscillator.wander * elapsed_s.sqrt() * self.noise.normal();
        self.rate = self.rate_now();
    }

    /// Both clocks now.
    pub(crate) fn now(&self) -> Now {
        let raw = MonoTime::from_nanos(RAW_START + self.raw as i64);
        Now::exact(raw, self.epoch + Span::from_nanos(self.system as i64))
    }

    /// True nanoseconds from now until the raw clock reads `at`, if the rate stays as it is.
    pub(crate) fn until(&self, at: MonoTime) -> i64 {
        let raw = (at.as_nanos().saturating_sub(RAW_START)) as f64 - self.raw;
        (raw / (1.0 + self.rate)).ceil().max(0.0) as i64
    }

    /// What the raw clock counted since the start more than true time, in seconds.
    pub(crate) fn raw_error(&self) -> f64 {
        (self.raw - self.at as f64) / 1e9
    }

    /// The oscillator's rate error now.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// The system clock's rate error against true time now.
    pub(crate) fn system_rate(&self) -> f64 {
        (1.0 + self.rate) * (1.0 + self.kernel.frequency.as_ratio_f64()) - 1.0
    }

    /// What the kernel tells now: its `maxerror` grows by itself and sets the flag at 16 s.
    pub(crate) fn kernel(&self) -> KernelClock {
        let age = Span::from_nanos(self.at - self.written_at);
        let max_error = self.kernel.max_error + KERNEL_GROWTH.over(age);
        let synchronized = self.kernel.synchronized && max_error < KERNEL_ERROR_MAX;
        KernelClock { max_error, synchronized, ..self.kernel }
    }

    /// Somebody else sets the system clock.
    pub(crate) fn set(&mut self, by: Span) {
        self.system += by.as_nanos() as f64;
    }

    /// Somebody else slews the system clock.
    pub(crate) fn slew(&mut self, by: Span) {
        self.slewing = by.as_nanos() as f64;
    }

    /// Somebody else writes the system clock's frequency.
    pub(crate) fn set_frequency(&mut self, frequency: Frequency) {
        // The kernel's word has steps of 2^-16 ppm and together with the tick reaches 10 %.
        const STEP: f64 = 1e-6 / 65_536.0;
        let ratio = frequency.as_ratio_f64().clamp(-0.1, 0.1);
        let ratio = (ratio / STEP).round() * STEP;
        self.kernel.frequency = Frequency::from_ratio_f64(ratio).unwrap_or_default();
    }

    /// True time passes in which the raw clock stands still, and the system clock counts `seen` of
    /// it: about all of it after a sleep, none after a pause of the virtual machine.
    pub(crate) fn stand_still(&mut self, nanos: i64, seen: i64) {
        self.at += nanos;
        // Nothing wandered: an oscillator that does not run has no rate.
        self.rate_at += nanos;
        self.system += seen as f64;
    }

    pub(crate) fn write_frequency(
        &mut self,
        frequency: Frequency,
    ) -> Result<KernelClock, AdjustError> {
        self.permit()?;
        let found = Some(self.kernel.frequency);
        self.set_frequency(frequency);
        Ok(KernelClock { found, ..self.kernel() })
    }

    pub(crate) fn write_step(&mut self, by: Span) -> Result<KernelClock, AdjustError> {
        self.permit()?;
        self.set(by);
        self.kernel.synchronized = false;
        Ok(self.kernel())
    }

    /// The kernel begins anew: nobody has told it anything.
    pub(crate) fn boot(&mut self) {
        self.kernel = KernelClock { max_error: KERNEL_ERROR_MAX, ..KernelClock::default() };
        self.written_at = self.at;
        self.armed = Leap::None;
        self.has_leapt = false;
    }

    /// Who takes the clock over calls it unsynchronized and keeps its rate.
    pub(crate) fn take_over(&mut self) -> KernelClock {
        self.kernel.synchronized = false;
        self.kernel()
    }

    pub(crate) fn write_status(
        &mut self,
        status: KernelStatus,
    ) -> Result<KernelClock, AdjustError> {
        self.permit()?;
        self.kernel.synchronized = status.synchronized;
        self.kernel.max_error = status.max_error;
        self.kernel.estimated_error = status.estimated_error;
        self.kernel.tai_offset_s = status.tai_offset_s.unwrap_or(self.kernel.tai_offset_s);
        self.written_at = self.at;
        self.has_leapt &= status.leap != Leap::None;
        self.armed = if self.has_leapt { Leap::None } else { status.leap };
        Ok(self.kernel())
    }

    fn permit(&mut self) -> Result<(), AdjustError> {
        let refused = self.refused_write.filter(|refused| refused.index == self.writes);
        self.writes += 1;
        match refused {
            Some(refused) => Err(refused.error),
            None if self.refuses => Err(AdjustError::NotPermitted),
            None => Ok(()),
        }
    }

    fn rate_now(&self) -> f64 {
        let seconds = self.at as f64 / 1e9;
        let (amplitude, period) = self.oscillator.temperature;
        let swing = amplitude * (core::f64::consts::TAU * seconds / period).sin();
        let steps = self.oscillator.frequency_steps.iter();
        let stepped: f64 = steps.filter(|(at, _)| seconds >= *at).map(|(_, by)| by).sum();
        self.oscillator.frequency + self.walk + swing + stepped
    }
}
