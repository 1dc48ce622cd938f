//! Which NTP era a timestamp belongs to.

use timeball_timebase::Timestamp;

/// No true time is before this: 2026-01-01, when this program did not exist yet.
const EARLIEST_TRUTH: Timestamp = Timestamp::from_unix(1_767_225_600, 0);

/// The instant that timestamps from the network are taken nearest to (RFC 5905 section 6).
///
/// The system clock serves unless it reads a time before this program existed, as a machine without
/// a battery does at its start: eras are found until 2094 then.
pub(crate) fn era_pivot(system: Timestamp) -> Timestamp {
    system.max(EARLIEST_TRUTH)
}
