//! Another program that writes this clock: noticed, and given way to.
//!
//! Two servos on one clock fight, and both their bounds become wrong. Who sets the clock once may
//! be a person, and the engine puts it right; who does it again and again is another time service,
//! and the engine lays its own down: from then on it is as in observe mode. When the other has been
//! silent for long enough it takes the clock up again.

use std::collections::VecDeque;

use timeball_timebase::{Frequency, MonoTime, Now, Span};

use super::Engine;
use super::config::Due;
use super::discipline::{Discipline, Write};
use super::io::{Action, AdjustError, KernelClock};

/// So many foreign changes within so long a time are another time service.
const CHANGES_MAX: usize = 3;
const WITHIN: Span = Span::from_minutes(60);
/// A smaller jump may be two readings of the clocks with an interruption between them.
const JUMP_MIN: Span = Span::from_millis(10);
/// Whoever keeps a clock changes its frequency more often than this (1024 s is the usual limit).
const SILENCE: Span = Span::from_minutes(60);
/// While the clock is the other's, its frequency is read this often.
const LOOK_INTERVAL: Span = Span::from_secs(8);

/// What was seen of others, and the servo while it is laid down.
#[derive(Debug, Default)]
pub(super) struct Conflict {
    /// Changes by others, oldest first; at most [`CHANGES_MAX`].
    seen: VecDeque<MonoTime>,
    laid_down: Option<LaidDown>,
}

#[derive(Debug)]
struct LaidDown {
    frequency: Frequency,
    seen_at: MonoTime,
    look_at: MonoTime,
}

impl Conflict {
    /// Whether the clock was left to somebody else.
    pub(super) fn is_yielded(&self) -> bool {
        self.laid_down.is_some()
    }

    /// When the clock is to be looked at.
    pub(super) fn due(&self) -> Due {
        self.laid_down.as_ref().map(|laid_down| laid_down.look_at)
    }
}

impl Engine {
    /// Whether the clock is kept by this engine now: in discipline mode, and not left to another.
    ///
    /// To be asked just before each write. What comes of one action may be that the clock is
    /// another's from now on; a write that waits behind it is then left out, and has no outcome.
    pub fn keeps_clock(&self) -> bool {
        self.discipline.is_some()
    }

    /// Compares what the kernel had before our write, or after a write that left it alone, with
    /// what we wrote last. Returns whether it was another's.
    pub(super) fn compare_frequency(
        &mut self,
        now: Now,
        written: Frequency,
        write: Option<Write>,
        kernel: KernelClock,
    ) -> bool {
        let found = match write {
            Some(Write::Frequency) => kernel.found,
            Some(Write::Step(_) | Write::Status(_)) => Some(kernel.frequency),
            None => None,
        };
        let is_foreign = found.is_some_and(|found| found != written);
        if is_foreign {
            self.foreign_change(now);
        }
        is_foreign
    }

    /// Notes that somebody else moved the clock by `jump`.
    pub(super) fn foreign_jump(&mut self, now: Now, jump: Span) {
        if jump.abs() >= JUMP_MIN {
            self.foreign_change(now);
        }
    }

    fn foreign_change(&mut self, now: Now) {
        if let Some(laid_down) = &mut self.conflict.laid_down {
            laid_down.seen_at = now.raw;
            return;
        }
        let Some(servo) = &self.discipline else { return };
        let frequency = servo.kernel.frequency;
        let seen = &mut self.conflict.seen;
        seen.retain(|at| now.raw - *at < WITHIN);
        seen.push_back(now.raw);
        if seen.len() < CHANGES_MAX {
            return;
        }
        seen.clear();
        self.discipline = None;
        self.system_clock.rate_is_foreign(now);
        self.conflict.laid_down =
            Some(LaidDown { frequency, seen_at: now.raw, look_at: now.raw + LOOK_INTERVAL });
    }

    /// While the clock is another's: asks the kernel for its frequency now and then.
    pub(super) fn watch_the_other(&mut self, now: Now, actions: &mut Vec<Action>) {
        if let Some(laid_down) = &mut self.conflict.laid_down
            && now.raw >= laid_down.look_at
        {
            laid_down.look_at = now.raw + LOOK_INTERVAL;
            actions.push(Action::ReadKernel);
        }
    }

