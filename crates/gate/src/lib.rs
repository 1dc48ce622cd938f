//! Holds a command until an instant, then lets it be.
//!
//! `timeball-gate --at INSTANT -- COMMAND [ARG…]` starts a command at an instant of the node's
//! system clock. Starting a program takes most of a millisecond (the loader, the libraries' start),
//! so by default that is done before: the command is traced to its ELF **entry point** (loaded,
//! linked, not begun), held there, and let go at the instant. Constructors of shared libraries run
//! before the instant; a static program is led through the start of its C library, if that is known
//! to come first ([`places`]); an interpreter (`python3`, a `#!` script) is held at the
//! interpreter's entry point, so its own start comes after. Where the gate may not trace (a setuid
//! program, a container without that right, a program that somebody traces already) the command is
//! executed at the instant instead, and that is said on standard error.
//!
//! With `--on FD` another program says when, by an octet; a scheduler that decides late (by a clock
//! that it knows better, by what else runs) holds its commands so, and takes one back by closing
//! its end.
//!
//! Until the instant, SIGTERM, SIGINT, SIGHUP and SIGQUIT revoke: the command never begins, and the
//! gate ends with a status of its own ([`Exit::REVOKED`]). From then on the gate is hardly there:
//! the command has its standard streams, environment, directory, signal dispositions and signal
//! mask as the gate got them; signals sent to the gate go on to the command; the gate ends as the
//! command does; and the command is killed if the gate is (`PR_SET_PDEATHSIG`). The command stays
//! in the gate's process group, so what a terminal sends is not sent twice; what a process sends to
//! the whole group reaches the command itself and once more through the gate. In mode `exec` there
//! is no gate any more after the instant: it has become the command.
//!
//! A clock that is set while the gate waits is read again (timerfd, `TFD_TIMER_CANCEL_ON_SET`). An
//! instant that has passed is now, unless `--not-after` says that it is too late
//! ([`Exit::MISSED`]).
//!
//! The binary of profile `gate` is freestanding: no libc, raw system calls, static, a few pages.
//! Built by any other profile it is the same code with the standard library underneath. Runs on
//! x86-64; AArch64 is written by the kernel's tables and has not been run yet.
#![no_std]
#![deny(missing_docs)]

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("timeball-gate runs on Linux, on x86-64 and AArch64: it makes raw system calls");

#[cfg(all(freestanding, not(panic = "abort")))]
compile_error!("opt-level `z` is for the profile `gate`: cargo build --profile gate");

#[cfg(any(test, feature = "hosted"))]
extern crate std;

mod accuracy;
mod arguments;
mod cue;
mod entry;
mod exit;
mod hold;
#[cfg(feature = "hosted")]
pub mod hosted;
mod image;
mod instant;
mod run;
mod search;
mod sys;
mod targets;
mod text;
mod watch;

pub use cue::{HAS_BEGUN, Progress};
pub use exit::Exit;
pub use image::{Places, places};
pub use instant::{InstantError, parse_instant, parse_limit};
pub use run::{fail, run};
pub use sys::{Errno, Vector, exit};
