//! `timeball`: one clock, and work on the dot.
//!
//! This crate composes the shells and owns what a person sees: arguments, output, exit codes
//! (0 done, 1 failed, 2 wrong usage). Data goes to stdout, talk to stderr.
#![deny(missing_docs)]
#![cfg_attr(
    not(all(feature = "agent", feature = "scheduler")),
    allow(dead_code, reason = "`up` uses what one feature alone does not")
)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "Timeball runs on Linux only: it needs kernel packet timestamps, timerfd and clock_adjtime."
);

mod arguments;
mod command;
mod error;
#[cfg(feature = "scheduler")]
mod gate;
mod output;
#[cfg(feature = "agent")]
mod service;
mod state_client;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "scheduler")]
    if let Some(code) = gate::run_if_asked() {
        return code;
    }
    let arguments = arguments::Arguments::parse();
    match command::run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            error.print();
            error.exit_code()
        }
    }
}
