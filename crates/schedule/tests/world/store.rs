//! A store that keeps what is committed, and may fail, be slow, or lose its tail in a crash.

use super::Random;
use std::collections::{BTreeMap, BTreeSet};
use timeball_schedule::planner::{Claim, ClaimResult, OutcomeRecord, Resume};
use timeball_schedule::{FireId, ScheduleUid};
use timeball_timebase::Timestamp;

#[derive(Default)]
pub struct Store {
    pub records: Vec<OutcomeRecord>,
    pub open: BTreeSet<FireId>,
    pub accounted: BTreeMap<ScheduleUid, Timestamp>,
    /// Fires with a record of their own or within a run, to find double effects.
    pub recorded: BTreeSet<FireId>,
    /// Calls that are not durable yet, oldest first.
    calls: Vec<Vec<Entry>>,
    asked: Option<(Vec<Claim>, Timestamp)>,
}

enum Entry {
    Record(OutcomeRecord),
    Account(ScheduleUid, Timestamp),
    Claims(Vec<Claim>),
}

impl Store {
    pub fn begin_call(&mut self) {
        self.calls.push(Vec::new());
    }

    fn push(&mut self, entry: Entry) {
        self.calls.last_mut().unwrap().push(entry);
    }

    pub fn record(&mut self, record: OutcomeRecord) {
        self.push(Entry::Record(record));
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
            if random.one_in(2) {
                self.flush();
            } else {
                self.forget_claims();
            }
            return Some(claims.iter().map(|c| answer(c.fire, ClaimResult::Unknown)).collect());
        }
        let done: Vec<bool> = claims.iter().map(|c| self.recorded.contains(&c.fire)).collect();
        self.flush();
        let result = |done| if done { ClaimResult::Lost } else { ClaimResult::Claimed };
        Some(claims.iter().zip(done).map(|(c, done)| answer(c.fire, result(done))).collect())
    }

    /// A commit failed: the shell keeps the records for the next one, the claims are not repeated.
    fn forget_claims(&mut self) {
        for call in &mut self.calls {
            call.retain(|entry| !matches!(entry, Entry::Claims(_)));
        }
    }

    /// Makes everything durable, in order.
    pub fn flush(&mut self) {
        for call in std::mem::take(&mut self.calls) {
            self.apply(call);
        }
    }

    fn apply(&mut self, call: Vec<Entry>) {
        for entry in call {
            match entry {
                Entry::Record(record) => {
                    self.raise(record.schedule, record.until);
                    self.records.push(record);
                    if record.count == 1 {
                        let fire = FireId { schedule: record.schedule, scheduled_at: record.from };
                        self.recorded.insert(fire);
                    }
                    self.open.retain(|fire| {
                        let within = record.from..=record.until;
                        fire.schedule != record.schedule || !within.contains(&fire.scheduled_at)
                    });
                }
                Entry::Account(uid, until) => self.raise(uid, until),
                Entry::Claims(claims) => {
                    for claim in claims {
                        self.raise(claim.fire.schedule, claim.fire.scheduled_at);
                        self.open.insert(claim.fire);
                    }
                }
            }
        }
    }

    fn raise(&mut self, uid: ScheduleUid, until: Timestamp) {
        let accounted = self.accounted.entry(uid).or_insert(until);
        *accounted = (*accounted).max(until);
    }

    /// The process dies: some of the tail may have become durable, in order.
    pub fn crash(&mut self, random: &mut Random) {
        let kept = random.below(self.calls.len() as u64 + 1) as usize;
        let calls = std::mem::take(&mut self.calls);
        for call in calls.into_iter().take(kept) {
            self.apply(call);
        }
        self.asked = None;
    }

    pub fn resume(&self, uid: ScheduleUid, repeatable: bool) -> Resume {
        let open = self.open.iter().filter(|fire| fire.schedule == uid);
        Resume {
            accounted_until: self.accounted.get(&uid).copied(),
            open_claims: open.map(|fire| fire.scheduled_at).collect(),
            repeatable,
        }
    }
}
