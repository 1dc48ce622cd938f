//! Against another implementation, where its rules are ours: croner in UTC.
//!
//! Known differences, kept out of the expressions that are compared:
//! - `5/10` (a step after a number) is refused by croner, as OCPS asks; vixie means 5 to the end.
//! - A day field such as `*/2` restricts for croner (OCPS 1.0 section 6.1), so that days may match
//!   either field; for vixie a field that begins with `*` does not. Only one day field has a step.
//! - croner has whole seconds only.
//! - croner ends its search some years ahead; a day that comes decades later is not compared.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{ZONES, utc, zone};
use croner::Cron;
use proptest::prelude::*;
use std::str::FromStr;
use timeball_schedule::language::{Dialect, Schedule};
use timeball_timebase::Timestamp;

fn field(least: u32, largest: u32) -> impl Strategy<Value = String> {
    let value = least..=largest;
    let range =
        (value.clone(), value.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => value.clone().prop_map(|value| value.to_string()),
        1 => (value.clone(), value.clone()).prop_map(|(a, b)| format!("{a},{b}")),
        1 => range,
    ]
}

fn stepped(least: u32, largest: u32) -> impl Strategy<Value = String> {
    let step = (1..=(largest - least)).prop_map(|step| format!("*/{step}"));
    prop_oneof![3 => field(least, largest), 1 => step]
}

fn shown(at: Timestamp) -> String {
    at.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn the_next_instants_are_those_of_croner(
        seconds in prop::option::of(stepped(0, 59)),
        times in (stepped(0, 59), stepped(0, 23)),
        days in (field(1, 31), stepped(1, 12), field(0, 7)),
        after in 0_i64..4_000_000_000,
    ) {
        let ((minute, hour), (of_month, month, of_week)) = (times, days);
        let second = seconds.map(|second| second + " ").unwrap_or_default();
        let expression = format!("{second}{minute} {hour} {of_month} {month} {of_week}");
        let theirs = Cron::from_str(&expression).unwrap();
        let ours = utc(&expression);
        let mut at = Timestamp::from_unix(after, 0);
        for _ in 0..5 {
            let zoned = jiff::Timestamp::from_second(at.unix_seconds())
                .unwrap()
                .to_zoned(jiff::tz::TimeZone::UTC);
            let Ok(expected) = theirs.find_next_occurrence(&zoned, false) else { break };
            let found = ours.next_after(at);
            prop_assert_eq!(found.map(shown), Some(expected.timestamp().to_string()), "{}", expression);
            at = found.unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Around changes of the clocks, for expressions that are either fixed or wildcards in both
    /// time fields.
    #[test]
    fn changes_of_the_clocks_are_treated_as_croner_does(
        fixed in any::<bool>(),
        fixed_time in (0_u32..60, 0_u32..24),
        wildcard in (prop::sample::select(&["*", "*/7", "*/30"][..]), prop::sample::select(&["*", "*/2"][..])),
        zone_name in prop::sample::select(&ZONES[..]),
        change in 0_usize..200,
        before_s in 0_i64..200_000,
    ) {
        let expression = match fixed {
            true => format!("{} {} * * *", fixed_time.0, fixed_time.1),
            false => format!("{} {} * * *", wildcard.0, wildcard.1),
        };
        let zone = zone(zone_name);
        let (from, until) = (Timestamp::from_unix(0, 0), Timestamp::from_unix(2_500_000_000, 0));
        // A change of hours is a new zone for us, and a season for croner.
        let mut changes = zone.changes_between(from, until);
        changes.retain(|(_, before, after)| (after - before).abs() < 3 * 3_600);
        prop_assume!(!changes.is_empty());
        let (at, _, _) = changes[change % changes.len()];
        let after = at.unix_seconds() - before_s;
        let theirs = Cron::from_str(&expression).unwrap();
        let ours = Schedule::parse(&expression, Dialect::Vixie, &zone, None).unwrap();
        let octets = std::fs::read(format!("/usr/share/zoneinfo/{zone_name}")).unwrap();
        let rules = jiff::tz::TimeZone::tzif(zone_name, &octets).unwrap();
        let mut at = Timestamp::from_unix(after, 0);
        for _ in 0..4 {
            let zoned =
                jiff::Timestamp::from_second(at.unix_seconds()).unwrap().to_zoned(rules.clone());
            let Ok(expected) = theirs.find_next_occurrence(&zoned, false) else { break };
            let found = ours.next_after(at).unwrap();
            prop_assert_eq!(
                found.unix_seconds(), expected.timestamp().as_second(),
                "{} in {} after {}", expression, zone_name, at
            );
            at = found;
        }
    }
}
