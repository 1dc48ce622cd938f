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

#[test]
fn the_standard_errors_that_are_told_are_no_smaller_than_errors_are() {
    const EVERY_S: i64 = 64;
    for (jitter, wander) in [(1e-5, 1e-9), (1e-4, 1e-9), (1e-4, 1e-8), (1e-3, 1e-9)] {
        let (mut told, mut within, mut squares) = (0.0, 0.0, 0.0);
        for seed in seeds(RUNS) {
            let mut world = fixed_poll("standard errors", jitter, wander).world(seed);
            world.run_for(SETTLED_S);
            for _ in 0..200 {
                world.run_for(EVERY_S);
                let report = world.report();
                let (offset_sd, frequency_sd) =
                    report.offset_error.zip(report.frequency_error).expect("something is known");
                let error = world.records().estimate_errors.values().last().expect("a record");
                let rate_error = report.clock.frequency.as_ratio_f64() - world.oscillator_rate();
                told += 1.0;
                within += f64::from(error.abs() <= 2.0 * offset_sd.as_seconds_f64());
                squares += (rate_error / frequency_sd.as_ratio_f64()).powi(2);
            }
        }
        let what = format!("jitter {jitter:e}, wander {wander:e}");
        let share = within / told;
        assert!(share > 0.9, "{what}: {share:.3} of the errors are within two standard errors");
        let rate = f64::sqrt(squares / told);
        assert!(rate < 1.5, "{what}: errors of the rate are {rate:.2} standard errors");
    }
}
