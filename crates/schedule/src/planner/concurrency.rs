//! Which claimed fires may run: places are given in the order of release.

use super::entry::{Afterwards, Context, Entry, Stage};
use super::{Action, Concurrency, OutcomeRecord, PlannerOptions};
use crate::{FireDetail, Outcome, Reason};
use timeball_timebase::{Span, Timestamp};

impl Entry {
    /// How many fires may be armed or run at a time. A fire is armed ahead only when it can have a
    /// place, so the firing thread never needs to ask whether an earlier one still runs.
    fn places(&self, options: &PlannerOptions) -> usize {
        match self.spec.concurrency {
            Concurrency::Forbid | Concurrency::BufferOne => 1,
            Concurrency::Allow | Concurrency::Replace => options.limits.active_per_schedule,
        }
    }

    /// Arms what has a place and decides about what is due without one.
    pub(super) fn settle(&mut self, context: &mut Context<'_>) {
        let places = self.places(context.options);
        self.arm_requested(places, context);
        let mut after = (Timestamp::MIN, Timestamp::MIN);
        while let Some(&(release_at, at)) = self.pending.range(after..).next() {
            after = (release_at, at + Span::NANOSECOND);
            if self.not_after(release_at).is_some_and(|last| last < context.now) {
                self.drop_idle(at, Outcome::Missed(Reason::DeadlineExceeded), context);
            } else if self.active < places {
                self.pending.remove(&(release_at, at));
                self.buffered = self.buffered.filter(|waiting| *waiting != at);
                self.arm(at, context);
            } else if release_at > context.now {
                break;
            } else if !self.fires[&at].late && self.buffered != Some(at) {
                self.decide_without_place(at, context);
            }
        }
    }

    /// Decides about a fire that is due while all places are taken.
    fn decide_without_place(&mut self, at: Timestamp, context: &mut Context<'_>) {
        match self.spec.concurrency {
            Concurrency::Forbid => {
                self.drop_idle(at, Outcome::Skipped(Reason::AlreadyActive), context);
            }
            Concurrency::BufferOne => {
                if let Some(earlier) = self.buffered {
                    self.drop_idle(earlier, Outcome::Skipped(Reason::Replaced), context);
                }
                self.buffered = Some(at);
            }
            Concurrency::Allow | Concurrency::Replace => {
                self.drop_idle(at, Outcome::Skipped(Reason::ActiveLimit), context);
            }
        }
    }

    /// An armed fire was released.
    pub(super) fn released(
        &mut self,
        at: Timestamp,
        detail: FireDetail,
        context: &mut Context<'_>,
    ) {
        let Some(fire) = self.fires.get_mut(&at) else { return };
        if !matches!(fire.stage, Stage::Armed { .. }) {
            return;
        }
        fire.stage = Stage::Released { stopped: false };
        fire.detail = detail;
        if self.spec.concurrency == Concurrency::Replace {
            let schedule = self.spec.uid;
            for (earlier, fire) in self.fires.range_mut(..at) {
                if fire.stage == (Stage::Released { stopped: false }) {
                    fire.stage = Stage::Released { stopped: true };
                    let id = crate::FireId { schedule, scheduled_at: *earlier };
                    context.actions.push(Action::Stop(id));
                }
            }
        }
    }

    /// A fire ended, released or not; what passes unclaimed at present is missed because of
    /// `cause`.
    pub(super) fn finished(
        &mut self,
        at: Timestamp,
        outcome: Outcome,
        duration: Option<Span>,
        cause: Reason,
        context: &mut Context<'_>,
    ) {
        let Some(fire) = self.fires.get(&at) else { return };
        let outcome = match (fire.stage, outcome) {
            (
                Stage::Armed { revoked: Some(Afterwards::Rearm) },
                Outcome::Skipped(Reason::Revoked),
            ) => {
                self.free_place(at);
                self.prepare_anew(at, context);
                return;
            }
            (
                Stage::Armed { revoked: Some(Afterwards::Record(wanted)) },
                Outcome::Skipped(_) | Outcome::Missed(_),
            ) => fire.unreleased(wanted),
            (Stage::Armed { .. }, outcome) => fire.unreleased(outcome),
            (Stage::Released { stopped: true }, Outcome::Failed(_)) => {
                Outcome::Failed(Reason::Replaced)
            }
            (Stage::Released { .. }, outcome) => outcome,
            (Stage::Unclaimed | Stage::Claiming { .. } | Stage::Pending, _) => return,
        };
        let fire = self.fires.remove(&at).expect("it was found above");
        self.free_place(at);
        if matches!(outcome, Outcome::Missed(_) | Outcome::Skipped(_) | Outcome::Unknown) {
            self.settle_ahead(at, context);
            self.note(at, at, 1, outcome, context);
        } else {
            let detail = FireDetail { duration, ..fire.detail };
            let schedule = self.spec.uid;
            let record = OutcomeRecord { schedule, from: at, until: at, count: 1, outcome, detail };
            context.actions.push(Action::Record(record));
            self.count_failure(at, outcome);
        }
        if !self.pause_if_failing(cause, context) {
            self.settle(context);
        }
    }

    /// Lets a revoked fire wait for its place again, under the schedule as it is now.
    fn prepare_anew(&mut self, at: Timestamp, context: &mut Context<'_>) {
        let release_at = self.release_at(at);
        let fire = self.fires.get_mut(&at).expect("a fire that is prepared anew is in flight");
        fire.stage = Stage::Pending;
        fire.release_at = release_at;
        self.pending.insert((release_at, at));
        self.settle(context);
    }
}
