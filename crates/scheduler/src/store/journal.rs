//! What happened since the last commit, for the case that the process dies.
//!
//! A commit waits for the disk, so effects and outcomes share one a second or so. A process that
//! is killed leaves the page cache behind: what it wrote without waiting is there for the next one.
//! So each fire is noted here just before its effect, and each outcome when it is known. After a
//! *process* crash it is thus certain which claimed fires had no effect; after a *machine* crash
//! (another boot) the journal is of no use and says so, and the claims alone decide.
//!
//! The file is a ring of slots of fixed size. Every record has a number; the store says with each
//! commit up to which number it contains them ([`Journal::absorb`]), and only those are written
//! over. The journal proves something only if the very record that the store names is there, made
//! since this boot, with all later ones in a row behind it.

use super::form::REVISION;
use super::slot::{Body, BootId, Found, SLOT_OCTETS, Slot};
use super::{HistoryEntry, StoreError};
use crate::fault::{self, Point};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use timeball_schedule::{FireId, ScheduleUid};

/// How many records the ring holds; those that no commit contains yet are never written over.
const SLOTS: u64 = 32_768;
/// A commit is asked for when this many wait for one.
const WAITING_MAX: u64 = SLOTS / 2;

/// What one record says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A fire is about to have its effect.
    Begun(FireId),
    /// Claimed instants of a schedule have their outcome.
    Ended(ScheduleUid, HistoryEntry),
}

/// Why a fire could not be noted; it must then have no effect.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum JournalError {
    /// The file could not be written.
    #[error("the journal could not be written; is the disk failing?")]
    Unwritable,
    /// No commit has succeeded for thousands of records.
    #[error("the journal is full because the store cannot be written; is the disk full?")]
    Full,
}

/// Why a journal cannot be taken up.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Only a newer version can read all of it.
    #[error("a record has revision {revision}, and only those up to {REVISION} can be read")]
    Newer {
        /// The revision.
        revision: u8,
    },
}

/// The journal, shared by the targets' threads and the ledger.
#[derive(Debug)]
pub(crate) struct Journal(Mutex<Ring>);

#[derive(Debug)]
struct Ring {
    state: State,
    boot: BootId,
    /// The number of the next record.
    next: u64,
    /// The last record that the store contains.
    settled: u64,
    /// Fires begun since the ledger last asked.
    begun: Vec<FireId>,
}

#[derive(Debug)]
enum State {
    Working(File),
    /// A write failed: until a commit says that the journal proves nothing any more, no effect may
    /// happen that is not noted.
    Failed,
    /// Nothing is noted, and the store says so.
    Off,
}

impl Journal {
    /// A journal that keeps nothing.
    pub(crate) fn off() -> Self {
        Self::with(State::Off, BootId::default(), 0, 0)
    }

    /// Opens the journal, with what it holds where it proves anything. One that cannot be used is
    /// done without.
    ///
    /// # Errors
    /// Where it has records that only a newer version can read.
    pub(crate) fn open_or_off(
        journal: Option<(&Path, BootId)>,
        settled: Option<u64>,
    ) -> Result<(Self, Option<Vec<Entry>>), StoreError> {
        let Some((path, boot)) = journal else { return Ok((Self::off(), None)) };
        fault::pass(Point::StoreOpened);
        match Self::open(path, boot, settled) {
            Ok(opened) => Ok(opened),
            Err(OpenError::Newer { revision: found }) => {
                Err(StoreError::NewerRecord { path: path.to_owned(), found, known: REVISION })
            }
            Err(error) => {
                tracing::warn!(
                    path = %path.display(),
                    %error,
                    "the journal cannot be used; fires under way in a crash will be unknown"
                );
                Ok((Self::off(), None))
            }
        }
    }

    /// Opens the journal at `path` beside a store that contains the records up to `settled`
    /// (`None` for one that knows of no journal).
    ///
    /// Returns the records since, oldest first, or `None` where the journal proves nothing; it is
    /// then begun anew.
    ///
    /// # Errors
    /// Where the file cannot be read or written, or not by this version: it is left as it is then.
    pub(crate) fn open(
        path: &Path,
        boot: BootId,
        settled: Option<u64>,
    ) -> Result<(Self, Option<Vec<Entry>>), OpenError> {
        let mut options = OpenOptions::new();
        // Nobody else is to read which commands run when.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        if let Some(settled) = settled
            && let Some((entries, next)) = recover(&file, boot, settled)?
        {
            return Ok((Self::with(State::Working(file), boot, next, settled), Some(entries)));
        }
        wipe(&file)?;
        fault::pass(Point::JournalWiped);
        let settled = settled.unwrap_or(0);
        // The first commit needs a record of this boot to name.
        let opened = Slot { number: settled + 1, body: Body::Opened };
        write(&file, boot, &opened)?;
        Ok((Self::with(State::Working(file), boot, settled + 2, settled), None))
    }

