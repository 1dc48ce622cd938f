//! What is kept, and its form on disk: JSON, so that a later version can add to it and a person can
//! read it.

use serde::{Deserialize, Serialize};
use timeball_schedule::{FireDetail, Outcome, Reason};
use timeball_timebase::{Span, Timestamp};

/// What is kept of a schedule as a whole.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Expression, dialect, zone and rule, as one text: where it changes, other instants are meant.
    pub(crate) definition: String,
    /// Nanoseconds since 1970; instants up to and including it have a claim or an outcome.
    pub(crate) accounted_until_ns: Option<i64>,
    /// When its file went away, nanoseconds since 1970.
    pub(crate) removed_at_ns: Option<i64>,
    /// Outcomes counted since it was first seen.
    pub(crate) tally: Tally,
    /// The same of fires that were asked for.
    #[serde(default)]
    pub(crate) requested: Tally,
    /// Since when it rests until further notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<Pause>,
    /// How often the target has failed in a row.
    #[serde(default)]
    pub(crate) failures: u32,
    /// What people did with it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<Event>,
}

/// Why a schedule rests.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Pause {
    /// Since when, nanoseconds since 1970.
    pub(crate) at_ns: i64,
    /// Who paused it.
    pub(crate) by: String,
    /// Why; may be empty.
    pub(crate) why: String,
}

/// Something that was done with a schedule, by a person or by itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    /// When, nanoseconds since 1970.
    pub(crate) at_ns: i64,
    /// Who did it.
    pub(crate) by: String,
    /// Why; may be empty.
    pub(crate) why: String,
    /// First instant that was asked for, nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from_ns: Option<i64>,
    /// Last instant that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until_ns: Option<i64>,
    /// How many instants were asked for.
    #[serde(default)]
    pub(crate) count: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventKind {
    Paused,
    Resumed,
    Run,
    Backfill,
}

impl EventKind {
    /// Its word in the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Run => "run",
            Self::Backfill => "backfill",
        }
    }
}

/// Outcomes counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Tally {
    pub(crate) fired: u64,
    pub(crate) missed: u64,
    pub(crate) skipped: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: Outcome, count: u64) {
        let counted = match outcome {
            Outcome::Fired => &mut self.fired,
            Outcome::Missed(_) => &mut self.missed,
            Outcome::Skipped(_) => &mut self.skipped,
            Outcome::Failed(_) => &mut self.failed,
            Outcome::Unknown => &mut self.unknown,
        };
        *counted = counted.saturating_add(count);
    }
}

/// The outcome of an instant, or of a run of instants with the same one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HistoryEntry {
    /// First instant.
    pub(crate) from: Timestamp,
    /// Last instant, `from` for one.
    pub(crate) until: Timestamp,
    /// How many instants, at least one.
    pub(crate) count: u64,
    pub(crate) outcome: Outcome,
    /// How the fire went; nothing for a run.
    pub(crate) detail: FireDetail,
    /// Details for a person; may be empty.
    pub(crate) message: String,
}

#[derive(Deserialize, Serialize)]
struct Form {
    until_ns: i64,
    count: u64,
    result: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lateness_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock_bound_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    clock_exceeded: bool,
}

impl HistoryEntry {
    /// The octets to keep under the key `from`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let form = Form {
            until_ns: self.until.as_unix_nanos(),
            count: self.count,
            result: self.outcome.name().to_owned(),
            reason: self.outcome.reason().map_or("", Reason::name).to_owned(),
            message: self.message.clone(),
            lateness_ns: self.detail.lateness.map(Span::as_nanos),
            clock_bound_ns: self.detail.clock_bound.map(Span::as_nanos),
            duration_ns: self.detail.duration.map(Span::as_nanos),
            clock_exceeded: self.detail.clock_exceeded,
        };
        serde_json::to_vec(&form).expect("a struct of numbers and texts is always JSON")
    }

    /// What was kept under `from`; `None` where it makes no sense.
    pub(crate) fn decode(from: Timestamp, octets: &[u8]) -> Option<Self> {
        let form: Form = serde_json::from_slice(octets).ok()?;
        Some(Self {
            from,
            until: Timestamp::from_unix_nanos(form.until_ns),
            count: form.count,
            outcome: outcome(&form.result, &form.reason)?,
            detail: FireDetail {
                lateness: form.lateness_ns.map(Span::from_nanos),
                clock_bound: form.clock_bound_ns.map(Span::from_nanos),
                duration: form.duration_ns.map(Span::from_nanos),
                clock_exceeded: form.clock_exceeded,
            },
            message: form.message,
        })
    }
}

fn outcome(result: &str, reason: &str) -> Option<Outcome> {
    let reason = Reason::from_name(reason);
    match result {
        "fired" => Some(Outcome::Fired),
        "unknown" => Some(Outcome::Unknown),
        "missed" => reason.map(Outcome::Missed),
        "skipped" => reason.map(Outcome::Skipped),
        "failed" => reason.map(Outcome::Failed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_survives_its_form_on_disk() {
        let from = Timestamp::from_unix(1_795_000_000, 250_000_000);
        let reasons = Reason::ALL.into_iter().flat_map(|reason| {
            [Outcome::Missed(reason), Outcome::Skipped(reason), Outcome::Failed(reason)]
        });
        for outcome in reasons.chain([Outcome::Fired, Outcome::Unknown]) {
            let detail = FireDetail {
                lateness: Some(Span::from_micros(25)),
                clock_bound: None,
                duration: Some(Span::from_secs(1)),
                clock_exceeded: true,
            };
            let message = "exit status 3; output: \"é\"".to_owned();
            let entry = HistoryEntry { from, until: from, count: 1, outcome, detail, message };
            assert_eq!(HistoryEntry::decode(from, &entry.encode()), Some(entry));
        }
        assert_eq!(HistoryEntry::decode(from, b"{}"), None);
        assert_eq!(
            HistoryEntry::decode(from, br#"{"until_ns":1,"count":1,"result":"missed"}"#),
            None
        );
    }
}
