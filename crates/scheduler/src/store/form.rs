//! What is kept, as octets: postcard, for a busy scheduler writes thousands of outcomes a second.
//!
//! A form is read only by the version of the format that wrote it ([`super::disk::FORMAT`]). What
//! it may say grows within a format, and then its [`REVISION`] does.

use super::account::{Account, Rare};
use super::{Change, DetailLimits, HistoryEntry, Tally};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::num::NonZeroU64;
use timeball_schedule::{FireDetail, Outcome, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// Counts up with whatever a record may say and could not say before: a reason, a variant. A
/// version that meets a record which it cannot read knows by this that a newer one wrote it, and
/// does not take it for damaged.
pub(super) const REVISION: u8 = 1;

/// An outcome without its first instant.
#[derive(Deserialize, Serialize)]
struct Ending<'a> {
    /// Last instant less the first, nanoseconds.
    length_ns: u64,
    count: u64,
    result: Result,
    /// By its name, so that reasons may come and go; empty for none.
    #[serde(borrow)]
    reason: Cow<'a, str>,
    lateness_ns: Option<i64>,
    clock_bound_ns: Option<i64>,
    duration_ns: Option<i64>,
    clock_exceeded: bool,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
enum Result {
    Fired,
    Missed,
    Skipped,
    Failed,
    Unknown,
}

impl HistoryEntry {
    /// The octets to keep beside its first instant.
    pub(super) fn encode(&self) -> Vec<u8> {
        octets(&Ending::of(self))
    }

    /// What was kept beside `from`; `None` where it makes no sense.
    pub(super) fn decode(from: Timestamp, octets: &[u8]) -> Option<Self> {
        whole::<Ending<'_>>(octets)?.entry(from)
    }
}

impl<'a> Ending<'a> {
    fn of(entry: &'a HistoryEntry) -> Self {
        let FireDetail { lateness, clock_bound, duration, clock_exceeded } = entry.detail;
        Self {
            length_ns: ns(entry.until).abs_diff(ns(entry.from)),
            count: entry.count,
            result: match entry.outcome {
                Outcome::Fired => Result::Fired,
                Outcome::Missed(_) => Result::Missed,
                Outcome::Skipped(_) => Result::Skipped,
                Outcome::Failed(_) => Result::Failed,
                Outcome::Unknown => Result::Unknown,
            },
            reason: Cow::Borrowed(entry.outcome.reason().map_or("", Reason::name)),
            lateness_ns: lateness.map(Span::as_nanos),
            clock_bound_ns: clock_bound.map(Span::as_nanos),
            duration_ns: duration.map(Span::as_nanos),
            clock_exceeded,
            message: Cow::Borrowed(&entry.message),
        }
    }

    fn beside_its_instant(entry: &'a HistoryEntry) -> (i64, Self) {
        (ns(entry.from), Self::of(entry))
    }

    fn entry(self, from: Timestamp) -> Option<HistoryEntry> {
        let reason = Reason::from_name(&self.reason);
        let outcome = match self.result {
            Result::Fired => Outcome::Fired,
            Result::Unknown => Outcome::Unknown,
            Result::Missed => Outcome::Missed(reason?),
            Result::Skipped => Outcome::Skipped(reason?),
            Result::Failed => Outcome::Failed(reason?),
        };
        let detail = FireDetail {
            lateness: self.lateness_ns.map(Span::from_nanos),
            clock_bound: self.clock_bound_ns.map(Span::from_nanos),
            duration: self.duration_ns.map(Span::from_nanos),
            clock_exceeded: self.clock_exceeded,
        };
        let until = Timestamp::from_unix_nanos(ns(from).checked_add_unsigned(self.length_ns)?);
        let (count, message) = (self.count, self.message.into_owned());
        Some(HistoryEntry { from, until, count, outcome, detail, message })
    }
}

/// A change of a schedule's account.
#[derive(Deserialize, Serialize)]
enum Step<'a> {
    Claimed {
        at_ns: i64,
    },
    Marked {
        at_ns: i64,
        is_released: bool,
    },
    Accounted {
        until_ns: i64,
    },
    Ended {
        from_ns: i64,
        #[serde(borrow)]
        ending: Ending<'a>,
    },
    Forgotten,
}

