//! What the next commit holds, and which rows of changes are still needed.
//!
//! Every commit adds a row with what happened. An account whose image lags behind the rows gets a
//! new one when a sweep comes by: sweeps go through the schedules in the order of their keys, a few
//! with each commit, so that neighbours share pages. When one has come round, every image contains
//! what had happened when it began, and the rows of that time are deleted. The longer the log, the
//! quicker they go: its length settles where a commit writes about as much for images as for rows.

use crate::store::account::Account;
use crate::store::{Accounts, Change, Commit, Loaded, RowOfChanges};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use timeball_schedule::ScheduleUid;

/// The balance of a store in use. In this crate's tests a log is folded before it is long, so that
/// their short lives see it.
const BALANCE_OCTETS: u64 = if cfg!(test) { 4 * 1024 } else { 32 * 1024 * 1024 };
/// However long the log is, a commit writes at most so many times as much for images.
const SHARE_MAX: u64 = 4;
/// Changes that wait for a commit, octets: beyond that they are kept as images, whose size has an
/// end.
const CHANGES_OCTETS_MAX: usize = 8 * 1024 * 1024;
/// Rows deleted in one commit.
const DELETED_MAX: usize = 64;
/// What an image and the page that it shares cost about, and each outcome in it, octets.
const IMAGE_OCTETS: u64 = 256;
const ENTRY_OCTETS: u64 = 48;

/// The way of changes to the store.
pub(super) struct Log {
    /// The number of the last commit that was made.
    number: u64,
    /// What happened since.
    changes: Vec<u8>,
    /// To whom.
    changed: BTreeSet<ScheduleUid>,
    /// Who gets an image with the next commit.
    due: BTreeSet<ScheduleUid>,
    /// Whose image does not contain all rows.
    behind: BTreeSet<ScheduleUid>,
    /// All rows, oldest first.
    rows: VecDeque<RowOfChanges>,
    /// Octets of all rows.
    octets: u64,
    /// The last schedule that the sweep came by; `None` at its start.
    swept: Option<ScheduleUid>,
    /// The last commit before the sweep began.
    sweep_began: u64,
    /// Every image contains the rows up to this number.
    contained: u64,
    /// Octets that may be written for images.
    credit: u64,
    /// With a log of this many octets a commit writes as much for images as for its row.
    balance_octets: u64,
}

impl Log {
    /// Goes on where a store ends.
    pub(super) fn new(loaded: &mut Loaded) -> Self {
        let rows = VecDeque::from(std::mem::take(&mut loaded.rows));
        Self {
            number: loaded.number,
            changes: Vec::new(),
            changed: BTreeSet::new(),
            due: BTreeSet::new(),
            behind: std::mem::take(&mut loaded.behind),
            octets: rows.iter().map(|row| row.octets).sum(),
            rows,
            swept: None,
            sweep_began: loaded.number,
            contained: 0,
            credit: 0,
            balance_octets: BALANCE_OCTETS,
        }
    }

    /// Enters a change of a schedule's account.
    pub(super) fn note(&mut self, uid: ScheduleUid, change: &Change) {
        // An image contains it; but rows of before would bring back what is forgotten.
        if self.due.contains(&uid) && *change != Change::Forgotten {
            return;
        }
        change.append_to(uid, &mut self.changes);
        self.changed.insert(uid);
    }

    /// Has a schedule's account written as a whole with the next commit.
    pub(super) fn image(&mut self, uid: ScheduleUid) {
        self.due.insert(uid);
    }

    /// Puts together the next commit; `is_first_try` where the one before succeeded.
    pub(super) fn prepare(&mut self, accounts: &Accounts, is_first_try: bool) {
        if self.changes.len() > CHANGES_OCTETS_MAX {
            self.keep_as_images(accounts);
        }
        if is_first_try {
            self.sweep(accounts);
        }
    }

    /// The next commit, as it was prepared, but for what it says of this process.
    pub(super) fn with_commit<R>(
        &self,
        accounts: &Accounts,
        commit: impl FnOnce(Commit<'_>) -> R,
    ) -> R {
        let number = self.number + 1;
        let image = |uid: &ScheduleUid| accounts.get(uid).map(|account| account.encode(number));
        let mut images = self.due.iter().map(|uid| (*uid, image(uid)));
        let contained: Vec<u64> = self.deletable().map(|row| row.number).collect();
        commit(Commit {
            number,
            changes: &self.changes,
            images: &mut images,
            contained: &contained,
            closing: crate::store::Closing::default(),
        })
    }

    /// The commit was made.
    pub(super) fn confirm(&mut self) {
        let deleted = self.deletable().count();
        self.octets -= self.rows.drain(..deleted).map(|row| row.octets).sum::<u64>();
        self.number += 1;
        if !self.changes.is_empty() {
            let row = RowOfChanges { number: self.number, octets: self.changes.len() as u64 };
            self.octets += row.octets;
            self.rows.push_back(row);
            self.changes.clear();
        }
        self.behind.append(&mut self.changed);
        for uid in std::mem::take(&mut self.due) {
            self.behind.remove(&uid);
        }
        if self.next_behind().is_none() {
            // Whoever was behind when the sweep began has an image since.
            let everything = self.behind.is_empty();
            self.contained = if everything { self.number } else { self.sweep_began };
            (self.swept, self.sweep_began) = (None, self.number);
        }
    }

    fn deletable(&self) -> impl Iterator<Item = &RowOfChanges> {
        let contained = self.contained;
        self.rows.iter().take(DELETED_MAX).take_while(move |row| row.number <= contained)
    }

    /// Has so many accounts written as the length of the log asks for.
    fn sweep(&mut self, accounts: &Accounts) {
        let written = self.changes.len() as u64;
        let share = written.saturating_mul(self.octets) / self.balance_octets;
        self.credit += share.min(SHARE_MAX * written);
        while let Some(uid) = self.next_behind() {
            let cost = accounts.get(&uid).map_or(0, |account| octets_of_image(account));
            let Some(left) = self.credit.checked_sub(cost) else { return };
            self.credit = left;
            self.due.insert(uid);
            self.swept = Some(uid);
        }
        self.credit = 0;
    }

    fn next_behind(&self) -> Option<ScheduleUid> {
        let after = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
        self.behind.range((after, Bound::Unbounded)).next().copied()
    }

    /// Replaces the changes by images of those whom they happened to.
    fn keep_as_images(&mut self, accounts: &Accounts) {
        self.changes.clear();
        for uid in &self.changed {
            if !accounts.contains_key(uid) {
                // Rows of before would bring it back.
                Change::Forgotten.append_to(*uid, &mut self.changes);
            }
            self.due.insert(*uid);
        }
    }
}

/// About how much an image takes.
fn octets_of_image(account: &Account) -> u64 {
    IMAGE_OCTETS + ENTRY_OCTETS * account.entries() as u64
}

#[cfg(test)]
mod tests;
