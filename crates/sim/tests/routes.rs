//! Routes that change in one direction, by more than the round trip was.

use timeball_sim::{Behaviour, Path, Scenario, Server, Way, seeds};
use timeball_timebase::Span;

/// A path whose ways take so long, with so much jitter, and change by so much at some second.
fn path(up: (f64, f64), down: (f64, f64), up_change: (f64, f64), down_change: (f64, f64)) -> Path {
    let way =
        |(base, jitter), change| Way { route_changes: vec![change], ..Way::new(base, jitter) };
    Path { up: way(up, up_change), down: way(down, down_change), ..Path::default() }
}

/// Two servers become many times as far away, and their ways so unequal, as none was thought to be;
/// the third comes so near that it tells nearly all, and is asked seldom.
#[test]
fn paths_that_became_far_more_asymmetric_than_they_were_do_not_spoil_the_rate() {
    let never = (1e9, 0.0);
    let far = path((4e-4, 8e-5), (2e-4, 3e-4), (4_000.0, 7e-3), never);
    let farther = path((1e-3, 3e-5), (2e-3, 5e-5), never, (2_000.0, 2e-3));
    let near = path((1.2e-3, 1e-5), (4e-4, 7e-6), (6_000.0, -1.2e-3), (9_000.0, -4e-4));
    let lie = Behaviour::Lies { by: Span::from_secs(100), from_s: 0.0 };
    let scenario = Scenario::new("a route that changes")
        .with_usual(Server::honest(far))
        .with_usual(Server::honest(farther))
        .with_usual(Server::honest(near))
        .with_usual(Server::honest(Path::symmetric(1e-3, 1e-4)).with(lie))
        .lasting(60_000);
    for seed in seeds(10) {
        let mut world = scenario.world(seed);
        world.run_for(12_000);
        for _ in 0..48 {
            world.run_for(1_000);
            let rate = world.report().clock.frequency.as_ratio_f64();
            let error = rate - world.oscillator_rate();
            assert!(error.abs() < 5e-6, "seed {seed}: the rate is {error:e} off");
        }
        world.assert_rules_held();
    }
}
