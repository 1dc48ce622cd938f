//! One schedule and its fires between plan and outcome.

use super::queue::Requests;
use super::{Action, ArmedFire, Follow, OutcomeRecord, PlannerOptions, ScheduleSpec, Times};
use crate::trigger::is_requested;
use crate::{FireDetail, FireId, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use timeball_timebase::{Span, Timestamp};

/// How long a run of equal outcomes stays open, so that it becomes one record.
const RUN_OPEN: Span = Span::from_secs(1);
/// How often a resting schedule of a short period is accounted for.
const RESTING_ACCOUNT: Span = Span::from_secs(10);

/// What every step of an entry needs.
pub(super) struct Context<'c> {
    /// By the clock that the schedule follows, as all times of an entry.
    pub(super) now: Timestamp,
    /// The latest moment that the clock has shown.
    pub(super) latest: Timestamp,
    pub(super) options: &'c PlannerOptions,
    pub(super) actions: &'c mut Vec<Action>,
}

impl<'c> Context<'c> {
    /// What a step of this entry needs.
    pub(super) fn of(
        entry: &Entry,
        now: &Times,
        latest: &Times,
        options: &'c PlannerOptions,
        actions: &'c mut Vec<Action>,
    ) -> Self {
        let latest = latest.by(entry.follow()).max(entry.shown);
        Self { now: now.by(entry.follow()), latest, options, actions }
    }
}

/// One schedule with what is known of its instants.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) spec: Box<ScheduleSpec>,
    /// Every instant up to here has an outcome, is in `fires`, or is in `run`.
    pub(super) frontier: Timestamp,
    /// The first instant after `frontier`.
    pub(super) next: Option<Timestamp>,
    pub(super) fires: BTreeMap<Timestamp, Fire>,
    /// Fires that are yet to be claimed, by instant.
    pub(super) unclaimed: BTreeSet<Timestamp>,
    /// Fires that are claimed and yet to be armed, by release and instant.
    pub(super) pending: BTreeSet<(Timestamp, Timestamp)>,
    /// The one that waits for an end (`BufferOne`); it is in `pending` too.
    pub(super) buffered: Option<Timestamp>,
    /// How many fires are armed or released.
    pub(super) active: usize,
    /// Instants ahead of the clock that have an outcome already, because they were revoked: an edit
    /// must not bring them back.
    pub(super) settled_ahead: BTreeSet<Timestamp>,
    /// The same, as first and last instants, where a process before this one has recorded them.
    pub(super) settled_before: Vec<(Timestamp, Timestamp)>,
    /// Boxed, for most schedules have none.
    pub(super) run: Option<Box<Run>>,
    /// Records that reach beyond what is yet to be claimed: before the claims are sent, the store
    /// must not take what lies between for accounted for.
    pub(super) held: Vec<OutcomeRecord>,
    /// Up to here an expression of before an edit, or a process before this one, may have left
    /// instants among those that the expression names now: no run spans them.
    pub(super) mixed_until: Timestamp,
    /// The latest moment that is known to have been shown by clocks which the schedule followed
    /// before, in this process or in one before it.
    pub(super) shown: Timestamp,
    /// The definition is not to be kept before everything unclaimed is claimed.
    pub(super) adopting: bool,
    /// The schedule is gone, and the entry stays until its last fire has ended.
    pub(super) removed: bool,
    /// It rests until it is told to go on.
    pub(super) paused: bool,
    /// How often the target has failed in a row.
    pub(super) failures: u32,
    /// What somebody asked for; `None` as long as nobody has.
    pub(super) requests: Option<Box<Requests>>,
    /// Its places in the agenda.
    pub(super) keys: Keys,
}

/// When an entry wants attention.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Keys {
    /// By which clock.
    pub(super) follow: Follow,
    /// From when on something of it may be claimed.
    pub(super) claim: Option<Timestamp>,
    /// When something of it is to be decided.
    pub(super) decide: Option<Timestamp>,
    /// Whether it has an open run.
    pub(super) run: bool,
}

/// A fire between plan and outcome.
#[derive(Debug)]
pub(super) struct Fire {
    pub(super) release_at: Timestamp,
    pub(super) stage: Stage,
    /// A catch-up fires it late, so it waits for a place to run instead of being skipped.
    pub(super) late: bool,
    /// A process that died may have released it, so it can no longer be called missed or skipped.
    pub(super) repeated: bool,
    pub(super) detail: FireDetail,
}

