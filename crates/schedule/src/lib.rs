//! The scheduling core: what a schedule expression means, and what is to be done about it when.
//!
//! Pure: instants come as arguments, the zone database as TZif octets, effects leave as actions.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod fire;
pub mod language;
mod mix;
pub mod planner;

pub use fire::{FireDetail, FireId, Outcome, Reason, ScheduleUid};
