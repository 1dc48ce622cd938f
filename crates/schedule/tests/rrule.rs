//! Recurrence rules: what they mean, against python-dateutil. Known differences are in
//! docs/schedule-differences.md.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::random::{Random, cases, report, skip};
use common::{ZONES, change_near, instant, next, rules, utc, walk, zone};
use std::io::Write;
use std::process::{Command, Stdio};
use timeball_schedule::language::{Dialect, DstPolicy, Schedule, Zone};
use timeball_timebase::Timestamp;

/// Reads `RULE<tab>AFTER` lines and writes the next instants of each, in seconds; `?` where it
/// takes long: dateutil visits every period from the start on. The limit is of processor time, so
/// that a busy machine compares as many rules as another.
const PROGRAM: &str = r"
import signal
import sys
from datetime import datetime, timedelta
from dateutil.rrule import rrulestr
EPOCH = datetime(1970, 1, 1)
def give_up(*_):
    raise TimeoutError
signal.signal(signal.SIGVTALRM, give_up)
for line in sys.stdin:
    text, after = line.rstrip('\n').split('\t')
    at = EPOCH + timedelta(seconds=int(after))
    found = []
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.05)
        for at in rrulestr(text.replace(' ', '\n')).xafter(at, count=6):
            if at.year > 2250:
                break
            found.append(str(int((at - EPOCH).total_seconds())))
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except TimeoutError:
        found = ['?']
    print(','.join(found), flush=True)
";
const INSTANTS: usize = 6;

