//! The planner: from schedules and the time to claims, armed fires and outcomes.
//!
//! A pure state machine: [`Planner::handle_input`] takes what happened and returns what is to be
//! done. It reads no clock; it asks to be woken ([`Action::WakeAt`]). Each schedule is planned by
//! the clock that it follows, one of the [`Times`] of an input. Claims are batched, so that
//! schedules of short period cost about one commit a second, and nothing is released that is not
//! durably claimed.

mod agenda;
mod catch_up;
mod concurrency;
mod edit;
mod entry;
mod io;
mod jitter;
mod options;
mod pause;
mod queue;
mod request;
mod spec;
mod times;

pub use io::{Action, ArmedFire, Claim, ClaimResult, Input, OpenClaim, OutcomeRecord, Resume};
pub use options::{Limits, PlannerOptions};
pub use spec::{
    CatchUp, CatchUpPolicy, ClockPolicy, Concurrency, FireMode, Follow, OnExceeded, ScheduleSpec,
};
pub use times::Times;

use crate::{FireDetail, Reason, ScheduleUid};
use agenda::Agenda;
use entry::{Context, Entry, Stage};
use std::collections::{BTreeMap, BTreeSet};
use timeball_timebase::Timestamp;

/// Plans every schedule of this process.
#[derive(Debug)]
pub struct Planner {
    options: PlannerOptions,
    /// Boxed, so that finding one among a million passes over keys only.
    entries: BTreeMap<ScheduleUid, Box<Entry>>,
    agenda: Agenda,
    store: StoreView,
    /// The wake-up that the shell holds.
    wake_at: Option<Timestamp>,
    /// The latest that each clock has shown; it may have been set back since.
    latest: Times,
}

/// What the planner knows of the store; by the system clock.
#[derive(Debug)]
struct StoreView {
    /// How many claims are yet to be answered; while there are any, no others are sent.
    unanswered: usize,
    /// When the last claims were sent.
    sent_at: Timestamp,
    /// No claims before this: the last ones failed.
    retry_at: Timestamp,
    /// Whether the last claims failed or took too long, so that instants may pass unclaimed.
    in_trouble: bool,
}

impl Planner {
    /// Makes a planner without schedules.
    pub fn new(options: PlannerOptions) -> Self {
        let horizon = options.horizon.max(options.min_claim_interval * 2);
        Self {
            options: PlannerOptions { horizon, ..options },
            entries: BTreeMap::new(),
            agenda: Agenda::default(),
            store: StoreView {
                unanswered: 0,
                sent_at: Timestamp::MIN,
                retry_at: Timestamp::MIN,
                in_trouble: false,
            },
            wake_at: None,
            latest: Timestamp::MIN.into(),
        }
    }

    /// Handles one input at `now`; the caller carries out the actions in order.
    ///
    /// At most one [`Action::WakeAt`] is among them, the last, and it may ask for this very moment:
    /// claims never follow upon the answer to others, so that a shell hears what else happened
    /// between two commits, however far the store lags behind. Inputs that fit no fire (an answer
    /// that came twice) change nothing. A new or edited schedule is claimed at the next `Wake`, so
    /// that many of them share a commit; a shell sends one when all of an edit is told.
    #[must_use = "the actions are the planner's only effect"]
    pub fn handle_input(&mut self, now: impl Into<Times>, input: Input) -> Vec<Action> {
        let now = &now.into();
        let mut actions = Vec::new();
        self.latest = self.latest.later(now);
        let claims_now =
            !matches!(input, Input::Upsert { .. } | Input::Remove(_) | Input::Claimed(_));
        match input {
            Input::Wake => self.wake_at = None,
            Input::Upsert { spec, resume } => self.upsert(now, spec, &resume, &mut actions),
            Input::Remove(uid) => {
                let cause = self.cause();
                self.touch(uid, now, &mut actions, |entry, context| entry.remove(cause, context));
            }
            Input::SetPaused { schedule, paused } => {
                let cause = self.cause();
                self.touch(schedule, now, &mut actions, |entry, context| {
                    entry.set_paused(paused, cause, context);
                });
            }
            Input::Request { schedule, fires, parallel } => {
                self.touch(schedule, now, &mut actions, |entry, context| {
                    entry.request(fires, parallel, context);
                });
            }
            Input::Claimed(results) => self.claimed(now, results, &mut actions),
            Input::Released { fire, lateness, clock_bound, clock_exceeded } => {
                let lateness = Some(lateness);
                let detail = FireDetail { lateness, clock_bound, duration: None, clock_exceeded };
                self.touch(fire.schedule, now, &mut actions, |entry, context| {
                    entry.released(fire.scheduled_at, detail, context);
                });
            }
            Input::Finished { fire, outcome, duration } => {
                let cause = self.cause();
                self.touch(fire.schedule, now, &mut actions, |entry, context| {
                    entry.finished(fire.scheduled_at, outcome, duration, cause, context);
                });
            }
            Input::ClockStepped(set) => self.clock_stepped(&set, now, &mut actions),
        }
        self.decide_due(now, &mut actions);
        if claims_now {
            self.claim_due(now, &mut actions);
        }
        self.ask_to_be_woken(now, &mut actions);
        actions
    }

