//! What a recurrence rule means, in words.

use super::super::SECOND_US;
use super::super::days::bits;
use super::super::moment::timestamp;
use super::super::phrase::{MONTHS, WEEKDAYS, and, clock_times, counted, ordinal, runs, weekdays};
use super::days::DayRule;
use super::times::Times;
use super::{Frequency, Rule};

/// Most times of day that are written out.
const TIMES_SHOWN: u32 = 6;

impl Rule {
    /// What the rule means, in words: also what it takes from DTSTART.
    pub(in super::super) fn describe(&self) -> String {
        let unit = self.frequency.unit();
        let pace = match self.interval {
            1 => format!("every {unit}"),
            n => format!("every {n} {unit}s"),
        };
        let times = match self.frequency > Frequency::Daily {
            true => filtered_times(&self.times),
            false => times(&self.times),
        };
        let mut parts = vec![if times.is_empty() { pace } else { format!("{pace} {times}") }];
        let days = days(&self.days);
        parts.extend((!days.is_empty()).then_some(days));
        if self.days.months != 0 {
            let months = runs(u64::from(self.days.months), |n| MONTHS[n as usize - 1].to_owned());
            parts.push(format!("in {months}"));
        }
        if let Some(positions) = &self.positions {
            let nth: Vec<String> = positions.0.iter().map(|n| counted_off(i64::from(*n))).collect();
            parts.push(format!("of these {} in each {unit}", and(&nth)));
        }
        parts.push(self.describe_range());
        parts.join(", ")
    }

    /// From when to when, and the dates that are listed.
    fn describe_range(&self) -> String {
        let shown = |at| timestamp(at).to_string().trim_end_matches('Z').to_owned();
        let end = match self.previous(i64::MAX) {
            None => ", never".to_owned(),
            Some(_) if self.is_open => " on".to_owned(),
            Some(last) => format!(" to {}", shown(last)),
        };
        let listed = |before: &str, dates: &[i64]| match dates.len() {
            0 => String::new(),
            count => format!(", {before} {}", counted(count as i64, "listed time")),
        };
        let excluded = listed("not at", &self.excluded);
        let added = listed("and at", &self.added);
        format!("from {} on the wall{end}{excluded}{added}", shown(self.start))
    }
}

impl Frequency {
    const fn unit(self) -> &'static str {
        match self {
            Self::Yearly => "year",
            Self::Monthly => "month",
            Self::Weekly => "week",
            Self::Daily => "day",
            Self::Hourly => "hour",
            Self::Minutely => "minute",
            Self::Secondly => "second",
        }
    }
}

/// The times of a day: written out where they are few.
fn times(times: &Times) -> String {
    let seconds: Vec<i64> = (0..60).filter(|n| times.seconds >> n & 1 != 0).collect();
    let few = times.hours.count_ones() * times.minutes.count_ones() * seconds.len() as u32;
    if few > TIMES_SHOWN {
        return filtered_times(times);
    }
    let seconds: Vec<i64> = seconds.into_iter().map(|n| n * SECOND_US).collect();
    format!("at {}", and(&clock_times(times.hours, times.minutes, &seconds)))
}

/// The seconds, minutes and hours that not all of them are; no second is second 0.
fn filtered_times(times: &Times) -> String {
    const SIXTY: u64 = (1 << 60) - 1;
    let number = |n: u32| n.to_string();
    let mut parts = Vec::new();
    if !matches!(times.seconds, 1 | SIXTY) {
        parts.push(format!("at second {}", runs(times.seconds, number)));
    }
    if times.minutes != SIXTY {
        parts.push(format!("at minute {}", runs(times.minutes, number)));
    }
    if times.hours != (1 << 24) - 1 {
        parts.push(format!("in hour {}", runs(u64::from(times.hours), number)));
    }
    parts.join(" ")
}

/// The days; empty where all count.
fn days(days: &DayRule) -> String {
    let mut parts = Vec::new();
    if !days.week_numbers.is_empty() {
        let weeks = numbered(&days.week_numbers, "week");
        parts.push(format!("in {weeks} of the year"));
    }
    if !days.year_days.is_empty() {
        parts.push(format!("on {} of the year", numbered(&days.year_days, "day")));
    }
    let from_end = bits(days.month_days_from_end).map(|n| -(n as i16));
    let month_days: Vec<i16> = bits(days.month_days).map(|n| n as i16).chain(from_end).collect();
    if !month_days.is_empty() {
        parts.push(format!("on {} of the month", numbered(&month_days, "day")));
    }
    let whole = match days.frequency == Frequency::Monthly || days.months != 0 {
        true => "month",
        false => "year",
    };
    let nth = days.nth_weekdays.iter().map(|(n, day)| {
        let weekday = WEEKDAYS[usize::from(*day)];
        format!("on {} {weekday} of the {whole}", counted_off(i64::from(*n)))
    });
    let plain = (days.weekdays != 0).then(|| weekdays(days.weekdays));
    let of_week: Vec<String> = plain.into_iter().chain(nth).collect();
    parts.extend((!of_week.is_empty()).then(|| and(&of_week)));
    parts.join(", if that is ")
}

/// `day 1 and 15`, `the last day`, `day 1 and the 2nd last day`.
fn numbered(numbers: &[i16], what: &str) -> String {
    let forward: Vec<String> = numbers.iter().filter(|n| **n > 0).map(i16::to_string).collect();
    let backward = numbers.iter().rev().filter(|n| **n < 0);
    let first = (!forward.is_empty()).then(|| format!("{what} {}", and(&forward)));
    let last = backward.map(|n| format!("{} {what}", counted_off(i64::from(*n))));
    and(&first.into_iter().chain(last).collect::<Vec<String>>())
}

/// `the 3rd`; negative from the end: `the last`, `the 2nd last`.
fn counted_off(n: i64) -> String {
    match n {
        -1 => "the last".to_owned(),
        n if n < 0 => format!("the {} last", ordinal(-n)),
        n => format!("the {}", ordinal(n)),
    }
}
