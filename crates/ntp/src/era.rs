//! Which NTP era a timestamp belongs to.

use timeball_timebase::{Span, Timestamp};

/// No true time is before this: 2026-01-01, when this program did not exist yet.
const EARLIEST_TRUTH: Timestamp = Timestamp::from_unix(1_767_225_600, 0);

/// Half an NTP era: timestamps are found within so long before and after their pivot.
const HALF_ERA: Span = Span::from_secs(1 << 31);

/// The instant that timestamps from the network are taken nearest to (RFC 5905 section 6).
///
/// The system clock serves where it reads what can be true. A machine without a battery reads a
/// time before this program existed at its start, one whose battery is broken any time: were it one
/// of 2099, all servers of 2031 would agree on 2167. Eras are found until 2094 then.
pub(crate) fn era_pivot(system: Timestamp) -> Timestamp {
    let is_plausible = system >= EARLIEST_TRUTH && system - EARLIEST_TRUTH < HALF_ERA;
    if is_plausible { system } else { EARLIEST_TRUTH }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::NtpTime;

    const YEAR: Span = Span::from_secs(31_556_952);

    #[test]
    fn what_time_it_is_does_not_depend_on_what_the_clock_reads() {
        for truth in [0, 5, 60].map(|years| EARLIEST_TRUTH + YEAR * years) {
            let told = NtpTime::from_timestamp(truth);
            for years in [-56, -1, 0, 4, 9, 60, 69, 73, 137, 230] {
                let system = EARLIEST_TRUTH + YEAR * years;
                let read = told.nearest_to(era_pivot(system));
                assert!((read - truth).abs() < Span::from_secs(1), "{truth} read in {system}");
            }
        }
    }
}