    /// The next instants of a schedule after `now` that are to be fired, soonest first, at most
    /// `n`; none for one that rests or is not there.
    pub fn next_instants(&self, uid: ScheduleUid, now: Timestamp, n: usize) -> Vec<Timestamp> {
        let Some(entry) = self.entries.get(&uid).filter(|entry| !entry.removed) else {
            return Vec::new();
        };
        if entry.resting().is_some() {
            return Vec::new();
        }
        let in_flight = entry
            .fires
            .range(now..)
            .filter(|(at, fire)| **at > now && !matches!(fire.stage, Stage::Released { .. }))
            .map(|(at, _)| *at);
        let beyond = entry.frontier.max(now);
        let planned = std::iter::successors(entry.spec.schedule.next_after(beyond), |at| {
            entry.spec.schedule.next_after(*at)
        });
        in_flight.chain(planned).take(n).collect()
    }

    /// How many fires of a schedule are released and have not ended.
    pub fn running(&self, uid: ScheduleUid) -> usize {
        let released = |entry: &Entry| {
            let fires = entry.fires.values();
            fires.filter(|fire| matches!(fire.stage, Stage::Released { .. })).count()
        };
        self.entries.get(&uid).map_or(0, |entry| released(entry))
    }

    /// How many schedules there are, those included that are removed and still run.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no schedule.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Changes one entry and moves it to its new place in the agenda.
    fn touch(
        &mut self,
        uid: ScheduleUid,
        now: &Times,
        actions: &mut Vec<Action>,
        change: impl FnOnce(&mut Entry, &mut Context<'_>),
    ) {
        let Some(entry) = self.entries.get_mut(&uid) else { return };
        change(entry, &mut Context::of(entry, now, &self.latest, &self.options, actions));
        entry.let_go(actions);
        let keys = entry.wanted_keys(now.by(entry.follow()), &self.options);
        self.agenda.update(uid, entry.keys, keys);
        entry.keys = keys;
        if entry.is_over() {
            self.agenda.update(uid, keys, entry::Keys::default());
            self.entries.remove(&uid);
        }
    }

    fn upsert(
        &mut self,
        now: &Times,
        spec: Box<ScheduleSpec>,
        resume: &Resume,
        actions: &mut Vec<Action>,
    ) {
        let uid = spec.uid;
        let cause = self.cause();
        match self.entries.get(&uid) {
            Some(entry) if !entry.removed && entry.spec.generation == spec.generation => {}
            Some(_) => {
                let other_clock = self.change_clock(uid, spec.clock.follow);
                let mut adds_claims = false;
                self.touch(uid, now, actions, |entry, context| {
                    if other_clock {
                        // To it, that is its own clock being set.
                        entry.clock_stepped(context);
                    }
                    entry.edit(cause, context, |entry| entry.spec = spec);
                    entry.pause_if_failing(cause, context);
                    adds_claims = !entry.unclaimed.is_empty();
                });
                if adds_claims {
                    // They lie where others were claimed before, so they are claimed at once.
                    (self.store.sent_at, self.store.retry_at) = (Timestamp::MIN, Timestamp::MIN);
                }
            }
            None => {
                let follow = spec.clock.follow;
                let (now_by, latest) = (now.by(follow), self.latest.by(follow));
                let mut context = Context { now: now_by, latest, options: &self.options, actions };
                self.entries.insert(uid, Box::new(Entry::resume(spec, resume, &mut context)));
                self.touch(uid, now, actions, |_, _| {});
            }
        }
    }

    /// Why instants pass unclaimed at present.
    fn cause(&self) -> Reason {
        if self.store.in_trouble { Reason::StoreFailed } else { Reason::NotRunning }
    }

    fn claimed(
        &mut self,
        now: &Times,
        results: Vec<(crate::FireId, ClaimResult)>,
        actions: &mut Vec<Action>,
    ) {
        let patience = self.options.horizon - self.options.min_claim_interval;
        self.store.in_trouble = now.system - self.store.sent_at > patience;
        let mut touched = BTreeSet::new();
        for (fire, result) in results {
            if result == ClaimResult::Unknown {
                self.store.in_trouble = true;
                self.store.retry_at = now.system + self.options.min_claim_interval;
            }
            let Some(entry) = self.entries.get_mut(&fire.schedule) else { continue };
            let mut context = Context::of(entry, now, &self.latest, &self.options, actions);
            if entry.claim_answered(fire.scheduled_at, result, &mut context) {
                self.store.unanswered = self.store.unanswered.saturating_sub(1);
                touched.insert(fire.schedule);
            }
        }
        for uid in touched {
            self.touch(uid, now, actions, |entry, context| entry.settle(context));
        }
    }

    fn clock_stepped(&mut self, set: &[Follow], now: &Times, actions: &mut Vec<Action>) {
        // What was to wait until some moment of the old clock must not wait for hours.
        self.store.sent_at = self.store.sent_at.min(now.system);
        self.store.retry_at = self.store.retry_at.min(now.system);
        // The shell's timer was cancelled with the step.
        self.wake_at = None;
        let following = self.entries.iter().filter(|(_, entry)| set.contains(&entry.follow()));
        let uids: Vec<ScheduleUid> = following.map(|(uid, _)| *uid).collect();
        for uid in uids {
            self.touch(uid, now, actions, Entry::clock_stepped);
        }
    }

    /// Lets a schedule follow this clock; whether it is another one than before.
    fn change_clock(&mut self, uid: ScheduleUid, follow: Follow) -> bool {
        let Some(entry) = self.entries.get_mut(&uid).filter(|entry| entry.follow() != follow)
        else {
            return false;
        };
        entry.shown = entry.shown.max(self.latest.by(entry.follow()));
        entry.spec.clock.follow = follow;
        true
    }

    /// Does what is to be decided at this moment: skips, buffers, deadlines, runs, rest.
    fn decide_due(&mut self, now: &Times, actions: &mut Vec<Action>) {
        let due = |(at, _): &(Timestamp, ScheduleUid)| *at <= now.system;
        while let Some((_, uid)) = self.agenda.first_decision(now).filter(due) {
            self.touch(uid, now, actions, |entry, context| {
                entry.close_due_run(context);
                if entry.resting().is_some() && !entry.removed {
                    entry.account_resting(context);
                }
                entry.settle(context);
            });
        }
    }

    /// When the next claims are to be sent, by the system clock, as things stand.
    fn claim_at(&self, now: &Times) -> Option<Timestamp> {
        let (wanted, _) = self.agenda.first_claim(now).filter(|_| self.store.unanswered == 0)?;
        let now = now.system;
        let interval = self.options.min_claim_interval;
        // A clock that was set back unnoticed must not close the gate for long.
        let gate = self.store.sent_at.min(now) + interval;
        let retry = self.store.retry_at.min(now + interval);
        Some(wanted.max(gate.min(wanted + interval)).max(retry))
    }

    /// Sends the claims that are due, in one batch.
    fn claim_due(&mut self, now: &Times, actions: &mut Vec<Action>) {
        if self.claim_at(now).is_none_or(|at| at > now.system) {
            return;
        }
        let cause = self.cause();
        let limit = self.options.limits.claims_per_commit.max(1);
        let mut claims = Vec::new();
        let due = |(at, _): &(Timestamp, ScheduleUid)| *at <= now.system;
        while let Some((_, uid)) = self.agenda.first_claim(now).filter(due) {
            let to_adopt = self.entries.get(&uid).filter(|entry| entry.adopting);
            let unclaimed = to_adopt.map_or(0, |entry| entry.unclaimed.len());
            // An edit goes into one commit where it fits into any.
            let is_apart = !claims.is_empty() && claims.len() + unclaimed > limit;
            if claims.len() >= limit || is_apart {
                break;
            }
            self.touch(uid, now, actions, |entry, context| {
                entry.catch_up(cause, context);
                entry.choose_late(cause, true, context);
                entry.claim_ahead(limit, &mut claims, context);
            });
        }
        if claims.is_empty() {
            return;
        }
        // What is noted so far must not be overtaken by later claims in the store.
        while let Some(uid) = self.agenda.first_run() {
            self.touch(uid, now, actions, |entry, context| entry.close_run(context));
        }
        self.store.unanswered = claims.len();
        self.store.sent_at = now.system;
        actions.push(Action::Claim(claims));
    }

    fn ask_to_be_woken(&mut self, now: &Times, actions: &mut Vec<Action>) {
        let decision = self.agenda.first_decision(now).map(|(at, _)| at);
        let wake_at = decision.into_iter().chain(self.claim_at(now)).min();
        if let Some(at) = wake_at.filter(|_| wake_at != self.wake_at) {
            self.wake_at = wake_at;
            actions.push(Action::WakeAt(at));
        }
    }
}

impl Entry {
    /// Plans everything anew: the clock that is followed was set.
    fn clock_stepped(&mut self, context: &mut Context<'_>) {
        self.close_run(context);
        if !self.removed {
            self.catch_up(Reason::ClockStepped, context);
            self.choose_late(Reason::ClockStepped, false, context);
        }
        self.settle(context);
    }

