//! The planner: from schedules and the time to claims, armed fires and outcomes.

mod io;
mod spec;

pub use io::{Action, ArmedFire, Claim, ClaimResult, Input, OutcomeRecord, Resume};
pub use spec::{
    CatchUp, CatchUpPolicy, ClockPolicy, Concurrency, FireMode, Follow, OnExceeded, ScheduleSpec,
};
