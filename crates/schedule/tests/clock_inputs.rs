//! What the clock can do to a planner: steps, suspend, leap seconds, another zone database.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
mod desk;

use common::{instant, utc};
use desk::{Desk, spec};
use timeball_schedule::language::{Dialect, Schedule, Zone};
use timeball_schedule::planner::{CatchUp, CatchUpPolicy, ScheduleSpec};
use timeball_schedule::{Outcome, Reason};
use timeball_timebase::{Span, Timestamp};

const HOUR: Span = Span::from_secs(3_600);

fn noon() -> Timestamp {
    instant("2026-11-21T12:00:00Z")
}

/// The schedule's instants are at 0 and 30 minutes; a second before noon, noon's fire is armed.
fn armed_before_noon(policy: CatchUpPolicy) -> Desk {
    let half_hourly = spec(utc("*/30 * * * *"));
    let catch_up = CatchUp { policy, ..half_hourly.catch_up };
    let mut desk =
        Desk::new(ScheduleSpec { catch_up, ..half_hourly }, noon() - Span::from_secs(600));
    desk.run_until(noon() - Span::from_millis(900));
    assert_eq!((desk.released.len(), desk.armed()), (0, vec![noon()]));
    desk
}

#[test]
fn a_clock_that_is_set_forward_over_an_armed_fire_misses_it_or_fires_it_late_as_the_policy_says() {
    let later = noon() + Span::from_secs(600);
    let mut desk = armed_before_noon(CatchUpPolicy::None);
    desk.step(later);
    desk.run_until(later + Span::from_secs(60));
    assert_eq!(desk.released, []);
    assert_eq!(desk.outcomes(), [(noon(), 1, Outcome::Missed(Reason::ClockStepped))]);

    let mut desk = armed_before_noon(CatchUpPolicy::Latest);
    desk.step(later);
    desk.run_until(later + Span::from_secs(60));
    assert_eq!(desk.released, [(noon(), later)]);
    assert_eq!(desk.outcomes(), [(noon(), 1, Outcome::Fired)]);
}

#[test]
fn a_clock_that_is_set_far_forward_fires_the_latest_instant_and_misses_those_before_it() {
    let mut desk = armed_before_noon(CatchUpPolicy::Latest);
    let later = noon() + HOUR * 3 + Span::from_secs(600);
    desk.step(later);
    desk.run_until(later + Span::from_secs(60));
    let latest = noon() + HOUR * 3;
    assert_eq!(desk.released, [(latest, later)]);
    let outcomes = desk.outcomes();
    let missed: u64 = outcomes[..outcomes.len() - 1].iter().map(|(_, count, _)| count).sum();
    assert_eq!((missed, outcomes.last()), (6, Some(&(latest, 1, Outcome::Fired))));
    let stepped = Outcome::Missed(Reason::ClockStepped);
    assert!(outcomes[..outcomes.len() - 1].iter().all(|(.., outcome)| *outcome == stepped));
}

#[test]
fn a_clock_that_is_set_back_while_a_fire_is_armed_fires_it_once_when_its_instant_comes() {
    let mut desk = armed_before_noon(CatchUpPolicy::Latest);
    desk.step(noon() - Span::from_secs(700));
    desk.run_until(noon() - Span::from_millis(1));
    assert_eq!(desk.released, []);
    desk.run_until(noon() + Span::from_secs(60));
    assert_eq!(desk.released, [(noon(), noon())]);
    // And what the clock shows a second time is not fired a second time.
    desk.step(noon() - Span::from_secs(60));
    desk.run_until(noon() + Span::from_secs(600));
    assert_eq!(desk.outcomes(), [(noon(), 1, Outcome::Fired)]);
}

#[test]
fn after_a_suspend_each_instant_that_passed_has_one_outcome_and_the_latest_is_fired_late() {
    let mut desk = armed_before_noon(CatchUpPolicy::Latest);
    let awake = noon() + HOUR * 8 + Span::from_secs(1_234);
    // The machine slept: the timers that were due meanwhile all end now.
    desk.now = awake;
    desk.run_until(awake + Span::from_secs(60));
    let latest = noon() + HOUR * 8;
    // Noon's fire was armed, and its alarm goes off before anybody can take it back.
    assert_eq!(desk.released, [(noon(), awake), (latest, awake)]);
    let outcomes = desk.outcomes();
    let total: u64 = outcomes.iter().map(|(_, count, _)| count).sum();
    assert_eq!(total, 17, "{outcomes:?}");
    assert_eq!(outcomes[1].2, Outcome::Missed(Reason::NotRunning), "{outcomes:?}");
}

#[test]
fn the_second_that_a_leap_second_repeats_is_fired_once() {
    let midnight = instant("2027-01-01T00:00:00Z");
    let mut desk = Desk::new(spec(utc("@every 100ms")), midnight - Span::from_secs(5));
    desk.run_until(midnight - Span::from_nanos(1));
    assert_eq!(desk.released.len(), 49);
    // The kernel shows 23:59:59 twice (adjtimex(2), STA_INS), and says that the clock was set.
    desk.step(midnight - Span::from_secs(1));
    desk.run_until(midnight + Span::from_secs(2));
    let released: Vec<Timestamp> = desk.released.iter().map(|(at, _)| *at).collect();
    let first = midnight - Span::from_millis(4_900);
    let expected: Vec<Timestamp> = (0..70).map(|n| first + Span::from_millis(100) * n).collect();
    assert_eq!(released, expected);
    let outcomes = desk.outcomes();
    assert!(outcomes.iter().all(|(.., outcome)| *outcome == Outcome::Fired), "{outcomes:?}");
}

/// A zone of one offset: a TZif file (RFC 9636) without a table.
fn zone(offset: &str, offset_s: i32) -> Zone {
    let counts: [u32; 6] = [0, 0, 0, 0, 1, 4];
    let head = [b"TZif2", [0; 15].as_slice(), counts.map(u32::to_be_bytes).as_flattened()].concat();
    let local_time = [offset_s.to_be_bytes().as_slice(), b"\0\0XXX\0"].concat();
    let block = [head, local_time].concat();
    let rule = format!("\n<XXX>{offset}\n");
    Zone::from_tzif("Test/Harbour", &[&block, &block, rule.as_bytes()].concat()).unwrap()
}

#[test]
fn a_zone_database_with_other_rules_moves_an_armed_fire_to_where_the_new_rules_put_it() {
    let of = |zone: &Zone, generation| ScheduleSpec {
        generation,
        ..spec(Schedule::parse("0 13 * * *", Dialect::Vixie, zone, None).unwrap())
    };
    // 13:00 there is noon by the old rules, and half past by the new ones.
    let (old, new) = (zone("-1", 3_600), zone("-0:30", 1_800));
    let mut desk = Desk::new(of(&old, 1), noon() - Span::from_secs(600));
    desk.run_until(noon() - Span::from_millis(900));
    assert_eq!(desk.armed(), [noon()]);
    desk.edit(of(&new, 2));
    desk.run_until(noon() + HOUR * 25);
    let first = noon() + HOUR / 2;
    let second = first + HOUR * 24;
    assert_eq!(desk.released, [(first, first), (second, second)]);
    let skipped = (noon(), 1, Outcome::Skipped(Reason::Revoked));
    assert_eq!(desk.outcomes(), [skipped, (first, 1, Outcome::Fired), (second, 1, Outcome::Fired)]);
}
