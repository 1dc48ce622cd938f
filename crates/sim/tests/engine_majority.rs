//! A minority of falsetickers never moves the clock, whatever becomes of the majority.

use timeball_ntp::engine::{PollRange, SourceOptions};
use timeball_sim::worlds::drawn;
use timeball_sim::{Behaviour, Path, Scenario, Server, World, seeds};
use timeball_timebase::{Span, SyncState};

const HOUR_S: i64 = 3_600;

fn wan() -> Path {
    Path::symmetric(1e-2, 1e-3)
}

fn wan_with_outages(outages: &[(f64, f64)]) -> Path {
    Path { outages: outages.to_vec(), ..wan() }
}

fn liar(path: Path, by: Span, from_s: f64) -> Server {
    Server::honest(path).with(Behaviour::Lies { by, from_s })
}

/// The clock never left the truth by more after its first minute, and no rule was broken.
#[track_caller]
fn assert_unmoved(seed: u64, world: &World, limit: Span) {
    let worst = world.records().clock_errors.max_from(60);
    assert!(worst < limit.as_seconds_f64(), "seed {seed}: the clock was {worst} s off");
    world.assert_rules_held();
}

fn last_width(world: &World) -> f64 {
    world.records().half_widths.values().last().copied().expect("it ran")
}

#[test]
fn one_liar_of_four_does_not_move_the_clock() {
    // Of four answers it takes hardly more than the round trip of 20 ms to be found false.
    let lies_ms = [100, -100, 25, -23, -3_000, 400_000];
    for seed in seeds(100) {
        let by = Span::from_millis(lies_ms[seed as usize % lies_ms.len()]);
        let world = Scenario::new("one liar of four")
            .with_server(liar(wan(), by, 0.0), 6)
            .with_honest(3, &wan(), 6)
            .lasting(3 * HOUR_S)
            .run(seed);
        // The first minutes are the jitter of few answers, with a liar or without.
        assert_unmoved(seed, &world, Span::from_millis(3));
        let worst = world.records().clock_errors.max_from(600);
        assert!(worst < 1e-3, "seed {seed}: the clock was {worst} s off after ten minutes");
    }
}

#[test]
fn a_liar_whose_witnesses_are_cut_off_does_not_become_the_majority() {
    for seed in seeds(10) {
        let cut_off = [(2_000.0, 2_000.0 + 4.0 * 3_600.0)];
        let by = Span::from_millis(if seed % 2 == 0 { 100 } else { -60 });
        let mut world = Scenario::new("witnesses cut off")
            .with_server(liar(wan(), by, 0.0), 6)
            .with_honest(3, &wan_with_outages(&cut_off), 6)
            .world(seed);
        world.run_for(2 * HOUR_S);
        assert_eq!(world.state().state, SyncState::Holdover, "seed {seed}");
        assert!(!world.kernel().synchronized, "seed {seed}: the kernel was not told");
        world.run_for(4 * HOUR_S);
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        assert_unmoved(seed, &world, Span::from_millis(10));
    }
}

#[test]
fn a_liar_that_is_back_first_after_a_long_outage_is_not_believed() {
    for seed in seeds(10) {
        let path = wan_with_outages(&[(2_000.0, 40_000.0)]);
        let world = Scenario::new("a liar is back first")
            .with_server(liar(path, Span::from_secs(1), 1e4), 6)
            .with_honest(3, &wan_with_outages(&[(2_000.0, 42_000.0)]), 6)
            .lasting(45_000)
            .run(seed);
        assert_unmoved(seed, &world, Span::from_millis(50));
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
    }
}

