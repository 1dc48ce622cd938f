//! What people want of schedules: pause, resume, run now, backfill.

use super::Dispatcher;
use crate::fault::{self, Point};
use crate::store::{Event, EventKind};
use std::sync::mpsc::Sender;
use thiserror::Error;
use timeball_api::control::{Accepted, BACKFILL_MAX, PARALLEL_MAX};
use timeball_runtime::read_clocks;
use timeball_schedule::planner::Input;
use timeball_schedule::{FireId, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// The most instants of a range that are looked at.
const LOOKED_AT_MAX: usize = 100_000;

/// Somebody wants something of a schedule.
pub(crate) struct Wish {
    pub(crate) schedule: ScheduleUid,
    pub(crate) command: Command,
    /// Who.
    pub(crate) by: String,
    /// Why; may be empty.
    pub(crate) why: String,
    pub(crate) reply: Sender<Result<Accepted, ControlError>>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Pause,
    Resume,
    Run,
    Backfill(BackfillRange),
}

/// Which instants are to be run again, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackfillRange {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) limit: u32,
    pub(crate) parallel: u32,
    pub(crate) again: bool,
    pub(crate) dry_run: bool,
}

/// Why a change was not made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ControlError {
    /// There is no such schedule.
    #[error(
        "there is no schedule {namespace}/{name}; `timeball schedule list` shows those there are"
    )]
    NoSuchSchedule {
        /// The namespace that was given.
        namespace: String,
        /// The name that was given.
        name: String,
    },
    /// It is paused already.
    #[error("it is paused already, by {by}")]
    AlreadyPaused {
        /// Who paused it.
        by: String,
    },
    /// It is not paused.
    #[error("it is not paused; a schedule with `suspend: true` goes on when its file says so")]
    NotPaused,
    /// The reason is too long.
    #[error("`why` has {octets} octets; it may have {octets_max}")]
    WhyTooLong {
        /// How long it is.
        octets: usize,
        /// How long it may be.
        octets_max: usize,
    },
    /// A number of a backfill is out of its range.
    #[error("`{field}` is {value}; it must be 1 to {most}")]
    OutOfRange {
        /// Which.
        field: &'static str,
        /// What it is.
        value: u32,
        /// The largest value.
        most: u32,
    },
    /// The range of a backfill ends before it begins, or in the future.
    #[error("the range {from} to {until} is not one of the past: it is {now} now")]
    NotPast {
        /// Where it begins.
        from: Timestamp,
        /// Where it ends.
        until: Timestamp,
        /// The time by the clock that the schedule follows.
        now: Timestamp,
    },
    /// There is nothing in the range to be run.
    #[error(
        "nothing to run from {from} to {until}: {left_out} instants were fired, or may have been{}",
        if *left_out > 0 { "; `again` runs them once more" } else { "" }
    )]
    NothingToRun {
        /// Where the range begins.
        from: Timestamp,
        /// Where it ends.
        until: Timestamp,
        /// Instants in it that need not be run.
        left_out: u64,
    },
    /// There are more instants than the limit.
    #[error(
        "the range has more than {limit} instants to run; narrow it, or give a larger `limit` (up to {BACKFILL_MAX})"
    )]
    TooMany {
        /// The limit that was given.
        limit: u32,
    },
    /// An instant was asked for too often.
    #[error("{at} was run again so often that no more are kept apart")]
    TooOften {
        /// Which.
        at: Timestamp,
    },
    /// It is done, but could not be stored.
    #[error(
        "done, but it cannot be stored at the moment and would not survive a restart: {message}"
    )]
    NotStored {
        /// What the store says.
        message: String,
    },
    /// The scheduler is being stopped, or does not answer.
    #[error("the scheduler does not answer; it may be about to stop")]
    NoAnswer,
}

