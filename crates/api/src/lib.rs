//! The forms in which Timeball speaks to people and programs: schedule files, `/v1/status`,
//! `/v1/schedules` and the event stream, and the paths of the local API. Types only: no logic
//! beyond defaults.
//!
//! Conventions: JSON keys are camelCase in schedule files (they are Kubernetes resources) and
//! snake_case with the unit last (`offset_ns`) elsewhere; whole numbers, no floats except ratios
//! for eyes; an unknown value is `null`, never 0.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod calendar;
pub mod control;
pub mod cron_job;
pub mod events;
pub mod files;
pub mod health;
pub mod routes;
pub mod schedules;
pub mod status;
pub mod targets;
