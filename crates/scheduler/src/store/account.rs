//! What is known of one schedule: a state that changes bring forth, whether they happen now or are
//! read from the store.

use super::history::{DetailLimits, History};
use super::record::{Event, Pause};
use super::{HistoryEntry, OpenClaims, Tally, fnv1a};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use timeball_schedule::{Outcome, ScheduleUid, Trigger};
use timeball_timebase::Timestamp;

/// All schedules; boxed, so that the tree's nodes hold no room for those that are not there.
pub(crate) type Accounts = BTreeMap<ScheduleUid, Box<Account>>;

/// How many outcomes of fires that were asked for one schedule keeps.
const REQUESTED_MAX: usize = 1_000;

/// Something that happens to an account many times a day; what else happens is kept as a whole new
/// image of the account.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// An instant is claimed.
    Claimed(Timestamp),
    /// Whether a claimed fire was released, or may have been.
    Marked(Timestamp, bool),
    /// Instants up to and including this one are accounted for.
    Accounted(Timestamp),
    /// An instant, or a run of them, has its outcome.
    Ended(HistoryEntry),
    /// The schedule is forgotten with everything that was kept of it.
    Forgotten,
}

/// What is known of one schedule. There may be a million, most of which have never fired.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Account {
    /// Instants up to and including it have a claim or an outcome.
    pub(super) accounted_until: Option<Timestamp>,
    /// What stands for the definition that is kept.
    pub(super) definition: Option<NonZeroU64>,
    /// The same of one that is in force already, and is yet to be kept.
    pub(super) adopting: Option<NonZeroU64>,
    pub(super) limits: DetailLimits,
    /// Claims without an outcome.
    pub(super) open: OpenClaims,
    past: Option<Box<Past>>,
    rare: Option<Box<Rare>>,
    /// Whether it was loaded and no file has named it since.
    pub(super) inherited: bool,
}

/// What has happened so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Past {
    tally: Tally,
    history: History,
    /// Outcomes of fires that somebody asked for, by their keys.
    requested: BTreeMap<Timestamp, HistoryEntry>,
}

/// What few schedules have.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Rare {
    /// When its file went away, nanoseconds since 1970.
    pub(super) removed_at_ns: Option<i64>,
    /// Outcomes of fires that were asked for, counted since it was first seen.
    pub(super) requested: Tally,
    /// Since when it rests until further notice.
    pub(super) paused: Option<Pause>,
    /// How often the target has failed in a row.
    pub(super) failures: u32,
    /// What people did with it, oldest first.
    pub(super) events: Vec<Event>,
}

impl Account {
    /// Carries out a change; `Forgotten` is for whoever holds the account.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Claimed(at) => {
                self.open.entry(at).or_insert(false);
                // Fires that were asked for stand beside the schedule's own instants.
                if !is_requested(at) {
                    self.account(at);
                }
            }
            Change::Marked(at, is_released) => {
                if let Some(released) = self.open.get_mut(&at) {
                    *released = is_released;
                }
            }
            Change::Accounted(until) => self.account(until),
            Change::Ended(entry) => self.enter(entry),
            Change::Forgotten => {}
        }
    }

    fn account(&mut self, until: Timestamp) {
        self.accounted_until = self.accounted_until.max(Some(until));
    }

    /// Enters an outcome, which closes its claims.
    fn enter(&mut self, entry: HistoryEntry) {
        let HistoryEntry { from, until, count, outcome, .. } = entry;
        let closed: Vec<Timestamp> = self.claims_within(from, until).collect();
        for at in closed {
            self.open.remove(&at);
        }
        if is_requested(from) {
            self.rare_mut().requested.add(outcome, count);
            let requested = &mut self.past.get_or_insert_default().requested;
            requested.insert(from, entry);
            while requested.len() > REQUESTED_MAX {
                requested.pop_first();
            }
        } else {
            self.account(until);
            self.count_failure(outcome);
            let past = self.past.get_or_insert_default();
            past.tally.add(outcome, count);
            past.history.add(entry, self.limits, &self.open);
        }
    }

    /// Counts how often the target has failed in a row.
    fn count_failure(&mut self, outcome: Outcome) {
        if outcome == Outcome::Fired {
            if let Some(rare) = &mut self.rare {
                rare.failures = 0;
            }
        } else if outcome.is_targets_failure() {
            let failures = &mut self.rare_mut().failures;
            *failures = failures.saturating_add(1);
        }
    }

    /// Takes over what was kept of the past.
    pub(super) fn restore(
        &mut self,
        tally: Tally,
        history: Vec<HistoryEntry>,
        requested: Vec<HistoryEntry>,
        rare: Option<Rare>,
    ) {
        let requested = requested.into_iter().map(|entry| (entry.from, entry)).collect();
        let past = Past { tally, history: History::new(history), requested };
        self.past = (past != Past::default()).then(|| Box::new(past));
        self.rare = rare.map(Box::new);
    }

    /// The open claims that an outcome of the instants from `from` to `until` closes: a run of the
    /// schedule's own instants spans none that was asked for.
    pub(super) fn claims_within(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let asked = is_requested(from);
        let within = self.open.range(from..=until.max(from)).map(|(at, _)| *at);
        within.filter(move |at| is_requested(*at) == asked)
    }

    /// Outcomes of its instants, counted.
    pub(super) fn tally(&self) -> Tally {
        self.past.as_ref().map_or_else(Tally::default, |past| past.tally)
    }

    /// Outcomes of its instants, oldest first.
    pub(super) fn history(&self) -> impl DoubleEndedIterator<Item = &HistoryEntry> {
        self.past.iter().flat_map(|past| past.history.entries())
    }

    /// Outcomes of fires that were asked for, by their keys.
    pub(super) fn requested(&self) -> impl DoubleEndedIterator<Item = &HistoryEntry> {
        self.past.iter().flat_map(|past| past.requested.values())
    }

    /// How many outcomes are kept one by one, which is what the size of its image depends on.
    pub(super) fn entries(&self) -> usize {
        self.past.as_ref().map_or(0, |past| past.history.len() + past.requested.len())
    }

    /// How the instant `at` of the schedule ended; `None` where that is not kept.
    pub(super) fn outcome(&self, at: Timestamp) -> Option<Outcome> {
        self.past.as_ref()?.history.outcome(at)
    }

    /// Whether the fire with this key has an outcome.
    pub(super) fn has_outcome(&self, at: Timestamp) -> bool {
        let Some(past) = &self.past else { return false };
        if is_requested(at) {
            past.requested.contains_key(&at)
        } else {
            past.history.outcome(at).is_some()
        }
    }

    /// Whether the fire with this key has a claim or an outcome.
    pub(super) fn knows(&self, at: Timestamp) -> bool {
        self.open.contains_key(&at) || self.has_outcome(at)
    }

    /// When its file went away.
    pub(super) fn removed_at(&self) -> Option<Timestamp> {
        self.rare.as_ref()?.removed_at_ns.map(Timestamp::from_unix_nanos)
    }

    pub(super) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// What stands for a definition. Where two texts had the same number, an edit from one to the other
/// would not be noticed after a crash in the middle of it.
pub(super) fn fingerprint(definition: &str) -> NonZeroU64 {
    NonZeroU64::new(fnv1a(definition.bytes())).unwrap_or(NonZeroU64::MAX)
}

/// Whether somebody asked for the fire with this key.
pub(super) fn is_requested(at: Timestamp) -> bool {
    Trigger::of(at) != Trigger::Schedule
}
