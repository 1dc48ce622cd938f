//! What the changes of the clocks ahead do to a schedule.

use super::pattern::Pattern;
use super::zone::Stretch;
use super::{MAX_US, MIN_US, Schedule, When, moment};
use timeball_timebase::Timestamp;

/// A change of the clocks that touches times of a schedule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trap {
    /// When the clocks are changed.
    pub at: Timestamp,
    /// By how much they are set forward, in seconds; negative for back.
    pub change_s: i64,
    /// The first time on the wall that is touched, written as if it were UTC.
    pub local: Timestamp,
    /// How many times on the wall are touched; at least one.
    pub count: u64,
    /// What becomes of them.
    pub effect: TrapEffect,
}

/// What becomes of times on the wall that a change of the clocks skips or repeats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TrapEffect {
    /// They do not exist and run as one, right after the jump.
    AtTheJump,
    /// They do not exist and do not run.
    Skipped,
    /// They exist twice and run once, the first time.
    Once,
    /// They exist twice and run twice.
    Twice,
}

impl Schedule {
    /// The changes of the clocks after `after` and up to `until` that skip or repeat times of the
    /// schedule, in order. Periods and listed instants have none: they do not follow the wall,
    /// and so has a change on a day that does not count.
    pub fn traps(&self, after: Timestamp, until: Timestamp) -> Vec<Trap> {
        let When::Local(pattern) = &self.when else { return Vec::new() };
        let us = |at: Timestamp| at.as_unix_nanos().div_euclid(1_000).clamp(MIN_US, MAX_US);
        let (first, last) = (self.zone.stretch_at(us(after)) + 1, self.zone.stretch_at(us(until)));
        let counts = |index: &usize| {
            let at = self.zone.stretches()[*index].start_us;
            !self.filter.as_ref().is_some_and(|filter| filter.is_blocked_around(at))
        };
        (first..=last).filter(counts).filter_map(|index| self.trap(pattern, index)).collect()
    }

    /// The trap at the beginning of a stretch of the zone's time.
    fn trap(&self, pattern: &Pattern, index: usize) -> Option<Trap> {
        let Stretch { start_us, offset_us } = self.zone.stretches()[index];
        let before = self.zone.stretches()[index - 1].offset_us;
        let (old, new) = (start_us + before, start_us + offset_us);
        let (from, to) = (old.min(new), old.max(new));
        let count = pattern.count(from, to);
        let local = pattern.next(from).filter(|_| count > 0)?;
        let occurrences = self.occurrences(pattern);
        let effect = match new > old {
            true if occurrences.fills(index) => TrapEffect::AtTheJump,
            true => TrapEffect::Skipped,
            false if occurrences.holds_back(index) => TrapEffect::Once,
            false => TrapEffect::Twice,
        };
        Some(Trap {
            at: moment::timestamp(start_us),
            change_s: (new - old) / super::SECOND_US,
            local: moment::timestamp(local),
            count,
            effect,
        })
    }
}
