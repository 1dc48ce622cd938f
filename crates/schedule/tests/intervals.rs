//! `@at` and ISO 8601 repeating intervals.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{instant, next, utc, zone};
use timeball_schedule::language::{Dialect, DstPolicy, Schedule, Zone};
use timeball_timebase::Timestamp;

#[test]
fn listed_instants_come_once_each_in_order() {
    let listed =
        utc("@at 2027-03-01T01:00:00+01:00,2027-01-01T00:00:00.250Z 2027-01-01T00:00:00.25Z");
    assert_eq!(listed.to_string(), "@at 2027-01-01T00:00:00.250Z,2027-03-01T00:00:00Z");
    assert_eq!(utc(&listed.to_string()), listed);
    assert_eq!(
        next(&listed, "2026-11-20T00:00:00Z", 5),
        ["2027-01-01T00:00:00.250Z", "2027-03-01T00:00:00Z"]
    );
    assert_eq!(listed.previous_before(Timestamp::MAX), Some(instant("2027-03-01T00:00:00Z")));
    assert_eq!(listed.previous_before(Timestamp::MIN), None);
    assert_eq!(listed.count_between(Timestamp::MIN, Timestamp::MAX, 9), 2);
    assert!(listed.contains(instant("2027-03-01T00:00:00Z")));
}

/// Expression, canonical form in UTC, the first instants after 2026-11-20.
type Meaning = (&'static str, &'static str, &'static [&'static str]);

const MEANINGS: [Meaning; 12] = [
    (
        "R/2026-01-01T00:00:00.000Z/PT0.010S",
        "R/2026-01-01T00:00:00Z/PT0.01S",
        &["2026-11-20T00:00:00.010Z", "2026-11-20T00:00:00.020Z"],
    ),
    (
        "R3/2026-12-01T00:00:00+02:00/PT36H",
        "R3/2026-11-30T22:00:00Z/PT36H",
        &["2026-11-30T22:00:00Z", "2026-12-02T10:00:00Z", "2026-12-03T22:00:00Z"],
    ),
    (
        "R2/2026-12-01T00:00Z/2026-12-01T00:30Z",
        "R2/2026-12-01T00:00:00Z/PT30M",
        &["2026-12-01T00:00:00Z", "2026-12-01T00:30:00Z"],
    ),
    (
        "R2/PT1H/2026-12-01T00:00Z",
        "R2/2026-11-30T22:00:00Z/PT1H",
        &["2026-11-30T22:00:00Z", "2026-11-30T23:00:00Z"],
    ),
    // Months are counted from the first, so the 31st comes back after February.
    (
        "R/2026-12-31T09:00/P1M",
        "R/2026-12-31T09:00:00/P1M",
        &[
            "2026-12-31T09:00:00Z",
            "2027-01-31T09:00:00Z",
            "2027-02-28T09:00:00Z",
            "2027-03-31T09:00:00Z",
        ],
    ),
    ("R2/2026-02-28T09:00/P1Y", "R2/2026-02-28T09:00:00/P1Y", &["2027-02-28T09:00:00Z"]),
    (
        "R/2026-11-19T22:00/P1DT6H",
        "R/2026-11-19T22:00:00/P1DT6H",
        &["2026-11-21T04:00:00Z", "2026-11-22T10:00:00Z"],
    ),
    (
        "R/2026-11-19T22:00/P2W",
        "R/2026-11-19T22:00:00/P14D",
        &["2026-12-03T22:00:00Z", "2026-12-17T22:00:00Z"],
    ),
    // The basic form, a date alone, -1 for no end, and the comma as decimal sign.
    (
        "R2/20261201T093000Z/PT1H",
        "R2/2026-12-01T09:30:00Z/PT1H",
        &["2026-12-01T09:30:00Z", "2026-12-01T10:30:00Z"],
    ),
    (
        "R/2026-12-01/P1D",
        "R/2026-12-01T00:00:00/P1D",
        &["2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"],
    ),
    ("R2/20261201/20261202", "R2/2026-12-01T00:00:00Z/PT24H", &["2026-12-01T00:00:00Z"]),
    (
        "R-1/2026-12-01T00:00:00,250Z/PT0,5S",
        "R/2026-12-01T00:00:00.250Z/PT0.5S",
        &["2026-12-01T00:00:00.250Z", "2026-12-01T00:00:00.750Z"],
    ),
];

