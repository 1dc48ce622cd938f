//! Machines that sleep, clocks that others set or slew, and a network that comes late.

use timeball_ntp::engine::{ClockMode, PollRange, Selection, SourceOptions};
use timeball_sim::{Behaviour, Happening, Path, Scenario, Server, seeds};
use timeball_timebase::{Frequency, Span, SyncState};

const HOUR_S: i64 = 3_600;
const SET_AT_S: i64 = 5_000;
const ASLEEP_AT_S: i64 = SET_AT_S + 6;

fn lan() -> Path {
    Path::symmetric(1e-3, 1e-5)
}

fn honest(name: &str) -> Scenario {
    Scenario::new(name).with_honest(3, &lan(), 6).lasting(2 * HOUR_S)
}

#[test]
fn a_slew_that_ends_before_anybody_told_of_a_sleep_does_not_turn_the_clock_back() {
    for seed in seeds(5) {
        for sleep_s in [3, 20, 4_000] {
            let awake_s = ASLEEP_AT_S + sleep_s;
            // 50 ms are slewed away in 20 s, which end before anybody can be asked.
            let scenario = honest("asleep amid a slew")
                .with_happening(SET_AT_S, Happening::SetClock(Span::from_millis(50)))
                .with_happening(ASLEEP_AT_S, Happening::sleep(sleep_s))
                .with_partition(ASLEEP_AT_S as f64, (awake_s + 40) as f64)
                .lasting(awake_s + HOUR_S);
            let mut world = scenario.world(seed);
            world.run_for(awake_s + 39);
            assert_eq!(world.report().refused_offset, None, "seed {seed}: {sleep_s} s");
            world.run_for(HOUR_S);
            let what = format!("seed {seed}: {sleep_s} s");
            let worst = world.records().clock_errors.max_from(SET_AT_S);
            assert!(worst < 0.06, "{what}: the clock was {worst} s off");
            let counters = world.report().counters;
            assert_eq!((counters.steps, counters.suspends), (0, 1), "{what}");
            assert_eq!(world.state().state, SyncState::Synchronized, "{what}");
            world.assert_rules_held();
        }
    }
}

#[test]
fn the_bound_holds_after_a_sleep_whose_length_the_kernel_knows_only_roughly() {
    for seed in seeds(5) {
        for (length_s, missed_ms) in [(1, 950), (20, 900), (20, -900), (3_000, 1_400)] {
            let missed = Span::from_millis(missed_ms);
            let awake_s = SET_AT_S + length_s;
            let mut world = honest("a sleep by the hardware clock")
                .with_happening(SET_AT_S, Happening::Sleep { length_s, missed })
                .with_partition(SET_AT_S as f64, (awake_s + 40) as f64)
                .world(seed);
            world.run_for(awake_s + 110);
            let what = format!("seed {seed}: {length_s} s less {missed_ms} ms");
            let report = world.report();
            assert_eq!(report.counters.suspends, 1, "{what}");
            for source in &report.sources {
                let is_used = matches!(source.selection, Selection::Chief | Selection::Combined);
                assert!(is_used, "{what}: {:?}", source.selection);
            }
            world.run_for(HOUR_S);
            let error = world.records().clock_errors.max_from(SET_AT_S + 300);
            assert!(error < 1e-3, "{what}: the clock was {error} s off five minutes later");
            world.assert_rules_held();
        }
    }
}

#[test]
fn a_frequency_that_somebody_else_writes_is_put_right_within_seconds() {
    for seed in seeds(5) {
        for ppm in [500, -500, 60] {
            let write = Happening::WriteFrequency(Frequency::from_ppm(ppm));
            // Between two answers, which are 64 s apart.
            let mut world =
                honest("a foreign frequency").with_happening(SET_AT_S, write).world(seed);
            world.run_for(SET_AT_S + HOUR_S);
            let what = format!("seed {seed}: {ppm} ppm");
            let (clock, estimate) =
                (&world.records().clock_errors, &world.records().estimate_errors);
            // The kernel's status is written every eight seconds.
            let worst = clock.max_from(SET_AT_S).max(estimate.max_from(SET_AT_S));
            assert!(worst < 8.1 * 500e-6, "{what}: {worst} s off");
            assert!(!world.report().yielded, "{what}: once may be a mistake");
            world.assert_rules_held();
        }
    }
}

