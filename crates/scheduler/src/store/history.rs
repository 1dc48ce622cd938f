//! The outcomes of one schedule: the last few runs in detail, everything before in runs of equals.

use super::{HistoryEntry, OpenClaims};
use std::collections::{BTreeMap, BTreeSet};
use timeball_schedule::{FireDetail, Outcome, Reason};
use timeball_timebase::Timestamp;

/// How many entries one schedule keeps; beyond that the oldest are forgotten.
pub(super) const ENTRIES_MAX: usize = 500;

/// How many runs are kept in detail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct DetailLimits {
    /// Of those that succeeded.
    pub(crate) successful: usize,
    /// Of those that failed.
    pub(crate) failed: usize,
}

/// The outcomes of one schedule, by their first instant.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    entries: BTreeMap<Timestamp, HistoryEntry>,
    /// Entries of one instant each whose details are kept.
    successful: BTreeSet<Timestamp>,
    failed: BTreeSet<Timestamp>,
}

impl History {
    pub(super) fn new(entries: BTreeMap<Timestamp, HistoryEntry>) -> Self {
        let mut history = Self { entries, ..Self::default() };
        for (from, entry) in &history.entries {
            if entry.detail != FireDetail::default() {
                match entry.outcome {
                    Outcome::Fired => history.successful.insert(*from),
                    Outcome::Failed(_) => history.failed.insert(*from),
                    _ => false,
                };
            }
        }
        history
    }

