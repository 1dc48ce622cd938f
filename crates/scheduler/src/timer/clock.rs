//! What is known of the clock, also while the system clock has just been set.
//!
//! The time loop tells how far the system clock is from UTC, which is wrong for a moment after that
//! was set. Then its bound has to allow for a machine that was asleep, until a measurement says
//! more. But the kernel counts sleep: a clock that jumped forward while the machine was awake was
//! set by somebody, and `Auto` takes it for right only where it lies within the bound without that.
//!
//! After a large setting the time loop has to tell that nothing is known. Then what it told before
//! is carried on by the raw clock, which nobody sets; as an estimate to go by, not as a promise.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use timeball_runtime::ClockCell;
use timeball_timebase::{ClockState, MonoTime, Now, Span, Timestamp};

/// Beyond this bound an estimate is carried no further, as the time loop would not (RFC 5905
/// MAXDISP).
const CARRIED_BOUND_MAX: Span = Span::from_secs(16);

/// Less is taken for the time that a thread was not running between the readings of both clocks.
pub(crate) const JUMP_MIN: Span = Span::from_millis(100);
/// The kernel slews a clock by up to a tenth of the time, and half a thousandth.
const SLEW_SHARE: i64 = 8;

/// Whether a clock that moved by this beside the raw clock, which went on by `elapsed`, was set.
pub(crate) fn is_jump(by: Span, elapsed: Span) -> bool {
    by.abs() > JUMP_MIN + elapsed / SLEW_SHARE
}

/// The state of the machine's clock with what its setting makes of it. One thread notes settings
/// and reviews them; any number of others read.
#[derive(Debug)]
pub(crate) struct FollowedClock {
    cell: Arc<ClockCell>,
    /// How far the system clock was set, positive forward, sleep aside; in nanoseconds, and zero
    /// once that matters no more.
    set_by: AtomicI64,
    /// When that was noticed, by the raw clock in nanoseconds.
    set_at: AtomicI64,
    /// What the time loop had told before a setting, while that matters; else at the last review.
    told_before: ClockCell,
}

/// What is known of the clock at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(super) state: ClockState,
    /// How far the system clock may be from the estimate and `Auto` still keep to it; `None` while
    /// nothing is known of UTC.
    pub(super) trust: Option<Span>,
}

impl Known {
    /// What the time loop tells. This much of its bound (zero or more) is for the case that the
    /// machine slept, which it did not.
    pub(super) fn told(state: ClockState, now: Now, allowance: Span) -> Self {
        let trust = state.bound.map(|bound| bound.half_width_at(now.raw) - allowance);
        Self { state, trust }
    }
}

impl FollowedClock {
    pub(crate) fn new(cell: Arc<ClockCell>) -> Self {
        let told_before = ClockCell::new();
        told_before.publish(cell.last());
        Self { cell, set_by: AtomicI64::new(0), set_at: AtomicI64::new(0), told_before }
    }

    /// What is known at `now`.
    pub(crate) fn read(&self, now: Now) -> Known {
        let mut state = self.cell.read_at(now.raw);
        let Some(set_by) = self.setting() else {
            return Known::told(state, now, Span::ZERO);
        };
        if state.offset.is_none() {
            return self.carried(state, now).unwrap_or(Known::told(state, now, Span::ZERO));
        }
        let allowance = set_by.max(Span::ZERO);
        if self.precedes_setting(&state, set_by, now) {
            state.offset = state.offset.map(|offset| offset - set_by);
            if let Some(bound) = &mut state.bound {
                bound.half_width += allowance;
                state.lean += allowance / 2;
            }
        }
        Known::told(state, now, allowance)
    }

    /// Notes that the system clock jumped by this beside its rate and what the machine slept.
    pub(crate) fn note_set(&self, by: Span, now: Now) {
        let state = self.cell.read_at(now.raw);
        let open = self.setting();
        let is_unknown = state.offset.is_none();
        if is_unknown && open.is_none() {
            let was_known = self.told_before.last().offset.is_some();
            if !was_known || is_from_before(&state, by, now) {
                // Nobody knew better than the system clock.
                return;
            }
        } else if open.is_none() && is_from_before(&state, by, now) {
            self.told_before.publish(state);
        }
        let unheard = open.filter(|by| is_unknown || self.precedes_setting(&state, *by, now));
        let by = by + unheard.unwrap_or(Span::ZERO);
        self.set_at.store(now.raw.as_nanos(), Ordering::Relaxed);
        self.set_by.store(by.as_nanos(), Ordering::Release);
    }

    /// Notes that the machine slept for so long, in which the raw clock stood still.
    pub(crate) fn note_slept(&self, asleep: Span) {
        let mut before = self.told_before.last();
        before.system += asleep;
        self.told_before.publish(before);
    }

