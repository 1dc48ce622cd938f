//! What every long-running part of Timeball shares: the cells through which the time loop
//! publishes, the reading of the machine's clocks, orderly shutdown, the local HTTP server with its
//! health, readiness and metrics, access tokens, state directories, logging,
//! and what a person most likely meant by a word.
#![deny(missing_docs)]

#[cfg(not(target_os = "linux"))]
compile_error!("Timeball runs on Linux only: it needs CLOCK_MONOTONIC_RAW and clock_adjtime");

mod cells;
mod clocks;
pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod segment;
mod shutdown;
pub mod signals;
pub mod state;
mod suggest;
mod sys;
pub mod token;

pub use cells::{ClockCell, StatusCell};
pub use clocks::{boot_id, hostname, read_clocks, time_asleep};
pub use shutdown::Shutdown;
pub use suggest::nearest;
pub use sys::code::forget_code;
