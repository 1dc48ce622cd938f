//! The system clock as seen from the raw one: how stamps convert, and who else sets it.

use std::collections::VecDeque;

use timeball_timebase::{Frequency, MonoTime, Now, Span, Timestamp};

/// Smaller jumps are no news: who sets a clock by so little might as well slew it.
const JUMP_MIN: Span = Span::from_millis(1);
/// How far the rate may be from the one we wrote before somebody else must have set the clock.
const RATE_DOUBT_OWN: Frequency = Frequency::from_ppm(1_000);
/// How fast another daemon may slew the clock that we only observe (kernel tick and frequency).
const RATE_DOUBT_FOREIGN: Frequency = Frequency::from_ppm(110_000);
/// The shortest time over which a rate is measured.
const BASELINE_MIN: Span = Span::from_secs(1);
/// Stamps older than this belong to no exchange of ours.
const STAMP_AGE_MAX: Span = Span::from_secs(8);
/// Rates that are remembered for stamps which are older than the rate now.
const FORMER_RATES_MAX: usize = 16;
/// A stamp may be this far ahead of the reading after it: two CPUs' clocks may differ a little.
const STAMP_AHEAD_MAX: Span = Span::from_micros(100);

/// Follows pairs of readings of both clocks.
#[derive(Clone, Debug)]
pub(super) struct SystemClock {
    last: Now,
    /// Where the measurement of the rate begins.
    base: Now,
    rate: Frequency,
    /// How far off a rate that was measured may be; zero where it was written.
    rate_error: Frequency,
    /// Rates of before, oldest first, each with the moment until which it was the rate.
    former: VecDeque<(Now, Frequency)>,
    /// Rate that we wrote, where we are the one who writes.
    own_rate: Option<Frequency>,
    /// Stamps from before this moment were made by a clock that was set since.
    set_at: MonoTime,
}

impl SystemClock {
    /// Begins at a pair of readings; `own_rate` is the rate written by us, `None` if we only
    /// observe.
    pub(super) fn new(now: Now, own_rate: Option<Frequency>) -> Self {
        Self {
            last: now,
            base: now,
            rate: own_rate.unwrap_or_default(),
            rate_error: Frequency::ZERO,
            former: VecDeque::new(),
            own_rate,
            set_at: MonoTime::from_nanos(i64::MIN),
        }
    }

    /// How much faster the system clock runs than the raw one.
    pub(super) fn rate(&self) -> Frequency {
        self.rate
    }

    /// How far off that may be, by what lay between the readings that it was measured by.
    pub(super) fn rate_error(&self) -> Frequency {
        self.rate_error
    }

    /// When the system clock was last set by anybody, by the raw clock; long ago if never.
    pub(super) fn set_at(&self) -> MonoTime {
        self.set_at
    }

    /// Takes a pair of readings. Returns how far the system clock was set in between by somebody
    /// else, positive when forward; `is_told`: the kernel says that it was set.
    pub(super) fn observe(&mut self, now: Now, is_told: bool) -> Option<Span> {
        let elapsed = (now.raw - self.last.raw).max(Span::ZERO);
        let moved = now.system - self.last.system;
        let jump = moved - elapsed - self.rate.over(elapsed);
        let doubt = match self.own_rate {
            None if !is_told => RATE_DOUBT_FOREIGN,
            // Else a step of milliseconds would pass for a second at another rate.
            _ => RATE_DOUBT_OWN,
        };
        // What one of the pairs was apart by looks like a jump, too.
        let least = JUMP_MIN + self.last.apart + now.apart;
        self.last = now;
        if jump.abs() > least + doubt.over(elapsed) {
            self.base = now;
            self.set_at = now.raw;
            self.former.clear();
            return Some(jump);
        }
        match self.own_rate {
            // However little it was set by, that is no rate.
            None if is_told => self.base = now,
            None => self.measure_rate(now),
            Some(_) => {}
        }
        None
    }

    /// Notes that we wrote this rate.
    pub(super) fn rate_written(&mut self, now: Now, rate: Frequency) {
        self.own_rate = Some(rate);
        self.change_rate(now, rate);
    }

    /// Notes that somebody else decides on the rate from now on.
    pub(super) fn rate_is_foreign(&mut self, now: Now) {
        self.own_rate = None;
        self.base = now;
    }

    /// Notes that we stepped the clock between the last pair of readings and this one.
    pub(super) fn stepped(&mut self, now: Now) {
        self.last = now;
        self.base = now;
        self.set_at = now.raw;
        self.former.clear();
    }

    /// The raw clock's reading at the moment of a stamp of the system clock, taken shortly before
    /// `now`; `None` where the clock was set in between or the stamp is no recent one.
    pub(super) fn raw_of(&self, now: Now, stamp: Timestamp) -> Option<MonoTime> {
        let age = now.system - stamp;
        if age > STAMP_AGE_MAX || age < -STAMP_AHEAD_MAX {
            return None;
        }
        let (mut from, mut rate) = (now, self.rate);
        for (until, former) in self.former.iter().rev() {
            if stamp >= until.system {
                break;
            }
            (from, rate) = (*until, *former);
        }
        let age = from.system - stamp;
        let raw = from.raw - (age - rate.over(age));
        (raw >= self.set_at).then_some(raw)
    }

