//! The scheduler: from schedule files to programs run and requests sent on the dot.
//!
//! Four kinds of thread: one watches the files, one (the dispatcher) owns the planner and the
//! store,
//! one waits for the next fire and releases it, and the targets' own do what a fire does. Whatever
//! takes time happens before T; a fire is claimed durably before it may have an effect, so that
//! after
//! a crash none is repeated that was recorded. The dispatcher decides nothing: that is the
//! planner's.
#![deny(missing_docs)]

#[doc(hidden)]
pub mod bench_support;
mod board;
mod dispatcher;
mod fault;
mod files;
pub mod foreign;
#[doc(hidden)]
pub mod fuzz_support;
mod lateness;
mod metrics;
mod router;
mod scheduler;
mod stamp;
mod store;
mod sys;
mod targets;
mod tick;
mod timer;
mod zones;

pub use dispatcher::ControlError;
pub use files::read_calendars;
pub use scheduler::{Named, Scheduler, SchedulerOptions, StartError};
pub use store::StoreError;
pub use targets::exec::GateProgram;
pub use tick::{Delivery, Tick, TickReceiver, Ticker};
pub use timer::RealTimeError;
pub use zones::{Zones, ZonesError};
