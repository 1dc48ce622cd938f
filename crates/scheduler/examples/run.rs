//! Runs a scheduler until it is killed or its standard input ends: `run SCHEDULES_DIR STATE_DIR`.
//! The tests kill it in the middle of its work.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use timeball_runtime::ClockCell;
use timeball_scheduler::{Scheduler, SchedulerOptions};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(schedules), Some(state)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    let options = SchedulerOptions::new(schedules, state, Arc::new(ClockCell::new()));
    let Ok(scheduler) = Scheduler::start(options) else { return ExitCode::FAILURE };
    // An error means that nobody holds the other end any more, which says the same.
    let _ = std::io::stdin().read(&mut [0]);
    scheduler.shutdown();
    ExitCode::SUCCESS
}
