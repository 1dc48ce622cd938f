//! The store on disk: one redb file, one writer.

use super::form::REVISION;
use super::{Closing, Commit, Loaded, Store, StoreError};
use crate::fault::{self, Point};
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use timeball_schedule::ScheduleUid;

/// The format that this program reads and writes. Formats 1 to 3 kept each claim and each outcome
/// in a place of its own schedule.
pub(crate) const FORMAT: u64 = 4;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Keys of the table `meta`.
const META_FORMAT: &str = "format";
/// The newest revision of what records may say, of all versions that wrote here.
const META_REVISION: &str = "revision";
const META_NUMBER: &str = "number";
const META_JOURNAL: &str = "journal";
const META_CLEAN: &str = "clean";
/// An image of each account.
const ACCOUNTS: TableDefinition<[u8; 16], &[u8]> = TableDefinition::new("accounts");
/// What happened between two commits, by the number of the later one.
const CHANGES: TableDefinition<u64, &[u8]> = TableDefinition::new("changes");

/// Pages kept in memory, octets: the tables are small, and a scheduler should be, too.
const CACHE_OCTETS: usize = 4 * 1024 * 1024;

/// A process that was killed while it started a program leaves its locks to that program until it
/// begins, so a file in use is tried for this long.
const IN_USE_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often it is tried meanwhile.
const IN_USE_LOOK_EVERY: Duration = Duration::from_millis(20);

/// A file smaller than this is not worth being compacted, octets.
const COMPACT_OCTETS_MIN: u64 = 16 * 1024 * 1024;
/// A file is compacted where what it holds would fit into it so many times.
const COMPACT_TIMES: u64 = 4;

/// A store in a file of its own.
pub(crate) struct DiskStore {
    path: PathBuf,
    /// `None` after a failure: redb wants to be opened anew after one.
    database: Option<Database>,
    /// What was read when the store was opened, until somebody asks for it.
    loaded: Option<Loaded>,
}

