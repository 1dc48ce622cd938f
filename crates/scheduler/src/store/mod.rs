//! What must survive a restart: claims, outcomes, and until when instants are accounted for.
//!
//! A [`Store`] writes commits; the [`Ledger`] decides what is in them. A claim is durable before
//! its fire may have an effect; an outcome may wait for the next commit of claims, and until then
//! the [`Journal`] tells of it should the process die.
//!
//! A commit writes what happened since the one before as one row, so that its size depends on how
//! much happened and not on how many schedules it happened to. The rows are folded into an image
//! of each account little by little.

mod account;
mod disk;
mod form;
mod history;
mod journal;
mod ledger;
mod loading;
mod record;
mod slot;

pub(crate) use account::{Accounts, Change};
pub(crate) use disk::DiskStore;
pub(crate) use history::DetailLimits;
pub(crate) use journal::{Journal, JournalError, boot_id};
pub(crate) use ledger::{Enrolment, Ledger, LedgerCounters};
pub(crate) use loading::{Loaded, RowOfChanges};
pub use loading::{rewrite_image, take_changes};
pub(crate) use record::{Event, EventKind, HistoryEntry, Pause, Tally};

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use timeball_schedule::ScheduleUid;
use timeball_timebase::Timestamp;

/// A place for what must survive: images of accounts, and rows of the changes since.
pub(crate) trait Store: Send {
    /// Everything that is kept.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Makes a commit durable as a whole, or not at all. After an error it may be either.
    fn commit(&mut self, commit: Commit<'_>) -> Result<(), StoreError>;
}

/// What becomes durable together.
pub(crate) struct Commit<'a> {
    /// Counts up by one from commit to commit; one that failed is tried again under its number,
    /// and then contains at least what it contained.
    pub(crate) number: u64,
    /// What happened since the commit before, in its form; empty where there is nothing.
    pub(crate) changes: &'a [u8],
    /// Accounts as they are after these changes, in the order of their keys; `None` deletes.
    pub(crate) images: &'a mut dyn Iterator<Item = (ScheduleUid, Option<Vec<u8>>)>,
    /// Rows of changes that are contained in images by now, and deleted.
    pub(crate) contained: &'a [u64],
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

/// Whether a claimed fire was released, or may have been.
pub(crate) type Released = bool;

/// Instants that have a claim and no outcome yet.
pub(crate) type OpenClaims = BTreeMap<Timestamp, Released>;

/// FNV-1a of 64 bits.
fn fnv1a(octets: impl Iterator<Item = u8>) -> u64 {
    octets.fold(0xcbf2_9ce4_8422_2325, |sum, octet| {
        (sum ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
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
    /// A newer version wrote something into it that cannot be read.
    #[error(
        "{} holds a record of revision {found}, and this version can read only those up to {known}; \
         nothing was changed: use the newer version that wrote it, or another state directory",
        path.display()
    )]
    NewerRecord {
        /// The store's file, or the journal's.
        path: PathBuf,
        /// The revision of what its records may say.
        found: u8,
        /// The newest revision that this program knows.
        known: u8,
    },
    /// A version from before the first release wrote it.
    #[error(
        "{} has format {found} of an earlier version, and this version reads only {known}; use \
         another state directory, or move the file away to begin anew: what it says of the past \
         is lost then, and nothing that passed meanwhile is caught up",
        path.display()
    )]
    Older {
        /// The store's file.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The only format that this program reads.
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
