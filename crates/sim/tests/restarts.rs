//! What is remembered over a restart: it helps where it is true, and breaks nothing where it is
//! not.

use timeball_ntp::engine::Selection;
use timeball_sim::worlds::drawn;
use timeball_sim::{
    Behaviour, Happening, Oscillator, Path, Scenario, Server, Way, World, median, seeds,
};
use timeball_timebase::{Span, SyncState};

const RESTART_S: i64 = 10_000;
const MINUTES_S: i64 = 180;

fn restart(after_s: i64, remembers: bool) -> Happening {
    Happening::Restart { after_s, remembers }
}

/// A path that takes longer one way than the other by these seconds.
fn lopsided(by: f64) -> Path {
    let (up, down) = (Way::new(1e-2 + by.max(0.0), 1e-3), Way::new(1e-2 - by.min(0.0), 1e-3));
    Path { up, down, ..Path::default() }
}

/// Three servers at the ends of unequal paths, in a process that restarts.
fn unequal(remembers: bool) -> Scenario {
    let scenario = Scenario::new("unequal paths and a restart");
    [4e-3, 0.0, -3e-3]
        .into_iter()
        .fold(scenario, |scenario, by| scenario.with_server(Server::honest(lopsided(by)), 6))
        .with_happening(RESTART_S, restart(20, remembers))
        .lasting(RESTART_S + 20 + MINUTES_S)
}

/// How far the estimate was off the one before the restart in the minutes after it: what all paths
/// have in common nobody can know, before or after.
fn unrest(world: &World) -> f64 {
    let before = *world.records().estimate_errors.from_s(RESTART_S - 5).first().expect("it ran");
    let after = world.records().estimate_errors.from_s(RESTART_S + 25);
    (after.iter().map(|error| (error - before).powi(2)).sum::<f64>() / after.len() as f64).sqrt()
}

#[test]
fn what_is_remembered_of_paths_makes_the_first_minutes_better() {
    let of = |remembers| {
        let runs = seeds(40).into_iter().map(|seed| {
            let world = unequal(remembers).run(seed);
            world.assert_rules_held();
            unrest(&world)
        });
        median(runs.collect())
    };
    let (with, without) = (of(true), of(false));
    assert!(with < 0.8 * without, "{with} s with what is remembered, {without} s without");
}

#[test]
fn a_liar_that_was_found_false_is_not_believed_anew_after_a_restart() {
    for seed in seeds(20) {
        // So near to the truth that the first answers alone hardly tell.
        let liar = Server::honest(Path::symmetric(1e-2, 1e-3))
            .with(Behaviour::Lies { by: Span::from_millis(23), from_s: 0.0 });
        let mut world = Scenario::new("a liar and a restart")
            .with_honest(3, &Path::symmetric(1e-2, 1e-3), 6)
            .with_server(liar, 6)
            .with_happening(RESTART_S, restart(5, true))
            .world(seed);
        world.run_for(RESTART_S);
        assert_eq!(world.report().sources[3].selection, Selection::Falseticker, "seed {seed}");
        for second in 0..600 {
            world.run_for(1);
            let part = world.report().sources[3].selection;
            let is_used = matches!(part, Selection::Chief | Selection::Combined);
            assert!(!is_used, "seed {seed}: {part:?} after {second} s");
        }
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn paths_that_are_not_what_they_were_break_no_promise_and_are_learned_anew() {
    for seed in seeds(10) {
        let mut world = unequal(true);
        for (server, way) in [(0, 5e-3), (1, 2e-2), (2, -9e-3)] {
            let path = &mut world.servers[server].path;
            path.up.route_changes.push((RESTART_S as f64, way));
        }
        let world = world.lasting(RESTART_S + 8_000).run(seed);
        world.assert_rules_held();
        let worst = world.records().estimate_errors.max_from(RESTART_S + 4_000);
        assert!(worst < 1e-2, "seed {seed}: {worst} s");
    }
}

#[test]
fn rules_hold_in_worlds_drawn_at_random_with_a_restart_in_the_middle() {
    for seed in seeds(400) {
        let after_s = [0, 30, 900, 3_600][seed as usize % 4];
        drawn(seed, 14_000)
            .with_happening(7_000, restart(after_s, true))
            .run(seed)
            .assert_rules_held();
    }
}

#[test]
fn a_process_that_is_killed_in_the_midst_of_a_slew_leaves_no_clock_that_races_on() {
    for seed in seeds(10) {
        // Half a minute back, which takes six minutes; then there is no network for an hour.
        let mut world = Scenario::new("killed in a slew")
            .with_honest(3, &Path::symmetric(1e-2, 1e-3), 6)
            .with_happening(5_000, Happening::SetClock(Span::from_secs(-30)))
            .with_partition(5_150.0, 8_700.0)
            .with_happening(5_200, Happening::Kill(10))
            .world(seed);
        world.run_for(5_211);
        let at_start = *world.records().clock_errors.from_s(5_200).last().expect("it ran");
        assert!(at_start < -5.0, "seed {seed}: it was slewed by then: {at_start} s");
        world.run_for(3_400);
        let at_end = *world.records().clock_errors.from_s(8_000).last().expect("it ran");
        assert!((at_end - at_start).abs() < 0.02, "seed {seed}: {at_start} s, then {at_end} s");
        world.run_for(3_000);
        world.assert_rules_held();
    }
}

#[test]
fn a_rate_that_is_another_after_a_reboot_breaks_no_promise() {
    for jump in [4e-5, -4e-5] {
        let oscillator =
            Oscillator { frequency_steps: vec![(7_000.0, jump)], ..Oscillator::default() };
        // Asked so seldom that all rests on the rate in between.
        let scenario = Scenario::new("another rate after a reboot")
            .with_honest(3, &Path::symmetric(1e-3, 1e-4), 8)
            .with_oscillator(oscillator)
            .with_happening(7_000, Happening::Reboot(30))
            .lasting(20_000);
        for seed in seeds(10) {
            let world = scenario.run(seed);
            world.assert_rules_held();
            let worst = world.records().clock_errors.max_from(12_000);
            assert!(worst < 2e-4, "seed {seed}: the clock is {worst} s off after {jump:e}");
        }
    }
}

#[test]
fn a_restart_does_not_begin_anew_to_wait_for_servers_that_are_gone() {
    const HOUR_S: i64 = 3_600;
    for seed in seeds(3) {
        let mut scenario = Scenario::new("two of three are gone, and a restart")
            .with_honest(3, &Path::symmetric(1e-2, 1e-3), 6)
            .with_happening(7 * HOUR_S, restart(5, true));
        for gone in &mut scenario.servers[1..] {
            gone.path.outages.push((2.0 * HOUR_S as f64, f64::MAX));
        }
        let mut world = scenario.world(seed);
        world.run_for(7 * HOUR_S - 10);
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        // The eight hours in which it has no word are over three hours later, not eight.
        world.run_for(HOUR_S);
        assert_ne!(world.state().state, SyncState::Synchronized, "seed {seed}");
        world.run_for(2 * HOUR_S + 600);
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn a_restarted_world_is_the_same_again_from_its_seed() {
    for seed in seeds(3) {
        let scenario = drawn(seed, 5_000).with_happening(2_000, restart(60, true));
        assert_eq!(scenario.run(seed).trace(), scenario.run(seed).trace(), "seed {seed}");
    }
}
