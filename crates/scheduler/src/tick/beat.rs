//! Which instant is ticked next: arithmetic only.

use super::Tick;
use timeball_timebase::{Span, Timestamp};

/// The most missed instants that are given one after the other.
const CATCH_UP_MAX: i64 = 1_000;

/// The instants of a period, from the next one on.
#[derive(Debug)]
pub(super) struct Beat {
    next: Timestamp,
    period: Span,
    catch_up: bool,
    sequence: u64,
}

impl Beat {
    pub(super) fn new(first: Timestamp, period: Span, catch_up: bool) -> Self {
        assert!(period > Span::ZERO, "a period is above zero");
        Self { next: first, period, catch_up, sequence: 0 }
    }

    /// The instant that is waited for.
    pub(super) fn next(&self) -> Timestamp {
        self.next
    }

    /// The tick that is due at `now`, if one is.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Tick> {
        if now < self.next {
            return None;
        }
        let missed = (now - self.next).as_nanos() / self.period.as_nanos();
        let skipped = if self.catch_up { (missed - CATCH_UP_MAX).max(0) } else { missed };
        self.sequence += skipped.unsigned_abs();
        let scheduled = self.next + self.period * skipped;
        let skipped = skipped.unsigned_abs();
        let tick = Tick { sequence: self.sequence, scheduled, real: now, skipped };
        self.sequence += 1;
        self.next = scheduled + self.period;
        Some(tick)
    }

    /// The clock was set: nothing was missed, and nothing is waited for that lies far ahead.
    pub(super) fn clock_set(&mut self, now: Timestamp) {
        let period = self.period.as_nanos();
        let past = (now - self.next).as_nanos().rem_euclid(period);
        self.next = now + Span::from_nanos(period - past);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Timestamp = Timestamp::from_unix(1_795_000_000, 3_000_000);
    const PERIOD: Span = Span::from_millis(10);

    fn after(millis: i64) -> Timestamp {
        FIRST + Span::from_millis(millis)
    }

    #[test]
    fn ticks_come_at_their_instants_and_never_before() {
        let mut beat = Beat::new(FIRST, PERIOD, false);
        assert_eq!(beat.take(FIRST - Span::NANOSECOND), None);
        let tick = |sequence, scheduled, real| Tick { sequence, scheduled, real, skipped: 0 };
        assert_eq!(beat.take(after(1)), Some(tick(0, FIRST, after(1))));
        assert_eq!((beat.take(after(9)), beat.next()), (None, after(10)));
        assert_eq!(beat.take(after(10)), Some(tick(1, after(10), after(10))));
    }

    #[test]
    fn a_stall_is_one_tick_with_a_gap_in_the_sequence() {
        let mut beat = Beat::new(FIRST, PERIOD, false);
        let late = Tick { sequence: 7, scheduled: after(70), real: after(79), skipped: 7 };
        assert_eq!(beat.take(after(79)), Some(late));
        assert_eq!(beat.take(after(79)), None);
        assert_eq!(beat.take(after(80)).map(|tick| (tick.sequence, tick.skipped)), Some((8, 0)));
    }

    #[test]
    fn a_stall_is_caught_up_where_that_was_asked_for_and_never_without_end() {
        let mut beat = Beat::new(FIRST, PERIOD, true);
        let given: Vec<_> = std::iter::from_fn(|| beat.take(after(35))).collect();
        let sequences: Vec<_> = given.iter().map(|tick| tick.sequence).collect();
        assert_eq!(sequences, [0, 1, 2, 3]);
        let given: Vec<_> = std::iter::from_fn(|| beat.take(after(86_400_000))).collect();
        assert_eq!(given.len(), 1_001);
        assert_eq!(given[0].sequence, 4 + given[0].skipped);
        assert_eq!(given[1_000].scheduled, after(86_400_000));
    }

    #[test]
    fn a_clock_that_is_set_neither_stalls_nor_skips() {
        for shift in [-86_400_000, -5, 5, 86_400_000] {
            let mut beat = Beat::new(FIRST, PERIOD, false);
            assert!(beat.take(FIRST).is_some());
            let now = after(shift) + Span::from_micros(300);
            beat.clock_set(now);
            let wait = beat.next() - now;
            assert!(wait > Span::ZERO && wait <= PERIOD, "{shift}");
            let tick = beat.take(beat.next()).unwrap();
            assert_eq!((tick.sequence, tick.skipped), (1, 0));
            assert_eq!((tick.scheduled - FIRST).as_nanos() % PERIOD.as_nanos(), 0);
        }
    }
}
