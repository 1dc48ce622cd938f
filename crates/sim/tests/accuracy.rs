//! How small the clock's error is. The limits are wide of what is reached, so that they say nothing
//! about one seed, and below what a mistake in the estimator or the servo costs.
//! `cargo xtask bench accuracy` prints the figures.

use timeball_sim::worlds::{compared, fixed_poll};
use timeball_sim::{World, clairvoyant_rms, median, seeds};

const SETTLED_S: i64 = 10_000;
const RUNS: u64 = 10;

fn clock_rms(world: &World) -> f64 {
    world.records().clock_errors.rms_from(SETTLED_S)
}

#[test]
fn the_error_stays_below_chronys_in_every_world_of_the_comparison() {
    let mut logarithms = Vec::new();
    for compared in compared() {
        let rms = |seed| {
            let world = compared.scenario.run(seed);
            world.records().clock_errors.rms_from(compared.judged_from_s)
        };
        let ratio = median(seeds(RUNS).into_iter().map(rms).collect()) / compared.chrony_rms_s;
        assert!(ratio < 0.95, "{}: {ratio:.2} of chrony's error", compared.scenario.name);
        logarithms.push(ratio.ln());
    }
    let mean = (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp();
    assert!(mean < 0.65, "{mean:.2} of chrony's error in the geometric mean");
}

#[test]
fn little_is_lost_against_who_knows_the_physics() {
    for (jitter, limit) in [(1e-5, 1.15), (1e-4, 1.15), (1e-3, 1.15), (1e-2, 1.4)] {
        for wander in [1e-9, 1e-8] {
            let run = |seed| {
                let world = fixed_poll("fixed poll", jitter, wander).run(seed);
                let raw_errors = &world.records().raw_errors;
                let best = clairvoyant_rms(world.exchanges(), raw_errors, wander, SETTLED_S);
                clock_rms(&world) / best
            };
            let ratio = median(seeds(RUNS).into_iter().map(run).collect());
            assert!(ratio < limit, "jitter {jitter:e}, wander {wander:e}: {ratio:.3}");
        }
    }
}
