use super::*;
use redb::{ReadableDatabase, ReadableTable};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use timeball_schedule::planner::{Claim, ClaimResult, OpenClaim, OutcomeRecord};
use timeball_schedule::{FireDetail, FireId, Outcome, Reason};

const BOOT: [u8; 16] = [9; 16];
const UID: ScheduleUid = ScheduleUid([7; 16]);
const META: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix(1_795_000_000 + second, 0)
}

fn claim(second: i64) -> Claim {
    Claim { fire: FireId { schedule: UID, scheduled_at: at(second) } }
}

fn enrolment(definition: &str) -> Enrolment {
    Enrolment {
        uid: UID,
        definition: definition.to_owned(),
        limits: DetailLimits { successful: 3, failed: 1 },
        repeatable: false,
    }
}

fn record(ledger: &mut Ledger, second: i64, outcome: Outcome) {
    let (from, detail) = (at(second), FireDetail::default());
    let record = OutcomeRecord { schedule: UID, from, until: from, count: 1, outcome, detail };
    ledger.record(&record, String::new());
}

fn open(path: &Path) -> Ledger {
    let journal = path.with_extension("journal");
    let store = Box::new(DiskStore::open(path).unwrap().0);
    Ledger::open(store, Some((&journal, BOOT))).unwrap()
}

fn open_claim(second: i64, released: bool) -> OpenClaim {
    OpenClaim { scheduled_at: at(second), released }
}

#[test]
fn claims_and_outcomes_survive_and_what_was_open_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut ledger = open(&path);
    assert_eq!(ledger.enroll(enrolment("x"), at(0)).accounted_until, None);
    let results = ledger.claim(&[claim(1), claim(2), claim(3)]);
    assert!(results.iter().all(|(_, result)| *result == ClaimResult::Claimed));
    record(&mut ledger, 1, Outcome::Fired);
    assert!(ledger.commit());
    drop(ledger);

    let mut ledger = open(&path);
    let resume = ledger.enroll(enrolment("x"), at(10));
    assert_eq!(resume.accounted_until, Some(at(3)));
    assert_eq!(resume.open_claims, [open_claim(2, false), open_claim(3, false)]);
    assert_eq!(ledger.tallies(UID).0.fired, 1);
    assert_eq!(ledger.claim(&[claim(1)])[0].1, ClaimResult::Lost, "it was done before");
}

#[test]
fn an_expression_that_changed_meanwhile_owes_nothing_of_the_past() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut ledger = open(&path);
    ledger.enroll(enrolment("x"), at(0));
    ledger.adopt(UID);
    ledger.claim(&[claim(1), claim(2), claim(20)]);
    ledger.journal().begin(claim(1).fire).unwrap();
    drop(ledger);
    let resume = open(&path).enroll(enrolment("y"), at(10));
    assert!(resume.redefined);
    assert_eq!(resume.accounted_until, Some(at(20)));
    let claims = [open_claim(1, true), open_claim(2, false), open_claim(20, false)];
    assert_eq!(resume.open_claims, claims, "the planner decides about them");
}

#[test]
fn a_run_of_missed_instants_never_spans_one_that_is_about_to_be_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut ledger = open(&path);
    ledger.enroll(enrolment("x"), at(0));
    // A catch-up with jitter: the third of five is still to come.
    ledger.expect(&[claim(3)]);
    for second in [1, 2, 4, 5] {
        record(&mut ledger, second, Outcome::Missed(Reason::NotRunning));
    }
    assert_eq!(ledger.claim(&[claim(3)])[0].1, ClaimResult::Claimed);
    let runs: Vec<_> = ledger.history(UID).map(|entry| (entry.from, entry.count)).collect();
    assert_eq!(runs, [(at(4), 2), (at(1), 2)]);
}

#[test]
fn an_edit_whose_claims_were_not_all_stored_is_told_again_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut ledger = open(&path);
    ledger.enroll(enrolment("x"), at(0));
    ledger.adopt(UID);
    ledger.claim(&[claim(20)]);
    ledger.enroll(enrolment("y"), at(1));
    ledger.claim(&[claim(2)]);
    drop(ledger);
    let mut ledger = open(&path);
    assert!(ledger.enroll(enrolment("y"), at(1)).redefined);
    ledger.adopt(UID);
    ledger.claim(&[claim(3)]);
    drop(ledger);
    assert!(!open(&path).enroll(enrolment("y"), at(1)).redefined);
}

