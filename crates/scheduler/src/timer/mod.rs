//! The firing thread: it waits for the next armed fire and releases it, and does nothing else.
//!
//! It sleeps on an absolute timerfd of the system clock, so that a clock that is set wakes it, with
//! a timer slack of 1 ns. Whatever could take time (encoding, connecting, writing to disk) has
//! happened before a fire is armed; a release only hands over to a thread that is ready. Which
//! clock decides is a matter of [`lanes`].

mod clock;
mod lanes;
mod realtime;
mod thread;

pub(crate) use clock::{FollowedClock, JUMP_MIN, is_jump};
pub(crate) use lanes::{times, times_now};
pub use realtime::RealTimeError;

use crate::sys::Alarm;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use timeball_schedule::planner::ArmedFire;
use timeball_schedule::{FireId, Outcome};
use timeball_timebase::Span;

/// What is done at the instant of a fire, on the firing thread: hands over, never blocks.
pub(crate) type Release = Box<dyn FnOnce() + Send>;

/// What the firing thread has to tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TimerEvent {
    /// A fire was released.
    Released {
        /// Which.
        fire: FireId,
        /// Actual release less `release_at`, by the clock that the schedule follows.
        lateness: Span,
        /// The clock's bound at the release.
        clock_bound: Option<Span>,
        /// Whether that exceeded the schedule's limit.
        clock_exceeded: bool,
    },
    /// A fire ended without a release.
    Unreleased {
        /// Which.
        fire: FireId,
        /// Why.
        outcome: Outcome,
    },
    /// The system clock was set. Nothing is released until [`Timer::resume`].
    ClockSet,
}

/// How the firing thread works.
pub(crate) struct TimerOptions {
    /// The machine's clock.
    pub(crate) clock: Arc<FollowedClock>,
    /// How long before a fire the thread stops sleeping and watches the clock; zero for not at all.
    pub(crate) spin: Span,
    /// The priority (1 to 99) that the thread has in the class SCHED_FIFO, with memory that is
    /// locked; `None`: the usual class.
    pub(crate) real_time: Option<u8>,
    /// Takes what the thread has to tell; must not block.
    pub(crate) tell: Box<dyn FnMut(TimerEvent) + Send>,
}

/// A handle to the firing thread, which ends when this is dropped; what is armed then is revoked.
pub(crate) struct Timer {
    commands: Sender<Command>,
    alarm: Arc<Alarm>,
    thread: Option<JoinHandle<()>>,
    refused: Vec<RealTimeError>,
}

enum Command {
    Arm(ArmedFire, Release),
    Revoke(FireId),
    Resume,
    Stop,
}

impl Timer {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the process has no descriptor or thread left.
    pub(crate) fn start(options: TimerOptions) -> io::Result<Self> {
        let alarm = Arc::new(Alarm::new()?);
        // Unbounded, but the planner bounds it: it arms no more than it has claimed ahead.
        let (commands, received) = mpsc::channel();
        let real_time = options.real_time;
        let firing = thread::Firing::new(options, received, Arc::clone(&alarm));
        let (prepared, refused) = mpsc::channel();
        let run = move || {
            // Whoever starts us waits for it.
            let _ = prepared.send(realtime::prepare(real_time));
            firing.run();
        };
        let thread = std::thread::Builder::new().name("firing".to_owned()).spawn(run)?;
        let refused = refused.recv().unwrap_or_default();
        Ok(Self { commands, alarm, thread: Some(thread), refused })
    }

    /// What of real time was asked for and is not to be had.
    pub(crate) fn take_refused(&mut self) -> Vec<RealTimeError> {
        std::mem::take(&mut self.refused)
    }

    /// Has `release` called at the fire's instant. A fire that is armed already is replaced.
    pub(crate) fn arm(&self, fire: ArmedFire, release: Release) {
        self.send(Command::Arm(fire, release));
    }

    /// Takes a fire back, unless it is already released: it is then told of as `Skipped(Revoked)`.
    pub(crate) fn revoke(&self, fire: FireId) {
        self.send(Command::Revoke(fire));
    }

    /// Lets releases go on after [`TimerEvent::ClockSet`]; what the new time made undue has been
    /// revoked by then.
    pub(crate) fn resume(&self) {
        self.send(Command::Resume);
    }

    fn send(&self, command: Command) {
        // The thread ends only after `Stop`, which is the last command of all.
        if self.commands.send(command).is_ok() {
            self.alarm.poke();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.send(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the firing thread panicked");
        }
    }
}

#[cfg(test)]
mod tests;