impl ControlError {
    /// The error as a CamelCase word, as answers name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoSuchSchedule { .. } => "NoSuchSchedule",
            Self::AlreadyPaused { .. } => "AlreadyPaused",
            Self::NotPaused => "NotPaused",
            Self::WhyTooLong { .. } => "WhyTooLong",
            Self::OutOfRange { .. } => "OutOfRange",
            Self::NotPast { .. } => "NotPast",
            Self::NothingToRun { .. } => "NothingToRun",
            Self::TooMany { .. } => "TooMany",
            Self::TooOften { .. } => "TooOften",
            Self::NotStored { .. } => "NotStored",
            Self::NoAnswer => "NoAnswer",
        }
    }
}

impl Dispatcher {
    /// Does what somebody wants, and answers once it is durable.
    pub(super) fn take_wish(&mut self, wish: Wish) {
        let Wish { schedule, command, by, why, reply } = wish;
        let now = read_clocks().system;
        let event = |kind| Event {
            kind,
            at_ns: now.as_unix_nanos(),
            by,
            why,
            from_ns: None,
            until_ns: None,
            count: 0,
        };
        let done = match command {
            _ if self.stopping || !self.schedules.contains_key(&schedule) => {
                Err(ControlError::NoAnswer)
            }
            Command::Pause => self.pause(schedule, event(EventKind::Paused)),
            Command::Resume => self.resume(schedule, event(EventKind::Resumed)),
            Command::Run => Ok(self.run_now(schedule, now, event(EventKind::Run))),
            Command::Backfill(range) => self.backfill(schedule, range, event(EventKind::Backfill)),
        };
        fault::pass(Point::WishEntered);
        let stored = done.and_then(|accepted| {
            self.parts.ledger.commit();
            match self.parts.ledger.problem() {
                Some(error) => Err(ControlError::NotStored { message: error.to_string() }),
                None => Ok(accepted),
            }
        });
        self.show_control(schedule);
        // Whoever asked may have lost patience.
        let _ = reply.send(stored);
    }

    fn pause(&mut self, uid: ScheduleUid, event: Event) -> Result<Accepted, ControlError> {
        if let Some(pause) = self.parts.ledger.paused(uid) {
            return Err(ControlError::AlreadyPaused { by: pause.by.clone() });
        }
        tracing::info!(schedule = %self.schedules[&uid].name, by = %event.by, why = %event.why, "paused");
        self.parts.ledger.pause(uid, event);
        self.input(Input::SetPaused { schedule: uid, paused: true });
        Ok(Accepted::default())
    }

    fn resume(&mut self, uid: ScheduleUid, event: Event) -> Result<Accepted, ControlError> {
        if self.parts.ledger.paused(uid).is_none() {
            return Err(ControlError::NotPaused);
        }
        tracing::info!(schedule = %self.schedules[&uid].name, by = %event.by, why = %event.why, "resumed");
        // What passed while it rested is recorded before the reason is forgotten.
        self.input(Input::SetPaused { schedule: uid, paused: false });
        self.parts.ledger.unpause(uid, event);
        Ok(Accepted::default())
    }

    fn run_now(&mut self, uid: ScheduleUid, now: Timestamp, event: Event) -> Accepted {
        let fire = self.parts.ledger.manual_key(uid, now);
        self.request(uid, vec![fire], 1, event)
    }

    fn backfill(
        &mut self,
        uid: ScheduleUid,
        range: BackfillRange,
        event: Event,
    ) -> Result<Accepted, ControlError> {
        // What is ahead by the schedule's own clock is yet to be fired, whatever others show.
        range.check(self.clock_watch.now().by(self.schedules[&uid].spec.clock.follow))?;
        let (fires, left_out) = self.find_instants(uid, range)?;
        let (from, until) = (range.from, range.until);
        if fires.is_empty() {
            return Err(ControlError::NothingToRun { from, until, left_out });
        }
        let accepted = if range.dry_run {
            accepted(&fires)
        } else {
            self.request(uid, fires, range.parallel as usize, event)
        };
        Ok(Accepted { left_out, ..accepted })
    }