impl DiskStore {
    /// Opens the store at `path`, making it where it is missing. A file that cannot be understood
    /// is kept aside, and its new path returned.
    ///
    /// # Errors
    /// Where it is in use, of another format, has records that only a newer version can read, or
    /// cannot be read or written.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<PathBuf>), StoreError> {
        match Self::open_sound(path) {
            Err(StoreError::Corrupt { message, .. }) => {
                let aside = timeball_runtime::state::set_aside(path).map_err(|error| {
                    let source = std::io::Error::other(error.to_string());
                    StoreError::Aside { path: path.to_owned(), source }
                })?;
                tracing::error!(
                    kept_as = %aside.display(),
                    %message,
                    "the store of schedules was corrupt; it was kept aside and begun anew"
                );
                Ok((Self::open_sound(path)?, Some(aside)))
            }
            opened => {
                let mut store = opened?;
                store.compact();
                Ok((store, None))
            }
        }
    }

    /// Gives back what the file has too much of: it grows with the most that was ever in it, and
    /// shrinks by itself only a little. Only at the start, for it takes a while; a crash meanwhile
    /// does no harm, and where it fails the file stays as large as it is.
    fn compact(&mut self) {
        let octets = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let before = octets(&self.path);
        let Some(database) = self.database.as_mut().filter(|_| before >= COMPACT_OCTETS_MIN) else {
            return;
        };
        let needed = database.begin_write().map_err(redb::Error::from).and_then(|transaction| {
            let stats = transaction.stats()?;
            transaction.abort()?;
            Ok(stats.allocated_pages() * stats.page_size() as u64)
        });
        let compacted = match needed {
            Ok(needed) if needed >= before / COMPACT_TIMES => return,
            Ok(_) => {
                fault::pass(Point::Compacting);
                database.compact().map_err(redb::Error::from)
            }
            Err(error) => Err(error),
        };
        match compacted {
            Ok(_) => {
                fault::pass(Point::Compacted);
                let after = octets(&self.path);
                tracing::info!(before, after, "the store of schedules was compacted (octets)");
            }
            Err(error) => {
                tracing::warn!(%error, "the store of schedules could not be compacted");
                // redb wants to be opened anew after a failure.
                self.database = None;
            }
        }
    }

    /// Opens the store and reads all of it once, so that damage is found now and not later.
    fn open_sound(path: &Path) -> Result<Self, StoreError> {
        let mut store = Self { path: path.to_owned(), database: None, loaded: None };
        // redb returns errors for most damage, but a scheduler must start whatever the file holds.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut database = store.open_database()?;
            // Reading alone does not look at the sums of its pages: a bit that has turned over
            // would be believed. Mending it may lose the last commit, and with it what was fired.
            match database.check_integrity() {
                Ok(true) => {}
                Ok(false) => return Err(corrupt(path, "a sum of its pages is wrong")),
                Err(error) => return Err(store.unopened(error)),
            }
            store.database = Some(database);
            store.loaded = Some(store.load()?);
            Ok(())
        }));
        match opened {
            Ok(opened) => opened.map(|()| store),
            Err(_) => Err(corrupt(path, "reading it failed")),
        }
    }

    fn open_database(&self) -> Result<Database, StoreError> {
        // An empty file is what a crash leaves between making the file and writing to it.
        let is_new = fs::metadata(&self.path).map_or(true, |file| file.len() == 0);
        let start = Instant::now();
        let opened = loop {
            let opened = Database::builder().set_cache_size(CACHE_OCTETS).create(&self.path);
            let taken = matches!(opened, Err(DatabaseError::DatabaseAlreadyOpen));
            if !taken || start.elapsed() > IN_USE_WAIT_MAX {
                break opened;
            }
            std::thread::sleep(IN_USE_LOOK_EVERY);
        };
        let database = opened.map_err(|error| self.unopened(error))?;
        fault::pass(Point::StoreMade);
        self.check_format(&database, is_new)?;
        Ok(database)
    }

    fn check_format(&self, database: &Database, is_new: bool) -> Result<(), StoreError> {
        let found = read_meta(database, META_FORMAT).map_err(|error| self.failed(error))?;
        match found {
            Some(FORMAT) if self.revision(database)? >= REVISION => Ok(()),
            Some(FORMAT) => self.write_format(database).map_err(|error| self.failed(error)),
            Some(found) => {
                let (path, known) = (self.path.clone(), FORMAT);
                Err(if found > known {
                    StoreError::Newer { path, found, known }
                } else {
                    StoreError::Older { path, found, known }
                })
            }
            // A crash in the middle of the first commit leaves a file without tables.
            None if is_new || self.is_empty(database) => {
                self.write_format(database).map_err(|error| self.failed(error))
            }
            None => Err(corrupt(&self.path, "it does not say its format")),
        }
    }

    /// The newest revision that wrote here; 0 before the first that says so.
    fn revision(&self, database: &Database) -> Result<u8, StoreError> {
        let found = read_meta(database, META_REVISION).map_err(|error| self.failed(error))?;
        Ok(found.map_or(0, |found| u8::try_from(found).unwrap_or(u8::MAX)))
    }

    fn is_empty(&self, database: &Database) -> bool {
        let tables = database.begin_read().map(|read| read.list_tables().map(Iterator::count));
        matches!(tables, Ok(Ok(0)))
    }

    fn write_format(&self, database: &Database) -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(META_FORMAT, FORMAT)?;
            meta.insert(META_REVISION, u64::from(REVISION))?;
        }
        transaction.open_table(ACCOUNTS)?;
        transaction.open_table(CHANGES)?;
        transaction.commit()?;
        Ok(())
    }

    fn unopened(&self, error: DatabaseError) -> StoreError {
        match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: self.path.clone() },
            DatabaseError::UpgradeRequired(_) | DatabaseError::RepairAborted => {
                corrupt(&self.path, &error.to_string())
            }
            DatabaseError::Storage(error) => self.storage(&error),
            error => self.unusable(&error),
        }
    }

    fn storage(&self, error: &StorageError) -> StoreError {
        match error {
            StorageError::Corrupted(message) => corrupt(&self.path, message),
            StorageError::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => {
                corrupt(&self.path, &source.to_string())
            }
            error => self.unusable(error),
        }
    }

    fn failed(&self, error: redb::Error) -> StoreError {
        match error {
            redb::Error::Corrupted(message) => corrupt(&self.path, &message),
            error @ (redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }) => corrupt(&self.path, &error.to_string()),
            error => self.unusable(&error),
        }
    }

    fn unusable(&self, error: &dyn std::error::Error) -> StoreError {
        StoreError::Unusable { path: self.path.clone(), message: error.to_string() }
    }
}

