//! What goes into the planner and what comes out.
//!
//! The life of a fire: *planned* (an instant within the horizon) → [`Action::Claim`] →
//! [`Input::Claimed`] → [`Action::Arm`] → the shell releases it at `release_at` and says
//! [`Input::Released`], or [`Action::Revoke`] takes it back → [`Input::Finished`] →
//! [`Action::Record`]. Every nominal instant leaves exactly one record (or is part of one).
//!
//! What the shell promises:
//! - Every [`Action::Arm`] is answered by exactly one [`Input::Finished`], also after
//!   [`Action::Revoke`] or [`Action::Stop`]; [`Input::Released`] comes before it if, and only if,
//!   the fire was released.
//! - `Record`, `Account` and `Claim` become durable in the order in which they came, those of one
//!   call together. So a store may lose a tail, never a hole.

use super::spec::{Follow, ScheduleSpec};
use crate::{FireDetail, FireId, Outcome, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// One thing that happened. Every input is handled at the [`Times`] of its moment.
///
/// [`Times`]: super::Times
#[derive(Debug)]
pub enum Input {
    /// The instant of the last [`Action::WakeAt`] has come (early or late is harmless).
    Wake,
    /// A schedule is new or changed.
    Upsert {
        /// The schedule.
        spec: Box<ScheduleSpec>,
        /// What the store knows of it.
        resume: Resume,
    },
    /// A schedule is gone. What runs is let run; should the schedule come back, it is new: the
    /// shell forgets its `accounted_until` once everything of it has ended.
    Remove(ScheduleUid),
    /// A schedule is to rest until further notice, or to go on from now. What passes meanwhile is
    /// skipped (`Paused`), and so is what is in flight and has not begun.
    SetPaused {
        /// Whose.
        schedule: ScheduleUid,
        /// Whether it is to rest.
        paused: bool,
    },
    /// Fires that somebody asked for: they are run as soon as there are places, beside the
    /// schedule's own and whether it rests or not.
    Request {
        /// Whose.
        schedule: ScheduleUid,
        /// Their keys, made by [`FireId::manual`] and [`FireId::backfill`]; none was used before.
        fires: Vec<Timestamp>,
        /// How many backfills of the schedule may run at a time, from now on (1+).
        parallel: usize,
    },
    /// Answers to [`Action::Claim`]: durable from now on.
    Claimed(Vec<(FireId, ClaimResult)>),
    /// An armed fire was released.
    Released {
        /// Which.
        fire: FireId,
        /// Actual release less the scheduled instant, by the clock that the schedule follows.
        lateness: Span,
        /// The clock's bound at that moment.
        clock_bound: Option<Span>,
        /// Whether that exceeded the schedule's limit.
        clock_exceeded: bool,
    },
    /// A released fire's target has ended, or an armed fire ended without a release: its deadline
    /// passed (`Missed(DeadlineExceeded)`), it could not be prepared, its clock was not good
    /// enough, or it was revoked in time (`Skipped(Revoked)`; the planner records why it revoked
    /// it).
    Finished {
        /// Which.
        fire: FireId,
        /// How.
        outcome: Outcome,
        /// From release to end.
        duration: Option<Span>,
    },
    /// These clocks were set: all schedules that follow them are planned anew from their `now`. The
    /// shell carries out the answer before it releases armed fires that the step made due.
    ClockStepped(Vec<Follow>),
}

/// What the store knows of a schedule when the planner first hears of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resume {
    /// Instants up to and including this one have an outcome or a claim: the latest of
    /// [`Action::Account`], claimed instants and `until` of records. `None` for a schedule never
    /// seen: nothing before `now` is owed. Where the expression changed while nobody was there,
    /// at least `now`, so that new instants do not start in the past.
    pub accounted_until: Option<Timestamp>,
    /// Whether the store knows it with another expression: instants between now and
    /// `accounted_until` may then be new. A shell makes an edit durable with [`Action::Adopt`].
    pub redefined: bool,
    /// What has an outcome although it lies ahead: first and last instant of each record that
    /// reaches beyond now. An edit must not plan it anew. (Instants ahead end early where a fire is
    /// revoked, and lie ahead again where the clock is set back.)
    pub settled: Vec<(Timestamp, Timestamp)>,
    /// Claims without an outcome, oldest first: left by a process that died or was stopped.
    pub open_claims: Vec<OpenClaim>,
    /// Whether a fire may be repeated safely under its key (`http`): then one that may have been
    /// released is released again instead of ending unknown, deadline permitting.
    pub repeatable: bool,
    /// Whether the schedule was told to rest ([`Input::SetPaused`], [`Action::Pause`]).
    pub paused: bool,
    /// How often the target has failed since it last succeeded or the schedule was last told to go
    /// on ([`Outcome::is_targets_failure`]), fires that were asked for aside.
    pub failures: u32,
}

