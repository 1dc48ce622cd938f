//! What expressions mean, and which are refused with what message.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{instant, next, utc};
use timeball_schedule::language::{Dialect, ParseError, Schedule, Zone};
use timeball_timebase::{Span, Timestamp};

fn refused(expression: &str) -> ParseError {
    Schedule::parse(expression, Dialect::Vixie, &Zone::utc(), None).unwrap_err()
}

#[test]
fn five_fields_run_at_second_zero() {
    let schedule = utc("*/15 9-10 * * MON-FRI");
    assert_eq!(
        next(&schedule, "2026-11-20T10:45:00Z", 3),
        ["2026-11-23T09:00:00Z", "2026-11-23T09:15:00Z", "2026-11-23T09:30:00Z"]
    );
}

#[test]
fn six_fields_begin_with_seconds_which_may_have_fractions() {
    assert_eq!(
        next(&utc("*/0.250 * * * * *"), "2026-11-20T10:59:59.600Z", 3),
        ["2026-11-20T10:59:59.750Z", "2026-11-20T11:00:00Z", "2026-11-20T11:00:00.250Z"]
    );
    assert_eq!(
        next(&utc("0.25,0.75 0 12 * * *"), "2026-11-20T12:00:00Z", 3),
        ["2026-11-20T12:00:00.250Z", "2026-11-20T12:00:00.750Z", "2026-11-21T12:00:00.250Z"]
    );
    assert_eq!(
        next(&utc("58.250/0.5 * * * * *"), "2026-11-20T12:00:59Z", 3),
        ["2026-11-20T12:00:59.250Z", "2026-11-20T12:00:59.750Z", "2026-11-20T12:01:58.250Z"]
    );
    assert_eq!(
        next(&utc("0.000001 0 0 1 1 *"), "2026-11-20T12:00:59Z", 1),
        ["2027-01-01T00:00:00.000001Z"]
    );
    assert_eq!(
        next(&utc("10-11/0.5 0 0 * * *"), "2026-11-20T00:00:00Z", 4),
        [
            "2026-11-20T00:00:10Z",
            "2026-11-20T00:00:10.500Z",
            "2026-11-20T00:00:11Z",
            "2026-11-21T00:00:10Z"
        ]
    );
}

#[test]
fn a_step_that_does_not_divide_the_minute_begins_anew_with_it() {
    assert_eq!(
        next(&utc("*/0.7 * * * * *"), "2026-11-20T12:00:58.800Z", 3),
        ["2026-11-20T12:00:59.500Z", "2026-11-20T12:01:00Z", "2026-11-20T12:01:00.700Z"]
    );
}

#[test]
fn every_counts_from_1970_and_not_from_now() {
    assert_eq!(
        next(&utc("@every 10ms"), "2026-11-20T12:00:00.003Z", 2),
        ["2026-11-20T12:00:00.010Z", "2026-11-20T12:00:00.020Z"]
    );
    assert_eq!(
        next(&utc("@every 10ms/3ms"), "2026-11-20T12:00:00.003Z", 2),
        ["2026-11-20T12:00:00.013Z", "2026-11-20T12:00:00.023Z"]
    );
    assert_eq!(
        next(&utc("@every 1h30m"), "1970-01-01T00:00:00Z", 2),
        ["1970-01-01T01:30:00Z", "1970-01-01T03:00:00Z"]
    );
    assert_eq!(utc("@every 0.5s"), utc("@every 500ms"));
}

#[test]
fn days_match_either_field_when_both_are_restricted() {
    let either = utc("0 0 13 * FRI");
    assert_eq!(
        next(&either, "2026-11-10T00:00:00Z", 3),
        ["2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-27T00:00:00Z"]
    );
    // A field that begins with `*` counts as unrestricted, so both must match.
    let both = utc("0 0 */2 * SUN");
    assert_eq!(
        next(&both, "2026-11-01T00:00:00Z", 2),
        ["2026-11-15T00:00:00Z", "2026-11-29T00:00:00Z"]
    );
}

#[test]
fn sunday_is_0_and_7_and_may_end_a_range() {
    assert_eq!(
        utc("0 0 * * 7").next_after(instant("2026-11-20T00:00:00Z")),
        utc("0 0 * * sun").next_after(instant("2026-11-20T00:00:00Z"))
    );
    assert_eq!(
        next(&utc("0 0 * * FRI-SUN"), "2026-11-16T00:00:00Z", 4),
        [
            "2026-11-20T00:00:00Z",
            "2026-11-21T00:00:00Z",
            "2026-11-22T00:00:00Z",
            "2026-11-27T00:00:00Z"
        ]
    );
}