    fn with(state: State, boot: BootId, next: u64, settled: u64) -> Self {
        Self(Mutex::new(Ring { state, boot, next, settled, begun: Vec::new() }))
    }

    /// Notes that a fire is about to have its effect. Takes microseconds as a rule, but may wait
    /// for the file system, so it is not for the firing thread.
    ///
    /// # Errors
    /// Where it could not be noted: the effect must not happen.
    pub(crate) fn begin(&self, fire: FireId) -> Result<(), JournalError> {
        let mut ring = self.lock();
        fault::pass(Point::Beginning);
        ring.append(Body::Begun(fire))?;
        fault::pass(Point::Begun);
        ring.begun.push(fire);
        Ok(())
    }

    /// Notes an outcome of claimed instants. Where that fails, the outcome becomes known with the
    /// next commit only.
    pub(crate) fn end(&self, schedule: ScheduleUid, entry: &HistoryEntry) {
        let body = Body::Ended(schedule, entry.clone());
        // The state says it, and the next commit contains the outcome.
        let _ = self.lock().append(body);
        fault::pass(Point::OutcomeNoted);
    }

    /// Fires that began since the last call, and the number of the last record so far, `None`
    /// where the journal proves nothing. Both belong into the next commit.
    pub(crate) fn absorb(&self) -> (Vec<FireId>, Option<u64>) {
        let mut ring = self.lock();
        let mark = matches!(ring.state, State::Working(_)).then(|| ring.next - 1);
        (std::mem::take(&mut ring.begun), mark)
    }

    /// A commit contains everything up to `mark`, as [`Journal::absorb`] gave it.
    pub(crate) fn settle(&self, mark: Option<u64>) {
        let mut ring = self.lock();
        match mark {
            Some(mark) => ring.settled = ring.settled.max(mark),
            None => ring.state = State::Off,
        }
        fault::pass(Point::BatchSettled);
    }

