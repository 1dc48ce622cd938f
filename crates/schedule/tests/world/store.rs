//! A store that keeps what is committed, and may fail, be slow, or lose its tail in a crash.

use super::Random;
use std::collections::{BTreeMap, BTreeSet};
use timeball_schedule::planner::{Claim, ClaimResult, OpenClaim, OutcomeRecord, Resume};
use timeball_schedule::{FireId, Outcome, ScheduleUid, Trigger};
use timeball_timebase::Timestamp;

#[derive(Default)]
pub struct Store {
    pub records: Vec<OutcomeRecord>,
    /// Claims without an outcome, and whether the fire may have been released.
    pub open: BTreeMap<FireId, bool>,
    pub accounted: BTreeMap<ScheduleUid, Timestamp>,
    /// The expression of each schedule.
    pub defined: BTreeMap<ScheduleUid, String>,
    /// Fires with a record of their own or within a run, to find double effects.
    pub recorded: BTreeSet<FireId>,
    /// Schedules that rest, and failures in a row.
    pub paused: BTreeSet<ScheduleUid>,
    pub failures: BTreeMap<ScheduleUid, u32>,
    /// Calls that are not durable yet, oldest first.
    calls: Vec<Vec<Entry>>,
    asked: Option<(Vec<Claim>, Timestamp)>,
    /// What was noted at once since the last commit: a process that dies leaves it behind, a
    /// machine does not.
    journal: Vec<Noted>,
}

enum Noted {
    Begun(FireId),
    Ended(OutcomeRecord),
}

/// What dies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Crash {
    Process,
    Machine,
}

enum Entry {
    Record(OutcomeRecord),
    Account(ScheduleUid, Timestamp),
    Claims(Vec<Claim>),
    Define(ScheduleUid, String),
    Paused(ScheduleUid, bool),
}

impl Store {
    pub fn begin_call(&mut self) {
        self.calls.push(Vec::new());
    }

    fn push(&mut self, entry: Entry) {
        self.calls.last_mut().unwrap().push(entry);
    }

    pub fn record(&mut self, record: OutcomeRecord) {
        if self.claims_within(&record).count() as u64 == record.count {
            self.journal.push(Noted::Ended(record));
        }
        self.push(Entry::Record(record));
    }

    pub fn define(&mut self, uid: ScheduleUid, expression: &str) {
        self.push(Entry::Define(uid, expression.to_owned()));
    }

    pub fn pause(&mut self, uid: ScheduleUid, paused: bool) {
        self.push(Entry::Paused(uid, paused));
    }

    /// Whether what is kept of a schedule was meant for another expression.
    pub fn is_redefined(&self, uid: ScheduleUid, expression: &str) -> bool {
        self.defined.get(&uid).is_some_and(|defined| defined != expression)
    }

    /// A fire is about to have its effect.
    pub fn begin(&mut self, fire: FireId) {
        self.journal.push(Noted::Begun(fire));
    }

    fn claims_within(&self, record: &OutcomeRecord) -> impl Iterator<Item = FireId> {
        let fire = |scheduled_at| FireId { schedule: record.schedule, scheduled_at };
        let trigger = Trigger::of(record.from);
        let within = self.open.range(fire(record.from)..=fire(record.until));
        within.map(|(fire, _)| *fire).filter(move |fire| fire.trigger() == trigger)
    }

    pub fn account(&mut self, uid: ScheduleUid, until: Timestamp) {
        self.push(Entry::Account(uid, until));
    }

    pub fn claim(&mut self, claims: Vec<Claim>, answer_at: Timestamp) {
        assert!(self.asked.is_none(), "one batch of claims at a time");
        self.push(Entry::Claims(claims.clone()));
        self.asked = Some((claims, answer_at));
    }

    pub fn due_at(&self) -> Option<Timestamp> {
        self.asked.as_ref().map(|(_, at)| *at)
    }

