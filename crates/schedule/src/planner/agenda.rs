//! When which schedule wants attention; logarithmic to change, however many there are.
//!
//! Times of different clocks are in no order, so each clock has its appointments.

use super::entry::Keys;
use super::{Follow, Times};
use crate::ScheduleUid;
use std::collections::BTreeSet;
use timeball_timebase::Timestamp;

/// The planner's appointments.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    claims: Appointments,
    decisions: Appointments,
    runs: BTreeSet<ScheduleUid>,
}

/// By clock, in the order of [`CLOCKS`].
type Appointments = [BTreeSet<(Timestamp, ScheduleUid)>; CLOCKS.len()];

const CLOCKS: [Follow; 3] = [Follow::Auto, Follow::System, Follow::Utc];

impl Agenda {
    /// Moves a schedule from its old places to its new ones.
    pub(super) fn update(&mut self, uid: ScheduleUid, old: Keys, new: Keys) {
        let replace = |sets: &mut Appointments, was: Option<Timestamp>, is: Option<Timestamp>| {
            if (old.follow, was) != (new.follow, is) {
                was.map(|at| sets[old.follow as usize].remove(&(at, uid)));
                is.map(|at| sets[new.follow as usize].insert((at, uid)));
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

    /// The earliest moment, by the system clock, from which something may be claimed, and whose.
    pub(super) fn first_claim(&self, now: &Times) -> Option<(Timestamp, ScheduleUid)> {
        first(&self.claims, now)
    }

    /// The earliest moment, by the system clock, at which something is to be decided, and about
    /// whom.
    pub(super) fn first_decision(&self, now: &Times) -> Option<(Timestamp, ScheduleUid)> {
        first(&self.decisions, now)
    }

    /// Some schedule with an open run.
    pub(super) fn first_run(&self) -> Option<ScheduleUid> {
        self.runs.first().copied()
    }
}

fn first(appointments: &Appointments, now: &Times) -> Option<(Timestamp, ScheduleUid)> {
    let firsts = CLOCKS.iter().zip(appointments).filter_map(|(follow, set)| {
        set.first().map(|(at, uid)| (now.system_time_of(*follow, *at), *uid))
    });
    firsts.min()
}
