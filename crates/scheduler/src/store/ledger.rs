//! The books: which instants are claimed, how they ended, and what of that is durable yet.

mod control;
mod log;

use super::account::fingerprint;
use super::history::DetailLimits;
use super::journal::Entry;
use super::slot::BootId;
use super::{Accounts, Change, Closing, Commit, HistoryEntry, Journal, Store, StoreError, Tally};
use crate::fault::{self, Point};
use log::Log;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use timeball_schedule::planner::{Claim, ClaimResult, OpenClaim, OutcomeRecord, Resume};
use timeball_schedule::{FireDetail, FireId, Outcome, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// How long outcomes may wait for a batch of claims to ride with.
const OUTCOMES_WAIT_MAX: Duration = Duration::from_millis(1_500);
/// How long after a failed commit outcomes are tried again. Claims are tried whenever they come.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What is known of a schedule whose file went away is kept for this long.
const REMEMBER_REMOVED: Span = Span::from_secs(30 * 86_400);
/// The most schedules that are forgotten at a time: what is forgotten rides with claims, which are
/// waited for.
const FORGOTTEN_MAX: usize = 1_000;

/// The books of all schedules, over a store.
pub(crate) struct Ledger {
    store: Box<dyn Store>,
    journal: Arc<Journal>,
    accounts: Accounts,
    /// Schedules whose files went away, by when they did.
    removed: BTreeSet<(Timestamp, ScheduleUid)>,
    /// Fires that were noted as begun, and of whose release nobody has told yet.
    begun: BTreeSet<FireId>,
    log: Log,
    /// When the first of the changes happened that no commit contains.
    dirty_since: Option<Instant>,
    retry_at: Option<Instant>,
    /// Why the last commit failed; `None` after one that did not.
    problem: Option<StoreError>,
    counters: LedgerCounters,
}

/// What the ledger has done since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct LedgerCounters {
    /// Commits that were made.
    pub(crate) commits: u64,
    /// Commits that failed.
    pub(crate) commits_failed: u64,
    /// Claims that became durable.
    pub(crate) claims: u64,
}

/// A schedule as the ledger needs it.
pub(crate) struct Enrolment {
    pub(crate) uid: ScheduleUid,
    /// Expression, dialect, zone and rule: where it changes, other instants are meant.
    pub(crate) definition: String,
    pub(crate) limits: DetailLimits,
    /// Whether a fire may be repeated under its key.
    pub(crate) repeatable: bool,
}

impl Ledger {
    /// Opens the books over a store, with a journal beside it that is good for this boot; without
    /// the two, no journal is kept.
    ///
    /// # Errors
    /// Where the store cannot be read, or one of both only by a newer version.
    pub(crate) fn open(
        mut store: Box<dyn Store>,
        journal: Option<(&Path, BootId)>,
    ) -> Result<Self, StoreError> {
        let mut loaded = store.load()?;
        let (journal, entries) = Journal::open_or_off(journal, loaded.closing.journal)?;
        let accounts = loaded.accounts.iter();
        let removed = accounts.filter_map(|(uid, account)| Some((account.removed_at()?, *uid)));
        let mut ledger = Self {
            removed: removed.collect(),
            log: Log::new(&mut loaded),
            accounts: loaded.accounts,
            store,
            journal: Arc::new(journal),
            begun: BTreeSet::new(),
            dirty_since: None,
            retry_at: None,
            problem: None,
            counters: LedgerCounters::default(),
        };
        let told_by_journal = entries.is_some();
        ledger.replay(entries.unwrap_or_default());
        if !told_by_journal && !loaded.closing.clean {
            ledger.doubt_open_claims();
        }
        fault::pass(Point::JournalReplayed);
        // Before anything is released, the store must say that this process is at work: what was
        // certain of the process before is not, once this one has died without a trace.
        if !ledger.commit_as(false) && !told_by_journal {
            ledger.doubt_open_claims();
        }
        Ok(ledger)
    }

