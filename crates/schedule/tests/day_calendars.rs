//! Schedules on the days of calendars: forward, backward and counted, against a walk.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{ZONES, instant, next, utc, zone};
use proptest::prelude::*;
use std::sync::LazyLock;
use timeball_schedule::language::{DayCalendar, DayEntry, Dialect, DstPolicy, Schedule, Zone};
use timeball_timebase::{Span, Timestamp};

fn calendar(name: &str, entries: &[DayEntry<'_>]) -> DayCalendar {
    DayCalendar::new(name, None, entries).unwrap()
}

#[test]
fn instants_on_excluded_days_do_not_exist_and_on_others_stay() {
    let weekend = calendar("weekend", &[DayEntry::Cron("* * SAT,SUN")]);
    let holidays =
        calendar("holidays", &[DayEntry::Range { from: "2026-12-24", to: "2027-01-01" }]);
    let workdays = utc("0 9 * * *").on_days(&[], &[weekend, holidays]);
    assert_eq!(
        next(&workdays, "2026-12-22T12:00:00Z", 3),
        ["2026-12-23T09:00:00Z", "2027-01-04T09:00:00Z", "2027-01-05T09:00:00Z"]
    );
    assert_eq!(workdays.describe(), "at 09:00, every day, not on days of `weekend` and `holidays`");
    assert_ne!(workdays, utc("0 9 * * *"));
    assert_eq!(workdays.clone().on_all_days(), utc("0 9 * * *"));
}

#[test]
fn included_days_are_those_of_any_calendar_and_excluding_wins() {
    let fridays = calendar("fridays", &[DayEntry::Cron("* * FRI")]);
    let firsts = calendar("firsts", &[DayEntry::Cron("1 * *")]);
    let new_year = calendar("new-year", &[DayEntry::Rule("DTSTART:20270101 RRULE:FREQ=YEARLY")]);
    let schedule = utc("@every 12h").on_days(&[fridays, firsts], &[new_year]);
    assert_eq!(
        next(&schedule, "2026-12-24T23:00:00Z", 5),
        [
            "2026-12-25T00:00:00Z",
            "2026-12-25T12:00:00Z",
            // 1 January 2027, a Friday, is left out.
            "2027-01-08T00:00:00Z",
            "2027-01-08T12:00:00Z",
            "2027-01-15T00:00:00Z"
        ]
    );
}

#[test]
fn an_instant_that_is_left_out_is_named_with_the_calendar_that_leaves_it_out() {
    let workdays = calendar("workdays", &[DayEntry::Cron("* * MON-FRI")]);
    let holidays = calendar("holidays", &[DayEntry::Date("2026-12-25")]);
    // A thousand instants a second: only the runs of days are walked.
    let schedule = utc("@every 1ms").on_days(&[workdays], &[holidays]);
    assert_eq!((schedule.included(), schedule.excluded()), (vec!["workdays"], vec!["holidays"]));
    let until = instant("2027-01-01T00:00:00Z");
    let left_out = |after: &str, until| {
        let found = schedule.next_left_out(instant(after), until)?;
        Some((found.at.to_string(), found.excluded_by))
    };
    let monday = "2026-12-21T12:00:00Z";
    let friday = ("2026-12-25T00:00:00Z".to_owned(), Some("holidays"));
    assert_eq!(left_out(monday, until), Some(friday));
    let saturday = ("2026-12-26T00:00:00Z".to_owned(), None);
    assert_eq!(left_out("2026-12-25T23:59:59.999Z", until), Some(saturday));
    assert_eq!(left_out(monday, instant("2026-12-24T00:00:00Z")), None);
    assert_eq!(utc("@daily").next_left_out(instant(monday), until), None);
}

#[test]
fn a_day_is_one_of_the_schedules_zone_or_of_the_calendars_own() {
    let entries = [DayEntry::Date("2026-07-04")];
    let new_york = zone("America/New_York");
    let every_hour = || Schedule::parse("0 * * * *", Dialect::Vixie, &new_york, None).unwrap();
    let of_schedule = every_hour().on_days(&[calendar("a", &entries)], &[]);
    assert_eq!(next(&of_schedule, "2026-01-01T00:00:00Z", 1), ["2026-07-04T04:00:00Z"]);
    let tokyo = DayCalendar::new("a", Some(zone("Asia/Tokyo")), &entries).unwrap();
    let of_calendar = every_hour().on_days(&[tokyo], &[]);
    assert_eq!(next(&of_calendar, "2026-01-01T00:00:00Z", 1), ["2026-07-03T15:00:00Z"]);
    let (from, until) = (Timestamp::MIN, Timestamp::MAX);
    for schedule in [of_schedule, of_calendar] {
        assert_eq!(schedule.count_between(from, until, u64::MAX), 24);
    }
}

#[test]
fn a_day_with_a_change_of_the_clocks_has_its_real_length() {
    let day = [calendar("the-day", &[DayEntry::Date("2026-03-29")])];
    let berlin = zone("Europe/Berlin");
    let schedule = Schedule::parse("@every 1h", Dialect::Vixie, &berlin, None).unwrap();
    let only = schedule.clone().on_days(&day, &[]);
    assert_eq!(only.count_between(Timestamp::MIN, Timestamp::MAX, 99), 23);
    let daily = Schedule::parse("30 2 * * *", Dialect::Vixie, &berlin, None).unwrap();
    let (from, until) = (instant("2026-01-01T00:00:00Z"), instant("2026-12-31T00:00:00Z"));
    assert_eq!(daily.traps(from, until).len(), 2);
    assert_eq!(daily.on_days(&[], &day).traps(from, until).len(), 1);
}

#[test]
fn a_schedule_without_a_day_left_has_no_instants_and_says_so_soon() {
    let saturdays = calendar("saturdays", &[DayEntry::Cron("* * SAT")]);
    let none = utc("0 0 * * SAT").on_days(&[], &[saturdays]);
    assert_eq!(none.next_after(Timestamp::MIN), None);
    assert_eq!(none.previous_before(Timestamp::MAX), None);
    assert_eq!(none.count_between(Timestamp::MIN, Timestamp::MAX, 9), 0);
    let empty = utc("@every 1ms").on_days(&[calendar("empty", &[])], &[]);
    assert_eq!(empty.next_after(Timestamp::MIN), None);
    assert_eq!(empty.previous_before(Timestamp::MAX), None);
    let at_the_ends = calendar("all", &[DayEntry::Cron("* * *")]);
    let all = utc("@every 1ms").on_days(&[at_the_ends], &[]);
    assert_eq!(all.next_after(Timestamp::MIN), utc("@every 1ms").next_after(Timestamp::MIN));
    assert_eq!(
        all.previous_before(Timestamp::MAX),
        utc("@every 1ms").previous_before(Timestamp::MAX)
    );
}

const EXPRESSIONS: [&str; 7] = [
    "0 0 * * *",
    "*/20 * * * *",
    "30 1-3 * * *",
    "59 23 * * MON-FRI",
    "@every 7h30m/1h",
    "R/2026-03-01T00:00/P1D",
    "DTSTART:20260101T013000 RRULE:FREQ=DAILY",
];
const DAYS: [DayEntry<'static>; 6] = [
    DayEntry::Cron("* * SAT,SUN"),
    DayEntry::Cron("*/2 * *"),
    DayEntry::Date("2026-03-29"),
    DayEntry::Range { from: "2026-10-24", to: "2026-11-02" },
    DayEntry::Rule("DTSTART:20260301 RRULE:FREQ=WEEKLY;BYDAY=SU"),
    DayEntry::Cron("L * *"),
];
/// A calendar of each entry, by the schedule's days and by those of Kathmandu: unrolling them takes
/// longer than all that is asked of them.
static CALENDARS: LazyLock<Vec<[DayCalendar; 2]>> = LazyLock::new(|| {
    let one = |entry: &DayEntry<'_>| {
        [None, Some(zone(OTHER_ZONE))]
            .map(|of| DayCalendar::new("one", of, std::slice::from_ref(entry)).unwrap())
    };
    DAYS.iter().map(one).collect()
});
const OTHER_ZONE: &str = "Asia/Kathmandu";
const MOMENTS: [&str; 4] = [
    "2026-03-26T00:00:00Z",
    "2026-10-23T00:00:00Z",
    "2026-03-06T12:00:00Z",
    "2026-04-03T06:00:00Z",
];