impl Store for DiskStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        if let Some(loaded) = self.loaded.take() {
            return Ok(loaded);
        }
        let Some(database) = &self.database else {
            self.database = Some(self.open_database()?);
            return self.load();
        };
        let read = read_all(database).map_err(|error| self.failed(error))?;
        if let Some(loaded) = read {
            return Ok(loaded);
        }
        let (path, found, known) = (self.path.clone(), self.revision(database)?, REVISION);
        Err(if found > known {
            StoreError::NewerRecord { path, found, known }
        } else {
            corrupt(&path, "a record makes no sense")
        })
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.open_database()?,
        };
        write(&database, commit).map_err(|error| self.failed(error))?;
        self.database = Some(database);
        Ok(())
    }
}

fn read_meta(database: &Database, key: &str) -> Result<Option<u64>, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get(key)?.map(|number| number.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn corrupt(path: &Path, message: &str) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), message: message.to_owned() }
}

fn write(database: &Database, commit: Commit<'_>) -> Result<(), redb::Error> {
    let Commit { number, changes, images, contained, closing } = commit;
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_NUMBER, number)?;
        match closing.journal {
            Some(number) => meta.insert(META_JOURNAL, number)?,
            None => meta.remove(META_JOURNAL)?,
        };
        match closing.clean {
            true => meta.insert(META_CLEAN, 1)?,
            false => meta.remove(META_CLEAN)?,
        };
        let mut accounts = transaction.open_table(ACCOUNTS)?;
        for (uid, image) in images {
            match image {
                Some(image) => accounts.insert(uid.0, image.as_slice())?,
                None => accounts.remove(uid.0)?,
            };
        }
        let mut rows = transaction.open_table(CHANGES)?;
        for number in contained {
            rows.remove(number)?;
        }
        // A commit that failed may have been made all the same, with less in it.
        match changes {
            [] => rows.remove(number)?,
            _ => rows.insert(number, changes)?,
        };
    }
    fault::pass(Point::BatchWritten);
    if !contained.is_empty() {
        fault::pass(Point::Folding);
    }
    transaction.commit()?;
    fault::pass(Point::BatchDurable);
    if !contained.is_empty() {
        fault::pass(Point::Folded);
    }
    Ok(())
}

/// Reads everything; `None` where something makes no sense.
fn read_all(database: &Database) -> Result<Option<Loaded>, redb::Error> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let number = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|number| number.value()));
    let closing = Closing { journal: number(META_JOURNAL)?, clean: number(META_CLEAN)?.is_some() };
    let rows = transaction.open_table(CHANGES)?;
    let first_row = rows.first()?.map_or(u64::MAX, |(number, _)| number.value());
    let mut loaded = Loaded::new(number(META_NUMBER)?.unwrap_or(0), closing, first_row);
    for image in transaction.open_table(ACCOUNTS)?.iter()? {
        let (uid, octets) = image?;
        if loaded.take_image(ScheduleUid(uid.value()), octets.value()).is_none() {
            return Ok(None);
        }
    }
    for row in rows.iter()? {
        let (number, octets) = row?;
        if loaded.take_changes(number.value(), octets.value()).is_none() {
            return Ok(None);
        }
    }
    Ok(Some(loaded.complete()))
}

#[cfg(test)]
mod tests;
