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
pub(crate) struct Alarm<T = TimerFd> {
    timer: T,
    /// Has been told of a setting whenever `timer` has: the kernel tells the newest first.
    watch: T,
    /// The next sleep is to end, or not to begin.
    poked: AtomicBool,
    /// The clock was set, and the kernel has said so to a thread that poked.
    clock_set: AtomicBool,
}

/// What an [`Alarm`] asks of the kernel.
pub(crate) trait KernelTimer {
    /// Sets the timer; an instant that has passed is due at once. Replaces the earlier setting.
    /// Says `ClockSet` where the clock was set since this timer said so last, else `Nothing`.
    fn set(&self, at: Timestamp) -> io::Result<Wake>;

    /// What the timer says; waits for it, if it blocks. After `ClockSet` it is due no more.
    fn read(&self) -> io::Result<Wake>;
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
        let timer = TimerFd::new(0)?;
        // A timer is on the kernel's list from its first setting.
        timer.set(NEVER)?;
        Self::of(timer, TimerFd::new(libc::TFD_NONBLOCK)?)
    }
}

impl<T: KernelTimer> Alarm<T> {
    /// Makes an alarm of a timer that blocks and one that does not and was not set before.
    fn of(timer: T, watch: T) -> io::Result<Self> {
        watch.set(NEVER)?;
        Ok(Self { timer, watch, poked: AtomicBool::new(false), clock_set: AtomicBool::new(false) })
    }

    /// Sleeps until `at`, until somebody pokes, or until the clock is set; an instant that has
    /// passed, a poke and a setting since the last call end it at once.
    pub(crate) fn sleep_until(&self, at: Timestamp) -> io::Result<Wake> {
        let mut wake = self.timer.set(at)?;
        // Who pokes raises the flag before he sets the timer: whichever of us set it last, either
        // the flag is seen here or the timer is his.
        if wake == Wake::Nothing && !self.poked.load(Ordering::SeqCst) {
            wake = self.timer.read()?;
        }
        // What he had to say was said before the flag was raised, so it is found after this.
        let was_poked = self.poked.swap(false, Ordering::SeqCst);
        if self.clock_set.swap(false, Ordering::SeqCst) {
            wake = Wake::ClockSet;
        }
        // Told once is enough; and a poke may have swallowed what the timer had to say.
        if (wake == Wake::ClockSet || was_poked) && self.watch.read()? == Wake::ClockSet {
            wake = Wake::ClockSet;
        }
        Ok(wake)
    }

    /// Whether the clock was set since the last call; never waits.
    pub(crate) fn ask(&self) -> io::Result<Wake> {
        let wake = self.watch.read()?;
        if wake == Wake::ClockSet {
            // Told once is enough; the next sleep sets the timer anew.
            self.timer.set(NEVER)?;
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
        if matches!(self.timer.set(Timestamp::MIN), Ok(Wake::ClockSet)) {
            self.clock_set.store(true, Ordering::SeqCst);
            // The sleeper may have taken the first poke already and sleep again: it is poked with
            // what there is to say now.
            self.poked.store(true, Ordering::SeqCst);
            // Should this say `ClockSet` too, it is said already.
            let _ = self.timer.set(Timestamp::MIN);
        }
    }
}

/// A timerfd of the system clock.
#[derive(Debug)]
pub(crate) struct TimerFd(OwnedFd);

impl TimerFd {
    /// Makes one that is not set.
    fn new(flags: libc::c_int) -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | flags;
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, flags) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

impl KernelTimer for TimerFd {
    fn set(&self, at: Timestamp) -> io::Result<Wake> {
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

    fn read(&self) -> io::Result<Wake> {
        let mut count = 0_u64;
        let octets = size_of::<u64>();
        // SAFETY: reads eight octets into a local of eight octets.
        let read = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), octets) };
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
}