    /// Takes what the kernel answered; takes the clock up again when nobody else wants it.
    pub(super) fn look_at_the_other(&mut self, now: Now, result: Result<KernelClock, AdjustError>) {
        let (Some(laid_down), Ok(kernel)) = (&mut self.conflict.laid_down, result) else { return };
        if kernel.frequency != laid_down.frequency {
            laid_down.frequency = kernel.frequency;
            laid_down.seen_at = now.raw;
        }
        if now.raw - laid_down.seen_at >= SILENCE {
            self.conflict.laid_down = None;
            // Whoever has relied on the clock meanwhile must not see it step.
            let mut servo = Discipline::new(now, self.config.step, self.config.rtc, kernel);
            servo.policy.forbid_steps();
            self.discipline = Some(servo);
            self.system_clock.rate_written(now, kernel.frequency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ClockMode, EngineConfig, Input};
    use timeball_timebase::Timestamp;

    /// An engine without sources, so that all it does is to tell the kernel so.
    struct Rig {
        engine: Engine,
        seconds: i64,
        kernel: KernelClock,
        writes: u32,
    }

    impl Rig {
        fn new() -> Self {
            let kernel = KernelClock::default();
            let config = EngineConfig {
                mode: ClockMode::Discipline,
                kernel: Some(kernel),
                ..EngineConfig::default()
            };
            let mut engine = Engine::new(config, [1; 32], Self::at(0));
            let _ = engine.start(Self::at(0));
            Self { engine, seconds: 0, kernel, writes: 0 }
        }

        fn at(seconds: i64) -> Now {
            let span = Span::from_secs(seconds);
            let system = Timestamp::from_unix(1_795_000_000, 0) + span;
            Now::exact(MonoTime::ZERO + span, system)
        }

        /// Lets time pass, with a kernel that answers.
        fn pass(&mut self, seconds: i64) {
            let end = self.seconds + seconds;
            while self.seconds < end {
                self.seconds += 1;
                let now = Self::at(self.seconds);
                let mut actions = VecDeque::from(self.engine.handle_input(now, Input::Wake));
                while let Some(action) = actions.pop_front() {
                    let is_write = action.is_write();
                    if is_write && !self.engine.keeps_clock() {
                        continue;
                    }
                    self.writes += u32::from(is_write);
                    if is_write || action == Action::ReadKernel {
                        let outcome = Input::AdjustOutcome(Ok(self.kernel));
                        actions.extend(self.engine.handle_input(now, outcome));
                    }
                }
            }
        }

        fn somebody_writes(&mut self) {
            self.kernel.frequency = self.kernel.frequency + Frequency::from_ppm(1);
        }

        fn is_yielded(&self) -> bool {
            self.engine.report(Self::at(self.seconds)).yielded
        }
    }

    #[test]
    fn a_clock_that_another_service_keeps_is_left_to_it_until_it_falls_silent() {
        let mut rig = Rig::new();
        for change in 1..=3 {
            assert!(!rig.is_yielded(), "before change {change}");
            rig.somebody_writes();
            rig.pass(8);
        }
        assert!(rig.is_yielded());
        let writes = rig.writes;
        for _ in 0..3 {
            rig.pass(1_800);
            rig.somebody_writes();
        }
        rig.pass(3_600);
        assert!(rig.is_yielded());
        assert_eq!(rig.writes, writes, "nothing is written while it is the other's");
        rig.pass(20);
        assert!(!rig.is_yielded());
        assert!(rig.writes > writes);
    }

    #[test]
    fn a_write_that_waits_while_another_service_is_found_out_is_left_out() {
        let mut rig = Rig::new();
        for _ in 0..2 {
            rig.somebody_writes();
            rig.pass(8);
        }
        rig.seconds += 8;
        let now = Rig::at(rig.seconds);
        let mut waiting = rig.engine.handle_input(now, Input::Wake);
        assert!(waiting.iter().any(Action::is_write) && rig.engine.keeps_clock());
        // Before it is their turn, the outcome of a write ahead of them tells of the other.
        rig.somebody_writes();
        waiting.extend(rig.engine.handle_input(now, Input::AdjustOutcome(Ok(rig.kernel))));
        assert!(rig.is_yielded() && !rig.engine.keeps_clock());
        let after = rig.engine.handle_input(now, Input::Wake);
        assert!(!after.iter().any(Action::is_write), "{after:?}");
    }

    #[test]
    fn who_sets_the_clock_now_and_then_is_no_other_service() {
        let mut rig = Rig::new();
        for _ in 0..10 {
            rig.somebody_writes();
            rig.pass(1_801);
        }
        assert!(!rig.is_yielded());
    }

    #[test]
    fn our_own_writes_are_not_foreign() {
        let mut rig = Rig::new();
        let now = Rig::at(1);
        let written = KernelClock { frequency: Frequency::from_ppm(3), ..KernelClock::default() };
        let same = KernelClock { found: Some(written.frequency), ..written };
        for _ in 0..9 {
            let engine = &mut rig.engine;
            let write = Some(Write::Frequency);
            assert!(!engine.compare_frequency(now, written.frequency, write, same));
            assert!(!engine.compare_frequency(now, written.frequency, None, rig.kernel));
        }
        assert!(!rig.is_yielded());
        let other = KernelClock { found: Some(Frequency::ZERO), ..written };
        for _ in 0..3 {
            let write = Some(Write::Frequency);
            assert!(rig.engine.compare_frequency(now, written.frequency, write, other));
        }
        assert!(rig.is_yielded());
    }
}