    /// Forgets a setting of which the time loop knows as much as can be known.
    pub(crate) fn review(&self, now: Now) {
        let state = self.cell.read_at(now.raw);
        let Some(set_by) = self.setting() else {
            if self.told_before.last() != state {
                self.told_before.publish(state);
            }
            return;
        };
        if state.offset.is_none() {
            if self.carried(state, now).is_none() {
                self.set_by.store(0, Ordering::Release);
            }
            return;
        }
        if self.precedes_setting(&state, set_by, now) {
            return;
        }
        let reading = state.reading(now);
        let apart = (reading.estimate - now.system).abs();
        // Until then the bound allows for all of a jump forward.
        let is_measured = reading.half_width.is_none_or(|bound| bound < set_by / 2);
        if set_by.is_negative() || is_measured || apart < set_by / 2 {
            self.set_by.store(0, Ordering::Release);
        }
    }

    /// What was known before a setting, carried on to `now`, while the time loop tells nothing: an
    /// estimate without a promise.
    fn carried(&self, told: ClockState, now: Now) -> Option<Known> {
        let before = self.told_before.last();
        let trust = before.bound?.half_width_at(now.raw);
        if trust > CARRIED_BOUND_MAX {
            return None;
        }
        let elapsed = now.raw - before.as_of;
        let utc: Timestamp =
            before.system + before.offset? + elapsed - before.frequency.over(elapsed);
        let offset = Some(utc - now.system);
        let Now { raw: as_of, system, .. } = now;
        let state = ClockState { as_of, system, offset, drift: before.drift, ..told };
        Some(Known { state, trust: Some(trust) })
    }

    fn setting(&self) -> Option<Span> {
        let by = Span::from_nanos(self.set_by.load(Ordering::Acquire));
        (by != Span::ZERO).then_some(by)
    }

    /// Whether a state is about the system clock as it was before it was set.
    fn precedes_setting(&self, state: &ClockState, set_by: Span, now: Now) -> bool {
        let noticed_at = MonoTime::from_nanos(self.set_at.load(Ordering::Relaxed));
        // It may have been published between the setting and its notice.
        state.as_of < noticed_at && is_from_before(state, set_by, now)
    }
}

/// Whether the system clock has been set by about this much, and not by about nothing, since a
/// state was published.
fn is_from_before(state: &ClockState, set_by: Span, now: Now) -> bool {
    let moved = (now.system - state.system) - (now.raw - state.as_of);
    (moved - set_by).abs() < moved.abs()
}

#[cfg(test)]
mod tests {
    use super::super::lanes::times;
    use super::*;
    use timeball_timebase::{Bound, Frequency, SyncState, Timestamp};

    const NOON: Timestamp = Timestamp::from_unix(1_795_000_000, 0);
    const HOUR: Span = Span::from_secs(3_600);
    const BOUND: Span = Span::from_millis(5);

    /// A machine whose system clock is ahead of UTC, and its time loop.
    struct Machine {
        cell: Arc<ClockCell>,
        clock: FollowedClock,
        /// Since noon, by the raw clock.
        elapsed: Span,
        ahead: Span,
    }

    impl Machine {
        fn new() -> Self {
            let cell = Arc::new(ClockCell::new());
            let clock = FollowedClock::new(Arc::clone(&cell));
            let machine = Self { cell, clock, elapsed: Span::ZERO, ahead: Span::ZERO };
            machine.publish(Span::ZERO);
            machine.clock.review(machine.now());
            machine
        }

        fn now(&self) -> Now {
            let raw = MonoTime::from_nanos(7) + self.elapsed;
            Now::exact(raw, NOON + self.elapsed + self.ahead)
        }

        /// The time loop tells what is true, and allows for a time that the machine may have slept.
        fn publish(&self, allowance: Span) {
            let Now { raw: as_of, system, .. } = self.now();
            let half_width = BOUND + allowance;
            self.cell.publish(ClockState {
                state: SyncState::Synchronized,
                as_of,
                system,
                offset: Some(-self.ahead),
                bound: Some(Bound { as_of, half_width, growth: Frequency::ZERO }),
                lean: allowance / 2,
                ..ClockState::default()
            });
        }

        /// The time loop cannot tell anything.
        fn publish_nothing(&self) {
            let Now { raw: as_of, system, .. } = self.now();
            self.cell.publish(ClockState { as_of, system, ..ClockState::default() });
        }

        /// A second later somebody sets the clock, and that is noticed at once.
        fn set(&mut self, by: Span) {
            self.elapsed += Span::from_secs(1);
            self.ahead += by;
            self.clock.note_set(by, self.now());
        }

        /// How far `Auto` and `UTC` are from the truth.
        fn errors(&self) -> [Span; 2] {
            self.clock.review(self.now());
            let times = times(&self.clock.read(self.now()), self.now());
            assert_eq!(times.system, self.now().system);
            [times.auto, times.utc].map(|time| time - NOON - self.elapsed)
        }
    }