impl Change {
    /// Appends it, as a change of this schedule's account.
    pub(super) fn append_to(&self, schedule: ScheduleUid, changes: &mut Vec<u8>) {
        let step = match self {
            Self::Claimed(at) => Step::Claimed { at_ns: ns(*at) },
            Self::Marked(at, is_released) => {
                Step::Marked { at_ns: ns(*at), is_released: *is_released }
            }
            Self::Accounted(until) => Step::Accounted { until_ns: ns(*until) },
            Self::Ended(entry) => {
                Step::Ended { from_ns: ns(entry.from), ending: Ending::of(entry) }
            }
            Self::Forgotten => Step::Forgotten,
        };
        let before = std::mem::take(changes);
        *changes = postcard::to_extend(&(schedule.0, step), before).expect(ALWAYS);
    }

    /// Takes the first off `changes`; `None` where it makes no sense.
    pub(super) fn take_from(changes: &mut &[u8]) -> Option<(ScheduleUid, Self)> {
        let ((uid, step), rest) =
            postcard::take_from_bytes::<([u8; 16], Step<'_>)>(changes).ok()?;
        *changes = rest;
        let change = match step {
            Step::Claimed { at_ns } => Self::Claimed(at(at_ns)),
            Step::Marked { at_ns, is_released } => Self::Marked(at(at_ns), is_released),
            Step::Accounted { until_ns } => Self::Accounted(at(until_ns)),
            Step::Ended { from_ns, ending } => Self::Ended(ending.entry(at(from_ns))?),
            Step::Forgotten => Self::Forgotten,
        };
        Some((ScheduleUid(uid), change))
    }
}

/// An account as a whole.
#[derive(Deserialize, Serialize)]
struct Image<'a> {
    /// The last commit whose changes are in it.
    number: u64,
    accounted_until_ns: Option<i64>,
    definition: Option<NonZeroU64>,
    limits: DetailLimits,
    open: Vec<(i64, bool)>,
    tally: Tally,
    #[serde(borrow)]
    history: Vec<(i64, Ending<'a>)>,
    #[serde(borrow)]
    requested: Vec<(i64, Ending<'a>)>,
    rare: Option<Rare>,
}

impl Account {
    /// The octets to keep, with the number of the last commit whose changes are in them.
    pub(super) fn encode(&self, number: u64) -> Vec<u8> {
        octets(&Image {
            number,
            accounted_until_ns: self.accounted_until.map(ns),
            definition: self.definition,
            limits: self.limits,
            open: self.open.iter().map(|(at, released)| (ns(*at), *released)).collect(),
            tally: self.tally(),
            history: self.history().map(Ending::beside_its_instant).collect(),
            requested: self.requested().map(Ending::beside_its_instant).collect(),
            rare: self.rare().cloned(),
        })
    }

    /// What was kept, with that number; `None` where it makes no sense.
    pub(super) fn decode(octets: &[u8]) -> Option<(u64, Self)> {
        let image: Image<'_> = whole(octets)?;
        let mut account = Self::default();
        account.accounted_until = image.accounted_until_ns.map(at);
        account.definition = image.definition;
        account.limits = image.limits;
        account.open = image.open.into_iter().map(|(ns, released)| (at(ns), released)).collect();
        let entries = |kept: Vec<(i64, Ending<'_>)>| {
            kept.into_iter().map(|(from_ns, ending)| ending.entry(at(from_ns))).collect()
        };
        let (history, requested): (Option<Vec<_>>, Option<Vec<_>>) =
            (entries(image.history), entries(image.requested));
        account.restore(image.tally, history?, requested?, image.rare);
        Some((image.number, account))
    }
}

const ALWAYS: &str = "a struct of numbers and texts always has a form";

fn octets<T: Serialize>(form: &T) -> Vec<u8> {
    postcard::to_stdvec(form).expect(ALWAYS)
}

/// A form that ends where the octets end.
fn whole<'a, T: Deserialize<'a>>(octets: &'a [u8]) -> Option<T> {
    let (form, rest) = postcard::take_from_bytes(octets).ok()?;
    rest.is_empty().then_some(form)
}

fn ns(at: Timestamp) -> i64 {
    at.as_unix_nanos()
}

fn at(ns: i64) -> Timestamp {
    Timestamp::from_unix_nanos(ns)
}

#[cfg(test)]
mod tests {
    use super::super::EventKind;
    use super::*;
    use timeball_timebase::Span;

    const UID: ScheduleUid = ScheduleUid([7; 16]);

    fn entry(outcome: Outcome) -> HistoryEntry {
        let from = Timestamp::from_unix(1_795_000_000, 250_000_000);
        let detail = FireDetail {
            lateness: Some(Span::from_micros(25)),
            clock_bound: None,
            duration: Some(Span::from_secs(1)),
            clock_exceeded: true,
        };
        let message = "exit status 3; output: \"é\"".to_owned();
        let until = from + Span::from_secs(3);
        HistoryEntry { from, until, count: 4, outcome, detail, message }
    }

    #[test]
    fn every_outcome_survives_its_form_on_disk() {
        let reasons = Reason::ALL.into_iter().flat_map(|reason| {
            [Outcome::Missed(reason), Outcome::Skipped(reason), Outcome::Failed(reason)]
        });
        for outcome in reasons.chain([Outcome::Fired, Outcome::Unknown]) {
            let entry = entry(outcome);
            let octets = entry.encode();
            assert_eq!(HistoryEntry::decode(entry.from, &octets), Some(entry.clone()));
            let mut longer = octets.clone();
            longer.push(0);
            assert_eq!(HistoryEntry::decode(entry.from, &longer), None);
            assert_eq!(HistoryEntry::decode(entry.from, &octets[..octets.len() - 1]), None);
        }
        let missed = entry(MISSED);
        let without_reason = Ending { reason: "".into(), ..Ending::of(&missed) };
        assert_eq!(HistoryEntry::decode(at(0), &octets(&without_reason)), None);
    }

    const MISSED: Outcome = Outcome::Missed(Reason::NotRunning);

    #[test]
    fn what_records_may_say_is_what_their_revision_stands_for() {
        let variants = |is_one: fn(&[u8]) -> bool| {
            (0..=u8::MAX).take_while(|n| is_one(&[&[*n][..], &[0; 64]].concat())).count()
        };
        let results = variants(|octets| postcard::take_from_bytes::<Result>(octets).is_ok());
        let steps = variants(|octets| postcard::take_from_bytes::<Step<'_>>(octets).is_ok());
        let events = variants(|octets| postcard::take_from_bytes::<EventKind>(octets).is_ok());
        let variants = [results, steps, events];
        let found = (REVISION, Reason::ALL.len(), variants);
        assert_eq!(found, (1, 17, [5, 5, 4]), "count up REVISION with what can be said");
    }

    #[test]
    fn changes_are_read_in_the_order_in_which_they_were_appended() {
        let when = at(1_795_000_000_250_000_000);
        let all = [
            Change::Claimed(when),
            Change::Marked(when, true),
            Change::Accounted(when),
            Change::Ended(entry(MISSED)),
            Change::Forgotten,
        ];
        let mut octets = Vec::new();
        for change in &all {
            change.append_to(UID, &mut octets);
        }
        let mut left = octets.as_slice();
        let read = std::iter::from_fn(|| Change::take_from(&mut left));
        assert_eq!(read.collect::<Vec<_>>(), all.map(|change| (UID, change)));
        assert!(left.is_empty());
    }

    #[test]
    fn a_fire_takes_less_than_a_hundred_octets_from_claim_to_outcome() {
        let when = at(1_795_000_000_250_000_000);
        let detail = FireDetail { clock_exceeded: false, ..entry(Outcome::Fired).detail };
        let (count, message) = (1, String::new());
        let outcome = Outcome::Fired;
        let fired = HistoryEntry { from: when, until: when, count, outcome, detail, message };
        let mut octets = Vec::new();
        Change::Claimed(when).append_to(UID, &mut octets);
        Change::Marked(when, true).append_to(UID, &mut octets);
        Change::Ended(fired).append_to(UID, &mut octets);
        assert!(octets.len() < 100, "{}", octets.len());
    }
}
