//! How long is waited before a target is tried again.

use crate::FireId;
use crate::mix::below;
use timeball_timebase::Span;

/// Before the first repeat, less or more its spread.
const FIRST: Span = Span::from_millis(100);
/// Never more than this, less or more its spread.
const LARGEST: Span = Span::from_secs(30);
/// A back-off is so many parts of its length shorter or longer, at most: a fifth.
const SPREAD_PARTS: i64 = 5;

impl FireId {
    /// How long is waited before the `retry`th repeat (1+) of this fire's target: 100 ms, doubled
    /// each time up to 30 s, and of that 80 to 120 %, in whole microseconds.
    ///
    /// Where in that range depends on schedule, instant and `retry` alone: it is the same on every
    /// replica and in every run, and what failed together is not tried again together.
    pub fn back_off(self, retry: u32) -> Span {
        // Past 2^9 the limit is reached, so more doublings make no difference.
        let doublings = retry.saturating_sub(1).min(9);
        let nominal = (FIRST * (1_i64 << doublings)).min(LARGEST);
        let spread_us = nominal.as_micros() / SPREAD_PARTS;
        let choices = 2 * spread_us.unsigned_abs() + 1;
        let chosen = below(self.mixed() ^ u64::from(retry), choices);
        nominal + Span::from_micros(chosen.cast_signed() - spread_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleUid;
    use timeball_timebase::Timestamp;

    fn fire(schedule: u8, second: i64) -> FireId {
        let scheduled_at = Timestamp::from_unix(second, 0);
        FireId { schedule: ScheduleUid([schedule; 16]), scheduled_at }
    }

    #[test]
    fn a_back_off_doubles_up_to_its_limit_and_stays_within_a_fifth_of_that() {
        let nominal = [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000];
        for second in 0..1_000 {
            for (retry, millis) in (1..).zip(nominal) {
                let length = fire(7, second).back_off(retry);
                let nominal = Span::from_millis(millis);
                let (least, most) = (nominal * 4 / 5, nominal * 6 / 5);
                assert!((least..=most).contains(&length), "retry {retry}: {length:?}");
            }
        }
        assert!(fire(7, 0).back_off(u32::MAX) <= Span::from_secs(36));
        assert!(fire(7, 0).back_off(0) <= Span::from_millis(120), "none comes before the first");
    }

    #[test]
    fn a_back_off_is_the_same_every_time_and_spread_over_schedules_instants_and_retries() {
        assert_eq!(fire(7, 5).back_off(2), fire(7, 5).back_off(2));
        assert_ne!(fire(7, 5).back_off(2), fire(8, 5).back_off(2));
        assert_ne!(fire(7, 5).back_off(2), fire(7, 6).back_off(2));
        assert_ne!(fire(7, 5).back_off(1) * 2, fire(7, 5).back_off(2));
        let below_nominal = |retry: u32| {
            let nominal = Span::from_millis(100) * (1_i64 << (retry - 1));
            (0..10_000).filter(|second| fire(7, *second).back_off(retry) < nominal).count()
        };
        for retry in 1..=4 {
            assert!((4_800..5_200).contains(&below_nominal(retry)), "retry {retry}");
        }
    }
}
