//! What must hold of a schedule's outcomes and effects, whenever its processes died.

use std::collections::BTreeSet;
use timeball_api::schedules::Outcome;

/// The effects of a schedule's own fires, by their instants.
pub(super) struct Effects {
    /// The keys of all its fires, as often as they came.
    keys: Vec<String>,
    instants_us: BTreeSet<i64>,
}

impl Effects {
    pub(super) fn new(keys: Vec<String>) -> Self {
        // The key of a fire that was asked for has more behind its instant.
        let instant = |key: &String| key.rsplit('.').next()?.parse().ok();
        let instants_us = keys.iter().filter_map(instant).collect();
        Self { keys, instants_us }
    }

    pub(super) fn assert_none_twice(&self, place: &str) {
        let unique: BTreeSet<&String> = self.keys.iter().collect();
        assert_eq!(unique.len(), self.keys.len(), "{place}: a fire had its effect twice");
    }

    /// How many instants of a record had an effect.
    fn of(&self, record: &Outcome) -> u64 {
        let range = record.scheduled_ns / 1_000..=record.until_ns / 1_000;
        self.instants_us.range(range).count() as u64
    }
}

/// When nobody was there: from the last death to the last start, nanoseconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Absence {
    pub(super) from_ns: i64,
    pub(super) until_ns: i64,
}

/// The outcomes of a schedule's own instants, oldest first, as far as each of them has one: what
/// comes later may still run.
pub(super) fn whole(outcomes: &[Outcome], period_ms: i64) -> Vec<&Outcome> {
    let mut whole: Vec<&Outcome> = Vec::new();
    for record in own(outcomes) {
        let next_ns = whole.last().map(|last| last.until_ns + period_ms * 1_000_000);
        if next_ns.is_some_and(|next_ns| record.scheduled_ns > next_ns) {
            break;
        }
        whole.push(record);
    }
    whole
}

/// Each instant has one outcome, and all of them are true.
pub(super) fn check_kept(whole: &[&Outcome], period_ms: i64, effects: &Effects, place: &str) {
    let period_ns = period_ms * 1_000_000;
    let mut expected = None;
    for record in whole {
        let is_next = expected.is_none_or(|expected| record.scheduled_ns == expected);
        assert!(is_next, "{place}: {expected:?}, then {record:?}: {}", lines(whole));
        let length = (record.until_ns - record.scheduled_ns) / period_ns + 1;
        assert_eq!(record.count, length.unsigned_abs(), "{place}: {record:?}");
        expected = Some(record.until_ns + period_ns);
        check_truth(record, effects, place);
    }
}

/// No instant has two outcomes, and each outcome is true; which instants there are is a matter of
/// when it was edited.
pub(super) fn check_edited(outcomes: &[Outcome], effects: &Effects, place: &str) {
    let own: Vec<&Outcome> = own(outcomes).collect();
    for pair in own.windows(2) {
        assert!(pair[0].until_ns < pair[1].scheduled_ns, "{place}: two outcomes: {pair:?}");
    }
    for record in own {
        check_truth(record, effects, place);
    }
}

/// What passed while nobody was there became what the catch-up policy says.
pub(super) fn check_absence(policy: &str, whole: &[&Outcome], absence: Absence, place: &str) {
    let Absence { from_ns, until_ns } = absence;
    if whole.first().is_none_or(|first| first.scheduled_ns > from_ns) {
        // It was never seen before.
        return;
    }
    // A fire that is nearly due may have begun before the death, or be only late after the start.
    let certain = from_ns + 100_000_000..until_ns - 60_000_000;
    let passed = |o: &&Outcome| o.until_ns >= certain.start && o.scheduled_ns < certain.end;
    let missed: Vec<usize> =
        (0..whole.len()).filter(|n| passed(&whole[*n]) && whole[*n].result == "missed").collect();
    match policy {
        "none" => {
            let fired = |o: &&&Outcome| o.result == "fired" && certain.contains(&o.scheduled_ns);
            let fired = whole.iter().find(fired);
            assert!(fired.is_none() && !missed.is_empty(), "{place}: {}", lines(whole));
        }
        "latest" => {
            let last = *missed.last().unwrap_or_else(|| panic!("{place}: {}", lines(whole)));
            let late = whole[last + 1];
            let lateness = late.lateness_ns.unwrap_or_default();
            assert!(late.result == "fired" && lateness > 50_000_000, "{place}: {}", lines(whole));
        }
        _ => assert!(missed.is_empty(), "{place}: {}", lines(whole)),
    }
}

/// What is fired had its effect; what is missed or skipped had none.
fn check_truth(record: &Outcome, effects: &Effects, place: &str) {
    let had = effects.of(record);
    match record.result.as_str() {
        "fired" => assert_eq!(had, record.count, "{place}: no effect of {record:?}"),
        "missed" | "skipped" => assert_eq!(had, 0, "{place}: an effect of {record:?}"),
        "unknown" => {}
        // It ran when its scheduler was stopped, and may have come as far as its effect.
        "failed" if record.reason == "Stopped" => {}
        _ => panic!("{place}: {record:?}"),
    }
}

/// The outcomes of a schedule's own instants, oldest first.
fn own(outcomes: &[Outcome]) -> impl Iterator<Item = &Outcome> {
    outcomes.iter().rev().filter(|outcome| outcome.trigger == "schedule")
}

/// Records, a line each, for whoever reads why a test failed.
pub(super) fn lines(records: &[&Outcome]) -> String {
    let line = |o: &&Outcome| {
        let Outcome { result, reason, scheduled_ns, until_ns, count, .. } = o;
        format!("\n  {scheduled_ns} to {until_ns}: {count} {result} {reason} {:?}", o.lateness_ns)
    };
    records.iter().map(line).collect()
}
