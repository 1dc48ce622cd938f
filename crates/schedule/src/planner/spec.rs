//! What the planner knows of a schedule: the expression compiled, the policies parsed.

use super::jitter::jitter;
use crate::{FireId, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// A schedule, ready to be planned.
#[derive(Clone, Debug)]
pub struct ScheduleSpec {
    /// Identity.
    pub uid: ScheduleUid,
    /// Changes whenever the file's content does; an unchanged generation changes nothing.
    pub generation: u64,
    /// When.
    pub schedule: crate::language::Schedule,
    /// Whether fires are suspended.
    pub suspended: bool,
    /// How late a fire may still be released; `None` for no limit.
    pub deadline: Option<Span>,
    /// What happens when one is due while an earlier one runs.
    pub concurrency: Concurrency,
    /// What happens to instants that passed while nobody was there.
    pub catch_up: CatchUp,
    /// Largest deterministic delay added to each instant; at least zero.
    pub jitter: Span,
    /// After how many failures of its target in a row the schedule pauses itself (1+); `None`:
    /// never.
    pub pause_on_failure: Option<u32>,
    /// How a fire uses what is known of the clock's error.
    pub clock: ClockPolicy,
}

impl ScheduleSpec {
    /// When an instant is to be released: the instant itself plus its jitter, the same on every
    /// replica and after every restart.
    pub fn release_at(&self, scheduled_at: Timestamp) -> Timestamp {
        let fire = FireId { schedule: self.uid, scheduled_at };
        scheduled_at + jitter(fire, self.jitter)
    }
}

/// What happens when a fire is due while an earlier one still runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Concurrency {
    /// Both run.
    #[default]
    Allow,
    /// The new one is skipped.
    Forbid,
    /// The old one is stopped.
    Replace,
    /// The new one waits; at most one waits, the latest.
    BufferOne,
}

/// What happens to instants that passed while nobody was there to fire them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CatchUp {
    /// Which are fired late.
    pub policy: CatchUpPolicy,
    /// How far back; at least zero.
    pub window: Span,
    /// At most how many.
    pub limit: u32,
}

/// Which missed instants are fired late.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CatchUpPolicy {
    /// None.
    None,
    /// The latest.
    #[default]
    Latest,
    /// All, oldest first.
    All,
}

/// How a fire uses what is known of the clock's error.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClockPolicy {
    /// Which clock decides when T is.
    pub follow: Follow,
    /// Whether T may be a little early by the clock's error.
    pub fire: FireMode,
    /// Largest bound with which a fire is still good; `None` for no limit.
    pub max_error: Option<Span>,
    /// What happens when the bound is larger, or unknown.
    pub on_exceeded: OnExceeded,
}

impl ClockPolicy {
    /// Whether a fire that is due may wait for a better clock, for as long as its deadline allows.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        let can_exceed = self.max_error.is_some() || self.fire == FireMode::NotBefore;
        can_exceed && self.on_exceeded == OnExceeded::Delay
    }
}

/// Which clock decides when T is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Follow {
    /// The system clock while it lies within the bound of UTC, else the estimate.
    #[default]
    Auto,
    /// The system clock.
    System,
    /// The estimate of UTC.
    Utc,
}

/// Whether T may be a little early by the clock's error.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FireMode {
    /// As near to T as the estimate allows.
    #[default]
    Nearest,
    /// When T has certainly been reached.
    NotBefore,
}

/// What happens when the bound is too large.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnExceeded {
    /// Fire, and say so.
    #[default]
    Flag,
    /// Wait for a better clock, up to the deadline.
    Delay,
    /// Skip.
    Refuse,
}