#[test]
fn after_a_process_crash_it_is_certain_what_was_released_and_how_it_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut ledger = open(&path);
    ledger.enroll(enrolment("x"), at(0));
    ledger.claim(&[claim(1), claim(2), claim(3)]);
    let journal = ledger.journal();
    journal.begin(claim(1).fire).unwrap();
    journal.begin(claim(2).fire).unwrap();
    record(&mut ledger, 1, Outcome::Fired);
    // Nothing is committed after this: the process dies.
    drop(ledger);
    let mut ledger = open(&path);
    let resume = ledger.enroll(enrolment("x"), at(2));
    assert_eq!(resume.open_claims, [open_claim(2, true), open_claim(3, false)]);
    assert_eq!((ledger.tallies(UID).0.fired, resume.accounted_until), (1, Some(at(3))));
    // And it is no less certain after the next crash.
    drop(ledger);
    let resume = open(&path).enroll(enrolment("x"), at(2));
    assert_eq!(resume.open_claims, [open_claim(2, true), open_claim(3, false)]);
}

#[test]
fn after_a_machine_crash_every_open_claim_may_have_been_released() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut ledger = open(&path);
    ledger.enroll(enrolment("x"), at(0));
    ledger.claim(&[claim(1)]);
    drop(ledger);
    let doubtful = |boot: [u8; 16]| {
        let store = Box::new(DiskStore::open(&path).unwrap().0);
        let journal = path.with_extension("journal");
        let mut ledger = Ledger::open(store, Some((&journal, boot))).unwrap();
        ledger.enroll(enrolment("x"), at(0)).open_claims == [open_claim(1, true)]
    };
    assert!(doubtful([1; 16]));
    assert!(doubtful([1; 16]), "what is doubtful stays so");
}

#[test]
fn after_an_orderly_stop_it_is_certain_on_any_boot_what_was_released() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut ledger = open(&path);
    ledger.enroll(enrolment("x"), at(0));
    ledger.claim(&[claim(1), claim(2), claim(3)]);
    ledger.released(claim(1).fire);
    // Prepared to leave at any moment, and then not released.
    ledger.journal().begin(claim(2).fire).unwrap();
    assert!(ledger.close());
    drop(ledger);
    let journal = path.with_extension("journal");
    let open_on = |boot: [u8; 16]| {
        let store = Box::new(DiskStore::open(&path).unwrap().0);
        let mut ledger = Ledger::open(store, Some((&journal, boot))).unwrap();
        ledger.enroll(enrolment("x"), at(10)).open_claims
    };
    let certain = [open_claim(1, true), open_claim(2, false), open_claim(3, false)];
    assert_eq!(open_on([1; 16]), certain);
    // The second process was not stopped in order, and its journal went with the boot.
    assert_eq!(open_on([2; 16]), [1, 2, 3].map(|second| open_claim(second, true)));
}

fn write_format(path: &Path, format: u64) {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", format).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    write_format(&path, 99);
    let error = DiskStore::open(&path).err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("use the newer version"), "{error}");
    assert!(DiskStore::open(&path).is_err(), "it is still there");
}

