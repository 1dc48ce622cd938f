//! Deterministic jitter: the same schedule and instant give the same delay on every replica.

use crate::FireId;
use timeball_timebase::Span;

/// A delay from zero to `largest`, in whole microseconds, made of the fire's identity alone.
pub(super) fn jitter(fire: FireId, largest: Span) -> Span {
    let choices = largest.as_micros().max(0) as u64 + 1;
    if choices == 1 {
        return Span::ZERO;
    }
    // The product's upper half is below `choices`, and even to one part in 2^64 / choices.
    Span::from_micros(((u128::from(fire.mixed()) * u128::from(choices)) >> 64) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleUid;
    use timeball_timebase::Timestamp;

    #[test]
    fn jitter_is_deterministic_within_its_range_and_spread() {
        let largest = Span::from_millis(100);
        let mut below_half = 0;
        for second in 0..10_000 {
            let scheduled_at = Timestamp::from_unix(second, 0);
            let fire = FireId { schedule: ScheduleUid([7; 16]), scheduled_at };
            let delay = jitter(fire, largest);
            assert_eq!(delay, jitter(fire, largest));
            assert!(!delay.is_negative() && delay <= largest);
            below_half += u32::from(delay < largest / 2);
        }
        assert!((4_800..5_200).contains(&below_half), "{below_half} of 10000");
        let fire = FireId { schedule: ScheduleUid([7; 16]), scheduled_at: Timestamp::UNIX_EPOCH };
        assert_eq!(jitter(fire, Span::ZERO), Span::ZERO);
    }
}
