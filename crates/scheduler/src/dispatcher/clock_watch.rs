//! What the clocks show that schedules follow, and whether one of them was set.
//!
//! The firing thread's timer tells of the system clock too, but whatever else happens may be heard
//! first; and then instants would be judged by the new time as if nobody had been there to fire
//! them.

use crate::timer::{FollowedClock, JUMP_MIN, is_jump, times, times_now};
use std::sync::Arc;
use timeball_runtime::{read_clocks, time_asleep};
use timeball_schedule::planner::{Follow, Times};
use timeball_timebase::{MonoTime, Now, Span};

/// Compares each reading of the clocks with the one before.
#[derive(Debug)]
pub(super) struct ClockWatch {
    clock: Arc<FollowedClock>,
    before: Reading,
}

/// The clocks as they were seen together.
#[derive(Clone, Copy, Debug)]
struct Reading {
    raw: MonoTime,
    times: Times,
    /// How long the machine has slept so far.
    asleep: Span,
}

/// What a look at the clocks showed.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) now: Times,
    /// Which were set since the look before, by more than 0.1 s and an eighth of the time since.
    /// (So it seems after a suspend as well, in which the raw clock stands still.)
    pub(super) set: Vec<Follow>,
}

impl ClockWatch {
    /// Begins with a look.
    pub(super) fn new(clock: Arc<FollowedClock>) -> Self {
        Self::beginning(clock, read_clocks(), time_asleep())
    }

    fn beginning(clock: Arc<FollowedClock>, now: Now, asleep: Span) -> Self {
        let before = Reading { raw: now.raw, times: times(&clock.read(now), now), asleep };
        Self { clock, before }
    }

    /// What the clocks show, without a look for whether they were set.
    pub(super) fn now(&self) -> Times {
        times_now(&self.clock)
    }

    /// Looks at the clocks.
    pub(super) fn look(&mut self) -> Seen {
        let mut before = time_asleep();
        loop {
            let now = read_clocks();
            let asleep = time_asleep();
            // Sleep in between would be in one of both readings, and taken for a setting.
            if asleep - before < JUMP_MIN {
                return self.see(now, asleep);
            }
            before = asleep;
        }
    }

    /// Which clocks were set, now that the kernel has said that the system clock was.
    pub(super) fn look_after_setting(&mut self) -> Vec<Follow> {
        self.look().after_setting()
    }

    fn see(&mut self, now: Now, asleep: Span) -> Seen {
        let before = self.before;
        let elapsed = now.raw - before.raw;
        let jump = |from, to| to - from - elapsed;
        let is_jump = |by: Span| is_jump(by, elapsed);
        let slept = asleep - before.asleep;
        let set_by = jump(before.times.system, now.system) - slept;
        if is_jump(set_by) {
            self.clock.note_set(set_by, now);
        } else {
            self.clock.review(now);
        }
        if slept >= JUMP_MIN {
            self.clock.note_slept(slept);
        }
        let times = times(&self.clock.read(now), now);
        self.before = Reading { raw: now.raw, times, asleep };
        let clocks = [Follow::Auto, Follow::System, Follow::Utc];
        let was_set = |follow: &Follow| is_jump(jump(before.times.by(*follow), times.by(*follow)));
        Seen { now: times, set: clocks.into_iter().filter(was_set).collect() }
    }
}

