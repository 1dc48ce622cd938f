//! The fires of one schedule that were asked for and wait for a place.

use crate::Trigger;
use std::collections::BTreeSet;
use timeball_timebase::Timestamp;

/// The fires of one schedule that were asked for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Claimed, and waiting for a place; what is wanted now comes before backfills.
    waiting: BTreeSet<(bool, Timestamp)>,
    /// Backfills that are armed or run.
    backfills_active: usize,
    /// How many backfills may be armed or run at a time; one where nobody said.
    pub(super) parallel: usize,
}

impl Requests {
    /// Lets a fire wait.
    pub(super) fn wait(&mut self, at: Timestamp) {
        self.waiting.insert((is_backfill(at), at));
    }

    /// A fire no longer waits.
    pub(super) fn leave(&mut self, at: Timestamp) {
        self.waiting.remove(&(is_backfill(at), at));
    }

    /// Takes out the next that may be armed, now that there is a place.
    pub(super) fn take_next(&mut self) -> Option<Timestamp> {
        let (backfill, at) = *self.waiting.first()?;
        if backfill && self.backfills_active >= self.parallel.max(1) {
            return None;
        }
        self.waiting.pop_first();
        self.backfills_active += usize::from(backfill);
        Some(at)
    }

    /// One that was taken out has ended.
    pub(super) fn ended(&mut self, at: Timestamp) {
        self.backfills_active -= usize::from(is_backfill(at));
    }
}

/// Whether the fire with this key is a backfill.
pub(super) fn is_backfill(at: Timestamp) -> bool {
    Trigger::of(at) == Trigger::Backfill
}