impl Fire {
    pub(super) fn new(release_at: Timestamp, stage: Stage, late: bool) -> Self {
        Self { release_at, stage, late, repeated: false, detail: FireDetail::default() }
    }

    /// The outcome of a fire that ends without a release by this process.
    pub(super) fn unreleased(&self, outcome: Outcome) -> Outcome {
        let never = matches!(outcome, Outcome::Missed(_) | Outcome::Skipped(_));
        if self.repeated && never { Outcome::Unknown } else { outcome }
    }
}

/// Where a fire is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    Unclaimed,
    /// The store was asked; `then` is its outcome if it was taken back meanwhile.
    Claiming {
        then: Option<Outcome>,
    },
    Pending,
    /// `revoked` says what follows once the shell confirms that it was not released.
    Armed {
        revoked: Option<Afterwards>,
    },
    Released {
        stopped: bool,
    },
}

/// What follows a revocation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Afterwards {
    Record(Outcome),
    /// The schedule was edited, but the instant stays: it is prepared anew.
    Rearm,
}

/// A run of consecutive instants with the same outcome, not yet recorded.
#[derive(Debug)]
pub(super) struct Run {
    record: OutcomeRecord,
    close_at: Timestamp,
}

impl Entry {
    pub(super) fn new(spec: Box<ScheduleSpec>, frontier: Timestamp) -> Self {
        let next = spec.schedule.next_after(frontier);
        Self {
            spec,
            frontier,
            next,
            fires: BTreeMap::new(),
            unclaimed: BTreeSet::new(),
            pending: BTreeSet::new(),
            buffered: None,
            active: 0,
            settled_ahead: BTreeSet::new(),
            settled_before: Vec::new(),
            run: None,
            held: Vec::new(),
            mixed_until: frontier,
            shown: Timestamp::MIN,
            adopting: true,
            removed: false,
            paused: false,
            failures: 0,
            requests: None,
            keys: Keys::default(),
        }
    }

    pub(super) fn fire_id(&self, at: Timestamp) -> FireId {
        FireId { schedule: self.spec.uid, scheduled_at: at }
    }

    /// Whose time it is planned by.
    pub(super) fn follow(&self) -> Follow {
        self.spec.clock.follow
    }

    /// When an instant is to be released: with its jitter.
    pub(super) fn release_at(&self, at: Timestamp) -> Timestamp {
        self.spec.release_at(at)
    }

    /// The last moment at which a fire may be released.
    pub(super) fn not_after(&self, release_at: Timestamp) -> Option<Timestamp> {
        self.spec.deadline.map(|deadline| release_at + deadline)
    }

    /// Moves the frontier; never back.
    pub(super) fn account_until(&mut self, until: Timestamp) {
        self.frontier = self.frontier.max(until);
        self.next = self.spec.schedule.next_after(self.frontier);
    }

    /// Puts an instant among the fires that are to be claimed.
    pub(super) fn plan(&mut self, at: Timestamp, late: bool) {
        let release_at = self.release_at(at);
        self.fires.insert(at, Fire::new(release_at, Stage::Unclaimed, late));
        self.unclaimed.insert(at);
    }

    /// Arms a fire, which is neither pending nor active any more otherwise.
    pub(super) fn arm(&mut self, at: Timestamp, context: &mut Context<'_>) {
        let fire = self.fires.get_mut(&at).expect("a fire that is armed is in flight");
        fire.stage = Stage::Armed { revoked: None };
        let release_at = fire.release_at;
        self.active += 1;
        context.actions.push(Action::Arm(ArmedFire {
            fire: self.fire_id(at),
            release_at,
            not_after: self.not_after(release_at).filter(|_| !is_requested(at)),
            clock: self.spec.clock,
        }));
    }

    /// Ends a fire that is in no place to be waited for: unclaimed, claimed or pending.
    pub(super) fn drop_idle(&mut self, at: Timestamp, outcome: Outcome, context: &mut Context<'_>) {
        let fire = self.fires.remove(&at).expect("a fire that is dropped is in flight");
        self.unclaimed.remove(&at);
        self.pending.remove(&(fire.release_at, at));
        if let Some(requests) = &mut self.requests {
            requests.leave(at);
        }
        if self.buffered == Some(at) {
            self.buffered = None;
        }
        self.settle_ahead(at, context);
        self.note(at, at, 1, fire.unreleased(outcome), context);
    }

