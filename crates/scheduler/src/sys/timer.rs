//! timerfd, eventfd, poll and the timer slack.

use super::check;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use timeball_timebase::Timestamp;

/// An absolute alarm of the system clock (`CLOCK_REALTIME`) that also tells when the clock is set.
#[derive(Debug)]
pub(crate) struct Alarm(OwnedFd);

/// What an [`Alarm`] says when it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wake {
    /// Its instant has come.
    Due,
    /// The system clock was set (`ECANCELED`), so the alarm has to be set anew.
    ClockSet,
    /// Neither.
    Nothing,
}

impl Alarm {
    /// Makes an alarm that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, flags) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sets the alarm for `at`; one that has passed is due at once. Replaces the earlier setting.
    /// Says `ClockSet` where the clock was set since the last call, else `Nothing`.
    pub(crate) fn set(&self, at: Timestamp) -> io::Result<Wake> {
        // All zero would disarm it, and an instant before 1970 would be refused.
        let at = at.max(Timestamp::from_unix_nanos(1));
        let setting = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: at.unix_seconds(),
                tv_nsec: libc::c_long::from(at.subsec_nanos()),
            },
        };
        let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        // SAFETY: `setting` lives through the call, and no old value is asked for.
        let result = unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), flags, &raw const setting, ptr::null_mut())
        };
        match check(result) {
            Ok(_) => Ok(Wake::Nothing),
            // The setting was taken all the same.
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(Wake::ClockSet),
            Err(error) => Err(error),
        }
    }

    /// Asks what has happened; never waits.
    pub(crate) fn read(&self) -> io::Result<Wake> {
        match read_count(self.0.as_raw_fd()) {
            Ok(()) => Ok(Wake::Due),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(Wake::Nothing),
                Some(libc::ECANCELED) => Ok(Wake::ClockSet),
                _ => Err(error),
            },
        }
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A flag that one thread raises and another one polls for (`eventfd`).
#[derive(Debug)]
pub(crate) struct Poked(OwnedFd);

impl Poked {
    /// Makes a flag that is not raised.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Raises the flag.
    pub(crate) fn poke(&self) {
        let one = 1_u64;
        // SAFETY: writes eight octets of a local. It fails only where the count is full, and then
        // the flag is raised already.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Lowers the flag.
    pub(crate) fn clear(&self) {
        // Nothing to read means that it was not raised.
        let _ = read_count(self.0.as_raw_fd());
    }
}

impl AsRawFd for Poked {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn read_count(fd: RawFd) -> io::Result<()> {
    let mut count = 0_u64;
    // SAFETY: reads eight octets into a local of eight octets.
    let read = unsafe { libc::read(fd, (&raw mut count).cast(), size_of::<u64>()) };
    if read < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits until one of `fds` can be read or has an error, at most `timeout_ms` (negative: for ever).
///
/// A negative descriptor is left out. Returns which are ready; none where a signal interrupted.
pub(crate) fn poll_readable<const N: usize>(
    fds: [RawFd; N],
    timeout_ms: i32,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    // SAFETY: `polled` is an array of N that lives through the call.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, timeout_ms) };
    match check(result) {
        Ok(_) => Ok(polled.map(|fd| fd.revents != 0)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
        Err(error) => Err(error),
    }
}

/// Sets how much later than asked the kernel may wake the calling thread, in nanoseconds.
pub(crate) fn set_timer_slack(nanos: u32) {
    // SAFETY: takes numbers only. Where it fails the thread keeps its slack of 50 µs.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, libc::c_ulong::from(nanos), 0, 0, 0) };
    const { assert!(mem::size_of::<libc::c_ulong>() >= mem::size_of::<u32>()) };
}

/// Sleeps until `at` of the system clock; returns early where a signal interrupts.
pub(crate) fn sleep_until(at: Timestamp) {
    let at = libc::timespec {
        tv_sec: at.unix_seconds(),
        tv_nsec: libc::c_long::from(at.subsec_nanos()),
    };
    // SAFETY: `at` lives through the call, and no remainder is asked for.
    unsafe {
        let (clock, flags) = (libc::CLOCK_REALTIME, libc::TIMER_ABSTIME);
        libc::clock_nanosleep(clock, flags, &raw const at, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::Span;

    #[test]
    fn an_alarm_in_the_past_is_due_at_once_and_one_ahead_is_not() {
        let alarm = Alarm::new().unwrap();
        assert_eq!(alarm.read().unwrap(), Wake::Nothing);
        alarm.set(Timestamp::MIN).unwrap();
        assert_eq!(poll_readable([alarm.as_raw_fd()], 1_000).unwrap(), [true]);
        assert_eq!(alarm.read().unwrap(), Wake::Due);
        let soon = timeball_runtime::read_clocks().system + Span::from_secs(3_600);
        alarm.set(soon).unwrap();
        assert_eq!(poll_readable([alarm.as_raw_fd(), -1], 0).unwrap(), [false, false]);
        assert_eq!(alarm.read().unwrap(), Wake::Nothing);
    }

    #[test]
    fn a_poke_is_seen_until_it_is_cleared() {
        let poked = Poked::new().unwrap();
        poked.poke();
        poked.poke();
        assert_eq!(poll_readable([poked.as_raw_fd()], 0).unwrap(), [true]);
        poked.clear();
        assert_eq!(poll_readable([poked.as_raw_fd()], 0).unwrap(), [false]);
    }
}