#[test]
fn a_clock_that_somebody_else_slews_is_told_right_within_seconds() {
    for seed in seeds(5) {
        let slew = Happening::Slew(Span::from_millis(100));
        let world = honest("a foreign slew").with_happening(SET_AT_S, slew).run(seed);
        let worst = world.records().estimate_errors.max_from(SET_AT_S);
        assert!(worst < 8.1 * 500e-6, "seed {seed}: what is told of the clock was {worst} s off");
        world.assert_rules_held();
    }
}

#[test]
fn a_clock_that_is_set_by_less_than_a_millisecond_is_told_right_at_once() {
    for seed in seeds(3) {
        for us in [1_000, -900, 300] {
            for mode in [ClockMode::Discipline, ClockMode::Observe] {
                // Often asked, so that the bound is narrow and what is told of the clock is fresh.
                let near = Path::symmetric(2e-5, 1e-6);
                let set = Happening::SetClock(Span::from_micros(us));
                let world = Scenario::new("set by little")
                    .with_honest(3, &near, -2)
                    .with_happening(600, set)
                    .with_config(|config| config.mode = mode)
                    .lasting(700)
                    .run(seed);
                let worst = world.records().estimate_errors.max_from(300);
                assert!(worst < 1e-4, "seed {seed}: {us} us, {mode:?}: {worst} s off");
                world.assert_rules_held();
            }
        }
    }
}

#[test]
fn what_a_jump_was_is_told_by_none_but_those_who_are_believed() {
    let far = Path::symmetric(1e-2, 1e-4);
    let by = Span::from_secs(-20);
    for seed in seeds(5) {
        // After the sleep it says what was true before, and says so first.
        let liar = Server::honest(lan()).with(Behaviour::Lies { by, from_s: 0.0 });
        for noselect in [false, true] {
            let options = SourceOptions { noselect, ..SourceOptions::default() };
            let poll = PollRange { min: 6, max: 6 };
            let world = Scenario::new("a near liar")
                .with_source(liar.clone(), poll, options)
                .with_honest(3, &far, 6)
                .with_happening(SET_AT_S, Happening::sleep(20))
                .lasting(2 * HOUR_S)
                .run(seed);
            let counters = world.report().counters;
            let told = (counters.suspends, counters.foreign_jumps);
            assert_eq!(told, (1, 0), "seed {seed}, noselect {noselect}");
            let worst = world.records().clock_errors.max_from(SET_AT_S);
            assert!(worst < 2e-3, "seed {seed}, noselect {noselect}: {worst} s off");
            world.assert_rules_held();
        }
    }
}

#[test]
fn a_clock_that_is_set_by_a_little_each_minute_is_left_to_whoever_does_it() {
    for seed in seeds(3) {
        let set = |scenario: Scenario, minute: i64| {
            let by = Span::from_millis(if minute % 2 == 0 { 20 } else { -20 });
            scenario.with_happening(SET_AT_S + 60 * minute, Happening::SetClock(by))
        };
        let scenario = (0..50).fold(honest("set each minute"), set);
        let mut world = scenario.world(seed);
        world.run_for(SET_AT_S);
        assert!(!world.report().yielded, "seed {seed}");
        let before = world.report().counters.sent;
        world.run_for(50 * 60);
        assert!(world.report().yielded, "seed {seed}: small changes count, too");
        let sent = world.report().counters.sent - before;
        assert!(sent < 3 * 50 * 2, "seed {seed}: {sent} requests in 50 minutes");
        world.assert_rules_held();
    }
}
