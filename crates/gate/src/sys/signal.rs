//! Signals: the mask, what is to happen on one, and taking them from a descriptor.

use super::arch::number;
use super::file::Fd;
use super::{Errno, call};

/// Octets of the kernel's `sigset_t`.
const SET_SIZE: usize = 8;
const SIG_SETMASK: usize = 2;
const SFD_CLOEXEC_NONBLOCK: usize = 0o2_004_000;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
const SA_NOCLDSTOP: usize = 1;

/// A set of signals, one bit each: signal n is bit n - 1.
pub(crate) type SignalSet = u64;

/// Blocks every signal that can be blocked; returns the mask that was in force.
pub(crate) fn block_all() -> Result<SignalSet, Errno> {
    change_mask(SignalSet::MAX)
}

/// Sets the mask.
pub(crate) fn set_mask(mask: SignalSet) -> Result<(), Errno> {
    change_mask(mask).map(|_| ())
}

fn change_mask(mask: SignalSet) -> Result<SignalSet, Errno> {
    let mut before: SignalSet = 0;
    let arguments =
        [SIG_SETMASK, &raw const mask as usize, &raw mut before as usize, SET_SIZE, 0, 0];
    // SAFETY: the kernel reads one set and writes one, each at a place that holds one.
    unsafe { call(number::RT_SIGPROCMASK, arguments)? };
    Ok(before)
}

/// What happens on a signal, as the kernel has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disposition {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

impl Disposition {
    /// The default of each signal.
    pub(crate) fn standard() -> Self {
        Self { handler: SIG_DFL, ..Self::default() }
    }

    /// That of SIGCHLD by which only ends of children are told, and no stops.
    pub(crate) fn ends_only() -> Self {
        Self { flags: SA_NOCLDSTOP, ..Self::standard() }
    }

    /// The one in force.
    pub(crate) fn of(signal: u8) -> Result<Self, Errno> {
        let mut current = Self::default();
        let place = &raw mut current as usize;
        // SAFETY: the kernel writes one action to a place that holds one, and reads none.
        unsafe { call(number::RT_SIGACTION, [signal.into(), 0, place, SET_SIZE, 0, 0])? };
        Ok(current)
    }

    /// Puts it in force.
    pub(crate) fn set(&self, signal: u8) -> Result<(), Errno> {
        let place = &raw const *self as usize;
        // SAFETY: the kernel reads one action. It is the default or one that was in force before,
        // so no handler is installed that was not there.
        unsafe { call(number::RT_SIGACTION, [signal.into(), place, 0, SET_SIZE, 0, 0]) }.map(|_| ())
    }

    /// Whether the signal is ignored.
    pub(crate) fn is_ignored(&self) -> bool {
        self.handler == SIG_IGN
    }
}

/// A signal that was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Received {
    /// Its number.
    pub(crate) number: u8,
    /// Whether the kernel sent it (a terminal's key, a child's end) and not a process.
    pub(crate) from_kernel: bool,
}

/// A descriptor from which blocked signals are read.
pub(crate) struct SignalFd(Fd);

impl SignalFd {
    /// Takes every signal that is blocked.
    pub(crate) fn new() -> Result<Self, Errno> {
        let all = SignalSet::MAX;
        let arguments = [usize::MAX, &raw const all as usize, SET_SIZE, SFD_CLOEXEC_NONBLOCK, 0, 0];
        // SAFETY: the kernel reads one set.
        unsafe { call(number::SIGNALFD4, arguments) }.map(|fd| Self(Fd::from_call(fd)))
    }

    /// The next signal that is pending.
    pub(crate) fn take(&self) -> Option<Received> {
        // struct signalfd_siginfo: ssi_signo at 0, ssi_code at 8.
        let mut info = [0_u8; 128];
        self.0.read(&mut info).ok()?;
        let code = i32::from_ne_bytes([info[8], info[9], info[10], info[11]]);
        let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
        Some(Received { number: u8::try_from(number).ok()?, from_kernel: code > 0 })
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.0
    }
}
