//! Ticks for a program that runs: one at each multiple of a period, never a burst after a stall.

mod beat;
mod receiver;

pub use receiver::{Delivery, TickReceiver};

use crate::sys::{Alarm, Wake, set_timer_slack};
use beat::Beat;
use std::io;
use timeball_runtime::read_clocks;
use timeball_timebase::{Span, Timestamp};

/// One tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tick {
    /// Counts the instants from the first one, which is 0; a gap is a stall.
    pub sequence: u64,
    /// The instant, a multiple of the period.
    pub scheduled: Timestamp,
    /// What the system clock read when the tick was given; never before `scheduled`.
    pub real: Timestamp,
    /// How many instants right before this one were left out.
    pub skipped: u64,
}

/// Waits for one tick after the other.
#[derive(Debug)]
pub struct Ticker {
    beat: Beat,
    alarm: Alarm,
}

impl Ticker {
    /// Ticks at `first` and every `period` (above zero) after it. With `catch_up`, instants that a
    /// stall has missed are given one after the other, at most 1,000 of them; without, only the
    /// latest is. Sets the calling thread's timer slack to 1 ns.
    ///
    /// # Errors
    /// Where the process has no descriptor left.
    pub fn start(first: Timestamp, period: Span, catch_up: bool) -> io::Result<Self> {
        set_timer_slack(1);
        Ok(Self { beat: Beat::new(first, period, catch_up), alarm: Alarm::new()? })
    }

    /// Waits for the next tick. A clock that is set goes on with the next instant of the new time.
    ///
    /// # Errors
    /// Where the kernel refuses to wait.
    pub fn wait(&mut self) -> io::Result<Tick> {
        loop {
            if let Some(tick) = self.beat.take(read_clocks().system) {
                return Ok(tick);
            }
            if self.alarm.sleep_until(self.beat.next())? == Wake::ClockSet {
                self.beat.clock_set(read_clocks().system);
            }
        }
    }
}