impl Seen {
    /// Which clocks were set, where it is certain that the system clock was: also where that is too
    /// little to be seen as a jump.
    fn after_setting(self) -> Vec<Follow> {
        let Self { now, mut set } = self;
        // What is known of the clock takes the setting into account since this look.
        let keeps_to_system = (now.auto == now.system).then_some(Follow::Auto);
        for follow in [Follow::System].into_iter().chain(keeps_to_system) {
            if !set.contains(&follow) {
                set.push(follow);
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_runtime::ClockCell;
    use timeball_timebase::{Bound, ClockState, Frequency, Timestamp};

    const START: Now = Now::exact(MonoTime::ZERO, Timestamp::from_unix(1_795_000_000, 0));
    const ALL: [Follow; 3] = [Follow::Auto, Follow::System, Follow::Utc];

    fn later(raw_ms: i64, system_ms: i64) -> Now {
        let (raw, system) = (Span::from_millis(raw_ms), Span::from_millis(system_ms));
        Now::exact(START.raw + raw, START.system + system)
    }

    fn watch(cell: &Arc<ClockCell>) -> ClockWatch {
        ClockWatch::beginning(
            Arc::new(FollowedClock::new(Arc::clone(cell))),
            START,
            Span::from_secs(9),
        )
    }

    fn state(now: Now, offset_ms: i64) -> ClockState {
        let bound = Bound {
            as_of: now.raw,
            half_width: Span::from_millis(5),
            growth: Frequency::from_ppm(10),
        };
        ClockState {
            as_of: now.raw,
            system: now.system,
            offset: Some(Span::from_millis(offset_ms)),
            bound: Some(bound),
            ..ClockState::default()
        }
    }

    #[test]
    fn a_clock_that_is_set_is_seen_once_and_one_that_is_slewed_is_not() {
        let mut watch = watch(&Arc::default());
        let mut set =
            |raw_ms, system_ms| watch.see(later(raw_ms, system_ms), Span::from_secs(9)).set;
        assert_eq!(set(1_000, 1_100), [], "a tenth faster");
        assert_eq!(set(2_000, 2_000), [], "a tenth slower");
        assert_eq!(set(2_000, 3_602_000), ALL, "an hour forward");
        assert_eq!(set(3_000, 3_603_000), []);
        assert_eq!(set(3_001, 3_601_001), ALL, "two seconds back");
        assert_eq!(set(4_001, 3_602_001), []);
        assert_eq!(set(5_001, 3_603_201), [], "0.2 s in a second");
        assert_eq!(set(6_001, 3_604_501), ALL, "0.3 s in a second");
    }

    #[test]
    fn where_utc_is_known_a_system_clock_that_is_set_is_set_for_its_followers_alone() {
        let cell = Arc::new(ClockCell::new());
        cell.publish(state(START, 2));
        let mut watch = watch(&cell);
        let asleep = Span::from_secs(9);
        assert_eq!(watch.see(later(1_000, 3_601_000), asleep).set, [Follow::System]);
        assert_eq!(watch.see(later(2_000, 3_602_000), asleep).set, []);
        assert_eq!(watch.see(later(3_000, 3_000), asleep).set, [Follow::System]);
    }

    #[test]
    fn a_setting_that_the_kernel_tells_of_is_one_for_auto_where_that_keeps_to_the_system_clock() {
        let asleep = Span::from_secs(9);
        let cell = Arc::new(ClockCell::new());
        cell.publish(state(START, 2));
        for (system_ms, expected) in [
            (3_601_000, vec![Follow::System]),
            (-3_599_000, vec![Follow::System]),
            (1_004, vec![Follow::System, Follow::Auto]),
            (1_090, vec![Follow::System, Follow::Auto]),
        ] {
            let seen = watch(&cell).see(later(1_000, system_ms), asleep);
            assert_eq!(seen.after_setting(), expected, "{system_ms}");
        }
        let seen = watch(&Arc::default()).see(later(1_000, 3_601_000), asleep);
        assert_eq!(seen.after_setting(), ALL, "nobody knows better");
    }

    #[test]
    fn a_system_clock_that_is_set_so_far_that_nobody_can_tell_is_set_for_its_followers_alone() {
        let cell = Arc::new(ClockCell::new());
        cell.publish(state(START, 2));
        let mut watch = watch(&cell);
        let asleep = Span::from_secs(9);
        let set = later(1_000, 3_601_000);
        cell.publish(ClockState { as_of: set.raw, system: set.system, ..ClockState::default() });
        assert_eq!(watch.see(set, asleep).set, [Follow::System]);
        let seen = watch.see(later(2_000, 3_602_000), asleep);
        assert_eq!((seen.set, seen.now.auto - START.system), (vec![], Span::from_millis(2_002)));
        let slept = watch.see(later(3_000, 3_663_000), asleep + Span::from_secs(60));
        assert_eq!(slept.set, ALL);
        assert_eq!(slept.now.auto - START.system, Span::from_millis(63_002));
    }

    #[test]
    fn after_a_suspend_all_clocks_go_on_later_with_the_system_clock() {
        let cell = Arc::new(ClockCell::new());
        cell.publish(state(START, 2));
        let mut watch = watch(&cell);
        let seen = watch.see(later(1_000, 3_601_000), Span::from_secs(9 + 3_600));
        assert_eq!(seen.set, ALL);
        assert_eq!(seen.now.auto, seen.now.system);
    }

    #[test]
    fn an_estimate_that_jumps_is_a_setting_for_those_that_follow_it() {
        let cell = Arc::new(ClockCell::new());
        cell.publish(state(START, 2));
        let mut watch = watch(&cell);
        cell.publish(state(later(500, 500), 5_000));
        let seen = watch.see(later(1_000, 1_000), Span::from_secs(9));
        assert_eq!(seen.set, [Follow::Auto, Follow::Utc]);
        assert_eq!(seen.now.auto - seen.now.system, Span::from_secs(5));
    }
}
