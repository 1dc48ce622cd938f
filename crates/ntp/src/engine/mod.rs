//! The engine: one state machine that turns inputs into actions and publishes what it knows.

mod config;
mod io;
mod report;

pub use config::{
    ClockMode, EngineConfig, PollRange, SEED_OCTETS, SourceConfig, SourceOptions, StepPolicy,
};
pub use io::{
    Action, AdjustError, Command, Input, KernelClock, KernelStatus, Reply, ResolveError, SendError,
    SourceId, TransmitToken,
};
pub use report::{Counters, Report, SampleReport, Selection, SourceReport};
