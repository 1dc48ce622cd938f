use super::*;
use crate::store::ledger::Ledger;
use crate::store::{DetailLimits, Enrolment, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use timeball_schedule::planner::{Claim, OutcomeRecord};
use timeball_schedule::{FireDetail, FireId, Outcome, Reason};
use timeball_timebase::{Span, Timestamp};

/// What a store holds.
#[derive(Clone, Default)]
struct Content {
    number: u64,
    images: BTreeMap<ScheduleUid, Vec<u8>>,
    rows: BTreeMap<u64, Vec<u8>>,
    closing: crate::store::Closing,
    /// Whether the next commits fail, and whether they are made all the same.
    failing: Option<bool>,
}

/// A store in memory that may fail.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Content>>);

impl Store for Memory {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let content = self.0.lock().unwrap();
        let first = content.rows.keys().next().copied().unwrap_or(u64::MAX);
        let mut loaded = Loaded::new(content.number, content.closing, first);
        for (uid, octets) in &content.images {
            loaded.take_image(*uid, octets).unwrap();
        }
        for (number, octets) in &content.rows {
            loaded.take_changes(*number, octets).unwrap();
        }
        Ok(loaded.complete())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), StoreError> {
        let mut content = self.0.lock().unwrap();
        if content.failing != Some(false) {
            content.number = commit.number;
            content.closing = commit.closing;
            for (uid, image) in commit.images {
                match image {
                    Some(image) => content.images.insert(uid, image),
                    None => content.images.remove(&uid),
                };
            }
            for number in commit.contained {
                content.rows.remove(number);
            }
            content.rows.remove(&commit.number);
            if !commit.changes.is_empty() {
                content.rows.insert(commit.number, commit.changes.to_vec());
            }
        }
        match content.failing {
            None => Ok(()),
            Some(_) => {
                let message = "the disk is away".to_owned();
                Err(StoreError::Unusable { path: "store".into(), message })
            }
        }
    }
}

fn uid(n: u64) -> ScheduleUid {
    ScheduleUid(u128::from(n).to_be_bytes())
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix(1_795_000_000, 0) + Span::from_secs(second as i64)
}

/// What is durable of all accounts, in a form that can be compared.
fn shapes(accounts: &Accounts) -> Vec<(ScheduleUid, Vec<u8>)> {
    accounts.iter().map(|(uid, account)| (*uid, account.encode(0))).collect()
}

struct Desk {
    memory: Memory,
    ledger: Ledger,
    seed: u64,
    second: u64,
}

