//! Schedules that rest: suspended by their file, paused by a person, or by their failures.

use super::Action;
use super::entry::{Context, Entry};
use crate::trigger::is_requested;
use crate::{Outcome, Reason};
use timeball_timebase::Timestamp;

impl Entry {
    /// Why nothing of the schedule is fired at present; `None` if it is.
    pub(super) fn resting(&self) -> Option<Reason> {
        if self.spec.suspended {
            Some(Reason::Suspended)
        } else {
            self.paused.then_some(Reason::Paused)
        }
    }

    /// Pauses the schedule, or lets it go on.
    pub(super) fn set_paused(&mut self, paused: bool, cause: Reason, context: &mut Context<'_>) {
        if self.removed || self.paused == paused {
            return;
        }
        self.edit(cause, context, |entry| {
            entry.paused = paused;
            entry.failures = 0;
        });
    }

    /// Counts how often the target has failed in a row.
    pub(super) fn count_failure(&mut self, at: Timestamp, outcome: Outcome) {
        if is_requested(at) {
            return;
        }
        match outcome {
            Outcome::Fired => self.failures = 0,
            outcome if outcome.is_targets_failure() => {
                self.failures = self.failures.saturating_add(1);
            }
            _ => {}
        }
    }

    /// Pauses the schedule if it has failed as often as its limit says; whether it did.
    pub(super) fn pause_if_failing(&mut self, cause: Reason, context: &mut Context<'_>) -> bool {
        let failures = self.failures;
        let limit = self.spec.pause_on_failure.filter(|limit| failures >= *limit);
        if limit.is_none() || self.paused || self.removed {
            return false;
        }
        self.set_paused(true, cause, context);
        context.actions.push(Action::Pause { schedule: self.spec.uid, failures });
        true
    }
}
