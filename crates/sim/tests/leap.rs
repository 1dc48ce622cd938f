//! Leap seconds: made when a majority announces them, at their moment, in every way of the policy.

use timeball_ntp::engine::{ClockMode, LeapPolicy, LeapTable};
use timeball_sim::{Announcement, Behaviour, Happening, Path, Scenario, Server, World, seeds};
use timeball_timebase::{Leap, Span, SyncState, Timestamp};

/// The leap second comes so many seconds after the start.
const AFTER_S: i64 = 6_000;

fn server() -> Server {
    Server::honest(Path::symmetric(2e-3, 1e-4))
}

fn world(name: &str, is_inserted: bool) -> Scenario {
    let scenario = Scenario::new(name).lasting(3 * AFTER_S);
    let scenario = (0..3).fold(scenario, |scenario, _| scenario.with_server(server(), 6));
    scenario.with_leap_second(is_inserted, AFTER_S)
}

fn with_policy(scenario: Scenario, leap: LeapPolicy) -> Scenario {
    scenario.with_config(|config| config.leap = leap)
}

/// Largest error of the system clock between these seconds.
fn worst(world: &World, from_s: i64, to_s: i64) -> f64 {
    let errors = world.records().clock_errors.from_s(from_s);
    let count = usize::try_from(to_s - from_s).expect("later");
    errors.iter().take(count).fold(0.0, |worst, error| error.abs().max(worst))
}

#[test]
fn the_kernel_makes_the_leap_second_and_no_promise_is_broken() {
    for seed in seeds(5) {
        for is_inserted in [true, false] {
            let mut world = world("kernel leap", is_inserted).world(seed);
            world.run_for(AFTER_S - 60);
            let leap = if is_inserted { Leap::Insert } else { Leap::Delete };
            assert_eq!(world.state().leap, leap, "seed {seed}: clients are told");
            world.run_for(2 * AFTER_S);
            assert_eq!(world.state().leap, Leap::None, "seed {seed}");
            assert!(world.state().leap_second.is_some(), "seed {seed}: it is remembered");
            assert!(worst(&world, 600, AFTER_S - 2) < 2e-3, "seed {seed}");
            assert!(worst(&world, AFTER_S + 2, 2 * AFTER_S) < 2e-3, "seed {seed}");
            let counters = world.report().counters;
            assert_eq!((counters.steps, counters.foreign_jumps), (0, 0), "seed {seed}");
            world.assert_rules_held();
        }
    }
}

#[test]
fn a_slewed_leap_second_never_turns_the_clock_back() {
    for seed in seeds(5) {
        for is_inserted in [true, false] {
            let scenario = with_policy(world("slewed leap", is_inserted), LeapPolicy::Slew);
            let world = scenario.run(seed);
            assert!(worst(&world, AFTER_S + 1, AFTER_S + 5) > 0.5, "seed {seed}: it is slewed");
            assert!(worst(&world, AFTER_S + 120, 2 * AFTER_S) < 2e-3, "seed {seed}");
            assert_eq!(world.report().counters.steps, 0, "seed {seed}");
            world.assert_rules_held();
        }
    }
}

#[test]
fn where_announcements_are_ignored_the_second_is_found_by_measuring() {
    for seed in seeds(5) {
        let mut world = with_policy(world("ignored leap", true), LeapPolicy::Ignore).world(seed);
        world.run_for(AFTER_S - 60);
        assert_eq!(world.state().leap, Leap::None, "seed {seed}");
        world.run_for(2 * AFTER_S);
        assert!(worst(&world, AFTER_S + 2, AFTER_S + 20) > 0.9, "seed {seed}: nobody made it");
        assert!(worst(&world, AFTER_S + 1_200, 2 * AFTER_S) < 2e-3, "seed {seed}");
    }
}

