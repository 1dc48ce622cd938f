//! What must hold, checked apart from what is checked.

use super::store::Crash;
use super::{LIMITS, World};
use std::collections::BTreeMap;
use timeball_schedule::planner::{ArmedFire, CatchUpPolicy, Concurrency, OutcomeRecord};
use timeball_schedule::{FireId, Outcome, Reason, ScheduleUid, Trigger};
use timeball_timebase::{Span, Timestamp};

impl World {
    /// At each release: it is claimed durably, in time, has its place, and has no outcome yet.
    pub fn check_release(&self, fire: &ArmedFire) {
        let id = fire.fire;
        let spec = &self.specs[&id.schedule];
        assert!(self.store.open.contains_key(&id), "{id} is released without a durable claim");
        assert!(!self.store.recorded.contains(&id), "{id} is released after its outcome");
        // What was asked for has no instant to wait for: the clock may be set back meanwhile.
        let in_time = fire.release_at >= id.scheduled_at || id.trigger() != Trigger::Schedule;
        assert!(in_time && self.now() >= fire.release_at);
        if !self.repeatable.contains(&id.schedule) {
            assert!(!self.effects.contains_key(&id), "{id} is released twice");
        }
        self.check_requested_release(id);
        let running = self.running.keys().filter(|fire| fire.schedule == id.schedule).count();
        match spec.concurrency {
            Concurrency::Forbid | Concurrency::BufferOne => assert_eq!(running, 0, "{id}"),
            Concurrency::Allow | Concurrency::Replace => {
                assert!(running < LIMITS.active_per_schedule);
            }
        }
        let open = self.store.open.keys().filter(|fire| fire.schedule == id.schedule).count();
        assert!(open <= 2 * LIMITS.in_flight_per_schedule, "{open} claims are open");
    }

    /// At each record: what is missed is not still to come.
    pub fn check_record(&self, record: &OutcomeRecord) {
        let own = Trigger::of(record.from) == Trigger::Schedule;
        if let Outcome::Missed(reason) = record.outcome
            && own
        {
            let spec = &self.specs[&record.schedule];
            let release_at = spec.release_at(record.until);
            // A clock that is set may show an earlier time now than when it was decided.
            let set = self.chaos.steps || spec.generation > 1;
            // No more of them than the limit are planned, however long the jitter is.
            let (from, until) = (self.now() - spec.jitter, self.now() + Span::from_secs(2));
            let crowd = spec.schedule.count_between(from, until, u64::MAX) as usize;
            let known = set || crowd >= LIMITS.in_flight_per_schedule;
            assert!(known || release_at <= self.now(), "{reason:?} before its time: {record:?}");
        }
    }

    /// At the end: each instant has exactly one outcome, and it is true.
    pub fn check(&self) {
        assert!(self.store.open.is_empty(), "claims stay open: {:?}", self.store.open);
        let mut records: BTreeMap<ScheduleUid, Vec<OutcomeRecord>> = BTreeMap::new();
        let own = |record: &&OutcomeRecord| Trigger::of(record.from) == Trigger::Schedule;
        for record in self.store.records.iter().filter(own) {
            records.entry(record.schedule).or_default().push(*record);
        }
        for (uid, mut records) in records {
            records.sort_by_key(|record| record.from);
            self.check_schedule(uid, &records);
        }
        self.check_requested();
        let seconds = (self.real - self.started).as_seconds_f64();
        if self.is_calm() {
            let commits = self.claim_commits as f64;
            assert!(commits <= seconds * 1.05 + 5.0, "{commits} commits in {seconds} s");
        }
    }

    fn is_calm(&self) -> bool {
        let calm = |record: &OutcomeRecord| {
            matches!(record.outcome, Outcome::Fired | Outcome::Skipped(Reason::Revoked))
        };
        self.calm && {
            let odd = self.store.records.iter().find(|record| !calm(record));
            assert!(odd.is_none(), "not fired in a calm world: {odd:?}");
            true
        }
    }

