//! What the tests share: zones of the system's database, instants from text.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

pub(crate) mod random;

use timeball_schedule::language::{Dialect, Schedule, Zone};
use timeball_timebase::Timestamp;

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

/// Reads a zone from the system's database; the core itself reads no file.
#[allow(clippy::disallowed_methods)]
pub(crate) fn zone(name: &str) -> Zone {
    let octets = std::fs::read(format!("/usr/share/zoneinfo/{name}")).unwrap();
    Zone::from_tzif(name, &octets).unwrap()
}

/// The rules of a zone for others.
#[allow(clippy::disallowed_methods)]
pub(crate) fn rules(name: &str) -> jiff::tz::TimeZone {
    let octets = std::fs::read(format!("/usr/share/zoneinfo/{name}")).unwrap();
    jiff::tz::TimeZone::tzif(name, &octets).unwrap()
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

/// A change of the zone's clocks within a day of a moment, in seconds since 1970.
pub(crate) fn change_near(zone: &Zone, at: i64) -> Option<i64> {
    const DAY_S: i64 = 86_400;
    let (from, until) = (Timestamp::from_unix(at - DAY_S, 0), Timestamp::from_unix(at + DAY_S, 0));
    zone.changes_between(from, until).first().map(|(change, ..)| change.unix_seconds())
}
