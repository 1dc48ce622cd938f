//! Jumps of the system clock that are none of ours: it was set, or the raw clock stood still.

use timeball_timebase::{Interval, MonoTime, Now, Span};

use super::Engine;
use super::interval::GROWTH_UNMEASURED;
use crate::sample::Sample;

/// Where nothing else counts on in suspend, the kernel takes the length of a sleep from the
/// hardware clock, in whole seconds: more may have been lost than the jump shows.
const SLEEP_ERROR_MIN: Span = Span::from_secs(1);

/// After a jump every source is asked a few times in a row, but not more often than this: some
/// hypervisors set the clock every minute. In between each is asked once, and soon.
const ROWS_INTERVAL: Span = Span::from_minutes(10);

/// A jump of the system clock forward.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jump {
    /// How far it went.
    seen: Span,
    /// How much the raw clock may have lost, if that is what it was.
    pub(super) lost_max: Span,
}

impl Engine {
    /// Takes a pair of readings; what the system clock did beside its rate has a reason.
    pub(super) fn look_at_system_clock(&mut self, now: Now) {
        self.take_readings(now, false);
    }

    /// The same; `is_told`: the kernel says that somebody set it.
    pub(super) fn take_readings(&mut self, now: Now, is_told: bool) {
        let jump = self.system_clock.observe(now, is_told);
        let Some(jump) = jump.filter(|jump| !self.is_leap_jump(now, *jump)) else { return };
        if jump.is_negative() {
            self.counters.foreign_jumps += 1;
            self.foreign_jump(now, jump);
        } else {
            // Either the clock was set, or the raw clock stood still in suspend. The next
            // measurement of a source that is believed tells; until then the promise must cover
            // both.
            let lost = jump + GROWTH_UNMEASURED.over_ceil(jump).max(SLEEP_ERROR_MIN);
            self.constraints.allow_lost(lost);
            let earlier = self.unexplained.unwrap_or_default();
            self.unexplained =
                Some(Jump { seen: earlier.seen + jump, lost_max: earlier.lost_max + lost });
            self.sources.iter_mut().for_each(|source| source.allow_lost(lost));
            if let Some(hull) = &mut self.hull {
                hull.promise.allow_lost(lost);
            }
            self.rates.interrupt(now.raw);
        }
        let in_rows = self.rows_at.is_none_or(|at| now.raw - at >= ROWS_INTERVAL);
        if in_rows {
            self.rows_at = Some(now.raw);
        }
        self.sources.iter_mut().for_each(|source| source.measure_anew(now.raw, in_rows));
    }

    /// Decides what a jump of the system clock was, by the best measurement since of those that are
    /// used.
    pub(super) fn explain_jump(&mut self, now: Now) {
        if self.unexplained.is_none() {
            return;
        }
        let used = self.sources.iter().filter(|source| source.is_used());
        let newest = used.filter_map(|source| source.newest);
        let Some(sample) = newest.min_by_key(Sample::error_margin) else { return };
        let Some(Jump { seen, .. }) = self.unexplained.take() else { return };
        let Some(expected) = self.estimator.estimate_at(sample.at) else { return };
        let error = sample.offset - expected.offset;
        if (error - seen).abs() < error.abs() {
            self.counters.suspends += 1;
            // The jump tells what was lost more exactly than a measurement does, unless it cannot
            // be what was lost.
            let is_exact = (error - seen).abs() <= sample.error_margin();
            self.estimator.shift(if is_exact { seen } else { error });
        } else {
            self.counters.foreign_jumps += 1;
            self.foreign_jump(now, seen);
        }
    }

    /// Where true time may be by the estimate alone, whatever a jump was that is unexplained.
    pub(super) fn credible_at(&self, at: MonoTime) -> Option<Interval> {
        let Interval { earliest, latest } = self.estimator.credible_at(at)?;
        let lost = self.unexplained.map_or(Span::ZERO, |jump| jump.lost_max);
        Some(Interval { earliest, latest: latest + lost })
    }
}