    /// Answers the claims whose commit is done; a failing commit may have been done all the same.
    pub fn commit_due(
        &mut self,
        real: Timestamp,
        failing: bool,
        random: &mut Random,
    ) -> Option<Vec<(FireId, ClaimResult)>> {
        if self.due_at().is_none_or(|at| at > real) {
            return None;
        }
        let (claims, _) = self.asked.take().unwrap();
        let answer = |fire, result| (fire, result);
        if failing {
            // What was not made durable stays for the next commit.
            if random.one_in(2) {
                self.flush();
            }
            return Some(claims.iter().map(|c| answer(c.fire, ClaimResult::Unknown)).collect());
        }
        let done: Vec<bool> = claims.iter().map(|c| self.recorded.contains(&c.fire)).collect();
        self.flush();
        let result = |done| if done { ClaimResult::Lost } else { ClaimResult::Claimed };
        Some(claims.iter().zip(done).map(|(c, done)| answer(c.fire, result(done))).collect())
    }

    /// Makes everything durable, in order.
    pub fn flush(&mut self) {
        for call in std::mem::take(&mut self.calls) {
            self.apply(call);
        }
        self.replay();
    }

    /// Takes over what was noted, unless it is known already.
    fn replay(&mut self) {
        for noted in std::mem::take(&mut self.journal) {
            match noted {
                Noted::Begun(fire) => {
                    if let Some(released) = self.open.get_mut(&fire) {
                        *released = true;
                    }
                }
                Noted::Ended(record) => {
                    if self.claims_within(&record).next().is_some() {
                        self.enter(record);
                    }
                }
            }
        }
    }

    fn apply(&mut self, call: Vec<Entry>) {
        for entry in call {
            match entry {
                Entry::Record(record) => self.enter(record),
                Entry::Define(uid, expression) => drop(self.defined.insert(uid, expression)),
                Entry::Account(uid, until) => self.raise(uid, until),
                Entry::Paused(uid, true) => drop(self.paused.insert(uid)),
                Entry::Paused(uid, false) => {
                    self.paused.remove(&uid);
                    self.failures.remove(&uid);
                }
                Entry::Claims(claims) => {
                    for claim in claims {
                        if claim.fire.trigger() == Trigger::Schedule {
                            self.raise(claim.fire.schedule, claim.fire.scheduled_at);
                        }
                        self.open.entry(claim.fire).or_insert(false);
                    }
                }
            }
        }
    }

    fn enter(&mut self, record: OutcomeRecord) {
        self.records.push(record);
        if Trigger::of(record.from) == Trigger::Schedule {
            self.raise(record.schedule, record.until);
            let failures = self.failures.entry(record.schedule).or_default();
            match record.outcome {
                Outcome::Fired => *failures = 0,
                outcome if outcome.is_targets_failure() => *failures += 1,
                _ => {}
            }
        }
        if record.count == 1 {
            let fire = FireId { schedule: record.schedule, scheduled_at: record.from };
            self.recorded.insert(fire);
        }
        let closed: Vec<FireId> = self.claims_within(&record).collect();
        for fire in closed {
            self.open.remove(&fire);
        }
    }

    fn raise(&mut self, uid: ScheduleUid, until: Timestamp) {
        let accounted = self.accounted.entry(uid).or_insert(until);
        *accounted = (*accounted).max(until);
    }

    /// Something dies: some of the tail may have become durable, in order.
    pub fn crash(&mut self, crash: Crash, random: &mut Random) {
        let kept = random.below(self.calls.len() as u64 + 1) as usize;
        let calls = std::mem::take(&mut self.calls);
        for call in calls.into_iter().take(kept) {
            self.apply(call);
        }
        self.asked = None;
        match crash {
            Crash::Process => self.replay(),
            Crash::Machine => {
                self.journal.clear();
                self.open.values_mut().for_each(|released| *released = true);
            }
        }
    }

    pub fn resume(&self, uid: ScheduleUid, repeatable: bool, now: Timestamp) -> Resume {
        let open = self.open.iter().filter(|(fire, _)| fire.schedule == uid);
        Resume {
            redefined: false,
            accounted_until: self.accounted.get(&uid).copied(),
            settled: self
                .records
                .iter()
                .filter(|r| r.schedule == uid && r.until > now)
                .filter(|r| Trigger::of(r.from) == Trigger::Schedule)
                .map(|r| (r.from, r.until))
                .collect(),
            open_claims: open
                .map(|(fire, released)| OpenClaim {
                    scheduled_at: fire.scheduled_at,
                    released: *released,
                })
                .collect(),
            repeatable,
            paused: self.paused.contains(&uid),
            failures: self.failures.get(&uid).copied().unwrap_or_default(),
        }
    }
}
