//! Calendars of days: holidays, working days, freezes; what schedules include and exclude.

use super::error::ParseError;
use super::moment::parse_date;
use super::pattern::Pattern;
use super::{DAY_US, Dialect, MAX_US, MIN_US, Schedule, When, Zone, rrule, words};
use core::fmt;
use std::sync::Arc;
use thiserror::Error;

/// Most entries of a calendar.
const ENTRIES_MAX: usize = 1_000;
/// Most entries of a calendar that are patterns: each is unrolled to its days.
const PATTERNS_MAX: usize = 60;
/// The days on which an instant can lie, counted from 1970-01-01, with one to spare on either side
/// for the offsets of zones.
const FIRST_DAY: i64 = MIN_US.div_euclid(DAY_US) - 2;
const LAST_DAY: i64 = MAX_US.div_euclid(DAY_US) + 2;

/// A named set of days; cheap to clone.
///
/// A day is one on the wall of the calendar's zone, or of the schedule's that uses it where the
/// calendar has none. It is unrolled once to its days from 1677 to 2262, so that asking takes a
/// binary search.
#[derive(Clone, PartialEq)]
pub struct DayCalendar(Arc<Days>);

#[derive(PartialEq)]
struct Days {
    name: String,
    zone: Option<Zone>,
    /// Where runs of days begin and end, in turn, ascending: the first is the first day of the
    /// set, the second the first one after it that is not.
    edges: Box<[i32]>,
}

/// One entry of a calendar, as it is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DayEntry<'a> {
    /// A date: `2026-12-25`.
    Date(&'a str),
    /// All dates from the first to the last, both included.
    Range {
        /// The first date.
        from: &'a str,
        /// The last date.
        to: &'a str,
    },
    /// The three day fields of dialect `vixie`, day of month, month and day of week:
    /// `* * SAT,SUN`.
    Cron(&'a str),
    /// A recurrence rule of days (RFC 5545): `DTSTART:20260101 RRULE:FREQ=YEARLY`.
    Rule(&'a str),
}

/// Why a calendar was refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DayCalendarError {
    /// An entry is wrong.
    #[error("days[{index}].{field} `{value}`: {source}")]
    Entry {
        /// Which entry, from 0.
        index: usize,
        /// The entry's form: `date`, `from`, `to`, `cron` or `rule`.
        field: &'static str,
        /// What was written.
        value: String,
        /// Where and what.
        source: ParseError,
    },
    /// There are too many entries.
    #[error(
        "days has {entries} entries, {patterns} of them `cron` or `rule`; at most {ENTRIES_MAX} \
         and {PATTERNS_MAX} are taken: give ranges for days that follow each other"
    )]
    TooMany {
        /// How many entries.
        entries: usize,
        /// How many of them are patterns.
        patterns: usize,
    },
}

impl DayCalendar {
    /// Makes a calendar of its entries: a day is in it that is in any of them.
    ///
    /// `zone` is whose days they are; `None` for those of the schedule that uses it.
    ///
    /// # Errors
    /// Where an entry cannot be read or has no day (30 February), or there are more than 1,000
    /// entries or 60 patterns.
    pub fn new(
        name: &str,
        zone: Option<Zone>,
        entries: &[DayEntry<'_>],
    ) -> Result<Self, DayCalendarError> {
        let is_pattern =
            |entry: &&DayEntry<'_>| matches!(entry, DayEntry::Cron(_) | DayEntry::Rule(_));
        let patterns = entries.iter().filter(is_pattern).count();
        if entries.len() > ENTRIES_MAX || patterns > PATTERNS_MAX {
            return Err(DayCalendarError::TooMany { entries: entries.len(), patterns });
        }
        let mut days = vec![false; (LAST_DAY - FIRST_DAY + 1) as usize];
        for (index, entry) in entries.iter().enumerate() {
            entry.mark(&mut days).map_err(|(field, value, source)| {
                let value = value.to_owned();
                DayCalendarError::Entry { index, field, value, source }
            })?;
        }
        Ok(Self(Arc::new(Days { name: name.to_owned(), zone, edges: edges(&days) })))
    }

    /// The calendar's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whose days they are; `None` for those of the schedule that uses it.
    pub fn zone(&self) -> Option<&Zone> {
        self.0.zone.as_ref()
    }

    /// Whether a day is in it, counted from 1970-01-01; and the first and the last day around it
    /// for which the same is true.
    pub(super) fn run(&self, day: i64) -> (bool, i64, i64) {
        let edges = &self.0.edges;
        let passed = edges.partition_point(|edge| i64::from(*edge) <= day);
        let first = passed.checked_sub(1).map_or(FIRST_DAY, |index| i64::from(edges[index]));
        let last = edges.get(passed).map_or(LAST_DAY, |edge| i64::from(*edge) - 1);
        (passed % 2 == 1, first, last)
    }
}

impl fmt::Debug for DayCalendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DayCalendar")
            .field("name", &self.0.name)
            .field("zone", &self.0.zone)
            .field("edges", &self.0.edges.len())
            .finish()
    }
}

