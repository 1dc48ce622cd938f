//! The system calls that need `unsafe`, each behind a safe function.
#![allow(unsafe_code)]

pub(crate) mod code;

use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Seconds and nanoseconds of a clock that every Linux has.
pub(crate) fn clock_gettime(clock: libc::clockid_t) -> (i64, i64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that lives through the call.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "the kernel has clock {clock}");
    (time.tv_sec, time.tv_nsec)
}

static RAISED: AtomicBool = AtomicBool::new(false);
static WAKE_FD: AtomicI32 = AtomicI32::new(-1);
static HANGUP_FD: AtomicI32 = AtomicI32::new(-1);

/// The user that this process acts as.
pub(crate) fn user() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether SIGINT or SIGTERM has arrived since [`catch_termination`].
pub(crate) fn termination_raised() -> bool {
    RAISED.load(Ordering::Acquire)
}

/// Catches SIGINT and SIGTERM: the first raises the flag, interrupts blocking calls (no
/// `SA_RESTART`) and writes an octet to `wake`, if given; a further one ends the process at once.
pub(crate) fn catch_termination(wake: Option<OwnedFd>) -> io::Result<()> {
    if let Some(fd) = wake {
        // The handler may run at any later time, so the descriptor is never closed.
        WAKE_FD.store(std::os::fd::IntoRawFd::into_raw_fd(fd), Ordering::Release);
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        handle(signal, on_termination, 0)?;
    }
    Ok(())
}

/// Catches SIGHUP: each writes an octet to `wake`. Blocking calls go on.
pub(crate) fn catch_hangup(wake: OwnedFd) -> io::Result<()> {
    HANGUP_FD.store(std::os::fd::IntoRawFd::into_raw_fd(wake), Ordering::Release);
    handle(libc::SIGHUP, on_hangup, libc::SA_RESTART)
}

fn handle(signal: c_int, handler: extern "C" fn(c_int), flags: c_int) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid value (no flags, empty mask).
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = flags;
    // SAFETY: the handlers below call nothing that is not async-signal-safe, and `action` lives
    // through the call.
    if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_termination(signal: c_int) {
    if RAISED.swap(true, Ordering::AcqRel) {
        // SAFETY: `_exit` is async-signal-safe and does not return.
        unsafe { libc::_exit(128 + signal) };
    }
    write_octet(WAKE_FD.load(Ordering::Acquire));
}

extern "C" fn on_hangup(_signal: c_int) {
    write_octet(HANGUP_FD.load(Ordering::Acquire));
}

/// To be called by handlers of signals.
fn write_octet(fd: c_int) {
    if fd >= 0 {
        // SAFETY: `write` is async-signal-safe; errno is restored for the code interrupted.
        unsafe {
            let errno = *libc::__errno_location();
            libc::write(fd, ptr::from_ref(&0_u8).cast(), 1);
            *libc::__errno_location() = errno;
        }
    }
}

/// A pipe whose ends close on exec: the reading end, the writing end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors were just made and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}