    /// Each instant of each expression has one outcome while it is meant.
    fn check_edited(&self, uid: ScheduleUid, records: &[OutcomeRecord]) {
        let meant = &self.meant[&uid];
        let ends = meant.iter().skip(1).map(|(since, _)| *since).chain([self.removed_at]);
        for ((since, schedule), end) in meant.iter().zip(ends) {
            let mut at = *since;
            while let Some(next) = schedule.next_after(at).filter(|next| *next <= end) {
                at = next;
                // A run of one expression may span what the next one adds while it rests.
                let paused = Outcome::Skipped(Reason::Paused);
                let of = records.iter().filter(|r| r.from <= at && at <= r.until);
                let rested = of.clone().filter(|r| r.outcome == paused).count();
                let found = of.count() - rested.saturating_sub(1);
                let forgiven = found == 0 && self.is_forgiven(uid, at);
                assert!(found == 1 || forgiven, "{at} has {found} outcomes");
            }
        }
        for record in records {
            self.check_truth(record);
        }
    }

    fn check_schedule(&self, uid: ScheduleUid, records: &[OutcomeRecord]) {
        if self.meant[&uid].len() > 1 {
            return self.check_edited(uid, records);
        }
        let schedule = &self.specs[&uid].schedule;
        let mut total = 0;
        for pair in records.windows(2) {
            assert!(pair[0].until < pair[1].from, "two outcomes: {pair:?}");
        }
        for record in records {
            let count = schedule.count_between(record.from, record.until, u64::MAX);
            assert_eq!(record.count, count, "{record:?}");
            if !self.is_forgiven(uid, record.from) {
                total += count;
            }
            self.check_truth(record);
        }
        // From the moment it was first seen to the last instant that has an outcome.
        let last = records.last().map_or(self.latest, |record| record.until);
        let from = self.since[&uid] + Span::NANOSECOND;
        let expected = schedule.count_between(from, last, u64::MAX);
        if total != expected {
            let mut at = self.since[&uid];
            while let Some(next) = schedule.next_after(at).filter(|next| *next <= last) {
                let found = records.iter().any(|r| r.from <= next && next <= r.until);
                assert!(found, "{next} has no outcome");
                at = next;
            }
            let since = self.since[&uid];
            panic!("{total} outcomes of {expected} instants since {since}: {records:?}");
        }
        let owed = schedule.previous_before(self.removed_at).unwrap();
        let due = owed > self.since[&uid];
        assert!(!due || last >= owed, "nothing is accounted for after {last}");
    }

    /// Whether this instant may have an outcome or none.
    fn is_forgiven(&self, uid: ScheduleUid, at: Timestamp) -> bool {
        self.forgiven.iter().any(|(of, from, to)| *of == uid && *from < at && at <= *to)
    }

    /// Missed and skipped means never released; fired and failed means released.
    pub fn check_truth(&self, record: &OutcomeRecord) {
        let first = FireId { schedule: record.schedule, scheduled_at: record.from };
        let last = FireId { schedule: record.schedule, scheduled_at: record.until };
        let trigger = first.trigger();
        let effects = self.effects.range(first..=last).filter(|(f, _)| f.trigger() == trigger);
        let effects = effects.count();
        match record.outcome {
            Outcome::Missed(_) | Outcome::Skipped(_) => assert_eq!(effects, 0, "{record:?}"),
            Outcome::Fired | Outcome::Failed(_) => {
                assert_eq!((effects, record.count), (1, 1), "{record:?}");
                assert!(record.detail.lateness.is_some());
            }
            Outcome::Unknown => match self.crashed {
                None => panic!("{record:?} without a crash"),
                // The journal tells which fires began.
                Some(Crash::Process) => assert_eq!(effects as u64, record.count, "{record:?}"),
                Some(Crash::Machine) => {}
            },
        }
        if record.outcome == Outcome::Missed(Reason::CatchUpLimit) {
            assert_eq!(self.specs[&record.schedule].catch_up.policy, CatchUpPolicy::All);
        }
    }
}
