//! The books: which instants are claimed, how they ended, and what of that is durable yet.

use super::history::{DetailLimits, History};
use super::{Batch, HistoryEntry, Kept, OpenClaims, Row, Store, StoreError, Tally};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use timeball_schedule::planner::{Claim, ClaimResult, OutcomeRecord, Resume};
use timeball_schedule::{FireDetail, FireId, Outcome, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// How long outcomes may wait for a batch of claims to ride with.
const OUTCOMES_WAIT_MAX: Duration = Duration::from_millis(1_500);
/// How long after a failed commit outcomes are tried again. Claims are tried whenever they come.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What is known of a schedule whose file went away is forgotten after this.
const REMEMBER_REMOVED: Span = Span::from_secs(30 * 86_400);

/// The books of all schedules, over a store.
pub(crate) struct Ledger {
    store: Box<dyn Store>,
    accounts: BTreeMap<ScheduleUid, Account>,
    /// Keys whose values changed since the last commit.
    dirty: Dirty,
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
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Expression, dialect, zone and rule: where it changes, other instants are meant.
    pub(crate) definition: String,
    pub(crate) limits: DetailLimits,
    /// Whether a fire may be repeated under its key.
    pub(crate) repeatable: bool,
}

struct Account {
    row: Row,
    limits: DetailLimits,
    open: OpenClaims,
    history: History,
    /// Whether it was loaded and no file has named it since.
    inherited: bool,
}

#[derive(Default)]
struct Dirty {
    rows: BTreeSet<ScheduleUid>,
    claims: BTreeSet<(ScheduleUid, Timestamp)>,
    history: BTreeSet<(ScheduleUid, Timestamp)>,
}

/// Until a file says otherwise.
const DEFAULT_LIMITS: DetailLimits = DetailLimits { successful: 3, failed: 1 };

impl Ledger {
    /// Opens the books over a store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(crate) fn open(mut store: Box<dyn Store>) -> Result<Self, StoreError> {
        let accounts = store.load()?.into_iter().map(|kept| {
            let Kept { uid, row, claims: open, history } = kept;
            let history = History::new(history);
            (uid, Account { row, limits: DEFAULT_LIMITS, open, history, inherited: true })
        });
        Ok(Self {
            accounts: accounts.collect(),
            store,
            dirty: Dirty::default(),
            dirty_since: None,
            retry_at: None,
            problem: None,
            counters: LedgerCounters::default(),
        })
    }

    /// Takes up a schedule, new or changed, and says what is known of it.
    pub(crate) fn enroll(&mut self, schedule: Enrolment, now: Timestamp) -> Resume {
        let Enrolment { uid, namespace, name, definition, limits, repeatable } = schedule;
        let account = self.accounts.entry(uid).or_insert_with(Account::new);
        let is_new = account.row.definition.is_empty();
        let returned = account.row.removed_at_ns.is_some();
        let redefined = !is_new && account.row.definition != definition;
        let inherited = std::mem::replace(&mut account.inherited, false);
        if inherited && (returned || redefined) {
            // Its claims were for instants that nobody means any more.
            self.settle(uid, now);
        }
        let account = self.accounts.get_mut(&uid).expect("it was entered above");
        account.limits = limits;
        let until = account.row.accounted_until_ns.filter(|_| !returned);
        let until =
            until.map(|until| if redefined { until.max(now.as_unix_nanos()) } else { until });
        let tally = account.row.tally;
        account.row = Row {
            namespace,
            name,
            definition,
            accounted_until_ns: until,
            removed_at_ns: None,
            tally,
        };
        let open = account.open.keys().copied().filter(|_| inherited);
        let open_claims = open.collect();
        self.touch_row(uid);
        let accounted_until = until.map(Timestamp::from_unix_nanos);
        Resume { accounted_until, open_claims, repeatable }
    }

    /// Keeps that a schedule's file went away. What of it runs may still end.
    pub(crate) fn retire(&mut self, uid: ScheduleUid, now: Timestamp) {
        if let Some(account) = self.accounts.get_mut(&uid) {
            account.row.removed_at_ns = Some(now.as_unix_nanos());
            self.touch_row(uid);
        }
    }

    /// Settles what was loaded and no file names: the files went away while nobody was there.
    pub(crate) fn retire_absent(&mut self, now: Timestamp) {
        let absent: Vec<(ScheduleUid, Option<i64>)> = self
            .accounts
            .iter()
            .filter(|(_, account)| account.inherited)
            .map(|(uid, account)| (*uid, account.row.removed_at_ns))
            .collect();
        for (uid, removed_at_ns) in absent {
            self.settle(uid, now);
            match removed_at_ns {
                None => self.retire(uid, now),
                Some(at) if now - Timestamp::from_unix_nanos(at) > REMEMBER_REMOVED => {
                    self.forget(uid);
                }
                Some(_) => {}
            }
        }
    }

    /// Makes claims durable, with everything else that waits to be.
    pub(crate) fn claim(&mut self, claims: &[Claim]) -> Vec<(FireId, ClaimResult)> {
        let mut results = Vec::with_capacity(claims.len());
        for Claim { fire } in claims {
            let FireId { schedule, scheduled_at } = *fire;
            let account = self.accounts.entry(schedule).or_insert_with(Account::new);
            let lost = account.history.was_released(scheduled_at);
            if !lost {
                account.open.entry(scheduled_at).or_insert(false);
                account.account(scheduled_at);
                self.dirty.claims.insert((schedule, scheduled_at));
                self.touch_row(schedule);
            }
            results.push((*fire, if lost { ClaimResult::Lost } else { ClaimResult::Claimed }));
        }
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
        let account = self.accounts.get_mut(&fire.schedule);
        if let Some(released) = account.and_then(|a| a.open.get_mut(&fire.scheduled_at)) {
            *released = true;
            self.dirty.claims.insert((fire.schedule, fire.scheduled_at));
            self.touch();
        }
    }

    /// Keeps that instants up to and including `until` are accounted for.
    pub(crate) fn account(&mut self, uid: ScheduleUid, until: Timestamp) {
        if let Some(account) = self.accounts.get_mut(&uid) {
            account.account(until);
            self.touch_row(uid);
        }
    }

    /// Keeps an outcome; durable with the next commit.
    pub(crate) fn record(&mut self, record: &OutcomeRecord, message: String) {
        let OutcomeRecord { schedule, from, until, count, outcome, detail } = *record;
        let account = self.accounts.entry(schedule).or_insert_with(Account::new);
        let closed: Vec<Timestamp> = account.open.range(from..=until).map(|(at, _)| *at).collect();
        for at in closed {
            account.open.remove(&at);
            self.dirty.claims.insert((schedule, at));
        }
        account.account(until);
        account.row.tally.add(outcome, count);
        let entry = HistoryEntry { from, until, count, outcome, detail, message };
        let changed = account.history.add(entry, account.limits, &account.open);
        self.dirty.history.extend(changed.into_iter().map(|from| (schedule, from)));
        self.touch_row(schedule);
    }

    /// Gives back claims of fires that were certainly not released, so that their instants are
    /// planned anew: fired, caught up or missed as the policy says, instead of unknown.
    ///
    /// Only claims after the last instant with a release or an outcome are given back, for a
    /// schedule's books have no holes.
    pub(crate) fn give_back_unreleased(&mut self) {
        for (uid, account) in &mut self.accounts {
            let released = account.open.iter().rev().find(|(_, released)| **released);
            let last = released.map(|(at, _)| *at).max(account.history.until());
            let after = last.map_or(Timestamp::MIN, |last| last + Span::NANOSECOND);
            let unreleased = account.open.split_off(&after);
            let Some((first, _)) = unreleased.first_key_value() else { continue };
            let until = (*first - Span::NANOSECOND).as_unix_nanos();
            account.row.accounted_until_ns = account.row.accounted_until_ns.map(|_| until);
            self.dirty.rows.insert(*uid);
            self.dirty.claims.extend(unreleased.keys().map(|at| (*uid, *at)));
            self.dirty_since.get_or_insert_with(Instant::now);
        }
    }

    /// Commits what has waited for long enough; returns when to ask again, if anything waits.
    pub(crate) fn flush_due(&mut self) -> Option<Instant> {
        let due = self.dirty_since? + OUTCOMES_WAIT_MAX;
        let due = self.retry_at.map_or(due, |retry| retry.max(due));
        if Instant::now() < due {
            return Some(due);
        }
        if self.commit() { None } else { self.retry_at }
    }

    /// Commits everything that waits; `false` where that failed, and it waits on.
    pub(crate) fn commit(&mut self) -> bool {
        let batch = self.batch();
        if batch.is_empty() {
            return true;
        }
        match self.store.commit(&batch) {
            Ok(()) => {
                if self.problem.take().is_some() {
                    tracing::info!("the store can be written again");
                }
                self.dirty = Dirty::default();
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

    /// Outcomes of a schedule, counted.
    pub(crate) fn tally(&self, uid: ScheduleUid) -> Tally {
        self.accounts.get(&uid).map(|account| account.row.tally).unwrap_or_default()
    }

    /// Outcomes of a schedule, newest first.
    pub(crate) fn history(&self, uid: ScheduleUid) -> impl Iterator<Item = &HistoryEntry> {
        self.accounts.get(&uid).into_iter().flat_map(|account| account.history.newest_first())
    }

    /// Ends inherited claims as far as that can be known.
    fn settle(&mut self, uid: ScheduleUid, now: Timestamp) {
        let Some(account) = self.accounts.get(&uid) else { return };
        for (at, released) in account.open.clone() {
            let ahead = at > now && !released;
            let outcome = if ahead { Outcome::Skipped(Reason::Revoked) } else { Outcome::Unknown };
            let detail = FireDetail::default();
            let record =
                OutcomeRecord { schedule: uid, from: at, until: at, count: 1, outcome, detail };
            self.record(&record, String::new());
        }
    }

    fn forget(&mut self, uid: ScheduleUid) {
        if let Some(account) = self.accounts.remove(&uid) {
            self.dirty.claims.extend(account.open.keys().map(|at| (uid, *at)));
            self.dirty.history.extend(account.history.keys().map(|from| (uid, from)));
            self.touch_row(uid);
        }
    }

    fn touch_row(&mut self, uid: ScheduleUid) {
        self.dirty.rows.insert(uid);
        self.touch();
    }

    fn touch(&mut self) {
        self.dirty_since.get_or_insert_with(Instant::now);
    }

    fn batch(&self) -> Batch {
        let account = |uid: &ScheduleUid| self.accounts.get(uid);
        let rows = self.dirty.rows.iter();
        let claims = self.dirty.claims.iter();
        let history = self.dirty.history.iter();
        Batch {
            rows: rows.map(|uid| (*uid, account(uid).map(|a| a.row.clone()))).collect(),
            claims: claims
                .map(|key| (*key, account(&key.0).and_then(|a| a.open.get(&key.1).copied())))
                .collect(),
            history: history
                .map(|key| (*key, account(&key.0).and_then(|a| a.history.entry(key.1).cloned())))
                .collect(),
        }
    }
}

impl Account {
    fn new() -> Self {
        Self {
            row: Row::default(),
            limits: DEFAULT_LIMITS,
            open: OpenClaims::new(),
            history: History::default(),
            inherited: false,
        }
    }

    fn account(&mut self, until: Timestamp) {
        let until = until.as_unix_nanos();
        let known = self.row.accounted_until_ns.unwrap_or(i64::MIN);
        self.row.accounted_until_ns = Some(known.max(until));
    }
}