    /// Takes a fire back that is not released, whatever its stage.
    pub(super) fn take_back(
        &mut self,
        at: Timestamp,
        afterwards: Afterwards,
        context: &mut Context<'_>,
    ) {
        let id = self.fire_id(at);
        let fire = self.fires.get_mut(&at).expect("a fire that is taken back is in flight");
        match (&mut fire.stage, afterwards) {
            (Stage::Released { .. }, _) => {}
            (Stage::Armed { revoked }, _) => {
                if revoked.is_none() {
                    context.actions.push(Action::Revoke(id));
                }
                *revoked = Some(afterwards);
            }
            (Stage::Claiming { then }, Afterwards::Record(outcome)) => *then = Some(outcome),
            (Stage::Claiming { then }, Afterwards::Rearm) => *then = None,
            (Stage::Unclaimed | Stage::Pending, Afterwards::Record(outcome)) => {
                self.drop_idle(at, outcome, context);
            }
            (Stage::Unclaimed | Stage::Pending, Afterwards::Rearm) => {}
        }
    }

    /// Remembers that an instant ahead has its outcome.
    pub(super) fn settle_ahead(&mut self, at: Timestamp, context: &Context<'_>) {
        if at > context.latest && !is_requested(at) {
            self.settled_ahead.retain(|settled| *settled > context.latest);
            self.settled_ahead.insert(at);
            if self.settled_ahead.len() > context.options.limits.in_flight_per_schedule {
                self.settled_ahead.pop_first();
            }
        }
    }

    /// Notes the outcome of one instant or of a run of instants.
    pub(super) fn note(
        &mut self,
        from: Timestamp,
        until: Timestamp,
        count: u64,
        outcome: Outcome,
        context: &mut Context<'_>,
    ) {
        if is_requested(from) {
            // It stands for itself, and beside the instants of the schedule.
            let (schedule, detail) = (self.spec.uid, FireDetail::default());
            let record = OutcomeRecord { schedule, from, until, count, outcome, detail };
            return context.actions.push(Action::Record(record));
        }
        let follows = self.run.as_ref().is_some_and(|run| {
            run.record.outcome == outcome
                && run.record.until >= self.mixed_until
                && self.spec.schedule.next_after(run.record.until) == Some(from)
        });
        if let Some(run) = self.run.as_mut().filter(|_| follows) {
            run.record.until = until;
            run.record.count += count;
        } else {
            self.close_run(context);
            let detail = FireDetail::default();
            let schedule = self.spec.uid;
            let record = OutcomeRecord { schedule, from, until, count, outcome, detail };
            self.run = Some(Box::new(Run { record, close_at: context.now + RUN_OPEN }));
        }
        // A run that will not grow soon is recorded at once.
        let grows = self.spec.schedule.next_after(until).is_some_and(|at| at - until < RUN_OPEN);
        if !grows {
            self.close_run(context);
        }
    }

    /// Records the open run.
    pub(super) fn close_run(&mut self, context: &mut Context<'_>) {
        let Some(run) = self.run.take() else { return };
        let record = run.record;
        if self.unclaimed.first().is_some_and(|at| *at < record.until) {
            self.held.push(record);
        } else {
            context.actions.push(Action::Record(record));
        }
    }

    /// Lets go what had to wait until everything before it was among the claims: it goes with them,
    /// for they tell the store that all before them is accounted for.
    pub(super) fn let_go(&mut self, actions: &mut Vec<Action>) {
        let unclaimed = self.unclaimed.first().copied();
        let may_go =
            |record: &OutcomeRecord| unclaimed.is_none_or(|unclaimed| record.until < unclaimed);
        if self.held.iter().any(may_go) {
            // What was dropped meanwhile stands before what waited for it: whoever joins runs that
            // lie side by side must not join them across an instant that is yet to be told of.
            self.held.extend(self.run.take().map(|run| run.record));
            self.held.sort_by_key(|record| record.from);
            actions.extend(self.held.extract_if(.., |record| may_go(record)).map(Action::Record));
        }
        if unclaimed.is_none() && std::mem::take(&mut self.adopting) {
            actions.push(Action::Adopt(self.spec.uid));
        }
    }

