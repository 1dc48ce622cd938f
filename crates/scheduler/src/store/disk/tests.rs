//! The store on a disk that dies, fills up, and tears what was not synced.

mod power;

use super::*;
use crate::store::account::Account;
use crate::store::{Change, HistoryEntry, Ledger};
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use timeball_schedule::planner::{Claim, ClaimResult, OutcomeRecord};
use timeball_schedule::{FireDetail, FireId, Outcome, Reason};
use timeball_timebase::{Span, Timestamp};

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
    DiskStore { path: "store".into(), database: None, loaded: None }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix(1_795_000_000, 0) + Span::from_secs(second as i64)
}

fn missed(second: u64) -> HistoryEntry {
    let (from, outcome) = (at(second), Outcome::Missed(Reason::NotRunning));
    HistoryEntry {
        from,
        until: from,
        count: 1,
        outcome,
        detail: FireDetail::default(),
        message: String::new(),
    }
}

/// The `n`th commit: one claim more and the outcome of the one before, every third time with an
/// image of it all, which makes the rows before superfluous.
fn write_nth(database: &Database, n: u64) -> Result<(), redb::Error> {
    let mut changes = Vec::new();
    for change in [Change::Ended(missed(n - 1)), Change::Claimed(at(n))] {
        change.append_to(UID, &mut changes);
    }
    let mut account = Account::default();
    account.apply(Change::Ended(HistoryEntry { count: n, ..missed(n - 1) }));
    account.apply(Change::Claimed(at(n)));
    let with_image = n.is_multiple_of(3);
    let mut images = with_image.then(|| (UID, Some(account.encode(n)))).into_iter();
    let contained: Vec<u64> = (n.saturating_sub(3)..n).filter(|_| with_image).collect();
    let closing = Closing { journal: Some(n), clean: false };
    let (changes, contained) = (changes.as_slice(), contained.as_slice());
    write(database, Commit { number: n, changes, images: &mut images, contained, closing })
}

/// What was found after `n` commits is what they wrote.
fn check(loaded: &Loaded, n: u64) {
    assert_eq!((loaded.number, loaded.closing.journal.unwrap_or(0)), (n, n));
    let Some(account) = loaded.accounts.get(&UID) else { return assert_eq!(n, 0) };
    assert_eq!(account.accounted_until, Some(at(n)));
    assert_eq!(account.open.keys().copied().collect::<Vec<_>>(), [at(n)]);
    assert_eq!(account.tally().missed, n);
    // The row of the last image is there until the next one.
    assert_eq!(loaded.rows.len() as u64, if n < 3 { n } else { n % 3 + 1 });
}

/// Commits until the disk is full; returns how many commits were confirmed.
fn fill(disk: &Disk) -> u64 {
    let Ok(database) = disk.open() else { return 0 };
    if store().write_format(&database).is_err() {
        return 0;
    }
    let full = (1..).find(|n| write_nth(&database, *n).is_err()).unwrap();
    full - 1
}

#[test]
fn a_busy_schedule_does_not_let_the_store_grow_without_end() {
    let disk = Disk::new(u64::MAX);
    let database = disk.open().unwrap();
    store().write_format(&database).unwrap();
    let store = DiskStore { database: Some(database), ..store() };
    let mut ledger = Ledger::open(Box::new(store), None).unwrap();
    let detail = FireDetail { lateness: Some(Span::from_micros(20)), ..FireDetail::default() };
    let mut sizes = Vec::new();
    for round in 0..400 {
        let instants = round * 100 + 1..=round * 100 + 100;
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
        disk.lock().log.clear();
        sizes.push(disk.lock().octets.len());
    }
    let (half, end) = (sizes[200], sizes[399]);
    assert!(end <= half, "{half} octets after 20,000 fires, {end} after 40,000");
    assert!(end <= 8 * 1024 * 1024, "{end} octets");
}

#[test]
fn a_store_that_is_mostly_waste_is_compacted_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let (mut store, _) = DiskStore::open(&path).unwrap();
    let uid = |n: u64| ScheduleUid(u128::from(n).to_be_bytes());
    let mut account = Account::default();
    account.apply(Change::Ended(HistoryEntry { message: "m".repeat(10_000), ..missed(1) }));
    let image = account.encode(1);
    let mut commit = |number, images: &mut dyn Iterator<Item = (ScheduleUid, Option<Vec<u8>>)>| {
        let (changes, contained) = (&[][..], &[][..]);
        let closing = Closing::default();
        store.commit(Commit { number, changes, images, contained, closing }).unwrap();
    };
    commit(1, &mut (0..2_000).map(|n| (uid(n), Some(image.clone()))));
    commit(2, &mut (1..2_000).map(|n| (uid(n), None)));
    drop(store);
    let size = || fs::metadata(&path).unwrap().len();
    let before = size();
    assert!(before > COMPACT_OCTETS_MIN, "{before}");
    let (mut store, aside) = DiskStore::open(&path).unwrap();
    assert!(aside.is_none() && size() < before / COMPACT_TIMES, "{before} to {}", size());
    let loaded = store.load().unwrap();
    assert_eq!(loaded.accounts.len(), 1);
    assert_eq!(loaded.accounts[&uid(0)].encode(1), image);
    write_nth(store.database.as_ref().unwrap(), 3).unwrap();
}

#[test]
fn a_bit_that_turned_over_is_found_when_the_store_is_opened_and_never_believed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let (store, _) = DiskStore::open(&path).unwrap();
    for n in 1..=50 {
        write_nth(store.database.as_ref().unwrap(), n).unwrap();
    }
    drop(store);
    let whole = DiskStore::open_sound(&path).unwrap().load().unwrap();
    let sound = fs::read(&path).unwrap();
    // The newest image, and everything else here and there.
    let mut account = Account::default();
    account.apply(Change::Ended(HistoryEntry { count: 48, ..missed(47) }));
    account.apply(Change::Claimed(at(48)));
    let image = account.encode(48);
    let kept = sound.windows(image.len()).position(|octets| octets == image).unwrap();
    let kept = kept..kept + image.len();
    for place in kept.clone().chain((0..sound.len()).step_by(997)) {
        let mut octets = sound.clone();
        octets[place] ^= 1 << (place % 8);
        fs::write(&path, octets).unwrap();
        match DiskStore::open_sound(&path).and_then(|mut store| store.load()) {
            // Not all of the file is in use.
            Ok(loaded) => assert!(loaded == whole && !kept.contains(&place), "{place}"),
            Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{place}: {error}"),
        }
    }
}

#[test]
fn a_full_or_read_only_disk_is_told_and_the_store_goes_on_once_it_takes_writes_again() {
    for room in (40..80).step_by(2) {
        let disk = Disk::new(room);
        disk.lock().is_read_only = room % 4 == 0;
        let confirmed = fill(&disk);
        let database = disk.open();
        let error = database.and_then(|database| write_nth(&database, 1)).unwrap_err();
        let error = store().failed(error);
        assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("is the disk full"), "{error}");
        disk.lock().room = u64::MAX;
        let database = disk.open().unwrap();
        let loaded = read_all(&database).unwrap().unwrap();
        let found = loaded.number;
        check(&loaded, found);
        assert!((confirmed..=confirmed + 1).contains(&found), "{found} of {confirmed}");
        write_nth(&database, found + 1).unwrap();
    }
}
