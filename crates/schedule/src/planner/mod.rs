//! The planner: from schedules and the time to claims, armed fires and outcomes.

mod io;
mod options;
mod spec;

pub use io::{Action, ArmedFire, Claim, ClaimResult, Input, OutcomeRecord, Resume};
pub use options::{Limits, PlannerOptions};
pub use spec::{
    CatchUp, CatchUpPolicy, ClockPolicy, Concurrency, FireMode, Follow, OnExceeded, ScheduleSpec,
};

use crate::ScheduleUid;
use timeball_timebase::Timestamp;

/// Plans every schedule of this process.
#[derive(Debug)]
pub struct Planner {
    options: PlannerOptions,
}

impl Planner {
    /// Makes a planner without schedules.
    pub fn new(options: PlannerOptions) -> Self {
        Self { options }
    }

    /// Handles one input at the system clock's `now`; the caller carries out the actions in order.
    #[must_use = "the actions are the planner's only effect"]
    pub fn handle_input(&mut self, now: Timestamp, input: Input) -> Vec<Action> {
        let _ = (now, input, self.options);
        Vec::new()
    }

    /// The next instants of a schedule after `now` that are to be fired, soonest first, at most `n`.
    pub fn next_instants(&self, uid: ScheduleUid, now: Timestamp, n: usize) -> Vec<Timestamp> {
        let _ = (uid, now, n);
        Vec::new()
    }
}