#[test]
fn a_day_that_never_comes_has_no_instants_and_costs_nothing() {
    let never = utc("0 0 30 2 *");
    assert_eq!(never.next_after(instant("2026-11-20T00:00:00Z")), None);
    assert_eq!(never.previous_before(instant("2026-11-20T00:00:00Z")), None);
    assert_eq!(never.count_between(Timestamp::MIN, Timestamp::MAX, u64::MAX), 0);
}

#[test]
fn rare_days_are_found_over_decades() {
    // 29 February on a Monday, by `*/28`, which begins with a star: 1 and 29.
    let rare = utc("0 0 */28 2 MON");
    let all = next(&rare, "2030-02-01T00:00:00Z", 8);
    assert!(all.contains(&"2044-02-29T00:00:00Z".to_owned()), "{all:?}");
    assert_eq!(
        next(&utc("0 0 29 2 *"), "2096-03-01T00:00:00Z", 1),
        ["2104-02-29T00:00:00Z"],
        "2100 is no leap year"
    );
}

#[test]
fn instants_end_with_the_range_of_timestamps() {
    let yearly = utc("@yearly");
    assert_eq!(yearly.next_after(instant("2262-01-01T00:00:00Z")), None);
    assert_eq!(yearly.previous_before(Timestamp::MAX).unwrap().to_string(), "2262-01-01T00:00:00Z");
    assert_eq!(yearly.next_after(Timestamp::MIN).unwrap().to_string(), "1678-01-01T00:00:00Z");
    assert_eq!(yearly.previous_before(Timestamp::MIN), None);
    assert_eq!(yearly.next_after(Timestamp::MAX), None);
    assert_eq!(utc("@every 1d").next_after(Timestamp::MAX), None);
    assert_eq!(utc("@every 1d").previous_before(Timestamp::MIN), None);
}

#[test]
fn next_and_previous_are_strict_also_between_microseconds() {
    let schedule = utc("@every 1ms");
    let at = instant("2026-11-20T00:00:00Z");
    let odd = at + Span::from_nanos(1);
    assert_eq!(schedule.next_after(at), Some(at + Span::from_millis(1)));
    assert_eq!(schedule.previous_before(at), Some(at - Span::from_millis(1)));
    assert_eq!(schedule.next_after(odd), Some(at + Span::from_millis(1)));
    assert_eq!(schedule.previous_before(odd), Some(at));
    assert!(schedule.contains(at) && !schedule.contains(odd));
}

#[test]
fn counting_is_exact_and_does_not_walk() {
    let from = instant("2026-11-20T00:00:00Z");
    let eight_hours = from + Span::from_secs(8 * 3_600) - Span::NANOSECOND;
    assert_eq!(utc("*/0.1 * * * * *").count_between(from, eight_hours, u64::MAX), 288_000);
    assert_eq!(utc("@every 100ms").count_between(from, eight_hours, u64::MAX), 288_000);
    assert_eq!(utc("@every 100ms").count_between(from, eight_hours, 7), 7);
    assert_eq!(
        utc("@every 1ms").count_between(Timestamp::MIN, Timestamp::MAX, u64::MAX),
        18_446_744_073_709
    );
    assert_eq!(
        utc("*/0.001 * * * * *").count_between(Timestamp::MIN, Timestamp::MAX, u64::MAX),
        18_446_744_073_709
    );
}

#[test]
fn the_canonical_form_parses_to_the_same_schedule() {
    for (written, canonical) in [
        ("  0   12 * *\tmon-fri ", "0 12 * * 1-5"),
        ("@daily", "0 0 * * *"),
        ("05 007 1,02 JAN,mar-5 7", "5 7 1,2 1,3-5 7"),
        ("*/0.250 * * * * *", "*/0.25 * * * * *"),
        ("0.100/0.50,7 */2 3-9/3 * * *", "0.1/0.5,7 */2 3-9/3 * * *"),
        ("@every 90m", "@every 1h30m"),
        ("@every 1500ms/1s", "@every 1s500ms/1s"),
        ("@every 0.010s", "@every 10ms"),
        ("0 0 * * fri-sun", "0 0 * * 5-7"),
    ] {
        let schedule = utc(written);
        assert_eq!(schedule.to_string(), canonical, "{written}");
        assert_eq!(utc(canonical), schedule, "{written}");
    }
}

