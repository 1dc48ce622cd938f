//! Processes: starting, ending, waiting, signalling.

use super::arch::number;
use super::file::Fd;
use super::{Errno, Vector, call};
use core::ffi::CStr;

const SIGCHLD: usize = 17;
const WNOHANG: usize = 1;
const WUNTRACED: usize = 2;
const WCONTINUED: usize = 8;
const WALL: usize = 0x4000_0000;
const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_DUMPABLE: usize = 4;
const SIGKILL: usize = 9;
/// The system call's number is the same on every architecture (5.3).
const PIDFD_OPEN: usize = 434;
const PIDFD_SEND_SIGNAL: usize = 424;

/// A process by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pid(pub(crate) i32);

impl Pid {
    /// A descriptor that stands for the process: it never comes to mean another, and is readable
    /// once the process has ended.
    pub(crate) fn open(self) -> Result<Fd, Errno> {
        // SAFETY: no pointer is passed.
        unsafe { call(PIDFD_OPEN, [self.as_argument(), 0, 0, 0, 0, 0]) }.map(Fd::from_call)
    }

    pub(super) fn as_argument(self) -> usize {
        self.0 as usize
    }
}

/// What became of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// It ended with this status.
    Exited(u8),
    /// This signal ended it.
    Killed(u8),
    /// It stopped on this signal.
    Stopped(u8),
    /// It was stopped, and goes on.
    Continued,
    /// It stopped because it has begun another program (traced only).
    Executed,
}

impl Change {
    /// Whether the process is no more.
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Self::Exited(_) | Self::Killed(_))
    }
}

/// What [`wait_any`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Waited {
    /// Whose change it is.
    pub(crate) pid: Pid,
    /// The change.
    pub(crate) change: Change,
}

/// Makes a copy of this process. Returns its number, and in the copy `None`.
pub(crate) fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: without CLONE_VM the copy has memory of its own. Locks that other threads may hold in
    // it do not matter: the gate neither allocates nor locks.
    let pid = unsafe { call(number::CLONE, [SIGCHLD, 0, 0, 0, 0, 0])? };
    Ok((pid != 0).then_some(Pid(pid as i32)))
}

/// Becomes another program; returns only if that fails.
pub(crate) fn execute(path: &CStr, arguments: &Vector<'_>, environment: &Vector<'_>) -> Errno {
    let (path, arguments) = (path.as_ptr() as usize, arguments.as_ptr() as usize);
    let environment = environment.as_ptr() as usize;
    // SAFETY: a NUL-terminated path and two rows of strings as execve wants them (`Vector`).
    match unsafe { call(number::EXECVE, [path, arguments, environment, 0, 0, 0]) } {
        Err(error) => error,
        Ok(_) => unreachable!("execve returns only errors"),
    }
}

/// Ends this process.
pub fn exit(status: u8) -> ! {
    loop {
        // SAFETY: no pointer is passed; the call does not return.
        let _ = unsafe { call(number::EXIT_GROUP, [status.into(), 0, 0, 0, 0, 0]) };
    }
}

/// The next change of any child, if there is one; children that have ended are reaped.
pub(crate) fn wait_any() -> Option<Waited> {
    let mut status = 0_i32;
    let options = WNOHANG | WUNTRACED | WCONTINUED | WALL;
    let arguments = [usize::MAX, &raw mut status as usize, options, 0, 0, 0];
    // SAFETY: the kernel writes one int to a place that holds one.
    let pid = unsafe { call(number::WAIT4, arguments) }.ok().filter(|pid| *pid != 0)?;
    Some(Waited { pid: Pid(pid as i32), change: decode(status) })
}

/// Reads a wait status (wait(2); for the event, ptrace(2)).
fn decode(status: i32) -> Change {
    const STOPPED: i32 = 0x7f;
    const EVENT_EXEC: i32 = 4;
    const CONTINUED: i32 = 0xffff;
    let high = (status >> 8 & 0xff) as u8;
    match status & 0x7f {
        0 => Change::Exited(high),
        _ if status == CONTINUED => Change::Continued,
        STOPPED if status >> 16 == EVENT_EXEC => Change::Executed,
        STOPPED => Change::Stopped(high),
        signal => Change::Killed(signal as u8),
    }
}

/// Sends a signal to a process.
pub(crate) fn send(pid: Pid, signal: u8) -> Result<(), Errno> {
    // SAFETY: no pointer is passed.
    unsafe { call(number::KILL, [pid.as_argument(), signal.into(), 0, 0, 0, 0]) }.map(|_| ())
}

/// Sends a signal to the process that the descriptor of [`Pid::open`] stands for; 0 only asks
/// whether that is allowed.
pub(crate) fn send_to(process: &Fd, signal: u8) -> Result<(), Errno> {
    // SAFETY: the pointer to a siginfo may be null.
    unsafe { call(PIDFD_SEND_SIGNAL, [process.as_argument(), signal.into(), 0, 0, 0, 0]) }
        .map(|_| ())
}

/// This process's number.
pub(crate) fn own_pid() -> Pid {
    // SAFETY: no pointer is passed; the call cannot fail.
    Pid(unsafe { call(number::GETPID, [0; 6]) }.unwrap_or(0) as i32)
}

/// The parent's number.
pub(crate) fn parent_pid() -> Pid {
    // SAFETY: no pointer is passed; the call cannot fail.
    Pid(unsafe { call(number::GETPPID, [0; 6]) }.unwrap_or(0) as i32)
}

/// Asks for SIGKILL when the parent ends.
pub(crate) fn die_with_parent() -> Result<(), Errno> {
    // SAFETY: no pointer is passed.
    unsafe { call(number::PRCTL, [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0]) }.map(|_| ())
}

/// Forgoes a core dump, for one who is about to die of the signal that has dumped its child.
pub(crate) fn forgo_core_dump() {
    // SAFETY: no pointer is passed. Refused, there is one core dump more.
    let _ = unsafe { call(number::PRCTL, [PR_SET_DUMPABLE, 0, 0, 0, 0, 0]) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_read_as_wait_2_has_them() {
        assert_eq!(decode(0x0300), Change::Exited(3));
        assert_eq!(decode(0x000f), Change::Killed(15));
        assert_eq!(decode(0x008b), Change::Killed(11));
        assert_eq!(decode(0x137f), Change::Stopped(19));
        assert_eq!(decode(0xffff), Change::Continued);
        assert_eq!(decode(0x4_057f), Change::Executed);
    }
}