    /// Plans the instants within the horizon and puts everything unclaimed among the claims, which
    /// are not to become more than `limit`.
    fn claim_ahead(&mut self, limit: usize, claims: &mut Vec<Claim>, context: &mut Context<'_>) {
        let horizon = context.now + context.options.horizon;
        let in_flight_limit = context.options.limits.in_flight_per_schedule;
        while let Some(at) = self.next.filter(|at| *at <= horizon) {
            let batch = claims.len() + self.unclaimed.len();
            let idle = self.removed || self.resting().is_some();
            if idle || batch >= limit || self.fires.len() >= in_flight_limit {
                break;
            }
            self.plan(at, false);
            self.account_until(at);
        }
        while claims.len() < limit
            && let Some(at) = self.unclaimed.pop_first()
        {
            let fire = self.fires.get_mut(&at).expect("an unclaimed fire is in flight");
            fire.stage = Stage::Claiming { then: None };
            claims.push(Claim { fire: self.fire_id(at) });
        }
    }

    /// Takes the store's answer; whether there was a question.
    fn claim_answered(
        &mut self,
        at: Timestamp,
        result: ClaimResult,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(fire) = self.fires.get_mut(&at) else { return false };
        let Stage::Claiming { then } = fire.stage else { return false };
        match (result, then) {
            (ClaimResult::Lost, _) => {
                self.fires.remove(&at);
                self.settle_ahead(at, context);
            }
            (_, Some(outcome)) => self.drop_idle(at, outcome, context),
            (ClaimResult::Claimed, None) => {
                fire.stage = Stage::Pending;
                let key = (fire.release_at, at);
                if crate::trigger::is_requested(at) {
                    self.await_place(at);
                } else {
                    self.pending.insert(key);
                }
            }
            (ClaimResult::Unknown, None) => {
                fire.stage = Stage::Unclaimed;
                self.unclaimed.insert(at);
            }
        }
        true
    }
}
