//! `timeball gate …`: the gate as a part of this program, so that one build has all that `up` is.
//!
//! Looked for before anything else: `up` starts it for each program that it holds, and what clap
//! takes to read all commands is time in which a gate does not load its program.

use std::env;
use std::process::ExitCode;
use timeball_gate::Exit;
use timeball_gate::hosted::run_here;

/// The first argument that asks for it.
pub(crate) const SUBCOMMAND: &str = "gate";

/// Runs the gate if the first argument asks for it.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != SUBCOMMAND {
        return None;
    }
    // Its own name comes first, as for any program.
    let exit = run_here([SUBCOMMAND.into()].into_iter().chain(arguments));
    Some(ExitCode::from(match exit {
        Ok(Exit::Status(status)) => status,
        // It has died of that signal already, unless it cannot (process 1 of a container).
        Ok(Exit::Signal(signal)) => 128_u8.saturating_add(signal),
        Err(error) => {
            crate::output::talk(&format!("error: {error}"));
            125
        }
    }))
}