impl Desk {
    fn new(seed: u64, balance_octets: u64) -> Self {
        let memory = Memory::default();
        let mut ledger = Ledger::open(Box::new(memory.clone()), None).unwrap();
        ledger.log.balance_octets = balance_octets;
        Self { memory, ledger, seed, second: 0 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    /// Something happens to one of twenty schedules.
    fn step(&mut self) {
        let schedule = uid(self.random(20));
        self.second += 1;
        let fire = FireId { schedule, scheduled_at: at(self.second) };
        match self.random(40) {
            0 => {
                let definition = format!("expression {}", self.random(3));
                let limits = DetailLimits { successful: self.random(5) as u32, failed: 1 };
                let enrolment = Enrolment { uid: schedule, definition, limits, repeatable: false };
                let _ = self.ledger.enroll(enrolment, fire.scheduled_at);
                self.ledger.adopt(schedule);
            }
            1 => self.ledger.retire(schedule, fire.scheduled_at),
            2 => self.ledger.forget(schedule),
            3 => self.ledger.account(schedule, fire.scheduled_at),
            4..20 => self.ledger.expect(&[Claim { fire }]),
            _ => {
                let outcomes = [
                    Outcome::Fired,
                    Outcome::Failed(Reason::ExitStatus),
                    Outcome::Missed(Reason::NotRunning),
                ];
                let outcome = outcomes[self.random(3) as usize];
                let lateness = Some(Span::from_micros(20));
                let detail = FireDetail { lateness, ..FireDetail::default() };
                let from = at(self.second - self.random(self.second.min(30)));
                let record =
                    OutcomeRecord { schedule, from, until: from, count: 1, outcome, detail };
                self.ledger.record(&record, String::new());
            }
        }
    }

    fn commit(&mut self) -> bool {
        let failing = match self.random(10) {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        self.memory.0.lock().unwrap().failing = failing;
        self.ledger.commit()
    }
}

#[test]
fn what_is_loaded_after_any_commit_is_what_was_known_when_it_was_made() {
    for seed in 0..10 {
        // From sweeps with every commit to nearly none.
        let mut desk = Desk::new(seed, 100 << seed);
        for round in 0..100 {
            for _ in 0..desk.random(30) {
                desk.step();
            }
            if desk.commit() && round % 3 == 0 {
                let loaded = desk.memory.load().unwrap();
                let same = shapes(&loaded.accounts) == shapes(&desk.ledger.accounts);
                assert!(same, "seed {seed}, round {round}");
            }
            if desk.random(30) == 0 && desk.ledger.problem().is_none() && desk.commit() {
                let balance_octets = desk.ledger.log.balance_octets;
                desk.ledger = Ledger::open(Box::new(desk.memory.clone()), None).unwrap();
                desk.ledger.log.balance_octets = balance_octets;
            }
        }
    }
}

#[test]
fn the_log_settles_at_a_length_and_every_row_goes_in_its_turn() {
    let mut desk = Desk::new(7, 64 * 1024);
    let mut octets = Vec::new();
    for _ in 0..2_000 {
        for _ in 0..10 {
            desk.step();
        }
        desk.memory.0.lock().unwrap().failing = None;
        assert!(desk.ledger.commit());
        let content = desk.memory.0.lock().unwrap();
        let log = &desk.ledger.log;
        assert_eq!(content.rows.len(), log.rows.len());
        assert_eq!(content.rows.values().map(|row| row.len() as u64).sum::<u64>(), log.octets);
        octets.push(log.octets);
    }
    let longest = |range: std::ops::Range<usize>| octets[range].iter().max().copied().unwrap();
    let (middle, end) = (longest(1_000..1_500), longest(1_500..2_000));
    assert!(end < 2 * middle && end < 256 * 1024, "{middle} then {end} octets");
}

#[test]
fn changes_that_no_disk_takes_are_kept_as_images_of_limited_size() {
    let mut desk = Desk::new(7, BALANCE_OCTETS);
    desk.memory.0.lock().unwrap().failing = Some(true);
    let mut second = 0;
    while desk.ledger.log.changes.len() < CHANGES_OCTETS_MAX {
        second += 1;
        desk.ledger.record(
            &OutcomeRecord {
                schedule: uid(second % 10),
                from: at(second),
                until: at(second),
                count: 1,
                outcome: Outcome::Missed(Reason::StoreFailed),
                detail: FireDetail::default(),
            },
            "m".repeat(200),
        );
    }
    desk.ledger.expect(&[Claim { fire: FireId { schedule: uid(3), scheduled_at: at(second) } }]);
    desk.ledger.record(
        &OutcomeRecord {
            schedule: uid(11),
            from: at(1),
            until: at(1),
            count: 1,
            outcome: Outcome::Unknown,
            detail: FireDetail::default(),
        },
        String::new(),
    );
    desk.ledger.forget(uid(11));
    assert!(!desk.ledger.commit());
    assert!(desk.ledger.log.changes.len() < 100, "{}", desk.ledger.log.changes.len());
    desk.memory.0.lock().unwrap().failing = None;
    assert!(desk.ledger.commit());
    let loaded = desk.memory.load().unwrap();
    assert!(shapes(&loaded.accounts) == shapes(&desk.ledger.accounts));
}
