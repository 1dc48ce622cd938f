//! What people did: pauses, and fires that were asked for, with who and why.

use super::{Account, Ledger};
use crate::store::HistoryEntry;
use crate::store::record::{Event, EventKind, Pause};
use std::collections::BTreeMap;
use timeball_schedule::{BACKFILLS_MAX, FireId, Outcome, ScheduleUid, Trigger};
use timeball_timebase::{Span, Timestamp};

/// How many events of a schedule are kept; beyond that the oldest are forgotten.
const EVENTS_MAX: usize = 20;
/// How many outcomes of fires that were asked for one schedule keeps.
const REQUESTED_MAX: usize = 1_000;

impl Ledger {
    /// Keeps that a schedule rests from `event.at_ns` on.
    pub(crate) fn pause(&mut self, uid: ScheduleUid, event: Event) {
        let Some(account) = self.accounts.get_mut(&uid) else { return };
        let Event { at_ns, by, why, .. } = event.clone();
        account.row.paused = Some(Pause { at_ns, by, why });
        self.note_event(uid, event);
    }

    /// Keeps that a schedule goes on; its failures until now no longer count.
    pub(crate) fn unpause(&mut self, uid: ScheduleUid, event: Event) {
        let Some(account) = self.accounts.get_mut(&uid) else { return };
        account.row.paused = None;
        account.row.failures = 0;
        self.note_event(uid, event);
    }

    /// Keeps what somebody did.
    pub(crate) fn note_event(&mut self, uid: ScheduleUid, event: Event) {
        let Some(account) = self.accounts.get_mut(&uid) else { return };
        let events = &mut account.row.events;
        events.push(event);
        events.drain(..events.len().saturating_sub(EVENTS_MAX));
        self.touch_row(uid);
    }

    /// Since when, by whom and why a schedule is paused; `None` if it is not.
    pub(crate) fn paused(&self, uid: ScheduleUid) -> Option<&Pause> {
        self.accounts.get(&uid)?.row.paused.as_ref()
    }

    /// How often the target has failed in a row.
    pub(crate) fn failures(&self, uid: ScheduleUid) -> u32 {
        self.accounts.get(&uid).map_or(0, |account| account.row.failures)
    }

    /// What people did with a schedule, oldest first.
    pub(crate) fn events(&self, uid: ScheduleUid) -> &[Event] {
        self.accounts.get(&uid).map_or(&[], |account| &account.row.events)
    }

    /// Who asked for a fire and why, as far as that is still kept.
    pub(crate) fn request_of(&self, fire: FireId) -> Option<&Event> {
        let of = |event: &&Event| match (event.kind, fire.trigger()) {
            (EventKind::Run, Trigger::Manual) => event.from_ns == Some(ns(fire.nominal())),
            (EventKind::Backfill, Trigger::Backfill) => {
                let range = event.from_ns.zip(event.until_ns);
                range.is_some_and(|(from, until)| (from..=until).contains(&ns(fire.nominal())))
            }
            _ => false,
        };
        self.events(fire.schedule).iter().rev().find(of)
    }

    /// All outcomes of a schedule that are kept, newest instant first.
    pub(crate) fn outcomes(&self, uid: ScheduleUid) -> Vec<HistoryEntry> {
        let Some(account) = self.accounts.get(&uid) else { return Vec::new() };
        let own = account.history.newest_first();
        let mut all: Vec<HistoryEntry> = own.chain(account.requested.values()).cloned().collect();
        all.sort_by_key(|entry| std::cmp::Reverse(entry.from));
        all
    }

    /// A key for a run of a schedule at `now` that was never used.
    pub(crate) fn manual_key(&self, uid: ScheduleUid, now: Timestamp) -> FireId {
        let known = |fire: &FireId| {
            self.accounts.get(&uid).is_some_and(|account| account.knows(fire.scheduled_at))
        };
        let mut fire = FireId::manual(uid, now);
        while known(&fire) {
            fire = FireId::manual(uid, fire.nominal() + Span::from_micros(1));
        }
        fire
    }

