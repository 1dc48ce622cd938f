//! Armed fires in the order of their release, by the clock that each of them follows.
//!
//! How far a clock is from the system clock changes with every measurement, for all fires that
//! follow it alike. So fires are kept in lanes, one for each way to read the clock, each in its own
//! order; nothing has to be sorted anew when the estimate changes.

use super::clock::{FollowedClock, Known};
use std::collections::{BTreeMap, HashMap};
use timeball_runtime::read_clocks;
use timeball_schedule::FireId;
use timeball_schedule::planner::{ArmedFire, ClockPolicy, FireMode, Follow, Times};
use timeball_timebase::{Now, Span, Timestamp};

/// An armed fire with what it releases.
pub(super) struct Entry<R> {
    pub(super) fire: ArmedFire,
    pub(super) release: R,
}

/// All armed fires.
pub(super) struct Lanes<R> {
    lanes: [BTreeMap<Key, Entry<R>>; LANES],
    places: HashMap<FireId, (usize, Key)>,
}

type Key = (Timestamp, FireId);

const LANES: usize = 5;
const ALL: [Lane; LANES] =
    [Lane::System, Lane::AutoNearest, Lane::AutoNotBefore, Lane::UtcNearest, Lane::UtcNotBefore];

/// A way to read the clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lane {
    /// The system clock, which is never early by its own word.
    System,
    /// The system clock while it lies within the bound of UTC, else the estimate.
    AutoNearest,
    /// The earliest that UTC can be.
    AutoNotBefore,
    /// The estimate of UTC.
    UtcNearest,
    /// The earliest that UTC can be.
    UtcNotBefore,
}

/// What each clock shows by which schedules are planned. `fire` makes no difference: a fire that
/// waits until its instant has certainly come has to be ready no later than others.
pub(crate) fn times(known: &Known, now: Now) -> Times {
    Times {
        system: now.system,
        auto: Lane::AutoNearest.read(known, now).time,
        utc: Lane::UtcNearest.read(known, now).time,
    }
}

/// The same, at this moment.
pub(crate) fn times_now(clock: &FollowedClock) -> Times {
    let now = read_clocks();
    times(&clock.read(now), now)
}

/// The clock as one lane reads it, at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Followed {
    /// The time by this lane.
    pub(super) time: Timestamp,
    /// The bound of the machine's clock at that moment, whichever lane.
    pub(super) bound: Option<Span>,
}

impl Lane {
    /// The lane of a policy.
    pub(super) fn of(policy: ClockPolicy) -> Self {
        match (policy.follow, policy.fire) {
            (Follow::System, _) => Self::System,
            (Follow::Auto, FireMode::Nearest) => Self::AutoNearest,
            (Follow::Auto, FireMode::NotBefore) => Self::AutoNotBefore,
            (Follow::Utc, FireMode::Nearest) => Self::UtcNearest,
            (Follow::Utc, FireMode::NotBefore) => Self::UtcNotBefore,
        }
    }

    /// The time by this lane at `now`. While nothing is known of UTC it is the system clock's.
    pub(super) fn read(self, known: &Known, now: Now) -> Followed {
        let reading = known.state.reading(now);
        let bound = reading.half_width;
        let time = match self {
            Self::System => now.system,
            Self::AutoNearest => match known.trust {
                // Within the bound the estimate knows no better than the system clock, and is
                // noisier; outside, the system clock is certainly wrong.
                Some(trust) if (reading.estimate - now.system).abs() > trust => reading.estimate,
                _ => now.system,
            },
            Self::UtcNearest => reading.estimate,
            Self::AutoNotBefore | Self::UtcNotBefore => {
                reading.earliest().unwrap_or(reading.estimate)
            }
        };
        Followed { time, bound }
    }

    /// When the system clock will stand where this lane reads `at`, if nothing new is learned.
    pub(super) fn system_time_of(self, known: &Known, now: Now, at: Timestamp) -> Timestamp {
        let wait = at - self.read(known, now).time;
        let mut wait_system = wait;
        if self != Self::System && known.state.offset.is_some() {
            wait_system -= known.state.drift.over(wait);
        }
        if matches!(self, Self::AutoNotBefore | Self::UtcNotBefore)
            && let Some(bound) = known.state.bound
        {
            wait_system += bound.growth.over_ceil(wait);
        }
        now.system + wait_system
    }
}

impl<R> Lanes<R> {
    pub(super) fn new() -> Self {
        Self { lanes: Default::default(), places: HashMap::new() }
    }

    /// Adds a fire; one with the same identity is replaced.
    pub(super) fn insert(&mut self, entry: Entry<R>) {
        let id = entry.fire.fire;
        self.remove(id);
        let lane = Lane::of(entry.fire.clock) as usize;
        let key = (entry.fire.release_at, id);
        self.places.insert(id, (lane, key));
        self.lanes[lane].insert(key, entry);
    }

    /// Takes a fire out.
    pub(super) fn remove(&mut self, fire: FireId) -> Option<Entry<R>> {
        let (lane, key) = self.places.remove(&fire)?;
        self.lanes[lane].remove(&key)
    }

    /// Takes out a fire that is due at `now`, with the clock as it reads it; of several lanes the
    /// one whose fire is the latest.
    pub(super) fn pop_due(&mut self, known: &Known, now: Now) -> Option<(Entry<R>, Followed)> {
        let due = ALL.iter().filter_map(|lane| {
            let (at, _) = *self.lanes[*lane as usize].first_key_value()?.0;
            let followed = lane.read(known, now);
            (followed.time >= at).then_some((followed.time - at, *lane, followed))
        });
        let (_, lane, followed) = due.max_by_key(|(late, ..)| *late)?;
        let (_, entry) = self.lanes[lane as usize].pop_first()?;
        self.places.remove(&entry.fire.fire);
        Some((entry, followed))
    }

