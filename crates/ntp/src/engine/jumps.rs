//! Jumps of the system clock that are none of ours: it was set, or the raw clock stood still.

use timeball_timebase::{Now, Span};

use super::Engine;
use super::interval::GROWTH_UNMEASURED;
use crate::sample::Sample;

/// Where nothing else counts on in suspend, the kernel takes the length of a sleep from the
/// hardware clock, in whole seconds: more may have been lost than the jump shows.
const SLEEP_ERROR_MIN: Span = Span::from_secs(1);

impl Engine {
    /// Takes a pair of readings; what the system clock did beside its rate has a reason.
    pub(super) fn look_at_system_clock(&mut self, now: Now) {
        let jump = self.system_clock.observe(now).filter(|jump| !self.is_leap_jump(now, *jump));
        let Some(jump) = jump else { return };
        if jump.is_negative() {
            self.counters.foreign_jumps += 1;
            self.foreign_jump(now, jump);
        } else {
            // Either the clock was set, or the raw clock stood still in suspend. The next
            // measurement tells; until then the promise must cover both.
            let lost = jump + GROWTH_UNMEASURED.over_ceil(jump).max(SLEEP_ERROR_MIN);
            self.constraints.allow_lost(lost);
            self.unexplained = Some(self.unexplained.map_or(jump, |earlier| earlier + jump));
            self.sources.iter_mut().for_each(|source| source.allow_lost(lost));
            if let Some(hull) = &mut self.hull {
                hull.promise.allow_lost(lost);
            }
            self.rates.interrupt(now.raw);
        }
        self.sources.iter_mut().for_each(|source| source.measure_anew(now.raw));
    }

    /// Decides by a measurement what a jump of the system clock was.
    pub(super) fn explain_jump(&mut self, now: Now, sample: &Sample) {
        let Some(jump) = self.unexplained.take() else { return };
        let Some(expected) = self.estimator.estimate_at(sample.at) else { return };
        let error = sample.offset - expected.offset;
        if (error - jump).abs() < error.abs() {
            self.counters.suspends += 1;
            // The jump tells what was lost more exactly than a measurement does, unless it cannot
            // be what was lost.
            let is_exact = (error - jump).abs() <= sample.error_margin();
            self.estimator.shift(if is_exact { jump } else { error });
        } else {
            self.counters.foreign_jumps += 1;
            self.foreign_jump(now, jump);
        }
    }
}
