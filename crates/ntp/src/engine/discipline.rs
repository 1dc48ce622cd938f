//! Keeping the system clock right: what is written to the kernel, and when.
//!
//! There is one servo variable, the frequency: the system clock runs at the estimated rate of true
//! time, and an offset is removed by running a computed bit faster or slower for a computed time.
//! The estimate lives on the raw clock, so nothing has to be told to it; what was really applied is
//! seen in the next pair of readings. A refused write is counted and tried again, and changes
//! nothing else.

use std::collections::VecDeque;

use timeball_timebase::{ClockState, Frequency, MonoTime, Now, Span};

use super::config::{Due, RtcPolicy, StepPolicy};
use super::io::{Action, AdjustError, KernelClock, KernelStatus};
use super::kernel_truth::{KernelLeap, KernelTruth};
use super::policy::{Judgement, Policy};

/// Small offsets are removed in a share of the time between measurements, within these limits.
const SLEW_SHARE: i64 = 16;
const SLEW_TIME_MIN: Span = Span::from_secs(1);
const SLEW_TIME_MAX: Span = Span::from_secs(32);
/// No slew for a small offset is faster; the kernel's frequency word alone reaches this.
const SLEW_RATE_SMALL: f64 = 500e-6;
/// Large offsets take about this long, but are never slewed faster than the largest rate, which the
/// kernel's tick reaches with something to spare.
const SLEW_TIME_LARGE_S: f64 = 20.0;
const SLEW_RATE_LARGE: f64 = 1.0 / 12.0;
/// At the start nobody relies on the clock yet, and the sooner it is right the better: in so many
/// updates, and in this time after the first.
const SLEW_TIME_START_S: f64 = 2.0;
const START_UPDATES: u32 = 12;
const START_TIME: Span = Span::from_secs(16);
/// What is not worth a slew of its own.
const NEGLIGIBLE: Span = Span::from_nanos(200);
/// No oscillator is worse than this; a worse estimate is not written.
const FREQUENCY_MAX: f64 = 0.01;
/// Writes whose outcome is awaited; the shell answers each at once.
const PENDING_MAX: usize = 16;
/// A refused frequency is tried again after this.
const RETRY: Span = Span::from_secs(4);

/// What the servo is to follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim {
    /// True time less system time.
    pub(super) offset: Span,
    /// How well it is followed, as a standard error: what sources are off by for ever is no part
    /// of this, as no waiting makes it better known.
    pub(super) tracking_sd: Span,
    /// True time's rate against the raw clock.
    pub(super) frequency: f64,
    /// How long until more is known, about: the shortest polling interval, or, where answers are
    /// lost, the time between the last two that came.
    pub(super) interval: Span,
}

/// What an outcome belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Write {
    Frequency,
    Step(Span),
    Status(KernelStatus),
}

/// The servo.
#[derive(Debug)]
pub(super) struct Discipline {
    pub(super) policy: Policy,
    pub(super) slew_due: Due,
    /// When the clock was steered first.
    steered_since: Option<MonoTime>,
    truth: KernelTruth,
    pending: VecDeque<Write>,
    pub(super) kernel: KernelClock,
    pub(super) error: Option<AdjustError>,
}

impl Discipline {
    /// Begins with the kernel's clock as found.
    pub(super) fn new(now: Now, policy: StepPolicy, rtc: RtcPolicy, kernel: KernelClock) -> Self {
        Self {
            policy: Policy::new(policy),
            slew_due: None,
            steered_since: None,
            truth: KernelTruth::new(now, rtc),
            pending: VecDeque::new(),
            kernel,
            error: None,
        }
    }

    /// When the servo has something to do next.
    pub(super) fn due(&self) -> Due {
        self.slew_due.into_iter().chain([self.truth.due()]).min()
    }

    /// Whether a slew is at its end (or a refused write is to be tried again).
    pub(super) fn is_slew_due(&self, now: Now) -> bool {
        self.slew_due.is_some_and(|due| now.raw >= due)
    }

