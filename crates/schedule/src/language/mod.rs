//! The schedule language: expressions, zones and the instants they mean.
//!
//! An expression is compiled once, for a zone and a rule for changes of the clocks; then instants
//! are found forward ([`Schedule::next_after`]) and backward ([`Schedule::previous_before`]) by
//! bitmaps, in a bounded number of steps for every expression that is accepted, also one that has
//! no instant ahead: see [`STEPS_MAX`]. Instants are whole microseconds and at least one
//! millisecond apart.

mod at;
mod calendar;
mod civil;
mod component;
mod cron;
mod day_calendar;
mod day_filter;
mod days;
mod duration;
mod elements;
mod error;
mod every;
mod explain;
mod expression;
mod field;
mod hash;
mod interval;
mod interval_parse;
mod moment;
mod occurrence;
mod pattern;
mod phrase;
mod reader;
mod relative;
mod rrule;
mod second;
mod steps;
mod systemd;
mod traps;
mod years;
mod zone;

pub use day_calendar::{DayCalendar, DayCalendarError, DayEntry};
pub use day_filter::LeftOut;
pub use error::ParseError;
pub use steps::STEPS_MAX;
pub use traps::{Trap, TrapEffect};
pub use zone::{Zone, ZoneError};

use at::At;
use core::fmt;
use day_filter::DayFilter;
use every::Every;
use interval::Train;
use pattern::Pattern;
use timeball_timebase::Timestamp;

const MILLISECOND_US: i64 = 1_000;
const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;
/// Least distance of two instants.
const APART_US: i64 = MILLISECOND_US;
/// The first and the last whole microsecond of a [`Timestamp`].
const MIN_US: i64 = i64::MIN / 1_000;
const MAX_US: i64 = i64::MAX / 1_000;

/// A schedule expression compiled for a zone and a rule for changes of the clocks.
///
/// Printing it gives the expression's canonical form (numbers for names, one space between fields,
/// macros expanded), which parses to the same schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    when: When,
    zone: Zone,
    dst: DstPolicy,
    /// Whether a time field begins with `*`, which [`DstPolicy::Vixie`] asks for.
    wildcard: bool,
    canonical: Box<str>,
    /// The days on which it has instants; absent for all.
    filter: Option<Box<DayFilter>>,
}

/// What an expression was compiled to.
#[derive(Clone, Debug, Eq, PartialEq)]
enum When {
    /// Local times on the wall.
    Local(Pattern),
    /// A fixed period of absolute time.
    Every(Every),
    /// A fixed period from a first instant on.
    Train(Train),
    /// Listed instants.
    At(At),
}

/// A parsed expression.
#[derive(Debug)]
struct Parsed {
    when: When,
    /// Whether it is a "wildcard job" to Vixie's rule for changes of the clocks: a time field
    /// begins with `*`.
    wildcard: bool,
    canonical: String,
}

/// Refuses two instants that are too close, in microseconds of a minute.
fn spacing_error(at: usize, (one, other): (i64, i64)) -> ParseError {
    let shown = |us: i64| format!("{}.{:06}", us / SECOND_US, us % SECOND_US);
    let message = format!(
        "seconds {} and {} are less than 1 ms apart; instants are at least 1 ms apart",
        shown(one),
        shown(other)
    );
    ParseError::new(at, message)
}

/// The words of a text, each with its octet position.
fn words(text: &str) -> Vec<(usize, &str)> {
    let start = text.as_ptr() as usize;
    text.split_ascii_whitespace().map(|word| (word.as_ptr() as usize - start, word)).collect()
}

/// A schedule language.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Dialect {
    /// crontab(5): 5 fields, or 6 with seconds first, which may have fractions; `L`, `W`, `#`,
    /// `H`; `@every`.
    #[default]
    Vixie,
    /// The dialect of `batch/v1` CronJob, which is that of robfig/cron v3.
    Kubernetes,
    /// Quartz: 6 fields with seconds first, or 7 with the year last; Sunday is 1.
    Quartz,
    /// The Open Cron Pattern Specification 1.0 to 1.4: 5, 6 or 7 fields.
    Ocps,
    /// systemd's OnCalendar: `Mon..Fri *-*-* 09:00:00.25/0.5`.
    Systemd,
}

/// A rule for local times that a change of the clocks skips or repeats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DstPolicy {
    /// As Vixie's cron does. An expression whose time fields (second, minute, hour) all begin with
    /// something other than `*` names fixed times: skipped ones run at the first instant after the
    /// jump, repeated ones run once, the first time. Any other runs by the clock on the wall: not
    /// in what is skipped, twice in what is repeated. A change of three hours or more is a new zone
    /// rather than a season: nothing is made up for and nothing held back.
    Vixie,
    /// Skipped times do not run; repeated ones run twice.
    Kubernetes,
    /// Skipped times do not run; repeated ones run once, the first time.
    Ocps,
}

impl Dialect {
    /// Every dialect, the default first.
    pub const ALL: [Self; 5] =
        [Self::Vixie, Self::Kubernetes, Self::Quartz, Self::Ocps, Self::Systemd];

