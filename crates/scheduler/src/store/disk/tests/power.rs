//! Power is lost at every step that a life of the books makes on its disk, and again at every step
//! of the recovery.

use super::*;
use crate::store::{DetailLimits, Enrolment, Event, EventKind};
use std::ops::RangeInclusive;

/// What a disk writes as a whole.
const SECTOR_OCTETS: usize = 512;
const OTHER: ScheduleUid = ScheduleUid([9; 16]);
/// Every so many images the power is lost once more while they are opened.
const RECOVERIES_EVERY: usize = 40;

/// What a life has left behind.
struct Life {
    steps: Vec<Step>,
    /// After each commit: how many steps had been made, and what is kept since.
    commits: Vec<(usize, Loaded)>,
}

/// A store that is looked at after each of its commits, by another one on a copy of the disk.
struct Watched {
    store: DiskStore,
    disk: Disk,
    commits: Arc<Mutex<Vec<(usize, Loaded)>>>,
}

impl Watched {
    fn look(&self) {
        let (steps, octets) = {
            let state = self.disk.lock();
            (state.log.len(), state.octets.clone())
        };
        let loaded = open(&disk_of(octets)).unwrap().load().unwrap();
        self.commits.lock().unwrap().push((steps, loaded));
    }
}

impl Store for Watched {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.store.load()
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), StoreError> {
        self.store.commit(commit)?;
        self.look();
        Ok(())
    }
}

fn disk_of(octets: Vec<u8>) -> Disk {
    let disk = Disk::new(u64::MAX);
    disk.lock().octets = octets;
    disk
}

/// Opens a store as a scheduler does, on this disk.
fn open(disk: &Disk) -> Result<DiskStore, StoreError> {
    let is_new = disk.lock().octets.is_empty();
    let store = store();
    let database = disk.open().map_err(|error| store.failed(error))?;
    store.check_format(&database, is_new)?;
    Ok(DiskStore { database: Some(database), ..store })
}

impl Life {
    /// Lives through everything that the books are for, and closes them.
    fn live() -> Self {
        let disk = Disk::new(u64::MAX);
        let commits = Arc::new(Mutex::new(Vec::new()));
        let store = open(&disk).unwrap();
        let watched = Watched { store, disk: disk.clone(), commits: Arc::clone(&commits) };
        watched.look();
        let mut ledger = Ledger::open(Box::new(watched), None).unwrap();
        enroll(&mut ledger, UID, "x");
        claim(&mut ledger, UID, 1..=3);
        record(&mut ledger, UID, 1..=1, Outcome::Fired);
        record(&mut ledger, UID, 2..=2, Outcome::Failed(Reason::ExitStatus));
        ledger.released(fire(UID, 3));
        enroll(&mut ledger, OTHER, "z");
        claim(&mut ledger, OTHER, 100..=160);
        record(&mut ledger, OTHER, 1..=99, Outcome::Missed(Reason::NotRunning));
        for second in 100..=140 {
            record(&mut ledger, OTHER, second..=second, Outcome::Fired);
        }
        assert!(ledger.commit());
        let event = Event {
            kind: EventKind::Paused,
            at_ns: at(4).as_unix_nanos(),
            by: "uid 7".to_owned(),
            why: "disk full".to_owned(),
            from_ns: None,
            until_ns: None,
            count: 0,
        };
        ledger.pause(UID, event.clone());
        assert!(ledger.commit());
        ledger.unpause(UID, Event { kind: EventKind::Resumed, ..event });
        // An edit, whose claims are not all in one commit.
        enroll(&mut ledger, UID, "y");
        claim(&mut ledger, UID, 5..=6);
        ledger.adopt(UID);
        let asked = ledger.manual_key(UID, at(5));
        ledger.claim(&[Claim { fire: asked }]);
        for second in 5..=6 {
            record(&mut ledger, UID, second..=second, Outcome::Failed(Reason::ExitStatus));
        }
        claim(&mut ledger, UID, 7..=9);
        ledger.retire(OTHER, at(161));
        assert!(ledger.close());
        drop(ledger);
        let mut store = open(&disk).unwrap();
        store.database.as_mut().unwrap().compact().unwrap();
        drop(store);
        let steps = std::mem::take(&mut disk.lock().log);
        let commits = std::mem::take(&mut *commits.lock().unwrap());
        Self { steps, commits }
    }

    /// The commits of which one must be found after so many steps: the last that was confirmed, or
    /// the one that was being made.
    fn possible(&self, steps: usize) -> RangeInclusive<usize> {
        let confirmed = self.commits.iter().rposition(|(made, _)| *made <= steps);
        let confirmed = confirmed.expect("the first commits are left out");
        confirmed..=(confirmed + 1).min(self.commits.len() - 1)
    }

    fn check(&self, image: Vec<u8>, steps: usize, place: &str) -> Vec<Step> {
        let disk = disk_of(image);
        let mut store = open(&disk).unwrap_or_else(|error| panic!("{place}: {error}"));
        let found = store.load().unwrap_or_else(|error| panic!("{place}: {error}"));
        let is_kept = self.possible(steps).any(|commit| self.commits[commit].1 == found);
        assert!(is_kept, "{place}: neither the last commit nor the next one: {found:?}");
        drop(store);
        std::mem::take(&mut disk.lock().log)
    }
}

