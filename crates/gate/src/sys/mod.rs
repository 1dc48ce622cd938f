//! System calls, each behind a safe function. All of the library's `unsafe` is in here.
//!
//! There is no libc: the program that is held by `timeball-gate` may be started from an image with
//! nothing in it, and a gate of a few pages starts in a tenth of a millisecond.
#![allow(unsafe_code)]

#[cfg_attr(target_arch = "x86_64", path = "arch/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "arch/aarch64.rs")]
mod arch;
mod clock;
mod errno;
mod file;
mod poll;
mod process;
mod signal;
mod trace;
mod vector;

pub(crate) use clock::{Timer, TimerWake, coarse_monotonic, realtime};
pub use errno::Errno;
pub(crate) use file::{
    Fd, has_capabilities, is_executable, mode, open_read, open_read_write, open_write, pipe,
};
pub(crate) use poll::{Interest, poll, print, say};
pub use process::exit;
pub(crate) use process::{
    Change, Pid, die_with_parent, execute, forgo_core_dump, fork, own_pid, parent_pid, send,
    send_to, wait_any,
};
pub(crate) use signal::{Disposition, Received, SignalFd, SignalSet, block_all, set_mask};
pub(crate) use trace::{Breakpoint, Tracee, trace_me};
#[cfg(any(test, feature = "hosted"))]
pub(crate) use vector::OwnedVector;
pub use vector::Vector;

/// Makes a system call and turns its negative results into errors.
///
/// # Safety
/// As for [`arch::call`].
unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller vouches for the arguments.
    let result = unsafe { arch::call(number, arguments) };
    // The kernel keeps -4095 to -1 for errors (include/linux/err.h).
    if (-4095..0).contains(&result) {
        Err(Errno::from_raw(-result as u16))
    } else {
        Ok(result as usize)
    }
}

/// The descriptor that stands for the current directory where a call takes a directory.
const AT_FDCWD: usize = -100_isize as usize;
