//! What the tests share: zones of the system's database, instants from text.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

pub(crate) mod random;

use std::cell::RefCell;
use std::collections::BTreeMap;
use timeball_schedule::language::{Dialect, Schedule, Zone};
use timeball_timebase::{Span, Timestamp};

/// The zones that the DST tests are about, and a few with odd offsets.
pub(crate) const ZONES: [&str; 9] = [
    "Etc/UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Tehran",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Pacific/Chatham",
];

thread_local! {
    /// Zones that were read, for us and for others: reading one takes longer than most questions.
    static READ: RefCell<BTreeMap<String, (Zone, jiff::tz::TimeZone)>> = const {
        RefCell::new(BTreeMap::new())
    };
}

/// Reads a zone from the system's database; the core itself reads no file.
#[allow(clippy::disallowed_methods)]
fn read(name: &str) -> (Zone, jiff::tz::TimeZone) {
    let known = READ.with_borrow(|read| read.get(name).cloned());
    known.unwrap_or_else(|| {
        let octets = std::fs::read(format!("/usr/share/zoneinfo/{name}")).unwrap();
        let rules = jiff::tz::TimeZone::tzif(name, &octets).unwrap();
        let both = (Zone::from_tzif(name, &octets).unwrap(), rules);
        READ.with_borrow_mut(|read| read.insert(name.to_owned(), both.clone()));
        both
    })
}

/// A zone of the system's database.
pub(crate) fn zone(name: &str) -> Zone {
    read(name).0
}

/// The rules of a zone for others.
pub(crate) fn rules(name: &str) -> jiff::tz::TimeZone {
    read(name).1
}

/// The instant of an RFC 3339 text in UTC.
pub(crate) fn instant(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_unix_nanos(at.as_nanosecond() as i64)
}

/// Compiles a vixie expression in UTC.
pub(crate) fn utc(expression: &str) -> Schedule {
    Schedule::parse(expression, Dialect::Vixie, &Zone::utc(), None).unwrap()
}

/// The next `n` instants after `after`, in UTC.
pub(crate) fn next(schedule: &Schedule, after: &str, n: usize) -> Vec<String> {
    let mut at = instant(after);
    let mut found = Vec::new();
    while let (true, Some(next)) = (found.len() < n, schedule.next_after(at)) {
        found.push(next.to_string());
        at = next;
    }
    found
}

/// The next instants after a moment, in whole seconds since 1970; they have to come back in the
/// other order, and to be as many when they are counted.
pub(crate) fn walk(schedule: &Schedule, after: i64, count: usize) -> Vec<i64> {
    let mut at = Timestamp::from_unix(after, 0);
    let mut found = Vec::new();
    while let (true, Some(next)) = (found.len() < count, schedule.next_after(at)) {
        found.push(next);
        at = next;
    }
    let mut back = at + Span::NANOSECOND;
    for expected in found.iter().rev() {
        let before = schedule.previous_before(back);
        assert_eq!(before, Some(*expected), "{schedule} in {:?} before {back}", schedule.zone());
        back = *expected;
    }
    if let Some(first) = found.first() {
        let counted = schedule.count_between(*first, at, u64::MAX);
        assert_eq!(counted, found.len() as u64, "{schedule} in {:?}", schedule.zone());
    }
    found.iter().map(|at| at.unix_seconds()).collect()
}

/// A change of the zone's clocks within a day of a moment, in seconds since 1970.
pub(crate) fn change_near(zone: &Zone, at: i64) -> Option<i64> {
    const DAY_S: i64 = 86_400;
    let (from, until) = (Timestamp::from_unix(at - DAY_S, 0), Timestamp::from_unix(at + DAY_S, 0));
    zone.changes_between(from, until).first().map(|(change, ..)| change.unix_seconds())
}