    /// Sets the clock on its way to the aim.
    pub(super) fn steer(&mut self, now: Now, aim: Aim) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut offset = aim.offset;
        match self.policy.judge(offset) {
            Judgement::Slew => {}
            Judgement::Step => {
                self.push(Write::Step(offset));
                actions.push(Action::Step(offset));
                offset = Span::ZERO;
            }
            Judgement::Refuse => offset = Span::ZERO,
        }
        let base = aim.frequency.clamp(-FREQUENCY_MAX, FREQUENCY_MAX);
        let worth = NEGLIGIBLE.max(aim.tracking_sd / 16);
        let since = *self.steered_since.get_or_insert(now.raw);
        let has_begun = self.policy.updates() >= START_UPDATES && now.raw - since >= START_TIME;
        let large = if has_begun || self.policy.is_relied_on() {
            SLEW_TIME_LARGE_S
        } else {
            SLEW_TIME_START_S
        };
        let rate = if offset.abs() > worth { slew_rate(offset, aim.interval, large) } else { 0.0 };
        self.slew_due = (rate != 0.0).then(|| now.raw + slew_time(offset, rate));
        self.write_frequency(base + rate, &mut actions);
        actions
    }

    /// Ends the slew that a former owner of the clock did not live to end: `natural` is the rate to
    /// run at until something is measured.
    pub(super) fn calm(&mut self, natural: Frequency) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.kernel.is_racing() {
            self.write_frequency(natural.as_ratio_f64(), &mut actions);
        }
        actions
    }

    /// Runs at this rate without a slew: nothing is known of the offset.
    pub(super) fn coast(&mut self, frequency: f64) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.slew_due.take().is_some() {
            self.write_frequency(frequency.clamp(-FREQUENCY_MAX, FREQUENCY_MAX), &mut actions);
        }
        actions
    }

    /// Tells the kernel what is known, if it is time or what it has been told is no longer true.
    pub(super) fn tell_kernel(
        &mut self,
        now: Now,
        state: &ClockState,
        leap: KernelLeap,
        offset_sd: Option<Span>,
    ) -> Option<Action> {
        let status = self.truth.tell(now, state, leap, offset_sd)?;
        self.push(Write::Status(status));
        Some(Action::SetKernelStatus(status))
    }

    /// Takes the outcome of the oldest write. Returns what it was.
    pub(super) fn outcome(
        &mut self,
        now: Now,
        result: Result<KernelClock, AdjustError>,
    ) -> Option<Write> {
        let write = self.pending.pop_front();
        match result {
            Ok(kernel) => {
                self.kernel = kernel;
                self.error = None;
            }
            Err(error) => {
                self.error = Some(error);
                match write {
                    Some(Write::Frequency) => self.slew_due = Some(now.raw + RETRY),
                    Some(Write::Status(_)) => self.truth.refused(now),
                    Some(Write::Step(_)) | None => {}
                }
            }
        }
        write
    }

    fn write_frequency(&mut self, ratio: f64, actions: &mut Vec<Action>) {
        let frequency = Frequency::from_ratio_f64(ratio).unwrap_or_default();
        // The kernel's frequency word has steps of 2^-16 ppm.
        const STEP: Frequency = Frequency::from_femto(15_259);
        if (frequency - self.kernel.frequency).abs() >= STEP {
            self.push(Write::Frequency);
            actions.push(Action::SetFrequency(frequency));
        }
    }

    fn push(&mut self, write: Write) {
        if self.pending.len() == PENDING_MAX {
            self.pending.pop_front();
        }
        self.pending.push_back(write);
    }
}

