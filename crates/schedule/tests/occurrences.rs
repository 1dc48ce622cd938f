//! Instants in zones whose clocks are changed, forward and backward, against a second opinion.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{ZONES, next, zone};
use proptest::prelude::*;
use timeball_schedule::language::{Dialect, DstPolicy, Schedule};
use timeball_timebase::{Span, Timestamp};

const POLICIES: [DstPolicy; 3] = [DstPolicy::Vixie, DstPolicy::Kubernetes, DstPolicy::Ocps];

fn schedule(expression: &str, zone_name: &str, dst: DstPolicy) -> Schedule {
    Schedule::parse(expression, Dialect::Vixie, &zone(zone_name), Some(dst)).unwrap()
}

/// Zone, expression, moment before the change, and the instants that follow it by vixie,
/// kubernetes and ocps.
type Change = (&'static str, &'static str, &'static str, [&'static [&'static str]; 3]);

const CHANGES: [Change; 16] = [
    // Berlin, 2026-03-29: 02:00 becomes 03:00 at 01:00Z.
    (
        "Europe/Berlin",
        "30 2 * * *",
        "2026-03-28T12:00:00Z",
        [
            &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            &["2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"],
            &["2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"],
        ],
    ),
    (
        "Europe/Berlin",
        "*/30 * * * *",
        "2026-03-29T00:30:00Z",
        [
            &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
            &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
            &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
        ],
    ),
    // A skipped time and a time of its own at the jump are one instant.
    (
        "Europe/Berlin",
        "0 2,3 * * *",
        "2026-03-29T00:00:00Z",
        [
            &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
            &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
            &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
        ],
    ),
    // Berlin, 2026-10-25: 03:00 becomes 02:00 at 01:00Z.
    (
        "Europe/Berlin",
        "30 2 * * *",
        "2026-10-24T12:00:00Z",
        [
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"],
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ],
    ),
    (
        "Europe/Berlin",
        "30 * * * *",
        "2026-10-25T00:00:00Z",
        [
            &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"],
            &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"],
            &["2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"],
        ],
    ),
    // New York, 2023-03-12 and 2023-11-05: the cases of the fact sheet.
    (
        "America/New_York",
        "30 2 * * *",
        "2023-03-12T00:00:00Z",
        [
            &["2023-03-12T07:00:00Z", "2023-03-13T06:30:00Z"],
            &["2023-03-13T06:30:00Z", "2023-03-14T06:30:00Z"],
            &["2023-03-13T06:30:00Z", "2023-03-14T06:30:00Z"],
        ],
    ),
    (
        "America/New_York",
        "30 1 * * *",
        "2023-11-05T00:00:00Z",
        [
            &["2023-11-05T05:30:00Z", "2023-11-06T06:30:00Z"],
            &["2023-11-05T05:30:00Z", "2023-11-05T06:30:00Z"],
            &["2023-11-05T05:30:00Z", "2023-11-06T06:30:00Z"],
        ],
    ),
    // Lord Howe, half an hour: 2026-10-04 02:00 becomes 02:30 at 15:30Z the day before.
    (
        "Australia/Lord_Howe",
        "15 2 * * *",
        "2026-10-03T00:00:00Z",
        [
            &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
            &["2026-10-04T15:15:00Z", "2026-10-05T15:15:00Z"],
            &["2026-10-04T15:15:00Z", "2026-10-05T15:15:00Z"],
        ],
    ),
    // Lord Howe, 2026-04-05: 02:00 becomes 01:30 at 15:00Z the day before.
    (
        "Australia/Lord_Howe",
        "45 1 * * *",
        "2026-04-04T00:00:00Z",
        [
            &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
            &["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"],
            &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
        ],
    ),
    // Casablanca leaves daylight time for Ramadan: 2025-02-23 03:00 becomes 02:00 at 02:00Z.
    (
        "Africa/Casablanca",
        "30 2 * * *",
        "2025-02-22T12:00:00Z",
        [
            &["2025-02-23T01:30:00Z", "2025-02-24T02:30:00Z"],
            &["2025-02-23T01:30:00Z", "2025-02-23T02:30:00Z"],
            &["2025-02-23T01:30:00Z", "2025-02-24T02:30:00Z"],
        ],
    ),
    // Casablanca, 2025-04-06, after Ramadan: 02:00 becomes 03:00 at 02:00Z.
    (
        "Africa/Casablanca",
        "30 2 * * *",
        "2025-04-05T12:00:00Z",
        [
            &["2025-04-06T02:00:00Z", "2025-04-07T01:30:00Z"],
            &["2025-04-07T01:30:00Z", "2025-04-08T01:30:00Z"],
            &["2025-04-07T01:30:00Z", "2025-04-08T01:30:00Z"],
        ],
    ),
    // Tehran, 2022-03-22: midnight becomes 01:00 at 20:30Z the day before.
    (
        "Asia/Tehran",
        "0 0 * * *",
        "2022-03-21T00:00:00Z",
        [
            &["2022-03-21T20:30:00Z", "2022-03-22T19:30:00Z"],
            &["2022-03-22T19:30:00Z", "2022-03-23T19:30:00Z"],
            &["2022-03-22T19:30:00Z", "2022-03-23T19:30:00Z"],
        ],
    ),
    // Tehran, 2022-09-22: midnight becomes 23:00 of the day before at 19:30Z.
    (
        "Asia/Tehran",
        "30 23 * * *",
        "2022-09-21T00:00:00Z",
        [
            &["2022-09-21T19:00:00Z", "2022-09-22T20:00:00Z"],
            &["2022-09-21T19:00:00Z", "2022-09-21T20:00:00Z"],
            &["2022-09-21T19:00:00Z", "2022-09-22T20:00:00Z"],
        ],
    ),
    // Apia had no 2011-12-30 at all; a change of a day is no season, so nothing is made up for.
    (
        "Pacific/Apia",
        "30 12 * * *",
        "2011-12-29T12:00:00Z",
        [
            &["2011-12-29T22:30:00Z", "2011-12-30T22:30:00Z"],
            &["2011-12-29T22:30:00Z", "2011-12-30T22:30:00Z"],
            &["2011-12-29T22:30:00Z", "2011-12-30T22:30:00Z"],
        ],
    ),
    // Apia's seasons: 2020-09-27 03:00 becomes 04:00 at 14:00Z the day before.
    (
        "Pacific/Apia",
        "30 3 * * *",
        "2020-09-26T00:00:00Z",
        [
            &["2020-09-26T14:00:00Z", "2020-09-27T13:30:00Z"],
            &["2020-09-27T13:30:00Z", "2020-09-28T13:30:00Z"],
            &["2020-09-27T13:30:00Z", "2020-09-28T13:30:00Z"],
        ],
    ),
    // Apia, 2021-04-04: 04:00 becomes 03:00 at 14:00Z the day before.
    (
        "Pacific/Apia",
        "30 3 * * *",
        "2021-04-03T00:00:00Z",
        [
            &["2021-04-03T13:30:00Z", "2021-04-04T14:30:00Z"],
            &["2021-04-03T13:30:00Z", "2021-04-03T14:30:00Z"],
            &["2021-04-03T13:30:00Z", "2021-04-04T14:30:00Z"],
        ],
    ),
];

#[test]
fn changes_of_the_clocks_follow_the_policy() {
    for (zone_name, expression, after, expected) in CHANGES {
        for (dst, expected) in POLICIES.into_iter().zip(expected) {
            let schedule = schedule(expression, zone_name, dst);
            let found = next(&schedule, after, expected.len());
            assert_eq!(found, expected, "{expression} in {zone_name} by {dst:?}");
        }
    }
}

#[test]
fn a_yearly_time_that_falls_into_a_gap_waits_for_the_next_year_or_runs_after_the_jump() {
    let skipped = schedule("30 2 29 3 *", "Europe/Berlin", DstPolicy::Ocps);
    assert_eq!(next(&skipped, "2026-01-01T00:00:00Z", 1), ["2027-03-29T00:30:00Z"]);
    let filled = schedule("30 2 29 3 *", "Europe/Berlin", DstPolicy::Vixie);
    assert_eq!(next(&filled, "2026-01-01T00:00:00Z", 1), ["2026-03-29T01:00:00Z"]);
}

/// A field of small lists, ranges and steps within `least..=largest`.
fn field(least: u32, largest: u32) -> impl Strategy<Value = String> {
    let value = least..=largest;
    let range =
        (value.clone(), value.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let step = (1..=(largest - least)).prop_map(|step| format!("*/{step}"));
    prop_oneof![
        4 => Just("*".to_owned()),
        2 => value.clone().prop_map(|value| value.to_string()),
        1 => prop::collection::vec(value, 1..4).prop_map(|values| {
            values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
        }),
        1 => range,
        1 => step,
    ]
}

/// Five fields, or six with whole or fractional seconds.
fn expression() -> impl Strategy<Value = String> {
    let second = prop_oneof![
        3 => Just(String::new()),
        1 => field(0, 59).prop_map(|field| field + " "),
        1 => prop::sample::select(&["*/0.250 ", "0.1,0.7 ", "30/0.5 ", "*/0.7,59.9 "][..])
            .prop_map(str::to_owned),
    ];
    let rest = (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6));
    (second, rest).prop_map(|(second, (a, b, c, d, e))| format!("{second}{a} {b} {c} {d} {e}"))
}

/// Moments from 1960 to 2100, with odd nanoseconds.
fn moment() -> impl Strategy<Value = Timestamp> {
    (-315_000_000_i64..4_100_000_000, 0..1_000_000_000_i64)
        .prop_map(|(seconds, nanos)| Timestamp::from_unix(seconds, nanos))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn forward_and_backward_agree_and_counting_agrees_with_both(
        expression in expression(),
        zone_name in prop::sample::select(&ZONES[..]),
        dst in prop::sample::select(&POLICIES[..]),
        after in moment(),
    ) {
        let schedule = schedule(&expression, zone_name, dst);
        let mut forward = Vec::new();
        let mut at = after;
        while let (true, Some(next)) = (forward.len() < 40, schedule.next_after(at)) {
            prop_assert!(next > at, "{next} is not after {at}");
            prop_assert_eq!(next.as_unix_nanos() % 1_000, 0);
            prop_assert!(forward.is_empty() || next - at >= Span::from_millis(1));
            prop_assert!(schedule.contains(next));
            forward.push(next);
            at = next;
        }
        if let (Some(&first), Some(&last)) = (forward.first(), forward.last()) {
            let mut backward = Vec::new();
            let mut at = last + Span::NANOSECOND;
            while backward.len() < forward.len() {
                at = schedule.previous_before(at).unwrap();
                backward.push(at);
            }
            backward.reverse();
            prop_assert_eq!(&forward, &backward);
            let count = schedule.count_between(first, last, u64::MAX);
            prop_assert_eq!(count, forward.len() as u64);
            prop_assert!(schedule.previous_before(first).is_none_or(|before| before <= after));
        }
    }

    #[test]
    fn printing_and_parsing_are_inverse(
        expression in expression(),
        dst in prop::sample::select(&POLICIES[..]),
    ) {
        let written = schedule(&expression, "Etc/UTC", dst);
        let printed = schedule(&written.to_string(), "Etc/UTC", dst);
        prop_assert_eq!(&written, &printed);
        prop_assert_eq!(written.to_string(), printed.to_string());
    }

    /// Against a scan of every minute: the plainest possible reading of the fields.
    #[test]
    fn a_scan_of_every_minute_finds_the_same_instants(
        fields in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)),
        zone_name in prop::sample::select(&ZONES[..]),
        dst in prop::sample::select(&[DstPolicy::Kubernetes, DstPolicy::Ocps][..]),
        after in 0_i64..3_000_000_000,
    ) {
        let (a, b, c, d, e) = &fields;
        let schedule = schedule(&format!("{a} {b} {c} {d} {e}"), zone_name, dst);
        let start = Timestamp::from_unix(after - after.rem_euclid(60), 0);
        let minutes = 3 * 24 * 60;
        let until = start + Span::from_minutes(minutes);
        let offset = |at| i64::from(schedule.zone().offset_s_at(at));
        let mut scanned = Vec::new();
        // Local minutes that were seen already; the scan begins early enough to know repeats.
        let mut seen = std::collections::BTreeSet::new();
        for minute in -26 * 60..=minutes {
            let at = start + Span::from_minutes(minute);
            let local = at.unix_seconds() + offset(at);
            let fresh = seen.insert(local) || dst == DstPolicy::Kubernetes;
            if local.rem_euclid(60) == 0 && fresh && minute > 0 && matches(&fields, local) {
                scanned.push(at);
            }
        }
        let mut found = Vec::new();
        let mut at = start;
        while let Some(next) = schedule.next_after(at).filter(|next| *next <= until) {
            found.push(next);
            at = next;
        }
        prop_assert_eq!(found, scanned);
    }
}

/// Whether a local time, in seconds, matches five fields by Vixie's rule.
fn matches(fields: &(String, String, String, String, String), local: i64) -> bool {
    let date = jiff::Timestamp::from_second(local).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let (a, b, c, d, e) = fields;
    let month_day = has(c, i64::from(date.day()), 1);
    let week_day = has(e, i64::from(date.weekday().to_sunday_zero_offset()), 0);
    let either = !c.starts_with('*') && !e.starts_with('*');
    let day = if either { month_day || week_day } else { month_day && week_day };
    has(a, i64::from(date.minute()), 0)
        && has(b, i64::from(date.hour()), 0)
        && has(d, i64::from(date.month()), 1)
        && day
}

fn has(field: &str, value: i64, least: i64) -> bool {
    field.split(',').any(|part| {
        if let Some(step) = part.strip_prefix("*/") {
            (value - least) % step.parse::<i64>().unwrap() == 0
        } else if let Some((from, to)) = part.split_once('-') {
            (from.parse().unwrap()..=to.parse().unwrap()).contains(&value)
        } else {
            part == "*" || part.parse::<i64>().unwrap() == value
        }
    })
}