    #[test]
    fn a_system_clock_that_is_set_forward_is_not_followed_while_nobody_agrees() {
        let mut machine = Machine::new();
        machine.set(HOUR);
        assert_eq!(machine.errors(), [Span::ZERO; 2], "nobody has told of it");
        machine.publish(HOUR);
        assert_eq!(machine.errors(), [Span::ZERO; 2], "the machine may have slept");
        machine.publish(Span::ZERO);
        assert_eq!(machine.errors(), [Span::ZERO; 2], "it has not");
        assert!(machine.clock.setting().is_none());
        machine.set(-HOUR);
        assert_eq!(machine.errors(), [Span::ZERO; 2], "set back, and nobody has told of it");
        machine.publish(Span::ZERO);
        assert_eq!(machine.errors(), [Span::ZERO; 2]);
        assert!(machine.clock.setting().is_none());
    }

    #[test]
    fn while_the_time_loop_can_tell_nothing_after_a_setting_its_estimate_is_carried_on() {
        for told_first in [false, true] {
            let mut machine = Machine::new();
            machine.elapsed += Span::from_secs(1);
            machine.ahead += HOUR;
            if told_first {
                machine.publish_nothing();
            }
            machine.clock.note_set(HOUR, machine.now());
            assert_eq!(machine.errors(), [Span::ZERO; 2]);
            machine.publish_nothing();
            machine.elapsed += HOUR;
            assert_eq!(machine.errors(), [Span::ZERO; 2]);
            let known = machine.clock.read(machine.now());
            assert_eq!(known.state.reading(machine.now()).half_width, None, "not a promise");
            machine.set(-HOUR / 2);
            assert_eq!(machine.errors(), [Span::ZERO; 2], "set again meanwhile");
            machine.publish(HOUR / 2);
            assert_eq!(machine.errors(), [Span::ZERO; 2], "the machine may have slept");
            machine.publish(Span::ZERO);
            assert_eq!(machine.errors(), [Span::ZERO; 2], "it has not");
            assert!(machine.clock.setting().is_none());
        }
    }

    #[test]
    fn an_estimate_that_is_carried_on_goes_by_the_rates_of_the_clocks_and_over_a_sleep() {
        let mut machine = Machine::new();
        // The oscillator loses 100 ppm, and the system clock with it.
        let frequency = Frequency::from_ppm(-100);
        machine.cell.publish(ClockState { frequency, ..machine.cell.last() });
        machine.clock.review(machine.now());
        machine.set(HOUR);
        machine.publish_nothing();
        machine.elapsed += Span::from_secs(9_999);
        assert_eq!(machine.errors(), [Span::from_secs(1); 2]);
        machine.ahead += HOUR;
        machine.clock.note_slept(HOUR);
        assert_eq!(machine.errors(), [HOUR + Span::from_secs(1); 2]);
    }

    #[test]
    fn an_estimate_is_carried_on_no_further_than_a_bound_of_16_s() {
        let mut machine = Machine::new();
        let bound = Bound { growth: Frequency::from_ppm(10), ..machine.cell.last().bound.unwrap() };
        machine.cell.publish(ClockState { bound: Some(bound), ..machine.cell.last() });
        machine.clock.review(machine.now());
        machine.set(HOUR);
        machine.publish_nothing();
        machine.elapsed += Span::from_secs(1_590_000);
        assert_eq!(machine.errors(), [Span::ZERO; 2]);
        machine.elapsed += Span::from_secs(10_000);
        assert_eq!(machine.errors(), [HOUR; 2]);
        assert!(machine.clock.setting().is_none());
    }

    #[test]
    fn a_system_clock_that_is_set_forward_and_back_at_once_is_followed_again() {
        for told_between in [false, true] {
            let mut machine = Machine::new();
            machine.set(HOUR);
            if told_between {
                machine.publish(HOUR);
            }
            machine.set(-HOUR);
            assert_eq!(machine.errors(), [Span::ZERO; 2]);
            machine.publish(HOUR);
            assert_eq!(machine.errors(), [Span::ZERO; 2]);
            assert!(machine.clock.setting().is_none());
        }
    }

    #[test]
    fn a_system_clock_that_is_set_within_the_bound_is_followed() {
        let mut machine = Machine::new();
        machine.publish(HOUR * 2 - BOUND);
        machine.set(HOUR);
        assert_eq!(machine.errors(), [HOUR, Span::ZERO], "nobody has told of it");
        machine.publish(HOUR * 3 - BOUND);
        assert_eq!(machine.errors(), [HOUR, Span::ZERO]);
    }

    #[test]
    fn a_system_clock_that_is_put_right_is_followed_from_then_on() {
        let mut machine = Machine::new();
        machine.ahead = -HOUR;
        machine.publish(Span::ZERO);
        assert_eq!(machine.errors(), [Span::ZERO; 2]);
        machine.set(HOUR);
        assert_eq!(machine.errors(), [Span::ZERO; 2], "nobody has told of it");
        machine.publish(HOUR);
        assert_eq!(machine.errors(), [Span::ZERO; 2]);
        assert!(machine.clock.setting().is_none());
    }

    #[test]
    fn while_nothing_is_known_of_the_clock_its_settings_are_its_own_affair() {
        let mut machine = Machine::new();
        machine.cell.publish(ClockState::default());
        machine.set(HOUR);
        assert_eq!(machine.errors(), [HOUR; 2]);
        assert!(machine.clock.setting().is_none());
    }
}
