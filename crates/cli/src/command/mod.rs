//! The commands.

#[cfg(feature = "agent")]
mod agent;
#[cfg(feature = "agent")]
mod agent_log;
mod page;
#[cfg(feature = "agent")]
mod query;
#[cfg(feature = "scheduler")]
mod schedule;
#[cfg(feature = "scheduler")]
mod schedule_control;
#[cfg(feature = "scheduler")]
mod schedule_explain;
#[cfg(feature = "scheduler")]
mod schedule_files;
#[cfg(feature = "scheduler")]
mod schedule_next;
#[cfg(feature = "scheduler")]
mod schedule_show;
#[cfg(feature = "agent")]
mod set_and_go;
mod status;
#[cfg(feature = "scheduler")]
mod tick;
#[cfg(all(feature = "agent", feature = "scheduler"))]
mod up;

use crate::arguments::Command;
use crate::error::CliError;
use std::process::ExitCode;

/// Carries a command out.
pub(crate) fn run(command: Command) -> Result<ExitCode, CliError> {
    match command {
        #[cfg(all(feature = "agent", feature = "scheduler"))]
        Command::Up(arguments) => up::run(&arguments),
        #[cfg(feature = "agent")]
        Command::Agent(arguments) if arguments.set_and_go => set_and_go::run(&arguments),
        #[cfg(feature = "agent")]
        Command::Agent(arguments) => agent::run(&arguments),
        #[cfg(feature = "agent")]
        Command::Query(arguments) => query::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Page(arguments) => page::run(&arguments),
        #[cfg(feature = "scheduler")]
        Command::Schedule(command) => schedule::run(command),
        #[cfg(feature = "scheduler")]
        Command::Tick(arguments) => tick::run(&arguments),
    }
}
