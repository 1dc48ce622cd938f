//! The identity of a fire, and how it can end.

use crate::mix::mix;
use core::fmt;
use timeball_timebase::{Span, Timestamp};

/// The identity of a schedule: the resource's uid, a UUID in its 16 octets.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ScheduleUid(pub [u8; 16]);

impl ScheduleUid {
    /// The number that chooses what an expression writes as `H`; the same on every replica.
    pub fn seed(self) -> u64 {
        let (high, low) = self.0.split_at(8);
        let word = |octets: &[u8]| {
            u64::from_be_bytes(octets.try_into().expect("half of a uid has eight octets"))
        };
        mix(word(high)) ^ word(low)
    }
}

impl fmt::Display for ScheduleUid {
    /// Writes the UUID in its usual form of 8-4-4-4-12 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, octet) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{octet:02x}")?;
        }
        Ok(())
    }
}

/// The identity of one fire: schedule and nominal instant. The same on every replica and after
/// every restart, so it is the idempotency key that receivers get.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FireId {
    /// Whose fire.
    pub schedule: ScheduleUid,
    /// The nominal instant, a whole number of microseconds; for a fire that somebody asked for,
    /// that and a number of nanoseconds (see [`crate::Trigger`]).
    pub scheduled_at: Timestamp,
}

impl FireId {
    /// A number made of schedule and instant alone, each bit of which depends on all of both.
    pub(crate) fn mixed(self) -> u64 {
        let (high, low) = self.schedule.0.split_at(8);
        let word = |octets: &[u8]| {
            u64::from_be_bytes(octets.try_into().expect("half of a uid has eight octets"))
        };
        let instant = self.scheduled_at.as_unix_nanos().cast_unsigned();
        [word(high), word(low), instant].into_iter().fold(0, |state, word| mix(state ^ word))
    }
}

impl fmt::Display for FireId {
    /// Writes the key that receivers see: the schedule's uid, a dot, microseconds since 1970, and
    /// for a fire that somebody asked for a dash and its number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schedule, self.scheduled_at.as_unix_nanos().div_euclid(1_000))?;
        match self.number() {
            0 => Ok(()),
            number => write!(f, "-{number}"),
        }
    }
}

/// How a nominal instant ended: each has exactly one outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Released, and the target says that it is done.
    Fired,
    /// Passed without a release, though it should have had one.
    Missed(Reason),
    /// Not released because a policy said so.
    Skipped(Reason),
    /// Released, and the target failed.
    Failed(Reason),
    /// Claimed, then the process died, and whether it was released cannot be known.
    Unknown,
}

/// Why an instant was not simply fired.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// Nobody was there: the scheduler was down or the machine asleep.
    NotRunning,
    /// The deadline passed before it could be released.
    DeadlineExceeded,
    /// More instants were missed than the catch-up policy fires late.
    CatchUpLimit,
    /// The clock was set forward over it.
    ClockStepped,
    /// The schedule is suspended.
    Suspended,
    /// The schedule is paused, by a person or after failures.
    Paused,
    /// An earlier fire still runs and the policy is Forbid.
    AlreadyActive,
    /// As many fires of the schedule as the limit allows still run.
    ActiveLimit,
    /// A later fire took its place: Replace, or BufferOne's only place was taken.
    Replaced,
    /// The schedule was edited or removed between claim and release.
    Revoked,
    /// The clock's bound was larger than the schedule allows, or unknown.
    ClockErrorExceeded,
    /// A program ended with a status other than 0, or by a signal.
    ExitStatus,
    /// The target did not finish in time and was stopped.
    TimedOut,
    /// The target could not be reached or started.
    Unreachable,
    /// The target answered that it failed (an HTTP status of 400 or above).
    Refused,
    /// The claim could not be stored.
    StoreFailed,
    /// The scheduler was stopped while the target ran, and stopped it.
    Stopped,
}

