//! Clocks at hand among servers: right, wrong by little and by much, silent, and over a leap
//! second.

use timeball_ntp::engine::Selection;
use timeball_sim::worlds::drawn;
use timeball_sim::{
    Behaviour, ClockAtHand, ClockKind, Happening, Noise, Path, Scenario, Server, World, seeds,
};
use timeball_timebase::{Span, SyncState};

const TAI: ClockKind = ClockKind::Counter { ahead: Span::from_secs(37) };
/// Stream of random numbers of these tests' own.
const CLOCKS: u64 = 2_000;

/// A clock that takes this long to read, in seconds, and is then right to some 100 ns.
fn clock(kind: ClockKind, delay: f64) -> Server {
    let path = Path::symmetric(delay / 2.0, delay / 10.0);
    Server::at_hand(ClockAtHand { kind, scatter: 1e-7 }, path)
}

fn lies(server: Server, by: Span) -> Server {
    server.with(Behaviour::Lies { by, from_s: 2_000.0 })
}

/// Three servers across a wide area.
fn servers(name: &str) -> Scenario {
    Scenario::new(name).with_honest(3, &Path::symmetric(1e-2, 1e-3), 6).lasting(9_000)
}

fn part(world: &World, source: usize) -> Selection {
    world.report().sources[source].selection
}

#[test]
fn a_true_clock_at_hand_is_followed_to_what_reading_it_takes() {
    for seed in seeds(5) {
        for kind in [TAI, ClockKind::Utc, ClockKind::Pulse] {
            let world = servers("a clock at hand").with_clock(clock(kind, 2e-6), 0).run(seed);
            world.assert_rules_held();
            let worst = world.records().clock_errors.max_from(3_600);
            assert!(worst < 2e-6, "seed {seed}: {kind:?}: {worst} s");
            assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        }
        let alone = Scenario::new("a clock alone").with_clock(clock(TAI, 2e-6), 0).lasting(3_000);
        let world = alone.run(seed);
        world.assert_rules_held();
        let worst = world.records().clock_errors.max_from(600);
        assert!(worst < 2e-6, "seed {seed}: {worst} s");
        let width = world.records().half_widths.max_from(600);
        assert!(width < 1e-4, "seed {seed}: {width} s");
    }
}

#[test]
fn a_pulse_that_is_wrong_by_a_millisecond_breaks_no_promise() {
    for seed in seeds(20) {
        let by = Span::from_millis(if seed % 2 == 0 { 1 } else { -1 });
        let pulse = lies(clock(ClockKind::Pulse, 2e-6), by);
        servers("a pulse is off").with_clock(pulse, 0).run(seed).assert_rules_held();
    }
}

#[test]
fn a_clock_in_the_wrong_second_is_found_false() {
    for seed in seeds(5) {
        for by_s in [1, -1, 19] {
            for kind in [TAI, ClockKind::Utc] {
                let wrong = lies(clock(kind, 2e-6), Span::from_secs(by_s));
                let world = servers("a wrong second").with_clock(wrong, 0).run(seed);
                assert_eq!(part(&world, 3), Selection::Falseticker, "seed {seed}: {by_s} s");
                world.assert_rules_held();
            }
        }
    }
}

#[test]
fn a_clock_that_falls_silent_or_says_that_it_lost_its_time_breaks_no_promise() {
    for seed in seeds(5) {
        let mut silent = clock(ClockKind::Utc, 2e-6);
        silent.path.outages = vec![(3_000.0, 1e9)];
        let lost = clock(TAI, 2e-6).with(Behaviour::HonestUntil { until_s: 4_000.0 });
        let world = servers("clocks fall silent").with_clock(silent, 0).with_clock(lost, 0);
        let world = world.run(seed);
        assert_eq!(part(&world, 3), Selection::Unreachable, "seed {seed}");
        assert_eq!(part(&world, 4), Selection::Unreachable, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn clocks_of_every_kind_make_the_leap_second() {
    for seed in seeds(4) {
        for is_inserted in [true, false] {
            let world = servers("clocks and a leap second")
                .with_clock(clock(TAI, 2e-6), 0)
                .with_clock(clock(ClockKind::Utc, 2e-6), 0)
                .with_clock(clock(ClockKind::Pulse, 2e-6), 0)
                .with_leap_second(is_inserted, 5_000)
                .run(seed);
            for source in 3..6 {
                assert_ne!(part(&world, source), Selection::Falseticker, "seed {seed}: {source}");
            }
            assert!(world.records().clock_errors.max_from(5_010) < 2e-3, "seed {seed}");
            world.assert_rules_held();
        }
    }
}

#[test]
fn one_server_that_announces_the_leap_second_is_enough_beside_clocks_that_cannot() {
    for seed in seeds(4) {
        let world = Scenario::new("a server, a pulse and a counter")
            .with_honest(1, &Path::symmetric(1e-3, 1e-5), 6)
            .with_clock(clock(ClockKind::Pulse, 2e-6), 0)
            .with_clock(clock(TAI, 2e-6), 0)
            .with_leap_second(true, 5_000)
            .lasting(9_000)
            .run(seed);
        assert!(world.records().clock_errors.max_from(5_010) < 2e-3, "seed {seed}");
        world.assert_rules_held();
    }
}

/// Two clocks at hand of any kind beside four servers of which one lies; now and then one of the
/// clocks does, too, which leaves four of six that are true.
#[test]
fn rules_hold_in_worlds_drawn_at_random_with_clocks_at_hand() {
    for seed in seeds(50) {
        let mut noise = Noise::new(seed, CLOCKS);
        let mut scenario = drawn(seed, 12_000);
        let false_one = noise.below(4);
        for index in 0..2 {
            let kind = [TAI, ClockKind::Utc, ClockKind::Pulse][noise.below(3)];
            let mut one = clock(kind, noise.magnitude(1e-7, 1e-3));
            let sign = noise.sign();
            let error = sign * noise.magnitude(1e-8, 1e-4);
            one.error = Span::from_seconds_f64(error).unwrap_or_default();
            let by = noise.sign() * noise.magnitude(1e-5, 1e-1);
            if index == false_one {
                one = lies(one, Span::from_seconds_f64(by).unwrap_or_default());
            }
            if noise.chance(0.3) {
                let from = noise.between(0.0, 12_000.0);
                one.path.outages.push((from, from + noise.magnitude(10.0, 6_000.0)));
            }
            scenario = scenario.with_clock(one, 3);
        }
        if noise.chance(0.3) {
            let restart = Happening::Restart { after_s: 60, remembers: true };
            scenario = scenario.with_happening(6_000, restart);
        }
        scenario.run(seed).assert_rules_held();
    }
}
