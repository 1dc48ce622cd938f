//! What the step policy forbids, in worlds that tempt the engine to it.

use timeball_ntp::engine::{PollRange, SourceOptions, StepPolicy};
use timeball_sim::{Behaviour, Happening, Path, Scenario, Server, seeds};
use timeball_timebase::{Span, SyncState};

const HOUR_S: i64 = 3_600;

fn lan() -> Path {
    Path::symmetric(1e-3, 1e-5)
}

fn world(name: &str) -> Scenario {
    Scenario::new(name).with_honest(3, &lan(), 6).lasting(3 * HOUR_S)
}

/// All servers are this far ahead from the given second on.
fn all_lie(by: Span, from_s: f64) -> Scenario {
    let liar = Server::honest(lan()).with(Behaviour::Lies { by, from_s });
    let scenario = Scenario::new("all lie").lasting(3 * HOUR_S);
    (0..3).fold(scenario, |scenario, _| scenario.with_server(liar.clone(), 6))
}

fn with_policy(scenario: Scenario, policy: StepPolicy) -> Scenario {
    scenario.with_config(|config| config.step = policy)
}

#[test]
fn an_offset_beyond_the_panic_limit_moves_nothing_and_nothing_is_promised() {
    for seed in seeds(5) {
        let years = Span::from_secs(63_072_000);
        for by in [Span::from_secs(1_001), -Span::from_secs(40_000), years] {
            let mut world = all_lie(by, 5_000.0).world(seed);
            world.run_for(5_000);
            assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
            world.run_for(600);
            let state = world.state();
            assert_eq!((state.state, state.bound), (SyncState::Unsynchronized, None), "{by}");
            assert!(!world.kernel().synchronized, "seed {seed}: {by}");
            let refused = world.report().refused_offset.expect("it is named");
            assert!((refused - by).abs() < Span::from_millis(10), "seed {seed}: {refused}");
            world.run_for(HOUR_S);
            let worst = world.records().clock_errors.max_from(60);
            assert!(worst < 0.01, "seed {seed}: the clock was moved by {worst} s");
            assert_eq!(world.report().counters.steps, 0, "seed {seed}");
        }
    }
}

#[test]
fn a_clock_that_was_refused_is_kept_again_once_it_is_within_the_limit() {
    for seed in seeds(5) {
        let set = |by_s| Happening::SetClock(Span::from_secs(by_s));
        let scenario = world("set and set back");
        let scenario =
            scenario.with_happening(4_000, set(7_200)).with_happening(6_000, set(-7_200));
        let mut world = scenario.world(seed);
        world.run_for(5_900);
        assert!(world.report().refused_offset.is_some(), "seed {seed}");
        assert_eq!(world.state().state, SyncState::Unsynchronized, "seed {seed}");
        world.run_for(600);
        assert_eq!(world.report().refused_offset, None, "seed {seed}");
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        world.run_for(HOUR_S);
        assert!(world.records().clock_errors.max_from(9_000) < 1e-3, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn before_it_was_set_a_clock_may_be_decades_off() {
    for seed in seeds(5) {
        for by_s in [3_000_000_000, 2_200_000_000, 1_000_000_000, -700_000_000] {
            let world = world("decades off").with_clock_offset(Span::from_secs(by_s)).run(seed);
            assert_eq!(world.report().counters.steps, 1, "seed {seed}");
            assert!(world.records().clock_errors.max_from(600) < 1e-3, "seed {seed}: {by_s}");
            world.assert_rules_held();
        }
    }
}

#[test]
fn a_ready_clock_is_stepped_only_where_the_policy_says_so() {
    for seed in seeds(5) {
        let scenario =
            world("set by 30 s").with_happening(5_000, Happening::SetClock(Span::from_secs(-30)));
        let world = scenario.run(seed);
        assert_eq!(world.report().counters.steps, 0, "seed {seed}");
        world.assert_rules_held();
        let always = StepPolicy { updates: u32::MAX, ..StepPolicy::default() };
        let world = with_policy(scenario, always).run(seed);
        assert_eq!(world.report().counters.steps, 1, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn a_clock_that_has_just_become_ready_is_not_stepped_before_the_next_answer_either() {
    for seed in seeds(5) {
        // The third answer makes it ready, and its slew ends before the fourth.
        let poll = PollRange { min: 6, max: 6 };
        let options = SourceOptions { iburst: false, ..SourceOptions::default() };
        let world = Scenario::new("set just after it was ready")
            .with_source(Server::honest(lan()), poll, options)
            .with_happening(130, Happening::SetClock(Span::from_secs(-30)))
            .with_partition(130.0, 250.0)
            .lasting(HOUR_S)
            .run(seed);
        assert_eq!(world.report().counters.steps, 0, "seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn a_clock_never_goes_back_further_than_the_policy_says() {
    for seed in seeds(5) {
        let ahead = world("30 s ahead").with_clock_offset(Span::from_secs(30));
        let world = ahead.run(seed);
        assert_eq!(world.report().counters.steps, 1, "seed {seed}");
        let policy = StepPolicy { backward: Some(Span::from_secs(5)), ..StepPolicy::default() };
        let world = with_policy(ahead, policy).run(seed);
        // It is slewed: slow, and never turned back.
        assert_eq!(world.report().counters.steps, 0, "seed {seed}");
        assert!(world.records().clock_errors.max_from(60) > 20.0, "seed {seed}");
        assert!(world.records().clock_errors.max_from(HOUR_S) < 1e-3, "seed {seed}");
        world.assert_rules_held();
    }
}
