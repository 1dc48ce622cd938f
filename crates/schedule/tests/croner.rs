//! Dialects `vixie` and `ocps` against croner, where its rules are ours: random expressions, zones
//! and moments.
//!
//! Kept out of the expressions, because the difference is known (docs/schedule-differences.md):
//! - `5/10` (a step after a number) is refused by croner, as OCPS asks; vixie means 5 to the end.
//! - A day field such as `*/2` restricts for croner (OCPS 1.0 section 6.1), so that days may match
//!   either field; for vixie a field that begins with `*` does not. There no day field has a step.
//! - croner has whole seconds only.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::random::{Random, cases, report};
use common::{ZONES, change_near, rules, walk, zone};
use croner::Cron;
use std::str::FromStr;
use timeball_schedule::language::{Dialect, DstPolicy, Schedule};
use timeball_timebase::Timestamp;

const INSTANTS: usize = 5;
const HOUR_S: i64 = 3_600;

fn field(random: &mut Random, least: i64, largest: i64) -> String {
    match random.within(0, 7) {
        0..=2 => "*".to_owned(),
        3..=5 => random.within(least, largest).to_string(),
        6 => format!("{},{}", random.within(least, largest), random.within(least, largest)),
        _ => {
            let first = random.within(least, largest);
            format!("{first}-{}", random.within(first, largest))
        }
    }
}

fn stepped(random: &mut Random, least: i64, largest: i64) -> String {
    match random.one_in(4) {
        true => format!("*/{}", random.within(1, largest - least)),
        false => field(random, least, largest),
    }
}

/// A day of the month, sometimes one that is not the same number in each.
fn of_month(random: &mut Random) -> String {
    match random.within(0, 7) {
        0 => "L".to_owned(),
        1 => format!("{}W", random.within(1, 31)),
        _ => field(random, 1, 31),
    }
}

/// A day of the week, sometimes one of them in each month.
fn of_week(random: &mut Random) -> String {
    match random.within(0, 9) {
        0 => format!("{}#{}", random.within(0, 7), random.within(1, 5)),
        1 => format!("{}{}", random.of(&["0", "3", "FRI", "7"]), random.of(&["L", "#L"])),
        2 => random.of(&["MON", "sun", "Tue,THU", "MON-FRI", "fri-SUN"]).to_owned(),
        _ => field(random, 0, 7),
    }
}

fn month(random: &mut Random) -> String {
    match random.one_in(8) {
        true => random.of(&["JAN", "feb", "MAR-oct", "Apr,DEC"]).to_owned(),
        false => stepped(random, 1, 12),
    }
}

fn vixie(random: &mut Random) -> String {
    let seconds = match random.one_in(2) {
        true => stepped(random, 0, 59) + " ",
        false => String::new(),
    };
    let (minute, hour) = (stepped(random, 0, 59), stepped(random, 0, 23));
    let of_month = if random.one_in(16) { "LW".to_owned() } else { of_month(random) };
    let month = month(random);
    format!("{seconds}{minute} {hour} {of_month} {month} {}", of_week(random))
}

/// Also with the year, `+` and `?`, and with steps of days.
fn ocps(random: &mut Random) -> String {
    let fields = random.within(5, 7);
    let seconds = match fields {
        5 => String::new(),
        _ => stepped(random, 0, 59) + " ",
    };
    let (minute, hour) = (stepped(random, 0, 59), stepped(random, 0, 23));
    let month = month(random);
    let of_month = match random.within(0, 5) {
        0 => "?".to_owned(),
        1 => stepped(random, 1, 31),
        _ => of_month(random),
    };
    let of_week = match random.within(0, 5) {
        0 => "?".to_owned(),
        1 => stepped(random, 0, 7),
        2 => format!("+{}", of_week(random)),
        _ => of_week(random),
    };
    let year = match fields {
        7 => " ".to_owned() + &field(random, 2020, 2060),
        _ => String::new(),
    };
    format!("{seconds}{minute} {hour} {of_month} {month} {of_week}{year}")
}

/// croner's next instants, and whether it ended its search, some years ahead, before it had all.
fn theirs(cron: &Cron, rules: &jiff::tz::TimeZone, after: i64) -> (Vec<i64>, bool) {
    let mut at = jiff::Timestamp::from_second(after).unwrap();
    let mut found = Vec::new();
    while found.len() < INSTANTS {
        match cron.find_next_occurrence(&at.to_zoned(rules.clone()), false) {
            Ok(next) => at = next.timestamp(),
            Err(_) => return (found, true),
        }
        found.push(at.as_second());
    }
    (found, false)
}

