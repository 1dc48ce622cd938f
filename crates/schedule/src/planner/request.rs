//! Fires that somebody asked for: run now, and instants of the past run again.
//!
//! They are claimed, armed and recorded as all others, under keys of their own (see
//! [`crate::Trigger`]), and have places to run as the concurrency policy says: where all are taken
//! they wait, and the first free one is theirs. Deadline and catch-up are about instants that come
//! by themselves and do not concern them; neither does a pause that came before them, but one that
//! comes after takes back what has not begun.

use super::entry::{Context, Entry, Fire, Stage};
use super::queue::is_backfill;
use crate::trigger::is_requested;
use crate::{Outcome, Reason};
use timeball_timebase::Timestamp;

impl Entry {
    /// Puts fires among those that are to be claimed; beyond the limit of fires in flight they are
    /// skipped.
    pub(super) fn request(
        &mut self,
        fires: Vec<Timestamp>,
        parallel: usize,
        context: &mut Context<'_>,
    ) {
        let limit = context.options.limits.in_flight_per_schedule;
        if fires.iter().any(|at| is_backfill(*at)) {
            self.requests.get_or_insert_default().parallel = parallel;
        }
        for at in fires {
            if self.removed || !is_requested(at) || self.fires.contains_key(&at) {
                continue;
            }
            if self.fires.len() >= limit {
                self.note(at, at, 1, Outcome::Skipped(Reason::ActiveLimit), context);
                continue;
            }
            self.fires.insert(at, Fire::new(context.now, Stage::Unclaimed, true));
            self.unclaimed.insert(at);
        }
    }

    /// Lets a claimed fire wait for a place.
    pub(super) fn await_place(&mut self, at: Timestamp) {
        self.requests.get_or_insert_default().wait(at);
    }

    /// Arms what waits, as far as there are places.
    pub(super) fn arm_requested(&mut self, places: usize, context: &mut Context<'_>) {
        while self.active < places
            && let Some(at) = self.requests.as_mut().and_then(|requests| requests.take_next())
        {
            // It is late by what it takes from here on: nobody said when its turn would come.
            let fire = self.fires.get_mut(&at).expect("a fire that waits is in flight");
            fire.release_at = context.now;
            self.arm(at, context);
        }
    }

    /// A fire that was armed has ended.
    pub(super) fn free_place(&mut self, at: Timestamp) {
        self.active -= 1;
        if let Some(requests) = self.requests.as_mut().filter(|_| is_requested(at)) {
            requests.ended(at);
        }
    }
}
