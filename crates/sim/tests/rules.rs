//! What must always hold, at every step, in worlds where everything goes wrong.

use timeball_ntp::engine::ClockMode;
use timeball_sim::worlds::{compared, drawn};
use timeball_sim::{Attack, Behaviour, Happening, Oscillator, Path, Rule, Scenario, Server, seeds};
use timeball_timebase::Span;

fn hold(scenario: &Scenario, runs: u64) {
    for seed in seeds(runs) {
        scenario.run(seed).assert_rules_held();
    }
}

fn wan(name: &str) -> Scenario {
    Scenario::new(name).with_honest(3, &Path::symmetric(1e-2, 1e-3), 6).lasting(20_000)
}

fn lies(by_ms: i64, from_s: f64) -> Behaviour {
    Behaviour::Lies { by: Span::from_millis(by_ms), from_s }
}

fn liar(behaviour: Behaviour) -> Server {
    Server::honest(Path::symmetric(1e-2, 1e-3)).with(behaviour)
}

/// The short form of `cargo xtask bench bound`.
#[test]
fn rules_hold_in_worlds_drawn_at_random() {
    for seed in seeds(100) {
        drawn(seed, 30_000).run(seed).assert_rules_held();
    }
}

#[test]
fn rules_hold_in_the_worlds_of_the_comparison() {
    for compared in compared() {
        hold(&compared.scenario.lasting(15_000), 5);
    }
}

/// The rate of `fstep` jumps by more than the settings allow for: that breaks promises for moments,
/// and no more.
#[test]
fn a_jump_of_the_rate_beyond_the_allowance_breaks_promises_only_until_the_next_answers() {
    let jumps = compared().into_iter().find(|compared| compared.scenario.name == "fstep");
    let scenario = jumps.expect("it is one of them").scenario;
    let at_s = scenario.oscillator.frequency_steps[0].0 as i64;
    for seed in seeds(5) {
        let mut world = scenario.world(seed);
        world.run_for(at_s - 1);
        world.assert_rules_held();
        world.run_for(300);
        let broken = world.violation_count();
        world.run_for(5_000);
        assert_eq!(world.violation_count(), broken, "seed {seed}");
        let others = world.violations().iter().find(|violation| violation.rule != Rule::Bound);
        assert_eq!(others, None, "seed {seed}");
    }
}

#[test]
fn a_liar_moves_nothing_whenever_it_begins_and_however_near_it_is() {
    for by_ms in [-100_000, -100, 15, 100, 900] {
        for from_s in [0.0, 300.0, 7_000.0] {
            hold(&wan("a liar").with_server(liar(lies(by_ms, from_s)), 6), 3);
        }
    }
}

#[test]
fn a_liar_with_the_best_path_moves_nothing() {
    let near = Server::honest(Path::symmetric(5e-5, 1e-5)).with(lies(100, 5_000.0));
    hold(&wan("a near liar").with_server(near, 6), 10);
}

#[test]
fn a_server_that_drifts_away_moves_nothing() {
    for rate in [-1e-4, 1e-6, 3e-5] {
        hold(&wan("a drifter").with_server(liar(Behaviour::Drifts { rate }), 6), 3);
    }
}

#[test]
fn forged_repeated_and_senseless_datagrams_move_nothing() {
    for attack in [Attack::Spoof, Attack::Replay, Attack::Garbage] {
        hold(&wan("an attack").with_attack(attack), 3);
    }
}

#[test]
fn rules_hold_over_outages_of_hours() {
    hold(&wan("an outage").with_partition(9_000.0, 18_000.0).lasting(30_000), 10);
}

#[test]
fn rules_hold_when_the_machine_sleeps_or_the_process_stalls() {
    let world = wan("sleep and stalls")
        .with_happening(3_000, Happening::sleep(7_200))
        .with_happening(15_000, Happening::Stall(30))
        .with_happening(16_000, Happening::Stall(3));
    hold(&world, 10);
}

#[test]
fn rules_hold_when_every_write_is_refused_for_a_while() {
    let world = wan("refused")
        .with_happening(5_000, Happening::RefuseWrites(true))
        .with_happening(9_000, Happening::RefuseWrites(false));
    hold(&world, 5);
}

#[test]
fn rules_hold_when_somebody_else_sets_the_clock() {
    for by_s in [-3_600, 7] {
        let set = Happening::SetClock(Span::from_secs(by_s));
        hold(&wan("set by another").with_happening(9_000, set), 5);
    }
}

#[test]
fn a_paused_machine_is_right_again_after_its_servers_were_asked() {
    for seed in seeds(5) {
        let world = wan("paused").with_happening(5_000, Happening::Pause(90)).run(seed);
        world.assert_rules_held();
        let error = world.state().offset.expect("servers answer").abs();
        assert!(error < Span::from_millis(1), "seed {seed}: {error}");
    }
}

#[test]
fn rules_hold_in_observe_mode_and_with_polls_from_a_sixteenth_of_a_second_to_a_day() {
    for (poll, length_s) in [(-4, 150), (0, 1_500), (10, 60_000), (17, 400_000)] {
        let path = Path::symmetric(1e-2, 1e-3);
        let mut world = Scenario::new("observed").with_honest(3, &path, poll).lasting(length_s);
        world.tick_s = (length_s / 20_000).max(1);
        hold(&world, 2);
        hold(&world.with_config(|config| config.mode = ClockMode::Observe), 2);
    }
}

#[test]
fn routes_that_change_in_one_direction_break_no_promise() {
    let mut path = Path::symmetric(5e-3, 1e-4);
    path.up.route_changes = vec![(6_000.0, 5e-3), (14_000.0, -7e-3)];
    path.down.route_changes = vec![(10_000.0, 3e-3)];
    hold(&Scenario::new("routes").with_honest(1, &path, 6).lasting(20_000), 5);
    hold(&Scenario::new("routes").with_honest(4, &path, 6).lasting(20_000), 5);
}

#[test]
fn temperature_within_the_allowance_breaks_no_promise() {
    for period in [600.0, 7_200.0, 86_400.0] {
        let oscillator = Oscillator { temperature: (4e-7, period), ..Oscillator::default() };
        let path = Path::symmetric(5e-5, 1e-5);
        let world = Scenario::new("temperature").with_usual(Server::honest(path));
        hold(&world.with_oscillator(oscillator), 3);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_another() {
    for seed in seeds(20) {
        let scenario = drawn(seed, 5_000);
        let trace = scenario.run(seed).trace();
        assert_eq!(trace, scenario.run(seed).trace(), "seed {seed}");
        assert_ne!(trace, scenario.run(seed + 1).trace(), "seed {seed}");
    }
}

#[test]
fn what_lies_between_two_readings_of_the_clocks_is_in_the_bound() {
    let beside = Path::symmetric(2e-6, 1e-7);
    for mode in [ClockMode::Observe, ClockMode::Discipline] {
        for apart in [Span::from_micros(1), Span::from_micros(50)] {
            let scenario = Scenario::new("interrupted between readings")
                .with_readings_apart(apart)
                .with_honest(1, &beside, 4)
                .with_config(|config| config.mode = mode)
                .lasting(4_000);
            hold(&scenario, 5);
        }
    }
}