/// What is wrong with an entry: its form, its text, and where in that.
type Refused<'a> = (&'static str, &'a str, ParseError);

impl<'a> DayEntry<'a> {
    /// Marks the days of the entry.
    fn mark(&self, days: &mut [bool]) -> Result<(), Refused<'a>> {
        let (first, last) = match *self {
            DayEntry::Date(text) => {
                let day = parse_date(text).map_err(|error| ("date", text, error))?;
                (day, day)
            }
            DayEntry::Range { from, to } => {
                let first = parse_date(from).map_err(|error| ("from", from, error))?;
                let last = parse_date(to).map_err(|error| ("to", to, error))?;
                if last < first {
                    let message = format!("is before `from`, which is {from}");
                    return Err(("to", to, ParseError::new(0, message)));
                }
                (first, last)
            }
            DayEntry::Cron(text) => {
                return cron(text)
                    .and_then(|pattern| unroll(&pattern, days))
                    .map_err(|error| ("cron", text, error));
            }
            DayEntry::Rule(text) => {
                return rule(text)
                    .and_then(|pattern| unroll(&pattern, days))
                    .map_err(|error| ("rule", text, error));
            }
        };
        days[(first - FIRST_DAY) as usize..=(last - FIRST_DAY) as usize].fill(true);
        Ok(())
    }
}

/// The midnights of days that match day fields.
fn cron(text: &str) -> Result<Pattern, ParseError> {
    const MIDNIGHT: &str = "0 0 ";
    let count = words(text).len();
    if count != 3 {
        let message = format!(
            "{count} fields; expected 3: day of month, month and day of week, as `* * SAT,SUN`"
        );
        return Err(ParseError::new(0, message));
    }
    let expression = format!("{MIDNIGHT}{text}");
    let schedule = Schedule::parse(&expression, Dialect::Vixie, &Zone::utc(), None);
    let schedule = schedule.map_err(|error| ParseError {
        position: error.position.saturating_sub(MIDNIGHT.len()),
        ..error
    })?;
    match schedule.when {
        When::Local(pattern) => Ok(pattern),
        _ => Err(ParseError::new(0, "these are no day fields; expected as `* * SAT,SUN`")),
    }
}

fn rule(text: &str) -> Result<Pattern, ParseError> {
    let words = words(text);
    if !words.first().is_some_and(|(_, word)| rrule::begins(word)) {
        let message = "this is no recurrence rule";
        return Err(ParseError::new(0, message).suggest("DTSTART:20260101 RRULE:FREQ=YEARLY"));
    }
    let (rule, _) = rrule::parse(&words, text.len(), &Zone::utc())?;
    if rule.is_below_a_day() {
        let message = "the rule names times of a day; a calendar has days, so FREQ is DAILY, \
                       WEEKLY, MONTHLY or YEARLY";
        return Err(ParseError::new(0, message));
    }
    Ok(Pattern::Rule(Box::new(rule)))
}

/// Marks the days on which a pattern has a time.
fn unroll(pattern: &Pattern, days: &mut [bool]) -> Result<(), ParseError> {
    let mut day = FIRST_DAY;
    let mut any = false;
    while let Some(found) = pattern.next(day * DAY_US).map(|at| at.div_euclid(DAY_US))
        && found <= LAST_DAY
    {
        days[(found - FIRST_DAY) as usize] = true;
        any = true;
        day = found + 1;
    }
    if any { Ok(()) } else { Err(ParseError::new(0, "there is no such day")) }
}

