//! What people did: pauses, and fires that were asked for, with who and why.

use super::Ledger;
use crate::store::HistoryEntry;
use crate::store::record::{Event, EventKind, Pause};
use timeball_schedule::{BACKFILLS_MAX, FireId, Outcome, ScheduleUid, Trigger};
use timeball_timebase::{Span, Timestamp};

/// How many events of a schedule are kept; beyond that the oldest are forgotten.
const EVENTS_MAX: usize = 20;

impl Ledger {
    /// Keeps that a schedule rests from `event.at_ns` on.
    pub(crate) fn pause(&mut self, uid: ScheduleUid, event: Event) {
        let Some(account) = self.accounts.get_mut(&uid) else { return };
        let Event { at_ns, by, why, .. } = event.clone();
        account.rare_mut().paused = Some(Pause { at_ns, by, why });
        self.note_event(uid, event);
    }

    /// Keeps that a schedule goes on; its failures until now no longer count.
    pub(crate) fn unpause(&mut self, uid: ScheduleUid, event: Event) {
        let Some(account) = self.accounts.get_mut(&uid) else { return };
        let rare = account.rare_mut();
        (rare.paused, rare.failures) = (None, 0);
        self.note_event(uid, event);
    }

    /// Keeps what somebody did.
    pub(crate) fn note_event(&mut self, uid: ScheduleUid, event: Event) {
        let Some(account) = self.accounts.get_mut(&uid) else { return };
        let events = &mut account.rare_mut().events;
        events.push(event);
        events.drain(..events.len().saturating_sub(EVENTS_MAX));
        self.image(uid);
    }

    /// Since when, by whom and why a schedule is paused; `None` if it is not.
    pub(crate) fn paused(&self, uid: ScheduleUid) -> Option<&Pause> {
        self.accounts.get(&uid)?.rare()?.paused.as_ref()
    }

    /// How often the target has failed in a row.
    pub(crate) fn failures(&self, uid: ScheduleUid) -> u32 {
        self.accounts.get(&uid).and_then(|account| account.rare()).map_or(0, |rare| rare.failures)
    }

    /// What people did with a schedule, oldest first.
    pub(crate) fn events(&self, uid: ScheduleUid) -> &[Event] {
        self.accounts.get(&uid).and_then(|account| account.rare()).map_or(&[], |rare| &rare.events)
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
        let mut all: Vec<HistoryEntry> =
            account.history().chain(account.requested()).cloned().collect();
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
            || account.outcome(nominal).is_some_and(done)
            || account.requested().any(|entry| keys.contains(&entry.from) && done(entry.outcome))
    }
}

fn ns(at: Timestamp) -> i64 {
    at.as_unix_nanos()
}
