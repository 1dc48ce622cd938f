//! Schedules that follow different clocks: the system clock is as it is, and what is known of UTC
//! is as the tests say.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "other tests need the rest")]
mod house;

use house::{House, find, wait_for};
use timeball_api::control::Backfill;
use timeball_api::schedules::Outcome;
use timeball_runtime::read_clocks;
use timeball_scheduler::{ControlError, Named, Scheduler};
use timeball_timebase::{Bound, ClockState, Frequency, Span, SyncState};

const SECOND_NS: i64 = 1_000_000_000;
const PERIOD_NS: i64 = SECOND_NS / 5;
const NAMES: [&str; 3] = ["auto", "system", "utc"];

/// A house with a schedule for each clock.
fn house() -> House {
    let house = House::new();
    for name in NAMES {
        write(&house, name, name);
    }
    house
}

/// Writes the schedule `name`, which follows a clock and fires nothing late.
fn write(house: &House, name: &str, follow: &str) {
    let follow = match follow {
        "auto" => "Auto",
        "system" => "System",
        _ => "UTC",
    };
    let clock = format!("  schedule: '@every 200ms'\n  clock: {{ follow: {follow} }}");
    let policies = "  catchUp: { policy: None }\n  failedJobsHistoryLimit: 100";
    // What it asks for costs little: nobody answers, and the fire fails at once.
    let target = "  target: { http: { url: 'http://127.0.0.1:1/' } }";
    house.write(&format!("{name}.yaml"), name, &format!("{clock}\n{policies}\n{target}"));
}

/// Lets the system clock be so far behind UTC (or, negative, ahead of it), give or take.
fn publish(house: &House, behind_s: i64, bound_s: i64) {
    let now = read_clocks();
    let half_width = Span::from_secs(bound_s) + Span::from_millis(5);
    house.clock.publish(ClockState {
        state: SyncState::Synchronized,
        as_of: now.raw,
        system: now.system,
        offset: Some(Span::from_secs(behind_s)),
        bound: Some(Bound { as_of: now.raw, half_width, growth: Frequency::ZERO }),
        ..ClockState::default()
    });
}

/// The outcomes of a schedule once it was released `count` times more, oldest first: one for each
/// instant.
fn outcomes(scheduler: &Scheduler, name: &str, count: u64) -> Vec<Outcome> {
    let released = || find(scheduler, name).map_or(0, |s| s.counts.fired + s.counts.failed);
    let before = released();
    wait_for("releases", || (released() >= before + count).then_some(()));
    // What is missed is told within a second, and what was released last may have ended before an
    // earlier one.
    let asked = find(scheduler, name).unwrap().last.unwrap().scheduled_ns;
    wait_for("one outcome for each instant", || {
        let mut outcomes = scheduler.history("default", name).unwrap().outcomes;
        outcomes.reverse();
        let next = |pair: &&[Outcome]| pair[1].scheduled_ns == pair[0].until_ns + PERIOD_NS;
        let whole = 1 + outcomes.windows(2).take_while(next).count();
        outcomes.truncate(whole);
        (outcomes.last()?.until_ns >= asked).then_some(outcomes)
    })
}

/// Whether the last releases were soon after their instants, and nothing was missed; `behind_s` is
/// how far the clock that is followed is ahead of the system clock.
fn assert_punctual(name: &str, outcomes: &[Outcome], behind_s: i64) {
    let followed_ns = read_clocks().system.as_unix_nanos() + behind_s * SECOND_NS;
    let last = outcomes.last().unwrap();
    let ago_ns = followed_ns - last.scheduled_ns;
    assert!((0..30 * SECOND_NS).contains(&ago_ns), "{name}: {ago_ns} ns ago");
    let missed: Vec<&Outcome> =
        outcomes.iter().filter(|o| o.result == "missed" || o.result == "skipped").collect();
    assert!(missed.is_empty(), "{name}: {missed:?}");
    let mut lateness: Vec<i64> = outcomes.iter().filter_map(|o| o.lateness_ns).collect();
    lateness.sort_unstable();
    assert!(lateness[lateness.len() / 2] < SECOND_NS, "{name}: {lateness:?}");
}