fn fire(schedule: ScheduleUid, second: u64) -> FireId {
    FireId { schedule, scheduled_at: at(second) }
}

fn enroll(ledger: &mut Ledger, uid: ScheduleUid, definition: &str) {
    let schedule = Enrolment {
        uid,
        definition: definition.to_owned(),
        limits: DetailLimits { successful: 3, failed: 1 },
        repeatable: false,
    };
    ledger.enroll(schedule, at(0));
    if definition != "y" {
        ledger.adopt(uid);
    }
}

fn claim(ledger: &mut Ledger, uid: ScheduleUid, seconds: RangeInclusive<u64>) {
    let claims: Vec<Claim> = seconds.map(|second| Claim { fire: fire(uid, second) }).collect();
    let results = ledger.claim(&claims);
    assert!(results.iter().all(|(_, result)| *result == ClaimResult::Claimed));
}

fn record(ledger: &mut Ledger, uid: ScheduleUid, seconds: RangeInclusive<u64>, outcome: Outcome) {
    let (from, until) = (at(*seconds.start()), at(*seconds.end()));
    let count = seconds.count() as u64;
    let detail = FireDetail { lateness: Some(Span::from_micros(20)), ..FireDetail::default() };
    let record = OutcomeRecord { schedule: uid, from, until, count, outcome, detail };
    ledger.record(&record, "exit status 3".to_owned());
}

/// What the disk may hold where the power is lost and `unsynced` was not synced: none of it, all of
/// it, all but the first or the last step of it, half of its last write, and sectors by chance.
fn images(synced: &[u8], unsynced: &[Step], seed: u64) -> Vec<Vec<u8>> {
    let with = |steps: &mut dyn Iterator<Item = &Step>| {
        let mut image = synced.to_vec();
        steps.for_each(|step| keep(step, &mut image, |_| true));
        image
    };
    let [first, .., last] = unsynced else {
        return vec![synced.to_vec(), with(&mut unsynced.iter())];
    };
    let mut torn = with(&mut unsynced[..unsynced.len() - 1].iter());
    keep(last, &mut torn, |sector| sector % 2 == 0);
    let mut by_chance = synced.to_vec();
    let mut seed = seed;
    for step in unsynced {
        keep(step, &mut by_chance, |_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40).is_multiple_of(2)
        });
    }
    vec![
        synced.to_vec(),
        with(&mut unsynced.iter()),
        with(&mut unsynced[1..].iter()),
        with(&mut [first, last].into_iter()),
        torn,
        by_chance,
    ]
}

/// Has those sectors of a step reach the disk that are wanted.
fn keep(step: &Step, image: &mut Vec<u8>, mut is_kept: impl FnMut(usize) -> bool) {
    let Step::Write(offset, octets) = step else { return step.take_effect(image) };
    for (n, sector) in octets.chunks(SECTOR_OCTETS).enumerate() {
        if is_kept(n) {
            let from = offset + n * SECTOR_OCTETS;
            image.resize(image.len().max(from + sector.len()), 0);
            image[from..from + sector.len()].copy_from_slice(sector);
        }
    }
}

/// Calls `look` with what the disk may hold after each step from the `first` on.
fn at_each_step(
    start: Vec<u8>,
    steps: &[Step],
    first: usize,
    mut look: impl FnMut(usize, Vec<u8>),
) {
    let (mut synced, mut unsynced) = (start, 0);
    for made in 0..=steps.len() {
        if made >= first {
            for image in images(&synced, &steps[unsynced..made], made as u64) {
                look(made, image);
            }
        }
        if let Some(Step::Sync) = steps.get(made) {
            steps[unsynced..made].iter().for_each(|step| step.take_effect(&mut synced));
            unsynced = made + 1;
        }
    }
}

#[test]
fn a_power_loss_at_any_step_leaves_the_last_commit_or_the_one_after_it_whole() {
    let life = Life::live();
    let (made, _) = life.commits[0];
    let mut looked_at = 0;
    at_each_step(Vec::new(), &life.steps, made, |steps, image| {
        let place = format!("image {looked_at}, after {steps} of {} steps", life.steps.len());
        let recovery = life.check(image.clone(), steps, &place);
        if looked_at % RECOVERIES_EVERY == 0 {
            at_each_step(image, &recovery, 0, |again, image| {
                life.check(image, steps, &format!("{place}, then {again} of its recovery"));
            });
        }
        looked_at += 1;
    });
    assert!(life.commits.len() >= 10, "{} commits", life.commits.len());
    assert!(looked_at > 4 * life.steps.len() / 2, "{looked_at} images");
}

#[test]
fn a_power_loss_before_the_first_commit_leaves_a_store_that_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let disk = Disk::new(u64::MAX);
    drop(open(&disk).unwrap());
    let steps = std::mem::take(&mut disk.lock().log);
    at_each_step(Vec::new(), &steps, 0, |made, image| {
        fs::write(&path, image).unwrap();
        let (mut store, _) = DiskStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), Loaded::default(), "after {made} steps");
    });
}