#[test]
fn a_liar_that_is_heard_first_when_the_network_comes_is_not_believed() {
    for seed in seeds(10) {
        let path = |until_s| wan_with_outages(&[(0.0, until_s)]);
        let world = Scenario::new("started without a network")
            .with_server(liar(path(2_000.0), Span::from_secs(1), 0.0), 6)
            .with_honest(3, &path(2_002.0), 6)
            .lasting(2 * HOUR_S)
            .run(seed);
        assert!(world.records().clock_errors.max_from(2_600) < 3e-3, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn the_last_of_several_honest_sources_keeps_the_clock_right_and_the_bound_true() {
    for seed in seeds(5) {
        let mut world = Scenario::new("one of three is left")
            .with_honest(1, &wan(), 6)
            .with_honest(2, &wan_with_outages(&[(5_000.0, 1e9)]), 6)
            .world(seed);
        world.run_for(6 * HOUR_S);
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        assert_unmoved(seed, &world, Span::from_millis(2));
        assert!(last_width(&world) > 15e-3, "seed {seed}: one of three renewed the promise alone");
        // Once the others have been gone for long enough, one is the majority of one.
        world.run_for(6 * HOUR_S);
        assert!(last_width(&world) < 14e-3, "seed {seed}: {} s", last_width(&world));
    }
}

#[test]
fn a_server_that_leaves_the_truth_slowly_is_left_in_time() {
    for seed in seeds(5) {
        let drifting = Server::honest(wan()).with(Behaviour::Drifts { rate: 20e-6 });
        let world = Scenario::new("a server drifts away")
            .with_server(drifting, 6)
            .with_honest(3, &wan(), 6)
            .lasting(3 * HOUR_S)
            .run(seed);
        assert_unmoved(seed, &world, Span::from_millis(11));
    }
}

#[test]
fn a_trusted_server_is_followed_against_any_number_of_others() {
    let trusting = SourceOptions { trust: true, ..SourceOptions::default() };
    let every_minute = PollRange { min: 6, max: 6 };
    for seed in seeds(5) {
        let crowd = || liar(wan(), Span::from_millis(100), 0.0);
        let scenario = Scenario::new("trusted against three")
            .with_server(crowd(), 6)
            .with_server(crowd(), 6)
            .with_server(crowd(), 6)
            .with_source(Server::honest(wan()), every_minute, trusting)
            .lasting(3 * HOUR_S);
        let world = scenario.run(seed);
        let worst = world.records().clock_errors.max_from(60);
        assert!(worst < 1e-2, "seed {seed}: the clock was {worst} s off");
        let state = world.state();
        assert_eq!(state.state, SyncState::Synchronized, "seed {seed}");
    }
}

#[test]
fn the_twentieth_source_is_used_as_the_first_is() {
    let polls = PollRange { min: 6, max: 8 };
    let unused = SourceOptions { noselect: true, ..SourceOptions::default() };
    for seed in seeds(2) {
        let far = Server::honest(wan());
        let many = Scenario::new("sixteen that only are measured");
        let many = (0..16).fold(many, |many, _| many.with_source(far.clone(), polls, unused));
        let options = SourceOptions::default();
        let many = (0..4).fold(many, |many, _| many.with_source(far.clone(), polls, options));
        let world = many.lasting(3 * HOUR_S).run(seed);
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        assert_unmoved(seed, &world, Span::from_millis(3));
        let sources = world.report().sources;
        let rarely = sources[16..].iter().any(|source| source.poll > 6);
        assert!(rarely, "seed {seed}: asked too often");
    }
}

/// The clock's error (RMS, in seconds) by the best source alone, and by the same one beside two
/// true ones and a bad one.
fn beside_the_best(seed: u64, bad: &Server) -> (f64, f64) {
    let best = Server::honest(Path::symmetric(1e-3, 2e-5));
    let alone = Scenario::new("the best alone").lasting(6 * HOUR_S).with_server(best, 6);
    let all = alone.clone().with_honest(2, &wan(), 6).with_server(bad.clone(), 6);
    let rms = |scenario: Scenario| {
        let world = scenario.run(seed);
        world.assert_rules_held();
        world.records().clock_errors.rms_from(HOUR_S)
    };
    (rms(alone), rms(all))
}

#[test]
fn a_bad_source_that_can_be_told_makes_nothing_worse_than_the_best_one_alone() {
    let near = || Path::symmetric(1e-4, 1e-6);
    let bad = [
        ("lies", liar(near(), Span::from_millis(40), 0.0)),
        ("lies later", liar(near(), Span::from_millis(-25), 1e4)),
        ("is noisy", Server::honest(Path::symmetric(5e-2, 3e-2))),
    ];
    for seed in seeds(5) {
        for (what, bad) in &bad {
            let (alone, all) = beside_the_best(seed, bad);
            assert!(all < 1.2 * alone, "seed {seed}: one {what}: {all} s, without {alone} s");
        }
    }
}

/// An honest server at the end of a path that is long one way, or one that leaves the truth more
/// slowly than its round trip tells: nobody could know. It has the weight of its round trip.
#[test]
fn a_bad_source_that_nobody_can_tell_moves_the_clock_by_a_hundredth_of_its_error() {
    let mut crooked = Path::symmetric(1e-3, 1e-4);
    crooked.up.base = 3e-2;
    let bad = [
        ("is far one way", Server::honest(crooked), 14.5e-3),
        ("drifts", Server::honest(wan()).with(Behaviour::Drifts { rate: 1e-6 }), 10e-3),
    ];
    for seed in seeds(5) {
        for (what, bad, error) in &bad {
            let (_, all) = beside_the_best(seed, bad);
            assert!(all < error / 100.0, "seed {seed}: one {what}: {all} s");
        }
    }
}

/// The drawn world whose liar is off by this much from when it begins to be.
fn with_lie(scenario: &Scenario, by: Span) -> Scenario {
    let mut scenario = scenario.clone();
    for server in scenario.servers.iter_mut().filter(|server| !server.is_honest()) {
        let from_s = match server.behaviour {
            Behaviour::Lies { from_s, .. } => from_s,
            _ => 0.0,
        };
        server.behaviour = Behaviour::Lies { by, from_s };
    }
    scenario
}

/// No sleep of a drawn world is as long as these lies, so nobody can believe either of them. What
/// the clock and the estimate of it do must then be the same to the bit: nothing that is told by a
/// falseticker counts. (How wide the bound is may depend on it: when a server begins to lie, its
/// answers seem to tell of another rate, and that is voted on.)
#[test]
fn how_far_off_a_liar_is_whom_nobody_can_believe_changes_nothing() {
    for seed in seeds(200) {
        let scenario = drawn(seed, 20_000);
        let day = Span::from_minutes(24 * 60) * if seed % 2 == 0 { 1 } else { -1 };
        let worlds = [day, day * 3].map(|by| with_lie(&scenario, by).run(seed));
        let [one, other] = worlds.each_ref().map(World::records);
        assert_eq!(one.clock_errors, other.clock_errors, "seed {seed}");
        assert_eq!(one.estimate_errors, other.estimate_errors, "seed {seed}");
    }
}
