//! Schedules that come, change and go, and what a store remembers of them.

use super::entry::{Afterwards, Context, Entry, Fire, Stage};
use super::{Action, OpenClaim, Resume, ScheduleSpec};
use crate::{Outcome, Reason};
use timeball_timebase::{Span, Timestamp};

impl Entry {
    /// Makes the entry of a schedule that this planner hears of for the first time.
    pub(super) fn resume(
        spec: Box<ScheduleSpec>,
        resume: &Resume,
        context: &mut Context<'_>,
    ) -> Self {
        let now = context.now;
        let mut entry = Self::new(spec, resume.accounted_until.unwrap_or(now));
        entry.settled_before.clone_from(&resume.settled);
        if resume.accounted_until.is_none() {
            context.actions.push(Action::Account { schedule: entry.spec.uid, until: now });
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
        if resume.redefined {
            entry.plan_new_instants_ahead(now, context);
        }
        entry.catch_up(Reason::NotRunning, context);
        entry.choose_late(Reason::NotRunning, false, context);
        entry.settle(context);
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
        let named = self.spec.schedule.contains(at);
        if claim.released {
            let in_time = self.not_after(self.release_at(at)).is_none_or(|last| last >= now);
            let again = repeatable && in_time && named && !self.spec.suspended;
            return if again { None } else { Some(Outcome::Unknown) };
        }
        if self.spec.suspended {
            Some(Outcome::Skipped(Reason::Suspended))
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
        let release_at = self.release_at(at);
        let late = claim.released && release_at <= now;
        let fire = Fire::new(release_at, Stage::Pending, late);
        self.fires.insert(at, Fire { repeated: claim.released, ..fire });
        self.pending.insert((release_at, at));
        self.account_until(at);
    }

    /// Takes over an edited schedule, or one that was removed and came back: what is ahead and no
    /// longer wanted is revoked, what is wanted newly is planned, what passed stays as it was.
    pub(super) fn edit(
        &mut self,
        spec: Box<ScheduleSpec>,
        cause: Reason,
        context: &mut Context<'_>,
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
        self.spec = spec;
        let reason = if self.spec.suspended { Reason::Suspended } else { Reason::Revoked };
        let unreleased: Vec<Timestamp> = self
            .fires
            .iter()
            .filter(|(_, fire)| !matches!(fire.stage, Stage::Released { .. }))
            .map(|(at, _)| *at)
            .collect();
        for at in unreleased {
            let wanted = !self.spec.suspended && (at <= now || self.spec.schedule.contains(at));
            if !wanted {
                self.take_back(at, Afterwards::Record(Outcome::Skipped(reason)), context);
            } else if at > now {
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
        let owed = self.fires.iter().find(|(_, fire)| asked(fire)).map(|(at, _)| *at);
        let until = owed.map_or(now, |at| now.min(at - Span::NANOSECOND));
        context.actions.push(Action::Account { schedule: self.spec.uid, until });
        self.settle(context);
    }

    /// Plans what passed a moment ago, too lately for a catch-up: it is still owed after an edit.
    fn plan_just_passed(&mut self, cause: Reason, context: &mut Context<'_>) {
        let limit = context.options.limits.in_flight_per_schedule;
        while let Some(at) = self.next.filter(|at| *at <= context.now) {
            if self.spec.suspended {
                self.account_suspended(context);
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
            if self.spec.suspended {
                self.settle_ahead(at, context);
                self.note(at, at, 1, Outcome::Skipped(Reason::Suspended), context);
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
        if self.spec.suspended {
            self.account_suspended(context);
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
