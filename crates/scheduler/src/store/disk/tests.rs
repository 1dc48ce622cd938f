//! The store on a disk that dies, fills up, and tears what was not synced.

mod power;

use super::*;
use crate::store::Ledger;
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use timeball_schedule::planner::{Claim, ClaimResult, OutcomeRecord};
use timeball_schedule::{FireDetail, FireId, Outcome, Reason};
use timeball_timebase::Span;

const UID: ScheduleUid = ScheduleUid([7; 16]);

/// A disk that remembers what was done to it.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What is read: everything that was written.
    octets: Vec<u8>,
    /// What was done, in its order.
    log: Vec<Step>,
    /// How many more steps succeed.
    room: u64,
    /// Whether the others fail because it was made read-only, and not because it is full.
    is_read_only: bool,
}

/// Something that is done to a disk.
#[derive(Clone, Debug)]
enum Step {
    Resize(usize),
    Write(usize, Vec<u8>),
    Sync,
}

impl Disk {
    fn new(room: u64) -> Self {
        Self(Arc::new(Mutex::new(State { room, ..State::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn open(&self) -> Result<Database, redb::Error> {
        Ok(Database::builder().create_with_backend(self.clone())?)
    }

    fn take(&self, step: Step) -> io::Result<()> {
        let mut state = self.lock();
        let error = if state.is_read_only { libc::EROFS } else { libc::ENOSPC };
        let left = state.room.checked_sub(1);
        state.room = left.ok_or_else(|| io::Error::from_raw_os_error(error))?;
        step.take_effect(&mut state.octets);
        state.log.push(step);
        Ok(())
    }
}

impl Step {
    fn take_effect(&self, octets: &mut Vec<u8>) {
        match self {
            Self::Resize(length) => octets.resize(*length, 0),
            Self::Write(from, data) => octets[*from..from + data.len()].copy_from_slice(data),
            Self::Sync => {}
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().octets.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = offset as usize;
        let state = self.lock();
        let octets = state.octets.get(from..from + out.len());
        out.copy_from_slice(octets.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.take(Step::Resize(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.take(Step::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.take(Step::Write(offset as usize, data.to_vec()))
    }
}

fn store() -> DiskStore {
    DiskStore { path: "store".into(), database: None }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix(1_795_000_000, 0) + Span::from_secs(second as i64)
}

/// The `n`th commit: one claim more, the outcome of the one before, and word of it in the row.
fn batch(n: u64) -> Batch {
    let row = Row { name: "flush".into(), accounted_until_ns: Some(n as i64), ..Row::default() };
    let mut batch = Batch::default();
    batch.rows.insert(UID, Some(row));
    batch.claims.insert((UID, at(n)), Some(false));
    batch.claims.insert((UID, at(n - 1)), None);
    batch.closing.journal = Some(n);
    batch
}

/// Commits until the disk is full; returns how many commits were confirmed.
fn fill(disk: &Disk) -> u64 {
    let Ok(database) = disk.open() else { return 0 };
    if store().write_format(&database).is_err() {
        return 0;
    }
    let full = (1..).find(|n| write(&database, &batch(*n)).is_err()).unwrap();
    full - 1
}

#[test]
fn a_busy_schedule_does_not_let_the_store_grow_without_end() {
    let disk = Disk::new(u64::MAX);
    let database = disk.open().unwrap();
    store().write_format(&database).unwrap();
    let store = DiskStore { path: "store".into(), database: Some(database) };
    let mut ledger = Ledger::open(Box::new(store), None).unwrap();
    let detail = FireDetail { lateness: Some(Span::from_micros(20)), ..FireDetail::default() };
    let mut sizes = Vec::new();
    for round in 0..160 {
        let instants = round * 50 + 1..=round * 50 + 50;
        let fire = |n| FireId { schedule: UID, scheduled_at: at(n) };
        let claims: Vec<Claim> = instants.clone().map(|n| Claim { fire: fire(n) }).collect();
        assert!(ledger.claim(&claims).iter().all(|(_, result)| *result == ClaimResult::Claimed));
        for n in instants {
            // No two in a row are alike, so that none are kept as one.
            let reasons = [Reason::ExitStatus, Reason::TimedOut, Reason::Refused];
            let outcome = Outcome::Failed(reasons[n as usize % 3]);
            let (from, until) = (at(n), at(n));
            let record = OutcomeRecord { schedule: UID, from, until, count: 1, outcome, detail };
            ledger.record(&record, "exit status 3; output: nothing of note".to_owned());
        }
        sizes.push(disk.lock().octets.len());
    }
    let (half, end) = (sizes[80], sizes[159]);
    assert!(end <= half, "{half} octets after 4,000 fires, {end} after 8,000");
    assert!(end <= 4 * 1024 * 1024, "{end} octets");
}

#[test]
fn a_store_that_is_mostly_waste_is_compacted_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let (mut store, _) = DiskStore::open(&path).unwrap();
    let entry = |n| HistoryEntry {
        from: at(n),
        until: at(n),
        count: 1,
        outcome: Outcome::Failed(Reason::ExitStatus),
        detail: FireDetail::default(),
        message: "m".repeat(1_000),
    };
    let mut full = batch(1);
    full.history = (0..20_000).map(|n| ((UID, at(n)), Some(entry(n)))).collect();
    store.commit(&full).unwrap();
    let history = (1..20_000).map(|n| ((UID, at(n)), None)).collect();
    store.commit(&Batch { history, ..Batch::default() }).unwrap();
    drop(store);
    let size = || fs::metadata(&path).unwrap().len();
    let before = size();
    assert!(before > COMPACT_OCTETS_MIN, "{before}");
    let (mut store, aside) = DiskStore::open(&path).unwrap();
    assert!(aside.is_none() && size() < before / COMPACT_TIMES, "{before} to {}", size());
    let loaded = store.load().unwrap();
    assert_eq!(loaded.schedules[0].history.values().collect::<Vec<_>>(), [&entry(0)]);
    store.commit(&batch(2)).unwrap();
}

#[test]
fn a_full_or_read_only_disk_is_told_and_the_store_goes_on_once_it_takes_writes_again() {
    for room in (40..80).step_by(2) {
        let disk = Disk::new(room);
        disk.lock().is_read_only = room % 4 == 0;
        let confirmed = fill(&disk);
        let database = disk.open();
        let error = database.and_then(|database| write(&database, &batch(1))).unwrap_err();
        let error = store().failed(error);
        assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("is the disk full"), "{error}");
        disk.lock().room = u64::MAX;
        let database = disk.open().unwrap();
        let loaded = read_all(&database).unwrap().understand().unwrap();
        let found = loaded.closing.journal.unwrap_or(0);
        assert!((confirmed..=confirmed + 1).contains(&found), "{found} of {confirmed}");
        write(&database, &batch(found + 1)).unwrap();
    }
}