    /// Where fires are noted before their effect.
    pub(crate) fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.journal)
    }

    /// Takes over what a process that died had noted and not committed.
    fn replay(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            match entry {
                Entry::Begun(fire) => self.mark(fire, true),
                Entry::Ended(schedule, entry) => self.enter(schedule, entry),
            }
        }
    }

    /// Takes every open claim for one that may have been released.
    fn doubt_open_claims(&mut self) {
        let open = self.accounts.iter().flat_map(|(uid, account)| {
            let unreleased = account.open.iter().filter(|(_, released)| !**released);
            unreleased.map(|(at, _)| FireId { schedule: *uid, scheduled_at: *at })
        });
        for fire in open.collect::<Vec<_>>() {
            self.mark(fire, true);
        }
    }

    /// Takes up a schedule, new or changed, and says what is known of it. The definition is kept
    /// only once the planner says so: see [`Ledger::adopt`].
    pub(crate) fn enroll(&mut self, schedule: Enrolment, now: Timestamp) -> Resume {
        let Enrolment { uid, definition, limits, repeatable } = schedule;
        let definition = fingerprint(&definition);
        let is_new = !self.accounts.contains_key(&uid);
        let account = self.accounts.entry(uid).or_default();
        let removed_at = account.removed_at();
        let redefined = account.definition.is_some_and(|kept| kept != definition);
        let inherited = std::mem::replace(&mut account.inherited, false);
        if inherited && removed_at.is_some() {
            // Its claims were for instants that nobody means any more.
            self.settle(uid, now);
        }
        let account = self.accounts.get_mut(&uid).expect("it was entered above");
        let before = (account.accounted_until, account.limits);
        account.limits = limits;
        if let Some(removed_at) = removed_at {
            account.accounted_until = None;
            account.rare_mut().removed_at_ns = None;
            self.removed.remove(&(removed_at, uid));
        } else if redefined {
            account.accounted_until = account.accounted_until.map(|until| until.max(now));
        }
        account.adopting = Some(definition);
        let open = account.open.iter().filter(|_| inherited);
        let open_claims = open
            .map(|(at, released)| OpenClaim { scheduled_at: *at, released: *released })
            .collect();
        let settled = account.history().rev().filter(|entry| entry.until > now);
        let resume = Resume {
            accounted_until: account.accounted_until,
            redefined,
            settled: settled.map(|entry| (entry.from, entry.until)).collect(),
            open_claims,
            repeatable,
            paused: account.rare().is_some_and(|rare| rare.paused.is_some()),
            failures: account.rare().map_or(0, |rare| rare.failures),
        };
        // A restart that finds everything as it was has nothing to write.
        if is_new || removed_at.is_some() || before != (account.accounted_until, account.limits) {
            self.image(uid);
        }
        resume
    }

    /// Keeps the definition that [`Ledger::enroll`] was told of last; durable with the next commit.
    pub(crate) fn adopt(&mut self, uid: ScheduleUid) {
        let Some(account) = self.accounts.get_mut(&uid) else { return };
        let adopted = account.adopting.take();
        if adopted.is_some() && adopted != account.definition {
            account.definition = adopted;
            self.image(uid);
        }
    }

    /// Keeps that a schedule's file went away. What of it runs may still end.
    pub(crate) fn retire(&mut self, uid: ScheduleUid, now: Timestamp) {
        if let Some(account) = self.accounts.get_mut(&uid) {
            if let Some(before) = account.removed_at() {
                self.removed.remove(&(before, uid));
            }
            account.rare_mut().removed_at_ns = Some(now.as_unix_nanos());
            self.removed.insert((now, uid));
            self.image(uid);
        }
    }

    /// Settles what was loaded and no file names: the files went away while nobody was there.
    pub(crate) fn retire_absent(&mut self, now: Timestamp) {
        let absent: Vec<(ScheduleUid, bool)> = self
            .accounts
            .iter()
            .filter(|(_, account)| account.inherited)
            .map(|(uid, account)| (*uid, account.removed_at().is_some()))
            .collect();
        for (uid, is_retired) in absent {
            self.settle(uid, now);
            if !is_retired {
                self.retire(uid, now);
            }
        }
        self.forget_removed(now);
    }

    /// Forgets schedules whose files went away long ago and of which nothing runs any more, as many
    /// as do for one commit; whether there are more.
    pub(crate) fn forget_removed(&mut self, now: Timestamp) -> bool {
        let old = self.removed.iter().take_while(|(at, _)| now - *at > REMEMBER_REMOVED);
        // An outcome that came later would bring back an account that is never removed.
        let is_over = |uid: &ScheduleUid| self.accounts[uid].open.is_empty();
        let over = old.map(|(_, uid)| *uid).filter(is_over).take(FORGOTTEN_MAX);
        let over: Vec<ScheduleUid> = over.collect();
        for uid in &over {
            self.forget(*uid);
        }
        over.len() == FORGOTTEN_MAX
    }

    /// Enters claims that are about to be made, so that no run of outcomes spans one of them.
    pub(crate) fn expect(&mut self, claims: &[Claim]) {
        for Claim { fire: FireId { schedule, scheduled_at } } in claims {
            let account = self.accounts.entry(*schedule).or_default();
            if !account.knows(*scheduled_at) {
                self.change(*schedule, Change::Claimed(*scheduled_at));
            }
        }
    }

    /// Makes claims durable, with everything else that waits to be.
    pub(crate) fn claim(&mut self, claims: &[Claim]) -> Vec<(FireId, ClaimResult)> {
        self.expect(claims);
        fault::pass(Point::ClaimEntered);
        let is_open = |fire: &FireId| {
            let account = self.accounts.get(&fire.schedule);
            account.is_some_and(|account| account.open.contains_key(&fire.scheduled_at))
        };
        let result = |fire| if is_open(fire) { ClaimResult::Claimed } else { ClaimResult::Lost };
        let mut results: Vec<_> = claims.iter().map(|c| (c.fire, result(&c.fire))).collect();
        if self.commit() {
            let claimed = results.iter().filter(|(_, result)| *result == ClaimResult::Claimed);
            self.counters.claims += claimed.count() as u64;
        } else {
            for (_, result) in &mut results {
                if *result == ClaimResult::Claimed {
                    *result = ClaimResult::Unknown;
                }
            }
        }
        results
    }

    /// Keeps that a fire was released; durable with the next commit.
    pub(crate) fn released(&mut self, fire: FireId) {
        self.begun.remove(&fire);
        self.mark(fire, true);
    }

    /// Keeps whether a fire was released, or may have been.
    fn mark(&mut self, fire: FireId, is_released: bool) {
        let account = self.accounts.get(&fire.schedule);
        let known = account.and_then(|account| account.open.get(&fire.scheduled_at));
        if known.is_some_and(|known| *known != is_released) {
            self.change(fire.schedule, Change::Marked(fire.scheduled_at, is_released));
        }
    }

    /// Keeps that instants up to and including `until` are accounted for.
    pub(crate) fn account(&mut self, uid: ScheduleUid, until: Timestamp) {
        if self.accounts.get(&uid).is_some_and(|a| a.accounted_until < Some(until)) {
            self.change(uid, Change::Accounted(until));
        }
    }

    /// Keeps an outcome; durable with the next commit.
    pub(crate) fn record(&mut self, record: &OutcomeRecord, message: String) {
        let OutcomeRecord { schedule, from, until, count, outcome, detail } = *record;
        let entry = HistoryEntry { from, until, count, outcome, detail, message };
        // Claims of the past are durable, so their outcomes leave no hole whatever else is lost.
        let account = self.accounts.get(&schedule);
        let claimed =
            account.map_or(0, |account| account.claims_within(from, until).count() as u64);
        if claimed == count {
            self.journal.end(schedule, &entry);
        }
        self.enter(schedule, entry);
        fault::pass(Point::OutcomeEntered);
    }

    /// Enters an outcome, which closes its claims.
    fn enter(&mut self, schedule: ScheduleUid, entry: HistoryEntry) {
        if !self.begun.is_empty()
            && let Some(account) = self.accounts.get(&schedule)
        {
            for scheduled_at in account.claims_within(entry.from, entry.until) {
                self.begun.remove(&FireId { schedule, scheduled_at });
            }
        }
        self.change(schedule, Change::Ended(entry));
    }

    /// Carries out a change, which the next commit contains.
    fn change(&mut self, uid: ScheduleUid, change: Change) {
        self.log.note(uid, &change);
        self.accounts.entry(uid).or_default().apply(change);
        self.touch();
    }

    /// Has the next commit contain all of a schedule's account: what is no [`Change`] was changed.
    fn image(&mut self, uid: ScheduleUid) {
        self.log.image(uid);
        self.touch();
    }

    /// Commits what has waited for long enough; returns when to ask again, if anything waits.
    pub(crate) fn flush_due(&mut self) -> Option<Instant> {
        let full = self.journal.wants_commit();
        let since = self.dirty_since.or_else(|| full.then(Instant::now))?;
        let due = if full { since } else { since + OUTCOMES_WAIT_MAX };
        let due = self.retry_at.map_or(due, |retry| retry.max(due));
        if Instant::now() < due {
            return Some(due);
        }
        if self.commit_as(false) { None } else { self.retry_at }
    }

    /// Commits everything that waits; `false` where that failed, and it waits on.
    pub(crate) fn commit(&mut self) -> bool {
        self.dirty_since.is_none() || self.commit_as(false)
    }

    /// The last commit: nothing is released any more, and of all that was somebody has told.
    /// `false` where it failed.
    pub(crate) fn close(&mut self) -> bool {
        self.note_begun();
        for fire in std::mem::take(&mut self.begun) {
            self.mark(fire, false);
        }
        fault::pass(Point::Closing);
        self.commit_as(true)
    }

    /// Takes over what began until now, so that the journal need not keep it; returns up to where
    /// the journal is contained in the books.
    fn note_begun(&mut self) -> Option<u64> {
        let (begun, mark) = self.journal.absorb();
        for fire in begun {
            let account = self.accounts.get(&fire.schedule);
            // One of which somebody has told already is no news.
            if account.and_then(|a| a.open.get(&fire.scheduled_at)) == Some(&false) {
                self.mark(fire, true);
                self.begun.insert(fire);
            }
        }
        mark
    }

    fn commit_as(&mut self, clean: bool) -> bool {
        let journal = self.note_begun();
        let closing = Closing { journal, clean };
        self.log.prepare(&self.accounts, self.problem.is_none());
        let store = &mut self.store;
        let commit = |commit: Commit<'_>| store.commit(Commit { closing, ..commit });
        match self.log.with_commit(&self.accounts, commit) {
            Ok(()) => {
                self.log.confirm();
                self.journal.settle(journal);
                if self.problem.take().is_some() {
                    tracing::info!("the store can be written again");
                }
                (self.dirty_since, self.retry_at) = (None, None);
                self.counters.commits += 1;
                true
            }
            Err(error) => {
                if self.problem.is_none() {
                    tracing::error!(
                        %error,
                        "claims and outcomes cannot be stored; nothing is fired unclaimed, and \
                         storing is tried again"
                    );
                }
                self.problem = Some(error);
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
                self.counters.commits_failed += 1;
                false
            }
        }
    }

    /// Why nothing can be stored at the moment.
    pub(crate) fn problem(&self) -> Option<&StoreError> {
        self.problem.as_ref()
    }

    pub(crate) fn counters(&self) -> LedgerCounters {
        self.counters
    }

    /// Outcomes of a schedule's instants, and of what was asked for, counted.
    pub(crate) fn tallies(&self, uid: ScheduleUid) -> (Tally, Tally) {
        let Some(account) = self.accounts.get(&uid) else { return Default::default() };
        let requested = account.rare().map_or_else(Tally::default, |rare| rare.requested);
        (account.tally(), requested)
    }

    /// Outcomes of a schedule, newest first.
    pub(crate) fn history(&self, uid: ScheduleUid) -> impl Iterator<Item = &HistoryEntry> {
        self.accounts.get(&uid).into_iter().flat_map(|account| account.history().rev())
    }

    /// Ends inherited claims as far as that can be known.
    fn settle(&mut self, uid: ScheduleUid, now: Timestamp) {
        let Some(account) = self.accounts.get(&uid) else { return };
        for (at, released) in account.open.clone() {
            let outcome = match (released, at > now) {
                (true, _) => Outcome::Unknown,
                (false, true) => Outcome::Skipped(Reason::Revoked),
                (false, false) => Outcome::Missed(Reason::NotRunning),
            };
            let detail = FireDetail::default();
            let record =
                OutcomeRecord { schedule: uid, from: at, until: at, count: 1, outcome, detail };
            self.record(&record, String::new());
        }
    }

    fn forget(&mut self, uid: ScheduleUid) {
        if let Some(account) = self.accounts.remove(&uid) {
            if let Some(removed_at) = account.removed_at() {
                self.removed.remove(&(removed_at, uid));
            }
            self.log.note(uid, &Change::Forgotten);
            self.image(uid);
        }
    }

    fn touch(&mut self) {
        self.dirty_since.get_or_insert_with(Instant::now);
    }
}
