//! Schedules that come, change and go, and what a store remembers of them.

use super::entry::{Afterwards, Context, Entry, Fire, Stage};
use super::{Action, OpenClaim, Resume, ScheduleSpec};
use crate::trigger::is_requested;
use crate::{FireId, Outcome, Reason, Trigger};
use timeball_timebase::{Span, Timestamp};

impl Entry {
    /// Makes the entry of a schedule that this planner hears of for the first time.
    pub(super) fn resume(
        spec: Box<ScheduleSpec>,
        resume: &Resume,
        context: &mut Context<'_>,
    ) -> Self {
        let now = context.now;
        // One that was removed a moment ago is new, but what was claimed ahead has its outcome.
        // (What lies further ahead does so because the clock was set back.)
        let horizon = now + context.options.horizon;
        let settled = resume.settled.iter().map(|(_, last)| *last);
        let removed_lately = settled.filter(|last| *last <= horizon).max();
        let is_back = resume.accounted_until.is_none() && removed_lately.is_some();
        let frontier = resume.accounted_until.or(removed_lately).unwrap_or(now);
        let mut entry = Self::new(spec, frontier);
        entry.settled_before.clone_from(&resume.settled);
        (entry.paused, entry.failures) = (resume.paused, resume.failures);
        match resume.accounted_until {
            // Nothing is accounted for further ahead of the clock than claims are made, so it has
            // shown this once, even if it was set back since.
            Some(until) => entry.shown = until - context.options.horizon,
            None => {
                context.actions.push(Action::Account { schedule: entry.spec.uid, until: now });
            }
        }
        let mut claims = resume.open_claims.clone();
        claims.sort_unstable_by_key(|claim| claim.scheduled_at);
        claims.dedup_by_key(|claim| claim.scheduled_at);
        let limit = context.options.limits.in_flight_per_schedule;
        let excess = claims.len().saturating_sub(limit);
        for (index, claim) in claims.into_iter().enumerate() {
            let fate = entry.fate_of_open_claim(claim, resume.repeatable, context);
            match fate.or((index < excess).then(|| unopened(claim))) {
                Some(outcome) => {
                    entry.settle_ahead(claim.scheduled_at, context);
                    entry.note(claim.scheduled_at, claim.scheduled_at, 1, outcome, context);
                }
                None => entry.reopen(claim, now),
            }
        }
        entry.close_run(context);
        if resume.redefined || is_back {
            entry.plan_new_instants_ahead(now, context);
        }
        entry.catch_up(Reason::NotRunning, context);
        entry.choose_late(Reason::NotRunning, false, context);
        if !entry.pause_if_failing(Reason::NotRunning, context) {
            entry.settle(context);
        }
        entry
    }

    /// How a claim ends that was left open; `None` if it is to be released (again).
    fn fate_of_open_claim(
        &self,
        claim: OpenClaim,
        repeatable: bool,
        context: &Context<'_>,
    ) -> Option<Outcome> {
        let (now, at) = (context.now, claim.scheduled_at);
        let trigger = Trigger::of(at);
        let nominal = FireId { schedule: self.spec.uid, scheduled_at: at }.nominal();
        // What was to run now is not run at some other time.
        let named = trigger != Trigger::Manual && self.spec.schedule.contains(nominal);
        if claim.released {
            let not_after = self.not_after(self.release_at(at));
            let in_time = is_requested(at) || not_after.is_none_or(|last| last >= now);
            let again = repeatable && in_time && named && self.resting().is_none();
            return if again { None } else { Some(Outcome::Unknown) };
        }
        if let Some(reason) = self.resting() {
            Some(Outcome::Skipped(reason))
        } else if named {
            None
        } else if at > now {
            Some(Outcome::Skipped(Reason::Revoked))
        } else {
            Some(unopened(claim))
        }
    }

    /// Lets an open claim wait for its place.
    fn reopen(&mut self, claim: OpenClaim, now: Timestamp) {
        let at = claim.scheduled_at;
        if is_requested(at) {
            let fire = Fire::new(now, Stage::Pending, true);
            self.fires.insert(at, Fire { repeated: claim.released, ..fire });
            return self.await_place(at);
        }
        let release_at = self.release_at(at);
        let late = claim.released && release_at <= now;
        let fire = Fire::new(release_at, Stage::Pending, late);
        self.fires.insert(at, Fire { repeated: claim.released, ..fire });
        self.pending.insert((release_at, at));
        self.account_until(at);
    }

