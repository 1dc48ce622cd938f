//! What is kept of a schedule beside its claims.

use serde::{Deserialize, Serialize};
use timeball_schedule::{FireDetail, Outcome};
use timeball_timebase::Timestamp;

/// Why a schedule rests.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Pause {
    /// Since when, nanoseconds since 1970.
    pub(crate) at_ns: i64,
    /// Who paused it.
    pub(crate) by: String,
    /// Why; may be empty.
    pub(crate) why: String,
}

/// Something that was done with a schedule, by a person or by itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    /// When, nanoseconds since 1970.
    pub(crate) at_ns: i64,
    /// Who did it.
    pub(crate) by: String,
    /// Why; may be empty.
    pub(crate) why: String,
    /// First instant that was asked for, nanoseconds since 1970.
    pub(crate) from_ns: Option<i64>,
    /// Last instant that was asked for.
    pub(crate) until_ns: Option<i64>,
    /// How many instants were asked for.
    pub(crate) count: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum EventKind {
    Paused,
    Resumed,
    Run,
    Backfill,
}

impl EventKind {
    /// Its word in the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Run => "run",
            Self::Backfill => "backfill",
        }
    }
}

/// Outcomes counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Tally {
    pub(crate) fired: u64,
    pub(crate) missed: u64,
    pub(crate) skipped: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: Outcome, count: u64) {
        let counted = match outcome {
            Outcome::Fired => &mut self.fired,
            Outcome::Missed(_) => &mut self.missed,
            Outcome::Skipped(_) => &mut self.skipped,
            Outcome::Failed(_) => &mut self.failed,
            Outcome::Unknown => &mut self.unknown,
        };
        *counted = counted.saturating_add(count);
    }
}

/// The outcome of an instant, or of a run of instants with the same one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HistoryEntry {
    /// First instant.
    pub(crate) from: Timestamp,
    /// Last instant, `from` for one.
    pub(crate) until: Timestamp,
    /// How many instants, at least one.
    pub(crate) count: u64,
    pub(crate) outcome: Outcome,
    /// How the fire went; nothing for a run.
    pub(crate) detail: FireDetail,
    /// Details for a person; may be empty.
    pub(crate) message: String,
}