    /// Closes the run if its time has come.
    pub(super) fn close_due_run(&mut self, context: &mut Context<'_>) {
        if self.run.as_ref().is_some_and(|run| run.close_at <= context.now) {
            self.close_run(context);
        }
    }

    /// Whether nothing is left of a removed schedule.
    pub(super) fn is_over(&self) -> bool {
        self.removed && self.fires.is_empty() && self.run.is_none() && self.held.is_empty()
    }

    /// When the entry wants attention next, now that everything due is done.
    pub(super) fn wanted_keys(&self, now: Timestamp, options: &PlannerOptions) -> Keys {
        let rests = self.resting().is_some();
        let idle = self.removed || rests;
        let full = self.fires.len() >= options.limits.in_flight_per_schedule;
        let ahead = self.next.filter(|_| !idle && !full);
        let claim = self.unclaimed.first().copied().into_iter().chain(ahead).min();
        let waiting = self.pending.first().filter(|(release_at, _)| *release_at <= now);
        let expires = waiting.and_then(|(release_at, _)| self.not_after(*release_at));
        let due = self.pending.range((now + Span::NANOSECOND, Timestamp::MIN)..).next();
        let resting = self.next.filter(|_| rests && !self.removed);
        let decide = [
            expires.map(|last| last + Span::NANOSECOND),
            due.map(|(release_at, _)| *release_at),
            self.run.as_ref().map(|run| run.close_at),
            resting.map(|next| next.max(self.frontier + RESTING_ACCOUNT)),
        ];
        Keys {
            follow: self.follow(),
            claim: claim.map(|at| at - options.horizon),
            decide: decide.into_iter().flatten().min(),
            run: self.run.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{Dialect, Schedule, Zone};
    use crate::planner::{CatchUp, CatchUpPolicy, ClockPolicy, Concurrency};
    use crate::{Reason, ScheduleUid};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(1_795_000_000 + second, 0)
    }

    fn missed(from: i64, until: i64) -> OutcomeRecord {
        let (outcome, detail) = (Outcome::Missed(Reason::NotRunning), FireDetail::default());
        let (schedule, count) = (ScheduleUid([7; 16]), (until - from + 1).unsigned_abs());
        OutcomeRecord { schedule, from: at(from), until: at(until), count, outcome, detail }
    }

    fn entry() -> Entry {
        let utc = Zone::utc();
        let spec = ScheduleSpec {
            uid: ScheduleUid([7; 16]),
            generation: 1,
            schedule: Schedule::parse("@every 1s", Dialect::Vixie, &utc, None).unwrap(),
            suspended: false,
            deadline: None,
            concurrency: Concurrency::Allow,
            catch_up: CatchUp {
                policy: CatchUpPolicy::None,
                window: Span::from_secs(60),
                limit: 1,
            },
            pause_on_failure: None,
            jitter: Span::ZERO,
            clock: ClockPolicy::default(),
        };
        Entry::new(Box::new(spec), at(0))
    }

    fn let_go(entry: &mut Entry) -> Vec<Action> {
        let mut actions = Vec::new();
        entry.let_go(&mut actions);
        actions
    }

    #[test]
    fn what_reaches_beyond_an_unclaimed_instant_is_held_until_that_is_claimed() {
        let mut entry = entry();
        entry.unclaimed.insert(at(20));
        entry.held = vec![missed(18, 25), missed(3, 8)];
        entry.run = Some(Box::new(Run { record: missed(1, 2), close_at: at(60) }));
        let told = [missed(1, 2), missed(3, 8)].map(Action::Record);
        assert_eq!(let_go(&mut entry), told, "in their order, with the run that was open");
        assert_eq!(let_go(&mut entry), [], "the rest goes on waiting, and so does the definition");
        entry.unclaimed.clear();
        let uid = entry.spec.uid;
        assert_eq!(let_go(&mut entry), [Action::Record(missed(18, 25)), Action::Adopt(uid)]);
        assert_eq!(let_go(&mut entry), [], "each is told once");
    }
}
