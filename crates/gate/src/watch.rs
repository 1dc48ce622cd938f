//! Waiting for what may happen before and after the instant.

use crate::hold::{Event, SIGHUP, SIGINT, SIGQUIT};
use crate::sys::{
    Disposition, Errno, Fd, Interest, Received, SignalFd, SignalSet, Timer, TimerWake, block_all,
    poll, set_mask,
};
use timeball_timebase::Timestamp;

const SIGTRAP: u8 = 5;
pub(crate) const SIGCHLD: u8 = 17;
const SIGTERM: u8 = 15;

/// What we were started with, and the command is to be started with.
pub(crate) struct Inherited {
    /// The signal mask.
    pub(crate) mask: SignalSet,
    /// What was to happen when a child ends.
    pub(crate) on_child: Disposition,
    ignored: SignalSet,
}

impl Inherited {
    /// Notes mask and dispositions, and blocks all signals: from here on they are read.
    ///
    /// No handler is ever installed, so nothing else has to be put back.
    pub(crate) fn take() -> Result<Self, Errno> {
        let mask = block_all()?;
        let mut ignored = 0;
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTRAP, SIGTERM] {
            ignored |= u64::from(Disposition::of(signal)?.is_ignored()) << (signal - 1);
        }
        Ok(Self { mask, on_child: Disposition::of(SIGCHLD)?, ignored })
    }

    /// Whether the signal was to be ignored.
    pub(crate) fn ignores(&self, signal: u8) -> bool {
        self.ignored >> (signal - 1) & 1 == 1
    }

    /// Whether a breakpoint would change a disposition: the kernel puts SIGTRAP back to its default
    /// when it is ignored, and nothing can put it back for another process.
    pub(crate) fn forbids_breakpoints(&self) -> bool {
        self.ignores(SIGTRAP)
    }

    /// Puts back what we changed, before this process becomes the command.
    pub(crate) fn restore(&self) -> Result<(), Errno> {
        self.on_child.set(SIGCHLD)?;
        set_mask(self.mask)
    }
}

/// A timer and the signals.
pub(crate) struct Watch {
    timer: Timer,
    signals: SignalFd,
}

/// What woke us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wake {
    /// An event for the hold.
    Event(Event),
    /// A child has changed its state.
    Child,
    /// The other descriptor is readable, or its other end was closed.
    Other,
}

impl Watch {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self { timer: Timer::new()?, signals: SignalFd::new()? })
    }

    pub(crate) fn arm(&self, at: Timestamp) -> Result<(), Errno> {
        self.timer.arm(at)
    }

    /// Waits for the next thing. Signals come first: a revocation that has reached us wins over an
    /// instant that has come in the same moment.
    pub(crate) fn next(&self, inherited: &Inherited, other: Option<&Fd>) -> Result<Wake, Errno> {
        loop {
            let mut interests = [
                Interest::readable(self.signals.fd()),
                Interest::readable(self.timer.fd()),
                other.map_or_else(Interest::none, Interest::readable),
            ];
            poll(&mut interests, false)?;
            let [signals, timer, other] = &interests;
            if signals.is_ready()
                && let Some(received) = self.signals.take()
            {
                return Ok(wake_by(received, inherited));
            }
            if timer.is_ready() && self.timer.take() != TimerWake::Nothing {
                return Ok(Wake::Event(Event::Timer));
            }
            if other.is_ready() || other.is_closed() {
                return Ok(Wake::Other);
            }
        }
    }
}

fn wake_by(received: Received, inherited: &Inherited) -> Wake {
    if received.number == SIGCHLD {
        return Wake::Child;
    }
    let ignored = inherited.ignores(received.number);
    Wake::Event(Event::Signal { received, ignored })
}