/// The day on the wall, as a date.
fn date(at: Timestamp, zone: &Zone) -> String {
    (at + Span::from_secs(i64::from(zone.offset_s_at(at)))).to_string()[..10].to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn forward_backward_and_counted_are_the_instants_whose_day_counts(
        expression in prop::sample::select(&EXPRESSIONS[..]),
        zone_name in prop::sample::select(&ZONES[..]),
        other_days in any::<bool>(),
        dst in prop::sample::select(
            &[DstPolicy::Vixie, DstPolicy::Kubernetes, DstPolicy::Ocps][..]
        ),
        include in prop::sample::subsequence((0..DAYS.len()).collect::<Vec<_>>(), 0..3),
        exclude in prop::sample::subsequence((0..DAYS.len()).collect::<Vec<_>>(), 0..3),
        moment in prop::sample::select(&MOMENTS[..]),
    ) {
        let own = zone(zone_name);
        let plain = Schedule::parse(expression, Dialect::Vixie, &own, Some(dst)).unwrap();
        let of = |indices: &[usize], other: bool| -> Vec<DayCalendar> {
            indices.iter().map(|index| CALENDARS[*index][usize::from(other)].clone()).collect()
        };
        let schedule = plain.clone().on_days(&of(&include, other_days), &of(&exclude, other_days));
        let day_zone = if other_days { zone(OTHER_ZONE) } else { own };
        // The second opinion asks for the midnight of the date in UTC.
        let has = |indices: &[usize], day: &str| {
            let midnight = instant(&format!("{day}T00:00:00Z"));
            let calendars = of(indices, false);
            !calendars.is_empty() && utc("0 0 * * *").on_days(&calendars, &[]).contains(midnight)
        };
        let from = instant(moment);
        let until = from + Span::from_secs(16 * 86_400);
        let mut expected = Vec::new();
        let mut at = from;
        while let Some(next) = plain.next_after(at).filter(|next| *next <= until) {
            at = next;
            let day = date(at, &day_zone);
            let counts = (include.is_empty() || has(&include, &day)) && !has(&exclude, &day);
            if counts {
                expected.push(at);
            }
        }
        let mut found = Vec::new();
        let mut at = from;
        while let Some(next) = schedule.next_after(at).filter(|next| *next <= until) {
            found.push(next);
            at = next;
        }
        prop_assert_eq!(&found, &expected);
        let mut backward = Vec::new();
        let mut at = until + Span::from_nanos(1);
        while let Some(previous) = schedule.previous_before(at).filter(|at| *at > from) {
            backward.push(previous);
            at = previous;
        }
        backward.reverse();
        prop_assert_eq!(&backward, &expected);
        let count = schedule.count_between(from + Span::from_nanos(1), until, u64::MAX);
        prop_assert_eq!(count, expected.len() as u64);
    }
}