#[test]
fn in_observe_mode_what_is_told_follows_the_leap_second() {
    for seed in seeds(5) {
        let scenario = world("observed leap", true);
        let scenario = scenario.with_config(|config| config.mode = ClockMode::Observe);
        let world = scenario.run(seed);
        assert_eq!(world.report().clock.state, SyncState::Synchronized, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn a_minority_announces_in_vain() {
    for seed in seeds(5) {
        let liar = server().announcing(Announcement::False(Leap::Insert));
        // A December midnight without a leap second.
        let mut scenario = world("a false leap", true).with_server(liar, 6);
        scenario.leap_second = None;
        let mut world = scenario.world(seed);
        world.run_for(AFTER_S - 60);
        assert_eq!(world.state().leap, Leap::None, "seed {seed}");
        world.run_for(AFTER_S);
        assert!(worst(&world, 600, 2 * AFTER_S - 60) < 2e-3, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn who_does_not_know_of_the_leap_second_is_found_false() {
    for seed in seeds(5) {
        let ignorant = server().announcing(Announcement::Nothing);
        let mut world = world("an ignorant one", true).with_server(ignorant, 6).world(seed);
        world.run_for(AFTER_S + 600);
        let sources = world.report().sources;
        use timeball_ntp::engine::Selection::Falseticker;
        assert_eq!(sources[3].selection, Falseticker, "seed {seed}");
        assert!(sources[..3].iter().all(|s| s.selection != Falseticker), "seed {seed}");
        assert!(worst(&world, AFTER_S + 2, AFTER_S + 600) < 2e-3, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn an_announcement_in_another_month_is_not_believed() {
    for seed in seeds(3) {
        let early = server().announcing(Announcement::False(Leap::Insert));
        let scenario = Scenario::new("announced in November").lasting(60_000);
        let scenario = (0..3).fold(scenario, |scenario, _| scenario.with_server(early.clone(), 6));
        let world = scenario.run(seed);
        assert_eq!(world.state().leap, Leap::None, "seed {seed}");
        // The world passes a midnight.
        assert!(world.records().clock_errors.max_from(600) < 2e-3, "seed {seed}");
        assert_eq!(world.report().counters.foreign_jumps, 0, "seed {seed}");
    }
}

#[test]
fn an_outage_over_the_leap_second_does_not_make_it_forgotten() {
    for seed in seeds(5) {
        let cut = (AFTER_S as f64 - 1_500.0, AFTER_S as f64 + 1_500.0);
        let world = world("cut off", true).with_partition(cut.0, cut.1).run(seed);
        assert!(worst(&world, AFTER_S + 2, 2 * AFTER_S) < Span::from_millis(5).as_seconds_f64());
        world.assert_rules_held();
    }
}

#[test]
fn a_leap_second_that_comes_while_the_clocks_stand_still_is_counted_once() {
    for seed in seeds(2) {
        for (is_inserted, table) in [(true, None), (false, None), (true, Some(table()))] {
            for mode in [ClockMode::Discipline, ClockMode::Observe] {
                for asleep in
                    [Happening::sleep(40), Happening::sleep(4_000), Happening::Pause(4_000)]
                {
                    let scenario = world("a leap second asleep", is_inserted)
                        .with_hardware_clock(Span::ZERO)
                        .with_happening(AFTER_S - 20, asleep)
                        .with_config(|config| {
                            (config.mode, config.leap_table) = (mode, table.clone());
                        });
                    let world = scenario.run(seed);
                    let what = format!("seed {seed}, {asleep:?}, {mode:?}, {is_inserted}");
                    let state = world.state();
                    assert_eq!(state.leap, Leap::None, "{what}");
                    assert_eq!(state.leap_second, scenario.leap_second, "{what}");
                    let worst = world.records().estimate_errors.max_from(AFTER_S + 5_000);
                    assert!(worst < 2e-3, "{what}: {worst} s");
                    world.assert_rules_held();
                }
            }
        }
    }
}

#[test]
fn who_lies_that_the_leap_second_is_over_does_not_bring_it() {
    for seed in seeds(3) {
        let (by, from_s) = (Span::from_secs(700), AFTER_S as f64 - 600.0);
        let liar = server().with(Behaviour::Lies { by, from_s });
        let mut world = world("said to be over", true).with_server(liar, 6).world(seed);
        world.run_for(AFTER_S - 60);
        assert_eq!(world.state().leap, Leap::Insert, "seed {seed}");
        world.run_for(AFTER_S);
        world.assert_rules_held();
    }
}

#[test]
fn a_clock_that_is_set_back_by_a_second_before_the_leap_second_has_not_made_it() {
    for seed in seeds(3) {
        let set = Happening::SetClock(Span::from_secs(-1));
        let world = world("set back before", true).with_happening(AFTER_S - 10, set).run(seed);
        assert!(worst(&world, AFTER_S + 120, 2 * AFTER_S) < 2e-3, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn a_process_that_begins_after_the_leap_second_knows_of_it_by_the_table() {
    for seed in seeds(3) {
        for table in [Some(table()), None] {
            let restart = Happening::Restart { after_s: 3_600, remembers: true };
            let scenario = world("begun anew after", true)
                .with_config(|config| config.leap_table = table.clone())
                .with_happening(AFTER_S - 1_800, restart);
            let world = scenario.run(seed);
            // Who smears it must go on doing so until noon.
            let expected = scenario.leap_second.filter(|_| table.is_some());
            assert_eq!(world.state().leap_second, expected, "seed {seed}");
            world.assert_rules_held();
        }
    }
}

/// TAI is ahead by 37 s from 2017 on, and by 38 s from 2027 on.
fn table() -> LeapTable {
    let (before, after) = (1_483_228_800, 1_798_761_600);
    let entries = [(before, 37), (after, 38)].map(|(s, tai)| (Timestamp::from_unix(s, 0), tai));
    let expires = Timestamp::from_unix(after + 10_000_000, 0);
    LeapTable::new(entries.to_vec(), expires)
}

#[test]
fn a_table_of_leap_seconds_needs_no_announcement_and_tells_tai() {
    for seed in seeds(5) {
        let mut scenario = world("a table", true);
        // Their leap seconds come, but nobody announces them.
        for server in &mut scenario.servers {
            server.announces = Announcement::False(Leap::None);
        }
        let scenario = scenario.with_config(|config| config.leap_table = Some(table()));
        let mut world = scenario.world(seed);
        world.run_for(AFTER_S - 60);
        assert_eq!((world.kernel().tai_offset_s, world.state().leap), (37, Leap::Insert));
        world.run_for(AFTER_S);
        assert_eq!(world.kernel().tai_offset_s, 38, "seed {seed}");
        assert_eq!(world.report().tai_offset_s, Some(38), "seed {seed}");
        assert!(worst(&world, AFTER_S + 2, 2 * AFTER_S - 60) < 2e-3, "seed {seed}");
    }
}

#[test]
fn a_table_without_a_leap_second_outvotes_all_announcements() {
    let entries = vec![(Timestamp::from_unix(1_483_228_800, 0), 37)];
    let table = LeapTable::new(entries, Timestamp::from_unix(1_900_000_000, 0));
    for seed in seeds(3) {
        let mut scenario = world("all announce falsely", true);
        scenario.leap_second = None;
        for server in &mut scenario.servers {
            server.announces = Announcement::False(Leap::Insert);
        }
        let scenario = scenario.with_config(|config| config.leap_table = Some(table.clone()));
        let world = scenario.run(seed);
        assert!(worst(&world, 600, 2 * AFTER_S) < 2e-3, "seed {seed}");
        assert_eq!(world.kernel().tai_offset_s, 37, "seed {seed}");
    }
}
