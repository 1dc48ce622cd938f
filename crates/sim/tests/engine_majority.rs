//! A minority of falsetickers never moves the clock, whatever becomes of the majority.

use timeball_sim::{Behaviour, Oscillator, Path, Server, World, seeds};
use timeball_timebase::{Span, SyncState};

const HOUR_S: i64 = 3_600;

fn wan() -> Path {
    Path::symmetric(1e-2, 1e-3)
}

fn wan_with_outages(outages: &[(f64, f64)]) -> Path {
    Path { outages: outages.to_vec(), ..wan() }
}

fn world(seed: u64) -> World {
    let oscillator = Oscillator { wander: 1e-9, ..Oscillator::default() };
    World::new(seed).with_clock(oscillator, Span::from_millis(10))
}

fn liar(path: Path, by: Span, from_s: f64) -> Server {
    Server::honest(path).with(Behaviour::Lies { by, from_s })
}

/// The clock never left the truth by more after its first minute, and no bound was broken.
#[track_caller]
fn assert_unmoved(seed: u64, world: &World, limit: Span) {
    let worst = world.clock_errors().max_from(60);
    assert!(worst < limit.as_seconds_f64(), "seed {seed}: the clock was {worst} s off");
    assert_eq!(world.violations().first(), None, "seed {seed}");
}

#[test]
fn one_liar_of_four_does_not_move_the_clock() {
    for seed in seeds(10) {
        let by = Span::from_millis([100, -100, 25, -3_000, 400_000][seed as usize % 5]);
        let mut world = world(seed).with_server(liar(wan(), by, 0.0), 6);
        for _ in 0..3 {
            world = world.with_server(Server::honest(wan()), 6);
        }
        world.run_for(3 * HOUR_S);
        assert_unmoved(seed, &world, Span::from_millis(1));
    }
}

#[test]
fn a_liar_whose_witnesses_are_cut_off_does_not_become_the_majority() {
    for seed in seeds(10) {
        let cut_off = [(2_000.0, 2_000.0 + 4.0 * 3_600.0)];
        let by = Span::from_millis(if seed % 2 == 0 { 100 } else { -60 });
        let mut world = world(seed).with_server(liar(wan(), by, 0.0), 6);
        for _ in 0..3 {
            world = world.with_server(Server::honest(wan_with_outages(&cut_off)), 6);
        }
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
        let mut world = world(seed).with_server(
            liar(wan_with_outages(&[(2_000.0, 40_000.0)]), Span::from_secs(1), 1e4),
            6,
        );
        for _ in 0..3 {
            let path = wan_with_outages(&[(2_000.0, 42_000.0)]);
            world = world.with_server(Server::honest(path), 6);
        }
        world.run_for(45_000);
        assert_unmoved(seed, &world, Span::from_millis(50));
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
    }
}

#[test]
fn the_last_of_several_honest_sources_keeps_the_clock_right_and_the_bound_true() {
    for seed in seeds(5) {
        let mut world = world(seed).with_server(Server::honest(wan()), 6);
        for _ in 0..2 {
            let path = wan_with_outages(&[(5_000.0, 1e9)]);
            world = world.with_server(Server::honest(path), 6);
        }
        world.run_for(6 * HOUR_S);
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        assert_unmoved(seed, &world, Span::from_millis(1));
        let remnant_width = world.half_widths().values().last().copied().expect("it ran");
        assert!(remnant_width > 15e-3, "seed {seed}: one of three renewed the promise alone");
        // Once the others have been gone for long enough, one is the majority of one.
        world.run_for(6 * HOUR_S);
        let width = world.half_widths().values().last().copied().expect("it ran");
        assert!(width < 14e-3, "seed {seed}: {width} s");
    }
}

#[test]
fn a_server_that_leaves_the_truth_slowly_is_left_in_time() {
    for seed in seeds(5) {
        let drifting = Server::honest(wan()).with(Behaviour::Drifts { rate: 20e-6 });
        let mut world = world(seed).with_server(drifting, 6);
        for _ in 0..3 {
            world = world.with_server(Server::honest(wan()), 6);
        }
        world.run_for(3 * HOUR_S);
        assert_unmoved(seed, &world, Span::from_millis(11));
    }
}