fn list(random: &mut Random, least: i64, largest: i64, most: i64) -> String {
    let numbers = random.some(least, largest, most);
    let numbers: Vec<_> = numbers.iter().filter(|n| least >= 0 || **n != 0).collect();
    if numbers.is_empty() {
        return "1".to_owned();
    }
    numbers.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

fn weekdays(random: &mut Random, numbered: bool) -> String {
    let days: Vec<String> = random
        .some(0, 6, 3)
        .into_iter()
        .map(|day| {
            let name = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"][day as usize];
            let number = if numbered { random.of(&["1", "2", "-1", "-2", "4", "5"]) } else { "" };
            format!("{number}{name}")
        })
        .collect();
    days.join(",")
}

fn rule(random: &mut Random) -> String {
    let frequencies = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"];
    let index = random.within(0, 6);
    let frequency = frequencies[index as usize];
    let (yearly, monthly, weekly, sub_daily) = (index == 0, index == 1, index == 2, index > 3);
    let mut start =
        random.within(2000, 2026) * 10_000 + random.within(1, 12) * 100 + random.within(1, 28);
    let time = random.within(0, 23) * 10_000 + random.within(0, 59) * 100 + random.within(0, 59);
    let mut parts = vec![format!("FREQ={frequency}")];
    let mut by = false;
    // dateutil walks period by period, so long searches are slow there.
    if random.one_in(2) {
        let most = [4, 7, 9, 40, 50, 90, 100][index as usize];
        parts.push(format!("INTERVAL={}", random.within(1, most)));
    }
    if random.one_in(3) {
        let first = random.within(1, 12);
        parts.push(format!("BYMONTH={first},{},{}", (first + 4) % 12 + 1, (first + 7) % 12 + 1));
        by = true;
    }
    if random.one_in(3) {
        let numbered = (yearly || monthly) && random.one_in(2);
        parts.push(format!("BYDAY={}", weekdays(random, numbered)));
        by = true;
    } else if !weekly && random.one_in(4) {
        parts.push(format!("BYMONTHDAY={}", list(random, -31, 31, 4)));
        by = true;
    } else if yearly && random.one_in(3) {
        parts.push(format!("BYYEARDAY={}", list(random, -366, 366, 4)));
        by = true;
    } else if yearly && random.one_in(3) {
        // dateutil takes some first days of January for the wrong week.
        parts.push(format!("BYWEEKNO={}", list(random, 2, 51, 4)));
        by = true;
    }
    for (name, largest) in [("BYHOUR", 23), ("BYMINUTE", 59), ("BYSECOND", 59)] {
        // With a frequency below a day a second filter makes dateutil search for minutes.
        if !sub_daily && random.one_in(5) {
            parts.push(format!("{name}={}", list(random, 0, largest, 3)));
            by = true;
        }
    }
    let within = if index == 4 { "BYMINUTE" } else { "BYSECOND" };
    if (4..6).contains(&index) && random.one_in(2) {
        parts.push(format!("{within}={}", list(random, 0, 59, 4)));
        if random.one_in(2) {
            parts.push(format!("BYSETPOS={}", list(random, -4, 4, 2)));
        }
    }
    let of_weeks = weekly && by && random.one_in(4);
    if of_weeks || by && !weekly && !sub_daily && random.one_in(4) {
        parts.push(format!("BYSETPOS={}", list(random, -3, 3, 2)));
    }
    if of_weeks {
        // dateutil begins the first week with DTSTART, so that is a Monday.
        start = 20_240_101;
    } else if random.one_in(4) {
        parts.push(format!("WKST={}", random.of(&["SU", "MO", "TH"])));
    }
    match random.within(0, 5) {
        0 => parts.push(format!("COUNT={}", random.within(1, 40))),
        1 => parts.push(format!("UNTIL={}1231T235959", random.within(2026, 2031))),
        _ => {}
    }
    let dates = dates(random, time);
    format!("DTSTART:{start:08}T{time:06} RRULE:{}{dates}", parts.join(";"))
}

/// RDATE and EXDATE, sometimes.
fn dates(random: &mut Random, time: i64) -> String {
    let mut text = String::new();
    for name in ["RDATE", "EXDATE"] {
        if random.one_in(4) {
            // The same hours again and again, so that some meet the rule and each other.
            let date = |_| format!("{}T{time:06}", 20_270_100 + random.within(1, 31));
            let dates: Vec<String> = (0..3).map(date).collect();
            text += &format!(" {name}:{}", dates.join(","));
        }
    }
    text
}

/// The answers, each `None` where dateutil gave up; `None` where there is no dateutil.
fn ask(lines: &str) -> Option<Vec<Option<Vec<i64>>>> {
    let own = std::env::var("TIMEBALL_PYTHON").unwrap_or_default();
    let python = [own.as_str(), "python3"];
    let has = |program: &&str| {
        let import = Command::new(program).args(["-c", "import dateutil"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let program = python.iter().find(|program| has(program))?;
    let mut child = Command::new(program)
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take()?;
    let lines = lines.to_owned();
    let writer = std::thread::Builder::new().spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.unwrap().join().unwrap().unwrap();
    assert!(output.status.success(), "python failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers = |line: &str| {
        let numbers = line.split(',').filter(|n| !n.is_empty());
        (line != "?").then(|| numbers.map(|n| n.parse().unwrap()).collect())
    };
    Some(text.lines().map(numbers).collect())
}

#[test]
fn the_next_instants_of_random_rules_are_those_of_dateutil() {
    let mut random = Random(5545);
    let (wanted, mut compared, mut in_zones, mut gave_up) = (cases(150), 0, 0, 0);
    while compared < wanted {
        let questions: Vec<(String, i64)> = (0..(wanted - compared).max(20))
            .map(|_| (rule(&mut random), random.within(1_700_000_000, 1_800_000_000)))
            .collect();
        let lines: String =
            questions.iter().map(|(rule, after)| format!("{rule}\t{after}\n")).collect();
        let Some(answers) = ask(&lines) else {
            return skip("python3 with python-dateutil is not there (pip install python-dateutil)");
        };
        assert_eq!(answers.len(), questions.len());
        for ((rule, after), theirs) in questions.iter().zip(answers) {
            let Some(theirs) = theirs else {
                gave_up += 1;
                continue;
            };
            compared += 1;
            compare(rule, *after, &theirs);
            let zone_name = ZONES[1..][compared as usize % (ZONES.len() - 1)];
            in_zones += u64::from(compare_in_zone(rule, &theirs, zone_name));
        }
    }
    report(&format!(
        "{compared} rules compared with dateutil, {in_zones} of them in a zone too, 0 differ; it \
         gave up on {gave_up} others"
    ));
    assert!(in_zones * 2 > compared, "only {in_zones} in a zone");
}

/// Compares in UTC, forward, backward and counted.
fn compare(rule: &str, after: i64, theirs: &[i64]) {
    let ours = Schedule::parse(rule, Dialect::Vixie, &Zone::utc(), None)
        .unwrap_or_else(|error| panic!("{rule}: {error}"));
    assert_eq!(walk(&ours, after, INSTANTS), theirs, "{rule} after {after}");
    assert_eq!(utc(&ours.to_string()), ours, "{rule}");
}

/// Compares in a zone, where a rule names times on the wall: by `kubernetes` those that are skipped
/// do not run, and those that are repeated run twice. Whether there was anything to compare.
fn compare_in_zone(rule: &str, local: &[i64], zone_name: &str) -> bool {
    let (zone, rules) = (zone(zone_name), rules(zone_name));
    // Near a change there may be repeated times of before the first one.
    let Some(first) = local.first().filter(|first| change_near(&zone, **first).is_none()) else {
        return false;
    };
    let instants = |local: i64| {
        use jiff::tz::AmbiguousOffset::{Fold, Gap, Unambiguous};
        let wall = jiff::Timestamp::from_second(local).unwrap();
        let wall = wall.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        match rules.to_ambiguous_timestamp(wall).offset() {
            Unambiguous { offset } => vec![local - i64::from(offset.seconds())],
            Gap { .. } => vec![],
            Fold { before, after } => {
                [before, after].map(|o| local - i64::from(o.seconds())).into()
            }
        }
    };
    let mut expected: Vec<i64> = local.iter().flat_map(|local| instants(*local)).collect();
    // What comes after the last one may lie before its repetition.
    let last = local.iter().rev().find_map(|local| instants(*local).first().copied());
    expected.retain(|at| last.is_some_and(|last| *at <= last));
    expected.sort_unstable();
    let ours = Schedule::parse(rule, Dialect::Vixie, &zone, Some(DstPolicy::Kubernetes)).unwrap();
    let mut at = Timestamp::from_unix(instants(*first)[0] - 1, 0);
    for expected in &expected {
        at = ours.next_after(at).unwrap_or_else(|| panic!("{rule} in {zone_name}: none"));
        assert_eq!(at.unix_seconds(), *expected, "{rule} in {zone_name}, on the wall {local:?}");
    }
    true
}

#[test]
fn rules_follow_the_clock_on_the_wall_and_leave_dates_out() {
    let rule = "DTSTART;TZID=Europe/Berlin:20260101T090000 RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=5 \
                EXDATE:20260227T090000";
    let schedule = Schedule::parse(rule, Dialect::Vixie, &zone("Europe/Berlin"), None).unwrap();
    assert_eq!(
        next(&schedule, "2025-01-01T00:00:00Z", 9),
        [
            "2026-01-30T08:00:00Z",
            "2026-03-27T08:00:00Z",
            "2026-04-24T07:00:00Z",
            "2026-05-29T07:00:00Z"
        ]
    );
    assert_eq!(schedule.previous_before(Timestamp::MAX), Some(instant("2026-05-29T07:00:00Z")));
    assert_eq!(schedule.count_between(Timestamp::MIN, Timestamp::MAX, 99), 4);
}

#[test]
fn listed_dates_are_added_and_a_date_that_is_left_out_stays_out() {
    let rule = "DTSTART:20260101T090000 RRULE:FREQ=MONTHLY;COUNT=3 \
                RDATE:20260115T100000,20260201T090000,20270101T000000 RDATE;VALUE=DATE:20260301 \
                EXDATE:20260115T100000,20260301T090000";
    let schedule = utc(rule);
    let expected = [
        "2026-01-01T09:00:00Z",
        "2026-02-01T09:00:00Z",
        "2026-03-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
    ];
    assert_eq!(next(&schedule, "2025-01-01T00:00:00Z", 9), expected);
    let mut backward = Vec::new();
    let mut at = Timestamp::MAX;
    while let Some(before) = schedule.previous_before(at) {
        backward.insert(0, before.to_string());
        at = before;
    }
    assert_eq!(backward, expected);
    assert_eq!(schedule.count_between(Timestamp::MIN, Timestamp::MAX, 99), 4);
    assert_eq!(schedule.count_between(instant(expected[1]), instant(expected[2]), 99), 2);
    assert_eq!(utc(&schedule.to_string()), schedule);
    assert_eq!(
        schedule.describe(),
        "every month at 09:00, on day 1 of the month, from 2026-01-01T09:00:00 on the wall to \
         2027-01-01T00:00:00, not at 1 listed time, and at 2 listed times"
    );
    // A rule that never comes leaves what is listed.
    let listed = utc("DTSTART:20260101T000000 RRULE:FREQ=MONTHLY;INTERVAL=12;BYMONTH=3 \
                      RDATE:20260105T000000");
    assert_eq!(next(&listed, "2025-01-01T00:00:00Z", 9), ["2026-01-05T00:00:00Z"]);
}

#[test]
fn a_rule_that_never_comes_ends_at_once() {
    for rule in [
        "DTSTART:20260101T000000 RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "DTSTART:20260101T000000 RRULE:FREQ=SECONDLY;INTERVAL=60;BYSECOND=30",
        "DTSTART:20260101T000000 RRULE:FREQ=MINUTELY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=30",
        "DTSTART:20260101T000000 RRULE:FREQ=MONTHLY;INTERVAL=12;BYMONTH=3",
        "DTSTART:20260101T000000 RRULE:FREQ=HOURLY;BYMINUTE=0,30;BYSETPOS=3",
        "DTSTART:20260101T000000 RRULE:FREQ=SECONDLY;BYMONTH=1;BYSETPOS=-2",
    ] {
        let schedule = utc(rule);
        assert_eq!(schedule.next_after(Timestamp::MIN), None, "{rule}");
        assert_eq!(schedule.previous_before(Timestamp::MAX), None, "{rule}");
        assert_eq!(schedule.count_between(Timestamp::MIN, Timestamp::MAX, 9), 0, "{rule}");
    }
}

#[test]
fn rules_below_a_day_count_without_walking_far() {
    let rule = "DTSTART:20260101T000003 RRULE:FREQ=SECONDLY;INTERVAL=7;BYDAY=MO,TU";
    let (from, until) = (instant("2026-01-01T00:00:00Z"), instant("2126-01-01T00:00:00Z"));
    let counted = utc(rule).count_between(from, until, u64::MAX);
    // Two of seven days, one of seven seconds.
    let expected = (until - from).as_nanos() as u64 / 1_000_000_000 * 2 / 49;
    assert!(counted.abs_diff(expected) < 30_000, "{counted} and {expected}");
}

/// Expression, position, a part of the message.
const REFUSED: [(&str, usize, &str); 18] = [
    ("RRULE:FREQ=DAILY", 0, "DTSTART is missing"),
    ("DTSTART:20260101T090000", 23, "RRULE is missing"),
    ("DTSTART:20260101T250000 RRULE:FREQ=DAILY", 8, "does not exist"),
    ("DTSTART:2026-01-01 RRULE:FREQ=DAILY", 8, "expected 20270101T090000"),
    ("DTSTART;TZID=Asia/Tokyo:20260101T090000 RRULE:FREQ=DAILY", 0, "timeZone"),
    ("DTSTART:20260101T090000 RRULE:FREQ=DALY", 35, "DAILY"),
    ("DTSTART:20260101T090000 RRULE:INTERVAL=2", 30, "FREQ is missing"),
    ("DTSTART:20260101T090000 RRULE:FREQ=DAILY;BYDAY=2MO", 30, "FREQ=MONTHLY and YEARLY"),
    ("DTSTART:20260101T090000 RRULE:FREQ=DAILY;UNTIL=20270101", 47, "needs a time"),
    ("DTSTART:20260101T090000 RRULE:FREQ=DAILY;COUNT=0", 47, "1 to 4294967295"),
    ("DTSTART:20260101T090000 RRULE:FREQ=DAILY;BYMNTH=2", 41, "no part of a rule"),
    ("DTSTART:20260101T090000 RRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101T000000", 30, "exclude"),
    ("DTSTART:20260101T090000 RRULE:FREQ=HOURLY;BYSETPOS=1", 30, "needs another BY part"),
    (
        "DTSTART:20260101T090000 RRULE:FREQ=HOURLY;BYMINUTE=0,30;BYSECOND=0,1;BYSETPOS=1,-1",
        30,
        "a rule for each",
    ),
    ("DTSTART:20260101T090000 RRULE:FREQ=DAILY RDATE:20250101T090000", 30, "before DTSTART"),
    (
        "DTSTART:20260101T090000 RRULE:FREQ=DAILY RDATE;VALUE=PERIOD:20260101T000000/PT1H",
        60,
        "no date with a time",
    ),
    ("DTSTART:20260101T090000 RRULE:FREQ=MONTHLY;BYMONTHDAY=0", 54, "without 0"),
    (
        "DTSTART:20260101T090000 RRULE:FREQ=DAILY EXDATE:20260102T090000,20260103",
        64,
        "did you mean `20260103T090000`?",
    ),
];

#[test]
fn rules_are_refused_with_place_and_reason() {
    for (expression, position, part) in REFUSED {
        let refused = Schedule::parse(expression, Dialect::Vixie, &Zone::utc(), None);
        let error = refused.expect_err(expression);
        assert!(error.message.contains(part), "{expression}: {error}");
        assert_eq!(error.position, position, "{expression}: {error}");
    }
    let many = vec!["1MO"; 61].join(",");
    let long = format!("DTSTART:20260101T090000 RRULE:FREQ=YEARLY;BYDAY={many}");
    let refused = Schedule::parse(&long, Dialect::Vixie, &Zone::utc(), None).unwrap_err();
    assert!(refused.message.contains("BYDAY lists more than 60"), "{refused}");
    let of_days = utc("DTSTART:20260101 RRULE:FREQ=DAILY;COUNT=3 EXDATE;VALUE=DATE:20260102");
    assert_eq!(of_days.count_between(Timestamp::MIN, Timestamp::MAX, 9), 2);
    let utc_start = "DTSTART:20260101T090000Z RRULE:FREQ=DAILY";
    assert!(Schedule::parse(utc_start, Dialect::Vixie, &zone("Europe/Berlin"), None).is_err());
    assert!(Schedule::parse(utc_start, Dialect::Vixie, &Zone::utc(), None).is_ok());
}
