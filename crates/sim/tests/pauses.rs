//! Virtual machines that are stopped for a while, with and without a hardware clock that runs on.

use timeball_ntp::engine::{ClockMode, StepPolicy};
use timeball_sim::{Behaviour, Happening, Path, Scenario, Server, World, seeds};
use timeball_timebase::{Span, SyncState};

const HOUR_S: i64 = 3_600;
const YEAR_S: i64 = 31_536_000;
const PAUSED_AT_S: i64 = 5_000;
/// A server is asked within 64 s, and once the pause is known all of them are.
const FOUND_AFTER_S: i64 = 80;

fn lan() -> Path {
    Path::symmetric(1e-3, 1e-5)
}

fn paused(servers: usize, pause_s: i64) -> Scenario {
    Scenario::new("paused")
        .with_honest(servers, &lan(), 6)
        .with_happening(PAUSED_AT_S, Happening::Pause(pause_s))
        .lasting(3 * HOUR_S)
}

/// The world of a scenario with a pause of this length, so long after it.
fn after(scenario: &Scenario, seed: u64, pause_s: i64, seconds: i64) -> World {
    let mut world = scenario.world(seed);
    world.run_for(PAUSED_AT_S + pause_s + seconds);
    world
}

#[test]
fn a_pause_that_the_hardware_clock_knows_of_ends_in_one_step_forward_however_long_it_was() {
    for seed in seeds(3) {
        for servers in [1, 3, 4] {
            for (pause_s, ahead_s) in [(6, 0), (600, 2), (2 * HOUR_S, -100), (YEAR_S, 200)] {
                let scenario = paused(servers, pause_s);
                let scenario = scenario.with_hardware_clock(Span::from_secs(ahead_s));
                let mut world = after(&scenario, seed, pause_s, FOUND_AFTER_S);
                let what = format!("seed {seed}: {servers} servers, {pause_s} s");
                let report = world.report();
                assert_eq!((report.counters.steps, report.counters.suspends), (1, 1), "{what}");
                assert_eq!(report.refused_offset, None, "{what}");
                assert_eq!(world.state().state, SyncState::Synchronized, "{what}");
                world.run_for(HOUR_S);
                assert_eq!(world.report().counters.steps, 1, "{what}");
                let errors = world.records().clock_errors.values();
                let error = errors.last().copied().unwrap_or(f64::NAN);
                assert!(error.abs() < 1e-3, "{what}: {error} s");
                world.assert_rules_held();
            }
        }
    }
}

#[test]
fn without_a_hardware_clock_or_with_one_that_stood_still_too_nothing_is_believed_more_than_before()
{
    for seed in seeds(3) {
        let pause_s = 2 * HOUR_S;
        let none = paused(3, pause_s);
        let stopped = none.clone().with_hardware_clock(Span::from_secs(-pause_s));
        let forbidden = none.clone().with_hardware_clock(Span::ZERO).with_config(|config| {
            config.step = StepPolicy { after_pause: false, ..StepPolicy::default() };
        });
        for scenario in [none, stopped, forbidden] {
            let world = after(&scenario, seed, pause_s, 600);
            assert_eq!(world.report().counters.steps, 0, "seed {seed}");
            assert!(world.report().refused_offset.is_some(), "seed {seed}");
            assert_eq!(world.state().bound, None, "seed {seed}");
            world.assert_rules_held();
        }
    }
}

#[test]
fn servers_that_begin_to_lie_are_not_helped_by_the_hardware_clock() {
    for seed in seeds(3) {
        for (liars, by_s) in [(1, 7_200), (1, 5), (3, 7_200)] {
            let by = Span::from_secs(by_s);
            let liar = Server::honest(lan()).with(Behaviour::Lies { by, from_s: 5_000.0 });
            let scenario = Scenario::new("lies").with_honest(3 - liars, &lan(), 6);
            let scenario = (0..liars).fold(scenario, |s, _| s.with_server(liar.clone(), 6));
            let scenario = scenario.with_hardware_clock(Span::from_secs(1)).lasting(2 * HOUR_S);
            let world = scenario.run(seed);
            let counters = world.report().counters;
            assert_eq!((counters.steps, counters.suspends), (0, 0), "seed {seed}: {liars}");
            assert!(world.records().clock_errors.max_from(60) < 0.01, "seed {seed}: {liars}");
            world.assert_rules_held();
        }
    }
}

#[test]
fn a_liar_whom_a_fast_hardware_clock_seems_to_confirm_takes_nobodys_promise_away() {
    for seed in seeds(5) {
        for ahead_ms in [1_600, 2_900] {
            let by = Span::from_millis(4_500);
            let liar = Server::honest(lan()).with(Behaviour::Lies { by, from_s: 5_000.0 });
            // One of the honest ones is silent just then, and for an hour.
            let silent = Path { outages: vec![(4_990.0, 8_600.0)], ..lan() };
            let mut world = Scenario::new("a fast hardware clock")
                .with_server(liar, 6)
                .with_honest(1, &lan(), 6)
                .with_honest(1, &silent, 6)
                .with_hardware_clock(Span::from_millis(ahead_ms))
                .world(seed);
            world.run_for(5_000);
            for second in 5_000..9_600 {
                world.run_for(1);
                assert!(world.state().bound.is_some(), "seed {seed}: {ahead_ms} ms: {second} s");
            }
            let bound = world.state().bound.expect("it is one").half_width;
            assert!(bound < Span::from_millis(10), "seed {seed}: {ahead_ms} ms: {bound}");
            let counters = world.report().counters;
            assert_eq!((counters.steps, counters.suspends), (0, 0), "seed {seed}: {ahead_ms} ms");
            let worst = world.records().clock_errors.max_from(60);
            assert!(worst < 0.01, "seed {seed}: {ahead_ms} ms: {worst} s off");
            world.assert_rules_held();
        }
    }
}

#[test]
fn who_only_observes_knows_the_time_after_a_pause_and_writes_nothing() {
    for seed in seeds(3) {
        let scenario = paused(3, 2 * HOUR_S).with_hardware_clock(Span::ZERO);
        let scenario = scenario.with_config(|config| config.mode = ClockMode::Observe);
        let world = after(&scenario, seed, 2 * HOUR_S, 600);
        assert_eq!(world.report().counters.steps, 0, "seed {seed}");
        let offset = world.state().offset.unwrap_or(Span::ZERO);
        assert!(offset > Span::from_secs(2 * HOUR_S - 1), "seed {seed}: {offset}");
        world.assert_rules_held();
    }
}