#[test]
fn repeating_intervals_are_those_of_iso_8601() {
    for (expression, canonical, expected) in MEANINGS {
        let schedule = utc(expression);
        assert_eq!(schedule.to_string(), canonical, "{expression}");
        assert_eq!(utc(canonical), schedule, "{expression}");
        let found = next(&schedule, "2026-11-20T00:00:00Z", expected.len());
        assert_eq!(found, expected, "{expression}");
        let last = instant(found.last().unwrap());
        let mut back = last;
        for at in found.iter().rev().skip(1) {
            back = schedule.previous_before(back).unwrap();
            assert_eq!(back.to_string(), *at, "{expression}");
        }
        let counted = schedule.count_between(instant(&found[0]), last, u64::MAX);
        assert_eq!(counted, found.len() as u64, "{expression}");
    }
    assert_eq!(next(&utc(MEANINGS[1].0), "2026-11-20T00:00:00Z", 9).len(), 3);
}

#[test]
fn days_follow_the_clock_on_the_wall_and_hours_do_not() {
    let at = |expression| {
        let zone = zone("Europe/Berlin");
        let dst = Some(DstPolicy::Vixie);
        Schedule::parse(expression, Dialect::Vixie, &zone, dst).unwrap()
    };
    let days = at("R/2026-03-28T02:30/P1D");
    assert_eq!(
        next(&days, "2026-03-27T00:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    let hours = at("R/2026-03-28T02:30/PT24H");
    assert_eq!(
        next(&hours, "2026-03-27T00:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T01:30:00Z"]
    );
    // A start that the clocks skip is the jump.
    let skipped = at("R2/2026-03-29T02:30/PT1H");
    assert_eq!(next(&skipped, "2026-03-27T00:00:00Z", 1), ["2026-03-29T01:00:00Z"]);
}

/// Expression, position, a part of the message.
const REFUSED: [(&str, usize, &str); 23] = [
    ("@at", 3, "missing"),
    ("@at 2027-01-01", 4, "no date with a time"),
    ("@at 2027-01-01T00:00:00", 23, "no offset from UTC"),
    ("@at 2027-02-30T00:00:00Z", 4, "does not exist"),
    ("@at 2027-01-01T00:00:00.1234567Z", 4, "no date with a time"),
    ("@at 2027-01-01T00:00:00Z,2027-01-01T00:00:00.0005Z", 4, "less than 1 ms"),
    ("@at 9999-01-01T00:00:00Z", 4, "out of range"),
    ("R/2027-01-01T00:00Z", 0, "three parts"),
    ("R0/2027-01-01T00:00Z/PT1S", 1, "repeats nothing"),
    ("R/2027-01-01T00:00Z/PT0.0001S", 20, "too short"),
    ("R/2027-01-01T00:00Z/P", 20, "too short"),
    ("R/2027-01-01T00:00Z/PT1D", 22, "no number with a unit"),
    ("R/2027-01-01T00:00Z/2026-01-01T00:00Z", 20, "too short"),
    // What is printed has to be read again, and offsets and counts lead out of the years.
    ("@at 1700-01-01T00:00:00+14:00", 4, "out of range"),
    ("@at 2261-12-31T23:59:00-14:00", 4, "out of range"),
    ("R/1700-01-01T00:00+01:00/PT1H", 2, "out of range"),
    ("R/1700-01-01T00:00+01:00/P1M", 2, "out of range"),
    ("R3026120/PT1H/2027-01-01T00:00:00Z", 9, "out of range"),
    ("R/2027-02-30/P1D", 2, "does not exist"),
    ("R/2027-W01-1/P1W", 2, "no date; expected one as"),
    ("R-2/2027-01-01T00:00Z/PT1S", 1, "repeats nothing"),
    ("R/P1M/2027-01-01T00:00Z", 0, "given by its end"),
    ("R/2027-01-01T00:00Z/P9999Y", 20, "longer than 100 years"),
];

#[test]
fn intervals_and_instants_are_refused_with_place_and_reason() {
    for (expression, position, part) in REFUSED {
        let refused = Schedule::parse(expression, Dialect::Vixie, &Zone::utc(), None);
        let error = refused.expect_err(expression);
        assert!(error.message.contains(part), "{expression}: {error}");
        assert_eq!(error.position, position, "{expression}: {error}");
    }
}
