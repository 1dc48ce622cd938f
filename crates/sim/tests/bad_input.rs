//! What servers and the kernel may do that they should not: counted, named and survived.

use timeball_ntp::engine::{AdjustError, Selection};
use timeball_sim::{
    Behaviour, Broken, Happening, Path, RefusedWrite, Scenario, Server, World, seeds,
};
use timeball_timebase::{Span, SyncState, Timestamp};

const YEAR_S: i64 = 31_557_600;

fn lan() -> Path {
    Path::symmetric(2e-3, 1e-4)
}

fn honest(name: &str) -> Scenario {
    Scenario::new(name).with_honest(3, &lan(), 6).lasting(6_000)
}

fn server(behaviour: Behaviour) -> Server {
    Server::honest(lan()).with(behaviour)
}

/// Each way of being broken, and the reason that is counted for it.
const BROKEN: [(Broken, &str); 13] = [
    (Broken::Unsynchronized, "unsynchronized"),
    (Broken::Stratum(0), "kiss-of-death"),
    (Broken::Stratum(16), "stratum"),
    (Broken::Stratum(255), "stratum"),
    (Broken::Kiss(*b"RATE"), "kiss-of-death"),
    (Broken::Kiss(*b"XYZZ"), "kiss-of-death"),
    (Broken::ZeroTransmit, "zero-timestamp"),
    (Broken::Distant, "root-distance"),
    (Broken::LongTurnaround, "turnaround"),
    (Broken::NegativeTurnaround, "turnaround"),
    (Broken::Truncated, "truncated"),
    (Broken::Oversized, "oversized"),
    (Broken::ForeignOrigin, "origin-mismatch"),
];

#[test]
fn a_broken_server_among_good_ones_is_counted_named_and_not_used() {
    for (broken, reason) in BROKEN {
        let world = honest("one is broken").with_server(server(Behaviour::Broken(broken)), 6);
        let world = world.run(seeds(1)[0]);
        world.assert_rules_held();
        let source = &world.report().sources[3];
        assert!(source.rejections.contains_key(reason), "{broken:?}: {:?}", source.rejections);
        assert!(
            matches!(source.selection, Selection::Unfit | Selection::Unreachable),
            "{broken:?}"
        );
        assert!(world.records().clock_errors.max_from(120) < 1e-3, "{broken:?}");
        assert_eq!(world.state().state, SyncState::Synchronized, "{broken:?}");
    }
}

#[test]
fn of_broken_servers_alone_nothing_is_believed() {
    for (broken, reason) in BROKEN {
        let scenario = Scenario::new("all are broken").lasting(2_000);
        let broken_one = || server(Behaviour::Broken(broken));
        let scenario = (0..3).fold(scenario, |scenario, _| scenario.with_server(broken_one(), 6));
        let world = scenario.run(seeds(1)[0]);
        let state = world.state();
        assert_eq!((state.state, state.bound), (SyncState::Unsynchronized, None), "{broken:?}");
        assert!(!world.kernel().synchronized, "{broken:?}");
        let report = world.report();
        assert_eq!((report.counters.updates, report.counters.steps), (0, 0), "{broken:?}");
        let named = report.sources.iter().all(|source| source.rejections.contains_key(reason));
        assert!(named, "{broken:?}");
    }
}

#[test]
fn a_server_that_jumps_by_years_moves_nothing() {
    for seed in seeds(3) {
        for years in [-60, -1, 1, 60] {
            let by = Span::from_secs(years * YEAR_S);
            let world = honest("jumps by years")
                .with_server(server(Behaviour::Lies { by, from_s: 2_000.0 }), 6)
                .run(seed);
            world.assert_rules_held();
            assert!(world.records().clock_errors.max_from(120) < 1e-3, "seed {seed}: {years}");
            assert_eq!(world.report().sources[3].selection, Selection::Falseticker, "{years}");
        }
    }
}

#[test]
fn where_all_lie_differently_nothing_is_promised() {
    for seed in seeds(5) {
        let lies = [-3_600, -5, 7, 90_000]
            .map(|by_s| server(Behaviour::Lies { by: Span::from_secs(by_s), from_s: 0.0 }));
        let scenario = Scenario::new("all lie").lasting(3_000);
        let scenario = lies.into_iter().fold(scenario, |s, server| s.with_server(server, 6));
        let world = scenario.run(seed);
        assert_eq!(world.state().state, SyncState::Unsynchronized, "seed {seed}");
        assert_eq!(world.report().counters.steps, 0, "seed {seed}");
        assert!(world.records().clock_errors.max_from(0) < 0.1, "seed {seed}");
    }
}

