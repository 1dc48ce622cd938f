//! How soon after its start a clock is known, where some of its sources are never heard.

use timeball_ntp::engine::{PollRange, SourceOptions};
use timeball_sim::{Absence, ClockAtHand, ClockKind, Path, Scenario, Server, World, seeds};
use timeball_timebase::SyncState;

/// Nobody waits for longer than this.
const PATIENCE_S: i64 = 120;

/// How long it takes, in whole seconds, rounded up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Start {
    /// Until there is a bound.
    bound_s: i64,
    /// Until the clock counts as synchronized.
    synchronized_s: i64,
}

/// 20 ms there and back; one answer of a hundred is lost.
fn wan() -> Path {
    let mut path = Path::symmetric(1e-2, 1e-3);
    path.up.loss = 0.005;
    path.down.loss = 0.005;
    path
}

fn start(world: &mut World) -> Start {
    let mut start = Start { bound_s: PATIENCE_S, synchronized_s: PATIENCE_S };
    for second in 1..=PATIENCE_S {
        world.run_for(1);
        let state = world.state();
        if state.bound.is_some() {
            start.bound_s = start.bound_s.min(second);
        }
        if state.state == SyncState::Synchronized {
            start.synchronized_s = start.synchronized_s.min(second);
        }
    }
    world.assert_rules_held();
    start
}

/// In each of 50 worlds both take no longer than `limit`, and in most no longer than `usual`.
#[track_caller]
fn assert_soon(scenario: &Scenario, usual: (i64, i64), limit: (i64, i64)) {
    let seeds = seeds(50);
    let mut starts: Vec<Start> =
        seeds.into_iter().map(|seed| start(&mut scenario.world(seed))).collect();
    let name = &scenario.name;
    for of in [|start: &Start| start.bound_s, |start: &Start| start.synchronized_s] {
        starts.sort_by_key(of);
        let median = starts[starts.len() / 2];
        assert!(of(&median) <= of(&as_start(usual)), "{name}: mostly {median:?}");
        let worst = starts[starts.len() - 1];
        assert!(of(&worst) <= of(&as_start(limit)), "{name}: up to {worst:?}");
    }
}

fn as_start((bound_s, synchronized_s): (i64, i64)) -> Start {
    Start { bound_s, synchronized_s }
}

/// The absent ones last, so that the first to be asked is the first to answer.
fn of_these(configured: usize, alive: usize, absence: Absence) -> Scenario {
    let scenario = Scenario::new(&format!("{alive} of {configured}, {absence:?}"));
    let scenario =
        (0..alive).fold(scenario, |scenario, _| scenario.with_usual(Server::honest(wan())));
    let absent = Server::absent(absence);
    (alive..configured).fold(scenario, |scenario, _| scenario.with_usual(absent.clone()))
}

const ABSENCES: [Absence; 4] =
    [Absence::Silent, Absence::NoRoute, Absence::NameUnknown, Absence::NameUnanswered];

#[test]
fn where_more_than_half_answer_nobody_waits_for_the_rest() {
    for absence in ABSENCES {
        for (configured, alive) in [(2, 2), (3, 2), (4, 3)] {
            assert_soon(&of_these(configured, alive, absence), (1, 3), (3, 5));
        }
    }
    // One source alone takes three answers, two seconds apart.
    assert_soon(&of_these(1, 1, Absence::Silent), (1, 5), (3, 7));
}

#[test]
fn who_is_heard_alone_waits_ten_seconds_for_those_that_are_not() {
    for (absence, usual, limit) in [
        (Absence::Silent, (8, 8), (10, 10)),
        (Absence::NoRoute, (8, 8), (10, 10)),
        // It is told at once that there is nobody to wait for.
        (Absence::NameUnknown, (1, 5), (3, 7)),
        (Absence::NameUnanswered, (9, 9), (11, 11)),
    ] {
        for (configured, alive) in [(2, 1), (3, 1), (4, 1), (4, 2)] {
            assert_soon(&of_these(configured, alive, absence), usual, limit);
        }
    }
}

#[test]
fn a_source_that_is_asked_seldom_is_waited_for_no_longer() {
    let seldom = SourceOptions { iburst: false, ..SourceOptions::default() };
    let silent = Server::absent(Absence::Silent);
    let scenario = Scenario::new("asked once a minute, or every 17 minutes")
        .with_usual(Server::honest(wan()))
        .with_source(silent.clone(), PollRange::default(), seldom)
        .with_source(silent, PollRange { min: 10, max: 10 }, seldom);
    assert_soon(&scenario, (9, 9), (11, 11));
    let outages = vec![(0.0, f64::INFINITY)];
    let unplugged = Path { outages, ..Path::symmetric(1e-5, 1e-6) };
    let receiver = ClockAtHand { kind: ClockKind::Utc, scatter: 1e-6 };
    let scenario = Scenario::new("a receiver that tells nothing")
        .with_usual(Server::honest(wan()))
        .with_clock(Server::at_hand(receiver, unplugged), 4);
    assert_soon(&scenario, (9, 9), (11, 11));
}
