//! Whether somebody has set the system clock.
//!
//! The firing thread's timer tells of it too, but whatever else happens may be heard first; and
//! then instants would be judged by the new time as if nobody had been there to fire them.

use timeball_timebase::{Now, Span};

/// Less is taken for the time that a thread was not running between the readings of both clocks.
const JUMP_MIN: Span = Span::from_millis(100);
/// The kernel slews a clock by up to a tenth of the time, and half a thousandth.
const SLEW_SHARE: i64 = 8;

/// Compares each reading of the clocks with the one before.
#[derive(Debug)]
pub(super) struct ClockWatch(Now);

impl ClockWatch {
    /// Begins with a reading.
    pub(super) fn new(now: Now) -> Self {
        Self(now)
    }

    /// Whether the system clock was set, by 0.1 s or more, since the reading before. (It seems so
    /// after a suspend as well, in which the raw clock stands still.)
    pub(super) fn was_set(&mut self, now: Now) -> bool {
        let before = std::mem::replace(&mut self.0, now);
        let elapsed = now.raw - before.raw;
        let jump = now.system - before.system - elapsed;
        jump.abs() > JUMP_MIN + elapsed / SLEW_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::{MonoTime, Timestamp};

    const START: Now = Now { raw: MonoTime::ZERO, system: Timestamp::from_unix(1_795_000_000, 0) };

    fn later(raw_ms: i64, system_ms: i64) -> Now {
        let (raw, system) = (Span::from_millis(raw_ms), Span::from_millis(system_ms));
        Now { raw: START.raw + raw, system: START.system + system }
    }

    #[test]
    fn a_clock_that_is_set_is_seen_once_and_one_that_is_slewed_is_not() {
        let mut watch = ClockWatch::new(START);
        assert!(!watch.was_set(later(1_000, 1_100)), "a tenth faster");
        assert!(!watch.was_set(later(2_000, 2_000)), "a tenth slower");
        assert!(watch.was_set(later(2_000, 3_602_000)), "an hour forward");
        assert!(!watch.was_set(later(3_000, 3_603_000)));
        assert!(watch.was_set(later(3_001, 3_601_001)), "two seconds back");
        assert!(!watch.was_set(later(4_001, 3_602_001)));
    }
}