/// How much faster than true time the clock is to run to lose this offset, if it is a large one in
/// `large_s` seconds.
fn slew_rate(offset: Span, interval: Span, large_s: f64) -> f64 {
    let offset_s = offset.as_seconds_f64();
    let gentle = (interval / SLEW_SHARE).clamp(SLEW_TIME_MIN, SLEW_TIME_MAX);
    let rate = offset_s.abs() / gentle.as_seconds_f64();
    let rate = if rate <= SLEW_RATE_SMALL {
        rate
    } else {
        (offset_s.abs() / large_s).clamp(SLEW_RATE_SMALL, SLEW_RATE_LARGE)
    };
    rate.copysign(offset_s)
}

fn slew_time(offset: Span, rate: f64) -> Span {
    Span::from_seconds_f64(offset.as_seconds_f64() / rate).unwrap_or(SLEW_TIME_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::Timestamp;

    fn now(seconds: i64) -> Now {
        let span = Span::from_secs(seconds);
        Now::exact(MonoTime::ZERO + span, Timestamp::from_unix(1_795_000_000, 0) + span)
    }

    fn aim(offset: Span) -> Aim {
        Aim {
            offset,
            tracking_sd: Span::from_micros(1),
            frequency: 1e-5,
            interval: Span::from_secs(64),
        }
    }

    fn servo() -> Discipline {
        let policy = StepPolicy::default();
        let kernel = KernelClock { frequency: Frequency::from_ppm(10), ..KernelClock::default() };
        Discipline::new(now(0), policy, RtcPolicy::Kernel, kernel)
    }

    #[test]
    fn an_offset_is_removed_in_the_computed_time() {
        for (offset, time) in [
            (Span::from_micros(40), Span::from_secs(4)),
            (Span::from_micros(-40), Span::from_secs(4)),
            (Span::from_millis(10), Span::from_secs(20)),
            (Span::from_millis(500), Span::from_secs(20)),
            (Span::from_secs(100), Span::from_secs(1_200)),
        ] {
            let mut servo = servo();
            servo.policy.count_updates(START_UPDATES);
            let _ = servo.steer(now(0), aim(Span::ZERO));
            let actions = servo.steer(now(60), aim(offset));
            let [Action::SetFrequency(frequency)] = actions[..] else { panic!("{actions:?}") };
            let until = servo.slew_due.unwrap() - now(60).raw;
            assert!((until - time).abs() < Span::from_millis(1), "{offset} {until}");
            let gained = Frequency::from_femto(frequency.as_femto() - 10_000_000_000).over(until);
            assert!((gained - offset).abs() < Span::from_nanos(offset.as_nanos().abs() / 1_000));
        }
    }

    #[test]
    fn a_clock_that_others_rely_on_is_not_hurried() {
        let mut servo = servo();
        servo.policy.forbid_steps();
        let _ = servo.steer(now(0), aim(Span::from_millis(10)));
        assert_eq!(servo.slew_due.unwrap() - now(0).raw, Span::from_secs(20));
    }

    #[test]
    fn steps_are_taken_only_in_the_first_updates() {
        let mut servo = servo();
        for _ in 0..3 {
            let actions = servo.steer(now(0), aim(Span::from_secs(-10)));
            assert_eq!(actions[0], Action::Step(Span::from_secs(-10)));
            servo.policy.count_updates(1);
        }
        let actions = servo.steer(now(0), aim(Span::from_secs(-10)));
        assert!(matches!(actions[..], [Action::SetFrequency(_)]), "{actions:?}");
    }

    #[test]
    fn a_refused_write_is_tried_again() {
        let mut servo = servo();
        let _ = servo.steer(now(0), aim(Span::from_micros(40)));
        let write = servo.outcome(now(0), Err(AdjustError::NotPermitted));
        assert_eq!(write, Some(Write::Frequency));
        assert_eq!(servo.error, Some(AdjustError::NotPermitted));
        assert!(servo.is_slew_due(now(4)));
        assert_eq!(servo.outcome(now(4), Ok(KernelClock::default())), None);
        assert_eq!(servo.error, None);
    }
}