    /// The fires of a backfill, and how many instants need none.
    fn find_instants(
        &self,
        uid: ScheduleUid,
        range: BackfillRange,
    ) -> Result<(Vec<FireId>, u64), ControlError> {
        let (schedule, ledger) = (&self.schedules[&uid].spec.schedule, &self.parts.ledger);
        let too_many = ControlError::TooMany { limit: range.limit };
        let (mut fires, mut left_out) = (Vec::new(), 0);
        let mut at = range.from - Span::NANOSECOND;
        for _ in 0..LOOKED_AT_MAX {
            let Some(next) = schedule.next_after(at).filter(|next| *next <= range.until) else {
                return Ok((fires, left_out));
            };
            at = next;
            if ledger.is_done(uid, at) && !range.again {
                left_out += 1;
                continue;
            }
            if fires.len() >= range.limit as usize {
                return Err(too_many);
            }
            let key = ledger.backfill_key(uid, at).ok_or(ControlError::TooOften { at })?;
            fires.push(key);
        }
        Err(too_many)
    }

    fn request(
        &mut self,
        schedule: ScheduleUid,
        fires: Vec<FireId>,
        parallel: usize,
        event: Event,
    ) -> Accepted {
        let accepted = accepted(&fires);
        let event = Event {
            from_ns: accepted.instants_ns.first().copied(),
            until_ns: accepted.instants_ns.last().copied(),
            count: fires.len() as u64,
            ..event
        };
        let (by, why, count) = (&event.by, &event.why, event.count);
        let name = &self.schedules[&schedule].name;
        tracing::info!(schedule = %name, kind = event.kind.name(), count, %by, %why, "asked for");
        // Durable with the claims that come of it.
        self.parts.ledger.note_event(schedule, event);
        let fires = fires.into_iter().map(|fire| fire.scheduled_at).collect();
        self.input(Input::Request { schedule, fires, parallel });
        accepted
    }

    /// The planner has paused a schedule because of its failures.
    pub(super) fn paused_itself(&mut self, uid: ScheduleUid, failures: u32, now: Timestamp) {
        let Some(schedule) = self.schedules.get(&uid) else { return };
        let why = match failures {
            1 => "the last run failed".to_owned(),
            _ => format!("the last {failures} runs failed"),
        };
        tracing::warn!(schedule = %schedule.name, failures, "paused, since its target fails");
        let event = Event {
            kind: EventKind::Paused,
            at_ns: now.as_unix_nanos(),
            by: "timeball".to_owned(),
            why,
            from_ns: None,
            until_ns: None,
            count: 0,
        };
        self.parts.ledger.pause(uid, event);
        self.show_control(uid);
    }

    /// Shows whether a schedule rests, and what people did with it.
    pub(super) fn show_control(&self, uid: ScheduleUid) {
        if let Some(panel) = self.parts.board.panel(uid) {
            let mut progress = panel.progress();
            progress.paused = self.parts.ledger.paused(uid).cloned();
            progress.failures = self.parts.ledger.failures(uid);
        }
    }

    /// What is said about an outcome for which the target has said nothing: who wanted it.
    pub(super) fn remark(&self, fire: FireId, reason: Option<Reason>) -> String {
        let ledger = &self.parts.ledger;
        let words = |by: &str, why: &str| match why {
            "" => format!("by {by}"),
            why => format!("by {by}: {why}"),
        };
        if let (Some(Reason::Paused), Some(pause)) = (reason, ledger.paused(fire.schedule)) {
            return format!("paused {}", words(&pause.by, &pause.why));
        }
        match ledger.request_of(fire) {
            Some(event) => format!("asked for {}", words(&event.by, &event.why)),
            None => String::new(),
        }
    }
}

impl BackfillRange {
    fn check(&self, now: Timestamp) -> Result<(), ControlError> {
        let fields =
            [("limit", self.limit, BACKFILL_MAX), ("parallel", self.parallel, PARALLEL_MAX)];
        for (field, value, most) in fields {
            if !(1..=most).contains(&value) {
                return Err(ControlError::OutOfRange { field, value, most });
            }
        }
        let Self { from, until, .. } = *self;
        if from > until || until > now {
            return Err(ControlError::NotPast { from, until, now });
        }
        Ok(())
    }
}

fn accepted(fires: &[FireId]) -> Accepted {
    let instants_ns = fires.iter().map(|fire| fire.nominal().as_unix_nanos()).collect();
    Accepted { instants_ns, left_out: 0 }
}
