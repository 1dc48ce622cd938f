//! Instants that passed: which are fired late, and what becomes of the others.
//!
//! However many there are, the work is bounded: at most the catch-up limit is looked at one by one,
//! the rest is counted by arithmetic and recorded as a run.

use super::entry::{Afterwards, Context, Entry, Stage};
use super::{CatchUpPolicy, PlannerOptions};
use crate::trigger::is_requested;
use crate::{Outcome, Reason};
use std::collections::BTreeSet;
use timeball_timebase::{Span, Timestamp};

/// A fire this late is only late; later, it counts as passed while nobody was there.
const TOLERANCE: Span = Span::from_millis(50);

impl Entry {
    /// How many passed instants are fired late.
    fn late_limit(&self, options: &PlannerOptions) -> usize {
        match self.spec.catch_up.policy {
            CatchUpPolicy::None => 0,
            CatchUpPolicy::Latest => 1,
            CatchUpPolicy::All => (self.spec.catch_up.limit as usize).min(options.limits.catch_up),
        }
    }

    /// Whether catch-up may still fire an instant.
    fn is_eligible(&self, at: Timestamp, release_at: Timestamp, now: Timestamp) -> bool {
        now - at <= self.spec.catch_up.window
            && self.not_after(release_at).is_none_or(|last| last >= now)
    }

    /// Accounts for the instants after the frontier that have passed: the latest of them are
    /// planned late, as many as the policy says; the others are missed because of `cause`.
    pub(super) fn catch_up(&mut self, cause: Reason, context: &mut Context<'_>) {
        let passed = context.now - TOLERANCE;
        let Some(first) = self.next.filter(|next| *next < passed) else { return };
        if self.resting().is_some() {
            self.account_resting(context);
            return;
        }
        let last = self.last_before(passed);
        let planned = self.plan_passed(first, last, context);
        let mut from = Some(first);
        for at in planned {
            let until = self.spec.schedule.previous_before(at);
            if let Some((from, until)) = from.zip(until).filter(|(from, until)| from <= until) {
                self.note_missed(from, until, cause, context);
            }
            from = self.spec.schedule.next_after(at);
        }
        if let Some(from) = from.filter(|from| *from <= last) {
            self.note_missed(from, last, cause, context);
        }
        self.account_until(last);
    }

    /// Plans those instants from `first` to `last` that are not missed, and returns them: whose
    /// release is still to come thanks to their jitter, and those that are fired late.
    fn plan_passed(
        &mut self,
        first: Timestamp,
        last: Timestamp,
        context: &Context<'_>,
    ) -> BTreeSet<Timestamp> {
        let passed = context.now - TOLERANCE;
        let limit = context.options.limits.in_flight_per_schedule;
        let room = limit.saturating_sub(self.fires.len());
        let mut places = self.late_limit(context.options);
        let mut planned = BTreeSet::new();
        let mut candidate = Some(last);
        // Each step plans one or passes one whose neighbours may yet be planned.
        for _ in 0..2 * limit {
            let Some(at) = candidate.filter(|at| *at >= first && planned.len() < room) else {
                break;
            };
            let release_at = self.release_at(at);
            if release_at >= passed {
                self.plan(at, false);
                planned.insert(at);
            } else if places > 0 && self.is_eligible(at, release_at, context.now) {
                places -= 1;
                self.plan(at, true);
                planned.insert(at);
            } else if passed - at > self.spec.jitter {
                break;
            }
            candidate = self.spec.schedule.previous_before(at);
        }
        planned
    }

    /// Notes that the instants from `first` to `last` were missed: those that `All` would have
    /// fired but for its limit because of the limit, the others because of `cause`.
    fn note_missed(
        &mut self,
        first: Timestamp,
        last: Timestamp,
        cause: Reason,
        context: &mut Context<'_>,
    ) {
        let mut from = first;
        if self.spec.catch_up.policy == CatchUpPolicy::All {
            let reach = self.spec.deadline.map_or(self.spec.catch_up.window, |deadline| {
                deadline.min(self.spec.catch_up.window)
            });
            // The first instant that lies within both window and deadline.
            let within = self.spec.schedule.next_after(context.now - reach - Span::NANOSECOND);
            from = within.unwrap_or(Timestamp::MAX).max(first);
        } else {
            from = from.max(last + Span::NANOSECOND);
        }
        if let Some(until) = self.spec.schedule.previous_before(from).filter(|at| *at >= first) {
            self.note_run(first, until.min(last), Outcome::Missed(cause), context);
        }
        if from <= last {
            self.note_run(from, last, Outcome::Missed(Reason::CatchUpLimit), context);
        }
        self.close_run(context);
    }

    /// Notes a run of instants, of which `first` and `last` are two.
    fn note_run(
        &mut self,
        first: Timestamp,
        last: Timestamp,
        outcome: Outcome,
        context: &mut Context<'_>,
    ) {
        let count = self.spec.schedule.count_between(first, last, u64::MAX);
        self.note(first, last, count, outcome, context);
    }

    /// Accounts for everything that passed unfired up to now, without firing any of it late.
    pub(super) fn account_passed(&mut self, outcome: Outcome, context: &mut Context<'_>) {
        if let Some(first) = self.next.filter(|next| *next <= context.now) {
            let last = self.last_before(context.now + Span::NANOSECOND);
            self.note_run(first, last, outcome, context);
            self.close_run(context);
            self.account_until(last);
        }
    }

    /// Accounts for the instants that passed while the schedule rests.
    pub(super) fn account_resting(&mut self, context: &mut Context<'_>) {
        if let Some(reason) = self.resting() {
            self.account_passed(Outcome::Skipped(reason), context);
        }
    }

    /// The last instant before `end`, where one after the frontier is known to be.
    fn last_before(&self, end: Timestamp) -> Timestamp {
        self.spec.schedule.previous_before(end).expect("an instant lies between frontier and end")
    }

    /// Chooses again among fires that passed unreleased: because the store failed (then only those
    /// that are unclaimed), the clock was set forward over them, or nobody was there.
    pub(super) fn choose_late(
        &mut self,
        cause: Reason,
        only_unclaimed: bool,
        context: &mut Context<'_>,
    ) {
        let passed = context.now - TOLERANCE;
        let candidates: Vec<Timestamp> = self
            .fires
            .iter()
            .filter(|(at, _)| !is_requested(**at))
            .filter(|(at, fire)| {
                let open = match fire.stage {
                    Stage::Unclaimed => true,
                    Stage::Claiming { then: None } | Stage::Armed { revoked: None } => {
                        !only_unclaimed
                    }
                    Stage::Pending => !only_unclaimed && self.buffered != Some(**at),
                    _ => false,
                };
                // One that may have been released is repeated for its receiver's sake, not ours.
                open && !fire.repeated && fire.release_at < passed
            })
            .map(|(at, _)| *at)
            .collect();
        let mut places = self.late_limit(context.options);
        for at in candidates.into_iter().rev() {
            let release_at = self.fires[&at].release_at;
            if places > 0 && self.is_eligible(at, release_at, context.now) {
                places -= 1;
                self.fires.get_mut(&at).expect("it was listed above").late = true;
            } else {
                self.take_back(at, Afterwards::Record(Outcome::Missed(cause)), context);
            }
        }
    }
}