/// A store that has ended one fire, and then was used by a version of this revision that gives
/// `reason` for it.
fn written_by(path: &Path, revision: u64, reason: &str) {
    let mut ledger = open(path);
    ledger.enroll(enrolment("x"), at(0));
    ledger.claim(&[claim(1)]);
    record(&mut ledger, 1, Outcome::Failed(Reason::ExitStatus));
    assert!(ledger.close());
    drop(ledger);
    let changes: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("changes");
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("revision", revision).unwrap();
    {
        let mut rows = transaction.open_table(changes).unwrap();
        let (number, row) =
            rows.last().unwrap().map(|(n, row)| (n.value(), row.value().to_vec())).unwrap();
        let known = b"ExitStatus";
        let at = row.windows(known.len()).position(|part| part == known).unwrap();
        let row = [&row[..at], reason.as_bytes(), &row[at + known.len()..]].concat();
        rows.insert(number, row.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_record_of_a_newer_version_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    written_by(&path, 2, "QuotaLimit");
    for _ in 0..2 {
        let error = DiskStore::open(&path).err().unwrap();
        assert!(matches!(error, StoreError::NewerRecord { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("use the newer version"), "{error}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "store and journal");
}

#[test]
fn a_store_of_a_newer_version_is_used_as_long_as_all_of_it_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    written_by(&path, 7, "ExitStatus");
    let mut ledger = open(&path);
    assert_eq!(ledger.history(UID).count(), 1);
    assert!(ledger.close());
    drop(ledger);
    let database = redb::Database::create(&path).unwrap();
    let meta = database.begin_read().unwrap().open_table(META).unwrap();
    assert_eq!(meta.get("revision").unwrap().unwrap().value(), 7, "it says so still");
}

#[test]
fn a_record_that_no_newer_version_explains_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    written_by(&path, 1, "QuotaLimit");
    let (_, aside) = DiskStore::open(&path).unwrap();
    assert!(aside.is_some_and(|aside| aside.exists()));
}

#[test]
fn an_older_format_is_refused_with_what_to_do_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    write_format(&path, 3);
    let error = DiskStore::open(&path).err().unwrap();
    assert!(matches!(error, StoreError::Older { found: 3, known: 4, .. }), "{error}");
    assert!(error.to_string().contains("move the file away"), "{error}");
    assert!(DiskStore::open(&path).is_err(), "it is still there");
}

#[test]
fn a_schedule_that_went_away_is_forgotten_a_month_later_once_nothing_of_it_runs() {
    const DAY_S: i64 = 86_400;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut ledger = open(&path);
    let stays = Enrolment { uid: ScheduleUid([8; 16]), ..enrolment("y") };
    ledger.enroll(stays, at(0));
    ledger.enroll(enrolment("x"), at(0));
    ledger.claim(&[claim(1), claim(2)]);
    record(&mut ledger, 1, Outcome::Fired);
    ledger.retire(UID, at(3));
    assert!(!ledger.forget_removed(at(3 + 31 * DAY_S)));
    assert_eq!(ledger.history(UID).count(), 1, "a claim is open");
    record(&mut ledger, 2, Outcome::Fired);
    assert!(!ledger.forget_removed(at(3 + 30 * DAY_S)));
    assert_eq!(ledger.history(UID).count(), 2, "not longer than a month");
    assert!(ledger.commit());
    assert!(!ledger.forget_removed(at(4 + 30 * DAY_S)));
    assert!(ledger.commit());
    assert_eq!(ledger.history(UID).count(), 0);
    drop(ledger);

    let loaded = DiskStore::open(&path).unwrap().0.load().unwrap();
    assert_eq!(loaded.accounts.into_keys().collect::<Vec<_>>(), [ScheduleUid([8; 16])]);
}

#[test]
fn schedules_that_went_away_together_are_forgotten_in_parts_and_one_that_came_back_is_not() {
    const DAY_S: i64 = 86_400;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut ledger = open(&path);
    let uid = |n: u16| ScheduleUid([n.to_be_bytes(); 8].concat().try_into().unwrap());
    let enrolled = |ledger: &mut Ledger, n| {
        drop(ledger.enroll(Enrolment { uid: uid(n), ..enrolment("x") }, at(0)));
    };
    for n in 0..1_500 {
        enrolled(&mut ledger, n);
        ledger.retire(uid(n), at(i64::from(n % 3)));
    }
    enrolled(&mut ledger, 7);
    assert!(ledger.commit());
    drop(ledger);

    let mut ledger = open(&path);
    assert!(ledger.forget_removed(at(3 + 30 * DAY_S)), "more than go into one commit");
    assert!(ledger.commit());
    assert!(!ledger.forget_removed(at(3 + 30 * DAY_S)));
    assert!(ledger.commit());
    drop(ledger);

    let loaded = DiskStore::open(&path).unwrap().0.load().unwrap();
    assert_eq!(loaded.accounts.into_keys().collect::<Vec<_>>(), [uid(7)]);
}

/// A store whose disk can be full.
struct Faulty {
    full: Arc<AtomicBool>,
    commits: Arc<Mutex<Vec<Vec<Change>>>>,
}

impl Store for Faulty {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), StoreError> {
        if self.full.load(Ordering::Relaxed) {
            let message = "No space left on device".to_owned();
            return Err(StoreError::Unusable { path: "store".into(), message });
        }
        let mut left = commit.changes;
        let changes = std::iter::from_fn(|| Change::take_from(&mut left));
        self.commits.lock().unwrap().push(changes.map(|(_, change)| change).collect());
        Ok(())
    }
}

#[test]
fn a_full_disk_grants_no_claim_and_what_waited_is_stored_once_there_is_room() {
    let (full, commits) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let faulty = Faulty { full: Arc::clone(&full), commits: Arc::clone(&commits) };
    let mut ledger = Ledger::open(Box::new(faulty), None).unwrap();
    ledger.enroll(enrolment("x"), at(0));
    ledger.claim(&[claim(1)]);
    full.store(true, Ordering::Relaxed);
    record(&mut ledger, 1, Outcome::Fired);
    assert_eq!(ledger.claim(&[claim(2)])[0].1, ClaimResult::Unknown);
    assert!(ledger.problem().unwrap().to_string().contains("No space left"));
    full.store(false, Ordering::Relaxed);
    assert_eq!(ledger.claim(&[claim(2)])[0].1, ClaimResult::Claimed, "the same claim again");
    assert!(ledger.problem().is_none());
    let commits = commits.lock().unwrap();
    let last = commits.last().unwrap();
    let [Change::Ended(ended), Change::Claimed(claimed)] = last.as_slice() else {
        panic!("{last:?}")
    };
    assert_eq!((ended.from, *claimed), (at(1), at(2)));
    let counters = ledger.counters();
    assert_eq!((counters.commits, counters.commits_failed, counters.claims), (3, 1, 2));
}
