//! Waiting by a loop that must not end: what the kernel refuses is told and tried again.

use std::io;
use std::thread;
use std::time::Duration;

use timeball_runtime::read_clocks;
use timeball_timebase::{MonoTime, Span};

use crate::sys;

/// After a failure nothing is tried for so long, as `poll` does not wait then.
const PAUSE: Duration = Duration::from_secs(1);
/// Failures are told this often.
const TELL_INTERVAL: Span = Span::from_minutes(1);

/// Waits, however often `poll` fails: a machine that is short of memory for a moment has it again
/// later, and a clock that nobody looks after any more is worse than one that is looked after late.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    told_at: Option<MonoTime>,
}

impl Patience {
    /// Waits as [`sys::poll`] does; a failure takes a second. Returns whether `fds` tell anything.
    pub(crate) fn poll(&mut self, fds: &mut [libc::pollfd], timeout_ms: i32) -> bool {
        self.bear(sys::poll(fds, timeout_ms))
    }

    fn bear(&mut self, result: io::Result<bool>) -> bool {
        result.unwrap_or_else(|error| {
            self.rest(&error);
            false
        })
    }

    /// Tells what the system refuses, and pauses before it is asked again.
    pub(crate) fn rest(&mut self, error: &io::Error) {
        self.tell(read_clocks().raw, error);
        thread::sleep(PAUSE);
    }

    /// Tells of a failure, unless it has been told a short time ago; returns whether it did.
    fn tell(&mut self, now: MonoTime, error: &io::Error) -> bool {
        let is_due = self.told_at.is_none_or(|at| now - at >= TELL_INTERVAL);
        if is_due {
            self.told_at = Some(now);
            tracing::error!(%error, "the system refuses what is waited for; it is asked again");
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::time::Instant;

    #[test]
    fn what_poll_refuses_is_told_and_tried_again() {
        let mut patience = Patience::default();
        let begun = Instant::now();
        assert!(!patience.bear(Err(io::Error::from_raw_os_error(libc::ENOMEM))));
        assert!(begun.elapsed() >= PAUSE, "never as a busy loop");
        assert!(patience.told_at.is_some());
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let mut fds = [sys::interest(reader.as_raw_fd(), libc::POLLIN)];
        assert!(patience.poll(&mut fds, -1), "and it goes on");
        assert_ne!(fds[0].revents, 0);
    }

    #[test]
    fn failures_in_a_row_are_told_once_a_minute() {
        let mut patience = Patience::default();
        let error = io::Error::from_raw_os_error(libc::ENOMEM);
        let told = (0..180)
            .filter(|second| patience.tell(MonoTime::ZERO + Span::from_secs(*second), &error));
        assert_eq!(told.count(), 3);
    }
}
