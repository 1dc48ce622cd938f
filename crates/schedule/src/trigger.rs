//! What made a fire happen, and how its identity says so.
//!
//! Instants are whole microseconds. A fire that somebody asked for has the instant that it stands
//! for and a number of nanoseconds below one microsecond, so that it has an identity of its own in
//! claims, journal and history, and is never taken for the schedule's own fire of that instant.

use crate::{FireId, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// What made a fire happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trigger {
    /// The schedule: an instant of its expression came.
    Schedule,
    /// Somebody wanted it run now.
    Manual,
    /// Somebody wanted an instant that has passed run (again).
    Backfill,
}

/// Nanoseconds of a microsecond.
const MICROSECOND_NS: i64 = 1_000;
/// The number of a run that was asked for now; backfills have those above.
const MANUAL: i64 = 1;

/// How often one instant can be asked for again.
pub const BACKFILLS_MAX: u16 = 998;

impl Trigger {
    /// What made the fire with this `scheduled_at` happen.
    pub fn of(scheduled_at: Timestamp) -> Self {
        match number(scheduled_at) {
            0 => Self::Schedule,
            MANUAL => Self::Manual,
            _ => Self::Backfill,
        }
    }

    /// The trigger's word in records and metrics: `schedule`, `manual` or `backfill`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Backfill => "backfill",
        }
    }
}

impl FireId {
    /// A run that is asked for at `now`, which it stands for to the microsecond.
    pub fn manual(schedule: ScheduleUid, now: Timestamp) -> Self {
        let scheduled_at = whole(now) + Span::from_nanos(MANUAL);
        Self { schedule, scheduled_at }
    }

    /// A repetition of the instant `nominal`, which is a whole number of microseconds; `attempt` is
    /// 1 for the first, at most [`BACKFILLS_MAX`], and `None` is returned beyond that.
    pub fn backfill(schedule: ScheduleUid, nominal: Timestamp, attempt: u16) -> Option<Self> {
        let number = MANUAL + i64::from(attempt);
        let fits = (1..=BACKFILLS_MAX).contains(&attempt);
        let scheduled_at = whole(nominal) + Span::from_nanos(number);
        fits.then_some(Self { schedule, scheduled_at })
    }

    /// What made it happen.
    pub fn trigger(self) -> Trigger {
        Trigger::of(self.scheduled_at)
    }

    /// The instant that it stands for: what the target is told.
    pub fn nominal(self) -> Timestamp {
        whole(self.scheduled_at)
    }

    /// Which of the requests for its instant it is; 0 for the schedule's own.
    pub(crate) fn number(self) -> i64 {
        number(self.scheduled_at)
    }
}

/// Whether somebody asked for the fire with this key.
pub(crate) fn is_requested(at: Timestamp) -> bool {
    number(at) != 0
}

fn number(at: Timestamp) -> i64 {
    at.as_unix_nanos().rem_euclid(MICROSECOND_NS)
}

fn whole(at: Timestamp) -> Timestamp {
    at - Span::from_nanos(number(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: ScheduleUid = ScheduleUid([7; 16]);

    #[test]
    fn a_fire_that_was_asked_for_has_a_key_of_its_own_and_the_instant_it_stands_for() {
        let nominal = Timestamp::from_unix(1_795_000_000, 250_000_000);
        let own = FireId { schedule: UID, scheduled_at: nominal };
        let first = FireId::backfill(UID, nominal, 1).unwrap();
        let last = FireId::backfill(UID, nominal, BACKFILLS_MAX).unwrap();
        let manual = FireId::manual(UID, nominal + Span::from_nanos(777));
        let all = [own, manual, first, last];
        let triggers = all.map(FireId::trigger);
        let expected = [Trigger::Schedule, Trigger::Manual, Trigger::Backfill, Trigger::Backfill];
        assert_eq!(triggers, expected);
        assert!(all.iter().all(|fire| fire.nominal() == nominal));
        let keys = all.map(|fire| fire.to_string().rsplit_once('.').unwrap().1.to_owned());
        let key = "1795000000250000";
        let of = |n: u32| format!("{key}-{n}");
        assert_eq!(keys, [key.to_owned(), of(1), of(2), of(999)]);
        assert_eq!(FireId::backfill(UID, nominal, 0), None);
        assert_eq!(FireId::backfill(UID, nominal, BACKFILLS_MAX + 1), None);
    }

    #[test]
    fn instants_before_1970_are_told_apart_too() {
        let nominal = Timestamp::from_unix(-5, 1_000);
        let fire = FireId::backfill(UID, nominal, 3).unwrap();
        assert_eq!((fire.trigger(), fire.nominal()), (Trigger::Backfill, nominal));
    }
}