/// A claim that a process left without an outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenClaim {
    /// The nominal instant.
    pub scheduled_at: Timestamp,
    /// Whether the fire was released, or may have been: it then ends as [`Outcome::Unknown`].
    /// `false` only where that is certain: such a fire is released in time if it still lies ahead,
    /// and else late or never, as the catch-up policy says.
    pub released: bool,
}

/// A fire to be claimed: written durably before anything is done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    /// Which.
    pub fire: FireId,
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClaimResult {
    /// It is ours.
    Claimed,
    /// Another replica has it, or it was done before. A claim repeated by the same process after
    /// `Unknown` is not lost to itself: it is `Claimed`.
    Lost,
    /// The store failed; whether the claim is there is not known.
    Unknown,
}

/// One thing to do. The caller carries actions out in order.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Action {
    /// Write these claims durably, in one commit, and answer with [`Input::Claimed`].
    Claim(Vec<Claim>),
    /// Prepare the target and release it at `release_at`.
    Arm(ArmedFire),
    /// Take an armed fire back; if it is already released, it stays so. Answered by
    /// [`Input::Finished`] in either case.
    Revoke(FireId),
    /// Stop the target of a released fire (`Replace`); it then ends as the target says, and is
    /// recorded as `Failed(Replaced)` unless it was done all the same.
    Stop(FireId),
    /// Keep that instants of this schedule up to and including `until` are accounted for: it was
    /// first seen, or edited, then. Not urgent; it may ride with the next commit.
    Account {
        /// Whose.
        schedule: ScheduleUid,
        /// The last instant, or the moment, that is accounted for.
        until: Timestamp,
    },
    /// Everything that a new or edited definition makes due is among the claims so far: keep the
    /// definition, durably together with the next claims. Until then the store keeps the one
    /// before, so that after a crash [`Resume::redefined`] is told again, and nothing is lost.
    Adopt(ScheduleUid),
    /// Keep this outcome.
    Record(OutcomeRecord),
    /// Keep that the schedule rests from now on, since its target failed too often. Not urgent:
    /// where it is lost, the failures tell.
    Pause {
        /// Whose.
        schedule: ScheduleUid,
        /// How often it failed in a row.
        failures: u32,
    },
    /// Wake the planner at this instant of the system clock; replaces the earlier request.
    WakeAt(Timestamp),
}

/// A claimed fire, ready to be prepared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ArmedFire {
    /// Which.
    pub fire: FireId,
    /// Scheduled instant plus jitter: when the target is to start. In the past for a late fire.
    pub release_at: Timestamp,
    /// Not to be released after this instant (then `Missed(DeadlineExceeded)`).
    pub not_after: Option<Timestamp>,
    /// How the clock's error counts.
    pub clock: super::spec::ClockPolicy,
}

/// The outcome of an instant, or of a run of instants with the same one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutcomeRecord {
    /// Whose.
    pub schedule: ScheduleUid,
    /// First instant.
    pub from: Timestamp,
    /// Last instant, `from` for one.
    pub until: Timestamp,
    /// How many instants of the schedule lie in `from..=until`; at least one.
    pub count: u64,
    /// How they ended.
    pub outcome: Outcome,
    /// Details, for a single instant.
    pub detail: FireDetail,
}
