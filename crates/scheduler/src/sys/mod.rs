//! The system calls that need `unsafe`, each behind a safe function; nothing else in the crate has
//! any.
#![allow(unsafe_code)]

#[cfg(test)]
mod gate_of_tests;
mod process;
mod reader;
mod realtime;
mod timer;

#[cfg(test)]
pub(crate) use gate_of_tests::GATE_OF_TESTS;

pub(crate) use process::{
    Account, Child, Exit, Process, SpawnPlan, account, effective_user_is_root, spawn,
};
pub(crate) use reader::{Reader, is_unreceived, reader_of_pipe};
pub(crate) use realtime::{lock_memory, schedule_fifo};
pub(crate) use timer::{Alarm, Poked, Wake, poll_readable, set_timer_slack, sleep_until};

use std::io;

/// Turns the `-1` of a system call into the error that it left behind.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
