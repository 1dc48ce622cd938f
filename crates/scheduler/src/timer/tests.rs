use super::*;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use timeball_runtime::{ClockCell, read_clocks};
use timeball_schedule::planner::{ClockPolicy, Follow, OnExceeded};
use timeball_schedule::{Reason, ScheduleUid};
use timeball_timebase::{Bound, ClockState, Frequency, SyncState, Timestamp};

const ANSWER: Duration = Duration::from_secs(5);

struct Rig {
    timer: Timer,
    clock: Arc<ClockCell>,
    events: Receiver<TimerEvent>,
    released: Receiver<FireId>,
    release: Sender<FireId>,
}

fn rig(spin: Span) -> Rig {
    let clock = Arc::new(ClockCell::new());
    let (sender, events) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let options = TimerOptions {
        clock: Arc::new(FollowedClock::new(Arc::clone(&clock))),
        spin,
        real_time: None,
        tell: Box::new(move |event| sender.send(event).unwrap()),
    };
    Rig { timer: Timer::start(options).unwrap(), clock, events, released, release }
}

impl Rig {
    fn arm(&self, at: Timestamp, policy: ClockPolicy, not_after: Option<Timestamp>) -> FireId {
        let fire = FireId { schedule: ScheduleUid([7; 16]), scheduled_at: at };
        let sender = self.release.clone();
        let release = Box::new(move || sender.send(fire).unwrap());
        self.timer.arm(ArmedFire { fire, release_at: at, not_after, clock: policy }, release);
        fire
    }

    fn publish(&self, offset: Span, half_width: Span) {
        let now = read_clocks();
        self.clock.publish(ClockState {
            state: SyncState::Synchronized,
            as_of: now.raw,
            system: now.system,
            offset: Some(offset),
            bound: Some(Bound { as_of: now.raw, half_width, growth: Frequency::ZERO }),
            ..ClockState::default()
        });
    }
}

fn soon(millis: i64) -> Timestamp {
    read_clocks().system + Span::from_millis(millis)
}

#[test]
fn fires_are_released_in_order_and_never_early() {
    for spin in [Span::ZERO, Span::from_micros(200)] {
        let rig = rig(spin);
        let start = soon(50);
        let at = |n: i64| start + Span::from_millis(5 * n);
        let mut fires: Vec<FireId> =
            [3, 1, 2, 0].map(|n| rig.arm(at(n), ClockPolicy::default(), None)).into();
        fires.sort();
        for expected in fires {
            assert_eq!(rig.released.recv_timeout(ANSWER).unwrap(), expected);
            assert!(read_clocks().system >= expected.scheduled_at, "early");
            let TimerEvent::Released { fire, lateness, clock_bound, clock_exceeded } =
                rig.events.recv_timeout(ANSWER).unwrap()
            else {
                panic!("not released");
            };
            assert_eq!((fire, clock_bound, clock_exceeded), (expected, None, false));
            assert!(!lateness.is_negative() && lateness < Span::from_secs(1), "{lateness}");
        }
    }
}

#[test]
fn a_revoked_fire_is_told_of_and_not_released() {
    let rig = rig(Span::ZERO);
    let revoked = rig.arm(soon(100), ClockPolicy::default(), None);
    let kept = rig.arm(soon(110), ClockPolicy::default(), None);
    rig.timer.revoke(revoked);
    let outcome = Outcome::Skipped(Reason::Revoked);
    let told = rig.events.recv_timeout(ANSWER).unwrap();
    assert_eq!(told, TimerEvent::Unreleased { fire: revoked, outcome });
    assert_eq!(rig.released.recv_timeout(ANSWER).unwrap(), kept);
    rig.events.recv_timeout(ANSWER).unwrap();
    rig.timer.revoke(kept);
    assert!(rig.events.recv_timeout(Duration::from_millis(20)).is_err(), "it was released");
}

#[test]
fn a_fire_past_its_deadline_is_missed() {
    let rig = rig(Span::ZERO);
    let fire = rig.arm(soon(-1_000), ClockPolicy::default(), Some(soon(-500)));
    let outcome = Outcome::Missed(Reason::DeadlineExceeded);
    let told = rig.events.recv_timeout(ANSWER).unwrap();
    assert_eq!(told, TimerEvent::Unreleased { fire, outcome });
}

#[test]
fn an_estimate_outside_the_bound_shifts_the_release() {
    let rig = rig(Span::ZERO);
    // True time is 10 s ahead of the system clock, so an instant 10.05 s ahead is due in 50 ms.
    rig.publish(Span::from_secs(10), Span::from_millis(5));
    let fire = rig.arm(soon(10_050), ClockPolicy::default(), None);
    let system = ClockPolicy { follow: Follow::System, ..ClockPolicy::default() };
    rig.arm(soon(60_000), system, None);
    assert_eq!(rig.released.recv_timeout(ANSWER).unwrap(), fire);
    let TimerEvent::Released { lateness, clock_bound, .. } =
        rig.events.recv_timeout(ANSWER).unwrap()
    else {
        panic!("not released");
    };
    assert!(!lateness.is_negative() && lateness < Span::from_secs(1), "{lateness}");
    assert_eq!(clock_bound, Some(Span::from_millis(5)));
    assert!(rig.released.try_recv().is_err());
}

#[test]
fn a_clock_that_is_not_good_enough_flags_delays_or_refuses() {
    let rig = rig(Span::ZERO);
    let policy = |on_exceeded| ClockPolicy {
        max_error: Some(Span::from_millis(50)),
        on_exceeded,
        ..ClockPolicy::default()
    };
    rig.arm(soon(0), policy(OnExceeded::Flag), None);
    let told = rig.events.recv_timeout(ANSWER).unwrap();
    assert!(matches!(told, TimerEvent::Released { clock_exceeded: true, .. }), "{told:?}");

    let fire = rig.arm(soon(0), policy(OnExceeded::Refuse), None);
    let outcome = Outcome::Skipped(Reason::ClockErrorExceeded);
    let told = rig.events.recv_timeout(ANSWER).unwrap();
    assert_eq!(told, TimerEvent::Unreleased { fire, outcome });

    rig.arm(soon(0), policy(OnExceeded::Delay), Some(soon(60_000)));
    assert!(rig.events.recv_timeout(Duration::from_millis(150)).is_err(), "waits");
    rig.publish(Span::ZERO, Span::from_millis(1));
    let told = rig.events.recv_timeout(ANSWER).unwrap();
    assert!(matches!(told, TimerEvent::Released { clock_exceeded: false, .. }), "{told:?}");

    rig.publish(Span::ZERO, Span::from_millis(100));
    let fire = rig.arm(soon(0), policy(OnExceeded::Delay), Some(soon(100)));
    let outcome = Outcome::Missed(Reason::DeadlineExceeded);
    let told = rig.events.recv_timeout(ANSWER).unwrap();
    assert_eq!(told, TimerEvent::Unreleased { fire, outcome });
}