    /// Carries out a `change` of the schedule, or takes one up that was removed and came back: what
    /// is ahead and no longer wanted is revoked, what is wanted newly is planned, what passed stays
    /// as it was.
    pub(super) fn edit(
        &mut self,
        cause: Reason,
        context: &mut Context<'_>,
        change: impl FnOnce(&mut Self),
    ) {
        let now = context.now;
        if self.removed {
            self.removed = false;
        } else {
            self.catch_up(cause, context);
            self.plan_just_passed(cause, context);
        }
        self.close_run(context);
        self.mixed_until = self.frontier.max(context.latest);
        self.adopting = true;
        change(self);
        let rests = self.resting();
        let reason = rests.unwrap_or(Reason::Revoked);
        let unreleased: Vec<Timestamp> = self
            .fires
            .iter()
            .filter(|(_, fire)| !matches!(fire.stage, Stage::Released { .. }))
            .map(|(at, _)| *at)
            .collect();
        for at in unreleased {
            let requested = is_requested(at);
            let meant = at <= now || requested || self.spec.schedule.contains(at);
            if rests.is_some() || !meant {
                self.take_back(at, Afterwards::Record(Outcome::Skipped(reason)), context);
            } else if at > now && !requested {
                self.take_back(at, Afterwards::Rearm, context);
                self.retime(at);
            }
        }
        // Where the clock was set back, what it has passed once is accounted for.
        self.plan_new_instants_ahead(context.latest, context);
        self.account_until(now);
        self.close_run(context);
        // What is not durably claimed yet is still owed, should the process die now.
        let asked = |fire: &Fire| matches!(fire.stage, Stage::Unclaimed | Stage::Claiming { .. });
        let own = |at: &Timestamp| !is_requested(*at);
        let owed = self.fires.iter().find(|(at, fire)| own(at) && asked(fire)).map(|(at, _)| *at);
        let until = owed.map_or(now, |at| now.min(at - Span::NANOSECOND));
        context.actions.push(Action::Account { schedule: self.spec.uid, until });
        self.settle(context);
    }

    /// Plans what passed a moment ago, too lately for a catch-up: it is still owed after an edit.
    fn plan_just_passed(&mut self, cause: Reason, context: &mut Context<'_>) {
        let limit = context.options.limits.in_flight_per_schedule;
        while let Some(at) = self.next.filter(|at| *at <= context.now) {
            if self.resting().is_some() {
                self.account_resting(context);
            } else if self.fires.len() >= limit {
                self.account_passed(Outcome::Missed(cause), context);
            } else {
                self.plan(at, false);
                self.account_until(at);
            }
        }
    }

    /// Gives a fire that is not armed yet the release of the edited schedule.
    fn retime(&mut self, at: Timestamp) {
        let release_at = self.release_at(at);
        if let Some(fire) = self.fires.get_mut(&at) {
            if fire.stage == Stage::Pending {
                self.pending.remove(&(fire.release_at, at));
                self.pending.insert((release_at, at));
            }
            if !matches!(fire.stage, Stage::Armed { .. } | Stage::Released { .. }) {
                fire.release_at = release_at;
            }
        }
    }

    /// Plans the instants after `after` up to the frontier that the expression did not name before
    /// the edit.
    fn plan_new_instants_ahead(&mut self, after: Timestamp, context: &mut Context<'_>) {
        let limit = context.options.limits.in_flight_per_schedule;
        let mut at = after;
        self.settled_before.retain(|(_, last)| *last > context.latest);
        while let Some(next) = self.spec.schedule.next_after(at).filter(|at| *at <= self.frontier) {
            at = next;
            let settled =
                self.settled_before.iter().find(|(from, last)| (from..=last).contains(&&at));
            if let Some((_, last)) = settled {
                at = *last;
                continue;
            }
            if self.fires.contains_key(&at) || self.settled_ahead.contains(&at) {
                continue;
            }
            if let Some(reason) = self.resting() {
                self.settle_ahead(at, context);
                self.note(at, at, 1, Outcome::Skipped(reason), context);
            } else if self.fires.len() >= limit {
                self.settle_ahead(at, context);
                self.note(at, at, 1, Outcome::Skipped(Reason::ActiveLimit), context);
            } else {
                self.plan(at, false);
            }
        }
    }

    /// The schedule is gone: everything that is not released is taken back.
    pub(super) fn remove(&mut self, cause: Reason, context: &mut Context<'_>) {
        if self.resting().is_some() {
            self.account_resting(context);
        } else {
            self.account_passed(Outcome::Missed(cause), context);
        }
        let fires: Vec<Timestamp> = self.fires.keys().copied().collect();
        for at in fires {
            let afterwards = Afterwards::Record(Outcome::Skipped(Reason::Revoked));
            self.take_back(at, afterwards, context);
        }
        self.removed = true;
        self.close_run(context);
    }
}

/// The outcome of a claim that is not taken up again.
fn unopened(claim: OpenClaim) -> Outcome {
    if claim.released { Outcome::Unknown } else { Outcome::Missed(Reason::NotRunning) }
}
