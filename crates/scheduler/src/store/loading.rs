//! From images and rows of changes to accounts.

use super::account::Account;
use super::{Accounts, Change, Closing};
use std::collections::{BTreeMap, BTreeSet};
use timeball_schedule::ScheduleUid;

/// Everything that is kept.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Loaded {
    pub(crate) accounts: Accounts,
    /// The schedules whose images do not contain all changes.
    pub(crate) behind: BTreeSet<ScheduleUid>,
    /// Rows of changes, oldest first.
    pub(crate) rows: Vec<RowOfChanges>,
    /// The number of the last commit; zero before the first.
    pub(crate) number: u64,
    pub(crate) closing: Closing,
    /// The number of the first row of changes.
    first_row: u64,
    /// The numbers of images that contain some of the rows, as long as those are read.
    numbers: BTreeMap<ScheduleUid, u64>,
}

/// What happened between two commits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RowOfChanges {
    pub(crate) number: u64,
    pub(crate) octets: u64,
}

impl Loaded {
    /// Begins with a store whose last commit had this number and said this, and whose rows of
    /// changes begin with `first_row`.
    pub(super) fn new(number: u64, closing: Closing, first_row: u64) -> Self {
        Self { number, closing, first_row, ..Self::default() }
    }

    /// Takes the image of an account; `None` where it makes no sense.
    pub(super) fn take_image(&mut self, uid: ScheduleUid, octets: &[u8]) -> Option<()> {
        let (number, mut account) = Account::decode(octets)?;
        account.inherited = true;
        self.accounts.insert(uid, Box::new(account));
        if number >= self.first_row {
            self.numbers.insert(uid, number);
        }
        (number <= self.number).then_some(())
    }

    /// Takes a row of changes, after all images and all rows with lower numbers; `None` where it
    /// makes no sense.
    pub(super) fn take_changes(&mut self, number: u64, octets: &[u8]) -> Option<()> {
        let mut left = octets;
        while !left.is_empty() {
            let (uid, change) = Change::take_from(&mut left)?;
            if self.numbers.get(&uid).is_some_and(|image| number <= *image) {
                continue;
            }
            if change == Change::Forgotten {
                self.accounts.remove(&uid);
                self.behind.remove(&uid);
                continue;
            }
            self.behind.insert(uid);
            let account = self.accounts.entry(uid).or_default();
            account.inherited = true;
            account.apply(change);
        }
        self.rows.push(RowOfChanges { number, octets: octets.len() as u64 });
        (number <= self.number).then_some(())
    }

    /// Ends reading.
    pub(super) fn complete(mut self) -> Self {
        (self.first_row, self.numbers) = (0, BTreeMap::new());
        self
    }
}

/// Reads octets as a row of changes; returns an image of every account that comes of them, or
/// `None` where they make no sense.
pub fn take_changes(octets: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut loaded = Loaded::new(1, Closing::default(), 1);
    loaded.take_changes(1, octets)?;
    Some(loaded.accounts.values().map(|account| account.encode(1)).collect())
}

/// Reads octets as an image of an account; returns it written anew, or `None` where they make no
/// sense.
pub fn rewrite_image(octets: &[u8]) -> Option<Vec<u8>> {
    let (number, account) = Account::decode(octets)?;
    Some(account.encode(number))
}
