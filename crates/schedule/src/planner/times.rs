//! What the clocks show that schedules may follow.

use super::Follow;
use timeball_timebase::Timestamp;

/// What each clock that a schedule may follow shows, at one moment.
///
/// A planner is told the time of all of them with each input, and plans each schedule by its own.
/// Whoever has one clock only converts its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Times {
    /// The system clock, for [`Follow::System`]; wake-ups are told in its time.
    pub system: Timestamp,
    /// The clock of [`Follow::Auto`].
    pub auto: Timestamp,
    /// The estimate of UTC, for [`Follow::Utc`].
    pub utc: Timestamp,
}

impl Times {
    /// What the clock shows that a schedule follows.
    pub fn by(&self, follow: Follow) -> Timestamp {
        match follow {
            Follow::Auto => self.auto,
            Follow::System => self.system,
            Follow::Utc => self.utc,
        }
    }

    /// What the system clock will show when the clock that is followed shows `at`, if both go on
    /// alike.
    pub(super) fn system_time_of(&self, follow: Follow, at: Timestamp) -> Timestamp {
        at + (self.system - self.by(follow))
    }

    /// The later one of each clock's two times.
    pub(super) fn later(&self, other: &Self) -> Self {
        Self {
            system: self.system.max(other.system),
            auto: self.auto.max(other.auto),
            utc: self.utc.max(other.utc),
        }
    }
}

impl From<Timestamp> for Times {
    /// All clocks show the same.
    fn from(now: Timestamp) -> Self {
        Self { system: now, auto: now, utc: now }
    }
}