/// Where the runs of marked days begin and end.
fn edges(days: &[bool]) -> Box<[i32]> {
    let mut edges = Vec::new();
    let mut inside = false;
    for (day, is_in) in (FIRST_DAY as i32..).zip(days) {
        if *is_in != inside {
            edges.push(day);
            inside = *is_in;
        }
    }
    edges.into()
}

#[cfg(test)]
mod tests {
    use super::super::moment::timestamp;
    use super::*;

    fn calendar(entries: &[DayEntry<'_>]) -> DayCalendar {
        DayCalendar::new("test", None, entries).unwrap()
    }

    fn days(calendar: &DayCalendar, from: &str, count: i64) -> Vec<String> {
        let from = parse_date(from).unwrap();
        (from..from + count)
            .filter(|day| calendar.run(*day).0)
            .map(|day| timestamp(day * DAY_US).to_string()[..10].to_owned())
            .collect()
    }

    #[test]
    fn a_day_is_in_a_calendar_that_is_in_any_of_its_entries() {
        let calendar = calendar(&[
            DayEntry::Date("2026-12-21"),
            DayEntry::Range { from: "2026-12-24", to: "2026-12-26" },
            DayEntry::Cron("31 12 *"),
            DayEntry::Rule("DTSTART:20270101 RRULE:FREQ=YEARLY"),
        ]);
        assert_eq!(
            days(&calendar, "2026-12-01", 400),
            [
                "2026-12-21",
                "2026-12-24",
                "2026-12-25",
                "2026-12-26",
                "2026-12-31",
                "2027-01-01",
                "2027-12-31",
                "2028-01-01"
            ]
        );
        let christmas = parse_date("2026-12-25").unwrap();
        assert_eq!(calendar.run(christmas), (true, christmas - 1, christmas + 1));
        assert_eq!(calendar.run(christmas + 2), (false, christmas + 2, christmas + 5));
    }

    #[test]
    fn weekends_go_on_to_the_ends_of_time() {
        let calendar = calendar(&[DayEntry::Cron("* * SAT,SUN")]);
        assert_eq!(days(&calendar, "1970-01-01", 7), ["1970-01-03", "1970-01-04"]);
        assert_eq!(days(&calendar, "2261-12-26", 6), ["2261-12-28", "2261-12-29"]);
    }

    #[test]
    fn a_wrong_entry_is_named_with_its_number_its_place_and_what_was_expected() {
        for (entry, part) in [
            (DayEntry::Date("2026-02-30"), "days[0].date `2026-02-30`: "),
            (DayEntry::Date("25.12.2026"), "expected one as 2026-12-25"),
            (DayEntry::Date("2026-12-25T00:00"), "expected one as 2026-12-25"),
            (DayEntry::Date("9999-12-25"), "1700 to 2261"),
            (DayEntry::Range { from: "2026-12-25", to: "2026-12-24" }, "is before `from`"),
            (DayEntry::Cron("0 0 * * SAT"), "5 fields; expected 3"),
            (DayEntry::Cron("* * SUT"), "did you mean"),
            (DayEntry::Cron("30 2 *"), "no such day"),
            (DayEntry::Cron("H * *"), "`H`"),
            (DayEntry::Rule("FREQ=YEARLY"), "DTSTART is missing"),
            (DayEntry::Rule("yearly"), "no recurrence rule"),
            (DayEntry::Rule("DTSTART:20260101 RRULE:FREQ=HOURLY"), "FREQ is DAILY"),
        ] {
            let error = DayCalendar::new("test", None, &[entry]).unwrap_err().to_string();
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
        let error = DayCalendar::new("test", None, &[DayEntry::Cron("* * SUT")]).unwrap_err();
        let DayCalendarError::Entry { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.position, 4);
        let many = vec![DayEntry::Cron("* * *"); 61];
        assert!(DayCalendar::new("test", None, &many).is_err());
    }
}