    /// The name in schedule files: `vixie`, `kubernetes`, `quartz`, `ocps` or `systemd`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vixie => "vixie",
            Self::Kubernetes => "kubernetes",
            Self::Quartz => "quartz",
            Self::Ocps => "ocps",
            Self::Systemd => "systemd",
        }
    }

    /// The dialect's own rule for changes of the clocks. Quartz and systemd have rules of their own
    /// that come nearest to the one named.
    pub const fn dst(self) -> DstPolicy {
        match self {
            Self::Vixie => DstPolicy::Vixie,
            Self::Kubernetes | Self::Quartz => DstPolicy::Kubernetes,
            Self::Ocps | Self::Systemd => DstPolicy::Ocps,
        }
    }
}

impl Schedule {
    /// Compiles `expression`. `dst` absent means the dialect's own rule.
    ///
    /// Refused is what is not in the dialect, what is longer than 1,024 octets, lists more than 60
    /// elements in a field, or has instants less than a millisecond apart. A day that never comes
    /// (30 February) is accepted: it has no instants. `H` is refused here; see
    /// [`Schedule::parse_seeded`].
    pub fn parse(
        expression: &str,
        dialect: Dialect,
        zone: &Zone,
        dst: Option<DstPolicy>,
    ) -> Result<Self, ParseError> {
        Self::compile(expression, dialect, zone, dst, None)
    }

    /// As [`Schedule::parse`], with a seed that chooses the values which are written `H`.
    ///
    /// The same expression and seed give the same instants on every replica; use a number made of
    /// the schedule's identity. [`ScheduleUid::seed`](crate::ScheduleUid::seed) is one.
    pub fn parse_seeded(
        expression: &str,
        dialect: Dialect,
        zone: &Zone,
        dst: Option<DstPolicy>,
        seed: u64,
    ) -> Result<Self, ParseError> {
        Self::compile(expression, dialect, zone, dst, Some(seed))
    }

    fn compile(
        expression: &str,
        dialect: Dialect,
        zone: &Zone,
        dst: Option<DstPolicy>,
        seed: Option<u64>,
    ) -> Result<Self, ParseError> {
        let parsed = expression::parse(expression, dialect, zone, seed)?;
        Ok(Self {
            when: parsed.when,
            zone: zone.clone(),
            dst: dst.unwrap_or(dialect.dst()),
            wildcard: parsed.wildcard,
            canonical: parsed.canonical.into_boxed_str(),
            filter: None,
        })
    }

    /// The first instant strictly after `after`; `None` if there is none before 2262-04-11.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let from = after.as_unix_nanos().div_euclid(1_000) + 1;
        let at = match &self.filter {
            None => self.next_us(from),
            Some(filter) => filter.next(from, |from| self.next_us(from)),
        };
        at.map(|us| Timestamp::from_unix_nanos(us * 1_000))
    }

    /// The last instant strictly before `before`; `None` if there is none after 1677-09-21.
    pub fn previous_before(&self, before: Timestamp) -> Option<Timestamp> {
        let until = before.as_unix_nanos().saturating_sub(1).div_euclid(1_000);
        let at = match &self.filter {
            None => self.previous_us(until),
            Some(filter) => filter.previous(until, |until| self.previous_us(until)),
        };
        at.map(|us| Timestamp::from_unix_nanos(us * 1_000))
    }

    /// How many instants lie in `from..=until`, at most `limit`; by arithmetic, so that the time it
    /// takes does not grow with the number.
    pub fn count_between(&self, from: Timestamp, until: Timestamp, limit: u64) -> u64 {
        let from = from.as_unix_nanos().saturating_sub(1).div_euclid(1_000) + 1;
        let until = until.as_unix_nanos().div_euclid(1_000);
        let next = |from| self.next_us(from);
        let count = |from, until| self.count_us(from, until);
        let found = match &self.filter {
            None => count(from, until),
            Some(filter) => filter.count((from, until), limit, next, count),
        };
        found.min(limit)
    }

    /// The first instant that is at least `from`, on whatever day.
    fn next_us(&self, from: i64) -> Option<i64> {
        match &self.when {
            When::Every(every) => every.next(from),
            When::Train(train) => train.next(from),
            When::At(listed) => listed.next(from),
            When::Local(pattern) => self.occurrences(pattern).next(from),
        }
    }

    /// The last instant that is at most `until`, on whatever day.
    fn previous_us(&self, until: i64) -> Option<i64> {
        match &self.when {
            When::Every(every) => every.previous(until),
            When::Train(train) => train.previous(until),
            When::At(listed) => listed.previous(until),
            When::Local(pattern) => self.occurrences(pattern).previous(until),
        }
    }

    /// How many instants lie in `from..=until`, on whatever days.
    fn count_us(&self, from: i64, until: i64) -> u64 {
        match &self.when {
            When::Every(every) => every.count(from, until),
            When::Train(train) => train.count(from, until),
            When::At(listed) => listed.count(from, until),
            When::Local(pattern) => self.occurrences(pattern).count(from, until),
        }
    }

    /// Whether `at` is an instant of the schedule.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.count_between(at, at, 1) == 1
    }

    /// Whether another schedule names the same times, whatever zone, rule and days they were
    /// compiled for. Only the same fields are found to be the same times.
    pub fn names_the_same_times(&self, other: &Self) -> bool {
        self.when == other.when
    }

    /// The zone it was compiled for.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The rule for changes of the clocks that it was compiled for.
    pub fn dst(&self) -> DstPolicy {
        self.dst
    }
}

impl fmt::Display for Schedule {
    /// Writes the expression's canonical form, without zone, rule and days.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}
