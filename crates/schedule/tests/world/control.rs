//! What people ask for: pauses, runs, backfills, and schedules that are gone for a moment.

use super::World;
use timeball_schedule::planner::{Input, OutcomeRecord, Resume};
use timeball_schedule::{FireId, ScheduleUid, Trigger};
use timeball_timebase::Span;

impl World {
    /// Somebody wants something of some schedule.
    pub fn control(&mut self) {
        let uids: Vec<ScheduleUid> = self.specs.keys().copied().collect();
        let uid = self.random.pick(&uids);
        match self.random.below(4) {
            0 | 1 => self.toggle_pause(uid),
            2 => self.run_now(uid),
            _ => self.backfill(uid),
        }
    }

    /// Takes a schedule away, or not, and says what the shell knows of it when it is back at once.
    pub fn remove_for_a_moment(&mut self, uid: ScheduleUid) -> Resume {
        if self.store.due_at().is_some() || self.random.one_in(2) {
            return Resume::default();
        }
        self.feed(Input::Remove(uid));
        self.store.flush();
        // It may be new to the planner, and a clock that was set back shows it what came before it
        // was first seen.
        self.forgiven.push((uid, self.now(), self.since[&uid]));
        let known = self.store.resume(uid, self.repeatable.contains(&uid), self.now());
        Resume { accounted_until: None, open_claims: Vec::new(), ..known }
    }

    fn toggle_pause(&mut self, schedule: ScheduleUid) {
        let paused = !self.paused.contains(&schedule);
        self.store.begin_call();
        self.store.pause(schedule, paused);
        self.feed(Input::SetPaused { schedule, paused });
        if paused {
            self.paused.insert(schedule);
        } else {
            self.paused.remove(&schedule);
        }
    }

    fn run_now(&mut self, schedule: ScheduleUid) {
        let fire = FireId::manual(schedule, self.now());
        if self.asked.insert(fire) {
            self.feed(Input::Request { schedule, fires: vec![fire.scheduled_at], parallel: 1 });
        }
    }

    fn backfill(&mut self, schedule: ScheduleUid) {
        let parallel = 1 + self.random.below(3) as usize;
        let mut fires = Vec::new();
        let mut at = self.now() - self.random.millis(0, 60_000);
        for _ in 0..1 + self.random.below(20) {
            let Some(nominal) = self.specs[&schedule].schedule.previous_before(at) else { break };
            let attempts = 1..=10;
            let free = attempts.filter_map(|n| FireId::backfill(schedule, nominal, n));
            let free = free.filter(|fire| !self.asked.contains(fire)).min();
            fires.extend(free.map(|fire| fire.scheduled_at));
            self.asked.extend(free);
            at = nominal - self.random.millis(0, 100);
        }
        self.parallel.insert(schedule, parallel);
        self.feed(Input::Request { schedule, fires, parallel });
    }

    /// The planner says that a schedule rests because of its failures.
    pub fn paused_itself(&mut self, uid: ScheduleUid, failures: u32) {
        let limit = self.specs[&uid].pause_on_failure.unwrap();
        assert!(failures >= limit, "paused after {failures} failures");
        self.store.pause(uid, true);
        self.paused.insert(uid);
    }

    /// At each release: nothing of its own while a schedule rests, no more backfills than allowed.
    pub fn check_requested_release(&self, id: FireId) {
        match id.trigger() {
            Trigger::Schedule => assert!(!self.paused.contains(&id.schedule), "{id} while paused"),
            Trigger::Manual => assert!(self.asked.contains(&id)),
            Trigger::Backfill => {
                assert!(self.asked.contains(&id) && id.nominal() <= self.latest);
                let of = |fire: &&FireId| fire.schedule == id.schedule;
                let backfill = |fire: &&FireId| fire.trigger() == Trigger::Backfill;
                let running = self.running.keys().filter(of).filter(backfill).count();
                let parallel = self.parallel.get(&id.schedule).copied().unwrap_or(1);
                assert!(running <= parallel.max(3), "{running} backfills run");
            }
        }
    }

    /// At the end: what was asked for has one outcome, unless it was lost before it was claimed.
    pub fn check_requested(&self) {
        for fire in &self.asked {
            let of = |record: &&OutcomeRecord| {
                FireId { schedule: record.schedule, scheduled_at: record.from } == *fire
            };
            let records: Vec<_> = self.store.records.iter().filter(of).collect();
            match records.first() {
                Some(record) => {
                    assert!(record.from == record.until && record.count == 1);
                    self.check_truth(record);
                }
                None => {
                    assert!(self.crashed.is_some(), "{fire} has no outcome");
                    assert!(!self.effects.contains_key(fire), "{fire} had an effect unrecorded");
                }
            }
            assert!(records.len() <= 1, "{fire} has outcomes {records:?}");
        }
        let late = self.store.records.iter().filter(|r| Trigger::of(r.from) != Trigger::Schedule);
        for record in late.filter_map(|record| record.detail.lateness) {
            assert!(!record.is_negative() && record <= Span::from_secs(1), "{record}");
        }
    }
}
