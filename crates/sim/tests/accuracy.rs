//! How small the clock's error is. The limits are wide of what is reached, so that they say nothing
//! about one seed, and below what a mistake in the estimator or the servo costs.
//! `cargo xtask bench accuracy` prints the figures.

use timeball_sim::worlds::{compared, fixed_poll};
use timeball_sim::{
    Behaviour, Oscillator, Path, Scenario, Server, World, clairvoyant_rms, median, seeds,
};
use timeball_timebase::Span;

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

/// The median, in seconds, of the clock's error in that world.
fn median_rms(scenario: &Scenario) -> f64 {
    median(seeds(RUNS).into_iter().map(|seed| clock_rms(&scenario.run(seed))).collect())
}

#[test]
fn a_source_that_is_a_little_off_leaves_the_clock_to_those_that_agree() {
    let wan = Path::symmetric(1e-2, 1e-3);
    for others in [2, 3] {
        let lie = Behaviour::Lies { by: Span::from_millis(5), from_s: 0.0 };
        let scenario = Scenario::new("a small lie")
            .with_honest(others, &wan, 6)
            .with_server(Server::honest(wan.clone()).with(lie), 6);
        let rms = median_rms(&scenario);
        assert!(rms < 150e-6, "beside {others} that agree: {rms} s");
    }
}

#[test]
fn a_rate_that_changes_by_less_than_the_noise_of_one_interval_is_followed() {
    for by in [1e-5, -2e-5] {
        let frequency_steps = vec![(20_000.0, by)];
        let oscillator = Oscillator { frequency_steps, ..Oscillator::default() };
        let wan = Path::symmetric(1e-2, 1e-3);
        let scenario = Scenario::new("a step below the noise")
            .with_oscillator(oscillator)
            .with_honest(1, &wan, 6);
        let rms = median_rms(&scenario);
        assert!(rms < 400e-6, "{by}: {rms} s");
    }
}

#[test]
fn a_long_path_whose_queues_are_short_is_followed_as_closely_as_they_allow() {
    let scenario = Scenario::new("far and calm").with_honest(1, &Path::symmetric(0.15, 1e-4), 6);
    let rms = median_rms(&scenario);
    assert!(rms < 120e-6, "{rms} s");
}
