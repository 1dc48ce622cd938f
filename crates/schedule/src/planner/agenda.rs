//! When which schedule wants attention; logarithmic to change, however many there are.

use super::entry::Keys;
use crate::ScheduleUid;
use std::collections::BTreeSet;
use timeball_timebase::Timestamp;

/// The planner's appointments.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    claims: BTreeSet<(Timestamp, ScheduleUid)>,
    decisions: BTreeSet<(Timestamp, ScheduleUid)>,
    runs: BTreeSet<ScheduleUid>,
}

impl Agenda {
    /// Moves a schedule from its old places to its new ones.
    pub(super) fn update(&mut self, uid: ScheduleUid, old: Keys, new: Keys) {
        let replace = |set: &mut BTreeSet<_>, old: Option<Timestamp>, new: Option<Timestamp>| {
            if old != new {
                old.map(|at| set.remove(&(at, uid)));
                new.map(|at| set.insert((at, uid)));
            }
        };
        replace(&mut self.claims, old.claim, new.claim);
        replace(&mut self.decisions, old.decide, new.decide);
        match (old.run, new.run) {
            (false, true) => drop(self.runs.insert(uid)),
            (true, false) => drop(self.runs.remove(&uid)),
            _ => {}
        }
    }

    /// The earliest moment from which something may be claimed, and whose.
    pub(super) fn first_claim(&self) -> Option<(Timestamp, ScheduleUid)> {
        self.claims.first().copied()
    }

    /// The earliest moment at which something is to be decided, and about whom.
    pub(super) fn first_decision(&self) -> Option<(Timestamp, ScheduleUid)> {
        self.decisions.first().copied()
    }

    /// Some schedule with an open run.
    pub(super) fn first_run(&self) -> Option<ScheduleUid> {
        self.runs.first().copied()
    }
}