    /// A key for a repetition of the instant `nominal`; `None` if it was asked for too often.
    pub(crate) fn backfill_key(&self, uid: ScheduleUid, nominal: Timestamp) -> Option<FireId> {
        let account = self.accounts.get(&uid);
        let known = |fire: &FireId| account.is_some_and(|a| a.knows(fire.scheduled_at));
        (1..=BACKFILLS_MAX)
            .filter_map(|attempt| FireId::backfill(uid, nominal, attempt))
            .find(|fire| !known(fire))
    }

    /// Whether an instant needs no backfill: it is claimed, may have had its effect, or was
    /// backfilled since.
    pub(crate) fn is_done(&self, uid: ScheduleUid, nominal: Timestamp) -> bool {
        let Some(account) = self.accounts.get(&uid) else { return false };
        let done = |outcome| matches!(outcome, Outcome::Fired | Outcome::Unknown);
        let keys = nominal..nominal + Span::from_micros(1);
        account.open.range(keys.clone()).next().is_some()
            || account.history.outcome(nominal).is_some_and(done)
            || account.requested.range(keys).any(|(_, entry)| done(entry.outcome))
    }
}

impl Account {
    /// Whether a fire that was asked for has a claim or an outcome.
    pub(super) fn knows(&self, at: Timestamp) -> bool {
        self.open.contains_key(&at) || self.requested.contains_key(&at)
    }

    /// Whether the fire with this key has an outcome.
    pub(super) fn has_outcome(&self, at: Timestamp) -> bool {
        if is_requested(at) {
            self.requested.contains_key(&at)
        } else {
            self.history.has_outcome(at)
        }
    }

    /// Accounts for the instant of a claim; fires that were asked for stand beside them.
    pub(super) fn account_claim(&mut self, at: Timestamp) {
        if !is_requested(at) {
            self.account(at);
        }
    }

    /// The open claims that an outcome of the instants from `from` to `until` closes: a run of the
    /// schedule's own instants spans none that was asked for.
    pub(super) fn claims_within(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let asked = is_requested(from);
        let within = self.open.range(from..=until).map(|(at, _)| *at);
        within.filter(move |at| is_requested(*at) == asked)
    }

    /// What is kept under a key of the history.
    pub(super) fn entry(&self, from: Timestamp) -> Option<&HistoryEntry> {
        if is_requested(from) { self.requested.get(&from) } else { self.history.entry(from) }
    }

    /// Enters the outcome of a fire that was asked for; returns the keys that changed or are gone.
    pub(super) fn enter_requested(&mut self, entry: HistoryEntry) -> Vec<Timestamp> {
        let mut changed = vec![entry.from];
        self.row.requested.add(entry.outcome, entry.count);
        self.requested.insert(entry.from, entry);
        while self.requested.len() > REQUESTED_MAX {
            changed.extend(self.requested.pop_first().map(|(from, _)| from));
        }
        changed
    }

    /// Counts how often the target has failed in a row.
    pub(super) fn count_failure(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Fired => self.row.failures = 0,
            outcome if outcome.is_targets_failure() => {
                self.row.failures = self.row.failures.saturating_add(1);
            }
            _ => {}
        }
    }
}

/// Tells outcomes of fires that were asked for from the schedule's own.
pub(super) fn split(
    mut history: BTreeMap<Timestamp, HistoryEntry>,
) -> (BTreeMap<Timestamp, HistoryEntry>, BTreeMap<Timestamp, HistoryEntry>) {
    let requested = history.extract_if(.., |from, _| is_requested(*from)).collect();
    (history, requested)
}

/// Whether somebody asked for the fire with this key.
pub(super) fn is_requested(at: Timestamp) -> bool {
    Trigger::of(at) != Trigger::Schedule
}

fn ns(at: Timestamp) -> i64 {
    at.as_unix_nanos()
}