    /// Whether a commit is wanted before the ring is full.
    pub(crate) fn wants_commit(&self) -> bool {
        let ring = self.lock();
        let waiting = ring.next - 1 - ring.settled;
        matches!(ring.state, State::Failed) || waiting > WAITING_MAX
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn append(&mut self, body: Body) -> Result<(), JournalError> {
        let file = match &self.state {
            State::Working(file) => file,
            State::Failed => return Err(JournalError::Unwritable),
            State::Off => return Ok(()),
        };
        // The slot of the record that the store names stays: it is what proves the others.
        if self.next - self.settled >= SLOTS {
            return Err(JournalError::Full);
        }
        if let Err(error) = write(file, self.boot, &Slot { number: self.next, body }) {
            tracing::error!(
                %error,
                "the journal cannot be written; until the next commit nothing is fired, and after \
                 a crash fires that were under way will be unknown"
            );
            self.state = State::Failed;
            return Err(JournalError::Unwritable);
        }
        self.next += 1;
        Ok(())
    }
}

/// The records after `settled`, and the number of the next one; `None` where the record `settled`
/// itself is not there, or records are missing between others.
fn recover(
    file: &File,
    boot: BootId,
    settled: u64,
) -> Result<Option<(Vec<Entry>, u64)>, OpenError> {
    let mut octets = vec![0; SLOT_OCTETS * SLOTS as usize];
    let length = read_up_to(file, &mut octets)?;
    let mut found = Vec::new();
    for octets in octets[..length].chunks_exact(SLOT_OCTETS) {
        match Slot::find(octets, boot) {
            Some(Found::Record(slot)) if slot.number >= settled => found.push(slot),
            Some(Found::Newer { number, revision }) if number >= settled => {
                return Err(OpenError::Newer { revision });
            }
            _ => {}
        }
    }
    found.sort_by_key(|slot| slot.number);
    let in_a_row = found.iter().zip(settled..).all(|(slot, number)| slot.number == number);
    if found.is_empty() || !in_a_row {
        return Ok(None);
    }
    let next = settled + found.len() as u64;
    let entries = found.into_iter().skip(1).filter_map(|slot| match slot.body {
        Body::Opened => None,
        Body::Begun(fire) => Some(Entry::Begun(fire)),
        Body::Ended(schedule, entry) => Some(Entry::Ended(schedule, entry)),
    });
    Ok(Some((entries.collect(), next)))
}

fn read_up_to(file: &File, octets: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < octets.len() {
        match file.read_at(&mut octets[length..], length as u64) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Fills the file with zeros, so that the disk's room for it is taken once and for all.
fn wipe(file: &File) -> io::Result<()> {
    file.set_len(0)?;
    let zeros = [0; 64 * 1024];
    let octets = SLOT_OCTETS as u64 * SLOTS;
    for at in (0..octets).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    Ok(())
}

fn write(file: &File, boot: BootId, slot: &Slot) -> io::Result<()> {
    file.write_all_at(&slot.encode(boot), (slot.number % SLOTS) * SLOT_OCTETS as u64)
}

/// The boot of this machine; `None` where the system does not say.
pub(crate) fn boot_id() -> Option<BootId> {
    let id = timeball_runtime::boot_id()?;
    uuid::Uuid::parse_str(&id).ok().map(uuid::Uuid::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::slot::seal;
    use super::*;
    use std::path::PathBuf;
    use timeball_schedule::{FireDetail, Outcome, Reason};
    use timeball_timebase::{Span, Timestamp};

    const BOOT: BootId = [9; 16];
    const UID: ScheduleUid = ScheduleUid([7; 16]);

    struct Desk {
        _directory: tempfile::TempDir,
        path: PathBuf,
    }

    fn desk() -> Desk {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        Desk { _directory: directory, path }
    }

    impl Desk {
        fn open(&self, boot: BootId, settled: Option<u64>) -> (Journal, Option<Vec<Entry>>) {
            Journal::open(&self.path, boot, settled).unwrap()
        }

        /// A journal of which the store has named the first record.
        fn begun(&self) -> (Journal, u64) {
            let (journal, entries) = self.open(BOOT, None);
            assert_eq!(entries, None, "nothing is proven by an empty journal");
            let (_, mark) = journal.absorb();
            journal.settle(mark);
            (journal, mark.unwrap())
        }
    }

    fn fire(second: i64) -> FireId {
        FireId { schedule: UID, scheduled_at: Timestamp::from_unix(1_795_000_000 + second, 0) }
    }

    fn entry(second: i64, message: &str) -> HistoryEntry {
        let from = fire(second).scheduled_at;
        let detail = FireDetail { lateness: Some(Span::from_micros(20)), ..FireDetail::default() };
        let outcome = Outcome::Failed(Reason::ExitStatus);
        HistoryEntry { from, until: from, count: 1, outcome, detail, message: message.to_owned() }
    }

    #[test]
    fn what_a_dead_process_noted_is_there_for_the_next_one() {
        let desk = desk();
        let (journal, settled) = desk.begun();
        journal.begin(fire(1)).unwrap();
        journal.end(UID, &entry(1, "exit status 3"));
        journal.begin(fire(2)).unwrap();
        drop(journal);
        let expected = vec![
            Entry::Begun(fire(1)),
            Entry::Ended(UID, entry(1, "exit status 3")),
            Entry::Begun(fire(2)),
        ];
        let (journal, entries) = desk.open(BOOT, Some(settled));
        assert_eq!(entries.as_ref(), Some(&expected));
        journal.begin(fire(3)).unwrap();
        drop(journal);
        let (journal, entries) = desk.open(BOOT, Some(settled));
        assert_eq!(entries.map(|entries| entries.len()), Some(4), "it goes on where it was");
        assert_eq!(journal.absorb(), (vec![], Some(settled + 4)));
        let (_, entries) = desk.open(BOOT, Some(settled + 4));
        assert_eq!(entries, Some(vec![]), "the store contains everything, and that is proven");
    }

    #[test]
    fn after_another_boot_or_beside_another_store_it_proves_nothing() {
        let desk = desk();
        let (journal, settled) = desk.begun();
        journal.begin(fire(1)).unwrap();
        drop(journal);
        assert_eq!(desk.open([8; 16], Some(settled)).1, None);
        let (journal, settled) = desk.begun();
        journal.begin(fire(1)).unwrap();
        drop(journal);
        assert_eq!(desk.open(BOOT, Some(settled + 7)).1, None, "the store is newer");
        let (_, settled) = desk.begun();
        assert_eq!(desk.open(BOOT, None).1, None, "the store was begun anew");
        assert_eq!(desk.open(BOOT, Some(settled + 1)).1, None);
        std::fs::remove_file(&desk.path).unwrap();
        assert_eq!(desk.open(BOOT, Some(settled)).1, None, "the file is gone");
    }

    #[test]
    fn a_torn_last_record_is_as_if_it_was_never_written_and_a_hole_proves_nothing() {
        let desk = desk();
        let (journal, settled) = desk.begun();
        for second in 1..=3 {
            journal.begin(fire(second)).unwrap();
        }
        drop(journal);
        let file = OpenOptions::new().write(true).open(&desk.path).unwrap();
        let tear = |number: u64| {
            let at = (number % SLOTS) * SLOT_OCTETS as u64 + 30;
            file.write_all_at(&[0xee; 4], at).unwrap();
        };
        tear(settled + 3);
        let (journal, entries) = desk.open(BOOT, Some(settled));
        assert_eq!(entries, Some(vec![Entry::Begun(fire(1)), Entry::Begun(fire(2))]));
        journal.begin(fire(4)).unwrap();
        tear(settled + 1);
        assert_eq!(desk.open(BOOT, Some(settled)).1, None);
    }

    #[test]
    fn a_record_of_a_newer_version_is_refused_and_left_as_it_is_unless_the_store_contains_it() {
        let desk = desk();
        let (journal, settled) = desk.begun();
        journal.begin(fire(1)).unwrap();
        journal.end(UID, &entry(1, ""));
        drop(journal);
        let mut octets = Slot { number: settled + 1, body: Body::Opened }.encode(BOOT);
        (octets[16], octets[17]) = (9, REVISION + 1);
        seal(&mut octets, BOOT);
        let file = OpenOptions::new().write(true).open(&desk.path).unwrap();
        file.write_all_at(&octets, (settled + 1) % SLOTS * SLOT_OCTETS as u64).unwrap();
        for _ in 0..2 {
            let opened = Journal::open(&desk.path, BOOT, Some(settled));
            assert!(matches!(opened, Err(OpenError::Newer { revision: 2 })), "{opened:?}");
        }
        let (_, entries) = desk.open(BOOT, Some(settled + 2));
        assert_eq!(entries, Some(vec![]));
    }

    #[test]
    fn a_full_ring_refuses_until_a_commit_contains_what_is_in_it() {
        let desk = desk();
        let (journal, _) = desk.begun();
        let mut noted = 0;
        while journal.begin(fire(noted)).is_ok() {
            noted += 1;
            assert_eq!(journal.wants_commit(), noted as u64 > WAITING_MAX);
        }
        assert_eq!(noted as u64, SLOTS - 1);
        assert_eq!(journal.begin(fire(0)), Err(JournalError::Full));
        let (begun, mark) = journal.absorb();
        assert_eq!(begun.len(), noted as usize);
        journal.settle(mark);
        assert!(!journal.wants_commit() && journal.begin(fire(noted)).is_ok());
        drop(journal);
        let (_, entries) = desk.open(BOOT, mark);
        assert_eq!(entries, Some(vec![Entry::Begun(fire(noted))]));
    }

    #[test]
    fn a_write_that_fails_forbids_effects_until_the_store_says_that_nothing_is_proven() {
        let desk = desk();
        drop(desk.begun());
        let file = File::open(&desk.path).unwrap();
        let journal = Journal::with(State::Working(file), BOOT, 2, 1);
        assert_eq!(journal.begin(fire(1)), Err(JournalError::Unwritable), "it is read-only");
        assert_eq!(journal.begin(fire(1)), Err(JournalError::Unwritable));
        assert!(journal.wants_commit());
        let (begun, mark) = journal.absorb();
        assert_eq!((begun, mark), (vec![], None));
        journal.settle(mark);
        assert_eq!(journal.begin(fire(1)), Ok(()));
    }

    #[test]
    fn a_message_that_is_too_long_for_a_slot_is_cut() {
        let desk = desk();
        let (journal, settled) = desk.begun();
        journal.end(UID, &entry(1, &"ä\n".repeat(500)));
        drop(journal);
        let (_, entries) = desk.open(BOOT, Some(settled));
        let Some([Entry::Ended(_, kept)]) = entries.as_deref() else { panic!("{entries:?}") };
        assert!(kept.message.starts_with("ä\nä\n"), "{kept:?}");
        assert_eq!(kept.outcome, entry(1, "").outcome);
    }
}
