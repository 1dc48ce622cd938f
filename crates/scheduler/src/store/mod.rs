//! What must survive a restart: claims, outcomes, and until when instants are accounted for.
//!
//! A [`Store`] writes batches; the [`Ledger`] decides what is in them. A claim is durable before
//! its fire may have an effect; an outcome may wait for the next batch of claims, and until then
//! the [`Journal`] tells of it should the process die.

mod disk;
mod history;
mod journal;
mod ledger;
mod record;
mod slot;

pub(crate) use disk::DiskStore;
pub(crate) use history::DetailLimits;
pub(crate) use journal::{Journal, JournalError, boot_id};
pub(crate) use ledger::{Enrolment, Ledger, LedgerCounters};
pub(crate) use record::{Event, EventKind, HistoryEntry, Pause, Row, Tally};

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use timeball_schedule::ScheduleUid;
use timeball_timebase::Timestamp;

/// A place for claims and outcomes.
pub(crate) trait Store: Send {
    /// Everything that is kept.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Makes a batch durable as a whole, or not at all. After an error it may be either.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;
}

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Loaded {
    pub(crate) schedules: Vec<Kept>,
    pub(crate) closing: Closing,
}

/// What a commit says of the process that made it, for the next one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Closing {
    /// The last record of the journal that the store contains; `None` where there is no journal.
    pub(crate) journal: Option<u64>,
    /// Whether it was the last commit of a scheduler that was stopped in order.
    pub(crate) clean: bool,
}

/// What is kept of one schedule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) uid: ScheduleUid,
    pub(crate) row: Row,
    /// Claims without an outcome.
    pub(crate) claims: OpenClaims,
    /// Outcomes by their first instant.
    pub(crate) history: BTreeMap<Timestamp, HistoryEntry>,
}

/// Whether a claimed fire was released, or may have been.
pub(crate) type Released = bool;

/// Instants that have a claim and no outcome yet.
pub(crate) type OpenClaims = BTreeMap<Timestamp, Released>;

/// Changes that become durable together. `None` deletes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batch {
    pub(crate) rows: BTreeMap<ScheduleUid, Option<Row>>,
    pub(crate) claims: BTreeMap<(ScheduleUid, Timestamp), Option<Released>>,
    pub(crate) history: BTreeMap<(ScheduleUid, Timestamp), Option<HistoryEntry>>,
    pub(crate) closing: Closing,
}

/// Why the store cannot be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "{} is in use by another process; stop that one, or use another state directory",
        path.display()
    )]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "{} has format {found}, but this version knows only up to {known}; use the newer version \
         that wrote it, or another state directory",
        path.display()
    )]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The newest format that this program knows.
        known: u64,
    },
    /// Its content makes no sense.
    #[error("{} is corrupt: {message}", path.display())]
    Corrupt {
        /// The store's file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// It cannot be read or written.
    #[error("{} cannot be used: {message}; is the disk full or read-only?", path.display())]
    Unusable {
        /// The store's file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// It could not be kept aside.
    #[error("{} is corrupt and could not be kept aside: {source}", path.display())]
    Aside {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
