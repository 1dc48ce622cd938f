//! Parts of English sentences: lists, runs, steps, lengths of time.

use super::days::bits;
use super::moment::timestamp;
use super::{DAY_US, HOUR_US, MILLISECOND_US, MINUTE_US, SECOND_US};

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// From Sunday as 0.
pub(super) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// `a, b and c`.
pub(super) fn and(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The bits of a set by their names, three or more in a row as `a to c`.
pub(super) fn runs(set: u64, name: impl Fn(u32) -> String) -> String {
    let mut parts = Vec::new();
    let mut rest = set;
    while rest != 0 {
        let first = rest.trailing_zeros();
        let length = (rest >> first).trailing_ones();
        if length >= 3 {
            parts.push(format!("{} to {}", name(first), name(first + length - 1)));
        } else {
            parts.extend((first..first + length).map(&name));
        }
        rest &= if first + length >= 64 { 0 } else { u64::MAX << (first + length) };
    }
    and(&parts)
}

/// The weekdays of a set, of which bit 0 is Sunday.
pub(super) fn weekdays(set: u8) -> String {
    // From Monday on, so that a weekend is a run.
    let from_monday = u64::from(set >> 1 | (set & 1) << 6);
    runs(from_monday, |n| WEEKDAYS[(n as usize + 1) % 7].to_owned())
}

/// First value and step of a set that goes in steps from near the least value to the largest, with
/// at least three values.
pub(super) fn steps(set: u64, least: u32, largest: u32) -> Option<(i64, i64)> {
    let first = set.trailing_zeros();
    let rest = set & (set - 1);
    if rest == 0 {
        return None;
    }
    let step = rest.trailing_zeros() - first;
    let stepped = (first..=largest).step_by(step as usize).fold(0_u64, |bits, n| bits | 1 << n);
    let whole = stepped == set && set.count_ones() >= 3 && first < least + step;
    whole.then_some((i64::from(first), i64::from(step)))
}

/// `1 time`, `3 times`.
pub(super) fn counted(count: i64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `1st`, `2nd`, `3rd`, `11th`.
pub(super) fn ordinal(n: i64) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// `1 h 30 min`, `250 ms`.
pub(super) fn duration(us: i64) -> String {
    let units = [
        (DAY_US, "d"),
        (HOUR_US, "h"),
        (MINUTE_US, "min"),
        (SECOND_US, "s"),
        (MILLISECOND_US, "ms"),
        (1, "µs"),
    ];
    let mut rest = us;
    let mut parts = Vec::new();
    for (length, unit) in units {
        if rest >= length {
            parts.push(format!("{} {unit}", rest / length));
            rest %= length;
        }
    }
    parts.join(" ")
}

/// The times of day, written out.
pub(super) fn clock_times(hours: u32, minutes: u64, seconds: &[i64]) -> Vec<String> {
    let mut shown = Vec::new();
    for hour in bits(hours) {
        for minute in (0..60).filter(|minute| minutes >> minute & 1 != 0) {
            for second in seconds {
                let at = i64::from(hour) * HOUR_US + minute * MINUTE_US + second;
                let text = timestamp(at).to_string();
                let time = text.trim_end_matches('Z').split_once('T').map_or("", |(_, time)| time);
                let whole_minute = at % MINUTE_US == 0;
                shown.push(if whole_minute { time[..5].to_owned() } else { time.to_owned() });
            }
        }
    }
    shown
}
