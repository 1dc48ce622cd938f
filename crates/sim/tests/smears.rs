//! All servers smear a leap second, as those of one cloud do: the clock follows, and the bound is
//! one on the time that they keep.

use timeball_ntp::engine::PollRange;
use timeball_sim::{Path, Scenario, Server, Smear, World, seeds};
use timeball_timebase::{Leap, SyncState};

const NOON_S: i64 = 20_000;
const DAY_S: i64 = 86_400;
/// The rate is again what it was, and known to be.
const END_S: i64 = NOON_S + DAY_S + 14_000;

/// Three servers of one cloud.
fn cloud(smear: Smear, poll: PollRange) -> Scenario {
    let server = Server::honest(Path::symmetric(3e-4, 5e-5));
    (0..3)
        .fold(Scenario::new("a cloud smears"), |scenario, _| {
            scenario.with_source(server.clone(), poll, Default::default())
        })
        .with_leap_second(true, NOON_S + DAY_S / 2)
        .smearing(smear)
        .lasting(NOON_S + DAY_S + 18_000)
}

/// The largest error of the clock, and how far and for how many seconds it was outside of what was
/// promised.
fn judge(world: &World) -> (f64, f64, usize) {
    let records = world.records();
    let (errors, widths) = (records.clock_errors.from_s(3_600), records.half_widths.from_s(3_600));
    let outside = errors.iter().zip(widths).map(|(error, width)| error.abs() - width);
    let outside: Vec<f64> = outside.filter(|outside| *outside > 0.0).collect();
    let furthest = outside.iter().copied().fold(0.0, f64::max);
    (records.clock_errors.max_from(3_600), furthest, outside.len())
}

#[test]
fn the_clock_follows_servers_that_smear_and_the_bound_is_on_what_they_keep() {
    let every = |poll| PollRange { min: poll, max: poll };
    let usual = (PollRange::default(), 0.2, 0.1);
    for (poll, error_max, outside_max) in [usual, (every(6), 2e-3, 1e-3), (every(4), 2e-3, 1e-3)] {
        for smear in [Smear::Linear, Smear::Cosine] {
            for seed in seeds(3) {
                let world = cloud(smear, poll).run(seed);
                let (error, outside, seconds) = judge(&world);
                let told = format!("seed {seed}: {smear:?} {poll:?}: {error} {outside} {seconds}");
                assert!(error < error_max, "{told}");
                // A rate that changes by more than the drift allowance breaks promises for a while.
                assert!(outside < outside_max && seconds < 8_640, "{told}");
                assert!(world.records().clock_errors.max_from(END_S) < 1e-2, "{told}");
                assert_eq!(world.state().state, SyncState::Synchronized, "{told}");
                assert_eq!((world.state().leap, world.report().counters.steps), (Leap::None, 0));
            }
        }
    }
}