impl Outcome {
    /// The outcome's word in records and metrics: `fired`, `missed`, `skipped`, `failed` or
    /// `unknown`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Missed(_) => "missed",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Why, where the outcome has a reason.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Missed(reason) | Self::Skipped(reason) | Self::Failed(reason) => Some(reason),
            Self::Fired | Self::Unknown => None,
        }
    }

    /// What that means, as a sentence for a person; empty for `fired`.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Fired => "",
            Self::Unknown => {
                "It had begun, or may have, when the process died; the target cannot tell."
            }
            Self::Missed(reason) | Self::Skipped(reason) | Self::Failed(reason) => {
                reason.explanation()
            }
        }
    }

    /// Whether it failed by the target's doing, and not by ours.
    pub const fn is_targets_failure(self) -> bool {
        let Self::Failed(reason) = self else { return false };
        !matches!(reason, Reason::Replaced | Reason::Stopped | Reason::StoreFailed)
    }
}

impl Reason {
    /// Every reason, in the order of the declaration.
    pub const ALL: [Self; 17] = [
        Self::NotRunning,
        Self::DeadlineExceeded,
        Self::CatchUpLimit,
        Self::ClockStepped,
        Self::Suspended,
        Self::Paused,
        Self::AlreadyActive,
        Self::ActiveLimit,
        Self::Replaced,
        Self::Revoked,
        Self::ClockErrorExceeded,
        Self::ExitStatus,
        Self::TimedOut,
        Self::Unreachable,
        Self::Refused,
        Self::StoreFailed,
        Self::Stopped,
    ];

    /// The reason as a CamelCase word, as conditions and history show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotRunning => "NotRunning",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::CatchUpLimit => "CatchUpLimit",
            Self::ClockStepped => "ClockStepped",
            Self::Suspended => "Suspended",
            Self::Paused => "Paused",
            Self::AlreadyActive => "AlreadyActive",
            Self::ActiveLimit => "ActiveLimit",
            Self::Replaced => "Replaced",
            Self::Revoked => "Revoked",
            Self::ClockErrorExceeded => "ClockErrorExceeded",
            Self::ExitStatus => "ExitStatus",
            Self::TimedOut => "TimedOut",
            Self::Unreachable => "Unreachable",
            Self::Refused => "Refused",
            Self::StoreFailed => "StoreFailed",
            Self::Stopped => "Stopped",
        }
    }

    /// What the reason means, as a sentence for a person.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::NotRunning => "The scheduler was not running, or the machine was asleep.",
            Self::DeadlineExceeded => "The starting deadline passed before it could be released.",
            Self::CatchUpLimit => "More was missed than `catchUp.limit` lets run late.",
            Self::ClockStepped => "The clock was set forward over it.",
            Self::Suspended => "The schedule's file says `suspend: true`.",
            Self::Paused => "The schedule was paused.",
            Self::AlreadyActive => {
                "An earlier run had not ended, and `concurrencyPolicy` is Forbid."
            }
            Self::ActiveLimit => "As many runs as the limit allows had not ended.",
            Self::Replaced => "A later run took its place, as `concurrencyPolicy` says.",
            Self::Revoked => "The schedule was changed or removed before it could be released.",
            Self::ClockErrorExceeded => {
                "The clock's error was larger than `clock.maxErrorMilliseconds`, or unknown."
            }
            Self::ExitStatus => "The program ended with a status other than 0, or by a signal.",
            Self::TimedOut => "The target did not end within `timeoutSeconds` and was stopped.",
            Self::Unreachable => "The target could not be reached or started.",
            Self::Refused => "The target answered that it failed.",
            Self::StoreFailed => "The claim could not be stored, so it was not released.",
            Self::Stopped => "The scheduler was stopped, and stopped the run with it.",
        }
    }

    /// The reason of that name; `None` for any other word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// What is kept of the way a fire went, beside its outcome.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FireDetail {
    /// Actual release less scheduled instant.
    pub lateness: Option<Span>,
    /// The clock's bound at the release.
    pub clock_bound: Option<Span>,
    /// From release to the target's end.
    pub duration: Option<Span>,
    /// Whether the bound exceeded the schedule's limit, and it was fired all the same.
    pub clock_exceeded: bool,
}