/// What a comparison came to; the reasons are in docs/schedule-differences.md.
#[derive(Default)]
struct Tally {
    /// Skipped times that run at the jump here, and not for croner.
    at_the_jump: u64,
    /// Repeated times that run twice for croner, and once here.
    repeated: u64,
    /// Searches that croner ended.
    ended: u64,
}

impl Tally {
    /// Compares from a moment on. Where they differ at a change of the clocks, the comparison goes
    /// on behind it.
    fn compare(&mut self, dialect: Dialect, text: &str, zone_name: &str, after: i64) {
        let (zone, rules) = (zone(zone_name), rules(zone_name));
        let cron = Cron::from_str(text).unwrap();
        // croner has Vixie's rule for changes of the clocks, whatever OCPS says.
        let schedule = Schedule::parse(text, dialect, &zone, Some(DstPolicy::Vixie))
            .unwrap_or_else(|error| panic!("`{text}`: {error}"));
        let mut after = after;
        for _ in 0..4 {
            let (theirs, has_ended) = theirs(&cron, &rules, after);
            self.ended += u64::from(has_ended);
            let ours = walk(&schedule, after, theirs.len());
            let Some((a, b)) = ours.iter().zip(&theirs).find(|(a, b)| a != b) else { return };
            let what = match change_near(&zone, *a.min(b)) {
                Some(change) if *a == change && a < b => {
                    self.at_the_jump += 1;
                    after = change;
                    "at the jump"
                }
                Some(change) if (change..change + HOUR_S).contains(b) && b < a => {
                    self.repeated += 1;
                    after = change + HOUR_S - 1;
                    "repeated"
                }
                _ => panic!("`{text}` in {zone_name} after {after}: {ours:?}, croner: {theirs:?}"),
            };
            if std::env::var_os("TIMEBALL_DIFFERENTIAL").is_some() {
                report(&format!("{what}: `{text}` in {zone_name} before {after}"));
            }
        }
    }
}

/// A moment up to two days before a season's change of the clocks; `None` where there is none.
fn before_a_change(random: &mut Random, zone_name: &str) -> Option<i64> {
    let (from, until) = (Timestamp::from_unix(0, 0), Timestamp::from_unix(2_500_000_000, 0));
    // A change of hours is a new zone for us, and a season for croner.
    let mut changes = zone(zone_name).changes_between(from, until);
    changes.retain(|(_, before, after)| (after - before).abs() < 3 * 3_600);
    let last = changes.len().checked_sub(1)?;
    let (change, ..) = changes[random.within(0, last as i64) as usize];
    Some(change.unix_seconds() - random.within(0, 200_000))
}

/// Compares random expressions of a dialect, half of them before a change of the clocks.
fn compare_random(dialect: Dialect, expression: fn(&mut Random) -> String, count: u64) {
    let mut random = Random(713);
    let mut tally = Tally::default();
    for _ in 0..count {
        let text = expression(&mut random);
        let zone_name = random.of(&ZONES);
        let after = match random.one_in(2) {
            true => random.within(0, 4_000_000_000),
            false => before_a_change(&mut random, zone_name).unwrap_or_default(),
        };
        tally.compare(dialect, &text, zone_name, after);
    }
    let Tally { at_the_jump, repeated, ended } = tally;
    report(&format!(
        "{count} expressions of {} compared with croner: {at_the_jump} skipped times that it \
         leaves out, {repeated} repeated times that it runs twice, {ended} searches that it ended",
        dialect.name()
    ));
    let differ = at_the_jump + repeated;
    assert!(differ * 200 < count, "{differ} of {count} differ at changes of the clocks");
}

#[test]
fn the_next_instants_are_those_of_croner_in_every_zone() {
    compare_random(Dialect::Vixie, vixie, cases(2_000));
}

#[test]
fn the_next_instants_of_its_own_specification_are_those_of_croner() {
    // croner searches for years that are over to its last, 5000.
    compare_random(Dialect::Ocps, ocps, cases(300));
}

#[test]
fn changes_of_the_clocks_are_treated_as_croner_does() {
    let mut random = Random(305);
    let (count, mut tally) = (cases(600), Tally::default());
    for _ in 0..count {
        let text = match random.one_in(2) {
            true => format!("{} {} * * *", random.within(0, 59), random.within(0, 23)),
            false => {
                let minute = random.of(&["*", "*/7", "*/30"]);
                format!("{minute} {} * * *", random.of(&["*", "*/2"]))
            }
        };
        let zone_name = random.of(&ZONES[1..]);
        if let Some(after) = before_a_change(&mut random, zone_name) {
            tally.compare(Dialect::Vixie, &text, zone_name, after);
        }
    }
    let differ = tally.at_the_jump + tally.repeated;
    report(&format!("{count} changes of the clocks compared with croner, {differ} differ"));
    assert_eq!(differ, 0);
}
