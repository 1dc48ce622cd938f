//! A shell for one planner: claims are granted, clocks are as the test says.
#![allow(dead_code, reason = "each test needs another part of it")]

use std::collections::{BTreeMap, VecDeque};
use timeball_schedule::language::Schedule;
use timeball_schedule::planner::{
    Action, ArmedFire, CatchUp, CatchUpPolicy, ClaimResult, ClockPolicy, Concurrency, Follow,
    Input, OutcomeRecord, Planner, PlannerOptions, Resume, ScheduleSpec, Times,
};
use timeball_schedule::{FireId, Outcome, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// The schedule of all these tests.
pub(crate) const UID: ScheduleUid = ScheduleUid([7; 16]);

pub(crate) struct Desk {
    planner: Planner,
    /// What all clocks show but the system clock.
    pub(crate) now: Timestamp,
    /// How far the system clock is ahead of the others.
    ahead: Span,
    wake_at: Option<Timestamp>,
    armed: BTreeMap<FireId, ArmedFire>,
    /// What runs, and when it ends.
    running: BTreeMap<FireId, Timestamp>,
    /// How long a target takes.
    pub(crate) run_for: Span,
    /// Each release: the instant, and the clock's time at it.
    pub(crate) released: Vec<(Timestamp, Timestamp)>,
    pub(crate) records: Vec<OutcomeRecord>,
}

/// A schedule that catches up the latest instant of a day.
pub(crate) fn spec(schedule: Schedule) -> ScheduleSpec {
    let (policy, window) = (CatchUpPolicy::Latest, Span::from_secs(86_400));
    ScheduleSpec {
        uid: UID,
        generation: 1,
        schedule,
        suspended: false,
        deadline: None,
        concurrency: Concurrency::Allow,
        catch_up: CatchUp { policy, window, limit: 10 },
        jitter: Span::ZERO,
        pause_on_failure: None,
        clock: ClockPolicy::default(),
    }
}

impl Desk {
    /// A planner that has just been given the schedule.
    pub(crate) fn new(spec: ScheduleSpec, now: Timestamp) -> Self {
        Self::resumed(spec, Resume::default(), now)
    }

    /// One that was given the schedule with what the store knows of it.
    pub(crate) fn resumed(spec: ScheduleSpec, resume: Resume, now: Timestamp) -> Self {
        let mut desk = Self::empty(now, Span::ZERO);
        desk.feed(Input::Upsert { spec: Box::new(spec), resume });
        desk.feed(Input::Wake);
        desk
    }

    /// A planner without a schedule, with a system clock that is so far ahead of the others.
    pub(crate) fn empty(now: Timestamp, ahead: Span) -> Self {
        Self {
            planner: Planner::new(PlannerOptions::default()),
            now,
            ahead,
            wake_at: None,
            armed: BTreeMap::new(),
            running: BTreeMap::new(),
            run_for: Span::from_millis(1),
            released: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Gives it a schedule, anew if it has it.
    pub(crate) fn edit(&mut self, spec: ScheduleSpec) {
        self.feed(Input::Upsert { spec: Box::new(spec), resume: Resume::default() });
        self.feed(Input::Wake);
    }

    /// Takes a schedule away.
    pub(crate) fn remove(&mut self, uid: ScheduleUid) {
        self.feed(Input::Remove(uid));
    }

    /// Sets the clock of the schedules that follow none by name.
    pub(crate) fn step(&mut self, to: Timestamp) {
        self.now = to;
        self.feed(Input::ClockStepped(vec![Follow::Auto]));
    }

    /// Sets the system clock so far ahead of the others, which notice nothing of it.
    pub(crate) fn set_system(&mut self, ahead: Span) {
        self.ahead = ahead;
        self.feed(Input::ClockStepped(vec![Follow::System]));
    }

    /// Lets time pass, with everything that is due in it.
    pub(crate) fn run_until(&mut self, end: Timestamp) {
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.happen();
        }
        self.now = self.now.max(end);
    }

    /// The outcomes in the order of their instants; none may overlap another.
    pub(crate) fn outcomes(&self) -> Vec<(Timestamp, u64, Outcome)> {
        let mut records = self.records.clone();
        records.sort_by_key(|record| record.from);
        for pair in records.windows(2) {
            assert!(pair[0].until < pair[1].from, "two outcomes: {pair:?}");
        }
        records.iter().map(|record| (record.from, record.count, record.outcome)).collect()
    }

    /// The instants whose fires are armed.
    pub(crate) fn armed(&self) -> Vec<Timestamp> {
        self.armed.keys().map(|fire| fire.scheduled_at).collect()
    }

    fn next_event(&self) -> Option<Timestamp> {
        let releases = self.armed.values().map(|fire| match fire.clock.follow {
            Follow::System => fire.release_at - self.ahead,
            Follow::Auto | Follow::Utc => fire.release_at,
        });
        let wake_at = self.wake_at.map(|at| at - self.ahead);
        releases.chain(self.running.values().copied()).chain(wake_at).min()
    }

    fn happen(&mut self) {
        let (now, times) = (self.now, self.times());
        let by_its_clock = |armed: &ArmedFire| times.by(armed.clock.follow);
        if let Some(fire) = due(&self.running, |end| *end <= now) {
            self.running.remove(&fire);
            let duration = Some(self.run_for);
            self.feed(Input::Finished { fire, outcome: Outcome::Fired, duration });
        } else if let Some(fire) = due(&self.armed, |armed| armed.release_at <= by_its_clock(armed))
        {
            let armed = self.armed.remove(&fire).expect("it was found above");
            let time = by_its_clock(&armed);
            if armed.not_after.is_some_and(|last| last < time) {
                let outcome = Outcome::Missed(Reason::DeadlineExceeded);
                return self.feed(Input::Finished { fire, outcome, duration: None });
            }
            self.released.push((fire.scheduled_at, now));
            self.running.insert(fire, now + self.run_for);
            let lateness = time - armed.release_at;
            let (clock_bound, clock_exceeded) = (None, false);
            self.feed(Input::Released { fire, lateness, clock_bound, clock_exceeded });
        } else {
            self.wake_at = None;
            self.feed(Input::Wake);
        }
    }

    fn times(&self) -> Times {
        Times { system: self.now + self.ahead, ..self.now.into() }
    }

    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.planner.handle_input(self.times(), input) {
                inputs.extend(self.carry_out(action));
            }
        }
    }

    fn carry_out(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Claim(claims) => {
                let granted = claims.into_iter().map(|claim| (claim.fire, ClaimResult::Claimed));
                return Some(Input::Claimed(granted.collect()));
            }
            Action::Arm(fire) => drop(self.armed.insert(fire.fire, fire)),
            Action::Revoke(fire) => {
                self.armed.remove(&fire)?;
                let outcome = Outcome::Skipped(Reason::Revoked);
                return Some(Input::Finished { fire, outcome, duration: None });
            }
            Action::Stop(fire) => {
                self.running.remove(&fire)?;
                let (outcome, duration) = (Outcome::Failed(Reason::Replaced), Some(self.run_for));
                return Some(Input::Finished { fire, outcome, duration });
            }
            Action::WakeAt(at) => self.wake_at = Some(at),
            Action::Record(record) => self.records.push(record),
            Action::Account { .. } | Action::Adopt(_) | Action::Pause { .. } => {}
        }
        None
    }
}

fn due<T>(among: &BTreeMap<FireId, T>, is_due: impl Fn(&T) -> bool) -> Option<FireId> {
    among.iter().find(|(_, what)| is_due(what)).map(|(fire, _)| *fire)
}