    /// From `now` on the rate is another.
    fn change_rate(&mut self, now: Now, rate: Frequency) {
        if self.former.len() == FORMER_RATES_MAX {
            self.former.pop_front();
        }
        self.former.push_back((now, self.rate));
        self.rate = rate;
        self.rate_error = Frequency::ZERO;
        self.base = now;
    }

    fn measure_rate(&mut self, now: Now) {
        let elapsed = now.raw - self.base.raw;
        if elapsed < BASELINE_MIN {
            return;
        }
        let gained = (now.system - self.base.system) - elapsed;
        let ratio = gained.as_seconds_f64() / elapsed.as_seconds_f64();
        self.rate = Frequency::from_ratio_f64(ratio).unwrap_or_default();
        let apart = (self.base.apart + now.apart).as_seconds_f64();
        let error = Frequency::from_ratio_f64(apart / elapsed.as_seconds_f64());
        self.rate_error = error.unwrap_or_default();
        self.base = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(raw_ms: i64, system_ms: i64) -> Now {
        let system = Timestamp::from_unix(1_795_000_000, 0) + Span::from_millis(system_ms);
        Now::exact(MonoTime::ZERO + Span::from_millis(raw_ms), system)
    }

    #[test]
    fn a_foreign_step_is_noticed_and_stamps_from_before_it_are_refused() {
        let mut clock = SystemClock::new(now(0, 0), Some(Frequency::ZERO));
        assert_eq!(clock.observe(now(1_000, 1_000), false), None);
        assert_eq!(clock.observe(now(2_000, 7_000), false), Some(Span::from_secs(5)));
        assert_eq!(clock.raw_of(now(2_010, 7_010), now(0, 6_990).system), None);
        let raw = clock.raw_of(now(2_010, 7_010), now(0, 7_005).system);
        assert_eq!(raw, Some(now(2_005, 0).raw));
    }

    #[test]
    fn our_own_step_is_none() {
        let mut clock = SystemClock::new(now(0, 0), Some(Frequency::ZERO));
        clock.stepped(now(10, 5_010));
        assert_eq!(clock.observe(now(1_000, 6_000), false), None);
    }

    #[test]
    fn a_slewed_clock_is_followed() {
        let mut clock = SystemClock::new(now(0, 0), None);
        assert_eq!(clock.observe(now(10_000, 10_800), false), None);
        assert_eq!(clock.rate(), Frequency::from_ppm(80_000));
        let raw = clock.raw_of(now(10_000, 10_800), now(0, 9_720).system).unwrap();
        assert!((raw - now(9_000, 0).raw).abs() < Span::from_millis(10));
    }

    #[test]
    fn a_rate_is_as_uncertain_as_the_readings_were_apart() {
        let apart = Span::from_micros(2);
        let mut clock = SystemClock::new(Now { apart, ..now(0, 0) }, None);
        clock.observe(Now { apart: apart * 3, ..now(4_000, 4_000) }, false);
        assert_eq!(clock.rate_error(), Frequency::from_ppm(2));
        clock.rate_written(now(5_000, 5_000), Frequency::ZERO);
        assert_eq!(clock.rate_error(), Frequency::ZERO);
    }

    #[test]
    fn a_small_step_of_a_clock_that_somebody_else_keeps_is_told_from_a_slew_by_the_kernel() {
        for (is_told, expected) in [(true, Some(Span::from_millis(20))), (false, None)] {
            let mut clock = SystemClock::new(now(0, 0), None);
            assert_eq!(clock.observe(now(1_000, 1_020), is_told), expected);
            let rate = if is_told { Frequency::ZERO } else { Frequency::from_ppm(20_000) };
            assert_eq!(clock.rate(), rate);
        }
    }

    #[test]
    fn a_stamp_from_before_we_changed_the_rate_is_converted_by_the_rates_of_its_time() {
        let ppm = Frequency::from_ppm;
        let at = |ms: i64, system_ns: i64| {
            let Now { raw, system, .. } = now(ms, ms);
            Now::exact(raw, system + Span::from_nanos(system_ns))
        };
        let mut clock = SystemClock::new(at(0, 0), Some(Frequency::ZERO));
        clock.rate_written(at(1_000, 0), ppm(100));
        clock.rate_written(at(2_000, 100_000), ppm(-50));
        let last = at(3_000, 50_000);
        for (stamp, raw_ms) in
            [(at(2_500, 75_000), 2_500), (at(1_500, 50_000), 1_500), (at(500, 0), 500)]
        {
            let raw = clock.raw_of(last, stamp.system).unwrap();
            let off = (raw - now(raw_ms, 0).raw).abs();
            assert!(off < Span::from_nanos(10), "{raw_ms}: {off}");
        }
        // What was before a step is another time.
        clock.stepped(at(4_000, 9_000_000_000));
        assert_eq!(clock.raw_of(at(4_100, 9_000_000_000), at(3_500, 0).system), None);
    }

    #[test]
    fn stamps_of_another_time_are_refused() {
        let clock = SystemClock::new(now(0, 0), None);
        for stamp_ms in [-9_000, 1, 1_000_000] {
            assert_eq!(clock.raw_of(now(0, 0), now(0, stamp_ms).system), None);
        }
    }
}
