//! The system clock, and a timer on it.

use super::arch::number;
use super::file::Fd;
use super::{Errno, call};
use core::mem::size_of;
use timeball_timebase::{MonoTime, Timestamp};

const CLOCK_REALTIME: usize = 0;
const CLOCK_MONOTONIC_COARSE: usize = 6;
const TFD_CLOEXEC_NONBLOCK: usize = 0o2_004_000;
const TFD_TIMER_ABSTIME: usize = 1;
const TFD_TIMER_CANCEL_ON_SET: usize = 2;
/// How often arming is tried again when the clock is set in that very moment.
const ARM_ATTEMPTS_MAX: usize = 8;

#[repr(C)]
#[derive(Default)]
struct Timespec {
    seconds: i64,
    nanos: i64,
}

/// Reads the system clock (`CLOCK_REALTIME`).
pub(crate) fn realtime() -> Timestamp {
    let mut now = Timespec::default();
    // SAFETY: the kernel writes one timespec to a place that holds one.
    let result =
        unsafe { call(number::CLOCK_GETTIME, [CLOCK_REALTIME, &raw mut now as usize, 0, 0, 0, 0]) };
    result.expect("every Linux has CLOCK_REALTIME");
    Timestamp::from_unix(now.seconds, now.nanos)
}

/// Reads `CLOCK_MONOTONIC_COARSE`, which shared segments are dated by.
pub(crate) fn coarse_monotonic() -> MonoTime {
    let mut now = Timespec::default();
    let arguments = [CLOCK_MONOTONIC_COARSE, &raw mut now as usize, 0, 0, 0, 0];
    // SAFETY: the kernel writes one timespec to a place that holds one.
    let result = unsafe { call(number::CLOCK_GETTIME, arguments) };
    result.expect("every Linux has CLOCK_MONOTONIC_COARSE");
    MonoTime::from_nanos(now.seconds.saturating_mul(1_000_000_000).saturating_add(now.nanos))
}

/// A timer on the system clock: absolute, without slack (a timerfd has none, unlike a sleeping
/// thread), cancelled when somebody sets the clock.
pub(crate) struct Timer(Fd);

/// Why a timer became readable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TimerWake {
    /// The clock reads the instant, or later.
    Due,
    /// The clock was set: the timer has to be armed anew.
    ClockSet,
    /// Neither: it was another descriptor that woke us.
    Nothing,
}

impl Timer {
    pub(crate) fn new() -> Result<Self, Errno> {
        // SAFETY: no pointer is passed.
        let fd = unsafe {
            call(number::TIMERFD_CREATE, [CLOCK_REALTIME, TFD_CLOEXEC_NONBLOCK, 0, 0, 0, 0])?
        };
        Ok(Self(Fd::from_call(fd)))
    }

    /// Sets the timer to become readable at `at`.
    pub(crate) fn arm(&self, at: Timestamp) -> Result<(), Errno> {
        // An interval of zero (fires once), then the instant. All zeros would disarm.
        let nanos = i64::from(at.subsec_nanos()).max(i64::from(at == Timestamp::UNIX_EPOCH));
        let setting = [Timespec::default(), Timespec { seconds: at.unix_seconds().max(0), nanos }];
        let flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
        let mut result = Ok(0);
        for _ in 0..ARM_ATTEMPTS_MAX {
            let arguments = [self.0.as_argument(), flags, setting.as_ptr() as usize, 0, 0, 0];
            // SAFETY: the kernel reads one itimerspec, which is two timespecs.
            result = unsafe { call(number::TIMERFD_SETTIME, arguments) };
            if result != Err(Errno::ECANCELED) {
                break;
            }
        }
        result.map(|_| ())
    }

    /// Asks why the timer is readable.
    pub(crate) fn take(&self) -> TimerWake {
        let mut expirations = [0_u8; size_of::<u64>()];
        match self.0.read(&mut expirations) {
            Ok(_) => TimerWake::Due,
            Err(Errno::ECANCELED) => TimerWake::ClockSet,
            Err(_) => TimerWake::Nothing,
        }
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.0
    }
}
