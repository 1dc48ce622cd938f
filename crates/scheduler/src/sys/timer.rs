//! timerfd, eventfd, poll and the timer slack.

use super::check;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use timeball_timebase::Timestamp;

/// A sleep until an instant of the system clock (`CLOCK_REALTIME`), which another thread can end
/// and which tells when the clock is set.
///
/// The sleeper reads a timerfd that blocks: one system call less after the wake-up than with `poll`
/// of a timer and an eventfd. Whoever ends the sleep sets the same timer to an instant that has
/// passed. Who does not sleep asks a second one, which does not block and is never due.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: OwnedFd,
    watch: OwnedFd,
    /// The next sleep is to end, or not to begin.
    poked: AtomicBool,
    /// The clock was set, and the kernel has said so to a thread that poked.
    clock_set: AtomicBool,
}

/// What ended a sleep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wake {
    /// The instant has come, or somebody poked.
    Due,
    /// The system clock was set (`ECANCELED`).
    ClockSet,
    /// Neither; a signal, maybe.
    Nothing,
}

impl Alarm {
    /// Makes an alarm that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        let (timer, watch) = (new_timer(0)?, new_timer(libc::TFD_NONBLOCK)?);
        set_timer(&watch, NEVER)?;
        Ok(Self { timer, watch, poked: AtomicBool::new(false), clock_set: AtomicBool::new(false) })
    }

    /// Sleeps until `at`, until somebody pokes, or until the clock is set; an instant that has
    /// passed, a poke and a setting since the last call end it at once.
    pub(crate) fn sleep_until(&self, at: Timestamp) -> io::Result<Wake> {
        let mut wake = set_timer(&self.timer, at)?;
        // Who pokes raises the flag before he sets the timer: whichever of us set it last, either
        // the flag is seen here or the timer is his.
        if wake == Wake::Nothing && !self.poked.load(Ordering::SeqCst) {
            wake = read_timer(&self.timer)?;
        }
        // What he had to say was said before the flag was raised, so it is found after this.
        self.poked.store(false, Ordering::SeqCst);
        if self.clock_set.swap(false, Ordering::SeqCst) {
            wake = Wake::ClockSet;
        }
        if wake == Wake::ClockSet {
            // Told once is enough.
            read_timer(&self.watch)?;
        }
        Ok(wake)
    }

    /// Whether the clock was set since the last call; never waits.
    pub(crate) fn ask(&self) -> io::Result<Wake> {
        let wake = read_timer(&self.watch)?;
        if wake == Wake::ClockSet {
            // Told once is enough; the next sleep sets the timer anew.
            set_timer(&self.timer, NEVER)?;
            self.clock_set.store(false, Ordering::SeqCst);
        }
        Ok(wake)
    }

    /// Ends the sleep of now, or the next one before it begins. For other threads.
    pub(crate) fn poke(&self) {
        if self.poked.swap(true, Ordering::SeqCst) {
            return;
        }
        // Nothing else can fail with an instant that is valid.
        if matches!(set_timer(&self.timer, Timestamp::MIN), Ok(Wake::ClockSet)) {
            self.clock_set.store(true, Ordering::SeqCst);
        }
    }
}

/// An instant that does not come.
const NEVER: Timestamp = Timestamp::from_unix(1 << 32, 0);

/// A timerfd of the system clock that is not set.
fn new_timer(flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd =
        check(unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_CLOEXEC | flags) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets a timer; an instant that has passed is due at once. Replaces the earlier setting.
/// Says `ClockSet` where the clock was set since the last call for this timer, else `Nothing`.
fn set_timer(timer: &OwnedFd, at: Timestamp) -> io::Result<Wake> {
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
        libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const setting, ptr::null_mut())
    };
    match check(result) {
        Ok(_) => Ok(Wake::Nothing),
        // The setting was taken all the same.
        Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(Wake::ClockSet),
        Err(error) => Err(error),
    }
}

/// What a timer says; waits for it, if it blocks.
fn read_timer(timer: &OwnedFd) -> io::Result<Wake> {
    let mut count = 0_u64;
    // SAFETY: reads eight octets into a local of eight octets.
    let read = unsafe { libc::read(timer.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    if read >= 0 {
        return Ok(Wake::Due);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Ok(Wake::Nothing),
        Some(libc::ECANCELED) => Ok(Wake::ClockSet),
        _ => Err(error),
    }
}

/// A flag that is raised once and for all, for which others poll (`eventfd`).
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
}

impl AsRawFd for Poked {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
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
    use std::sync::atomic::AtomicU32;
    use timeball_timebase::Span;

    fn in_an_hour() -> Timestamp {
        timeball_runtime::read_clocks().system + Span::from_secs(3_600)
    }

    #[test]
    fn a_sleep_until_the_past_ends_at_once_and_an_alarm_that_is_not_due_says_nothing() {
        let alarm = Alarm::new().unwrap();
        assert_eq!(alarm.ask().unwrap(), Wake::Nothing);
        assert_eq!(alarm.sleep_until(Timestamp::MIN).unwrap(), Wake::Due);
        assert_eq!(alarm.ask().unwrap(), Wake::Nothing);
        let soon = timeball_runtime::read_clocks().system + Span::from_millis(2);
        assert_eq!(alarm.sleep_until(soon).unwrap(), Wake::Due);
        assert!(timeball_runtime::read_clocks().system >= soon);
    }

    #[test]
    fn a_poke_before_a_sleep_ends_it_and_no_other() {
        let alarm = Alarm::new().unwrap();
        alarm.poke();
        alarm.poke();
        alarm.sleep_until(in_an_hour()).unwrap();
        assert!(!alarm.poked.load(Ordering::SeqCst));
        assert_eq!(alarm.ask().unwrap(), Wake::Nothing);
    }

    #[test]
    fn no_poke_of_many_at_any_moment_is_lost() {
        let (alarm, said, heard) = (Alarm::new().unwrap(), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=20_000 {
                    said.store(n, Ordering::SeqCst);
                    alarm.poke();
                    // Half of them wait for the sleeper, so that it is met asleep, too.
                    while n % 2 == 0 && heard.load(Ordering::SeqCst) < n {
                        std::thread::yield_now();
                    }
                }
            });
            while heard.load(Ordering::SeqCst) < 20_000 {
                alarm.sleep_until(in_an_hour()).unwrap();
                heard.store(said.load(Ordering::SeqCst), Ordering::SeqCst);
            }
        });
    }

    #[test]
    fn a_raised_flag_stays_raised() {
        let poked = Poked::new().unwrap();
        assert_eq!(poll_readable([poked.as_raw_fd(), -1], 0).unwrap(), [false, false]);
        poked.poke();
        poked.poke();
        assert_eq!(poll_readable([poked.as_raw_fd(), -1], 0).unwrap(), [true, false]);
        assert_eq!(poll_readable([poked.as_raw_fd(), -1], 0).unwrap(), [true, false]);
    }
}