    /// When, by the system clock, the next fire is due; `None` if none is armed.
    pub(super) fn next_due(&self, known: &Known, now: Now) -> Option<Timestamp> {
        let next = ALL.iter().filter_map(|lane| {
            let (at, _) = *self.lanes[*lane as usize].first_key_value()?.0;
            Some(lane.system_time_of(known, now, at))
        });
        next.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_schedule::ScheduleUid;
    use timeball_timebase::{Bound, ClockState, Frequency, MonoTime, SyncState};

    const NOON: Timestamp = Timestamp::from_unix(1_795_000_000, 0);

    fn now() -> Now {
        Now::exact(MonoTime::from_nanos(5_000), NOON)
    }

    fn state(offset_ms: i64, bound_ms: i64) -> ClockState {
        let as_of = now().raw;
        let growth = Frequency::from_ppm(10);
        ClockState {
            state: SyncState::Synchronized,
            as_of,
            system: NOON,
            offset: Some(Span::from_millis(offset_ms)),
            bound: Some(Bound { as_of, half_width: Span::from_millis(bound_ms), growth }),
            ..ClockState::default()
        }
    }

    fn known(state: ClockState) -> Known {
        Known::told(state, now(), Span::ZERO)
    }

    fn armed(number: i64, at: Timestamp, follow: Follow, fire: FireMode) -> ArmedFire {
        let id = FireId {
            schedule: ScheduleUid([number as u8; 16]),
            scheduled_at: at + Span::from_secs(number),
        };
        let clock = ClockPolicy { follow, fire, ..ClockPolicy::default() };
        ArmedFire { fire: id, release_at: at, not_after: None, clock }
    }

    #[test]
    fn auto_keeps_to_the_system_clock_within_the_bound_and_to_the_estimate_outside() {
        let read =
            |offset, bound| Lane::AutoNearest.read(&known(state(offset, bound)), now()).time - NOON;
        assert_eq!(read(4, 5), Span::ZERO);
        assert_eq!(read(-5, 5), Span::ZERO);
        assert_eq!(read(77, 5), Span::from_millis(77));
        assert_eq!(read(-77, 5), Span::from_millis(-77));
        let unknown = Lane::AutoNearest.read(&known(ClockState::default()), now());
        assert_eq!(unknown, Followed { time: NOON, bound: None });
    }

    #[test]
    fn not_before_waits_until_the_instant_has_certainly_come() {
        let known = known(state(77, 5));
        for lane in [Lane::AutoNotBefore, Lane::UtcNotBefore] {
            assert_eq!(lane.read(&known, now()).time - NOON, Span::from_millis(72));
            let at = NOON + Span::from_secs(100);
            let due = lane.system_time_of(&known, now(), at);
            let later = Now::exact(now().raw + (due - NOON), due);
            let short = at - lane.read(&known, later).time;
            assert!(!short.is_negative() && short < Span::from_nanos(20), "{short}");
        }
        assert_eq!(Lane::UtcNearest.read(&known, now()).time - NOON, Span::from_millis(77));
        assert_eq!(Lane::System.read(&known, now()).time, NOON);
    }

    #[test]
    fn drift_is_reckoned_with_when_waiting() {
        let known = known(ClockState { drift: Frequency::from_ppm(-200), ..state(-500, 1) });
        let at = NOON + Span::from_secs(10);
        let due = Lane::UtcNearest.system_time_of(&known, now(), at);
        let later = Now::exact(now().raw + (due - NOON), due);
        let error = Lane::UtcNearest.read(&known, later).time - at;
        assert!(error.abs() < Span::from_micros(1), "{error}");
    }

    #[test]
    fn fires_come_out_when_due_and_the_latest_first() {
        let mut lanes = Lanes::new();
        let known = known(state(77, 5));
        let mut add = |number, at_ms, follow| {
            let at = NOON + Span::from_millis(at_ms);
            lanes.insert(Entry {
                fire: armed(number, at, follow, FireMode::Nearest),
                release: number,
            });
        };
        add(1, 10, Follow::System);
        add(2, 80, Follow::Utc);
        add(3, 90, Follow::Utc);
        add(4, 70, Follow::Utc);
        let due_ms =
            |lanes: &Lanes<i64>| lanes.next_due(&known, now()).map(|at| (at - NOON).as_millis());
        assert_eq!(due_ms(&lanes), Some(-7));
        assert_eq!(lanes.pop_due(&known, now()).unwrap().0.release, 4);
        assert!(lanes.pop_due(&known, now()).is_none());
        assert_eq!(due_ms(&lanes), Some(3));
        let second = armed(2, NOON + Span::from_millis(80), Follow::Utc, FireMode::Nearest);
        assert_eq!(lanes.remove(second.fire).unwrap().release, 2);
        assert!(lanes.remove(second.fire).is_none());
        assert_eq!(due_ms(&lanes), Some(10));
        let later = Now::exact(now().raw, NOON + Span::from_millis(20));
        assert_eq!(lanes.pop_due(&known, later).unwrap().0.release, 1, "10 ms late");
        assert_eq!(lanes.pop_due(&known, later).unwrap().0.release, 3, "7 ms late");
        assert!(lanes.next_due(&known, later).is_none() && lanes.places.is_empty());
    }
}