#[test]
fn the_end_of_the_era_in_2036_is_an_hour_like_any_other() {
    for seed in seeds(5) {
        let mut scenario = honest("2036");
        // 2036-02-07T06:28:16Z comes after 3000 s.
        scenario.epoch = Timestamp::from_unix(2_085_978_496 - 3_000, 0);
        let world = scenario.run(seed);
        world.assert_rules_held();
        assert!(world.records().clock_errors.max_from(120) < 1e-3, "seed {seed}");
        assert_eq!(world.report().counters.rejected, 0, "seed {seed}");
    }
}

#[test]
fn delays_of_nothing_and_of_seconds_break_no_promise() {
    for seed in seeds(5) {
        for (up, down) in [(0.0, 0.0), (0.0, 0.9), (2.5, 0.0), (9.0, 9.0)] {
            let mut path = lan();
            (path.up.base, path.up.jitter) = (up, 0.0);
            (path.down.base, path.down.jitter) = (down, 0.0);
            let world = honest("absurd delays").with_server(Server::honest(path), 6).run(seed);
            world.assert_rules_held();
            let error = world.records().clock_errors.max_from(120);
            assert!(error < 1e-3, "seed {seed}: {up} s, {down} s: {error} s off");
        }
    }
}

#[test]
fn any_single_write_may_be_refused_with_any_error() {
    for error in [AdjustError::NotPermitted, AdjustError::Failed { errno: 22 }] {
        for index in 0..40 {
            let mut scenario = honest("one write refused").with_clock_offset(Span::from_secs(10));
            scenario.length_s = 1_500;
            scenario.refused_write = Some(RefusedWrite { index, error });
            let world = scenario.run(index);
            world.assert_rules_held();
            let report = world.report();
            assert_eq!(report.counters.adjust_failures, 1, "write {index}");
            assert_eq!(report.adjust_error, None, "write {index}: it is over");
            let off = world.records().clock_errors.max_from(400);
            assert!(off < 2e-3, "write {index}: {off} s off");
            assert!(world.kernel().synchronized, "write {index}");
        }
    }
}

/// Runs on second by second while `judge` finds nothing wrong.
fn watch(world: &mut World, seconds: i64, mut judge: impl FnMut(&World)) {
    for _ in 0..seconds {
        world.run_for(1);
        judge(world);
    }
}

#[test]
fn the_kernel_is_told_anew_every_ten_seconds_whatever_happens() {
    for seed in seeds(3) {
        let scenario = honest("told anew").with_partition(1_000.0, 2_500.0);
        let mut world = scenario.world(seed);
        watch(&mut world, 3_000, |world| {
            let age = world.kernel_age();
            assert!(age <= Span::from_secs(10), "seed {seed}: {age}");
        });
    }
}

#[test]
fn a_lost_majority_costs_the_kernel_its_flag_within_ten_seconds() {
    for seed in seeds(5) {
        let honest_until = || server(Behaviour::HonestUntil { until_s: 2_000.0 });
        let scenario = Scenario::new("all lose the time").lasting(4_000);
        let scenario = (0..3).fold(scenario, |scenario, _| scenario.with_server(honest_until(), 6));
        let mut world = scenario.world(seed);
        let mut lost_for = 0;
        watch(&mut world, 2_400, |world| {
            let vouched = world.state().state == SyncState::Synchronized;
            let claims = world.kernel().synchronized;
            lost_for = if vouched || !claims { 0 } else { lost_for + 1 };
            assert!(lost_for <= 10, "seed {seed}");
        });
        assert!(!world.kernel().synchronized, "seed {seed}: everybody says that it lost the time");
    }
}

#[test]
fn a_suspended_machine_is_told_from_one_whose_clock_was_set() {
    for seed in seeds(5) {
        for (happening, expected) in [
            (Happening::sleep(1_800), (1, 0)),
            (Happening::SetClock(Span::from_secs(20)), (0, 1)),
            (Happening::SetClock(Span::from_secs(-20)), (0, 1)),
        ] {
            let world = honest("a jump").with_happening(3_000, happening).run(seed);
            let counters = world.report().counters;
            let counted = (counters.suspends, counters.foreign_jumps);
            assert_eq!(counted, expected, "seed {seed}: {happening:?}");
            world.assert_rules_held();
        }
    }
}