/// An instant that does not come.
const NEVER: Timestamp = Timestamp::from_unix(1 << 32, 0);

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
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;
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

    /// A timer of a kernel that is made up, in which it is noon, and which keeps whoever pokes
    /// waiting where a test wants that.
    #[derive(Default)]
    struct MadeUp {
        state: Mutex<State>,
        changed: Condvar,
        /// Whether who reads it waits.
        blocks: bool,
        /// What the first poke waits for before it sets the timer, and before it hears what came of
        /// that.
        poke_waits: Option<[Awaited; 2]>,
    }

    type Awaited = fn(&State) -> bool;

    #[derive(Default)]
    struct State {
        at: Option<Timestamp>,
        /// The clock was set, and nobody has been told.
        clock_set: bool,
        pokes: u32,
        sleeps: u32,
    }

    const NOON: Timestamp = Timestamp::from_unix(1_795_000_000, 0);
    const ONE: Timestamp = Timestamp::from_unix(1_795_003_600, 0);

    impl MadeUp {
        /// Changes something, and waits for what others do then.
        fn change_and_wait<V>(
            &self,
            change: impl FnOnce(&mut State) -> V,
            until: impl Fn(&State) -> bool,
        ) -> V {
            let mut state = self.state.lock().unwrap();
            let value = change(&mut state);
            self.changed.notify_all();
            let patience = Duration::from_secs(10);
            let waited = self.changed.wait_timeout_while(state, patience, |state| !until(state));
            assert!(!waited.unwrap().1.timed_out(), "it waits for ever");
            value
        }

        fn set_clock(&self) {
            self.change_and_wait(|state| state.clock_set = true, |_| true);
        }
    }

    impl KernelTimer for &MadeUp {
        fn set(&self, at: Timestamp) -> io::Result<Wake> {
            let set = |state: &mut State| {
                state.at = Some(at);
                std::mem::take(&mut state.clock_set)
            };
            let is_first_poke = at == Timestamp::MIN && self.state.lock().unwrap().pokes == 0;
            let poke_waits = self.poke_waits.filter(|_| is_first_poke);
            let was_set = if let Some([before, after]) = poke_waits {
                self.change_and_wait(|state| state.pokes += 1, before);
                self.change_and_wait(set, after)
            } else {
                self.change_and_wait(set, |_| true)
            };
            Ok(if was_set { Wake::ClockSet } else { Wake::Nothing })
        }

        fn read(&self) -> io::Result<Wake> {
            let says = |state: &State| state.clock_set || state.at.is_some_and(|due| due <= NOON);
            if self.blocks && !says(&self.state.lock().unwrap()) {
                self.change_and_wait(|state| state.sleeps += 1, says);
            }
            let read = |state: &mut State| {
                let is_due = state.at.take_if(|due| *due <= NOON).is_some();
                match std::mem::take(&mut state.clock_set) {
                    true => Wake::ClockSet,
                    false if is_due => Wake::Due,
                    false => Wake::Nothing,
                }
            };
            Ok(self.change_and_wait(read, |_| true))
        }
    }

    #[test]
    fn a_setting_that_a_poke_swallows_is_known_at_once_and_told_to_the_next_sleep_as_well() {
        let told_when_asleep = [|_: &State| true, |state: &State| state.sleeps > 0];
        let (timer, watch) = (
            MadeUp { blocks: true, poke_waits: Some(told_when_asleep), ..MadeUp::default() },
            MadeUp::default(),
        );
        let alarm = Alarm::of(&timer, &watch).unwrap();
        watch.set_clock();
        timer.set_clock();
        std::thread::scope(|scope| {
            scope.spawn(|| alarm.poke());
            timer.change_and_wait(|_| (), |state| !state.clock_set);
            assert_eq!(alarm.sleep_until(ONE).unwrap(), Wake::ClockSet, "before it is believed");
            assert_eq!(alarm.sleep_until(ONE).unwrap(), Wake::ClockSet);
        });
    }

    #[test]
    fn a_poke_that_comes_late_and_swallows_a_setting_ends_the_sleep_that_has_begun_meanwhile() {
        let late = [|state: &State| state.clock_set, |state: &State| state.sleeps > 0];
        let (timer, watch) = (
            MadeUp { blocks: true, poke_waits: Some(late), ..MadeUp::default() },
            MadeUp::default(),
        );
        let alarm = Alarm::of(&timer, &watch).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| alarm.poke());
            timer.change_and_wait(|_| (), |state| state.pokes > 0);
            assert_eq!(alarm.sleep_until(NOON).unwrap(), Wake::Nothing, "poked, and due");
            watch.set_clock();
            timer.set_clock();
            timer.change_and_wait(|_| (), |state| !state.clock_set);
            assert_eq!(alarm.sleep_until(ONE).unwrap(), Wake::ClockSet);
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