#[test]
fn fires_come_in_time_by_the_estimate_however_wrong_the_system_clock_is() {
    for behind_s in [60, -3_600] {
        let house = house();
        publish(&house, behind_s, 0);
        let scheduler = house.start();
        for (name, behind_s) in NAMES.into_iter().zip([behind_s, 0, behind_s]) {
            assert_punctual(name, &outcomes(&scheduler, name, 5), behind_s);
        }
        scheduler.shutdown();
    }
}

#[test]
fn within_the_bound_auto_keeps_to_the_system_clock() {
    let house = house();
    publish(&house, 60, 120);
    let scheduler = house.start();
    for (name, behind_s) in NAMES.into_iter().zip([0, 0, 60]) {
        assert_punctual(name, &outcomes(&scheduler, name, 5), behind_s);
    }
}

#[test]
fn a_clock_that_is_found_to_be_behind_passes_over_instants_of_its_own_schedules_only() {
    let house = house();
    let scheduler = house.start();
    for name in NAMES {
        assert_punctual(name, &outcomes(&scheduler, name, 5), 0);
    }
    publish(&house, 60, 0);
    for name in ["auto", "utc"] {
        wait_for("going on by the estimate", || {
            let last_ns = find(&scheduler, name)?.last?.scheduled_ns;
            (last_ns > read_clocks().system.as_unix_nanos() + 30 * SECOND_NS).then_some(())
        });
        let outcomes = outcomes(&scheduler, name, 5);
        let passed = outcomes.iter().filter(|o| o.result == "missed");
        assert!(passed.clone().all(|o| o.reason == "ClockStepped"), "{name}: {outcomes:?}");
        let passed: u64 = passed.map(|o| o.count).sum();
        assert!((200..=300).contains(&passed), "{name}: {outcomes:?}");
    }
    assert_punctual("system", &outcomes(&scheduler, "system", 5), 0);
}

#[test]
fn a_schedule_whose_clock_is_another_by_an_edit_goes_on_without_a_gap_or_a_repetition() {
    let house = house();
    publish(&house, -5, 0);
    let scheduler = house.start();
    assert_punctual("auto", &outcomes(&scheduler, "auto", 5), -5);
    assert_punctual("system", &outcomes(&scheduler, "system", 5), 0);
    // Each comes to follow the other's clock: one passes over 5 s, the other one waits for 5 s.
    write(&house, "auto", "system");
    write(&house, "system", "auto");
    assert_eq!(scheduler.reload().unwrap().changes.len(), 2);
    let outcomes_of = |name| outcomes(&scheduler, name, 5);
    let forward = outcomes_of("auto");
    let is_passed = |outcome: &&Outcome| outcome.reason == "ClockStepped";
    let passed: u64 = forward.iter().filter(is_passed).map(|o| o.count).sum();
    assert!((5..=30).contains(&passed), "{forward:?}");
    assert_punctual("system", &outcomes_of("system"), -5);
}

#[test]
fn what_is_next_and_what_has_passed_are_told_by_the_clock_that_a_schedule_follows() {
    for behind_s in [60, -3_600] {
        let house = house();
        publish(&house, behind_s, 0);
        let scheduler = house.start();
        for (name, behind_s) in NAMES.into_iter().zip([behind_s, 0, behind_s]) {
            let schedule = wait_for("the schedule", || find(&scheduler, name));
            let now_ns = read_clocks().system.as_unix_nanos() + behind_s * SECOND_NS;
            let wait_ns = schedule.next_ns[0] - now_ns;
            assert!((-10 * SECOND_NS..=PERIOD_NS).contains(&wait_ns), "{name}: in {wait_ns} ns");
            let backfill = |from_s, until_s| {
                let [from_ns, until_ns] = [from_s, until_s].map(|s| now_ns + s * SECOND_NS);
                let why = String::new();
                let (limit, parallel, again, dry_run) = (100, 1, true, true);
                let range = Backfill { from_ns, until_ns, limit, parallel, again, dry_run, why };
                scheduler.backfill(&Named { namespace: "default", name }, "a test", &range)
            };
            assert_eq!(backfill(-10, -5).unwrap().instants_ns.len(), 25, "{name}");
            let ahead = backfill(-10, 30);
            assert!(matches!(ahead, Err(ControlError::NotPast { .. })), "{name}: {ahead:?}");
        }
        scheduler.shutdown();
    }
}