    /// Adds an outcome and returns the keys of all entries that changed or are gone.
    ///
    /// `open` are the instants that have a claim and no outcome yet: a run never spans one, since
    /// its outcome may turn out to be another.
    pub(super) fn add(
        &mut self,
        entry: HistoryEntry,
        limits: DetailLimits,
        open: &OpenClaims,
    ) -> BTreeSet<Timestamp> {
        let mut changed = BTreeSet::from([entry.from]);
        let (from, outcome) = (entry.from, entry.outcome);
        self.entries.insert(from, entry);
        let bare = match outcome {
            Outcome::Fired => {
                self.successful.insert(from);
                excess(&mut self.successful, limits.successful)
            }
            Outcome::Failed(_) => {
                self.failed.insert(from);
                excess(&mut self.failed, limits.failed)
            }
            Outcome::Missed(_) | Outcome::Skipped(_) | Outcome::Unknown => vec![from],
        };
        for key in bare {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.detail = FireDetail::default();
                changed.insert(key);
            }
            self.join_neighbours(key, open, &mut changed);
        }
        while self.entries.len() > ENTRIES_MAX {
            let Some((from, _)) = self.entries.pop_first() else { break };
            self.successful.remove(&from);
            self.failed.remove(&from);
            changed.insert(from);
        }
        changed
    }

    pub(super) fn entry(&self, from: Timestamp) -> Option<&HistoryEntry> {
        self.entries.get(&from)
    }

    /// How an instant ended; `None` where that is not kept.
    pub(super) fn outcome(&self, at: Timestamp) -> Option<Outcome> {
        let (_, entry) = self.entries.range(..=at).next_back()?;
        (entry.until >= at).then_some(entry.outcome)
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &HistoryEntry> {
        self.entries.values().rev()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Timestamp> {
        self.entries.keys().copied()
    }

    /// Whether an outcome of `at` is kept.
    pub(super) fn has_outcome(&self, at: Timestamp) -> bool {
        self.entries.range(..=at).next_back().is_some_and(|(_, entry)| entry.until >= at)
    }

    /// Joins the entry at `key`, which has no details, with equal ones beside it.
    fn join_neighbours(
        &mut self,
        key: Timestamp,
        open: &OpenClaims,
        changed: &mut BTreeSet<Timestamp>,
    ) {
        let before = self.entries.range(..key).next_back().map(|(from, _)| *from);
        let after = self.entries.range(key..).nth(1).map(|(from, _)| *from);
        if let Some(after) = after {
            self.join(key, after, open, changed);
        }
        if let Some(before) = before {
            self.join(before, key, open, changed);
        }
    }

    fn join(
        &mut self,
        first: Timestamp,
        second: Timestamp,
        open: &OpenClaims,
        changed: &mut BTreeSet<Timestamp>,
    ) {
        let detailed = |key| self.successful.contains(&key) || self.failed.contains(&key);
        let (Some(a), Some(b)) = (self.entries.get(&first), self.entries.get(&second)) else {
            return;
        };
        // What an edit revoked may lie beside new instants that have no claim yet.
        let revoked = a.outcome == Outcome::Skipped(Reason::Revoked);
        let apart = revoked || open.range(a.until..=b.from).next().is_some();
        if detailed(first) || detailed(second) || a.outcome != b.outcome || apart {
            return;
        }
        let message = if a.message == b.message { a.message.clone() } else { String::new() };
        let (until, count) = (a.until.max(b.until), a.count.saturating_add(b.count));
        let joined = HistoryEntry { until, count, message, ..a.clone() };
        self.entries.insert(first, joined);
        self.entries.remove(&second);
        changed.extend([first, second]);
    }
}

/// Takes out the oldest beyond `max`.
fn excess(kept: &mut BTreeSet<Timestamp>, max: usize) -> Vec<Timestamp> {
    let mut oldest = Vec::new();
    while kept.len() > max {
        oldest.extend(kept.pop_first());
    }
    oldest
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::Span;

    const LIMITS: DetailLimits = DetailLimits { successful: 3, failed: 1 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(second, 0)
    }

    fn entry(second: i64, outcome: Outcome) -> HistoryEntry {
        let lateness = Some(Span::from_nanos(second));
        HistoryEntry {
            from: at(second),
            until: at(second),
            count: 1,
            outcome,
            detail: FireDetail { lateness, ..FireDetail::default() },
            message: String::new(),
        }
    }

    fn shape(history: &History) -> Vec<(i64, i64, u64, &'static str)> {
        let entries = history.entries.values();
        entries
            .map(|e| (e.from.unix_seconds(), e.until.unix_seconds(), e.count, e.outcome.name()))
            .collect()
    }

    #[test]
    fn old_runs_become_one_entry_and_the_last_few_keep_their_details() {
        let mut history = History::default();
        for second in 1..=100 {
            history.add(entry(second, Outcome::Fired), LIMITS, &OpenClaims::new());
        }
        let expected = [
            (1, 97, 97, "fired"),
            (98, 98, 1, "fired"),
            (99, 99, 1, "fired"),
            (100, 100, 1, "fired"),
        ];
        assert_eq!(shape(&history), expected);
        assert_eq!(history.entry(at(98)).unwrap().detail.lateness, Some(Span::from_nanos(98)));
        assert_eq!(history.entry(at(1)).unwrap().detail, FireDetail::default());
        assert!(history.has_outcome(at(50)) && !history.has_outcome(at(101)));
    }

    #[test]
    fn no_run_spans_another_outcome_or_an_open_claim() {
        let mut history = History::default();
        let missed = Outcome::Missed(Reason::NotRunning);
        let open = OpenClaims::from([(at(3), true)]);
        for (second, outcome) in [(1, missed), (2, missed), (4, missed), (5, missed)] {
            history.add(entry(second, outcome), LIMITS, &open);
        }
        assert_eq!(shape(&history), [(1, 2, 2, "missed"), (4, 5, 2, "missed")]);
        let changed = history.add(entry(3, missed), LIMITS, &OpenClaims::new());
        assert_eq!(shape(&history), [(1, 5, 5, "missed")]);
        assert_eq!(changed, BTreeSet::from([at(1), at(3), at(4)]));
        history.add(entry(6, Outcome::Unknown), LIMITS, &open);
        history.add(entry(7, Outcome::Missed(Reason::ClockStepped)), LIMITS, &open);
        assert_eq!(history.entries.len(), 3);
    }

    #[test]
    fn what_was_loaded_is_limited_like_what_was_added() {
        let mut first = History::default();
        for second in 1..=10 {
            first.add(entry(second, Outcome::Fired), LIMITS, &OpenClaims::new());
        }
        let mut loaded = History::new(first.entries.clone());
        loaded.add(entry(11, Outcome::Fired), LIMITS, &OpenClaims::new());
        assert_eq!(shape(&loaded)[0], (1, 8, 8, "fired"));
        assert_eq!(loaded.entries.len(), 4);
    }

    #[test]
    fn the_number_of_entries_has_a_limit() {
        let mut history = History::default();
        for second in 0..2_000 {
            let reason = if second % 2 == 0 { Reason::NotRunning } else { Reason::ClockStepped };
            history.add(entry(second, Outcome::Missed(reason)), LIMITS, &OpenClaims::new());
        }
        assert_eq!(history.entries.len(), ENTRIES_MAX);
        assert_eq!(history.newest_first().next().unwrap().until, at(1_999));
    }
}