/// Expression, position of the trouble, a part of the message, the suggestion.
const REFUSED: [(&str, usize, &str, Option<&str>); 48] = [
    ("", 0, "empty", Some("* * * * *")),
    ("* * * *", 7, "4 fields; expected 5, or 6", None),
    ("tomorrow", 8, "1 field; expected 5", None),
    ("10ms", 4, "1 field; expected 5", Some("@every 10ms")),
    ("0 0 l * *", 4, "found `l`", Some("L")),
    ("0 0 * * 5l", 9, "found `l`", Some("5L")),
    ("0 0 0 1 1 * 2027", 12, "7 fields", None),
    ("60 * * * *", 0, "60 is out of range for the minute field; expected 0 to 59", None),
    ("* 24 * * *", 2, "hour", None),
    ("* * 0 * *", 4, "day of month", None),
    ("* * 32 * *", 4, "expected 1 to 31", None),
    ("* * * 13 *", 6, "month", None),
    ("* * * * 8", 8, "expected 0 to 7", None),
    ("* * * * monday", 8, "found `monday`", Some("MON")),
    ("* * * jna *", 6, "JAN to DEC", Some("JAN")),
    ("5-3 * * * *", 0, "runs backwards", Some("0-3,5-59")),
    ("* * * * 5-0", 8, "runs backwards", Some("5-7")),
    ("* * * * 7-1", 8, "runs backwards", Some("0-1")),
    ("*/0 * * * *", 2, "step of the minute field is 0", None),
    ("*/0.0 * * * * *", 2, "is 0", Some("*/0.001")),
    ("*/0.0005 * * * * *", 0, "less than 1 ms apart", None),
    ("0.0001,0.0002 * * * * *", 0, "0.000100 and 0.000200", None),
    ("0,59.9995 * * * * *", 0, "59.999500 and 0.000000", None),
    ("*/250 * * * * *", 2, "only one value of the second field", Some("*/0.25")),
    ("*/60 * * * *", 2, "only one value of the minute field", Some("0")),
    ("0 0 */31 * *", 6, "only one value of the day of month field", Some("1")),
    ("10-20/11 * * * *", 6, "at most 10", None),
    ("0.1234567 * * * * *", 8, "at most 6 digits", None),
    ("0.5 * * * *", 1, "minute field takes whole numbers", None),
    ("0. * * * * *", 2, "expected digits", None),
    ("0.2-0.8 * * * * *", 0, "needs a step", Some("0.2-0.8/0.1")),
    ("1,,2 * * * *", 2, "found `nothing`", None),
    ("*/ * * * *", 2, "found `nothing` after `/`", None),
    ("*5 * * * *", 0, "found `*5`", None),
    ("1-2-3 * * * *", 3, "found `-3`", None),
    ("-5 * * * *", 0, "found `nothing`", None),
    ("? * * * *", 0, "`?` means nothing", Some("*")),
    ("* * * * L", 8, "found `L`", None),
    ("0~30 * * * *", 1, "jitterMilliseconds", None),
    ("99999999999999999999 * * * *", 0, "out of range", None),
    ("TZ=Europe/Berlin * * * * *", 0, "timeZone", None),
    ("@horuly", 0, "not known", Some("@hourly")),
    ("@reboot", 0, "no instant", None),
    ("@every", 6, "missing", Some("@every 10s")),
    ("@every 500us", 7, "too short", Some("@every 1ms")),
    ("@every 10", 9, "unit is missing", Some("10s")),
    ("@every 10ms/10ms", 12, "phase", Some("@every 10ms")),
    ("0 12 * * ☃", 9, "ASCII", None),
];

#[test]
fn what_is_refused_says_where_what_was_expected_and_what_to_write() {
    for (expression, position, part, suggestion) in REFUSED {
        let error = refused(expression);
        assert_eq!(error.position, position, "{expression}: {error}");
        assert!(error.message.contains(part), "{expression}: {error}");
        assert_eq!(error.suggestion.as_deref(), suggestion, "{expression}: {error}");
    }
}

#[test]
fn lengths_and_lists_are_limited() {
    assert!(refused(&"1".repeat(2_000)).message.contains("1024 octets"));
    let listed = vec!["1"; 61].join(",") + " * * * *";
    assert!(refused(&listed).message.contains("more than 60"));
    assert!(refused("@every 99999d").message.contains("too long"));
    assert!(refused("@every 99999999999999999999s").message.contains("2262"));
}
