//! The planner in a world that goes wrong, from a seed: slow, failing and forgetful stores,
//! crashes, clocks that are set, targets that hang.
//!
//! `TIMEBALL_SEED=n` replays one seed; a failure prints its own. `TIMEBALL_SEEDS=n` runs that many
//! in each test, or those of `from..to`; 10,008 worlds, in slices, are `cargo xtask bench restart`
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
mod world;

use world::{World, seeds};

/// Runs a world for some minutes of its own time and checks all that must hold.
fn run(seed: u64, chaos: world::Chaos) {
    let outcome = std::panic::catch_unwind(|| {
        let mut world = World::new(seed, chaos);
        world.run();
        world.settle();
        world.check();
    });
    assert!(outcome.is_ok(), "replay with TIMEBALL_SEED={seed}");
}

#[test]
fn in_a_calm_world_every_instant_is_fired_on_time_with_one_commit_a_second() {
    for seed in seeds(20) {
        run(seed, world::Chaos::default());
    }
}

#[test]
fn crashes_leave_each_instant_with_exactly_one_outcome() {
    for seed in seeds(30) {
        run(seed, world::Chaos { crashes: true, ..Default::default() });
    }
}

#[test]
fn clock_steps_neither_lose_nor_repeat_an_instant() {
    for seed in seeds(30) {
        run(seed, world::Chaos { steps: true, ..Default::default() });
    }
}

#[test]
fn failing_and_slow_stores_neither_lose_nor_repeat_an_instant() {
    for seed in seeds(30) {
        run(seed, world::Chaos { store: true, ..Default::default() });
    }
}

#[test]
fn hanging_targets_obey_the_concurrency_policy_and_the_limits() {
    for seed in seeds(30) {
        run(seed, world::Chaos { hangs: true, ..Default::default() });
    }
}

#[test]
fn edits_leave_each_instant_of_each_expression_with_exactly_one_outcome() {
    for seed in seeds(40) {
        let crashes = seed % 2 == 0;
        run(
            seed,
            world::Chaos { edits: true, crashes, store: seed % 3 == 0, ..Default::default() },
        );
    }
}

#[test]
fn everything_at_once_still_leaves_exactly_one_outcome() {
    for seed in seeds(60) {
        let chaos = world::Chaos {
            crashes: true,
            steps: true,
            store: true,
            hangs: true,
            suspends: true,
            edits: false,
            control: false,
        };
        run(seed, chaos);
    }
}

#[test]
fn what_is_asked_for_has_one_outcome_and_nothing_is_fired_while_paused() {
    for seed in seeds(40) {
        run(seed, world::Chaos { control: true, ..Default::default() });
    }
}

#[test]
fn pauses_runs_and_backfills_survive_crashes_steps_edits_and_failing_stores() {
    for seed in seeds(60) {
        let chaos = world::Chaos {
            control: true,
            crashes: seed % 2 == 0,
            steps: seed % 3 == 0,
            store: seed % 5 == 0,
            hangs: seed % 7 == 0,
            suspends: false,
            edits: seed % 3 == 1,
        };
        run(seed, chaos);
    }
}
