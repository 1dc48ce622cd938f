//! The outcomes of one schedule: the last few runs in detail, everything before in runs of equals.

use super::{HistoryEntry, OpenClaims};
use serde::{Deserialize, Serialize};
use std::mem::discriminant;
use timeball_schedule::{FireDetail, Outcome, Reason};
use timeball_timebase::Timestamp;

/// How many entries one schedule keeps; beyond that the oldest are forgotten.
pub(super) const ENTRIES_MAX: usize = 500;

/// How many runs are kept in detail.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct DetailLimits {
    /// Of those that succeeded.
    pub(crate) successful: u32,
    /// Of those that failed.
    pub(crate) failed: u32,
}

impl Default for DetailLimits {
    /// As many as a CronJob keeps.
    fn default() -> Self {
        Self { successful: 3, failed: 1 }
    }
}

/// The outcomes of one schedule. Few as a rule, and nearly always added at the end, so a vector in
/// the order of their first instants is both the smallest and the quickest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History(Vec<Kept>);

#[derive(Clone, Debug, PartialEq)]
struct Kept {
    entry: HistoryEntry,
    /// Whether it is one of the last few whose details are kept.
    is_detailed: bool,
}

impl History {
    /// Takes over what was kept, in any order.
    pub(super) fn new(entries: Vec<HistoryEntry>) -> Self {
        let detailed = |entry: &HistoryEntry| {
            entry.detail != FireDetail::default()
                && matches!(entry.outcome, Outcome::Fired | Outcome::Failed(_))
        };
        let kept = entries.into_iter().map(|entry| Kept { is_detailed: detailed(&entry), entry });
        let mut kept: Vec<Kept> = kept.collect();
        kept.sort_by_key(|kept| kept.entry.from);
        kept.dedup_by_key(|kept| kept.entry.from);
        Self(kept)
    }

    /// Adds an outcome.
    ///
    /// `open` are the instants that have a claim and no outcome yet: a run never spans one, since
    /// its outcome may turn out to be another.
    pub(super) fn add(&mut self, entry: HistoryEntry, limits: DetailLimits, open: &OpenClaims) {
        let (from, outcome) = (entry.from, entry.outcome);
        let max = match outcome {
            Outcome::Fired => limits.successful,
            Outcome::Failed(_) => limits.failed,
            Outcome::Missed(_) | Outcome::Skipped(_) | Outcome::Unknown => 0,
        };
        let kept = Kept { entry, is_detailed: true };
        match self.position(from) {
            Ok(at) => self.0[at] = kept,
            Err(at) => self.0.insert(at, kept),
        }
        while let Some(at) = self.excess(outcome, max) {
            self.0[at].is_detailed = false;
            self.0[at].entry.detail = FireDetail::default();
            self.join_neighbours(at, open);
        }
        let excess = self.0.len().saturating_sub(ENTRIES_MAX);
        self.0.drain(..excess);
    }

    /// How an instant ended; `None` where that is not kept.
    pub(super) fn outcome(&self, at: Timestamp) -> Option<Outcome> {
        let after = self.0.partition_point(|kept| kept.entry.from <= at);
        let entry = &self.0[after.checked_sub(1)?].entry;
        (entry.until >= at).then_some(entry.outcome)
    }

    /// Oldest first.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &HistoryEntry> {
        self.0.iter().map(|kept| &kept.entry)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn position(&self, from: Timestamp) -> Result<usize, usize> {
        self.0.binary_search_by_key(&from, |kept| kept.entry.from)
    }

    /// A detailed entry with an outcome of this kind that is beyond the newest `max`.
    fn excess(&self, outcome: Outcome, max: u32) -> Option<usize> {
        let kind = discriminant(&outcome);
        let alike = |at: &usize| {
            let Kept { entry, is_detailed } = &self.0[*at];
            *is_detailed && discriminant(&entry.outcome) == kind
        };
        (0..self.0.len()).rev().filter(alike).nth(max as usize)
    }

    /// Joins the entry at `at`, which has no details, with equal ones beside it.
    fn join_neighbours(&mut self, at: usize, open: &OpenClaims) {
        self.join(at, open);
        if let Some(before) = at.checked_sub(1) {
            self.join(before, open);
        }
    }

    /// Joins the entry at `first` with the next one, where they are alike.
    fn join(&mut self, first: usize, open: &OpenClaims) {
        let [one, other, ..] = &self.0[first..] else { return };
        let (a, b) = (&one.entry, &other.entry);
        // What an edit revoked may lie beside new instants that have no claim yet.
        let revoked = a.outcome == Outcome::Skipped(Reason::Revoked);
        let overlap = b.from <= a.until;
        let apart = revoked || overlap || open.range(a.until..=b.from).next().is_some();
        if one.is_detailed || other.is_detailed || a.outcome != b.outcome || apart {
            return;
        }
        let second = self.0.remove(first + 1).entry;
        let joined = &mut self.0[first].entry;
        joined.until = second.until;
        joined.count = joined.count.saturating_add(second.count);
        if joined.message != second.message {
            joined.message = String::new();
        }
    }
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
        let entries = history.entries();
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
        let details = |n: usize| history.entries().nth(n).unwrap().detail;
        assert_eq!(details(1).lateness, Some(Span::from_nanos(98)));
        assert_eq!(details(0), FireDetail::default());
        assert_eq!(history.outcome(at(50)), Some(Outcome::Fired));
        assert_eq!((history.outcome(at(0)), history.outcome(at(101))), (None, None));
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
        history.add(entry(3, missed), LIMITS, &OpenClaims::new());
        assert_eq!(shape(&history), [(1, 5, 5, "missed")]);
        history.add(entry(6, Outcome::Unknown), LIMITS, &open);
        history.add(entry(7, Outcome::Missed(Reason::ClockStepped)), LIMITS, &open);
        assert_eq!(history.len(), 3);
    }

    #[test]
    fn a_record_that_lies_within_a_run_stands_for_itself() {
        let mut history = History::default();
        let missed = Outcome::Missed(Reason::NotRunning);
        let run = HistoryEntry { until: at(9), count: 9, ..entry(1, missed) };
        history.add(run, LIMITS, &OpenClaims::new());
        history.add(entry(5, missed), LIMITS, &OpenClaims::new());
        assert_eq!(shape(&history), [(1, 9, 9, "missed"), (5, 5, 1, "missed")]);
    }

    #[test]
    fn what_was_loaded_is_limited_like_what_was_added() {
        let mut first = History::default();
        for second in 1..=10 {
            first.add(entry(second, Outcome::Fired), LIMITS, &OpenClaims::new());
        }
        let mut loaded = History::new(first.entries().cloned().collect());
        loaded.add(entry(11, Outcome::Fired), LIMITS, &OpenClaims::new());
        assert_eq!(shape(&loaded)[0], (1, 8, 8, "fired"));
        assert_eq!(loaded.len(), 4);
    }

    #[test]
    fn the_number_of_entries_has_a_limit() {
        let mut history = History::default();
        for second in 0..2_000 {
            let reason = if second % 2 == 0 { Reason::NotRunning } else { Reason::ClockStepped };
            history.add(entry(second, Outcome::Missed(reason)), LIMITS, &OpenClaims::new());
        }
        assert_eq!(history.len(), ENTRIES_MAX);
        assert_eq!(history.entries().next_back().unwrap().until, at(1_999));
    }
}
